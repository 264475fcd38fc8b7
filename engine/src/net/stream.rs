//! A connected TCP socket in two halves: what comes in, what goes out. Each half has at most one operation in the ring.
//!
//! Receiving keeps a (multishot) receive armed and starts it again for every reason that is not the end of the stream.
//! It is only armed again when somebody asks for more, so a reader that stops asking holds the sender back.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::task::{Poll, ready};

use bytes::Bytes;

use crate::ring::{
    Feature, Interest, Key, Lease, Op, Poll as PollOp, Received, Recv, RecvEnd, RecvMode, Send,
    SendData, SendOutcome, sys,
};
use crate::rt::{Operation, Rt};

/// What a stream has received.
#[derive(Debug)]
pub enum Incoming {
    /// Bytes, in order.
    Bytes(Lease),
    /// The peer's FIN, after all its bytes.
    Fin,
    /// The connection failed with this errno; ECONNRESET is the peer's RST.
    Failed(i32),
}

/// The connection was lost, with this errno.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamGone(pub i32);

impl From<StreamGone> for io::Error {
    fn from(StreamGone(errno): StreamGone) -> Self {
        Self::from_raw_os_error(errno)
    }
}

/// The receiving half of any socket.
#[derive(Debug, Default)]
pub(super) struct RecvHalf {
    key: Option<Key>,
    /// The last receive found no buffer.
    starved: bool,
}

impl RecvHalf {
    /// Takes what came next, arming a receive if none is.
    pub(super) fn poll(&mut self, rt: &Rt, socket: BorrowedFd<'_>) -> Poll<Incoming> {
        if let Poll::Ready(incoming) = self.poll_received(rt) {
            return Poll::Ready(incoming);
        }
        if self.key.is_none() {
            ready!(self.poll_turn(rt));
            let mut ring = rt.ring();
            let multishot = ring.capabilities().has(Feature::MultishotRecv);
            let mode = if multishot {
                RecvMode::Multishot
            } else {
                RecvMode::OneShot
            };
            let recv = Recv {
                socket: socket.as_raw_fd(),
                mode,
            };
            self.key = Some(ring.start(Op::Recv(recv), rt.owner()));
        }
        Poll::Pending
    }

    /// Takes what has come already, and arms nothing.
    fn poll_received(&mut self, rt: &Rt) -> Poll<Incoming> {
        let Some(key) = self.key else {
            return Poll::Pending;
        };
        let end = match rt.ring().receive(key, rt.owner()) {
            Received::Bytes(lease) => return Poll::Ready(Incoming::Bytes(lease)),
            Received::Waiting => return Poll::Pending,
            Received::Ended(end) => end,
        };
        self.key = None;
        match end {
            RecvEnd::Fin => Poll::Ready(Incoming::Fin),
            RecvEnd::Failed(errno) => Poll::Ready(Incoming::Failed(errno)),
            RecvEnd::Spent | RecvEnd::Cancelled => Poll::Pending,
            RecvEnd::NoBuffers => {
                self.starved = true;
                rt.wait_for_buffer();
                Poll::Pending
            }
        }
    }

    /// Waits for its turn after a receive that found no buffer.
    fn poll_turn(&mut self, rt: &Rt) -> Poll<()> {
        if self.starved && rt.waits_for_buffer() {
            return Poll::Pending;
        }
        self.starved = false;
        Poll::Ready(())
    }

    fn cancel(&self, rt: &Rt) {
        if let Some(key) = self.key {
            rt.ring().cancel(key);
        }
    }

    pub(super) fn abandon(&mut self, rt: &Rt) -> bool {
        self.key.take().map(|key| rt.ring().abandon(key)).is_some()
    }
}

/// A connected TCP socket.
pub struct TcpStream {
    rt: Rt,
    socket: OwnedFd,
    recv: RecvHalf,
    send: Option<Key>,
    /// Dropped now, it would end something that must not look whole.
    unfinished: bool,
}

impl TcpStream {
    /// A stream over a socket that is connected and non-blocking.
    #[must_use]
    pub fn new(rt: &Rt, socket: OwnedFd) -> Self {
        Self {
            rt: rt.clone(),
            socket,
            recv: RecvHalf::default(),
            send: None,
            unfinished: false,
        }
    }

