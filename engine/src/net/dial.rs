//! Connecting to an authority: Happy Eyeballs v2 (RFC 8305) over what the resolver answers, every address judged right
//! before it is dialled, all within one deadline.

use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::resolver::{Family, ResolveError, Resolver};
use super::{CongestionPolicy, TcpStream, is_shortage};
use crate::addr::{Authority, Host};
use crate::ring::{Connect, Op, sys};
use crate::rt::{Operation, Rt, Sleep};

/// Why no connection came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DialError {
    /// The name did not resolve.
    Resolve(ResolveError),
    /// Every address is one that the policy forbids.
    Forbidden,
    /// RST in answer to SYN.
    Refused,
    /// No route, or an ICMP error, with its errno.
    Unreachable(i32),
    /// The deadline passed.
    TimedOut,
    /// This process has no descriptors or ports left, with the errno.
    Exhausted(i32),
    /// Another error of connect(2).
    Failed(i32),
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolve(error) => write!(f, "{error}"),
            Self::Forbidden => f.write_str("the address is not allowed"),
            Self::Refused => f.write_str("connection refused"),
            Self::TimedOut => f.write_str("connecting timed out"),
            Self::Unreachable(errno) | Self::Exhausted(errno) | Self::Failed(errno) => {
                write!(f, "{}", std::io::Error::from_raw_os_error(*errno))
            }
        }
    }
}

impl DialError {
    fn of(errno: i32) -> Self {
        match errno {
            libc::ECONNREFUSED => Self::Refused,
            libc::ETIMEDOUT => Self::TimedOut,
            libc::ENETUNREACH | libc::EHOSTUNREACH | libc::ENETDOWN | libc::EHOSTDOWN => {
                Self::Unreachable(errno)
            }
            errno if is_shortage(errno) => Self::Exhausted(errno),
            _ => Self::Failed(errno),
        }
    }
}

/// Connection Attempt Delay (RFC 8305, section 8).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// Resolution Delay (RFC 8305, section 8).
const RESOLUTION_DELAY: Duration = Duration::from_millis(50);
/// Addresses of one name that are tried at most.
const CANDIDATES_MAX: usize = 16;

impl TcpStream {
    /// Connects to one address.
    ///
    /// # Errors
    /// [`DialError`], never for a reason of resolving or policy.
    pub async fn connect(
        rt: &Rt,
        address: SocketAddr,
        congestion: CongestionPolicy,
        deadline: Instant,
    ) -> Result<Self, DialError> {
        let attempt = Attempt::start(rt, address, congestion)?;
        match rt.timeout_at(deadline, attempt).await {
            Ok(connected) => connected,
            Err(_) => Err(DialError::TimedOut),
        }
    }
}

/// One connect in flight.
struct Attempt {
    rt: Rt,
    // Declared before the socket: the operation is abandoned before the descriptor is closed.
    operation: Operation,
    socket: Option<OwnedFd>,
}

impl Attempt {
    fn start(
        rt: &Rt,
        address: SocketAddr,
        congestion: CongestionPolicy,
    ) -> Result<Self, DialError> {
        let socket = sys::tcp_socket(address, congestion.towards(address.ip()))
            .map_err(|error| DialError::of(error.raw_os_error().unwrap_or(libc::EIO)))?;
        let operation = Operation::start(
            rt,
            Op::Connect(Connect {
                socket: socket.as_raw_fd(),
                address,
            }),
        );
        Ok(Self {
            rt: rt.clone(),
            operation,
            socket: Some(socket),
        })
    }
}

impl Future for Attempt {
    type Output = Result<TcpStream, DialError>;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        let Poll::Ready((result, _)) = self.operation.poll_result() else {
            return Poll::Pending;
        };
        if result < 0 {
            return Poll::Ready(Err(DialError::of(-result)));
        }
        match self.socket.take() {
            Some(socket) => Poll::Ready(Ok(TcpStream::new(&self.rt, socket))),
            None => Poll::Pending,
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if self.socket.is_some() {
            // The connect may still be queued under this descriptor's number.
            let _ = self.rt.ring().flush();
        }
    }
}

