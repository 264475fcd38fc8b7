//! Asking the name servers: one after the other, each over UDP and, where UDP cannot do, over TCP.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rand::Rng;

use super::{Outcome, ResolveError, State};
use crate::limits;
use crate::net::{CongestionPolicy, DialError, StreamGone, TcpStream, UdpSocket, is_shortage};
use crate::proto::dns::{Query, Question, Reading, first_segment};

/// What came of a question, and how long that holds.
pub(super) struct Finding {
    pub(super) outcome: Outcome,
    pub(super) ttl: Duration,
}

/// Why a server could not be asked.
#[derive(Debug)]
enum NotAsked {
    /// The socket failed, or the server closed the connection early.
    Socket(io::Error),
    /// No connection came about.
    Connect(DialError),
}

impl State {
    /// Asks the servers in turn until one settles `question`, each within its timeout, as often as configured.
    pub(super) async fn ask(&self, question: &Question) -> Finding {
        let config = self.config();
        let end = self.rt.now() + limits::DNS_QUESTION_TIME_MAX;
        let mut failure = ResolveError::Timeout;
        'asking: for _ in 0..config.attempts {
            for server in config.servers.order(self.rt.now()) {
                let deadline = end.min(self.rt.now() + config.timeout);
                let exchange = self.exchange(server.address, question, deadline);
                match self.rt.timeout_at(deadline, exchange).await {
                    Ok(Ok(reading)) => {
                        server.answered();
                        match settle(reading) {
                            Ok(finding) => return finding,
                            Err(error) => failure = error,
                        }
                    }
                    Ok(Err(error)) => {
                        tracing::debug!(server = %server.address, name = %question.name, %error, "not asked");
                        failure = error.verdict();
                    }
                    Err(_) if server.kept_silent(self.rt.now()) => {
                        tracing::warn!(server = %server.address, "silent name server, asked last for now");
                    }
                    Err(_) => {}
                }
                if self.rt.now() >= end {
                    break 'asking;
                }
            }
        }
        Finding {
            outcome: Err(failure),
            ttl: limits::DNS_FAILURE_TTL,
        }
    }

    /// Asks one server. The caller sees to the deadline.
    async fn exchange(
        &self,
        server: SocketAddr,
        question: &Question,
        deadline: Instant,
    ) -> Result<Reading, NotAsked> {
        let mut datagram_bytes_max = self.datagram_bytes_max;
        loop {
            let id = (self.random.borrow_mut().next_u32() >> 16) as u16;
            let Ok(query) = Query::new(question, id, datagram_bytes_max) else {
                return Err(NotAsked::Socket(io::ErrorKind::InvalidInput.into()));
            };
            let reading = match self.over_udp(server, &query).await? {
                Reading::Truncated | Reading::Foreign => {
                    let congestion = CongestionPolicy::default(); // a few hundred bytes
                    let stream = TcpStream::connect(&self.rt, server, congestion, deadline).await;
                    over_tcp(stream?, &query).await?
                }
                reading => reading,
            };
            if reading != Reading::NotUnderstood || datagram_bytes_max.take().is_none() {
                return Ok(reading);
            }
        }
    }

    /// Asks with a datagram and waits for the one that answers it. [`Reading::Foreign`] when too many did not.
    async fn over_udp(&self, server: SocketAddr, query: &Query) -> io::Result<Reading> {
        let mut socket = UdpSocket::connect(&self.rt, server)?;
        socket.send(query.datagram()).await?;
        for _ in 0..limits::DNS_FOREIGN_DATAGRAMS_MAX {
            let datagram = socket.recv().await?;
            match query.read(&datagram) {
                Reading::Foreign => {}
                reading => return Ok(reading),
            }
        }
        Ok(Reading::Foreign)
    }
}

/// Asks over a fresh connection (RFC 7766) and closes it.
async fn over_tcp(mut stream: TcpStream, query: &Query) -> io::Result<Reading> {
    stream.send_all(query.segment()).await?;
    let mut received = Vec::new();
    let reading = loop {
        let Some(bytes) = stream.recv().await? else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        received.extend_from_slice(&bytes);
        if let Some(message) = first_segment(&received) {
            break query.read(message);
        }
    };
    stream.close().await;
    Ok(reading)
}

/// What `reading` settles; the error when another server may know better.
fn settle(reading: Reading) -> Result<Finding, ResolveError> {
    let (outcome, ttl) = match reading {
        Reading::Addresses { addresses, ttl } => (Ok(Rc::from(addresses)), ttl),
        Reading::NotFound { ttl } => (Err(ResolveError::NotFound), ttl),
        Reading::NoAddress { ttl } => (Err(ResolveError::NoAddress), ttl),
        Reading::AliasLoop => (Err(ResolveError::AliasLoop), limits::DNS_FAILURE_TTL),
        Reading::Failed | Reading::NotUnderstood => return Err(ResolveError::ServerFailure),
        // Over TCP there is one message, and it answers the question in full.
        Reading::Malformed | Reading::Foreign | Reading::Truncated => {
            return Err(ResolveError::Malformed);
        }
    };
    Ok(Finding { outcome, ttl })
}

impl NotAsked {
    /// What this is to those who wait for the name.
    fn verdict(&self) -> ResolveError {
        let errno = match self {
            Self::Connect(DialError::Exhausted(errno)) => Some(*errno),
            Self::Connect(_) => None,
            Self::Socket(error) => error.raw_os_error(),
        };
        match errno {
            Some(errno) if is_shortage(errno) => ResolveError::Overloaded,
            _ => ResolveError::ServerFailure,
        }
    }
}

impl fmt::Display for NotAsked {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(error) => error.fmt(formatter),
            Self::Connect(error) => error.fmt(formatter),
        }
    }
}

impl From<io::Error> for NotAsked {
    fn from(error: io::Error) -> Self {
        Self::Socket(error)
    }
}

impl From<StreamGone> for NotAsked {
    fn from(error: StreamGone) -> Self {
        Self::Socket(error.into())
    }
}

impl From<DialError> for NotAsked {
    fn from(error: DialError) -> Self {
        Self::Connect(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn want_of_descriptors_is_our_own_fault() {
        let own = [
            libc::EMFILE,
            libc::ENFILE,
            libc::ENOBUFS,
            libc::ENOMEM,
            libc::EADDRNOTAVAIL,
            libc::EAGAIN,
        ];
        for errno in own {
            let error = NotAsked::from(io::Error::from_raw_os_error(errno));
            assert_eq!(error.verdict(), ResolveError::Overloaded, "{error}");
        }
        for errno in [
            libc::ECONNREFUSED,
            libc::ECONNRESET,
            libc::ENETUNREACH,
            libc::EACCES,
        ] {
            let error = NotAsked::from(StreamGone(errno));
            assert_eq!(error.verdict(), ResolveError::ServerFailure, "{error}");
        }
        let exhausted = NotAsked::from(DialError::Exhausted(libc::EMFILE));
        assert_eq!(exhausted.verdict(), ResolveError::Overloaded);
        assert_eq!(
            NotAsked::from(DialError::Refused).verdict(),
            ResolveError::ServerFailure
        );
    }
}
