//! WebSocket messages in one direction, from the origin to the clients, each sent with a call of its own. A closed loop
//! sends as the sockets take them, and has no latency: it would be the depth of the buffers. In an open loop message
//! follows message over all WebSockets by turns, and latency counts from the planned time of each.

use std::collections::VecDeque;
use std::time::Instant;

use crate::load::error::LoadError;
use crate::load::origin::Origin;
use crate::load::source::Sink;
use crate::load::tunnel::Tunnel;
use crate::load::{Load, Ready};
use crate::result::latency::{Latencies, Start};
use crate::result::model::Clock;
use crate::scenario::schedule::Schedule;
use crate::scenario::{Scene, Tally, open_tunnels};

/// The WebSockets, once they have been opened.
#[derive(Debug)]
pub(super) struct Stream {
    connections: usize,
    bytes: usize,
    sinks: Vec<(Tunnel, Sink)>,
    /// Planned messages that have not arrived, by WebSocket.
    planned: Vec<VecDeque<Start>>,
    latencies: Option<Latencies>,
}

impl Stream {
    pub(super) fn new(connections: usize, bytes: usize) -> Self {
        Self {
            connections,
            bytes,
            sinks: Vec::new(),
            planned: Vec::new(),
            latencies: None,
        }
    }

    fn received(&self) -> u64 {
        self.sinks.iter().map(|(_, sink)| sink.messages()).sum()
    }

    /// Takes what has come.
    fn step(&mut self, load: &mut Load, ready: &[Ready]) -> Result<(), LoadError> {
        for event in ready {
            let (tunnel, sink) = &mut self.sinks[event.client];
            let came = sink.advance(&tunnel.socket, event.readiness, &mut load.scratch)?;
            let Some(latencies) = &mut self.latencies else {
                continue;
            };
            let planned = &mut self.planned[event.client];
            for start in planned.drain(..came.min(planned.len())) {
                latencies.record(start)?;
            }
        }
        Ok(())
    }

    /// As much as the sockets take, until the schedule is over.
    fn flow(&mut self, load: &mut Load, schedule: &Schedule) -> Result<(), LoadError> {
        let before = self.received();
        let mut ready = Vec::new();
        source(load)?.set_streaming(true);
        while schedule.end().is_none_or(|end| Instant::now() < end)
            && self.received() - before < schedule.most()
        {
            load.turn(&mut ready, "streaming messages")?;
            self.step(load, &ready)?;
        }
        source(load)?.set_streaming(false);
        while self.received() < source(load)?.messages_due() {
            load.turn(&mut ready, "waiting for the last messages")?;
            self.step(load, &ready)?;
        }
        Ok(())
    }

    /// Each message at its planned time.
    fn keep_to(&mut self, load: &mut Load, schedule: &mut Schedule) -> Result<(), LoadError> {
        let mut ready = Vec::new();
        let mut turn = 0;
        loop {
            let now = Instant::now();
            let next = schedule.next(now);
            match next {
                Some(start) if start.at <= now => {
                    let client = turn % self.sinks.len();
                    turn += 1;
                    self.planned[client].push_back(start);
                    source(load)?.allow(client as u64, 1);
                    schedule.count();
                    continue;
                }
                Some(start) => load.set_alarm(Some(start.at)),
                None => load.set_alarm(None),
            }
            if next.is_none() && self.planned.iter().all(VecDeque::is_empty) {
                return Ok(());
            }
            load.turn(&mut ready, "streaming messages")?;
            self.step(load, &ready)?;
        }
    }
}

impl Scene for Stream {
    fn open(&mut self, load: &mut Load) -> Result<Tally, LoadError> {
        for (client, tunnel) in open_tunnels(load, self.connections)?
            .into_iter()
            .enumerate()
        {
            let sink = Sink::announce(&tunnel.socket, client as u64, self.bytes, load)?;
            self.sinks.push((tunnel, sink));
        }
        self.planned = self.sinks.iter().map(|_| VecDeque::new()).collect();
        let mut ready = Vec::new();
        while source(load)?.streams() < self.connections {
            load.turn(&mut ready, "announcing streams")?;
        }
        Ok(Tally::default())
    }

    fn round(&mut self, load: &mut Load, schedule: &mut Schedule) -> Result<Tally, LoadError> {
        let before = self.received();
        load.expect_movement();
        match schedule.clock() {
            Clock::Asked => self.flow(load, schedule)?,
            Clock::Planned => {
                self.latencies = Some(Latencies::new(Clock::Planned));
                self.keep_to(load, schedule)?;
            }
        }
        let operations = self.received() - before;
        Ok(Tally {
            operations,
            bytes: operations * self.bytes as u64,
            latencies: self.latencies.take(),
            ..Tally::default()
        })
    }

    fn close(&mut self, load: &mut Load) -> Result<(), LoadError> {
        self.sinks.clear();
        load.finish()
    }
}

/// The origin's end of the streams, which is moved from here.
fn source(load: &mut Load) -> Result<&mut Origin, LoadError> {
    load.origin.as_mut().ok_or(LoadError::ElsewhereOrigin)
}
