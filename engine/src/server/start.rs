//! From a configuration to running workers.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, mpsc};

use tracing::warn;

use super::Server;
use super::capability::capabilities;
use super::config::{Config, ZeroCopy};
use super::worker::{self, Command, Seat, Started};
use crate::limits;
use crate::net::CongestionPolicy;
use crate::proxy::Board;
use crate::ring::sys::{self, CongestionControl};
use crate::ring::{CapabilityError, Feature};
use crate::rt::{Inside, MailboxReceiver, mailbox};

/// Why nothing was started.
#[derive(Debug)]
pub enum StartError {
    /// The configuration cannot be meant: what is wrong, and the mend.
    Refused(String),
    /// This kernel or sandbox cannot run the engine.
    Unsupported(CapabilityError),
    /// An address cannot be listened on.
    Address {
        /// Which.
        address: SocketAddr,
        /// Why not.
        error: io::Error,
    },
    /// Anything else.
    Failed(String),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(text) | Self::Failed(text) => f.write_str(text),
            Self::Unsupported(error) => write!(f, "{error}"),
            Self::Address { address, error } => write!(f, "cannot listen on {address}: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

pub(super) fn start(config: Config) -> Result<Server, StartError> {
    validate(&config)?;
    let descriptors = sys::raise_file_limit()
        .map_err(|error| StartError::Failed(format!("RLIMIT_NOFILE: {error}")))?;
    let report = capabilities(&config.force_off);
    if let Some(refusal) = report.refusal {
        return Err(StartError::Unsupported(refusal));
    }
    if config.zero_copy == ZeroCopy::SendZc && !report.capabilities.has(Feature::SendZc) {
        return Err(StartError::Refused(
            "this kernel has no send-zc (see 'ringway check'); use --zero-copy auto".to_owned(),
        ));
    }
    let connections_max = connections_max(&config, descriptors);
    let congestion = congestion_policy(config.congestion_control)?;
    let (addresses, sockets) = bind(&config, &congestion)?;
    let (ending, endings) = mpsc::channel();
    let (started, starting) = mpsc::channel();
    let config = Arc::new(config);
    let loads: Arc<[_]> = config
        .cores
        .iter()
        .map(|_| Arc::new(Inside::default()))
        .collect();
    let board = Board::new(config.cores.len());
    let mut workers = Vec::new();
    for ((number, &core), listeners) in config.cores.iter().enumerate().zip(sockets) {
        let (commands, mailbox) =
            mailbox().map_err(|error| StartError::Failed(format!("eventfd: {error}")))?;
        let seat = Seat {
            worker: number,
            core,
            config: Arc::clone(&config),
            capabilities: report.capabilities,
            addresses: addresses.clone(),
            listeners,
            loads: Arc::clone(&loads),
            board: Arc::clone(&board),
            connections_max,
            congestion,
            started: started.clone(),
        };
        spawn(seat, mailbox, Ending(Some(ending.clone())))?;
        workers.push(commands);
    }
    drop((started, ending));
    let server = Server {
        addresses,
        workers,
        endings: Mutex::new(endings),
    };
    if let Err(error) = introduce(&server, &starting) {
        server.stop();
        let _ = server.join();
        return Err(error);
    }
    Ok(server)
}

fn spawn(seat: Seat, mailbox: MailboxReceiver<Command>, ending: Ending) -> Result<(), StartError> {
    let thread = std::thread::Builder::new().name(format!("ringway-{}", seat.worker));
    let spawned = thread.spawn(move || ending.is(worker::run(seat, mailbox)));
    spawned
        .map(drop)
        .map_err(|error| StartError::Failed(format!("cannot start a thread: {error}")))
}

/// Says how a worker ended, also when it panicked.
struct Ending(Option<mpsc::Sender<Result<(), String>>>);

impl Ending {
    fn is(mut self, ended: Result<(), String>) {
        if let Some(sender) = self.0.take() {
            let _ = sender.send(ended);
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(sender) = self.0.take() {
            let _ = sender.send(Err("a worker panicked".to_owned()));
        }
    }
}

/// Waits until each worker has its ring, tells each the rings of the others, and waits until all of them serve.
fn introduce(
    server: &Server,
    starting: &mpsc::Receiver<Result<Started, String>>,
) -> Result<(), StartError> {
    let next = || {
        let ended = || Err("a worker ended before it had started".to_owned());
        starting
            .recv()
            .unwrap_or_else(|_| ended())
            .map_err(StartError::Failed)
    };
    let mut ports = BTreeMap::new();
    for _ in 0..server.workers.len() {
        if let Started::Ring { worker, port } = next()? {
            ports.insert(worker, port);
        }
    }
    let ports: Arc<[_]> = ports.into_values().collect();
    for worker in &server.workers {
        worker.send(Command::Serve(Arc::clone(&ports)));
    }
    server.workers.iter().try_for_each(|_| next().map(drop))
}

fn validate(config: &Config) -> Result<(), StartError> {
    let refused = |text: &str| Err(StartError::Refused(text.to_owned()));
    if config.listen.is_empty() {
        return refused("there is no address to listen on; give --listen");
    }
    if config.cores.is_empty() {
        return refused("there is no core to run on; give --cores");
    }
    if !config.buffers.is_power_of_two() || !config.ring_entries.is_power_of_two() {
        return refused("--buffers and --ring-entries are powers of two");
    }
    let open = config
        .listen
        .iter()
        .find(|address| !address.ip().is_loopback());
    if let Some(address) = open.filter(|_| !config.open_proxy) {
        return Err(StartError::Refused(format!(
            "listening on {address}, beyond loopback, would let anybody who reaches it use this proxy\n\
             mend: listen on loopback, or say --open-proxy if the network in front of it decides who may"
        )));
    }
    Ok(())
}

/// Each connection may need a descriptor at either end.
fn connections_max(config: &Config, descriptors: u64) -> usize {
    let workers = config.cores.len() as u64;
    let per_worker = (2 * limits::PIPES_MAX + limits::UPSTREAM_IDLE_MAX) as u64 + 16;
    let reserved = (limits::DESCRIPTORS_RESERVED + workers * per_worker).min(descriptors / 2);
    let fit = (descriptors - reserved) / 2;
    if let Some(asked) = config.max_connections {
        if u64::from(asked) > fit {
            warn!(
                asked,
                descriptors,
                fit,
                "--max-connections is more than the file limit allows; raise LimitNOFILE"
            );
        }
        return asked as usize;
    }
    usize::try_from(fit.max(1)).unwrap_or(usize::MAX)
}

fn congestion_policy(asked: Option<CongestionControl>) -> Result<CongestionPolicy, StartError> {
    let Some(control) = asked else {
        // Whoever cannot have it goes on with the kernel's default everywhere.
        return Ok(CongestionPolicy::of_kernel().unwrap_or_default());
    };
    CongestionPolicy::everywhere(control).map_err(|error| {
        StartError::Refused(match error.raw_os_error() {
            Some(libc::ENOENT) => format!(
                "--congestion-control '{control}': this kernel has {}; give one of these, or load its module \
                 ('modprobe tcp_{control}')",
                congestion_controls("available")
            ),
            Some(libc::EPERM) => format!(
                "--congestion-control '{control}': this process may choose {}; give one of these, or add it to \
                 net.ipv4.tcp_allowed_congestion_control",
                congestion_controls("allowed")
            ),
            _ => format!("--congestion-control '{control}': {error}"),
        })
    })
}

/// Those that are "available" or "allowed", for a person.
fn congestion_controls(which: &str) -> String {
    let path = format!("/proc/sys/net/ipv4/tcp_{which}_congestion_control");
    let names = fs::read_to_string(path);
    names.map_or_else(
        |_| "others".to_owned(),
        |names| names.trim().replace(' ', ", "),
    )
}

type Sockets = Vec<Vec<OwnedFd>>;

/// Binds every address once for each worker. The first bind does not share: it proves that no other process has the
/// address, which SO_REUSEPORT would hide.
fn bind(
    config: &Config,
    congestion: &CongestionPolicy,
) -> Result<(Vec<SocketAddr>, Sockets), StartError> {
    let mut addresses = Vec::new();
    let mut sockets: Sockets = config.cores.iter().map(|_| Vec::new()).collect();
    for &address in &config.listen {
        let failed = |error| StartError::Address { address, error };
        let listener = |address: SocketAddr, share| {
            let congestion = congestion.towards(address.ip());
            let (backlog, timeout) = (limits::LISTEN_BACKLOG, config.timeouts.idle);
            sys::bind_listener(address, backlog, share, timeout, congestion).map_err(failed)
        };
        let alone = listener(address, false)?;
        let address = sys::local_address(alone.as_fd()).map_err(failed)?;
        drop(alone);
        for listeners in &mut sockets {
            listeners.push(listener(address, true)?);
        }
        addresses.push(address);
    }
    Ok((addresses, sockets))
}
