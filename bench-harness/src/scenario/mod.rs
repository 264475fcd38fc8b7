//! The scenarios: what the clients of one load thread do in a round, and what they count. Every round starts and ends
//! at rest, so that the CPU read before and after it is the CPU of exactly the work that was counted.

mod bulk;
mod burst;
mod drive;
mod fresh;
mod idle;
pub(crate) mod schedule;
mod stream;
mod warm;

use std::time::Duration;

use crate::load::error::LoadError;
use crate::load::tunnel::Tunnel;
use crate::load::{Load, Ready};
use crate::plan::{Plan, Scenario};
use crate::result::latency::{Latencies, MixedClocks};
use crate::scenario::schedule::{Schedule, Share};

/// Tunnels that are being opened, or pinged, at the same time.
const WINDOW: usize = 64;

/// What the clients of a load thread do.
pub(crate) trait Scene {
    /// Opens what stands during the rounds.
    fn open(&mut self, load: &mut Load) -> Result<Tally, LoadError>;

    /// Carries out one schedule.
    fn round(&mut self, load: &mut Load, schedule: &mut Schedule) -> Result<Tally, LoadError>;

    /// Uses what has rested.
    fn wake(&mut self, _: &mut Load) -> Result<Tally, LoadError> {
        Ok(Tally::default())
    }

    /// Closes everything.
    fn close(&mut self, load: &mut Load) -> Result<(), LoadError>;
}

/// What was counted; of several threads, added up.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) operations: u64,
    pub(crate) failures: u64,
    /// Payload of bulk, each byte once, whichever way it went.
    pub(crate) bytes: u64,
    pub(crate) latencies: Option<Latencies>,
    /// Connections that the origin was given.
    pub(crate) origin_connections: u64,
    /// Times of what is measured as a whole: each burst, the opening of all tunnels.
    pub(crate) totals: Vec<Duration>,
    /// From the begin to the last answer; of several threads, the longest.
    pub(crate) wall: Duration,
    /// What an open loop had planned for its operations.
    pub(crate) span: Option<Duration>,
    /// CPU of the load, and the time it waited for its core; of several threads, the most.
    pub(crate) load_cpu: Duration,
    pub(crate) load_waited: Duration,
}

impl Tally {
    /// Of operations with a latency each.
    fn of(latencies: Latencies) -> Self {
        Self {
            operations: latencies.histogram().len(),
            latencies: Some(latencies),
            ..Self::default()
        }
    }

    /// Takes in what another thread has counted in the same round.
    pub(crate) fn merge(&mut self, other: Self) -> Result<(), MixedClocks> {
        self.operations += other.operations;
        self.failures += other.failures;
        self.bytes += other.bytes;
        self.origin_connections += other.origin_connections;
        self.totals.extend(other.totals);
        self.wall = self.wall.max(other.wall);
        self.span = self.span.max(other.span);
        self.load_cpu = self.load_cpu.max(other.load_cpu);
        self.load_waited = self.load_waited.max(other.load_waited);
        match (&mut self.latencies, other.latencies) {
            (Some(own), Some(others)) => own.merge(&others)?,
            (own @ None, others) => *own = others,
            (Some(_), None) => {}
        }
        Ok(())
    }

    /// Operations for each second of the round.
    pub(crate) fn per_second(&self) -> f64 {
        self.operations as f64 / self.wall.as_secs_f64()
    }

    /// The planned and the achieved rate of an open loop that fell behind its plan.
    pub(crate) fn late(&self) -> Option<(f64, f64)> {
        /// Least share of its planned rate that an open loop has to achieve.
        const RATE_SHARE_MIN: f64 = 0.99;
        let planned = self.operations as f64 / self.span?.as_secs_f64();
        let achieved = self.per_second();
        (achieved < planned * RATE_SHARE_MIN).then_some((planned, achieved))
    }
}

/// What `plan` is for the thread with this share of it.
pub(crate) fn scene(plan: &Plan, share: Share) -> Box<dyn Scene> {
    let connections = share.part(plan.connections as u64) as usize;
    let bytes = plan.payload as u64;
    match plan.scenario {
        Scenario::Fresh => Box::new(fresh::Fresh::new(connections, fresh::Use::Question)),
        Scenario::WebSocketUpgrade => Box::new(fresh::Fresh::new(connections, fresh::Use::Nothing)),
        Scenario::Burst => Box::new(burst::Burst::new(connections)),
        Scenario::Echo | Scenario::Get | Scenario::WebSocketEcho | Scenario::WebSocketPing => {
            Box::new(warm::Warm::new(connections))
        }
        Scenario::WebSocketStream => Box::new(stream::Stream::new(connections, plan.payload)),
        Scenario::BulkTurns => Box::new(bulk::Bulk::turns(connections, bytes)),
        Scenario::BulkOneWay => Box::new(bulk::Bulk::one_way(connections, bytes)),
        Scenario::BulkDuplex => Box::new(bulk::Bulk::duplex(connections, bytes)),
        Scenario::IdleTunnels => Box::new(idle::Idle::new(connections, idle::Use::BeforeRest)),
        Scenario::IdleWebSockets => Box::new(idle::Idle::new(connections, idle::Use::AfterRest)),
    }
}

/// Opens `count` tunnels, a few at a time.
fn open_tunnels(load: &mut Load, count: usize) -> Result<Vec<Tunnel>, LoadError> {
    let mut tunnels = Vec::with_capacity(count);
    let mut ready: Vec<Ready> = Vec::new();
    let mut open = 0;
    load.expect_movement();
    while open < count {
        while tunnels.len() < count && tunnels.len() - open < WINDOW {
            tunnels.push(load.dial(tunnels.len())?);
        }
        load.turn(&mut ready, "opening tunnels")?;
        for event in &ready {
            let tunnel = &mut tunnels[event.client];
            if !tunnel.is_open() && tunnel.establish(load, event.readiness)? {
                open += 1;
            }
        }
    }
    Ok(tunnels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tallies_of_threads_add_up_and_the_slowest_says_how_long() {
        let part = |operations, seconds| Tally {
            operations,
            wall: Duration::from_secs(seconds),
            span: Some(Duration::from_secs(10)),
            ..Tally::default()
        };
        let mut all = Tally::default();
        all.merge(part(100, 10)).unwrap();
        assert_eq!(all.late(), None);
        all.merge(part(100, 20)).unwrap();
        assert_eq!((all.operations, all.wall.as_secs()), (200, 20));
        assert_eq!(all.late(), Some((20.0, 10.0)));
    }
}
