//! A client's connection to the relay on epoll and the one to its target: requests and answers first, bytes both ways
//! once it is a tunnel.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::SockRef;

use super::Shared;
use crate::load::{Readiness, socket};
use crate::reference::connect_head::{self, Asked, ESTABLISHED, Refusal, Then, What};

/// Receives in a row before the others have their turn.
const ROUNDS_PER_STEP: usize = 4;

/// One end: a socket, and what epoll has said about it.
#[derive(Debug)]
struct Side {
    socket: TcpStream,
    readable: bool,
    writable: bool,
    /// The other end has ended or is broken: read on until that shows.
    ended: bool,
    /// Bytes that it is still to be sent.
    owed: Vec<u8>,
    /// Its end has been read, and passed on.
    finished: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Request,
    Dialling(What),
    Answer {
        last: bool,
    },
    Body {
        left: u64,
        last: bool,
    },
    Tunnel,
    /// Only what is owed to the client is left.
    Closing,
    Over,
}

/// Both connections.
#[derive(Debug)]
pub(super) struct Link {
    client: Side,
    target: Option<(SocketAddr, Side)>,
    phase: Phase,
    /// What came from the client since its last request.
    request: Vec<u8>,
    /// The start of an answer whose head is not whole yet.
    answer: Vec<u8>,
}

/// What is left to do for a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Wait,
    Again,
    Ended,
}

/// What ends a connection early.
#[derive(Debug)]
enum Failure {
    /// The client can still be told.
    Refused(Refusal),
    /// An answer is cut short, or nobody is there to be told.
    Broken,
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<io::Error> for Failure {
    fn from(_: io::Error) -> Self {
        Self::Broken
    }
}

impl Link {
    pub(super) fn new(client: TcpStream) -> Self {
        Self {
            client: Side::new(client),
            target: None,
            phase: Phase::Request,
            request: Vec::new(),
            answer: Vec::new(),
        }
    }

    /// Notes what epoll says about the client (0) or the target (1).
    pub(super) fn ready(&mut self, side: usize, readiness: Readiness) {
        let side = match (side, &mut self.target) {
            (0, _) => &mut self.client,
            (_, Some((_, target))) => target,
            (_, None) => return,
        };
        side.readable |= readiness.readable;
        side.writable |= readiness.writable;
        side.ended |= readiness.ended;
    }

    /// Goes on as far as it can, within a budget.
    pub(super) fn step(&mut self, index: usize, shared: &mut Shared) -> Step {
        for _ in 0..ROUNDS_PER_STEP {
            let goes_on = self.advance(index, shared).unwrap_or_else(|failure| {
                self.fail(&failure);
                false
            });
            if self.phase == Phase::Over {
                return Step::Ended;
            }
            if !goes_on {
                return Step::Wait;
            }
        }
        Step::Again
    }

    fn fail(&mut self, failure: &Failure) {
        self.phase = Phase::Over;
        match failure {
            Failure::Refused(refusal) => {
                let _ = self.client.send(refusal.reply());
            }
            Failure::Broken => {
                self.client.reset();
                self.target.iter().for_each(|(_, target)| target.reset());
            }
        }
    }

    /// One round; false if it is time to wait.
    fn advance(&mut self, index: usize, shared: &mut Shared) -> Result<bool, Failure> {
        self.client.flush()?;
        match self.phase {
            Phase::Request => self.read_request(index, shared),
            Phase::Dialling(what) => self.connected(what),
            Phase::Answer { last } => self.read_answer(last, shared),
            Phase::Body { left, last } => self.pass_body(left, last, shared),
            Phase::Tunnel => self.relay(shared),
            Phase::Closing if self.client.owed.is_empty() => {
                self.phase = Phase::Over;
                Ok(false)
            }
            Phase::Closing | Phase::Over => Ok(false),
        }
    }

    fn read_request(&mut self, index: usize, shared: &mut Shared) -> Result<bool, Failure> {
        if !self.client.owed.is_empty() {
            return Ok(false); // an answer that is not taken keeps the next request waiting
        }
        if let Some(asked) = connect_head::request(&self.request, &mut shared.forwarded)? {
            self.request.drain(..asked.bytes);
            return self.start(asked, index, shared);
        }
        match self.client.receive(&mut shared.buffer)? {
            None => return Ok(false),
            Some(0) if self.request.is_empty() => self.phase = Phase::Over,
            Some(0) => return Err(Failure::Broken),
            Some(count) => self.request.extend_from_slice(&shared.buffer[..count]),
        }
        Ok(true)
    }

    /// Goes to the target that was asked for.
    fn start(&mut self, asked: Asked, index: usize, shared: &Shared) -> Result<bool, Failure> {
        let gateway = |_| Refusal::Gateway;
        let target = self.target.as_mut();
        let kept = target.filter(|(there, side)| *there == asked.target && !side.ended);
        let is_kept = kept.is_some();
        let (_, target) = match kept {
            Some(kept) => kept,
            None => {
                let socket = socket::dial_plain(asked.target).map_err(gateway)?;
                shared.poller.watch(&socket, index, 1).map_err(gateway)?;
                self.target.insert((asked.target, Side::new(socket)))
            }
        };
        let first = match asked.what {
            What::Tunnel => &self.request,
            What::Answer { .. } => &shared.forwarded,
        };
        target.send(first).map_err(gateway)?;
        if is_kept {
            return self.open(asked.what);
        }
        self.phase = Phase::Dialling(asked.what);
        Ok(true)
    }

