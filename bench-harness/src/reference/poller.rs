//! What the relays on plain epoll ask of it: who there is to accept, and which side of which connection is ready.
//! Edge-triggered. Side `token % 2` of the connection `token / 2` is 0 for the client and 1 for the target.

use std::io;
use std::net::{TcpListener, TcpStream};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

pub(super) const TOKEN_LISTENER: u64 = u64::MAX;

#[derive(Debug)]
pub(super) struct Poller {
    epoll: Epoll,
}

impl Poller {
    pub(super) fn new(listener: &TcpListener) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(
            listener,
            EpollEvent::new(EpollFlags::EPOLLIN, TOKEN_LISTENER),
        )?;
        Ok(Self { epoll })
    }

    /// Has the events of a connection's side come with its token.
    pub(super) fn watch(&self, socket: &TcpStream, index: usize, side: usize) -> io::Result<()> {
        let flags = EpollFlags::EPOLLIN
            | EpollFlags::EPOLLOUT
            | EpollFlags::EPOLLRDHUP
            | EpollFlags::EPOLLET;
        let token = (index * 2 + side) as u64;
        Ok(self.epoll.add(socket, EpollEvent::new(flags, token))?)
    }

    /// The events that there are; waits for some unless there is other work.
    pub(super) fn wait<'a>(
        &self,
        events: &'a mut [EpollEvent],
        has_work: bool,
    ) -> io::Result<&'a [EpollEvent]> {
        let timeout = match has_work {
            true => EpollTimeout::ZERO,
            false => EpollTimeout::NONE,
        };
        let count = match self.epoll.wait(events, timeout) {
            Err(Errno::EINTR) => 0,
            other => other?,
        };
        Ok(&events[..count])
    }
}
