//! Operations one after the other on each of several clients, begun as the schedule says. In a closed loop the next is
//! begun as soon as one is over; in an open loop operations have their planned times, and one that finds no free client
//! waits on the clock.

use std::collections::VecDeque;
use std::time::Instant;

use crate::load::error::LoadError;
use crate::load::{Load, Readiness};
use crate::result::latency::{Latencies, Start};
use crate::scenario::schedule::Schedule;

/// What can be asked again and again.
pub(super) trait Clients {
    fn count(&self) -> usize;

    /// Begins an operation of a client that rests.
    fn begin(&mut self, client: usize, load: &mut Load) -> Result<(), LoadError>;

    /// Goes on after an event; true once the operation is over.
    fn advance(
        &mut self,
        client: usize,
        readiness: Readiness,
        load: &mut Load,
    ) -> Result<bool, LoadError>;

    /// Its latency has been taken: rests from now on.
    fn end(&mut self, client: usize);

    /// Something happened to a client that rests.
    fn at_rest(&self, readiness: Readiness) -> Result<(), LoadError>;
}

/// A round under way.
struct Round<'a, C> {
    clients: &'a mut C,
    starts: Vec<Option<Start>>,
    /// Clients at rest; who has rested longest is next.
    idle: VecDeque<usize>,
    schedule: &'a mut Schedule,
}

/// Begins all that `schedule` has, and waits for the last of it.
pub(super) fn drive<C: Clients>(
    load: &mut Load,
    clients: &mut C,
    schedule: &mut Schedule,
    doing: &'static str,
) -> Result<Latencies, LoadError> {
    let mut latencies = Latencies::new(schedule.clock());
    let mut ready = Vec::new();
    load.expect_movement();
    let count = clients.count();
    let mut round = Round {
        clients,
        starts: vec![None; count],
        idle: (0..count).collect(),
        schedule,
    };
    while round.begin_due(load)? {
        load.turn(&mut ready, doing)?;
        for event in &ready {
            let (client, readiness) = (event.client, event.readiness);
            let Some(start) = round.starts[client] else {
                round.clients.at_rest(readiness)?;
                continue;
            };
            if !round.clients.advance(client, readiness, load)? {
                continue;
            }
            latencies.record(start)?;
            round.clients.end(client);
            round.starts[client] = None;
            round.idle.push_back(client);
            round.begin_due(load)?;
        }
    }
    load.set_alarm(None);
    Ok(latencies)
}

impl<C: Clients> Round<'_, C> {
    /// Begins what is due, as far as there are clients for it; false once all has been begun and is over.
    fn begin_due(&mut self, load: &mut Load) -> Result<bool, LoadError> {
        loop {
            let now = Instant::now();
            let start = self.schedule.next(now);
            let Some(&client) = self.idle.front() else {
                load.set_alarm(None); // an answer has to come first
                return Ok(true);
            };
            match start {
                None => {
                    load.set_alarm(None);
                    return Ok(self.idle.len() < self.starts.len());
                }
                Some(start) if start.at > now => {
                    load.set_alarm(Some(start.at));
                    return Ok(true);
                }
                Some(start) => {
                    self.idle.pop_front();
                    self.starts[client] = Some(start);
                    self.clients.begin(client, load)?;
                    self.schedule.count();
                }
            }
        }
    }
}