    fn connected(&mut self, what: What) -> Result<bool, Failure> {
        let Some((_, target)) = &mut self.target else {
            return Err(Failure::Broken);
        };
        if !target.writable {
            return Ok(false);
        }
        match target.socket.take_error() {
            Ok(None) => self.open(what),
            _ => Err(Refusal::Gateway.into()),
        }
    }

    /// The target has been reached.
    fn open(&mut self, what: What) -> Result<bool, Failure> {
        match what {
            What::Answer { last } => self.phase = Phase::Answer { last },
            What::Tunnel => {
                self.client.send(ESTABLISHED)?;
                self.request = Vec::new();
                self.phase = Phase::Tunnel;
            }
        }
        Ok(true)
    }

    fn read_answer(&mut self, last: bool, shared: &mut Shared) -> Result<bool, Failure> {
        let Some((_, target)) = &mut self.target else {
            return Err(Failure::Broken);
        };
        target.flush().or(Err(Refusal::Gateway))?;
        let count = match target.receive(&mut shared.buffer) {
            Ok(None) => return Ok(false),
            Ok(Some(0)) | Err(_) => return Err(Refusal::Gateway.into()),
            Ok(Some(count)) => count,
        };
        let came = &shared.buffer[..count];
        if self.answer.is_empty() {
            self.take_answer(came, last)?;
        } else {
            self.answer.extend_from_slice(came);
            let whole = std::mem::take(&mut self.answer);
            self.take_answer(&whole, last)?;
        }
        Ok(true)
    }

    /// Passes an answer on as far as it has come, interim ones before it too.
    fn take_answer(&mut self, mut came: &[u8], last: bool) -> Result<(), Failure> {
        loop {
            let Some(answer) = connect_head::answer(came)? else {
                self.answer = came.to_vec();
                return Ok(());
            };
            let (head, body) = came.split_at(answer.bytes);
            match answer.then {
                Then::Answer => self.client.send(head)?,
                Then::Tunnel => {
                    self.phase = Phase::Tunnel;
                    return Ok(self.client.send(came)?);
                }
                Then::Body {
                    bytes,
                    last: ends_there,
                } => {
                    let last = last || ends_there;
                    return self.pass_on(came, body.len() as u64, bytes, last);
                }
            }
            came = body;
        }
    }

    /// Sends `bytes` to the client, of which `came` are body, where `left` of that were left.
    fn pass_on(&mut self, bytes: &[u8], came: u64, left: u64, last: bool) -> Result<(), Failure> {
        let left = left.checked_sub(came).ok_or(Failure::Broken)?; // nobody asked for more
        self.client.send(bytes)?;
        self.phase = match left {
            0 if last => Phase::Closing,
            0 => Phase::Request,
            left => Phase::Body { left, last },
        };
        Ok(())
    }

    fn pass_body(&mut self, left: u64, last: bool, shared: &mut Shared) -> Result<bool, Failure> {
        let Some((_, target)) = &mut self.target else {
            return Err(Failure::Broken);
        };
        if !self.client.owed.is_empty() {
            return Ok(false);
        }
        match target.receive(&mut shared.buffer)? {
            None => Ok(false),
            Some(0) => Err(Failure::Broken),
            Some(count) => {
                self.pass_on(&shared.buffer[..count], count as u64, left, last)?;
                Ok(true)
            }
        }
    }

    fn relay(&mut self, shared: &mut Shared) -> Result<bool, Failure> {
        let Some((_, target)) = &mut self.target else {
            return Err(Failure::Broken);
        };
        target.flush()?;
        let up = self.client.pass(target, &mut shared.buffer)?;
        let down = target.pass(&mut self.client, &mut shared.buffer)?;
        if self.client.finished && target.finished {
            self.phase = Phase::Over;
        }
        Ok(up || down)
    }
}

impl Side {
    fn new(socket: TcpStream) -> Self {
        Self {
            socket,
            readable: false,
            writable: false,
            ended: false,
            owed: Vec::new(),
            finished: false,
        }
    }

    /// Bytes that came, 0 at the end of the stream, none while there are none.
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        if !self.readable {
            return Ok(None);
        }
        let came = socket::receive(&self.socket, buffer)?;
        // A short read has emptied the socket, and more would raise an event; an end that already came would not.
        self.readable = match came {
            None => false,
            Some(count) => count == buffer.len() || self.ended,
        };
        Ok(came)
    }

    /// Sends `bytes`; what is not taken is owed.
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() && self.writable && self.owed.is_empty() {
            match socket::send(&self.socket, rest)? {
                Some(sent) => rest = rest.get(sent..).unwrap_or_default(),
                None => self.writable = false,
            }
        }
        self.owed.extend_from_slice(rest);
        Ok(())
    }

    /// Sends what is owed, as far as it is taken.
    fn flush(&mut self) -> io::Result<()> {
        if self.owed.is_empty() || !self.writable {
            return Ok(());
        }
        let owed = std::mem::take(&mut self.owed);
        self.send(&owed)
    }

    /// Passes on what came here, or the end of it; false if it is time to wait.
    fn pass(&mut self, sink: &mut Self, buffer: &mut [u8]) -> io::Result<bool> {
        if self.finished || !sink.owed.is_empty() {
            return Ok(false);
        }
        match self.receive(buffer)? {
            None => return Ok(false),
            Some(0) => {
                self.finished = true;
                let _ = sink.socket.shutdown(Shutdown::Write); // not connected any more: the other direction will tell
            }
            Some(count) => sink.send(&buffer[..count])?,
        }
        Ok(true)
    }

    /// Makes the coming close a reset.
    fn reset(&self) {
        let _ = SockRef::from(&self.socket).set_linger(Some(Duration::ZERO));
    }
}
