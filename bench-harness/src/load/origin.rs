//! The origin: echoes what comes, answers bulk tunnels with the stream they announce, or speaks HTTP (`web`). It takes
//! any number of connections, ends with its client, and counts nothing but what `workload` asks for.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream};

use slab::Slab;

use crate::load::error::LoadError;
use crate::load::flow::{ANNOUNCEMENT_BYTES, Flow, Step};
use crate::load::source::{Frames, Source};
use crate::load::web::Web;
use crate::load::{Readiness, Scratch, socket};
use crate::plan::Scenario;

/// Connections accepted in a row before the others have their turn.
const ACCEPTS_PER_TURN: usize = 64;

/// What the origin does with its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    /// Sends back what it receives.
    Echo,
    /// Is the other end of a bulk flow.
    Bulk,
    /// Answers GETs.
    Http,
    /// Echoes WebSocket messages and answers pings.
    WebSocket,
    /// Sends WebSocket messages.
    Stream,
}

impl Service {
    /// What a scenario needs.
    pub(crate) fn of(scenario: Scenario) -> Self {
        match scenario {
            Scenario::Fresh | Scenario::Burst | Scenario::Echo | Scenario::IdleTunnels => {
                Self::Echo
            }
            Scenario::BulkTurns | Scenario::BulkOneWay | Scenario::BulkDuplex => Self::Bulk,
            Scenario::Get => Self::Http,
            Scenario::WebSocketEcho
            | Scenario::WebSocketPing
            | Scenario::WebSocketUpgrade
            | Scenario::IdleWebSockets => Self::WebSocket,
            Scenario::WebSocketStream => Self::Stream,
        }
    }

    /// Whether its connections are upgraded before they stand.
    pub(crate) fn is_websocket(self) -> bool {
        matches!(self, Self::WebSocket | Self::Stream)
    }
}

#[derive(Debug)]
enum State {
    /// Bytes that did not fit into the socket wait in `owed`; nothing is read before they are gone.
    Echo {
        owed: Vec<u8>,
    },
    Announcement {
        bytes: [u8; ANNOUNCEMENT_BYTES],
        length: usize,
    },
    Bulk(Flow),
    Web(Web),
    Source(Source),
}

#[derive(Debug)]
struct Connection {
    socket: TcpStream,
    state: State,
    /// No byte has come yet: it may be a probe of the port, whose end means nothing.
    silent: bool,
}

/// The origin and all its connections.
#[derive(Debug)]
pub(crate) struct Origin {
    listener: TcpListener,
    service: Service,
    connections: Slab<Connection>,
    again: Vec<usize>,
    flowing: bool,
    accepted: u64,
    frames: Frames,
    /// Connections that have become streams, by the number they were announced with.
    streams: BTreeMap<u64, usize>,
}

impl Origin {
    /// Listens; `frames` are for the service that sends messages.
    pub(crate) fn listen(
        address: SocketAddr,
        service: Service,
        frames: Frames,
    ) -> Result<Self, LoadError> {
        let listener = socket::listen(address).map_err(|error| {
            LoadError::Process(format!(
                "the origin cannot listen on {address}: {error}; give another --origin, or end what listens there"
            ))
        })?;
        Ok(Self {
            listener,
            service,
            connections: Slab::new(),
            again: Vec::new(),
            flowing: false,
            accepted: 0,
            frames,
            streams: BTreeMap::new(),
        })
    }

    pub(crate) fn listener(&self) -> &TcpListener {
        &self.listener
    }

    /// Connections that have not ended.
    pub(crate) fn open(&self) -> usize {
        self.connections.len()
    }

    /// Connections that there have ever been.
    pub(crate) fn accepted(&self) -> u64 {
        self.accepted
    }

