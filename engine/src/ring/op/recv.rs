//! RECV into the arena: multishot (6.0), or one-shot where that is known bad. See `kernel-notes/multishot.md`.

use std::os::fd::RawFd;

use io_uring::{opcode, squeue, types};

use crate::ring::buf::BUFFER_GROUP;
use crate::ring::slab::Payload;

/// Receives into buffers that the kernel takes from the arena when there is something to put in them.
#[derive(Debug, Clone, Copy)]
pub struct Recv {
    /// The socket.
    pub socket: RawFd,
    /// Until when.
    pub mode: RecvMode,
}

/// How long a receive goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecvMode {
    /// Until it ends for a reason of [`RecvEnd`].
    Multishot,
    /// For one buffer; waits for readiness before it tries.
    OneShot,
}

/// Why a receive is over. Bytes that came before stay to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecvEnd {
    /// The peer sent FIN.
    Fin,
    /// Nothing is wrong: the one shot is spent, the completion queue was full, or the receive was paused. Start again.
    Spent,
    /// The arena had no buffer (ENOBUFS). Back-pressure: start again when one has come back.
    NoBuffers,
    /// It was cancelled by its owner.
    Cancelled,
    /// The connection failed, with this errno.
    Failed(i32),
}

impl Recv {
    pub(super) fn encode(self) -> (squeue::Entry, Payload) {
        let socket = types::Fd(self.socket);
        let entry = match self.mode {
            RecvMode::Multishot => opcode::RecvMulti::new(socket, BUFFER_GROUP).build(),
            // A length of zero takes the length of the buffer.
            RecvMode::OneShot => opcode::Recv::new(socket, std::ptr::null_mut(), 0)
                .buf_group(BUFFER_GROUP)
                .ioprio(POLL_FIRST)
                .build()
                .flags(squeue::Flags::BUFFER_SELECT),
        };
        (entry, Payload::None)
    }
}

/// IORING_RECVSEND_POLL_FIRST (5.19).
const POLL_FIRST: u16 = 1;

impl RecvEnd {
    /// The meaning of a final result; `paused` when this engine asked for the cancellation to hold the sender back.
    pub(in crate::ring) fn of(result: i32, paused: bool) -> Self {
        match result {
            0 => Self::Fin,
            1.. => Self::Spent,
            _ => match -result {
                libc::ENOBUFS => Self::NoBuffers,
                libc::ECANCELED if paused => Self::Spent,
                libc::ECANCELED => Self::Cancelled,
                libc::EINTR | libc::EAGAIN => Self::Spent,
                errno => Self::Failed(errno),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_have_meanings() {
        for (result, paused, end) in [
            (0, false, RecvEnd::Fin),
            (0, true, RecvEnd::Fin),
            (1, false, RecvEnd::Spent),
            (-libc::ENOBUFS, false, RecvEnd::NoBuffers),
            (-libc::ECANCELED, true, RecvEnd::Spent),
            (-libc::ECANCELED, false, RecvEnd::Cancelled),
            (-libc::ECONNRESET, true, RecvEnd::Failed(libc::ECONNRESET)),
        ] {
            assert_eq!(RecvEnd::of(result, paused), end);
        }
    }
}
