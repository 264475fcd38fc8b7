//! W1: connections that are opened, used once and closed, each taking the place of the one before.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::figures::{self, Figure};
use crate::load::error::LoadError;
use crate::load::exchange::Exchange;
use crate::load::origin::Service;
use crate::load::tunnel::Tunnel;
use crate::load::{Load, Readiness, Target};
use crate::process::{self, Process};
use crate::workload::{Case, Timing};

/// A connection and where it stands.
#[derive(Debug)]
struct Slot {
    client: usize,
    tunnel: Tunnel,
    exchange: Option<Exchange>,
    dialled: Instant,
}

pub(super) fn run(
    case: Case,
    target: Target,
    timing: Timing,
    process: Option<&Process>,
) -> Result<Vec<Figure>, LoadError> {
    let mut load = Load::new(target, Service::Echo, case.bytes)?;
    round(&mut load, case.connections, timing.warm_up)?;
    let work = || round(&mut load, case.connections, timing.duration);
    let (latencies, cost) = process::timed(process, work)?;
    let count = latencies.len();
    let rate = count as f64 / cost.wall.as_secs_f64();
    let mut figures = Vec::new();
    figures.extend(figures::cpu_us_per("connection", count, &cost).map(Figure::main));
    figures.extend(figures::percentiles(&latencies));
    figures.push(Figure::new("connections_per_s", "1/s", rate));
    figures.extend(figures::busy(&cost));
    Ok(figures)
}

/// Keeps `connections` going for `duration`, then lets them all end, up to the last FIN at the origin.
fn round(
    load: &mut Load,
    connections: usize,
    duration: Duration,
) -> Result<Histogram<u64>, LoadError> {
    let mut latencies = figures::latencies();
    let mut ready = Vec::new();
    load.expect_movement();
    let deadline = Instant::now() + duration;
    let mut slots = (0..connections)
        .map(|client| Slot::dial(load, client).map(Some))
        .collect::<Result<Vec<_>, _>>()?;
    let mut open = connections;
    while open > 0 {
        load.turn(&mut ready, "running connections")?;
        for event in &ready {
            let Some(slot) = &mut slots[event.client] else {
                continue;
            };
            let Some(latency) = slot.advance(load, event.readiness)? else {
                continue;
            };
            figures::record(&mut latencies, latency);
            slots[event.client] = None; // closed before the next is dialled
            if Instant::now() < deadline {
                slots[event.client] = Some(Slot::dial(load, event.client)?);
            } else {
                open -= 1;
            }
        }
    }
    load.finish()?;
    Ok(latencies)
}

impl Slot {
    fn dial(load: &mut Load, client: usize) -> Result<Self, LoadError> {
        let dialled = Instant::now();
        let tunnel = load.dial(client)?;
        Ok(Self {
            client,
            tunnel,
            exchange: None,
            dialled,
        })
    }

    /// Goes on after an event; the latency, from the dialling on, once the echo is whole.
    fn advance(
        &mut self,
        load: &mut Load,
        readiness: Readiness,
    ) -> Result<Option<Duration>, LoadError> {
        if let Some(exchange) = &mut self.exchange {
            return exchange.advance(&self.tunnel.socket, readiness, &mut load.scratch);
        }
        if self.tunnel.establish(load, readiness)? {
            let mut exchange = Exchange::new(load.question(self.client), self.dialled);
            exchange.push(&self.tunnel.socket, &load.scratch)?;
            self.exchange = Some(exchange);
        }
        Ok(None)
    }
}
