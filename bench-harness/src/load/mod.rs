//! The load: clients and the origin in one thread on one epoll, so that they are cheap and one core holds both ends
//! of 9,000 tunnels. What is sent, and when it is enough, is the business of `scenario`; the origin
//! is moved from here, unseen by it. It measures nothing and never looks at the proxy process.

pub(crate) mod error;
pub(crate) mod exchange;
pub(crate) mod flow;
pub(crate) mod http;
pub(crate) mod origin;
pub(crate) mod pattern;
pub(crate) mod question;
pub(crate) mod random;
pub(crate) mod socket;
pub(crate) mod source;
pub(crate) mod tunnel;
mod web;
mod websocket;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use serde::{Deserialize, Serialize};

use crate::load::error::LoadError;
use crate::load::origin::{Origin, Service};
use crate::load::pattern::{CHUNK_BYTES_MAX, Pattern};
use crate::load::question::Question;
use crate::load::tunnel::{Handshake, Tunnel};
use crate::plan::{Plan, Scenario};

/// Longest silence before a run is void.
const STALL_LIMIT: Duration = Duration::from_secs(10);

/// Longest sleep, so that deadlines and stalls are looked at although nothing happens.
const SLEEP_MS: u8 = 100;

/// Events fetched at once.
const EVENTS_PER_TURN: usize = 256;

const TOKEN_LISTENER: u64 = u64::MAX;
const TOKEN_ORIGIN: u64 = 1 << 63;

/// How the proxy is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    /// A proxy: each connection asks for the origin with CONNECT.
    Connect,
    /// A plain relay or a reverse proxy whose fixed target is the origin: what the origin would be told, no more.
    Tcp,
    /// A forward proxy: each HTTP request names the origin in absolute-form.
    Forward,
}

impl Mode {
    /// As it is typed.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Tcp => "tcp",
            Self::Forward => "forward",
        }
    }
}

/// What the load thread does when nothing is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Sleeps, as clients do; a proxy that answers must wake this core.
    Sleep,
    /// Looks again at once, so that no latency is the load's own.
    Spin,
}

/// Where the load goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    pub(crate) proxy: SocketAddr,
    pub(crate) origin: SocketAddr,
    pub(crate) mode: Mode,
    pub(crate) wait: Wait,
    /// The origin is this program's own; otherwise it listens there already.
    pub(crate) has_origin: bool,
}

/// What an event says about a socket.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Readiness {
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    /// The peer has ended its side or the connection is broken: read on until the end shows.
    pub(crate) ended: bool,
}

impl From<EpollFlags> for Readiness {
    fn from(flags: EpollFlags) -> Self {
        let broken = flags.intersects(EpollFlags::EPOLLERR | EpollFlags::EPOLLHUP);
        let ended = broken || flags.contains(EpollFlags::EPOLLRDHUP);
        Self {
            readable: ended || flags.contains(EpollFlags::EPOLLIN),
            writable: broken || flags.contains(EpollFlags::EPOLLOUT),
            ended,
        }
    }
}

/// A client that can go on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ready {
    pub(crate) client: usize,
    pub(crate) readiness: Readiness,
}

/// What every stream needs while it moves: a buffer to receive into and the payload to send and compare.
#[derive(Debug)]
pub(crate) struct Scratch {
    pub(crate) buffer: Box<[u8]>,
    pub(crate) pattern: Pattern,
}

/// The load of one run.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) scratch: Scratch,
    /// None where it is another program's.
    pub(crate) origin: Option<Origin>,
    target: Target,
    service: Service,
    /// Bytes of a plain question.
    bytes: usize,
    questions: Vec<Question>,
    handshakes: Vec<Handshake>,
    epoll: Epoll,
    events: Vec<EpollEvent>,
    /// Clients that stopped at their budget: ready, though no event will say so again.
    again: Vec<usize>,
    dialled: u64,
    seeds: u64,
    moved: Instant,
    alarm: Option<Instant>,
}

