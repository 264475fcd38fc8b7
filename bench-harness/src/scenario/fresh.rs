//! Connections that are opened, used once and closed, each taking the place of one before. In an open loop the
//! connections are planned: latency counts from when one should have been dialled.

use crate::load::error::LoadError;
use crate::load::exchange::Exchange;
use crate::load::tunnel::Tunnel;
use crate::load::{Load, Readiness};
use crate::scenario::drive::{Clients, drive};
use crate::scenario::schedule::Schedule;
use crate::scenario::{Scene, Tally, warm};

/// Places for connections.
#[derive(Debug)]
pub(super) struct Fresh {
    slots: Vec<Option<Slot>>,
    /// What a connection is for once it stands.
    used: Use,
}

/// What is done with a connection that stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// One question and its answer.
    Question,
    /// Nothing: its handshake was what it is about.
    Nothing,
}

/// A connection and how far it is.
#[derive(Debug)]
pub(super) struct Slot {
    tunnel: Tunnel,
    exchange: Option<Exchange>,
}

impl Fresh {
    pub(super) fn new(connections: usize, used: Use) -> Self {
        Self {
            slots: (0..connections).map(|_| None).collect(),
            used,
        }
    }
}

impl Scene for Fresh {
    fn open(&mut self, _: &mut Load) -> Result<Tally, LoadError> {
        Ok(Tally::default())
    }

    /// Up to the last FIN at the origin.
    fn round(&mut self, load: &mut Load, schedule: &mut Schedule) -> Result<Tally, LoadError> {
        let latencies = drive(load, self, schedule, "running connections")?;
        load.finish()?;
        Ok(Tally::of(latencies))
    }

    fn close(&mut self, load: &mut Load) -> Result<(), LoadError> {
        load.finish()
    }
}

impl Clients for Fresh {
    fn count(&self) -> usize {
        self.slots.len()
    }

    fn begin(&mut self, client: usize, load: &mut Load) -> Result<(), LoadError> {
        self.slots[client] = Some(Slot::dial(load, client)?);
        Ok(())
    }

    fn advance(
        &mut self,
        client: usize,
        readiness: Readiness,
        load: &mut Load,
    ) -> Result<bool, LoadError> {
        match &mut self.slots[client] {
            Some(slot) => slot.advance(load, client, readiness, self.used),
            None => Ok(false),
        }
    }

    /// Closed before the next is dialled.
    fn end(&mut self, client: usize) {
        self.slots[client] = None;
    }

    /// A late event of a connection that is closed.
    fn at_rest(&self, _: Readiness) -> Result<(), LoadError> {
        Ok(())
    }
}

impl Slot {
    pub(super) fn dial(load: &mut Load, client: usize) -> Result<Self, LoadError> {
        Ok(Self {
            tunnel: load.dial(client)?,
            exchange: None,
        })
    }

    /// Goes on after an event; true once it has been used.
    pub(super) fn advance(
        &mut self,
        load: &mut Load,
        client: usize,
        readiness: Readiness,
        used: Use,
    ) -> Result<bool, LoadError> {
        if let Some(exchange) = &mut self.exchange {
            return exchange.advance(&self.tunnel.socket, readiness, &mut load.scratch);
        }
        if !self.tunnel.establish(load, readiness)? {
            return Ok(false);
        }
        if used == Use::Nothing {
            return Ok(true);
        }
        self.exchange = Some(warm::ask(load, client, &self.tunnel)?);
        Ok(false)
    }
}
