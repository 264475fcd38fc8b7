//! Small relays to compare with: what a path through the kernel costs with nothing around it. `splice` is a plain TCP
//! relay for one fixed target; the others are CONNECT proxies, with GET and WebSocket handshakes in absolute-form, on
//! plain epoll and on the two well-known io_uring runtimes. Each is one thread and relays every byte, FIN as FIN and a
//! broken connection as a reset, in bounded memory; none has a policy, names, timeouts, logs or counters.

mod connect_head;
mod epoll;
mod monoio;
mod poller;
mod ring;
mod session;
mod splice;
mod tokio_uring;

use std::convert::Infallible;
use std::io::{self, ErrorKind, Write, stderr};
use std::net::{SocketAddr, TcpListener};
use std::str::FromStr;
use std::time::Duration;

use nix::errno::Errno;

use crate::load::{Mode, socket};

/// Most bytes of one read of the CONNECT relays. Measured: 48 KiB takes the least CPU in bulk on all three, 64 KiB up to
/// twice as much, since queues then grow out of the cache; small messages do not care.
const BUFFER_BYTES: usize = 48 * 1024;

/// What a relay is built on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Splice,
    Epoll,
    Monoio,
    TokioUring,
}

/// What a relay is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Job {
    /// Every connection goes to `target`.
    Splice {
        target: SocketAddr,
        pipe_bytes: usize,
    },
    /// Every connection says where it wants to go.
    Epoll,
    Monoio,
    TokioUring,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Splice, Self::Epoll, Self::Monoio, Self::TokioUring];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Splice => "splice",
            Self::Epoll => "epoll",
            Self::Monoio => "monoio",
            Self::TokioUring => "tokio-uring",
        }
    }

    /// How it moves bytes.
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::Splice => "epoll and splice(2)",
            Self::Epoll => "epoll, recv and send, one buffer of 48 KiB for all connections",
            Self::Monoio => "monoio 0.2 on io_uring, recv and send, 48 KiB for each direction",
            Self::TokioUring => {
                "tokio-uring 0.5 on io_uring, read and write, 48 KiB for each direction"
            }
        }
    }

    /// Why no workload can speak to it in this way, if none can; otherwise it can do all.
    pub(crate) fn can(self, mode: Mode) -> Result<(), &'static str> {
        match (self, mode) {
            (Self::Splice, Mode::Connect | Mode::Forward) => {
                Err("this relay reads no requests: it has one fixed target")
            }
            (Self::Epoll | Self::Monoio | Self::TokioUring, Mode::Tcp) => {
                Err("this relay has no fixed target: it has to be asked")
            }
            _ => Ok(()),
        }
    }

    /// What it leaves out that a proxy has, for tables.
    pub(crate) fn notes(self) -> &'static [&'static str] {
        match self {
            Self::Splice => &["no requests, one fixed target", "no timeouts, no policy"],
            Self::Epoll | Self::Monoio | Self::TokioUring => &[
                "addresses only, no names",
                "no timeouts, no policy",
                "GET without a body only, answers with Content-Length only",
                "a connection to the target belongs to one client",
            ],
        }
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or_else(|| format!("give {}", Self::ALL.map(Self::name).join(", ")))
    }
}

/// Relays from `listen` until it fails as a whole.
pub(crate) fn run(listen: SocketAddr, job: Job) -> io::Result<Infallible> {
    let listener = socket::listen(listen)?;
    if let Job::Monoio | Job::TokioUring = job {
        listener.set_nonblocking(false)?; // else a ring's accept would never wait
    }
    match job {
        Job::Splice { target, pipe_bytes } => splice::run(listener, target, pipe_bytes),
        Job::Epoll => epoll::run(listener),
        Job::Monoio => monoio::run(listener),
        Job::TokioUring => tokio_uring::run(listener),
    }
}

/// Says what runs now, once it does.
fn announce(kind: Kind, listener: &TcpListener) -> io::Result<()> {
    let modes = [
        (Mode::Connect, "connect"),
        (Mode::Forward, "forward"),
        (Mode::Tcp, "tcp"),
    ];
    let can = modes.iter().filter(|(mode, _)| kind.can(*mode).is_ok());
    let modes: Vec<&str> = can.map(|(_, name)| *name).collect();
    writeln!(
        stderr().lock(),
        "relay on {}: {}; modes {}; {}",
        listener.local_addr()?,
        kind.describe(),
        modes.join(", "),
        kind.notes().join("; "),
    )
}

/// Passes by what ends with a connection, waits where something ran out until a connection gives it back.
fn survive_shortage(error: io::Error) -> io::Result<()> {
    let number = error.raw_os_error().map(Errno::from_raw);
    let is_shortage = matches!(number, Some(Errno::EMFILE | Errno::ENFILE))
        || error.kind() == ErrorKind::OutOfMemory;
    match error.kind() {
        _ if is_shortage => std::thread::sleep(Duration::from_millis(1)),
        ErrorKind::ConnectionAborted => {}
        _ => return Err(error),
    }
    Ok(())
}
