//! As many bytes as will go, in one of three shapes. A turn that has begun is finished, so that turns are counted whole.

use std::time::Instant;

use crate::load::error::LoadError;
use crate::load::flow::{ANNOUNCEMENT_BYTES, End, Flow, Shape, Step};
use crate::load::tunnel::Tunnel;
use crate::load::{Load, Ready, socket};
use crate::scenario::schedule::Schedule;
use crate::scenario::{Scene, Tally, open_tunnels};

/// Tunnels with a flow through each.
#[derive(Debug)]
pub(super) struct Bulk {
    shape: Shape,
    connections: usize,
    /// Payload of what counts as one operation.
    operation_bytes: u64,
    tunnels: Vec<(Tunnel, Flow)>,
}

impl Bulk {
    fn new(shape: Shape, connections: usize, operation_bytes: u64) -> Self {
        Self {
            shape,
            connections,
            operation_bytes,
            tunnels: Vec::new(),
        }
    }

    pub(super) fn turns(connections: usize, bytes: u64) -> Self {
        Self::new(Shape::Turns { bytes }, connections, 2 * bytes)
    }

    pub(super) fn one_way(connections: usize, bytes: u64) -> Self {
        Self::new(Shape::OneWay, connections, bytes)
    }

    pub(super) fn duplex(connections: usize, bytes: u64) -> Self {
        Self::new(Shape::Duplex, connections, 2 * bytes)
    }

    fn set_flowing(&mut self, load: &mut Load, flowing: bool) {
        if let Some(origin) = &mut load.origin {
            origin.set_flowing(flowing);
        }
        for (client, (_, flow)) in self.tunnels.iter_mut().enumerate() {
            flow.set_stopped(!flowing);
            load.again(client);
        }
    }

    fn step(&mut self, load: &mut Load, ready: &[Ready]) -> Result<(), LoadError> {
        for event in ready {
            let (tunnel, flow) = &mut self.tunnels[event.client];
            match flow.step(&tunnel.socket, event.readiness, &mut load.scratch)? {
                Step::Wait => {}
                Step::Again => load.again(event.client),
                Step::Ended => {
                    let doing = "moving in bulk";
                    return Err(LoadError::EarlyEnd { doing });
                }
            }
        }
        Ok(())
    }

    fn of_clients(&self, count: impl Fn(&Flow) -> u64) -> u64 {
        self.tunnels.iter().map(|(_, flow)| count(flow)).sum()
    }

    /// All bytes that have arrived. What an origin elsewhere received is what it has answered.
    fn received(&self, load: &Load) -> u64 {
        let at_origin = match &load.origin {
            Some(origin) => origin.bulk_bytes().0,
            None => self.of_clients(|flow| flow.received),
        };
        self.of_clients(|flow| flow.received) + at_origin
    }

    /// Nothing is on its way any more.
    fn is_at_rest(&self, load: &Load) -> bool {
        let all_answered = || {
            let mut flows = self.tunnels.iter();
            flows.all(|(_, flow)| flow.sent == flow.received && flow.sent == flow.send_limit())
        };
        match (self.shape, &load.origin) {
            (Shape::Turns { .. }, _) | (_, None) => all_answered(),
            (_, Some(origin)) => {
                let (received, sent) = origin.bulk_bytes();
                self.of_clients(|flow| flow.received) + received
                    == self.of_clients(|flow| flow.sent) + sent
            }
        }
    }
}

impl Scene for Bulk {
    fn open(&mut self, load: &mut Load) -> Result<Tally, LoadError> {
        let doing = "announcing a bulk tunnel";
        for tunnel in open_tunnels(load, self.connections)? {
            let flow = Flow::new(self.shape, End::Client, load.next_seed());
            let sent = socket::send(&tunnel.socket, &flow.announcement());
            if sent.map_err(LoadError::io(doing))? != Some(ANNOUNCEMENT_BYTES) {
                return Err(LoadError::EarlyEnd { doing });
            }
            self.tunnels.push((tunnel, flow));
        }
        Ok(Tally::default())
    }

    /// Moves bytes, then waits until all that were sent have arrived.
    fn round(&mut self, load: &mut Load, schedule: &mut Schedule) -> Result<Tally, LoadError> {
        let before = self.received(load);
        let most = schedule.most().saturating_mul(self.operation_bytes);
        if let Shape::Turns { bytes } = self.shape {
            let places = self.tunnels.len() as u64;
            for (place, (_, flow)) in self.tunnels.iter_mut().enumerate() {
                let turns =
                    schedule.most() / places + u64::from((place as u64) < schedule.most() % places);
                flow.allow(turns.saturating_mul(bytes));
            }
        }
        let end = schedule.end();
        load.expect_movement();
        self.set_flowing(load, true);
        let mut ready = Vec::new();
        while end.is_none_or(|end| Instant::now() < end) && self.received(load) - before < most {
            load.turn(&mut ready, "moving in bulk")?;
            self.step(load, &ready)?;
        }
        self.set_flowing(load, false);
        while !self.is_at_rest(load) {
            load.turn(&mut ready, "waiting for the last bytes in bulk")?;
            self.step(load, &ready)?;
        }
        let bytes = self.received(load) - before;
        Ok(Tally {
            bytes,
            operations: bytes / self.operation_bytes,
            ..Tally::default()
        })
    }

    fn close(&mut self, load: &mut Load) -> Result<(), LoadError> {
        self.tunnels.clear();
        load.finish()
    }
}
