//! What signals do to a running server. SIGTERM and SIGINT drain it, a second one ends it at once, SIGUSR1 logs a
//! snapshot of every worker. SIGPIPE stays ignored, as the standard library leaves it.

use std::thread;

use ringway_engine::server::{Server, WorkerFailed};
use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;

use crate::exit::{Failure, Reason};

/// Takes over the signals; those that arrive before [`run`] wait for it.
pub(crate) fn listen() -> Result<Signals, Failure> {
    Signals::new([SIGTERM, SIGINT, SIGUSR1]).map_err(|error| {
        let message = format!("cannot take over the signals: {error}");
        Failure::new(Reason::Failed, message)
    })
}

/// Obeys signals until every worker has ended, because of them or on its own.
pub(crate) fn run(server: &Server, mut signals: Signals) -> Result<(), Failure> {
    let no_more = signals.handle();
    let joined: Result<(), WorkerFailed> = thread::scope(|scope| {
        let joiner = scope.spawn(move || {
            let joined = server.join();
            no_more.close();
            joined
        });
        let mut draining = false;
        for signal in signals.forever() {
            match signal {
                SIGUSR1 => log_snapshot(server),
                _ if draining => {
                    tracing::info!("stopping at once");
                    server.stop();
                }
                _ => {
                    draining = true;
                    drain(server);
                }
            }
        }
        joiner.join().unwrap_or(Ok(())) // a panic has ended the program already: see `log`
    });
    joined?;
    tracing::info!("ended");
    Ok(())
}

fn drain(server: &Server) {
    let workers = server.snapshot();
    let connections: usize = workers.iter().map(|worker| worker.connections).sum();
    tracing::info!(connections, "draining");
    server.drain();
}

/// One line per worker, with all its counters and gauges.
fn log_snapshot(server: &Server) {
    for worker in server.snapshot() {
        tracing::info!("snapshot {worker}");
    }
}
