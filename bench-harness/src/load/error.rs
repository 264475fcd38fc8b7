//! What can go wrong while a load runs. Each of these voids the run: a figure beside an error would be worth nothing.

use std::fmt;
use std::io;

use crate::result::latency::MixedClocks;

/// Why a run is void.
#[derive(Debug)]
pub(crate) enum LoadError {
    /// A system call of the harness failed.
    Io {
        doing: &'static str,
        source: io::Error,
    },
    /// The proxy did not answer as it had to, which is `expected`; this is what it said.
    Refused {
        expected: &'static str,
        reply: String,
    },
    /// The origin was asked for something that no client asks for.
    Unasked { request: String },
    /// An open loop fell behind its plan.
    Late { planned: f64, achieved: f64 },
    /// A side ended while bytes were still owed.
    EarlyEnd { doing: &'static str },
    /// The byte at this position of its stream is not the one that was sent.
    Corrupt { position: u64 },
    /// More bytes came than were sent.
    Surplus { expected: u64, came: u64 },
    /// Fewer bytes arrived at one end than left the other, though both had time.
    Stalled { doing: &'static str },
    /// No rate at all met the bound of a ramp.
    NothingHeld { bound_us: u64, percentile: f64 },
    /// What the origin has to be told, it cannot be told where it is.
    ElsewhereOrigin,
    /// Latencies from planned times met latencies from the asking.
    MixedClocks,
    /// The measured process is not there any more, or its figures are not readable.
    Process(String),
}

impl LoadError {
    /// Names what was being done when a system call failed; made for `map_err`.
    pub(crate) fn io(doing: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| Self::Io { doing, source }
    }

    /// As `io`, for calls that return a bare error number.
    pub(crate) fn errno(doing: &'static str) -> impl Fn(nix::errno::Errno) -> Self {
        move |errno| Self::Io {
            doing,
            source: errno.into(),
        }
    }
}

impl From<MixedClocks> for LoadError {
    fn from(_: MixedClocks) -> Self {
        Self::MixedClocks
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { doing, source } => write!(formatter, "{doing}: {source}"),
            Self::Refused { expected, reply } => {
                write!(formatter, "the proxy did not answer {expected}: {reply:?}")
            }
            Self::Unasked { request } => {
                write!(formatter, "the origin got what no client sent: {request:?}")
            }
            Self::Late { planned, achieved } => write!(
                formatter,
                "{achieved:.0} a second were answered where {planned:.0} were planned, which is less than 99 %: \
                 plan a lower rate, or more connections"
            ),
            Self::EarlyEnd { doing } => {
                write!(formatter, "the connection ended early while {doing}")
            }
            Self::Corrupt { position } => write!(
                formatter,
                "the payload was changed on its way: first wrong byte at position {position} of its stream"
            ),
            Self::Surplus { expected, came } => write!(
                formatter,
                "{came} bytes came where {expected} were sent: something was added"
            ),
            Self::Stalled { doing } => write!(formatter, "nothing moved any more while {doing}"),
            Self::NothingHeld {
                bound_us,
                percentile,
            } => write!(
                formatter,
                "no rate that was tried has a P{percentile} of {bound_us} us or less: \
                 raise the bound, or begin at a lower rate"
            ),
            Self::ElsewhereOrigin => write!(
                formatter,
                "its origin has to be told when to send, which it can only be within this program"
            ),
            Self::MixedClocks => {
                write!(formatter, "latencies of two clocks were about to be merged")
            }
            Self::Process(what) => write!(formatter, "{what}"),
        }
    }
}

impl std::error::Error for LoadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
