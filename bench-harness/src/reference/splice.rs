//! The floor to compare bulk with: a plain TCP relay that is nothing but epoll and splice(2). One thread, one fixed
//! target, no request, no policy, no timeouts, no counters. It still relays every byte, passes FIN as FIN and a
//! broken connection as a reset, and shares its pipes, since a relay that did less would be no relay.

use std::convert::Infallible;
use std::io::{self, PipeReader, PipeWriter};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SpliceFFlags, fcntl, splice};
use nix::sys::epoll::EpollEvent;
use slab::Slab;
use socket2::SockRef;

use crate::load::{Readiness, socket};
use crate::reference::poller::{Poller, TOKEN_LISTENER};
use crate::reference::survive_shortage;

/// Splices in a row for one direction before the others have their turn.
const ROUNDS_PER_STEP: usize = 4;

const EVENTS_PER_TURN: usize = 256;

/// A pipe, empty whenever nobody holds it.
#[derive(Debug)]
struct Pipe {
    reader: PipeReader,
    writer: PipeWriter,
}

/// From one side to the other.
#[derive(Debug, Default)]
struct Direction {
    pipe: Option<Pipe>,
    in_pipe: usize,
    readable: bool,
    writable: bool,
    ended: bool,
}

/// A client and its connection to the target: sides 0 and 1; direction `n` reads from side `n`.
#[derive(Debug)]
struct Pair {
    sides: [TcpStream; 2],
    directions: [Direction; 2],
    /// It ends with this turn: what its sockets say now would look like a FIN.
    broken: bool,
}

/// Pipes that are free, and how large they are made.
#[derive(Debug)]
struct Pipes {
    free: Vec<Pipe>,
    bytes: usize,
}

/// What is left to do for a direction.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Wait,
    Again,
    Ended,
}

/// Relays from `listener` to `target` until it fails as a whole.
pub(super) fn run(
    listener: TcpListener,
    target: SocketAddr,
    pipe_bytes: usize,
) -> io::Result<Infallible> {
    let mut relay = Relay {
        poller: Poller::new(&listener)?,
        listener,
        target,
        pairs: Slab::new(),
        pipes: Pipes {
            free: Vec::new(),
            bytes: pipe_bytes,
        },
        again: Vec::new(),
        ended: Vec::new(),
    };
    let mut events = vec![EpollEvent::empty(); EVENTS_PER_TURN];
    loop {
        relay.turn(&mut events)?;
    }
}

#[derive(Debug)]
struct Relay {
    poller: Poller,
    listener: TcpListener,
    target: SocketAddr,
    pairs: Slab<Pair>,
    pipes: Pipes,
    /// Directions, as tokens, that stopped at their budget.
    again: Vec<u64>,
    /// Pairs that end after this turn, so that no event of it meets a new pair in the same place.
    ended: Vec<usize>,
}

impl Relay {
    fn turn(&mut self, events: &mut [EpollEvent]) -> io::Result<()> {
        let again = std::mem::take(&mut self.again);
        for event in self.poller.wait(events, !again.is_empty())? {
            if event.data() == TOKEN_LISTENER {
                self.accept()?;
            } else {
                self.ready(event.data(), Readiness::from(event.events()));
            }
        }
        for token in again {
            self.step(token);
        }
        for index in self.ended.drain(..) {
            let _ = self.pairs.try_remove(index);
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
            let Ok(target) = socket::dial_plain(self.target) else {
                reset(&client);
                continue;
            };
            let sides = [client, target];
            let place = self.pairs.vacant_entry();
            for (side, socket) in sides.iter().enumerate() {
                self.poller.watch(socket, place.key(), side)?;
            }
            place.insert(Pair {
                sides,
                directions: Default::default(),
                broken: false,
            });
        }
    }

    /// Side `token % 2` of a pair is ready: for reading its own direction, for writing the other one.
    fn ready(&mut self, token: u64, readiness: Readiness) {
        let (index, side) = ((token / 2) as usize, (token % 2) as usize);
        let Some(pair) = self.pairs.get_mut(index) else {
            return;
        };
        pair.directions[side].readable |= readiness.readable;
        pair.directions[1 - side].writable |= readiness.writable;
        if readiness.readable {
            self.step(token);
        }
        if readiness.writable {
            self.step(token ^ 1);
        }
    }

