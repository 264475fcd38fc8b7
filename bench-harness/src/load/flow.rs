//! One end of a bulk tunnel, the same at the client and at the origin: sends its own stream, receives and checks the
//! other's, both at once. The first bytes of a tunnel tell the origin which streams these are.

use std::net::TcpStream;

use crate::load::error::LoadError;
use crate::load::pattern::CHUNK_BYTES_MAX;
use crate::load::{Readiness, Scratch, socket};

/// Length of an announcement on the wire.
pub(crate) const ANNOUNCEMENT_BYTES: usize = 32;

const MAGIC: u64 = u64::from_le_bytes(*b"RWBULK01");

/// Receives and sends in a row before the others have their turn.
const ROUNDS_PER_STEP: usize = 4;

/// What moves through a bulk tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Origin to client only, without end.
    OneWay,
    /// The client sends so many bytes, then the origin as many, and so on.
    Turns { bytes: u64 },
    /// Both directions at once, without end.
    Duplex,
}

/// Which end of the tunnel this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Client,
    Origin,
}

/// Whether a flow can go on at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Not before the next event.
    Wait,
    /// Yes: it stopped only at its budget.
    Again,
    /// The other end has closed.
    Ended,
}

/// The state of one end.
#[derive(Debug)]
pub(crate) struct Flow {
    shape: Shape,
    end: End,
    seed: u64,
    readable: bool,
    writable: bool,
    /// Nothing is sent beyond this.
    limit: u64,
    pub(crate) sent: u64,
    pub(crate) received: u64,
}

impl Flow {
    pub(crate) fn new(shape: Shape, end: End, seed: u64) -> Self {
        Self {
            shape,
            end,
            seed,
            readable: true,
            writable: true,
            limit: match (shape, end) {
                (Shape::Turns { .. }, End::Origin) => u64::MAX, // it only answers
                _ => 0,
            },
            sent: 0,
            received: 0,
        }
    }

    /// The client's first bytes.
    pub(crate) fn announcement(&self) -> [u8; ANNOUNCEMENT_BYTES] {
        let (shape, bytes) = match self.shape {
            Shape::OneWay => (0, 0),
            Shape::Turns { bytes } => (1, bytes),
            Shape::Duplex => (2, 0),
        };
        let mut announcement = [0; ANNOUNCEMENT_BYTES];
        let words = [MAGIC, shape, bytes, self.seed];
        for (place, word) in announcement.chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        announcement
    }

