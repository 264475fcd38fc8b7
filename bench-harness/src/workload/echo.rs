//! W9 and the ping: warm tunnels, each with one question under way, the next one sent as soon as its echo is back.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::figures::{self, Figure};
use crate::load::error::LoadError;
use crate::load::exchange::Exchange;
use crate::load::origin::Service;
use crate::load::tunnel::Tunnel;
use crate::load::{Load, Target};
use crate::process::{self, Process};
use crate::workload::{Timing, open_tunnels};

/// What is echoed, and which figure it is for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    bytes: usize,
    main: Main,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Main {
    Cpu,
    Median,
}

impl Plan {
    pub(super) const W9: Self = Self {
        bytes: 1024,
        main: Main::Cpu,
    };
    pub(super) const PING: Self = Self {
        bytes: 64,
        main: Main::Median,
    };
}

pub(super) fn run(
    plan: Plan,
    connections: usize,
    target: Target,
    timing: Timing,
    process: Option<&Process>,
) -> Result<Vec<Figure>, LoadError> {
    let mut load = Load::new(target, Service::Echo)?;
    let tunnels = open_tunnels(&mut load, connections)?;
    round(&mut load, &tunnels, plan.bytes, timing.warm_up)?;
    let work = || round(&mut load, &tunnels, plan.bytes, timing.duration);
    let (latencies, cost) = process::timed(process, work)?;
    drop(tunnels);
    load.finish()?;
    let count = latencies.len();
    let rate = count as f64 / cost.wall.as_secs_f64();
    let mut percentiles = figures::percentiles(&latencies);
    let cpu = figures::cpu_us_per("round_trip", count, &cost);
    let mut figures = Vec::new();
    match plan.main {
        Main::Cpu => figures.extend(cpu.map(Figure::main)),
        Main::Median => figures.extend(percentiles.next().map(Figure::main)),
    }
    figures.extend(percentiles);
    if plan.main == Main::Median {
        figures.extend(figures::cpu_us_per("round_trip", count, &cost));
    }
    figures.push(Figure::new("round_trips_per_s", "1/s", rate));
    figures.extend(figures::busy(&cost));
    Ok(figures)
}

/// Keeps one question under way on each tunnel for `duration`, then waits for the last echoes.
fn round(
    load: &mut Load,
    tunnels: &[Tunnel],
    bytes: usize,
    duration: Duration,
) -> Result<Histogram<u64>, LoadError> {
    let mut latencies = figures::latencies();
    let mut ready = Vec::new();
    load.expect_movement();
    let deadline = Instant::now() + duration;
    let mut exchanges = Vec::with_capacity(tunnels.len());
    for tunnel in tunnels {
        exchanges.push(Some(ask(load, tunnel, bytes, Instant::now())?));
    }
    let mut open = tunnels.len();
    while open > 0 {
        load.turn(&mut ready, "waiting for echoes")?;
        for event in &ready {
            let tunnel = &tunnels[event.client];
            let Some(exchange) = &mut exchanges[event.client] else {
                // Nothing is owed: an end of the connection is the only thing that can come.
                if event.readiness.ended {
                    let doing = "resting between rounds";
                    return Err(LoadError::EarlyEnd { doing });
                }
                continue;
            };
            let echo = exchange.advance(&tunnel.socket, event.readiness, &mut load.scratch)?;
            let Some(latency) = echo else { continue };
            figures::record(&mut latencies, latency);
            let now = Instant::now();
            exchanges[event.client] = None;
            if now < deadline {
                exchanges[event.client] = Some(ask(load, tunnel, bytes, now)?);
            } else {
                open -= 1;
            }
        }
    }
    Ok(latencies)
}

/// Sends a question on `tunnel`.
pub(super) fn ask(
    load: &mut Load,
    tunnel: &Tunnel,
    bytes: usize,
    now: Instant,
) -> Result<Exchange, LoadError> {
    let mut exchange = Exchange::new(load.next_seed(), bytes, now);
    exchange.push(&tunnel.socket, &load.scratch)?;
    Ok(exchange)
}
