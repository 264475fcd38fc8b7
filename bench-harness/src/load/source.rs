//! Both ends of a one-way stream of WebSocket messages: the source at the origin, the sink at the client. The client's
//! first message tells the origin which stream it is; after that only the origin speaks, and only as many messages as
//! it is allowed. Every byte is checked, and each message has a call to send of its own, as programs send them.

use std::net::TcpStream;
use std::rc::Rc;

use crate::load::error::LoadError;
use crate::load::flow::Step;
use crate::load::pattern::Pattern;
use crate::load::question::{QUESTIONS, seed_of};
use crate::load::{Load, Readiness, Scratch, socket, websocket};

/// Messages sent in a row before the others have their turn.
const MESSAGES_PER_STEP: usize = 64;

const ANNOUNCING: &str = "announcing a stream";

/// Messages as they go out: message number n is number n modulo their count.
pub(crate) type Frames = Rc<[Vec<u8>]>;

/// The frames of a stream whose messages have a payload of `bytes`.
pub(crate) fn frames(bytes: usize, pattern: &Pattern) -> Frames {
    (0..QUESTIONS)
        .map(|number| {
            [
                websocket::header(bytes),
                pattern.copy(seed_of(number), bytes),
            ]
            .concat()
        })
        .collect()
}

/// The origin's end.
#[derive(Debug)]
pub(crate) struct Source {
    frames: Frames,
    /// Messages that may be sent, and that have been, since the start.
    allowed: u64,
    sent: u64,
    /// Bytes of the next one that have gone.
    offset: usize,
    writable: bool,
}

impl Source {
    pub(crate) fn new(frames: Frames) -> Self {
        Self {
            frames,
            allowed: 0,
            sent: 0,
            offset: 0,
            writable: true,
        }
    }

    /// Messages that have been or will be sent, as far as they are allowed.
    pub(crate) fn due(&self) -> u64 {
        self.allowed
    }

    pub(crate) fn allow(&mut self, messages: u64) {
        self.allowed = self.allowed.saturating_add(messages);
    }

    /// Only the one that has begun, if any, is finished.
    pub(crate) fn stop(&mut self) {
        self.allowed = self.sent + u64::from(self.offset > 0);
    }

    /// Sends what may be sent, within a budget.
    pub(crate) fn step(
        &mut self,
        socket: &TcpStream,
        readiness: Readiness,
        scratch: &mut Scratch,
    ) -> Result<Step, LoadError> {
        let doing = "sending messages at the origin";
        self.writable |= readiness.writable;
        if readiness.readable {
            let came =
                socket::receive(socket, &mut scratch.buffer).map_err(LoadError::io(doing))?;
            match came {
                None => {}
                Some(0) => return Ok(Step::Ended),
                Some(came) => {
                    let (expected, came) = (0, came as u64);
                    return Err(LoadError::Surplus { expected, came });
                }
            }
        }
        for _ in 0..MESSAGES_PER_STEP {
            if !self.writable || self.sent == self.allowed {
                return Ok(Step::Wait);
            }
            let number = self.sent % self.frames.len() as u64;
            let rest = &self.frames[number as usize][self.offset..];
            let sent = socket::send(socket, rest).map_err(LoadError::io(doing))?;
            match sent {
                Some(sent) if sent == rest.len() => {
                    self.sent += 1;
                    self.offset = 0;
                }
                sent => {
                    self.offset += sent.unwrap_or(0);
                    self.writable = false;
                }
            }
        }
        Ok(Step::Again)
    }
}

/// The client's end.
#[derive(Debug)]
pub(crate) struct Sink {
    header: Vec<u8>,
    bytes: usize,
    messages: u64,
    /// Bytes of the next message that have come, its header included.
    offset: usize,
}

impl Sink {
    /// Tells the origin that this is the stream of `client`.
    pub(crate) fn announce(
        socket: &TcpStream,
        client: u64,
        bytes: usize,
        load: &mut Load,
    ) -> Result<Self, LoadError> {
        let mask = (load.next_seed() as u32).to_be_bytes();
        let announcement = websocket::masked(client.to_be_bytes().to_vec(), mask);
        let sent = socket::send(socket, &announcement).map_err(LoadError::io(ANNOUNCING))?;
        if sent != Some(announcement.len()) {
            return Err(LoadError::EarlyEnd { doing: ANNOUNCING });
        }
        Ok(Self::new(bytes))
    }

    fn new(bytes: usize) -> Self {
        Self {
            header: websocket::header(bytes),
            bytes,
            messages: 0,
            offset: 0,
        }
    }

    /// Messages that have come whole, since the start.
    pub(crate) fn messages(&self) -> u64 {
        self.messages
    }

    /// Takes what has come; the messages that are whole with it.
    pub(crate) fn advance(
        &mut self,
        socket: &TcpStream,
        readiness: Readiness,
        scratch: &mut Scratch,
    ) -> Result<usize, LoadError> {
        let doing = "receiving messages";
        let before = self.messages;
        if !readiness.readable {
            return Ok(0);
        }
        loop {
            let came =
                socket::receive(socket, &mut scratch.buffer).map_err(LoadError::io(doing))?;
            let came = match came {
                None => break,
                Some(0) => return Err(LoadError::EarlyEnd { doing }),
                Some(came) => came,
            };
            self.take(&scratch.buffer[..came], &scratch.pattern)?;
            // A short read has emptied the socket; only an end that already came would raise no event any more.
            if came < scratch.buffer.len() && !readiness.ended {
                break;
            }
        }
        Ok((self.messages - before) as usize)
    }

    fn take(&mut self, mut bytes: &[u8], pattern: &Pattern) -> Result<(), LoadError> {
        while !bytes.is_empty() {
            let header_bytes = self.header.len();
            if let Some(expected) = self
                .header
                .get(self.offset..)
                .filter(|rest| !rest.is_empty())
            {
                let (header, rest) = bytes.split_at(expected.len().min(bytes.len()));
                if !expected.starts_with(header) {
                    let position = self.offset as u64;
                    return Err(LoadError::Corrupt { position });
                }
                self.offset += header.len();
                bytes = rest;
            } else {
                let position = self.offset - header_bytes;
                let (payload, rest) = bytes.split_at((self.bytes - position).min(bytes.len()));
                let seed = seed_of(self.messages % QUESTIONS);
                pattern.check(seed, position as u64, payload)?;
                self.offset += payload.len();
                bytes = rest;
            }
            if self.offset == header_bytes + self.bytes {
                self.messages += 1;
                self.offset = 0;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_counted_however_they_are_cut_and_a_wrong_byte_is_seen() {
        let pattern = Pattern::new();
        for bytes in [1, 125, 1024, 70_000] {
            let frames = frames(bytes, &pattern);
            let stream: Vec<u8> = frames.iter().take(3).flatten().copied().collect();
            for piece in [1, 7, 1000, stream.len()] {
                let mut sink = Sink::new(bytes);
                for piece in stream.chunks(piece.max(bytes / 100)) {
                    sink.take(piece, &pattern).unwrap();
                }
                assert_eq!((sink.messages(), sink.offset), (3, 0));
            }
            let mut swapped = frames[1].clone();
            swapped.extend_from_slice(&frames[0]);
            let taken = Sink::new(bytes).take(&swapped, &pattern);
            assert!(matches!(taken, Err(LoadError::Corrupt { .. })), "{taken:?}");
        }
    }
}
