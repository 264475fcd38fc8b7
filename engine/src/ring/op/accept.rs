//! Accept, multishot (5.19). See `kernel-notes/accept.md`.

use std::collections::VecDeque;
use std::os::fd::RawFd;

use io_uring::{opcode, squeue, types};

use crate::ring::slab::Payload;

/// Accepts connections until it is cancelled or fails; after EMFILE and its like it has to be started again.
#[derive(Debug, Clone, Copy)]
pub struct Accept {
    /// A listening socket of this worker alone: on a shared one, a multishot accept takes every connection.
    pub listener: RawFd,
}

impl Accept {
    pub(super) fn encode(self) -> (squeue::Entry, Payload) {
        let entry = opcode::AcceptMulti::new(types::Fd(self.listener))
            .flags(libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK)
            .build();
        (entry, Payload::Accepted(VecDeque::with_capacity(64)))
    }
}
