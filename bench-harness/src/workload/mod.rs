//! The workloads: what each one does, with how many connections and bytes, and which figures come of it. Every timed
//! part starts and ends at rest, so that the CPU read before and after it is the CPU of exactly the work that was counted.

mod bulk;
mod churn;
mod echo;
mod hold;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::figures::Figure;
use crate::load::error::LoadError;
use crate::load::origin::Service;
use crate::load::tunnel::Tunnel;
use crate::load::{Load, Mode, Ready, Target};
use crate::process::Process;

/// Tunnels that are being opened, or pinged, at the same time.
const WINDOW: usize = 64;

/// What can be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Workload {
    /// New connection, 15,360 B echo, close.
    W1,
    /// GET with a small body.
    W3,
    /// GET with larger bodies.
    W4,
    /// Bulk.
    W5,
    /// Idle tunnels.
    W8,
    /// 1 KiB echo over warm tunnels.
    W9,
    /// WebSocket echo.
    W12,
    /// Idle WebSockets.
    W16,
    /// 64 B echo over one warm tunnel.
    Ping,
}

impl Workload {
    pub(crate) const ALL: [Self; 9] = [
        Self::W1,
        Self::W3,
        Self::W4,
        Self::W5,
        Self::W8,
        Self::W9,
        Self::W12,
        Self::W16,
        Self::Ping,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::W1 => "W1",
            Self::W3 => "W3",
            Self::W4 => "W4",
            Self::W5 => "W5",
            Self::W8 => "W8",
            Self::W9 => "W9",
            Self::W12 => "W12",
            Self::W16 => "W16",
            Self::Ping => "ping",
        }
    }

    /// What it does and what its main figure is.
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::W1 => {
                "connect, CONNECT, echo, close, over and over: CPU of the proxy per connection"
            }
            Self::W3 => "GET over warm connections, a small body: CPU of the proxy per round trip",
            Self::W4 => "GET over warm connections, larger bodies: CPU of the proxy per round trip",
            Self::W5 => {
                "bulk: each way by turns, then one way (origin to client), then full duplex, \
                 --duration each: CPU of the proxy per GB relayed"
            }
            Self::W8 => {
                "open tunnels, ping each once, leave them idle: memory (PSS) of the proxy per tunnel"
            }
            Self::W9 => "echo over warm tunnels: CPU of the proxy per round trip",
            Self::W12 => "WebSocket echo: CPU of the proxy per round trip",
            Self::W16 => {
                "open WebSockets, leave them idle, then one message to each: memory (PSS) of the proxy per WebSocket"
            }
            Self::Ping => "small echo over one warm tunnel: median latency",
        }
    }

    /// The numbers of connections it is run with, each on its own.
    pub(crate) fn connections(self) -> &'static [usize] {
        match self {
            Self::W1 | Self::W3 | Self::W4 => &[1, 8, 64],
            Self::W5 => &[1, 4, 16],
            Self::W8 => &[500, 9_000],
            Self::W9 => &[64, 1_000],
            Self::W12 => &[1, 100, 800],
            Self::W16 => &[9_000],
            Self::Ping => &[1],
        }
    }

    /// The sizes it is run with, each on its own: of an echo, a body, a message, or a turn of W5.
    pub(crate) fn bytes(self) -> &'static [usize] {
        const KIB: usize = 1024;
        match self {
            Self::W1 => &[15_360],
            Self::W3 => &[2],
            Self::W4 => &[KIB, 10 * KIB, 100 * KIB, 10 * KIB * KIB],
            Self::W5 => &[KIB * KIB],
            Self::W8 | Self::Ping => &[64],
            Self::W9 => &[KIB],
            Self::W12 => &[17, 125, KIB, 4 * KIB, 64 * KIB],
            Self::W16 => &[17],
        }
    }

    /// Whether it can be run against a peer that is spoken to in this way: raw bytes cannot be forwarded.
    pub(crate) fn takes(self, mode: Mode) -> bool {
        let is_http = matches!(self, Self::W3 | Self::W4 | Self::W12 | Self::W16);
        is_http || mode != Mode::Forward
    }

    /// Whether its questions can come at a planned rate.
    pub(crate) fn takes_rate(self) -> bool {
        matches!(
            self,
            Self::W3 | Self::W4 | Self::W9 | Self::W12 | Self::Ping
        )
    }
}

impl FromStr for Workload {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|workload| workload.name().eq_ignore_ascii_case(text))
            .ok_or_else(|| {
                let names = Self::ALL.map(Self::name).join(", ");
                format!("{text:?} is not a workload; there are {names}")
            })
    }
}

/// One point of a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) connections: usize,
    pub(crate) bytes: usize,
}

impl fmt::Display for Case {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "x{}, {} B", self.connections, self.bytes)
    }
}

/// How long the parts of a run are, and how fast.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    /// Each timed part.
    pub(crate) duration: Duration,
    /// The same work before it, not counted.
    pub(crate) warm_up: Duration,
    /// Questions a second in an open loop; none for a closed one.
    pub(crate) rate: Option<u64>,
}

/// Runs one workload at one point.
pub(crate) fn run(
    workload: Workload,
    case: Case,
    target: Target,
    timing: Timing,
    process: Option<&Process>,
) -> Result<Vec<Figure>, LoadError> {
    let echo = |service, main| {
        let plan = echo::Plan { service, main };
        echo::run(plan, case, target, timing, process)
    };
    let hold = |service, used| hold::run((service, used), case, target, timing, process);
    match workload {
        Workload::W1 => churn::run(case, target, timing, process),
        Workload::W3 | Workload::W4 => echo(Service::Http, echo::Main::Cpu),
        Workload::W5 => bulk::run(case, target, timing, process),
        Workload::W8 => hold(Service::Echo, hold::Use::BeforeRest),
        Workload::W9 => echo(Service::Echo, echo::Main::Cpu),
        Workload::W12 => echo(Service::WebSocket, echo::Main::Cpu),
        Workload::W16 => hold(Service::WebSocket, hold::Use::AfterRest),
        Workload::Ping => echo(Service::Echo, echo::Main::Median),
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
