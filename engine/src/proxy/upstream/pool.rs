//! Connections to origins that wait for their next request: newest first, few per host and in all, none for long. One
//! pool per worker. They have nothing armed in the ring, so whether one is still alive is asked when it is taken.
//!
//! Called by `forward`, which keeps the connection of a client's last request at hand for a moment before it comes here.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::Instant;

use crate::limits;
use crate::net::TcpStream;
use crate::proxy::Proxy;
use crate::ring::sys;

/// The idle connections of one worker.
#[derive(Default)]
pub struct UpstreamPool {
    /// By way and authority. A host without connections has no entry.
    hosts: RefCell<HashMap<Box<[u8]>, VecDeque<Idle>>>,
    idle: Cell<usize>,
    /// Somebody will close those that are old.
    minded: Cell<bool>,
}

/// A connection, oldest first in its queue.
struct Idle {
    stream: TcpStream,
    since: Instant,
}

impl UpstreamPool {
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
        }
        found
    }

    /// Keeps a connection with no operation in flight. When there are too many, the oldest goes.
    fn put(&self, key: &[u8], stream: TcpStream, since: Instant) {
        if self.idle.get() >= limits::UPSTREAM_IDLE_MAX {
            self.drop_oldest();
        }
        let mut hosts = self.hosts.borrow_mut();
        if !hosts.contains_key(key) {
            hosts.insert(key.into(), VecDeque::new());
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
            }
        }
    }

    /// Closes those that have been idle since `before`, and those that their origin has closed. Says whether any are
    /// left.
    fn trim(&self, before: Instant) -> bool {
        let mut hosts = self.hosts.borrow_mut();
        hosts.retain(|_, connections| {
            let all = connections.len();
            connections.retain(|idle| idle.since > before && sys::is_quiet(idle.stream.as_fd()));
            self.idle.set(self.idle.get() - (all - connections.len()));
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
        self.hosts.borrow_mut().clear();
        self.idle.replace(0) > 0
    }

    /// How many there are.
    #[must_use]
    pub fn idle(&self) -> usize {
        self.idle.get()
    }
}

impl Proxy {
    /// Keeps a connection for the next request to `key`, for a while.
    pub(in crate::proxy) fn put_upstream(self: &Rc<Self>, key: &[u8], stream: TcpStream) {
        self.upstreams.put(key, stream, self.rt.now());
        if self.upstreams.minded.replace(true) {
            return;
        }
        let proxy = Rc::clone(self);
        self.rt.spawn(async move {
            loop {
                proxy
                    .rt
                    .sleep_until(proxy.rt.now() + limits::UPSTREAM_TRIM_INTERVAL)
                    .await;
                let before = proxy.rt.now().checked_sub(limits::UPSTREAM_IDLE_TIME_MAX);
                if before.is_some_and(|before| !proxy.upstreams.trim(before)) {
                    proxy.upstreams.minded.set(false);
                    return;
                }
            }
        });
    }
}
