//! Accept: multishot (5.19), or one-shot where that is known bad. See `kernel-notes/accept.md`.

use std::collections::VecDeque;
use std::os::fd::RawFd;

use io_uring::{opcode, squeue, types};

use crate::ring::slab::Payload;

/// Accepts connections until it is cancelled or fails; after EMFILE and its like it has to be started again.
#[derive(Debug, Clone, Copy)]
pub struct Accept {
    /// A listening socket of this worker alone: on a shared one, a multishot accept takes every connection.
    pub listener: RawFd,
    /// Go on after the first connection.
    pub multishot: bool,
}

impl Accept {
    pub(super) fn encode(self) -> (squeue::Entry, Payload) {
        let listener = types::Fd(self.listener);
        let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        let entry = if self.multishot {
            opcode::AcceptMulti::new(listener).flags(flags).build()
        } else {
            let nobody_asks = std::ptr::null_mut();
            opcode::Accept::new(listener, nobody_asks, std::ptr::null_mut())
                .flags(flags)
                .build()
        };
        (entry, Payload::Accepted(VecDeque::with_capacity(64)))
    }
}
