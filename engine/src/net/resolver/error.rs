//! Why a name gave no address.

use std::fmt;

/// Why a name gave no address. In the order of what they say about a name that was looked for in several places: the
/// greatest is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ResolveError {
    /// No host can be called that; nobody was asked.
    InvalidName,
    /// The name does not exist.
    NotFound,
    /// The name exists, without an address of this family.
    NoAddress,
    /// The aliases of the name lead nowhere: a circle, or too many.
    AliasLoop,
    /// The name servers failed, refused, or cannot be reached.
    ServerFailure,
    /// The name servers sent answers that cannot be read.
    Malformed,
    /// No name server answered in time.
    Timeout,
    /// Too many questions wait for a name server already, or this process has no descriptor left to ask with.
    Overloaded,
}

impl ResolveError {
    /// Whether the search list is gone on with after this. As for libc: what servers said about one name says
    /// nothing about the next one, but servers that keep silent will do so again.
    pub(super) fn passes_over(self) -> bool {
        matches!(self, Self::NotFound | Self::NoAddress | Self::ServerFailure)
    }
}

impl fmt::Display for ResolveError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::InvalidName => "not a host name",
            Self::NotFound => "no such name",
            Self::NoAddress => "the name has no such address",
            Self::AliasLoop => "the aliases of the name lead nowhere",
            Self::ServerFailure => "the name servers failed",
            Self::Malformed => "the name servers sent a broken answer",
            Self::Timeout => "no name server answered in time",
            Self::Overloaded => "too many names are being resolved",
        })
    }
}

impl std::error::Error for ResolveError {}