    /// Bytes of all bulk tunnels so far, announcements aside: received, sent.
    pub(crate) fn bulk_bytes(&self) -> (u64, u64) {
        let flows = self.connections.iter().filter_map(|(_, connection)| {
            let State::Bulk(flow) = &connection.state else {
                return None;
            };
            Some((flow.received, flow.sent))
        });
        flows.fold((0, 0), |sum, flow| (sum.0 + flow.0, sum.1 + flow.1))
    }

    /// Bulk tunnels, present and to come, send from now on, or send no more.
    pub(crate) fn set_flowing(&mut self, flowing: bool) {
        self.flowing = flowing;
        self.again.clear();
        for (index, connection) in &mut self.connections {
            if let State::Bulk(flow) = &mut connection.state {
                flow.set_stopped(!flowing);
                self.again.push(index);
            }
        }
    }

    /// Streams that have been announced.
    pub(crate) fn streams(&self) -> usize {
        self.streams.len()
    }

    /// Messages that all streams have sent or may still send.
    pub(crate) fn messages_due(&self) -> u64 {
        let streams = self.streams.values();
        let sources = streams.filter_map(|&index| match &self.connections.get(index)?.state {
            State::Source(source) => Some(source.due()),
            _ => None,
        });
        sources.sum()
    }

    /// One stream may send so many messages more.
    pub(crate) fn allow(&mut self, stream: u64, messages: u64) {
        let index = self.streams.get(&stream).copied();
        if let Some(index) = index {
            self.with_source(index, |source| source.allow(messages));
        }
    }

    /// All streams send without end, or no more.
    pub(crate) fn set_streaming(&mut self, streaming: bool) {
        let indexes: Vec<usize> = self.streams.values().copied().collect();
        for index in indexes {
            self.with_source(index, |source| match streaming {
                true => source.allow(u64::MAX),
                false => source.stop(),
            });
        }
    }

    fn with_source(&mut self, index: usize, change: impl FnOnce(&mut Source)) {
        let connection = self.connections.get_mut(index);
        if let Some(State::Source(source)) = connection.map(|connection| &mut connection.state) {
            change(source);
            if !self.again.contains(&index) {
                self.again.push(index);
            }
        }
    }

    /// Whether a connection can go on although no event will say so.
    pub(crate) fn has_work(&self) -> bool {
        !self.again.is_empty()
    }

    /// Moves the connections that stopped at their budget.
    pub(crate) fn resume(&mut self, scratch: &mut Scratch) -> Result<(), LoadError> {
        for index in std::mem::take(&mut self.again) {
            self.ready(index, Readiness::default(), scratch)?;
        }
        Ok(())
    }

    /// Takes waiting connections; `watch` is told the socket and its index.
    pub(crate) fn accept(
        &mut self,
        watch: impl Fn(&TcpStream, usize) -> Result<(), LoadError>,
    ) -> Result<(), LoadError> {
        for _ in 0..ACCEPTS_PER_TURN {
            let accepted =
                socket::accept(&self.listener).map_err(LoadError::io("accepting at the origin"))?;
            let Some(socket) = accepted else { break };
            let place = self.connections.vacant_entry();
            watch(&socket, place.key())?;
            let state = match self.service {
                Service::Echo => State::Echo { owed: Vec::new() },
                Service::Bulk => State::Announcement {
                    bytes: [0; ANNOUNCEMENT_BYTES],
                    length: 0,
                },
                Service::Http | Service::WebSocket => State::Web(Web::default()),
                Service::Stream => State::Web(Web::stream()),
            };
            self.accepted += 1;
            place.insert(Connection {
                socket,
                state,
                silent: true,
            });
        }
        Ok(())
    }