    /// The address at the other end.
    ///
    /// # Errors
    /// ENOTCONN when the connection is gone already.
    pub fn peer_address(&self) -> io::Result<SocketAddr> {
        sys::peer_address(self.socket.as_fd())
    }

    /// The address at this end.
    ///
    /// # Errors
    /// What getsockname(2) says.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        sys::local_address(self.socket.as_fd())
    }

    /// Takes what came next. Pending arms a receive.
    pub fn poll_incoming(&mut self) -> Poll<Incoming> {
        let incoming = self.recv.poll(&self.rt, self.socket.as_fd());
        incoming.map(|incoming| self.unless_reset(incoming))
    }

    /// Asks the kernel to stop receiving for now: what has come already is taken with [`Self::poll_received`], until
    /// [`Self::receiving`] says that nothing more comes. [`Self::poll_incoming`] starts again.
    pub fn pause_incoming(&self) {
        self.recv.cancel(&self.rt);
    }

    /// Takes what has come already, and arms nothing.
    pub fn poll_received(&mut self) -> Poll<Incoming> {
        let incoming = self.recv.poll_received(&self.rt);
        incoming.map(|incoming| self.unless_reset(incoming))
    }

    /// The kernel tells of an RST once. When a send was told, the receive takes it for the end of the stream.
    fn unless_reset(&self, incoming: Incoming) -> Incoming {
        match incoming {
            Incoming::Fin => self.send_failure().map_or(Incoming::Fin, Incoming::Failed),
            _ => incoming,
        }
    }

    /// The errno of a send whose outcome was not taken yet.
    #[must_use]
    pub fn send_failure(&self) -> Option<i32> {
        self.send.and_then(|key| self.rt.ring().failure(key))
    }

    /// The errno that ended the receive, before what came in front of it is taken.
    #[must_use]
    pub fn recv_failure(&self) -> Option<i32> {
        self.recv.key.and_then(|key| self.rt.ring().failure(key))
    }

    /// What the connection has failed with, if nobody was told yet; whoever asks has been told.
    #[must_use]
    pub fn take_error(&self) -> Option<i32> {
        sys::take_error(self.socket.as_fd())
    }

    /// The last receive found no buffer, and none was armed since: what the kernel has for it is not known.
    #[must_use]
    pub fn starved(&self) -> bool {
        self.recv.starved
    }

    /// Whether a receive is armed or has something to take.
    #[must_use]
    pub fn receiving(&self) -> bool {
        self.recv.key.is_some()
    }

    /// Whether the kernel has a receive, which would tell of a failure. One whose inbox is full is over.
    #[must_use]
    pub fn listening(&self) -> bool {
        self.recv
            .key
            .is_some_and(|key| self.rt.ring().in_flight(key))
    }

    /// Forgets that a receive found no buffer: what comes is not received into one any more.
    pub fn forget_starved(&mut self) {
        self.recv.starved = false;
    }

    /// Starts a send; the previous one must be over. With `zero_copy` it is a SEND_ZC, which counts there when the
    /// kernel copied after all.
    pub fn start_send(&mut self, data: SendData, zero_copy: Option<Rc<Cell<u32>>>) {
        debug_assert!(
            self.send.is_none(),
            "one send at a time keeps the bytes in order"
        );
        let send = Send {
            socket: self.socket.as_raw_fd(),
            data,
            zero_copy,
        };
        self.send = Some(self.rt.ring().start(Op::Send(send), self.rt.owner()));
    }

    /// Whether a send is in flight or its outcome not taken yet.
    #[must_use]
    pub fn sending(&self) -> bool {
        self.send.is_some()
    }

    /// The outcome of the send. Pending as well when there is none.
    pub fn poll_sent(&mut self) -> Poll<SendOutcome> {
        let Some(key) = self.send else {
            return Poll::Pending;
        };
        match self.rt.ring().send_outcome(key, self.rt.owner()) {
            Some(outcome) => {
                self.send = None;
                Poll::Ready(outcome)
            }
            None => Poll::Pending,
        }
    }

    /// Waits until the socket is ready.
    #[must_use]
    pub fn readiness(&self, interest: Interest) -> Operation {
        Operation::start(
            &self.rt,
            Op::Poll(PollOp {
                descriptor: self.socket.as_raw_fd(),
                interest,
            }),
        )
    }

    /// Receives; `None` is the peer's FIN.
    ///
    /// # Errors
    /// [`StreamGone`] when the connection failed.
    pub async fn recv(&mut self) -> Result<Option<Lease>, StreamGone> {
        match poll_fn(|_| self.poll_incoming()).await {
            Incoming::Bytes(lease) => Ok(Some(lease)),
            Incoming::Fin => Ok(None),
            Incoming::Failed(errno) => Err(StreamGone(errno)),
        }
    }

    /// Sends all of `bytes`.
    ///
    /// # Errors
    /// [`StreamGone`] when the connection failed.
    pub async fn send_all(&mut self, bytes: Bytes) -> Result<(), StreamGone> {
        // One that was begun before and given up on.
        if self.sending() {
            let _ = poll_fn(|_| self.poll_sent()).await;
        }
        let mut data = SendData::Bytes(Box::new(bytes));
        while !data.as_slice().is_empty() {
            self.start_send(data, None);
            let outcome = poll_fn(|_| self.poll_sent()).await;
            data = outcome.data;
            match outcome.result {
                Ok(sent) => data.advance(sent),
                Err(libc::EAGAIN | libc::EINTR) => {
                    let _ = self.readiness(Interest::Writable).await;
                }
                Err(errno) => return Err(StreamGone(errno)),
            }
        }
        Ok(())
    }

    /// Sends FIN, after everything sent so far.
    ///
    /// # Errors
    /// [`StreamGone`] when the peer has reset the connection.
    pub fn shutdown_write(&self) -> Result<(), StreamGone> {
        sys::shutdown(self.socket.as_fd(), sys::Shutdown::Write)
            .map_err(|error| StreamGone(error.raw_os_error().unwrap_or(libc::ENOTCONN)))
    }

    /// Makes the close send RST.
    pub fn reset_on_close(&self) {
        // Fails only for a descriptor that is no socket.
        let _ = sys::set_reset_on_close(self.socket.as_fd());
    }

    /// Whether being dropped, as happens when the worker ends, is to send RST: in the middle of a message FIN could be
    /// taken for its end.
    pub fn set_unfinished(&mut self, unfinished: bool) {
        self.unfinished = unfinished;
    }

    /// The socket alone, for somebody who is not on this core. No operation may be in flight.
    ///
    /// # Errors
    /// EMFILE, and the socket is closed: there are two descriptors of it for a moment.
    pub fn into_socket(self) -> io::Result<OwnedFd> {
        debug_assert!(
            !self.sending() && !self.receiving(),
            "an operation is this core's"
        );
        sys::duplicate(self.socket.as_fd())
    }

    /// Asks for every operation of this stream back.
    pub fn begin_close(&self) {
        self.recv.cancel(&self.rt);
        if let Some(key) = self.send {
            self.rt.ring().cancel(key);
        }
    }

    /// Ready when the kernel has no operation of this stream any more; then dropping it closes the socket.
    pub fn poll_joined(&mut self) -> Poll<()> {
        if self.send.is_some() {
            ready!(self.poll_sent());
        }
        // What still comes is not wanted, but its buffers are.
        while let Some(key) = self.recv.key {
            match self.rt.ring().receive(key, self.rt.owner()) {
                Received::Bytes(_) => {}
                Received::Waiting => return Poll::Pending,
                Received::Ended(_) => self.recv.key = None,
            }
        }
        Poll::Ready(())
    }

    /// Closes: asks for the operations back, waits for them, then lets go of the socket.
    pub async fn close(mut self) {
        self.begin_close();
        poll_fn(|_| self.poll_joined()).await;
    }
}

impl AsFd for TcpStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for TcpStream {
    fn drop(&mut self) {
        if self.unfinished {
            self.reset_on_close();
        }
        let received = self.recv.abandon(&self.rt);
        let sent = self
            .send
            .take()
            .map(|key| self.rt.ring().abandon(key))
            .is_some();
        if received || sent {
            // A submission still queued names this descriptor, whose number is free from now on: hand it over first.
            let _ = self.rt.ring().flush();
        }
    }
}
