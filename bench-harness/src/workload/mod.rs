//! The workloads: what each one does, with how many connections, and which figures come of it. Every timed part
//! starts and ends at rest, so that the CPU read before and after it is the CPU of exactly the work that was counted.

mod bulk;
mod churn;
mod echo;
mod hold;

use std::str::FromStr;
use std::time::Duration;

use crate::figures::Figure;
use crate::load::error::LoadError;
use crate::load::tunnel::Tunnel;
use crate::load::{Load, Ready, Target};
use crate::process::Process;

/// Tunnels that are being opened, or pinged, at the same time.
const WINDOW: usize = 64;

/// What can be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Workload {
    /// New connection, 15,360 B echo, close.
    W1,
    /// Bulk.
    W5,
    /// Idle tunnels.
    W8,
    /// 1 KiB echo over warm tunnels.
    W9,
    /// 64 B echo over one warm tunnel.
    Ping,
}

impl Workload {
    pub(crate) const ALL: [Self; 5] = [Self::W1, Self::W5, Self::W8, Self::W9, Self::Ping];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::W1 => "W1",
            Self::W5 => "W5",
            Self::W8 => "W8",
            Self::W9 => "W9",
            Self::Ping => "ping",
        }
    }

    /// What it does and what its main figure is.
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::W1 => {
                "connect, CONNECT, 15,360 B echo, close, over and over: CPU of the proxy per connection"
            }
            Self::W5 => {
                "bulk: 1 MiB each way by turns, then one way (origin to client), then full duplex, \
                 --duration each: CPU of the proxy per GB relayed"
            }
            Self::W8 => {
                "open tunnels, ping each once with 64 B, leave them idle: memory (PSS) of the proxy per tunnel"
            }
            Self::W9 => "1 KiB echo over warm tunnels: CPU of the proxy per round trip",
            Self::Ping => "64 B echo over one warm tunnel: median latency",
        }
    }

    /// The numbers of connections it is run with, each on its own.
    pub(crate) fn connections(self) -> &'static [usize] {
        match self {
            Self::W1 => &[1, 8, 64],
            Self::W5 => &[1, 4, 16],
            Self::W8 => &[500, 9_000],
            Self::W9 => &[64, 1_000],
            Self::Ping => &[1],
        }
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

/// How long the parts of a run are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    /// Each timed part.
    pub(crate) duration: Duration,
    /// The same work before it, not counted.
    pub(crate) warm_up: Duration,
}

/// Runs one workload with one number of connections.
pub(crate) fn run(
    workload: Workload,
    connections: usize,
    target: Target,
    timing: Timing,
    process: Option<&Process>,
) -> Result<Vec<Figure>, LoadError> {
    match workload {
        Workload::W1 => churn::run(connections, target, timing, process),
        Workload::W5 => bulk::run(connections, target, timing, process),
        Workload::W8 => hold::run(connections, target, timing, process),
        Workload::W9 => echo::run(echo::Plan::W9, connections, target, timing, process),
        Workload::Ping => echo::run(echo::Plan::PING, connections, target, timing, process),
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
