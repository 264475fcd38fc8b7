//! A listening socket of one worker. Never spins when descriptors run out: it sheds one connection with the descriptor
//! it keeps in reserve, and then pauses.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::task::Poll;
use std::time::Duration;

use super::is_shortage;
use crate::limits;
use crate::ring::{Accept, Feature, Key, NextSocket, Op, sys};
use crate::rt::Rt;

/// What the listener has.
#[derive(Debug)]
pub enum Accepted {
    /// A connection.
    Connection(OwnedFd),
    /// A connection that was accepted with the last descriptor: refuse it and close it at once.
    Shed(OwnedFd),
}

/// Accepts connections on one address.
pub struct Listener {
    rt: Rt,
    socket: OwnedFd,
    accept: Option<Key>,
    /// Given up to accept one more connection when there are no descriptors left.
    reserve: Option<OwnedFd>,
    pause: Duration,
}

/// First and longest pause after running out of descriptors.
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_millis(500);

impl Listener {
    /// Wraps a socket from [`sys::bind_listener`].
    ///
    /// # Errors
    /// EMFILE when not even the reserve can be opened.
    pub fn new(rt: &Rt, socket: OwnedFd) -> io::Result<Self> {
        let reserve = Some(sys::eventfd()?);
        Ok(Self {
            rt: rt.clone(),
            socket,
            accept: None,
            reserve,
            pause: PAUSE_MIN,
        })
    }

    /// The address it listens on.
    ///
    /// # Errors
    /// What getsockname(2) says.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        sys::local_address(self.socket.as_fd())
    }

    /// Waits for the next connection.
    ///
    /// # Errors
    /// Errors of accept(2) that will not pass by themselves.
    pub async fn accept(&mut self) -> io::Result<Accepted> {
        loop {
            if self.reserve.is_none() {
                self.reserve = sys::eventfd().ok();
            }
            let rt = self.rt.clone();
            let whole = self.reserve.is_some();
            let next = poll_fn(|_| self.poll_next());
            let next = if whole {
                next.await
            } else {
                // No descriptor for the reserve: looked for again in a while, even if nobody connects.
                match rt.timeout_at(rt.now() + PAUSE_MAX, next).await {
                    Ok(next) => next,
                    Err(_) => continue,
                }
            };
            let errno = match next {
                NextSocket::Socket(socket) => {
                    self.pause = PAUSE_MIN;
                    return Ok(Accepted::Connection(socket));
                }
                NextSocket::Waiting => continue,
                NextSocket::Ended(errno) => errno,
            };
            match errno {
                0
                | libc::EINTR
                | libc::EAGAIN
                | libc::ECONNABORTED
                | libc::EPROTO
                | libc::ENETDOWN => {}
                errno if is_shortage(errno) => {
                    if let Some(socket) = self.shed() {
                        return Ok(Accepted::Shed(socket));
                    }
                    self.rt.sleep_until(self.rt.now() + self.pause).await;
                    self.pause = (self.pause * 2).min(PAUSE_MAX);
                }
                _ => return Err(io::Error::from_raw_os_error(errno)),
            }
        }
    }

    fn poll_next(&mut self) -> Poll<NextSocket> {
        let mut ring = self.rt.ring();
        let owner = self.rt.owner();
        let multishot = ring.capabilities().has(Feature::MultishotAccept);
        let key = *self.accept.get_or_insert_with(|| {
            ring.start(
                Op::Accept(Accept {
                    listener: self.socket.as_raw_fd(),
                    multishot,
                }),
                owner,
            )
        });
        match ring.next_socket(key, owner) {
            NextSocket::Waiting => Poll::Pending,
            NextSocket::Socket(socket) => Poll::Ready(NextSocket::Socket(socket)),
            NextSocket::Ended(errno) => {
                self.accept = None;
                Poll::Ready(NextSocket::Ended(errno))
            }
        }
    }

    /// Accepts one connection with the reserve's descriptor, if there is a reserve to give up.
    fn shed(&mut self) -> Option<OwnedFd> {
        drop(self.reserve.take()?);
        match sys::accept(self.socket.as_fd()) {
            Ok(sys::Accepted::Connection(socket)) => Some(socket),
            Ok(sys::Accepted::Empty) | Err(_) => None,
        }
    }

    /// Stops accepting, and gives the connections that were accepted or waiting already: nobody is turned away whom the
    /// kernel has let in.
    pub async fn stop(mut self) -> Vec<OwnedFd> {
        let mut last = Vec::new();
        if let Some(key) = self.accept {
            self.rt.ring().cancel(key);
            while let NextSocket::Socket(socket) = poll_fn(|_| self.poll_next_unarmed()).await {
                last.push(socket);
            }
        }
        while last.len() < limits::LISTEN_BACKLOG as usize
            && let Ok(sys::Accepted::Connection(socket)) = sys::accept(self.socket.as_fd())
        {
            last.push(socket);
        }
        last
    }

    fn poll_next_unarmed(&mut self) -> Poll<NextSocket> {
        if self.accept.is_some() {
            self.poll_next()
        } else {
            Poll::Ready(NextSocket::Ended(0))
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(key) = self.accept {
            let mut ring = self.rt.ring();
            ring.abandon(key);
            let _ = ring.flush();
        }
    }
}
