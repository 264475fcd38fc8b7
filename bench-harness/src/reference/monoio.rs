//! A CONNECT relay on monoio's io_uring driver; without io_uring it does not start, for there is no other driver in it.
//! As monoio's own example of a proxy: owned halves, a read and a write by turns in each direction.
//!
//! Its splice was tried instead: the kernel hands that to a worker thread each time, which doubles the CPU of small
//! messages, loses to copies in bulk too, and holds a thread for each direction that rests. Of the ring's set-ups
//! DEFER_TASKRUN is the best by a quarter for small messages.

use std::convert::Infallible;
use std::io;
use std::net::{self, SocketAddr};

use futures_lite::future;
use monoio::buf::IoBufMut;
use monoio::io::{
    AsyncReadRent, AsyncWriteRent, AsyncWriteRentExt, OwnedReadHalf, OwnedWriteHalf, Splitable,
};
use monoio::net::{TcpListener, TcpStream};
use monoio::{IoUringDriver, RuntimeBuilder};

use crate::reference::ring::{self, Completing};
use crate::reference::session::{self, Stream};
use crate::reference::{Kind, announce, survive_shortage};

/// Relays from `listener` until it fails as a whole.
pub(super) fn run(listener: net::TcpListener) -> io::Result<Infallible> {
    let mut runtime = RuntimeBuilder::<IoUringDriver>::new()
        .with_entries(ring::ENTRIES)
        .uring_builder(ring::builder(Completing::Waiting))
        .build()
        .map_err(ring::unavailable)?;
    announce(Kind::Monoio, &listener)?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener)?;
        loop {
            match listener.accept().await {
                Ok((client, _)) => drop(monoio::spawn(session::serve(client))),
                Err(error) => survive_shortage(error)?,
            }
        }
    })
}

impl Stream for TcpStream {
    async fn dial(target: SocketAddr) -> io::Result<Self> {
        let stream = Self::connect_addr(target).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    async fn receive(&mut self, buffer: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
        let start = buffer.len();
        let (came, spare) = self.read(buffer.slice_mut(start..)).await;
        (came, spare.into_inner())
    }

    async fn send(&mut self, buffer: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
        let (sent, buffer) = self.write_all(buffer).await;
        (sent.map(drop), buffer)
    }

    fn reset(&self) {
        ring::reset(self);
    }

    async fn relay(client: Self, target: Self, [up, down]: [Vec<u8>; 2]) {
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_target, mut to_target) = target.into_split();
        let relayed = future::try_zip(
            pump(&mut from_client, &mut to_target, up),
            pump(&mut from_target, &mut to_client, down),
        );
        let relayed = relayed.await; // the first error cancels what the other direction waits for
        let sides = [
            to_client.reunite(from_client),
            to_target.reunite(from_target),
        ];
        if relayed.is_err() {
            sides.iter().flatten().for_each(Self::reset);
        }
    }
}

/// From one side to the other, until the end, which it passes on.
async fn pump(
    from: &mut OwnedReadHalf<TcpStream>,
    to: &mut OwnedWriteHalf<TcpStream>,
    mut buffer: Vec<u8>,
) -> io::Result<()> {
    loop {
        let (came, sent);
        buffer.clear();
        (came, buffer) = from.read(buffer).await;
        if came? == 0 {
            let _ = to.shutdown().await; // not connected any more: the other direction will tell
            return Ok(());
        }
        (sent, buffer) = to.write_all(buffer).await;
        sent?;
    }
}
