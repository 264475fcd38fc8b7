//! The name servers and the order to ask them in.
//!
//! The order is that of the file, or starts one further for each question (`rotate`). A server that keeps silent
//! several times in a row is suspect: it is asked last, until after a while one question tries it in its place again.
//! So a dead first server costs its timeout now and then, not with every name.

use std::cell::Cell;
use std::net::SocketAddr;
use std::time::Instant;

use crate::limits;

/// The name servers of one configuration, at least one.
#[derive(Debug)]
pub(super) struct Servers {
    servers: Vec<Server>,
    rotate: bool,
    start: Cell<usize>,
}

/// One name server, and what is known of it.
#[derive(Debug)]
pub(super) struct Server {
    /// Where to ask.
    pub(super) address: SocketAddr,
    silences: Cell<u32>,
    suspect_until: Cell<Option<Instant>>,
}

impl Servers {
    pub(super) fn new(addresses: Vec<SocketAddr>, rotate: bool) -> Self {
        let server = |address| Server {
            address,
            silences: Cell::new(0),
            suspect_until: Cell::new(None),
        };
        Self {
            servers: addresses.into_iter().map(server).collect(),
            rotate,
            start: Cell::new(0),
        }
    }

    /// Every server once, in the order to ask them at `now`.
    pub(super) fn order(&self, now: Instant) -> impl Iterator<Item = &Server> {
        let start = self.start.get();
        if self.rotate {
            self.start.set((start + 1) % self.servers.len().max(1));
        }
        let (later, sooner) = self.servers.split_at(start.min(self.servers.len()));
        let (suspect, trusted): (Vec<&Server>, Vec<&Server>) = sooner
            .iter()
            .chain(later)
            .partition(|server| server.is_suspect(now));
        trusted.into_iter().chain(suspect)
    }
}

impl Server {
    /// Notes that it answered, whatever it said.
    pub(super) fn answered(&self) {
        self.silences.set(0);
        self.suspect_until.set(None);
    }

    /// Notes that it did not answer in time; true when that makes it suspect.
    pub(super) fn kept_silent(&self, now: Instant) -> bool {
        let silences = self.silences.get().saturating_add(1);
        self.silences.set(silences);
        if silences >= limits::DNS_SILENCES_MAX {
            self.suspect_until.set(Some(now + limits::DNS_SUSPECT_TIME));
        }
        silences == limits::DNS_SILENCES_MAX
    }

    /// Whether to ask it last. The first to see its time over is the one to try it; the others wait for the result.
    fn is_suspect(&self, now: Instant) -> bool {
        let Some(until) = self.suspect_until.get() else {
            return false;
        };
        if now >= until {
            self.suspect_until.set(Some(now + limits::DNS_SUSPECT_TIME));
        }
        now < until
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn servers(count: u16, rotate: bool) -> Servers {
        let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Servers::new((1..=count).map(address).collect(), rotate)
    }

    fn order(servers: &Servers, now: Instant) -> Vec<u16> {
        servers
            .order(now)
            .map(|server| server.address.port())
            .collect()
    }

    fn silence(servers: &Servers, port: u16, times: u32, now: Instant) -> bool {
        let mut became_suspect = false;
        for _ in 0..times {
            for server in servers
                .order(now)
                .filter(|server| server.address.port() == port)
            {
                became_suspect |= server.kept_silent(now);
            }
        }
        became_suspect
    }

    #[test]
    fn rotation_starts_one_further_each_time() {
        let now = Instant::now();
        let fixed = servers(3, false);
        assert_eq!(
            (order(&fixed, now), order(&fixed, now)),
            (vec![1, 2, 3], vec![1, 2, 3])
        );
        let rotating = servers(3, true);
        let orders: Vec<Vec<u16>> = (0..4).map(|_| order(&rotating, now)).collect();
        assert_eq!(orders, [[1, 2, 3], [2, 3, 1], [3, 1, 2], [1, 2, 3]]);
    }

    #[test]
    fn a_silent_server_is_asked_last_until_one_question_tries_it() {
        let now = Instant::now();
        let servers = servers(3, false);
        assert!(!silence(&servers, 1, limits::DNS_SILENCES_MAX - 1, now));
        assert_eq!(
            order(&servers, now),
            [1, 2, 3],
            "a silence may be the question's fault"
        );
        assert!(silence(&servers, 1, 1, now));
        assert_eq!(order(&servers, now), [2, 3, 1]);
        assert!(!silence(&servers, 1, 1, now), "said once");

        let later = now + limits::DNS_SUSPECT_TIME;
        assert_eq!(order(&servers, later), [1, 2, 3], "one tries");
        assert_eq!(order(&servers, later), [2, 3, 1], "the others do not");
        for server in servers.order(later) {
            server.answered();
        }
        assert_eq!(order(&servers, later), [1, 2, 3]);
        assert!(!silence(&servers, 1, limits::DNS_SILENCES_MAX - 1, later));
        assert_eq!(order(&servers, later), [1, 2, 3], "counting starts again");
    }

    #[test]
    fn all_suspect_is_all_asked() {
        let now = Instant::now();
        let servers = servers(2, false);
        (1..=2).for_each(|port| assert!(silence(&servers, port, limits::DNS_SILENCES_MAX, now)));
        assert_eq!(order(&servers, now), [1, 2]);
    }
}
