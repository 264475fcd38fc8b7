//! Names to addresses: the hosts file, the cache, then the name servers of `resolv.conf`, as libc would ask them.
//!
//! [`Resolver::lookup_family`] is the one question; A and AAAA are two of them, asked side by side (RFC 8305 3). A
//! question that needs a name server is asked by a task of its own, once, however many wait for it and whether or not
//! they stay: so the answer reaches the cache even when the client has gone, and nobody waits past a deadline of
//! their own. All state is the worker's; nothing is shared between cores.
//!
//! What stands against forged answers (RFC 5452): a random id, a fresh socket with a port of the kernel's choice for
//! every query, connected so that only the server's datagrams arrive, the question compared, one query in flight per
//! question, and a handful of wrong datagrams moves the question to TCP. The case of letters carries no randomness
//! (0x20): servers that do not preserve it are still about, and telling them apart costs more than it adds.
//!
//! Addresses are not judged here: the dialler checks each one right before it is dialled. Called by `net::dial`.

mod cache;
mod config;
mod error;
mod file;
mod hosts;
mod query;
mod servers;

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Instant;

use rand::rngs::{StdRng, SysRng};
use rand::{SeedableRng, TryRng};

use self::cache::Cache;
use self::config::Config;
pub use self::error::ResolveError;
use self::file::FromFile;
use self::hosts::Hosts;
use crate::limits;
pub use crate::proto::dns::Family;
use crate::proto::dns::Question;
use crate::rt::{Notify, Rt};

/// How a question ended: at least one address, in the order of the answer, or why there is none.
type Outcome = Result<Rc<[IpAddr]>, ResolveError>;

/// What a resolver works from.
#[derive(Debug, Clone)]
pub struct ResolverSetup {
    /// The name servers and how to ask them; read again when it changes.
    pub resolv_conf: PathBuf,
    /// Names that no name server is asked for; read again when it changes.
    pub hosts: PathBuf,
    /// The name servers to ask instead of those in `resolv_conf`, if any; its search list and options still count.
    pub servers: Vec<SocketAddr>,
    /// Bytes of one receive buffer: no longer datagram is asked for.
    pub buffer_bytes: u32,
    /// Where the ids of queries come from; nobody else may know it.
    pub seed: [u8; 32],
}

impl ResolverSetup {
    /// The files of this system, a seed from the kernel, and `server` instead of the servers in the file.
    ///
    /// # Errors
    /// When the kernel gives no randomness.
    pub fn system(server: Option<SocketAddr>, buffer_bytes: u32) -> io::Result<Self> {
        let mut seed = [0; 32];
        SysRng.try_fill_bytes(&mut seed).map_err(io::Error::other)?;
        Ok(Self {
            resolv_conf: PathBuf::from("/etc/resolv.conf"),
            hosts: PathBuf::from("/etc/hosts"),
            servers: server.into_iter().collect(),
            buffer_bytes,
            seed,
        })
    }
}

/// The resolver of one worker; clones are the same resolver.
#[derive(Clone)]
pub struct Resolver(Rc<State>);

struct State {
    rt: Rt,
    servers: Vec<SocketAddr>,
    /// The datagram size to announce, when it is more than every server may send anyway.
    datagram_bytes_max: Option<u16>,
    random: RefCell<StdRng>,
    config: RefCell<FromFile<Rc<Config>>>,
    hosts: RefCell<FromFile<Hosts>>,
    cache: RefCell<Cache>,
    flights: RefCell<HashMap<Question, Rc<Flight>>>,
}

/// A question on its way, and those who wait for its outcome.
struct Flight {
    outcome: RefCell<Option<Outcome>>,
    landed: Notify,
}

impl Resolver {
    /// A resolver on the runtime of this core. Files are read when they are first needed.
    #[must_use]
    pub fn new(rt: &Rt, setup: ResolverSetup) -> Self {
        let announced = setup.buffer_bytes.min(limits::DNS_DATAGRAM_BYTES_MAX);
        let datagram_bytes_max = u16::try_from(announced).ok();
        let without = Rc::new(Config::parse("", &setup.servers));
        Self(Rc::new(State {
            rt: rt.clone(),
            servers: setup.servers,
            datagram_bytes_max: datagram_bytes_max.filter(|bytes| *bytes > PLAIN_DATAGRAM_BYTES),
            random: RefCell::new(StdRng::from_seed(setup.seed)),
            config: RefCell::new(FromFile::new(setup.resolv_conf, without)),
            hosts: RefCell::new(FromFile::new(setup.hosts, Hosts::default())),
            cache: RefCell::new(Cache::new(limits::DNS_CACHE_ENTRIES_MAX)),
            flights: RefCell::new(HashMap::new()),
        }))
    }

