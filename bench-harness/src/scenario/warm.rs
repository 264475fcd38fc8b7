//! Standing connections, each with at most one question under way: echoes, GETs, WebSocket messages and pings.

use crate::load::error::LoadError;
use crate::load::exchange::Exchange;
use crate::load::tunnel::Tunnel;
use crate::load::{Load, Readiness};
use crate::scenario::drive::{Clients, drive};
use crate::scenario::schedule::Schedule;
use crate::scenario::{Scene, Tally, open_tunnels};

/// The connections, once they have been opened.
#[derive(Debug)]
pub(super) struct Warm {
    connections: usize,
    tunnels: Vec<Tunnel>,
    exchanges: Vec<Option<Exchange>>,
}

impl Warm {
    pub(super) fn new(connections: usize) -> Self {
        Self {
            connections,
            tunnels: Vec::new(),
            exchanges: Vec::new(),
        }
    }
}

impl Scene for Warm {
    fn open(&mut self, load: &mut Load) -> Result<Tally, LoadError> {
        self.tunnels = open_tunnels(load, self.connections)?;
        self.exchanges = self.tunnels.iter().map(|_| None).collect();
        Ok(Tally::default())
    }

    fn round(&mut self, load: &mut Load, schedule: &mut Schedule) -> Result<Tally, LoadError> {
        let accepted = load.accepted();
        let latencies = drive(load, self, schedule, "waiting for answers")?;
        Ok(Tally {
            origin_connections: load.accepted() - accepted,
            ..Tally::of(latencies)
        })
    }

    fn close(&mut self, load: &mut Load) -> Result<(), LoadError> {
        self.tunnels.clear();
        load.finish()
    }
}

impl Clients for Warm {
    fn count(&self) -> usize {
        self.tunnels.len()
    }

    fn begin(&mut self, client: usize, load: &mut Load) -> Result<(), LoadError> {
        self.exchanges[client] = Some(ask(load, client, &self.tunnels[client])?);
        Ok(())
    }

    fn advance(
        &mut self,
        client: usize,
        readiness: Readiness,
        load: &mut Load,
    ) -> Result<bool, LoadError> {
        match &mut self.exchanges[client] {
            Some(exchange) => {
                exchange.advance(&self.tunnels[client].socket, readiness, &mut load.scratch)
            }
            None => Ok(false),
        }
    }

    fn end(&mut self, client: usize) {
        self.exchanges[client] = None;
    }

    /// Nothing is owed: an end of the connection is the only thing that can come.
    fn at_rest(&self, readiness: Readiness) -> Result<(), LoadError> {
        match readiness.ended {
            true => Err(LoadError::EarlyEnd {
                doing: "resting between questions",
            }),
            false => Ok(()),
        }
    }
}

/// Sends the next question of `client`.
pub(super) fn ask(load: &mut Load, client: usize, tunnel: &Tunnel) -> Result<Exchange, LoadError> {
    let mut exchange = Exchange::new(load.question(client));
    exchange.push(&tunnel.socket, &load.scratch)?;
    Ok(exchange)
}
