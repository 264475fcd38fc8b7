//! MSG_RING (5.18): hands an accepted socket to another worker. See `kernel-notes/msg-ring.md`.

use std::os::fd::{AsRawFd, OwnedFd};

use io_uring::{opcode, squeue, types};

use crate::ring::key::INCOMING;
use crate::ring::port::Passage;
use crate::ring::slab::Payload;

/// Gives `socket` to the ring behind `passage`, in the same process. When the message fails the socket is still ours.
#[derive(Debug)]
pub struct Message {
    /// The ring to tell, which waits for this message before it ends.
    pub passage: Passage,
    /// The socket it shall have.
    pub socket: OwnedFd,
}

impl Message {
    pub(super) fn encode(self) -> (squeue::Entry, Payload) {
        let entry = opcode::MsgRingData::new(
            types::Fd(self.passage.ring()),
            self.socket.as_raw_fd(),
            INCOMING,
            None,
        )
        .build();
        (entry, Payload::Socket(self.socket, self.passage))
    }
}
