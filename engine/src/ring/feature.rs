//! The kernel features that the engine uses, by name, and the set of those that it may use.

use std::fmt;
use std::str::FromStr;

/// A kernel feature that the engine uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Feature {
    /// io_uring itself.
    IoUring,
    /// Enters that take a timeout.
    ExtArg,
    /// Completions kept when the queue is full.
    NoDrop,
    /// Sockets that wait without a thread.
    FastPoll,
    /// Completion work only when the worker asks for it, with a single issuer.
    DeferTaskrun,
    /// Receive buffers provided through shared memory.
    BufferRing,
    /// One accept for many connections.
    MultishotAccept,
    /// One receive for many buffers.
    MultishotRecv,
    /// Sends without a copy, with a report of whether it was one.
    SendZc,
    /// Messages between rings.
    MsgRing,
    /// Submission without an index array.
    NoSqArray,
    /// A registered ring descriptor.
    RingFd,
    /// Waiting that is not accounted as I/O wait.
    NoIowait,
}

impl Feature {
    /// All of them, needed ones first.
    pub const ALL: &[Self] = &[
        Self::IoUring,
        Self::ExtArg,
        Self::NoDrop,
        Self::FastPoll,
        Self::DeferTaskrun,
        Self::BufferRing,
        Self::MultishotAccept,
        Self::MultishotRecv,
        Self::SendZc,
        Self::MsgRing,
        Self::NoSqArray,
        Self::RingFd,
        Self::NoIowait,
    ];

    /// The name that `ringway check` prints.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.facts().0
    }

    /// Whether the engine cannot start without it.
    #[must_use]
    pub fn needed(self) -> bool {
        (self as u8) <= Self::BufferRing as u8
    }

    /// Name, first mainline kernel, and what is lost without it.
    pub(super) fn facts(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::IoUring => ("io-uring", "5.1", "everything: the engine runs on it"),
            Self::ExtArg => ("ext-arg", "5.11", "waits with a timeout"),
            Self::NoDrop => ("nodrop", "5.5", "completions when the queue is full"),
            Self::FastPoll => (
                "fast-poll",
                "5.7",
                "sockets that wait without a kernel thread each",
            ),
            Self::DeferTaskrun => (
                "defer-taskrun",
                "6.1",
                "batched completions on the worker's own terms",
            ),
            Self::BufferRing => ("buffer-ring", "5.19", "idle connections without a buffer"),
            Self::MultishotAccept => (
                "multishot-accept",
                "5.19",
                "accepting without a submission per connection (one-shot instead)",
            ),
            Self::MultishotRecv => (
                "multishot-recv",
                "6.0",
                "receiving without a submission per read (one-shot instead)",
            ),
            Self::SendZc => (
                "send-zc",
                "6.2",
                "sending without a copy (plain sends instead)",
            ),
            Self::MsgRing => (
                "msg-ring",
                "5.18",
                "handing a connection to an idler worker",
            ),
            Self::NoSqArray => ("no-sqarray", "6.6", "one memory access per submission"),
            Self::RingFd => ("ring-fd", "5.18", "one descriptor lookup per enter"),
            Self::NoIowait => (
                "no-iowait",
                "6.15",
                "idle time that is not shown as I/O wait",
            ),
        }
    }
}

/// A feature name that is not one of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownFeature(pub String);

impl fmt::Display for UnknownFeature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known: Vec<&str> = Feature::ALL.iter().map(|feature| feature.name()).collect();
        write!(
            f,
            "unknown kernel feature '{}'; known are {}",
            self.0,
            known.join(", ")
        )
    }
}

impl std::error::Error for UnknownFeature {}

impl FromStr for Feature {
    type Err = UnknownFeature;

    fn from_str(name: &str) -> Result<Self, UnknownFeature> {
        let known = Self::ALL
            .iter()
            .copied()
            .find(|feature| feature.name() == name);
        known.ok_or_else(|| UnknownFeature(name.to_owned()))
    }
}

/// The features found and not forced off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capabilities(u32);

impl Capabilities {
    /// Whether `feature` may be used.
    #[must_use]
    pub fn has(self, feature: Feature) -> bool {
        self.0 & 1 << feature as u8 != 0
    }

    pub(super) fn with(self, feature: Feature, found: bool) -> Self {
        Self(self.0 | u32::from(found) << feature as u8)
    }

    pub(super) fn without(self, feature: Feature) -> Self {
        Self(self.0 & !(1 << feature as u8))
    }
}
