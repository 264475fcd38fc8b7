//! The operations, described as data before they are encoded: a closed enum, one file each. Anything that runs the ring
//! for the kernel can be replaced by something that interprets this enum.

mod accept;
mod cancel;
mod connect;
mod message;
mod poll;
mod recv;
mod send;

pub use accept::Accept;
pub use connect::Connect;
pub use message::{Message, News};
pub use poll::{Interest, Poll};
pub use recv::{Recv, RecvEnd, RecvMode};
pub use send::{Send, SendData};

pub(super) use cancel::{cancel, missed};

use io_uring::squeue;

use super::slab::Payload;

/// An operation to start.
#[derive(Debug)]
pub enum Op {
    /// Accept connections until cancelled.
    Accept(Accept),
    /// Connect a socket.
    Connect(Connect),
    /// Tell another ring something.
    Message(Message),
    /// Wait until a descriptor is ready.
    Poll(Poll),
    /// Receive into the arena.
    Recv(Recv),
    /// Send.
    Send(Send),
}

/// The kind of an operation, as `user_data` carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Accept = 1,
    Connect = 2,
    Message = 3,
    Poll = 4,
    Recv = 5,
    Send = 6,
    /// Has no slot: its key is that of the operation to cancel.
    Cancel = 7,
}

impl Kind {
    #[cfg(test)]
    pub(super) const ALL: [Self; 6] = [
        Self::Accept,
        Self::Connect,
        Self::Message,
        Self::Poll,
        Self::Recv,
        Self::Send,
    ];

    /// The kind byte of keys that name no slot.
    pub(super) const RESERVED: u8 = 0;

    pub(super) fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            1 => Self::Accept,
            2 => Self::Connect,
            3 => Self::Message,
            4 => Self::Poll,
            5 => Self::Recv,
            6 => Self::Send,
            7 => Self::Cancel,
            _ => return None,
        })
    }
}

impl Op {
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Accept(_) => Kind::Accept,
            Self::Connect(_) => Kind::Connect,
            Self::Message(_) => Kind::Message,
            Self::Poll(_) => Kind::Poll,
            Self::Recv(_) => Kind::Recv,
            Self::Send(_) => Kind::Send,
        }
    }

    /// The submission, and the memory that has to stay where it is until the final completion. Pointers in the
    /// submission lead into the payload's heap or arena memory, never into the payload value itself, which moves.
    pub(super) fn encode(self) -> (squeue::Entry, Payload) {
        match self {
            Self::Accept(op) => op.encode(),
            Self::Connect(op) => op.encode(),
            Self::Message(op) => op.encode(),
            Self::Poll(op) => op.encode(),
            Self::Recv(op) => op.encode(),
            Self::Send(op) => op.encode(),
        }
    }
}