/// Connects to names and addresses.
#[derive(Clone)]
pub struct Dialler {
    rt: Rt,
    resolver: Resolver,
    congestion: CongestionPolicy,
}

impl Dialler {
    /// A dialler that resolves with `resolver`.
    #[must_use]
    pub fn new(rt: &Rt, resolver: Resolver, congestion: CongestionPolicy) -> Self {
        Self {
            rt: rt.clone(),
            resolver,
            congestion,
        }
    }

    /// Connects to `authority`, trying only addresses that `allowed` allows.
    ///
    /// # Errors
    /// [`DialError`]; of several attempts, the last one's.
    pub async fn dial(
        &self,
        authority: &Authority,
        allowed: &dyn Fn(IpAddr, u16) -> bool,
        deadline: Instant,
    ) -> Result<TcpStream, DialError> {
        let port = authority.port.get();
        let literal = match &authority.host {
            Host::Name(name) =>
            // Boxed: two lookups side by side are kilobytes, which a connection that is not dialling should not hold.
            {
                return Box::pin(self.dial_name(name, port, allowed, deadline)).await;
            }
            Host::V4(address) => IpAddr::V4(*address),
            Host::V6(address) => IpAddr::V6(*address),
        };
        if !allowed(literal, port) {
            return Err(DialError::Forbidden);
        }
        let address = SocketAddr::new(literal, port);
        TcpStream::connect(&self.rt, address, self.congestion, deadline).await
    }

    async fn dial_name(
        &self,
        name: &str,
        port: u16,
        allowed: &dyn Fn(IpAddr, u16) -> bool,
        deadline: Instant,
    ) -> Result<TcpStream, DialError> {
        let mut v6 = pin!(self.resolver.lookup_family(name, Family::V6, deadline));
        let mut v4 = pin!(self.resolver.lookup_family(name, Family::V4, deadline));
        let mut race = Race::new(&self.rt, self.congestion, port, allowed);
        let race = poll_fn(|context| {
            if race.lookups[Race::V6].is_none()
                && let Poll::Ready(answer) = v6.as_mut().poll(context)
            {
                race.answered(Race::V6, answer);
            }
            if race.lookups[Race::V4].is_none()
                && let Poll::Ready(answer) = v4.as_mut().poll(context)
            {
                race.answered(Race::V4, answer);
            }
            race.poll(context)
        });
        self.rt
            .timeout_at(deadline, race)
            .await
            .unwrap_or(Err(DialError::TimedOut))
    }
}

/// The attempts on one name.
struct Race<'a> {
    rt: &'a Rt,
    congestion: CongestionPolicy,
    port: u16,
    allowed: &'a dyn Fn(IpAddr, u16) -> bool,
    /// For each family, how its lookup ended.
    lookups: [Option<Result<(), ResolveError>>; 2],
    candidates: [VecDeque<IpAddr>; 2],
    /// The family whose turn it is: they alternate (RFC 8305, section 4).
    turn: usize,
    attempts: Vec<Attempt>,
    /// When IPv4 need not wait for IPv6 any longer, and when the next attempt may start beside those that run.
    start_at: Option<Instant>,
    next_at: Option<Instant>,
    timer: Option<(Instant, Sleep)>,
    error: Option<DialError>,
}

impl<'a> Race<'a> {
    const V6: usize = 0;
    const V4: usize = 1;

    fn new(
        rt: &'a Rt,
        congestion: CongestionPolicy,
        port: u16,
        allowed: &'a dyn Fn(IpAddr, u16) -> bool,
    ) -> Self {
        Self {
            rt,
            congestion,
            port,
            allowed,
            lookups: [None, None],
            candidates: [VecDeque::new(), VecDeque::new()],
            turn: Self::V6,
            attempts: Vec::new(),
            start_at: None,
            next_at: None,
            timer: None,
            error: None,
        }
    }

