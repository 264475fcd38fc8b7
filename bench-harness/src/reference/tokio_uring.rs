//! A CONNECT relay on tokio-uring 0.5, the newest there is (2024), which waits for its ring with tokio's epoll. As its
//! own examples: a read and a write by turns in each direction, one task for both. DEFER_TASKRUN is not for it, as it
//! never asks the ring for events; COOP_TASKRUN is the best of the others.
//!
//! A dropped future does not end what it had under way there, and until that ends its socket stays open: so one
//! direction that is broken has to wake the other, by a shutdown, before the sockets can be closed.

use std::cell::Cell;
use std::convert::Infallible;
use std::io;
use std::net::{self, Shutdown, SocketAddr};

use futures_lite::future;
use tokio_uring::Runtime;
use tokio_uring::buf::BoundedBuf;
use tokio_uring::net::{TcpListener, TcpStream};

use crate::reference::ring::{self, Completing};
use crate::reference::session::{self, Stream};
use crate::reference::{Kind, announce, survive_shortage};

/// Relays from `listener` until it fails as a whole.
pub(super) fn run(listener: net::TcpListener) -> io::Result<Infallible> {
    let mut builder = tokio_uring::builder();
    builder
        .entries(ring::ENTRIES)
        .uring_builder(&ring::builder(Completing::Entering));
    let runtime = Runtime::new(&builder).map_err(ring::unavailable)?;
    announce(Kind::TokioUring, &listener)?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener);
        loop {
            match listener.accept().await {
                Ok((client, _)) => drop(tokio_uring::spawn(session::serve(client))),
                Err(error) => survive_shortage(error)?,
            }
        }
    })
}

impl Stream for TcpStream {
    async fn dial(target: SocketAddr) -> io::Result<Self> {
        let stream = Self::connect(target).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    async fn receive(&mut self, buffer: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
        let start = buffer.len();
        let (came, spare) = self.read(buffer.slice(start..)).await;
        (came, spare.into_inner())
    }

    async fn send(&mut self, buffer: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
        self.write_all(buffer).await
    }

    fn reset(&self) {
        ring::reset(self);
    }

    async fn relay(client: Self, target: Self, [up, down]: [Vec<u8>; 2]) {
        let tunnel = Tunnel {
            sides: [client, target],
            sending: Default::default(),
            broken: Cell::new(false),
        };
        future::zip(tunnel.pump(0, up), tunnel.pump(1, down)).await;
    }
}

/// Two sides; direction `n` reads from side `n`.
struct Tunnel {
    sides: [TcpStream; 2],
    /// Directions that wait for the other side to take what came.
    sending: [Cell<bool>; 2],
    broken: Cell<bool>,
}

impl Tunnel {
    /// From side `from` to the other, until the end, which it passes on, or until one of them is broken.
    async fn pump(&self, from: usize, mut buffer: Vec<u8>) {
        let [source, sink] = [&self.sides[from], &self.sides[1 - from]];
        loop {
            let (came, sent);
            buffer.clear();
            (came, buffer) = source.read(buffer).await;
            match came {
                _ if self.broken.get() => return,
                Ok(0) => {
                    let _ = sink.shutdown(Shutdown::Write); // not connected any more: the other direction will tell
                    return;
                }
                Ok(_) => {}
                Err(_) => return self.break_off(from),
            }
            self.sending[from].set(true);
            (sent, buffer) = sink.write_all(buffer).await;
            self.sending[from].set(false);
            match sent {
                _ if self.broken.get() => return,
                Ok(()) => {}
                Err(_) => return self.break_off(from),
            }
        }
    }

    /// Has both sides reset when they are closed, and wakes the other direction without a FIN: one that reads by the
    /// end of its reading, one whose bytes are not taken by a shutdown whose FIN stands behind those bytes.
    fn break_off(&self, from: usize) {
        self.broken.set(true);
        self.sides.iter().for_each(ring::reset);
        let _ = match self.sending[1 - from].get() {
            true => self.sides[from].shutdown(Shutdown::Both),
            false => self.sides[1 - from].shutdown(Shutdown::Read),
        };
    }
}
