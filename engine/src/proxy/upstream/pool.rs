//! Connections to origins that wait for their next request: newest first, few per host and in all, none for long. One
//! pool per worker. They have nothing armed in the ring, so whether one is still alive is asked when it is taken, and
//! another worker may have one (`taking`).
//!
//! Called by `forward`, which keeps the connection of a client's last request at hand for a moment before it comes here.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use super::Board;
use super::taking::Others;
use crate::limits;
use crate::net::TcpStream;
use crate::proxy::Counters;
use crate::ring::sys;
use crate::rt::{Post, Rt};

/// The idle connections of one worker.
pub struct UpstreamPool {
    pub(super) rt: Rt,
    /// By way and authority. A host without connections has no entry.
    hosts: RefCell<HashMap<Box<[u8]>, VecDeque<Idle>>>,
    idle: Cell<usize>,
    /// Somebody will close those that are old.
    minded: Cell<bool>,
    /// Nothing is kept any more.
    closed: Cell<bool>,
    /// The other workers, if there are any to take connections from.
    pub(super) others: Option<Others>,
    pub(super) counters: Arc<Counters>,
}

/// A connection, oldest first in its queue.
struct Idle {
    stream: TcpStream,
    since: Instant,
}

impl UpstreamPool {
    /// An empty one. With `others` it shows there what it has, and asks there for what it has not.
    #[must_use]
    pub fn new(rt: &Rt, counters: Arc<Counters>, others: Option<(Arc<Board>, Post)>) -> Rc<Self> {
        Rc::new(Self {
            rt: rt.clone(),
            hosts: RefCell::default(),
            idle: Cell::new(0),
            minded: Cell::new(false),
            closed: Cell::new(false),
            others: others.map(|(board, post)| Others::new(rt, board, post)),
            counters,
        })
    }

    /// The connection to `key` that was used last, if it is alive.
    pub(in crate::proxy) fn take(&self, key: &[u8]) -> Option<TcpStream> {
        let mut hosts = self.hosts.borrow_mut();
        let connections = hosts.get_mut(key)?;
        let mut found = None;
        while let Some(newest) = connections.pop_back() {
            self.idle.set(self.idle.get() - 1);
            // Bytes that nobody asked for, FIN and RST all end its use.
            if sys::is_quiet(newest.stream.as_fd()) {
                found = Some(newest.stream);
                break;
            }
        }
        if connections.is_empty() {
            hosts.remove(key);
            self.hide(key);
        }
        found
    }

    /// Keeps a connection with no operation in flight for the next request to `key`, for a while. When there are too
    /// many, the oldest goes.
    pub(in crate::proxy) fn put(self: &Rc<Self>, key: &[u8], stream: TcpStream) {
        if self.closed.get() {
            return;
        }
        self.keep(key, stream, self.rt.now());
        if self.minded.replace(true) {
            return;
        }
        let pool = Rc::clone(self);
        self.rt.spawn(async move {
            loop {
                let rt = &pool.rt;
                rt.sleep_until(rt.now() + limits::UPSTREAM_TRIM_INTERVAL)
                    .await;
                let before = rt.now().checked_sub(limits::UPSTREAM_IDLE_TIME_MAX);
                if before.is_some_and(|before| !pool.trim(before)) {
                    pool.minded.set(false);
                    return;
                }
            }
        });
    }

    fn keep(&self, key: &[u8], stream: TcpStream, since: Instant) {
        if self.idle.get() >= limits::UPSTREAM_IDLE_MAX {
            self.drop_oldest();
        }
        let mut hosts = self.hosts.borrow_mut();
        if !hosts.contains_key(key) {
            hosts.insert(key.into(), VecDeque::new());
            self.show(key);
        }
        let Some(connections) = hosts.get_mut(key) else {
            return;
        };
        if connections.len() >= limits::UPSTREAM_IDLE_PER_HOST_MAX {
            connections.pop_front();
        } else {
            self.idle.set(self.idle.get() + 1);
        }
        connections.push_back(Idle { stream, since });
    }

    fn drop_oldest(&self) {
        let mut hosts = self.hosts.borrow_mut();
        let oldest = hosts
            .iter()
            .min_by_key(|(_, connections)| connections.front().map(|oldest| oldest.since));
        let Some(key) = oldest.map(|(key, _)| key.clone()) else {
            return;
        };
        if let Some(connections) = hosts.get_mut(&key) {
            connections.pop_front();
            self.idle.set(self.idle.get() - 1);
            if connections.is_empty() {
                hosts.remove(&key);
                self.hide(&key);
            }
        }
    }

    /// Closes those that have been idle since `before`, and those that their origin has closed. Says whether any are
    /// left.
    fn trim(&self, before: Instant) -> bool {
        let mut hosts = self.hosts.borrow_mut();
        hosts.retain(|key, connections| {
            let all = connections.len();
            connections.retain(|idle| idle.since > before && sys::is_quiet(idle.stream.as_fd()));
            self.idle.set(self.idle.get() - (all - connections.len()));
            if connections.is_empty() {
                self.hide(key);
            }
            !connections.is_empty()
        });
        // A crawler that has left leaves no large empty table behind.
        if hosts.capacity() > 64 && hosts.capacity() / 4 > hosts.len() {
            hosts.shrink_to_fit();
        }
        !hosts.is_empty()
    }

    /// Closes all of them. Says whether there were any.
    pub fn clear(&self) -> bool {
        for (key, _) in self.hosts.borrow_mut().drain() {
            self.hide(&key);
        }
        self.idle.replace(0) > 0
    }

    /// Closes all of them, and from now on those that come.
    pub fn close(&self) {
        self.closed.set(true);
        self.clear();
    }

    /// Whether nothing is kept any more.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// How many there are.
    #[must_use]
    pub fn idle(&self) -> usize {
        self.idle.get()
    }

    fn show(&self, key: &[u8]) {
        if let Some(others) = &self.others {
            others.row.show(key);
        }
    }

    fn hide(&self, key: &[u8]) {
        if let Some(others) = &self.others {
            others.row.hide(key);
        }
    }
}