impl Load {
    /// Listens as the origin that `plan` needs; nothing is dialled yet.
    pub(crate) fn new(target: Target, plan: &Plan) -> Result<Self, LoadError> {
        let (service, bytes) = (Service::of(plan.scenario), plan.payload);
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)
            .map_err(LoadError::errno("creating an epoll instance"))?;
        let buffer = vec![0; CHUNK_BYTES_MAX].into_boxed_slice();
        let pattern = Pattern::new();
        let origin = match target.has_origin {
            true => Some(listen(&epoll, target.origin, plan, &pattern)?),
            false => None,
        };
        let questions = Question::written(plan.scenario, &target, bytes, &pattern);
        Ok(Self {
            scratch: Scratch { buffer, pattern },
            origin,
            handshakes: Handshake::all(&target, service),
            target,
            service,
            bytes,
            questions,
            epoll,
            events: vec![EpollEvent::empty(); EVENTS_PER_TURN],
            again: Vec::new(),
            dialled: 0,
            seeds: 0,
            moved: Instant::now(),
            alarm: None,
        })
    }

    /// Starts a connection to the proxy; events for it come as `client`.
    pub(crate) fn dial(&mut self, client: usize) -> Result<Tunnel, LoadError> {
        let socket = socket::dial(self.target.proxy, self.dialled)
            .map_err(LoadError::io("dialling the proxy"))?;
        self.dialled += 1;
        watch(&self.epoll, &socket, client as u64)?;
        Ok(Tunnel::new(socket))
    }

    /// What every connection asks for before it stands; nothing towards a plain relay.
    pub(crate) fn handshakes(&self) -> &[Handshake] {
        &self.handshakes
    }

    /// What `client` asks next.
    pub(crate) fn question(&mut self, client: usize) -> Question {
        match self.questions.len() {
            0 => Question::plain(self.next_seed(), self.bytes),
            count => self.questions[client % count].clone(),
        }
    }

    /// A seed that no other stream of this run has had.
    pub(crate) fn next_seed(&mut self) -> u64 {
        self.seeds += 1;
        self.seeds.wrapping_mul(7_919)
    }

    /// Has `client` come up in the next turn, event or not.
    pub(crate) fn again(&mut self, client: usize) {
        if !self.again.contains(&client) {
            self.again.push(client);
        }
    }

    /// No turn sleeps beyond this moment. It is met by looking at the clock during its last millisecond, since a timer
    /// would be late by as much as the latencies that are measured.
    pub(crate) fn set_alarm(&mut self, alarm: Option<Instant>) {
        self.alarm = alarm;
    }

    /// One turn: waits for something to happen, moves the origin, and fills `ready` with the clients that can go on.
    pub(crate) fn turn(
        &mut self,
        ready: &mut Vec<Ready>,
        doing: &'static str,
    ) -> Result<(), LoadError> {
        ready.clear();
        let origin = self.origin.as_ref();
        let busy = !self.again.is_empty() || origin.is_some_and(Origin::has_work);
        ready.extend(self.again.drain(..).map(|client| Ready {
            client,
            readiness: Readiness::default(),
        }));
        if let Some(origin) = &mut self.origin {
            origin.resume(&mut self.scratch)?;
        }
        let timeout = match self.target.wait {
            Wait::Sleep if !busy => EpollTimeout::from(self.sleep_ms()),
            _ => EpollTimeout::ZERO,
        };
        let count = self
            .epoll
            .wait(&mut self.events, timeout)
            .map_err(LoadError::errno("waiting for events"))?;
        for event in &self.events[..count] {
            let readiness = Readiness::from(event.events());
            match (event.data(), &mut self.origin) {
                (TOKEN_LISTENER, Some(origin)) => {
                    let epoll = &self.epoll;
                    origin.accept(|socket, index| {
                        watch(epoll, socket, TOKEN_ORIGIN | index as u64)
                    })?;
                }
                (token, Some(origin)) if token & TOKEN_ORIGIN != 0 => {
                    let index = (token & !TOKEN_ORIGIN) as usize;
                    origin.ready(index, readiness, &mut self.scratch)?;
                }
                (token, _) => ready.push(Ready {
                    client: token as usize,
                    readiness,
                }),
            }
        }
        self.check_moving(busy || count > 0, doing)
    }

    /// Lets the ends of all connections reach the origin. All tunnels must have been dropped.
    pub(crate) fn finish(&mut self) -> Result<(), LoadError> {
        if self.service == Service::Http {
            return Ok(()); // a proxy keeps connections to the origin for the next client
        }
        let mut ready = Vec::new();
        self.moved = Instant::now();
        while self.origin.as_ref().is_some_and(|origin| origin.open() > 0) {
            self.turn(&mut ready, "waiting for closed connections to end")?;
        }
        Ok(())
    }

    /// Connections that the origin has ever been given, where it is known.
    pub(crate) fn accepted(&self) -> u64 {
        self.origin.as_ref().map_or(0, Origin::accepted)
    }

    /// Answers as the origin and does nothing else, until an error ends it.
    pub(crate) fn serve(&mut self) -> Result<(), LoadError> {
        let mut ready = Vec::new();
        loop {
            self.moved = Instant::now(); // a silence means that nobody asks
            self.turn(&mut ready, "answering")?;
        }
    }

    /// Forgets a silence that was meant.
    pub(crate) fn expect_movement(&mut self) {
        self.moved = Instant::now();
    }

    fn sleep_ms(&self) -> u8 {
        let Some(alarm) = self.alarm else {
            return SLEEP_MS;
        };
        let left = alarm.saturating_duration_since(Instant::now());
        u8::try_from(left.as_millis()).map_or(SLEEP_MS, |left| left.min(SLEEP_MS))
    }

    fn check_moving(&mut self, moved: bool, doing: &'static str) -> Result<(), LoadError> {
        // While spinning most turns see nothing, and the clock is read once for each: it is what spinning is for.
        let now = Instant::now();
        if moved {
            self.moved = now;
        } else if now.duration_since(self.moved) > STALL_LIMIT {
            return Err(LoadError::Stalled { doing });
        }
        Ok(())
    }
}

/// The origin of `plan`.
fn listen(
    epoll: &Epoll,
    address: SocketAddr,
    plan: &Plan,
    pattern: &Pattern,
) -> Result<Origin, LoadError> {
    let frames = match plan.scenario {
        Scenario::WebSocketStream => source::frames(plan.payload, pattern),
        _ => source::Frames::default(),
    };
    let origin = Origin::listen(address, Service::of(plan.scenario), frames)?;
    let event = EpollEvent::new(EpollFlags::EPOLLIN, TOKEN_LISTENER);
    epoll
        .add(origin.listener(), event)
        .map_err(LoadError::errno("watching the origin's listener"))?;
    Ok(origin)
}

fn watch(epoll: &Epoll, socket: &std::net::TcpStream, token: u64) -> Result<(), LoadError> {
    let flags =
        EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
    epoll
        .add(socket, EpollEvent::new(flags, token))
        .map_err(LoadError::errno("watching a socket"))
}
