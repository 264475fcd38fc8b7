//! SEND, SEND_ZC (6.0), and send(2) where that is cheaper. See `kernel-notes/send-zerocopy.md`.
//!
//! Sends never wait in the kernel (MSG_DONTWAIT): a send that waited would hold its arena buffer for as long as the
//! peer does not read, and a few slow readers would hold them all.

use std::cell::Cell;
use std::os::fd::{BorrowedFd, RawFd};
use std::rc::Rc;

use bytes::Bytes;
use io_uring::{opcode, squeue, types};

use crate::limits;
use crate::ring::buf::{ARENA_BUFFER_INDEX, Lease, Scratch};
use crate::ring::slab::Payload;
use crate::ring::sys;

/// Sends what it can at once; the result is the number of bytes, which may be fewer than asked, or EAGAIN.
#[derive(Debug)]
pub struct Send {
    /// The socket.
    pub socket: RawFd,
    /// What to send.
    pub data: SendData,
    /// SEND_ZC from the registered arena: the buffer belongs to the kernel until its notification, and this counts the
    /// notifications which say that the kernel copied after all. Ignored for bytes that are not in the arena.
    pub zero_copy: Option<Rc<Cell<u32>>>,
}

/// Bytes to send, with what keeps them alive.
#[derive(Debug)]
pub enum SendData {
    /// Received bytes in the arena.
    Lease(Lease),
    /// Other bytes.
    Bytes(Box<Bytes>),
    /// Bytes that this program made, in a buffer that is used again.
    Scratch(Scratch),
}

/// IORING_SEND_ZC_REPORT_USAGE (6.2): the notification says whether the kernel copied after all.
const REPORT_USAGE: u16 = 1 << 3;

impl SendData {
    /// The bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Self::Lease(lease) => lease,
            Self::Bytes(bytes) => bytes,
            Self::Scratch(scratch) => scratch,
        }
    }

    /// Drops the first `bytes` bytes from view.
    pub fn advance(&mut self, bytes: u32) {
        match self {
            Self::Lease(lease) => lease.advance(bytes),
            Self::Bytes(rest) => {
                let bytes = rest.len().min(bytes as usize);
                bytes::Buf::advance(&mut **rest, bytes);
            }
            Self::Scratch(scratch) => scratch.advance(bytes),
        }
    }

    /// The first `bytes` bytes, and what lies behind them.
    #[must_use]
    pub fn split(self, bytes: usize) -> (Self, Option<Self>) {
        if bytes >= self.as_slice().len() {
            return (self, None);
        }
        match self {
            Self::Lease(lease) => {
                let at = u32::try_from(bytes).unwrap_or(u32::MAX);
                let mut rest = lease.clone();
                rest.advance(at);
                (Self::Lease(lease.slice(0..at)), Some(Self::Lease(rest)))
            }
            Self::Bytes(mut first) => {
                let rest = first.split_off(bytes);
                (Self::Bytes(first), Some(Self::Bytes(Box::new(rest))))
            }
            Self::Scratch(mut first) => {
                let behind = first.get(bytes..).unwrap_or_default();
                let rest = Bytes::copy_from_slice(behind);
                first.truncate(bytes);
                (Self::Scratch(first), Some(Self::Bytes(Box::new(rest))))
            }
        }
    }

    /// The same bytes outside the arena: what may wait for long must not hold a receive buffer.
    #[must_use]
    pub fn out_of_arena(mut self) -> Self {
        self.leave_arena();
        self
    }

    /// Moves the bytes out of the arena. Says whether they were in it.
    pub fn leave_arena(&mut self) -> bool {
        let Self::Lease(lease) = self else {
            return false;
        };
        *self = Self::Bytes(Box::new(Bytes::copy_from_slice(lease)));
        true
    }
}

impl Send {
    /// Whether send(2) is cheaper than the ring; the caller knows whether it is for a small send.
    pub(in crate::ring) fn goes_at_once(&self, small_ones_do: bool) -> bool {
        let large = self.data.as_slice().len() >= limits::SEND_AT_ONCE_BYTES;
        self.zero_copy.is_none() && (large || small_ones_do)
    }

    /// Sends by send(2); the result is what a completion would say.
    pub(in crate::ring) fn at_once(self) -> (i32, Payload) {
        // SAFETY: whoever starts a send has its socket open.
        let socket = unsafe { BorrowedFd::borrow_raw(self.socket) };
        let result = match sys::send_at_once(socket, self.data.as_slice()) {
            Ok(sent) => i32::try_from(sent).unwrap_or(i32::MAX),
            Err(errno) => -errno,
        };
        (result, self.payload())
    }

    pub(super) fn encode(self) -> (squeue::Entry, Payload) {
        let socket = types::Fd(self.socket);
        let bytes = self.data.as_slice();
        let (start, length) = (
            bytes.as_ptr(),
            u32::try_from(bytes.len()).unwrap_or(u32::MAX),
        );
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        let entry = match (&self.data, &self.zero_copy) {
            (SendData::Lease(_), Some(_)) => opcode::SendZc::new(socket, start, length)
                .buf_index(Some(ARENA_BUFFER_INDEX))
                .flags(flags)
                .zc_flags(REPORT_USAGE)
                .build(),
            _ => opcode::Send::new(socket, start, length)
                .flags(flags)
                .build(),
        };
        (entry, self.payload())
    }

    fn payload(self) -> Payload {
        match self.data {
            SendData::Lease(lease) => Payload::Lease(lease, self.zero_copy),
            SendData::Bytes(bytes) => Payload::Bytes(bytes),
            SendData::Scratch(scratch) => Payload::Scratch(scratch),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::io::Read;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    fn send(socket: &UnixStream, bytes: usize) -> Send {
        Send {
            socket: socket.as_raw_fd(),
            data: SendData::Bytes(Box::new(Bytes::from(vec![7; bytes]))),
            zero_copy: None,
        }
    }

    #[test]
    fn large_sends_go_at_once_small_ones_when_told_and_zero_copy_never() {
        let (near, _far) = UnixStream::pair().expect("two sockets");
        let limit = limits::SEND_AT_ONCE_BYTES;
        assert!(send(&near, limit).goes_at_once(false));
        assert!(!send(&near, limit - 1).goes_at_once(false));
        assert!(send(&near, 1).goes_at_once(true));
        let zero_copy = Send {
            zero_copy: Some(Rc::default()),
            ..send(&near, limit)
        };
        assert!(!zero_copy.goes_at_once(true));
    }

    #[test]
    fn a_send_at_once_says_what_a_completion_would() {
        let (near, mut far) = UnixStream::pair().expect("two sockets");
        let (result, payload) = send(&near, 10_000).at_once();
        assert_eq!(result, 10_000);
        let Payload::Bytes(kept) = payload else {
            panic!("what was to be sent is kept, whole")
        };
        assert_eq!(kept.len(), 10_000);
        let mut came = vec![0; 10_000];
        far.read_exact(&mut came).expect("it is there already");
        assert!(came.iter().all(|byte| *byte == 7));

        let short = std::iter::repeat_with(|| send(&near, 100_000).at_once().0);
        let full = short.take(1_000).find(|result| *result < 100_000);
        let full = full.expect("a socket that nobody reads is full at some time");
        assert!(full > 0 || full == -libc::EAGAIN, "{full}");

        drop(far);
        assert_eq!(send(&near, 10_000).at_once().0, -libc::EPIPE);
    }
}
