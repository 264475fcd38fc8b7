//! The engine's public face: a configuration in, a running proxy out. Owns the threads; nothing below it starts one.

#![forbid(unsafe_code)]

mod balance;
mod capability;
mod config;
mod placement;
mod snapshot;
mod start;
mod worker;

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use tracing::warn;

pub use capability::capabilities;
pub use config::{
    BusyPoll, Config, CongestionControl, ForwardedField, RelayTuning, Timeouts, ZeroCopy,
};
pub use placement::allowed_cores;
pub use snapshot::WorkerSnapshot;
pub use start::StartError;

pub use crate::ring::{CapabilityError, CapabilityReport, CapabilityRow, Feature, UnknownFeature};
use crate::rt::MailboxSender;
use worker::Command;

/// A running proxy.
pub struct Server {
    addresses: Vec<SocketAddr>,
    workers: Vec<MailboxSender<Command>>,
    /// How each worker ended, in that order.
    endings: Mutex<mpsc::Receiver<Result<(), String>>>,
}

/// A worker ended in an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerFailed(String);

impl fmt::Display for WorkerFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for WorkerFailed {}

/// How long a worker may take to answer a snapshot; a live one takes a turn.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(2);

impl Server {
    /// Binds the listeners and starts the workers; returns when all of them serve.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running then.
    pub fn start(config: Config) -> Result<Self, StartError> {
        start::start(config)
    }

    /// The addresses it listens on, with the ports that were chosen for port 0.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Stops accepting. Connections run on until they are done, or until the drain timeout cuts them off.
    pub fn drain(&self) {
        self.tell(|| Command::Drain);
    }

    /// Ends now: connections are cut off.
    pub fn stop(&self) {
        self.tell(|| Command::Stop);
    }

    /// A worker that has ended needs no telling.
    fn tell(&self, command: impl Fn() -> Command) {
        for worker in &self.workers {
            worker.send(command());
        }
    }

    /// The numbers of each worker that still runs and answers in time; the log says when one does not.
    #[must_use]
    pub fn snapshot(&self) -> Vec<WorkerSnapshot> {
        let (sender, receiver) = mpsc::channel();
        for worker in &self.workers {
            worker.send(Command::Snapshot(sender.clone()));
        }
        drop(sender);
        let mut snapshots = Vec::new();
        // Disconnected when each worker has answered or has ended.
        let ended = loop {
            match receiver.recv_timeout(SNAPSHOT_TIMEOUT) {
                Ok(snapshot) => snapshots.push(snapshot),
                Err(ended) => break ended,
            }
        };
        if ended == mpsc::RecvTimeoutError::Timeout {
            let (answered, workers) = (snapshots.len(), self.workers.len());
            warn!(answered, workers, "a worker does not answer");
        }
        snapshots.sort_by_key(|snapshot: &WorkerSnapshot| snapshot.worker);
        snapshots
    }

    /// Waits until every worker has ended; for one caller. When one fails, the others are stopped: a server without one
    /// of its workers would leave a share of its clients waiting.
    ///
    /// # Errors
    /// [`WorkerFailed`] with what the first failed one says.
    pub fn join(&self) -> Result<(), WorkerFailed> {
        let Ok(endings) = self.endings.lock() else {
            return Ok(());
        };
        let mut result = Ok(());
        // The channel closes when the last worker has ended.
        while let Ok(ending) = endings.recv() {
            if let (Err(text), Ok(())) = (ending, &result) {
                result = Err(WorkerFailed(text));
                self.stop();
            }
        }
        result
    }
}
