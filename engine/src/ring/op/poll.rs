//! POLL_ADD, one-shot. See `kernel-notes/poll.md`.

use std::os::fd::RawFd;

use io_uring::{opcode, squeue, types};

use crate::ring::slab::Payload;

/// Waits until a descriptor is ready; errors and hang-ups are always reported.
#[derive(Debug, Clone, Copy)]
pub struct Poll {
    /// The descriptor.
    pub descriptor: RawFd,
    /// Ready for what.
    pub interest: Interest,
}

/// What a poll waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// Bytes or the end of the stream.
    Readable,
    /// Room to send.
    Writable,
    /// Nothing but an error or a hang-up: a reset.
    Failed,
}

impl Poll {
    pub(super) fn encode(self) -> (squeue::Entry, Payload) {
        let events = match self.interest {
            Interest::Readable => libc::POLLIN | libc::POLLRDHUP,
            Interest::Writable => libc::POLLOUT,
            Interest::Failed => 0,
        };
        (
            opcode::PollAdd::new(types::Fd(self.descriptor), events as u32).build(),
            Payload::None,
        )
    }
}
