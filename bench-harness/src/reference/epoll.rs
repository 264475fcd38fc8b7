//! A CONNECT relay on nothing but epoll, recv and send: one thread, edge-triggered, one buffer for all connections.
//! What a socket does not take at once waits beside it, and until it is gone nothing more is read for it.

mod link;

use std::convert::Infallible;
use std::io;
use std::net::TcpListener;

use nix::sys::epoll::EpollEvent;
use slab::Slab;

use crate::load::{Readiness, socket};
use crate::reference::epoll::link::{Link, Step};
use crate::reference::poller::{Poller, TOKEN_LISTENER};
use crate::reference::{BUFFER_BYTES, Kind, announce, survive_shortage};

const EVENTS_PER_TURN: usize = 256;

/// What every connection uses in its turn.
#[derive(Debug)]
struct Shared {
    poller: Poller,
    buffer: Box<[u8]>,
    forwarded: Vec<u8>,
}

#[derive(Debug)]
struct Relay {
    listener: TcpListener,
    links: Slab<Link>,
    shared: Shared,
    /// Connections that stopped at their budget.
    again: Vec<usize>,
    /// Connections that end after this turn, so that no event of it meets a new one in the same place.
    ended: Vec<usize>,
}

/// Relays from `listener` until it fails as a whole.
pub(super) fn run(listener: TcpListener) -> io::Result<Infallible> {
    announce(Kind::Epoll, &listener)?;
    let poller = Poller::new(&listener)?;
    let mut relay = Relay {
        listener,
        links: Slab::new(),
        shared: Shared {
            poller,
            buffer: vec![0; BUFFER_BYTES].into_boxed_slice(),
            forwarded: Vec::new(),
        },
        again: Vec::new(),
        ended: Vec::new(),
    };
    let mut events = vec![EpollEvent::empty(); EVENTS_PER_TURN];
    loop {
        relay.turn(&mut events)?;
    }
}

impl Relay {
    fn turn(&mut self, events: &mut [EpollEvent]) -> io::Result<()> {
        let again = std::mem::take(&mut self.again);
        for event in self.shared.poller.wait(events, !again.is_empty())? {
            let token = event.data();
            if token == TOKEN_LISTENER {
                self.accept()?;
                continue;
            }
            let (index, side) = ((token / 2) as usize, (token % 2) as usize);
            if let Some(link) = self.links.get_mut(index) {
                link.ready(side, Readiness::from(event.events()));
                self.step(index);
            }
        }
        for index in again {
            self.step(index);
        }
        for index in self.ended.drain(..) {
            let _ = self.links.try_remove(index);
        }
        Ok(())
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let client = match socket::accept(&self.listener) {
                Ok(Some(client)) => client,
                Ok(None) => return Ok(()),
                Err(error) => return survive_shortage(error),
            };
            let place = self.links.vacant_entry();
            self.shared.poller.watch(&client, place.key(), 0)?;
            place.insert(Link::new(client));
        }
    }

    fn step(&mut self, index: usize) {
        let Some(link) = self.links.get_mut(index) else {
            return;
        };
        match link.step(index, &mut self.shared) {
            Step::Wait => {}
            Step::Again if self.again.contains(&index) => {}
            Step::Again => self.again.push(index),
            Step::Ended => self.ended.push(index),
        }
    }
}
