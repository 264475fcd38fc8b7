//! What an operator decides, typed and checked. Built by the program (`bin/`), never parsed here; nothing below
//! `server` reads a file, an environment variable or an argument.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::limits;
pub use crate::proxy::ForwardedField;
pub use crate::ring::sys::CongestionControl;

/// Everything that [`super::Server::start`] needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// Addresses to listen on; every worker listens on each of them (SO_REUSEPORT).
    pub listen: Vec<SocketAddr>,
    /// CPUs to pin one worker to each, in order; all of them inside the set this process is allowed.
    pub cores: Vec<usize>,
    /// Client connections held at once, over all workers; `None` takes what the file limit allows.
    pub max_connections: Option<u32>,
    /// Deadlines of a connection's phases.
    pub timeouts: Timeouts,
    /// How bulk bytes move.
    pub zero_copy: ZeroCopy,
    /// The TCP congestion control of every connection; `None` leaves the kernel's default, but takes reno over loopback
    /// where that one is a BBR.
    pub congestion_control: Option<CongestionControl>,
    /// Receive buffers of each worker.
    pub buffers: u16,
    /// Bytes of one receive buffer.
    pub buffer_size: u32,
    /// Completion queue entries of each worker's ring.
    pub ring_entries: u32,
    /// Whether a worker looks at its ring before it sleeps.
    pub busy_poll: BusyPoll,
    /// The name server to ask instead of those of `/etc/resolv.conf`.
    pub resolver: Option<SocketAddr>,
    /// What origins are told about the client's address.
    pub forwarded: ForwardedField,
    /// The frames of WebSockets outside of tunnels are looked at: rules, pings, counts.
    pub websocket_inspect: bool,
    /// Listening beyond loopback without any access rule is intended.
    pub open_proxy: bool,
    /// Kernel features to treat as missing, so that fallbacks and refusals can be seen on any kernel.
    pub force_off: Vec<crate::ring::Feature>,
    /// How a relay chooses between the ways that bytes go.
    pub relay: RelayTuning,
}

/// Deadlines of a connection's phases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// From the start of resolving to an established upstream connection.
    pub connect: Duration,
    /// From accept to the end of the request head.
    pub head: Duration,
    /// A tunnel without a byte in either direction.
    pub idle: Duration,
    /// A tunnel with one direction closed and no byte in the other.
    pub half_close: Duration,
    /// From an answer to the next request of the same client.
    pub keep_alive: Duration,
    /// A WebSocket without a byte in either direction.
    pub websocket_idle: Duration,
    /// From the start of a drain to the end of the tunnels that still run.
    pub drain: Duration,
}

/// How bulk bytes move (`--zero-copy`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ZeroCopy {
    /// Splice what is bulky; SEND_ZC for large sends on routes that are not local, while it pays.
    Auto,
    /// Splice what is bulky, copy the rest.
    Splice,
    /// SEND_ZC from the registered arena for every large send; no splice.
    SendZc,
    /// Copy everything.
    Off,
}

/// Whether a worker looks at its ring before it sleeps (`--busy-poll`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BusyPoll {
    /// Sleep at once.
    Off,
    /// Look for as long as looking has paid lately.
    Auto,
    /// Look for this long before each sleep.
    For(Duration),
}

/// How a relay chooses between the ways that bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelayTuning {
    /// Full buffers in a row that prove a direction bulky.
    pub promote_full_buffers: u32,
    /// Bytes under which a splice counts as small.
    pub demote_bytes: u32,
    /// Small splices in a row that end splicing.
    pub demote_small_splices: u32,
    /// Small sends go by send(2) at once while fewer tasks of a worker are at work.
    pub at_once_tasks: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from((
                Ipv4Addr::LOCALHOST,
                limits::LISTEN_PORT_DEFAULT,
            ))],
            cores: vec![0],
            max_connections: None,
            timeouts: Timeouts::default(),
            zero_copy: ZeroCopy::Auto,
            congestion_control: None,
            buffers: limits::BUFFERS_DEFAULT,
            buffer_size: limits::BUFFER_BYTES_DEFAULT,
            ring_entries: limits::RING_ENTRIES_DEFAULT,
            busy_poll: BusyPoll::Off,
            resolver: None,
            forwarded: ForwardedField::Off,
            websocket_inspect: false,
            open_proxy: false,
            force_off: Vec::new(),
            relay: RelayTuning::default(),
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: limits::CONNECT_TIMEOUT_DEFAULT,
            head: limits::HEAD_TIMEOUT_DEFAULT,
            idle: limits::IDLE_TIMEOUT_DEFAULT,
            half_close: limits::HALF_CLOSE_TIMEOUT_DEFAULT,
            keep_alive: limits::KEEP_ALIVE_TIMEOUT_DEFAULT,
            websocket_idle: limits::WEBSOCKET_IDLE_TIMEOUT_DEFAULT,
            drain: limits::DRAIN_TIMEOUT_DEFAULT,
        }
    }
}

impl Default for RelayTuning {
    fn default() -> Self {
        Self {
            promote_full_buffers: limits::PROMOTE_FULL_BUFFERS,
            demote_bytes: limits::DEMOTE_BYTES,
            demote_small_splices: limits::DEMOTE_SMALL_SPLICES,
            at_once_tasks: limits::SMALL_SENDS_AT_ONCE_TASKS,
        }
    }
}
