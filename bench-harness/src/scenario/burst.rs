//! Many connections that are dialled at the same time; each is used once as soon as it stands, and all are held until
//! the last is done. Here a failure is a figure and not an error: how many get through is what a burst is about.

use std::io::ErrorKind;
use std::time::Instant;

use crate::load::Load;
use crate::load::error::LoadError;
use crate::result::latency::{Latencies, Start};
use crate::result::model::Clock;
use crate::scenario::fresh::{Slot, Use};
use crate::scenario::schedule::Schedule;
use crate::scenario::{Scene, Tally};

/// So many at once.
#[derive(Debug)]
pub(super) struct Burst {
    connections: usize,
}

/// One connection of a burst.
#[derive(Debug)]
struct Member {
    slot: Slot,
    dialled: Start,
    is_done: bool,
}

impl Burst {
    pub(super) fn new(connections: usize) -> Self {
        Self { connections }
    }

    /// One burst, up to the last FIN at the origin.
    fn once(&self, load: &mut Load, tally: &mut Tally) -> Result<(), LoadError> {
        let begun = Instant::now();
        let mut latencies = Latencies::new(Clock::Asked);
        let mut failure = None;
        let mut members = Vec::with_capacity(self.connections);
        load.expect_movement();
        for client in 0..self.connections {
            let (clock, at) = (Clock::Asked, Instant::now());
            members.push(Slot::dial(load, client).map(|slot| {
                Some(Member {
                    slot,
                    dialled: Start { clock, at },
                    is_done: false,
                })
            })?);
        }
        let mut left = self.connections;
        let mut ready = Vec::new();
        while left > 0 {
            match load.turn(&mut ready, "running a burst") {
                Err(error @ LoadError::Stalled { .. }) => {
                    failure = Some(error); // those that are left
                    break;
                }
                turned => turned?,
            }
            for event in &ready {
                let place = &mut members[event.client];
                let Some(member) = place.as_mut().filter(|member| !member.is_done) else {
                    continue;
                };
                let advanced =
                    member
                        .slot
                        .advance(load, event.client, event.readiness, Use::Question);
                match advanced {
                    Ok(false) => continue,
                    Ok(true) => {
                        member.is_done = true;
                        latencies.record(member.dialled)?;
                    }
                    Err(error) if is_failure(&error) => {
                        failure = Some(error);
                        *place = None;
                    }
                    Err(error) => return Err(error),
                }
                left -= 1;
            }
        }
        let done = latencies.histogram().len();
        if let (0, Some(error)) = (done, failure) {
            return Err(error); // nothing gets through: this is no figure any more
        }
        tally.totals.push(begun.elapsed());
        drop(members);
        load.finish()?;
        tally.operations += done;
        tally.failures += self.connections as u64 - done;
        match &mut tally.latencies {
            Some(all) => all.merge(&latencies)?,
            none => *none = Some(latencies),
        }
        Ok(())
    }
}

impl Scene for Burst {
    fn open(&mut self, _: &mut Load) -> Result<Tally, LoadError> {
        Ok(Tally::default())
    }

    /// One after the other, at least one.
    fn round(&mut self, load: &mut Load, schedule: &mut Schedule) -> Result<Tally, LoadError> {
        let mut tally = Tally::default();
        loop {
            self.once(load, &mut tally)?;
            let is_over = schedule.end().is_some_and(|end| Instant::now() >= end);
            if is_over || tally.operations + tally.failures >= schedule.most() {
                return Ok(tally);
            }
        }
    }

    fn close(&mut self, load: &mut Load) -> Result<(), LoadError> {
        load.finish()
    }
}

/// Whether a connection was not served, rather than served wrongly.
fn is_failure(error: &LoadError) -> bool {
    match error {
        LoadError::Refused { .. } | LoadError::EarlyEnd { .. } => true,
        LoadError::Io { source, .. } => matches!(
            source.kind(),
            ErrorKind::ConnectionRefused
                | ErrorKind::ConnectionReset
                | ErrorKind::BrokenPipe
                | ErrorKind::TimedOut
        ),
        _ => false,
    }
}
