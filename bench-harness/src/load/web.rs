//! The origin's end of a connection that speaks HTTP: bodies for GETs, one after the other, or the echo of every
//! message once it has been upgraded to a WebSocket. A stream of messages is announced here, and sent by `source`.

use std::net::TcpStream;

use crate::load::error::LoadError;
use crate::load::flow::Step;
use crate::load::http::{self, Asked};
use crate::load::pattern::Pattern;
use crate::load::{Readiness, Scratch, socket, websocket};

/// Sends in a row before the others have their turn.
const ROUNDS_PER_STEP: usize = 4;

const SENDING: &str = "sending an answer at the origin";

/// The state of a connection.
#[derive(Debug, Default)]
pub(crate) struct Web {
    /// A request or a frame whose rest is to come.
    partial: Vec<u8>,
    /// What did not fit into the socket: heads and frames here, then the body.
    owed: Vec<u8>,
    body: Body,
    upgraded: bool,
    /// Its first message says which stream it is, which is then here.
    is_stream: bool,
    announced: Option<u64>,
    readable: bool,
}

/// What is left of a body.
#[derive(Debug, Default)]
struct Body {
    seed: u64,
    position: u64,
    end: u64,
}

impl Web {
    /// A connection over which messages are only sent, once they have been asked for.
    pub(crate) fn stream() -> Self {
        Self {
            is_stream: true,
            ..Self::default()
        }
    }

    /// The stream that it has become.
    pub(crate) fn announced(&self) -> Option<u64> {
        self.announced
    }

    /// Whether it may end now: it is neither asked nor answering.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.partial.is_empty() && self.owed.is_empty() && self.body.position == self.body.end
    }

    /// Goes on after an event.
    pub(crate) fn step(
        &mut self,
        socket: &TcpStream,
        readiness: Readiness,
        scratch: &mut Scratch,
    ) -> Result<Step, LoadError> {
        let doing = "receiving a request at the origin";
        self.readable |= readiness.readable;
        loop {
            if let Some(step) = self.flush(socket, &scratch.pattern)? {
                return Ok(step);
            }
            if !self.readable {
                return Ok(Step::Wait);
            }
            let came =
                socket::receive(socket, &mut scratch.buffer).map_err(LoadError::io(doing))?;
            let count = match came {
                None => 0,
                Some(0) if self.partial.is_empty() => return Ok(Step::Ended),
                Some(0) => return Err(LoadError::EarlyEnd { doing }),
                Some(count) => count,
            };
            // A short read has emptied the socket; only an end that already came would raise no event any more.
            self.readable = count == scratch.buffer.len() || (count > 0 && readiness.ended);
            if count > 0 {
                self.take(socket, &mut scratch.buffer[..count])?;
            }
        }
    }

    /// Takes what came: answers it if it is whole, keeps it if not.
    fn take(&mut self, socket: &TcpStream, came: &mut [u8]) -> Result<(), LoadError> {
        if self.partial.is_empty() {
            if !self.answer(socket, came)? {
                self.partial.extend_from_slice(came);
            }
            return Ok(());
        }
        let mut whole = std::mem::take(&mut self.partial);
        whole.extend_from_slice(came);
        if self.answer(socket, &mut whole)? {
            whole.clear(); // its memory serves the next
        }
        self.partial = whole;
        Ok(())
    }

    /// Answers a request or a frame; false if it is not whole.
    fn answer(&mut self, socket: &TcpStream, bytes: &mut [u8]) -> Result<bool, LoadError> {
        if self.upgraded {
            let Some(frame) = websocket::echo(bytes)? else {
                return Ok(false);
            };
            if self.is_stream {
                self.announced = announced(frame);
                return match self.announced {
                    Some(_) => Ok(true),
                    None => Err(LoadError::Corrupt { position: 0 }),
                };
            }
            let sent = socket::send(socket, frame).map_err(LoadError::io(SENDING))?;
            self.owed.extend_from_slice(&frame[sent.unwrap_or(0)..]);
            return Ok(true);
        }
        match http::asked(bytes)? {
            None => return Ok(false),
            Some(Asked::Upgrade) => {
                self.upgraded = true;
                self.owed = http::switching();
            }
            Some(Asked::Body { bytes, seed }) => {
                self.owed = http::body_head(bytes);
                self.body = Body {
                    seed,
                    position: 0,
                    end: bytes,
                };
            }
        }
        Ok(true)
    }

    /// Sends what is owed, head and body together; none once all of it is gone.
    fn flush(&mut self, socket: &TcpStream, pattern: &Pattern) -> Result<Option<Step>, LoadError> {
        for _ in 0..ROUNDS_PER_STEP {
            if self.owed.is_empty() && self.body.position == self.body.end {
                return Ok(None);
            }
            let Body {
                seed,
                position,
                end,
            } = self.body;
            let length = usize::try_from(end - position).unwrap_or(usize::MAX);
            let body = pattern.slice(seed, position, length);
            let sent =
                socket::send_both(socket, &self.owed, body).map_err(LoadError::io(SENDING))?;
            let Some(sent) = sent else {
                return Ok(Some(Step::Wait));
            };
            let of_owed = sent.min(self.owed.len());
            self.owed.drain(..of_owed);
            self.body.position += (sent - of_owed) as u64;
        }
        Ok(Some(Step::Again))
    }
}

/// The number in the frame that announces a stream.
fn announced(frame: &[u8]) -> Option<u64> {
    let number: [u8; 8] = frame.get(2..)?.try_into().ok()?;
    Some(u64::from_be_bytes(number))
}
