//! A UDP socket connected to one peer, for questions to a name server.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::task::Poll;

use bytes::Bytes;

use super::stream::{Incoming, RecvHalf};
use crate::ring::{Key, Lease, Op, Send, SendData, sys};
use crate::rt::Rt;

/// Sends to and receives from one address only.
pub struct UdpSocket {
    rt: Rt,
    socket: OwnedFd,
    recv: RecvHalf,
    send: Option<Key>,
}

impl UdpSocket {
    /// A socket with a source port of the kernel's choice.
    ///
    /// # Errors
    /// What socket(2) or connect(2) says.
    pub fn connect(rt: &Rt, server: SocketAddr) -> io::Result<Self> {
        Ok(Self {
            rt: rt.clone(),
            socket: sys::udp_socket(server)?,
            recv: RecvHalf::default(),
            send: None,
        })
    }

    /// Sends one datagram.
    ///
    /// # Errors
    /// What send(2) says; ECONNREFUSED when an earlier datagram was answered by ICMP.
    pub async fn send(&mut self, datagram: Bytes) -> io::Result<()> {
        let data = SendData::Bytes(Box::new(datagram));
        let send = Send {
            socket: self.socket.as_raw_fd(),
            data,
            zero_copy: None,
        };
        let key = self.rt.ring().start(Op::Send(send), self.rt.owner());
        self.send = Some(key);
        let outcome = poll_fn(
            |_| match self.rt.ring().send_outcome(key, self.rt.owner()) {
                Some(outcome) => Poll::Ready(outcome),
                None => Poll::Pending,
            },
        )
        .await;
        self.send = None;
        outcome
            .result
            .map(drop)
            .map_err(io::Error::from_raw_os_error)
    }

    /// Receives one datagram, cut to the size of a receive buffer; an empty one is not told from none and is skipped.
    ///
    /// # Errors
    /// What recv(2) says; ECONNREFUSED when nobody listens there.
    pub async fn recv(&mut self) -> io::Result<Lease> {
        loop {
            match poll_fn(|_| self.recv.poll(&self.rt, self.socket.as_fd())).await {
                Incoming::Bytes(lease) => return Ok(lease),
                Incoming::Fin => {}
                Incoming::Failed(errno) => return Err(io::Error::from_raw_os_error(errno)),
            }
        }
    }
}

impl Drop for UdpSocket {
    fn drop(&mut self) {
        let received = self.recv.abandon(&self.rt);
        let sent = self
            .send
            .take()
            .map(|key| self.rt.ring().abandon(key))
            .is_some();
        if received || sent {
            // As for a TCP stream: no queued submission may name a descriptor that is free again.
            let _ = self.rt.ring().flush();
        }
    }
}
