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
    /// Room to send, on a socket whose peer has sent FIN: a one-shot poll would report just that, at once. Reports until
    /// cancelled.
    WritablePastFin,
    /// An error: a reset. Reports until cancelled, because the peer's FIN is reported too.
    Failed,
}

impl Poll {
    pub(super) fn encode(self) -> (squeue::Entry, Payload) {
        let events = match self.interest {
            Interest::Readable => libc::POLLIN | libc::POLLRDHUP,
            Interest::Writable | Interest::WritablePastFin => libc::POLLOUT,
            Interest::Failed => 0,
        };
        let entry = opcode::PollAdd::new(types::Fd(self.descriptor), events as u32)
            .multi(matches!(
                self.interest,
                Interest::WritablePastFin | Interest::Failed
            ))
            .build();
        (entry, Payload::None)
    }
}

impl Interest {
    /// The events that answer it. POLLHUP is no failure: it comes when both sides have sent FIN, with bytes still to be
    /// read.
    #[must_use]
    pub fn answers(self) -> i32 {
        i32::from(match self {
            Self::Readable => libc::POLLIN | libc::POLLRDHUP | libc::POLLERR | libc::POLLHUP,
            Self::Writable | Self::WritablePastFin => libc::POLLOUT | libc::POLLERR | libc::POLLHUP,
            Self::Failed => libc::POLLERR,
        })
    }
}