    /// The origin's end of the tunnel that was announced, or none if this is no announcement.
    pub(crate) fn announced(announcement: &[u8; ANNOUNCEMENT_BYTES]) -> Option<Self> {
        let mut words = announcement.chunks_exact(8).map(|word| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(word);
            u64::from_le_bytes(bytes)
        });
        let (magic, shape, bytes, seed) =
            (words.next()?, words.next()?, words.next()?, words.next()?);
        let shape = match (magic, shape, bytes) {
            (MAGIC, 0, 0) => Shape::OneWay,
            (MAGIC, 1, 1..) => Shape::Turns { bytes },
            (MAGIC, 2, 0) => Shape::Duplex,
            _ => return None,
        };
        Some(Self::new(shape, End::Origin, seed))
    }

    /// Sends from now on without end, or no more, but to the end of a turn that has begun; receiving goes on.
    pub(crate) fn set_stopped(&mut self, stopped: bool) {
        self.limit = match (self.shape, self.end) {
            (Shape::Turns { .. }, End::Origin) => return,
            (Shape::Turns { bytes }, End::Client) if stopped => {
                self.limit.min(self.sent.div_ceil(bytes) * bytes)
            }
            (Shape::Turns { .. }, End::Client) => self.limit,
            _ if stopped => self.sent,
            _ => u64::MAX,
        };
    }

    /// Of turns, the client's end: so many more bytes may be sent once they flow.
    pub(crate) fn allow(&mut self, bytes: u64) {
        self.limit = self.sent.saturating_add(bytes);
    }

    /// Moves what can be moved, within a budget.
    pub(crate) fn step(
        &mut self,
        socket: &TcpStream,
        readiness: Readiness,
        scratch: &mut Scratch,
    ) -> Result<Step, LoadError> {
        self.readable |= readiness.readable;
        self.writable |= readiness.writable;
        for _ in 0..ROUNDS_PER_STEP {
            if self.readable && self.receive(socket, readiness.ended, scratch)? {
                return Ok(Step::Ended);
            }
            if self.writable && self.sent < self.send_limit() {
                self.send(socket, scratch)?;
            }
            let can_send = self.writable && self.sent < self.send_limit();
            if !self.readable && !can_send {
                return Ok(Step::Wait);
            }
        }
        Ok(Step::Again)
    }

    /// Position up to which this end may send.
    pub(crate) fn send_limit(&self) -> u64 {
        let by_turn = match (self.shape, self.end) {
            (Shape::OneWay, End::Client) => 0,
            (Shape::OneWay, End::Origin) | (Shape::Duplex, _) => u64::MAX,
            (Shape::Turns { bytes }, End::Client) => (self.received / bytes + 1) * bytes,
            (Shape::Turns { bytes }, End::Origin) => self.received / bytes * bytes,
        };
        by_turn.min(self.limit)
    }

    /// Receives once; true at the end of the stream.
    fn receive(
        &mut self,
        socket: &TcpStream,
        ended: bool,
        scratch: &mut Scratch,
    ) -> Result<bool, LoadError> {
        let came = socket::receive(socket, &mut scratch.buffer)
            .map_err(LoadError::io("receiving in bulk"))?;
        let count = match came {
            None => {
                self.readable = false;
                return Ok(false);
            }
            Some(0) => return Ok(true),
            Some(count) => count,
        };
        let bytes = &scratch.buffer[..count];
        let seed = match self.end {
            End::Client => !self.seed,
            End::Origin => self.seed,
        };
        scratch.pattern.check(seed, self.received, bytes)?;
        self.received += count as u64;
        // A short read has emptied the socket, and more would raise an event; an end that already came would not.
        if count < scratch.buffer.len() && !ended {
            self.readable = false;
        }
        Ok(false)
    }

    fn send(&mut self, socket: &TcpStream, scratch: &Scratch) -> Result<(), LoadError> {
        let length = (self.send_limit() - self.sent).min(CHUNK_BYTES_MAX as u64) as usize;
        let seed = match self.end {
            End::Client => self.seed,
            End::Origin => !self.seed,
        };
        let chunk = scratch.pattern.slice(seed, self.sent, length);
        let sent = socket::send(socket, chunk).map_err(LoadError::io("sending in bulk"))?;
        let sent = sent.unwrap_or(0);
        self.sent += sent as u64;
        self.writable = sent == length;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_announcement_is_read_back_and_anything_else_is_not_one() {
        for shape in [Shape::OneWay, Shape::Turns { bytes: 9 }, Shape::Duplex] {
            let sent = Flow::new(shape, End::Client, 77).announcement();
            let flow = Flow::announced(&sent).unwrap();
            assert_eq!((flow.shape, flow.seed, flow.end), (shape, 77, End::Origin));
            let mut wrong = sent;
            wrong[3] ^= 1;
            assert!(Flow::announced(&wrong).is_none());
        }
        let endless = Flow::new(Shape::Turns { bytes: 0 }, End::Client, 1);
        assert!(Flow::announced(&endless.announcement()).is_none());
    }

    #[test]
    fn turns_wait_for_each_other() {
        let shape = Shape::Turns { bytes: 10 };
        let mut client = Flow::new(shape, End::Client, 1);
        let mut origin = Flow::new(shape, End::Origin, 1);
        assert_eq!(client.send_limit(), 0, "nothing moves before the start");
        client.allow(20);
        origin.set_stopped(false);
        assert_eq!((client.send_limit(), origin.send_limit()), (10, 0));
        origin.received = 9;
        assert_eq!(origin.send_limit(), 0);
        origin.received = 10;
        assert_eq!(origin.send_limit(), 10);
        client.sent = 11;
        client.received = 10;
        assert_eq!(client.send_limit(), 20);
        client.set_stopped(true);
        assert_eq!(client.send_limit(), 20, "a turn that has begun is finished");
        client.sent = 20;
        client.received = 20;
        assert_eq!(client.send_limit(), 20, "and no other begins");
    }
}