    /// Goes on with a connection after an event.
    pub(crate) fn ready(
        &mut self,
        index: usize,
        readiness: Readiness,
        scratch: &mut Scratch,
    ) -> Result<(), LoadError> {
        let Some(connection) = self.connections.get_mut(index) else {
            return Ok(()); // ended earlier in this very turn
        };
        let step = match connection.step(readiness, self.flowing, scratch) {
            Err(LoadError::Io { source, .. })
                if connection.is_at_rest() && source.kind() == ErrorKind::ConnectionReset =>
            {
                Step::Ended
            }
            other => other?,
        };
        if let State::Web(web) = &connection.state
            && let Some(number) = web.announced()
        {
            connection.state = State::Source(Source::new(self.frames.clone()));
            self.streams.insert(number, index);
        }
        match step {
            Step::Wait => {}
            Step::Again if self.again.contains(&index) => {}
            Step::Again => self.again.push(index),
            Step::Ended => drop(self.connections.remove(index)),
        }
        Ok(())
    }
}

impl Connection {
    /// Whether its end means nothing: that of a probe, or of a connection that a proxy kept and needs no more.
    fn is_at_rest(&self) -> bool {
        match &self.state {
            State::Web(web) => web.is_at_rest(),
            _ => self.silent,
        }
    }

    fn step(
        &mut self,
        readiness: Readiness,
        flowing: bool,
        scratch: &mut Scratch,
    ) -> Result<Step, LoadError> {
        if let State::Announcement { .. } = self.state {
            match self.read_announcement(readiness)? {
                Some(mut flow) => {
                    flow.set_stopped(!flowing);
                    self.state = State::Bulk(flow);
                }
                None if self.silent && readiness.ended => return Ok(Step::Ended),
                None => return Ok(Step::Wait),
            }
        }
        match &mut self.state {
            State::Bulk(flow) => flow.step(&self.socket, readiness, scratch),
            State::Source(source) => source.step(&self.socket, readiness, scratch),
            State::Web(web) => web.step(&self.socket, readiness, scratch),
            _ => self.echo(readiness, scratch),
        }
    }

    fn echo(&mut self, readiness: Readiness, scratch: &mut Scratch) -> Result<Step, LoadError> {
        let State::Echo { owed } = &mut self.state else {
            return Ok(Step::Wait);
        };
        let (receiving, sending) = ("receiving at the origin", "sending at the origin");
        loop {
            if !owed.is_empty() {
                let sent = socket::send(&self.socket, owed).map_err(LoadError::io(sending))?;
                owed.drain(..sent.unwrap_or(0));
                if !owed.is_empty() {
                    return Ok(Step::Wait);
                }
            }
            let came = socket::receive(&self.socket, &mut scratch.buffer)
                .map_err(LoadError::io(receiving))?;
            let count = match came {
                None => return Ok(Step::Wait),
                Some(0) => return Ok(Step::Ended),
                Some(count) => count,
            };
            self.silent = false;
            let bytes = &scratch.buffer[..count];
            let sent = socket::send(&self.socket, bytes).map_err(LoadError::io(sending))?;
            owed.extend_from_slice(&bytes[sent.unwrap_or(0)..]);
            // A short read has emptied the socket; only an end that already came would raise no event any more.
            if owed.is_empty() && count < scratch.buffer.len() && !readiness.ended {
                return Ok(Step::Wait);
            }
        }
    }

    /// The flow that the client announces, once the announcement is whole.
    fn read_announcement(&mut self, readiness: Readiness) -> Result<Option<Flow>, LoadError> {
        let State::Announcement { bytes, length } = &mut self.state else {
            return Ok(None);
        };
        let doing = "reading the announcement of a bulk tunnel";
        if readiness.readable {
            let came = socket::receive(&self.socket, &mut bytes[*length..])
                .map_err(LoadError::io(doing))?;
            self.silent &= matches!(came, None | Some(0));
            *length += came.unwrap_or(0);
        }
        if *length < ANNOUNCEMENT_BYTES {
            return match readiness.ended && !self.silent {
                true => Err(LoadError::EarlyEnd { doing }),
                false => Ok(None),
            };
        }
        let flow = Flow::announced(bytes);
        flow.map(Some).ok_or(LoadError::Corrupt { position: 0 })
    }
}
