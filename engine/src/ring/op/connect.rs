//! CONNECT (5.5).

use std::net::SocketAddr;
use std::os::fd::RawFd;

use io_uring::{opcode, squeue, types};

use crate::ring::slab::Payload;
use crate::ring::sys::SocketAddress;

/// Connects a socket; the result is 0 or the error of connect(2).
#[derive(Debug, Clone, Copy)]
pub struct Connect {
    /// The socket.
    pub socket: RawFd,
    /// Where to.
    pub address: SocketAddr,
}

impl Connect {
    pub(super) fn encode(self) -> (squeue::Entry, Payload) {
        let address = Box::new(SocketAddress::new(self.address));
        let entry =
            opcode::Connect::new(types::Fd(self.socket), address.as_ptr(), address.bytes()).build();
        (entry, Payload::Address(address))
    }
}
