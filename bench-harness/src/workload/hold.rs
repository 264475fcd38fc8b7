//! W8 and W16: many connections that do nothing. What they cost is memory, and CPU if a proxy looks at them for no
//! reason. W8 uses each tunnel once before it rests; W16 wakes each WebSocket once after that.

use std::time::Instant;

use hdrhistogram::Histogram;

use crate::figures::{self, Figure};
use crate::load::error::LoadError;
use crate::load::origin::Service;
use crate::load::tunnel::Tunnel;
use crate::load::{Load, Target};
use crate::process::{self, Process};
use crate::workload::{Case, Timing, WINDOW, echo, open_tunnels};

/// When each connection is used, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    BeforeRest,
    AfterRest,
}

pub(super) fn run(
    (service, used): (Service, Use),
    case: Case,
    target: Target,
    timing: Timing,
    process: Option<&Process>,
) -> Result<Vec<Figure>, LoadError> {
    let pss = || process.map(Process::pss_bytes).transpose();
    let mut load = Load::new(target, service, case.bytes)?;
    std::thread::sleep(timing.warm_up); // so that memory of its start is not taken for memory of tunnels
    let before = pss()?;
    let started = Instant::now();
    let tunnels = open_tunnels(&mut load, case.connections)?;
    let opened = started.elapsed();
    let mut latencies = figures::latencies();
    if used == Use::BeforeRest {
        ping_each(&mut load, &tunnels, &mut latencies)?;
    }
    std::thread::sleep(timing.warm_up); // it may give back what only activity needs
    let rest = || {
        std::thread::sleep(timing.duration);
        Ok(())
    };
    let ((), cost) = process::timed(process, rest)?;
    let after = pss()?;
    if used == Use::AfterRest {
        ping_each(&mut load, &tunnels, &mut latencies)?;
    }
    let in_the_end = pss()?;
    drop(tunnels);
    load.finish()?;

    let mut figures = Vec::new();
    let kib_each = |bytes: f64| bytes / 1024.0 / case.connections as f64;
    if let Some((before, after)) = before.zip(after) {
        let growth = kib_each(after as f64 - before as f64);
        figures.push(Figure::new("pss_growth_per_tunnel", "KiB", growth).main());
        let total = kib_each(after as f64);
        figures.push(Figure::new("pss_total_per_tunnel", "KiB", total));
        if let (Use::AfterRest, Some(in_the_end)) = (used, in_the_end) {
            let growth = kib_each(in_the_end as f64 - before as f64);
            figures.push(Figure::new("pss_growth_after_use", "KiB", growth));
        }
        figures.push(Figure::new("pss_before", "KiB", before as f64 / 1024.0));
    }
    if let Some(cpu) = cost.proxy_cpu {
        let share = 100.0 * cpu.as_secs_f64() / cost.wall.as_secs_f64();
        figures.push(Figure::new("idle_cpu", "%", share));
    }
    let opened = Figure::new("open_all", "ms", opened.as_secs_f64() * 1e3);
    figures.push(opened);
    figures.extend(figures::percentiles(&latencies));
    Ok(figures)
}

/// One round trip on each tunnel, a few at a time.
fn ping_each(
    load: &mut Load,
    tunnels: &[Tunnel],
    latencies: &mut Histogram<u64>,
) -> Result<(), LoadError> {
    let mut ready = Vec::new();
    let mut exchanges: Vec<_> = tunnels.iter().map(|_| None).collect();
    let mut waiting = 0..tunnels.len();
    let mut under_way = 0;
    load.expect_movement();
    loop {
        for client in waiting.by_ref().take(WINDOW - under_way) {
            exchanges[client] = Some(echo::ask(load, client, tunnels, Instant::now())?);
            under_way += 1;
        }
        if under_way == 0 {
            return Ok(());
        }
        load.turn(&mut ready, "pinging tunnels")?;
        for event in &ready {
            let socket = &tunnels[event.client].socket;
            let Some(exchange) = &mut exchanges[event.client] else {
                continue;
            };
            if let Some(latency) = exchange.advance(socket, event.readiness, &mut load.scratch)? {
                figures::record(latencies, latency);
                exchanges[event.client] = None;
                under_way -= 1;
            }
        }
    }
}
