//! A client's connection until it stands: connect, CONNECT where there is a proxy for it, the handshake of a WebSocket.
//! From then on it is only a socket.

use std::net::TcpStream;

use crate::load::error::LoadError;
use crate::load::http::{self, Answer};
use crate::load::origin::Service;
use crate::load::{Load, Mode, Readiness, Target, socket};

/// A request on the way to a connection that stands, and its answer.
#[derive(Debug)]
pub(crate) struct Handshake {
    request: Vec<u8>,
    answer: Answer,
}

impl Handshake {
    /// Those that the connections of a run need, in their order.
    pub(crate) fn all(target: &Target, service: Service) -> Vec<Self> {
        let connect = (target.mode == Mode::Connect).then(|| Self {
            request: http::connect(target.origin),
            answer: Answer::Tunnel,
        });
        let upgrade = (service.is_websocket()).then(|| Self {
            request: http::upgrade(target.mode, target.origin),
            answer: Answer::Upgrade,
        });
        connect.into_iter().chain(upgrade).collect()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Connecting,
    /// The answer to this handshake is awaited.
    Shaking(usize),
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
        if self.phase == Phase::Connecting && readiness.writable {
            let doing = "connecting to the proxy";
            if let Some(source) = self.socket.take_error().map_err(LoadError::io(doing))? {
                return Err(LoadError::Io { doing, source });
            }
            self.shake(load, 0)?;
        }
        if let Phase::Shaking(count) = self.phase
            && readiness.readable
            && self.read_reply(load, count)?
        {
            self.shake(load, count + 1)?;
        }
        Ok(self.is_open())
    }

    /// Sends a handshake, if there is one more.
    fn shake(&mut self, load: &Load, count: usize) -> Result<(), LoadError> {
        let Some(handshake) = load.handshakes().get(count) else {
            self.phase = Phase::Open;
            self.reply = Vec::new();
            return Ok(());
        };
        let doing = "sending a handshake";
        let request = &handshake.request;
        let sent = socket::send(&self.socket, request).map_err(LoadError::io(doing))?;
        if sent != Some(request.len()) {
            return Err(LoadError::EarlyEnd { doing }); // a fresh socket takes a few hundred bytes whole, or is none
        }
        self.phase = Phase::Shaking(count);
        self.reply.clear();
        Ok(())
    }

    /// True once the answer to the handshake is whole.
    fn read_reply(&mut self, load: &mut Load, count: usize) -> Result<bool, LoadError> {
        let doing = "reading the answer to a handshake";
        let buffer = &mut load.scratch.buffer;
        match socket::receive(&self.socket, buffer).map_err(LoadError::io(doing))? {
            None => return Ok(false),
            Some(0) => return Err(LoadError::EarlyEnd { doing }),
            Some(count) => self.reply.extend_from_slice(&buffer[..count]),
        }
        let answer = load.handshakes()[count].answer;
        let Some(end) = answer.head_bytes(&self.reply)? else {
            return Ok(false);
        };
        let (expected, came) = (end as u64, self.reply.len() as u64);
        match came > expected {
            true => Err(LoadError::Surplus { expected, came }), // the origin never speaks first
            false => Ok(true),
        }
    }
}
