//! One question and its echo: so many bytes out, the same bytes back, checked.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::load::error::LoadError;
use crate::load::{Readiness, Scratch, socket};

/// A round trip under way.
#[derive(Debug)]
pub(crate) struct Exchange {
    seed: u64,
    bytes: usize,
    sent: usize,
    received: usize,
    started: Instant,
}

impl Exchange {
    /// A round trip of `bytes`, whose clock started at `started`; nothing is sent yet.
    pub(crate) fn new(seed: u64, bytes: usize, started: Instant) -> Self {
        Self {
            seed,
            bytes,
            sent: 0,
            received: 0,
            started,
        }
    }

    /// Sends what is left to send, as far as the socket takes it.
    pub(crate) fn push(&mut self, socket: &TcpStream, scratch: &Scratch) -> Result<(), LoadError> {
        while self.sent < self.bytes {
            let rest = scratch
                .pattern
                .slice(self.seed, self.sent as u64, self.bytes - self.sent);
            let sent = socket::send(socket, rest).map_err(LoadError::io("sending a question"))?;
            let Some(sent) = sent else { break };
            self.sent += sent;
        }
        Ok(())
    }

    /// Goes on after an event; the latency once the whole echo is there.
    pub(crate) fn advance(
        &mut self,
        socket: &TcpStream,
        readiness: Readiness,
        scratch: &mut Scratch,
    ) -> Result<Option<Duration>, LoadError> {
        if self.sent < self.bytes && readiness.writable {
            self.push(socket, scratch)?;
        }
        if !readiness.readable {
            return Ok(None);
        }
        let doing = "waiting for an echo";
        let came = socket::receive(socket, &mut scratch.buffer).map_err(LoadError::io(doing))?;
        let came = match came {
            None => return Ok(None),
            Some(0) => return Err(LoadError::EarlyEnd { doing }),
            Some(came) => came,
        };
        if self.received + came > self.sent {
            return Err(LoadError::Surplus {
                expected: self.sent as u64,
                came: (self.received + came) as u64,
            });
        }
        let position = self.received as u64;
        scratch
            .pattern
            .check(self.seed, position, &scratch.buffer[..came])?;
        self.received += came;
        Ok((self.received == self.bytes).then(|| self.started.elapsed()))
    }
}
