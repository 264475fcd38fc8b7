//! POLL_ADD: one-shot for readiness, multishot (5.13) for the look-out for failures. See `kernel-notes/poll.md`.

use std::os::fd::RawFd;

use io_uring::{opcode, squeue, types};

use crate::ring::slab::Payload;

/// Waits until a descriptor is ready. The kernel reports errors, hang-ups and the peer's FIN whatever is asked for.
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
    /// An error: a reset. Reports until cancelled, because the peer's FIN, which is no failure, is reported too.
    Failed,
}

impl Poll {
    pub(super) fn encode(self) -> (squeue::Entry, Payload) {
        let events = match self.interest {
            Interest::Readable => libc::POLLIN | libc::POLLRDHUP,
            Interest::Writable => libc::POLLOUT,
            Interest::Failed => 0,
        };
        let entry = opcode::PollAdd::new(types::Fd(self.descriptor), events as u32)
            .multi(self.interest == Interest::Failed)
            .build();
        (entry, Payload::None)
    }
}

/// Whether a poll's events are those of a connection that failed. POLLHUP is none: it comes when both sides have sent
/// FIN, with bytes still to be read.
pub(in crate::ring) fn failed(events: i32) -> bool {
    events < 0 || events & i32::from(libc::POLLERR) != 0
}
