//! Many connections that do nothing. What they cost is memory, and CPU if a proxy looks at them for no reason. Tunnels
//! are used once before they rest; WebSockets are woken once after that.

use std::time::Instant;

use crate::load::Load;
use crate::load::error::LoadError;
use crate::load::tunnel::Tunnel;
use crate::result::latency::{Latencies, Start};
use crate::result::model::Clock;
use crate::scenario::schedule::Schedule;
use crate::scenario::{Scene, Tally, WINDOW, open_tunnels, warm};

/// When each connection is used, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    BeforeRest,
    AfterRest,
}

/// The connections, once they have been opened.
#[derive(Debug)]
pub(super) struct Idle {
    connections: usize,
    used: Use,
    tunnels: Vec<Tunnel>,
}

impl Idle {
    pub(super) fn new(connections: usize, used: Use) -> Self {
        Self {
            connections,
            used,
            tunnels: Vec::new(),
        }
    }
}

impl Scene for Idle {
    fn open(&mut self, load: &mut Load) -> Result<Tally, LoadError> {
        let begun = Instant::now();
        self.tunnels = open_tunnels(load, self.connections)?;
        let opened = begun.elapsed();
        let mut tally = Tally::default();
        if self.used == Use::BeforeRest {
            tally = Tally::of(ping_each(load, &self.tunnels)?);
        }
        tally.totals.push(opened);
        Ok(tally)
    }

    fn round(&mut self, _: &mut Load, schedule: &mut Schedule) -> Result<Tally, LoadError> {
        if let Some(end) = schedule.end() {
            std::thread::sleep(end.saturating_duration_since(Instant::now()));
        }
        Ok(Tally::default())
    }

    fn wake(&mut self, load: &mut Load) -> Result<Tally, LoadError> {
        match self.used {
            Use::BeforeRest => Ok(Tally::default()),
            Use::AfterRest => Ok(Tally::of(ping_each(load, &self.tunnels)?)),
        }
    }

    fn close(&mut self, load: &mut Load) -> Result<(), LoadError> {
        self.tunnels.clear();
        load.finish()
    }
}

/// One round trip on each tunnel, a few at a time.
fn ping_each(load: &mut Load, tunnels: &[Tunnel]) -> Result<Latencies, LoadError> {
    let mut latencies = Latencies::new(Clock::Asked);
    let mut ready = Vec::new();
    let mut exchanges: Vec<_> = tunnels.iter().map(|_| None).collect();
    let mut waiting = 0..tunnels.len();
    let mut under_way = 0;
    load.expect_movement();
    loop {
        for client in waiting.by_ref().take(WINDOW - under_way) {
            let (clock, at) = (Clock::Asked, Instant::now());
            let exchange = warm::ask(load, client, &tunnels[client])?;
            exchanges[client] = Some((exchange, Start { clock, at }));
            under_way += 1;
        }
        if under_way == 0 {
            return Ok(latencies);
        }
        load.turn(&mut ready, "pinging tunnels")?;
        for event in &ready {
            let socket = &tunnels[event.client].socket;
            let Some((exchange, start)) = &mut exchanges[event.client] else {
                continue;
            };
            if exchange.advance(socket, event.readiness, &mut load.scratch)? {
                latencies.record(*start)?;
                exchanges[event.client] = None;
                under_way -= 1;
            }
        }
    }
}