    fn step(&mut self, token: u64) {
        let (index, from) = ((token / 2) as usize, (token % 2) as usize);
        let pair = self.pairs.get_mut(index).filter(|pair| !pair.broken);
        let Some(pair) = pair else {
            return;
        };
        let [source, sink] = [&pair.sides[from], &pair.sides[1 - from]];
        match pair.directions[from].step(source, sink, &mut self.pipes) {
            Ok(Step::Wait) => {}
            Ok(Step::Again) if self.again.contains(&token) => {}
            Ok(Step::Again) => self.again.push(token),
            Ok(Step::Ended) => {
                if pair.directions.iter().all(Direction::is_over) {
                    self.ended.push(index);
                }
            }
            Err(_) => {
                pair.broken = true;
                pair.sides.iter().for_each(reset);
                self.ended.push(index);
            }
        }
    }
}

impl Direction {
    fn is_over(&self) -> bool {
        self.ended && self.in_pipe == 0
    }

    fn step(
        &mut self,
        source: &TcpStream,
        sink: &TcpStream,
        pipes: &mut Pipes,
    ) -> io::Result<Step> {
        for _ in 0..ROUNDS_PER_STEP {
            if self.in_pipe == 0 && !self.fill(source, pipes)? {
                if !self.ended {
                    return Ok(Step::Wait);
                }
                let _ = sink.shutdown(Shutdown::Write); // not connected any more: the other direction will tell
                return Ok(Step::Ended);
            }
            if !self.empty(sink, pipes)? {
                return Ok(Step::Wait);
            }
        }
        Ok(Step::Again)
    }

    /// From the socket into an empty pipe; false if nothing came.
    fn fill(&mut self, source: &TcpStream, pipes: &mut Pipes) -> io::Result<bool> {
        if self.ended || !self.readable {
            return Ok(false);
        }
        let pipe = pipes.take()?;
        let flags = SpliceFFlags::SPLICE_F_MOVE | SpliceFFlags::SPLICE_F_NONBLOCK;
        match splice(source, None, &pipe.writer, None, pipes.bytes, flags) {
            Ok(0) => self.ended = true,
            Ok(count) => self.in_pipe = count,
            Err(Errno::EAGAIN) => self.readable = false, // the pipe is empty, so it is the socket that is, too
            Err(error) => return Err(error.into()),
        }
        match self.in_pipe {
            0 => pipes.free.push(pipe),
            _ => self.pipe = Some(pipe),
        }
        Ok(self.in_pipe > 0)
    }

    /// From the pipe into the socket; false if bytes are left.
    fn empty(&mut self, sink: &TcpStream, pipes: &mut Pipes) -> io::Result<bool> {
        let flags = SpliceFFlags::SPLICE_F_MOVE | SpliceFFlags::SPLICE_F_NONBLOCK;
        while self.writable
            && let Some(pipe) = &self.pipe
        {
            match splice(&pipe.reader, None, sink, None, self.in_pipe, flags) {
                Ok(count) => self.in_pipe -= count,
                Err(Errno::EAGAIN) => self.writable = false,
                Err(error) => return Err(error.into()),
            }
            if self.in_pipe == 0 {
                pipes.free.extend(self.pipe.take());
            }
        }
        Ok(self.in_pipe == 0)
    }
}

impl Pipes {
    fn take(&mut self) -> io::Result<Pipe> {
        if let Some(pipe) = self.free.pop() {
            return Ok(pipe);
        }
        let (reader, writer) = io::pipe()?;
        let bytes = i32::try_from(self.bytes).unwrap_or(i32::MAX);
        fcntl(&writer, FcntlArg::F_SETPIPE_SZ(bytes))?;
        Ok(Pipe { reader, writer })
    }
}

/// Makes the coming close a reset.
fn reset(socket: &TcpStream) {
    let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
}
