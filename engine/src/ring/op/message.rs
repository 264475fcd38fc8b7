//! MSG_RING (5.18): hands an accepted socket to another worker. See `kernel-notes/msg-ring.md`.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use io_uring::{opcode, squeue, types};

use crate::ring::key::INCOMING;
use crate::ring::slab::Payload;

/// Gives `socket` to the ring behind `ring`, in the same process. When the message fails the socket is still ours.
#[derive(Debug)]
pub struct Message {
    /// The ring to tell.
    pub ring: RawFd,
    /// The socket it shall have.
    pub socket: OwnedFd,
}

impl Message {
    pub(super) fn encode(self) -> (squeue::Entry, Payload) {
        let entry = opcode::MsgRingData::new(
            types::Fd(self.ring),
            self.socket.as_raw_fd(),
            INCOMING,
            None,
        )
        .build();
        (entry, Payload::Socket(self.socket))
    }
}