    /// The addresses of one family that `name` has; never an empty list. `name` is no address literal.
    ///
    /// Dropping the future leaves the question running, for others and for the cache.
    ///
    /// # Errors
    /// [`ResolveError`]; [`ResolveError::Timeout`] also when `deadline` passes first.
    pub async fn lookup_family(
        &self,
        name: &str,
        family: Family,
        deadline: Instant,
    ) -> Result<Rc<[IpAddr]>, ResolveError> {
        if let Some(outcome) = self.0.settled_here(name, family) {
            return outcome;
        }
        let search = self.0.search(name, family);
        match self.0.rt.timeout_at(deadline, search).await {
            Ok(outcome) => outcome,
            Err(_) => Err(ResolveError::Timeout),
        }
    }

    /// Questions that wait for a name server at this moment.
    #[must_use]
    pub fn questions(&self) -> usize {
        self.0.flights.borrow().len()
    }
}

/// Bytes of a datagram that every server may send unasked (RFC 1035 4.2.1).
const PLAIN_DATAGRAM_BYTES: u16 = 512;

impl State {
    /// What needs no name server: names in the hosts file, and those that must not be asked for.
    fn settled_here(&self, name: &str, family: Family) -> Option<Outcome> {
        let name = name.strip_suffix('.').unwrap_or(name);
        let name = if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(name.to_ascii_lowercase())
        } else {
            Cow::Borrowed(name)
        };
        let mut hosts = self.hosts.borrow_mut();
        if let Some(addresses) = hosts
            .current(self.rt.now(), Hosts::parse)
            .find(&name, family)
        {
            let found = (!addresses.is_empty()).then_some(addresses);
            return Some(found.ok_or(ResolveError::NoAddress));
        }
        match name.rsplit('.').next() {
            // RFC 6761 6.3.
            Some("localhost") => Some(Ok(Rc::from([match family {
                Family::V4 => IpAddr::V4(Ipv4Addr::LOCALHOST),
                Family::V6 => IpAddr::V6(Ipv6Addr::LOCALHOST),
            }]))),
            // RFC 6761 6.4, RFC 7686 2: no name server is to hear of them.
            Some("invalid" | "onion") => Some(Err(ResolveError::NotFound)),
            _ => None,
        }
    }

    fn config(&self) -> Rc<Config> {
        let parse = |text: &str| Rc::new(Config::parse(text, &self.servers));
        Rc::clone(self.config.borrow_mut().current(self.rt.now(), parse))
    }

    /// Tries the names that `name` may stand for, until one settles it.
    ///
    /// Both families must settle on the same name, or a dial would race the addresses of two hosts. So a name that
    /// has no address of this family is passed over only when it has none of the other either.
    async fn search(self: &Rc<Self>, name: &str, family: Family) -> Outcome {
        let candidates = self.config().candidates(name);
        let Some(last) = candidates.len().checked_sub(1) else {
            return Err(ResolveError::InvalidName);
        };
        let mut verdict = ResolveError::NotFound;
        for (position, name) in candidates.into_iter().enumerate() {
            let outcome = self
                .answer(Question {
                    name: name.clone(),
                    family,
                })
                .await;
            let error = match outcome {
                Err(error) if error.passes_over() => error,
                settled => return settled,
            };
            verdict = verdict.max(error);
            if position == last {
                break;
            }
            let other = Question {
                name,
                family: family.other(),
            };
            match self.answer(other).await {
                Ok(_) => return Err(error),
                Err(error) if error.passes_over() => {}
                Err(error) => return Err(error),
            }
        }
        Err(verdict)
    }

    /// The outcome of one question: from the cache, from a flight under way, or from a new one.
    async fn answer(self: &Rc<Self>, question: Question) -> Outcome {
        let known = self.cache.borrow_mut().find(&question, self.rt.now());
        if let Some(outcome) = known {
            return outcome;
        }
        let under_way = self.flights.borrow().get(&question).map(Rc::clone);
        let flight = match under_way {
            Some(flight) => flight,
            None => self.launch(question)?,
        };
        loop {
            if let Some(outcome) = flight.outcome.borrow().clone() {
                return outcome;
            }
            flight.landed.wait().await;
        }
    }

    /// Starts the task that asks `question`.
    fn launch(self: &Rc<Self>, question: Question) -> Result<Rc<Flight>, ResolveError> {
        let mut flights = self.flights.borrow_mut();
        if flights.len() >= limits::DNS_QUESTIONS_MAX {
            return Err(ResolveError::Overloaded);
        }
        let flight = Rc::new(Flight {
            outcome: RefCell::new(None),
            landed: Notify::new(&self.rt),
        });
        flights.insert(question.clone(), Rc::clone(&flight));
        let state = Rc::clone(self);
        let flown = Rc::clone(&flight);
        self.rt.spawn(async move {
            let finding = state.ask(&question).await;
            let outcome = finding.outcome.clone();
            let mut cache = state.cache.borrow_mut();
            cache.insert(
                question.clone(),
                finding.outcome,
                finding.ttl,
                state.rt.now(),
            );
            state.flights.borrow_mut().remove(&question);
            flown.outcome.replace(Some(outcome));
            flown.landed.notify_all();
        });
        Ok(flight)
    }
}

#[cfg(test)]
mod tests;
