//! A plan: what is done, when each operation begins, when it is enough, over how many connections and with how many
//! bytes. It is data: any scenario goes with any pace and stop for which `Plan::check` knows no reason against it. The
//! plans that have names are in `catalogue`; what carries them out is `load` and `scenario`.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::load::Mode;

/// One point that can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) scenario: Scenario,
    pub(crate) pace: Pace,
    pub(crate) stop: Stop,
    /// That stand, or at most so many at the same time where each operation has its own.
    pub(crate) connections: usize,
    /// Bytes of an echo, a body, a message or a turn.
    pub(crate) payload: usize,
}

/// What one operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Scenario {
    /// A new connection, an echo, its end.
    Fresh,
    /// All connections begin at once, each is used for one echo, then all end. Failures are counted.
    Burst,
    /// An echo over a standing connection.
    Echo,
    /// A GET over a standing connection.
    Get,
    /// A WebSocket message and its echo.
    WebSocketEcho,
    /// A WebSocket ping frame and its pong.
    WebSocketPing,
    /// A WebSocket message from the origin, one after the other.
    WebSocketStream,
    /// A new connection, the handshake of a WebSocket, its end.
    WebSocketUpgrade,
    /// Bulk: the client sends so many bytes, then the origin as many.
    BulkTurns,
    /// Bulk, from the origin to the client.
    BulkOneWay,
    /// Bulk, both ways at once.
    BulkDuplex,
    /// Tunnels that are used once, then rest.
    IdleTunnels,
    /// WebSockets that rest, then are used once.
    IdleWebSockets,
}

/// When an operation begins.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Pace {
    /// As soon as a connection is free: for capacity and cost.
    Closed,
    /// At planned times, `rate` a second, evenly.
    Fixed { rate: u64 },
    /// At planned times, `rate` a second on average, as independent clients come.
    Poisson { rate: u64 },
    /// At ever higher rates, from `start` a second, until the percentile (of 100) of the latency is beyond the bound.
    Ramp {
        start: u64,
        bound_us: u64,
        percentile: f64,
    },
}

/// When it is enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stop {
    After {
        ms: u64,
    },
    /// Over all connections.
    Count {
        operations: u64,
    },
}

/// Payload of a control frame.
const PING_BYTES_MAX: usize = 125;

impl Scenario {
    /// Whether an operation is HTTP to a forward proxy: raw bytes cannot be forwarded.
    pub(crate) fn is_http(self) -> bool {
        matches!(
            self,
            Self::Get
                | Self::WebSocketEcho
                | Self::WebSocketPing
                | Self::WebSocketStream
                | Self::WebSocketUpgrade
                | Self::IdleWebSockets
        )
    }

    /// In words.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Fresh => "new connections",
            Self::Burst => "all at once",
            Self::Echo => "echo",
            Self::Get => "GET",
            Self::WebSocketEcho => "WebSocket echo",
            Self::WebSocketPing => "WebSocket ping",
            Self::WebSocketStream => "WebSocket stream",
            Self::WebSocketUpgrade => "WebSocket upgrades",
            Self::BulkTurns => "bulk by turns",
            Self::BulkOneWay => "bulk one way",
            Self::BulkDuplex => "bulk both ways",
            Self::IdleTunnels => "idle tunnels",
            Self::IdleWebSockets => "idle WebSockets",
        }
    }

    /// One operation of it, as the names of its figures have it; none where there are no single ones.
    pub(crate) fn operation(self) -> Option<&'static str> {
        match self {
            Self::Fresh | Self::Burst => Some("connection"),
            Self::Echo | Self::Get | Self::WebSocketEcho | Self::WebSocketPing => {
                Some("round_trip")
            }
            Self::WebSocketStream => Some("message"),
            Self::WebSocketUpgrade => Some("upgrade"),
            _ => None,
        }
    }

    /// The shape of bulk, as the names of its figures begin.
    pub(crate) fn shape(self) -> Option<&'static str> {
        match self {
            Self::BulkTurns => Some("turns"),
            Self::BulkOneWay => Some("oneway"),
            Self::BulkDuplex => Some("duplex"),
            _ => None,
        }
    }

    pub(crate) fn is_idle(self) -> bool {
        matches!(self, Self::IdleTunnels | Self::IdleWebSockets)
    }

    /// Whether its connections stand from before the timed part to its end.
    pub(crate) fn is_standing(self) -> bool {
        !matches!(self, Self::Fresh | Self::Burst | Self::WebSocketUpgrade)
    }

    /// Whether its origin sends of its own accord, so that it has to be told when.
    pub(crate) fn drives_origin(self) -> bool {
        matches!(
            self,
            Self::BulkOneWay | Self::BulkDuplex | Self::WebSocketStream
        )
    }

    /// What has no single operations that could be planned.
    fn is_steady(self) -> bool {
        matches!(
            self,
            Self::BulkTurns
                | Self::BulkOneWay
                | Self::BulkDuplex
                | Self::IdleTunnels
                | Self::IdleWebSockets
        )
    }
}

impl Plan {
    /// Why it cannot be carried out against a peer that is spoken to in this way, if it cannot.
    pub(crate) fn check(&self, mode: Mode) -> Result<(), String> {
        let name = self.scenario.name();
        if mode == Mode::Forward && !self.scenario.is_http() {
            return Err(format!(
                "{name}: this is no HTTP, which mode forward is for; connect and tcp carry it"
            ));
        }
        if self.pace != Pace::Closed && self.scenario.is_steady() {
            return Err(format!(
                "{name}: there are no single operations that a rate could plan"
            ));
        }
        if self.pace != Pace::Closed && self.scenario == Scenario::Burst {
            return Err(format!(
                "{name}: has no rate, since all begin at the same time"
            ));
        }
        let is_ramp = matches!(self.pace, Pace::Ramp { .. });
        if is_ramp && matches!(self.stop, Stop::Count { .. }) {
            return Err("a ramp has steps of a duration, not of a count".to_owned());
        }
        if self.scenario == Scenario::WebSocketPing && self.payload > PING_BYTES_MAX {
            return Err(format!(
                "{name}: holds {PING_BYTES_MAX} B at most (RFC 6455 section 5.5)"
            ));
        }
        if self.scenario.is_idle() && matches!(self.stop, Stop::Count { .. }) {
            return Err(format!("{name}: rest for a duration, not for a count"));
        }
        Ok(())
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            scenario,
            pace,
            stop,
            connections,
            payload,
        } = self;
        write!(formatter, "{} x{connections}, {payload} B", scenario.name())?;
        match pace {
            Pace::Closed => {}
            Pace::Fixed { rate } => write!(formatter, ", {rate}/s")?,
            Pace::Poisson { rate } => write!(formatter, ", {rate}/s Poisson")?,
            Pace::Ramp {
                bound_us,
                percentile,
                ..
            } => write!(formatter, ", ramp to P{percentile} of {bound_us} us")?,
        }
        match stop {
            Stop::After { .. } => Ok(()),
            Stop::Count { operations } => write!(formatter, ", {operations} operations"),
        }
    }
}
