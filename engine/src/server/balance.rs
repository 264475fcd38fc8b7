//! Which worker gets a new connection. SO_REUSEPORT spreads by hash, which is uneven with few, long connections; a
//! worker that holds clearly more than its share gives a new one away before any operation is armed on it.

use std::sync::Arc;

use crate::limits;
use crate::ring::Port;
use crate::rt::Inside;

/// The load of every worker, as each of them can read it.
#[derive(Debug, Clone)]
pub(super) struct Balance {
    /// This worker.
    pub(super) own: usize,
    pub(super) loads: Arc<[Arc<Inside>]>,
    /// Where the workers take sockets; empty when the kernel has no messages between rings.
    pub(super) ports: Arc<[Arc<Port>]>,
    pub(super) connections_max: usize,
}

impl Balance {
    /// Whether one more connection is one too many.
    pub(super) fn full(&self) -> bool {
        self.total() >= self.connections_max
    }

    fn total(&self) -> usize {
        self.loads.iter().map(|load| load.count()).sum()
    }

    /// The worker that shall have a new connection instead of this one.
    pub(super) fn better_port(&self) -> Option<&Arc<Port>> {
        let own = self.loads.get(self.own)?.count();
        if self.ports.len() < 2 || own < limits::IMBALANCE_CONNECTIONS {
            return None;
        }
        let workers = self.loads.len();
        // own > 1.25 * mean + IMBALANCE_CONNECTIONS, without a division.
        if 4 * workers * own <= 5 * self.total() + 4 * workers * limits::IMBALANCE_CONNECTIONS {
            return None;
        }
        let (least, load) = self
            .loads
            .iter()
            .enumerate()
            .min_by_key(|(_, load)| load.count())?;
        (least != self.own && load.count() < own).then(|| self.ports.get(least))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::{Capabilities, Ring, RingConfig, capabilities};
    use crate::rt::{Gate, Rt, SpinPolicy};

    fn capabilities_here() -> Capabilities {
        capabilities(&[]).capabilities
    }

    #[test]
    fn only_a_clear_excess_is_given_away() {
        let config = RingConfig {
            completion_entries: 8,
            buffers: 1,
            buffer_bytes: 512,
            capabilities: capabilities_here(),
        };
        let rt = Rt::new(Ring::new(&config).expect("a ring"), SpinPolicy::Off);
        let loads: Arc<[Arc<Inside>]> = (0..4).map(|_| Arc::new(Inside::default())).collect();
        let gates: Vec<Gate> = loads
            .iter()
            .map(|load| Gate::new(&rt, Arc::clone(load)))
            .collect();
        let ports: Arc<[Arc<Port>]> = (10..14).map(Port::new).collect();
        let balance = Balance {
            own: 0,
            loads: Arc::clone(&loads),
            ports: Arc::clone(&ports),
            connections_max: 30,
        };
        let mut passes = Vec::new();
        assert!(balance.better_port().is_none());
        for _ in 0..11 {
            passes.push(gates[0].enter());
        }
        assert!(
            balance.better_port().is_none(),
            "11 against a mean of 2.75 is within the allowance of 8"
        );
        passes.push(gates[0].enter());
        passes.push(gates[0].enter());
        passes.push(gates[1].enter());
        let better = balance.better_port().expect("somebody has less to do");
        assert!(
            Arc::ptr_eq(better, &ports[2]),
            "13 against 3.5: the first of the empty ones"
        );
        assert!(!balance.full());
        for _ in 0..16 {
            passes.push(gates[3].enter());
        }
        assert!(balance.full());
    }
}
