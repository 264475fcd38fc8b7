//! What one worker holds and has counted, at one moment.

use std::fmt;
use std::sync::Arc;

use crate::proxy::{Counters, PipeGauges, Proxy};
use crate::ring::RingCounters;
use crate::rt::RtGauges;

/// The numbers of one worker. Displays as `worker=0 core=0 connections=...`.
#[derive(Debug, Clone)]
pub struct WorkerSnapshot {
    /// Number of the worker.
    pub worker: usize,
    /// The CPU it is pinned to.
    pub core: usize,
    /// Client connections now, those in a tunnel included.
    pub connections: usize,
    /// Tasks, timers, operations and buffers now.
    pub gauges: RtGauges,
    /// SEND_ZC buffers whose notification is due.
    pub zero_copy_lingering: usize,
    /// Pipes now.
    pub pipes: PipeGauges,
    /// Connections to origins that wait for a request.
    pub upstreams_idle: usize,
    /// What the ring has counted.
    pub ring: RingCounters,
    /// What the proxy has counted.
    pub counters: Arc<Counters>,
}

impl WorkerSnapshot {
    pub(super) fn take(worker: usize, core: usize, connections: usize, proxy: &Proxy) -> Self {
        let gauges = proxy.rt.gauges();
        let ring = proxy.rt.ring();
        Self {
            worker,
            core,
            connections,
            gauges,
            zero_copy_lingering: ring.zero_copy_lingering(),
            pipes: proxy.pipes.gauges(),
            upstreams_idle: proxy.upstreams.idle(),
            ring: ring.counters(),
            counters: Arc::clone(&proxy.counters),
        }
    }
}

impl fmt::Display for WorkerSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RtGauges {
            tasks,
            timers,
            operations,
            buffers_free,
            leases,
        } = self.gauges;
        let PipeGauges { idle, lent } = self.pipes;
        write!(
            f,
            "worker={} core={} connections={} ops={operations} buffers_free={buffers_free} leases={leases} \
             pipes_idle={idle} pipes_in_use={lent} upstreams_idle={} tasks={tasks} timers={timers} zero_copy_lingering={}",
            self.worker, self.core, self.connections, self.upstreams_idle, self.zero_copy_lingering
        )?;
        let RingCounters {
            enters,
            completions,
            overflows,
            stale,
            no_buffers,
            pauses,
            cancel_retries,
        } = self.ring;
        write!(
            f,
            " enters={enters} completions={completions} cq_overflows={overflows} stale={stale} no_buffers={no_buffers} \
             pauses={pauses} cancel_retries={cancel_retries}"
        )?;
        self.counters
            .values()
            .iter()
            .try_for_each(|(name, value)| write!(f, " {name}={value}"))
    }
}