    fn answered(&mut self, family: usize, answer: Result<Rc<[IpAddr]>, ResolveError>) {
        if let Ok(addresses) = &answer {
            self.candidates[family].extend(addresses.iter().take(CANDIDATES_MAX));
        }
        self.lookups[family] = Some(answer.map(drop));
        if family == Self::V4 && self.lookups[Self::V6].is_none() {
            self.start_at = Some(self.rt.now() + RESOLUTION_DELAY);
        } else {
            self.start_at = Some(self.rt.now());
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<TcpStream, DialError>> {
        loop {
            if let Poll::Ready(stream) = self.poll_attempts(context) {
                return Poll::Ready(Ok(stream));
            }
            let wake_at = match self.next_start() {
                None if self.over() => return Poll::Ready(Err(self.verdict())),
                None => return Poll::Pending,
                Some(at) if at <= self.rt.now() => {
                    self.start_next();
                    continue;
                }
                Some(at) => at,
            };
            if self.timer.as_ref().is_none_or(|(at, _)| *at != wake_at) {
                self.timer = Some((wake_at, self.rt.sleep_until(wake_at)));
            }
            if let Some((_, sleep)) = &mut self.timer
                && Pin::new(sleep).poll(context).is_pending()
            {
                return Poll::Pending;
            }
        }
    }

    fn poll_attempts(&mut self, context: &mut Context<'_>) -> Poll<TcpStream> {
        let mut index = 0;
        while let Some(attempt) = self.attempts.get_mut(index) {
            match Pin::new(attempt).poll(context) {
                Poll::Pending => index += 1,
                Poll::Ready(Ok(stream)) => return Poll::Ready(stream),
                Poll::Ready(Err(error)) => {
                    self.error = Some(error);
                    self.next_at = None;
                    drop(self.attempts.swap_remove(index));
                }
            }
        }
        Poll::Pending
    }

    /// When the next attempt starts; `None` without a candidate.
    fn next_start(&self) -> Option<Instant> {
        if self.candidates.iter().all(VecDeque::is_empty) {
            return None;
        }
        let now = self.rt.now();
        let resolved = self.start_at.unwrap_or(now);
        Some(if self.attempts.is_empty() {
            resolved
        } else {
            resolved.max(self.next_at.unwrap_or(now))
        })
    }

    fn start_next(&mut self) {
        let family = if self.candidates[self.turn].is_empty() {
            1 - self.turn
        } else {
            self.turn
        };
        let Some(address) = self.candidates[family].pop_front() else {
            return;
        };
        self.turn = 1 - family;
        if !(self.allowed)(address, self.port) {
            self.error.get_or_insert(DialError::Forbidden);
            return;
        }
        let address = SocketAddr::new(address, self.port);
        match Attempt::start(self.rt, address, self.congestion) {
            Ok(attempt) => {
                self.attempts.push(attempt);
                self.next_at = Some(self.rt.now() + ATTEMPT_DELAY);
            }
            Err(error) => self.error = Some(error),
        }
    }

    fn over(&self) -> bool {
        self.attempts.is_empty() && self.lookups.iter().all(Option::is_some)
    }

    /// The last attempt's error; without one, why there was nothing to attempt.
    fn verdict(&self) -> DialError {
        let unresolved = || {
            let errors = self
                .lookups
                .iter()
                .filter_map(|lookup| lookup.and_then(Result::err));
            // An error of either family says more than "this name has no address of that family".
            errors.max_by_key(|error| *error != ResolveError::NoAddress)
        };
        self.error
            .or_else(|| unresolved().map(DialError::Resolve))
            .unwrap_or(DialError::Resolve(ResolveError::NoAddress))
    }
}
