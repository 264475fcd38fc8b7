//! A client's connection until it stands: connect, CONNECT, the 200. From then on it is only a socket.

use std::net::TcpStream;

use crate::load::error::LoadError;
use crate::load::{Load, Readiness, socket};

/// Longest reply head that is read before it is an error.
const REPLY_BYTES_MAX: usize = 16 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Connecting,
    AwaitReply,
    Open,
}

/// One connection of a client.
#[derive(Debug)]
pub(crate) struct Tunnel {
    pub(crate) socket: TcpStream,
    phase: Phase,
    reply: Vec<u8>,
}

impl Tunnel {
    pub(crate) fn new(socket: TcpStream) -> Self {
        Self {
            socket,
            phase: Phase::Connecting,
            reply: Vec::new(),
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Goes on towards an open tunnel; true once it is.
    pub(crate) fn establish(
        &mut self,
        load: &mut Load,
        readiness: Readiness,
    ) -> Result<bool, LoadError> {
        if self.phase == Phase::Connecting {
            if !readiness.writable {
                return Ok(false);
            }
            self.connected(load)?;
        }
        if self.phase == Phase::AwaitReply && readiness.readable {
            self.read_reply(load)?;
        }
        Ok(self.is_open())
    }

    fn connected(&mut self, load: &Load) -> Result<(), LoadError> {
        let doing = "connecting to the proxy";
        if let Some(source) = self.socket.take_error().map_err(LoadError::io(doing))? {
            return Err(LoadError::Io { doing, source });
        }
        let request = load.request();
        if request.is_empty() {
            self.phase = Phase::Open;
            return Ok(());
        }
        let doing = "sending CONNECT";
        let sent = socket::send(&self.socket, request).map_err(LoadError::io(doing))?;
        if sent != Some(request.len()) {
            return Err(LoadError::EarlyEnd { doing }); // a fresh socket takes a hundred bytes whole, or is none
        }
        self.phase = Phase::AwaitReply;
        Ok(())
    }

    fn read_reply(&mut self, load: &mut Load) -> Result<(), LoadError> {
        let doing = "reading the reply to CONNECT";
        let buffer = &mut load.scratch.buffer;
        match socket::receive(&self.socket, buffer).map_err(LoadError::io(doing))? {
            None => return Ok(()),
            Some(0) => return Err(LoadError::EarlyEnd { doing }),
            Some(count) => self.reply.extend_from_slice(&buffer[..count]),
        }
        let end = self
            .reply
            .windows(4)
            .position(|window| window == b"\r\n\r\n");
        let Some(end) = end else {
            return match self.reply.len() {
                0..REPLY_BYTES_MAX => Ok(()),
                _ => Err(self.refused()),
            };
        };
        if !self.reply.starts_with(b"HTTP/1.") || self.reply.get(8..12) != Some(b" 200") {
            return Err(self.refused());
        }
        let (expected, came) = (end as u64 + 4, self.reply.len() as u64);
        if came > expected {
            return Err(LoadError::Surplus { expected, came }); // the origin never speaks first
        }
        self.phase = Phase::Open;
        self.reply = Vec::new();
        Ok(())
    }

    fn refused(&self) -> LoadError {
        let shown = &self.reply[..self.reply.len().min(200)];
        LoadError::Refused {
            reply: String::from_utf8_lossy(shown).into_owned(),
        }
    }
}
