//! How a connection ended: one record that becomes the answer on the wire, the log line and the numbers, in one place.

use std::fmt;
use std::net::SocketAddr;
use std::time::Instant;

use tracing::field::display;
use tracing::{Level, debug, enabled};

use super::relay::FrameCounts;
use crate::net::resolver::ResolveError;
use crate::net::{DialError, TcpStream};
use crate::proto::http1::{
    ChunkError, HTTPS_WANTS_CONNECT, HeadError, ORIGIN_FORM_HELP, ProxyError, RESPONSE_INCOMPLETE,
    RESPONSE_TIMEOUT, Reply, SCHEME_UNKNOWN, Status, UPGRADE_FAILED,
};
use crate::proto::ws::{CloseCode, FrameError, HandshakeError};

/// Whose doing it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The client's.
    Client,
    /// The target's, or the way to it.
    Upstream,
    /// This proxy's.
    Proxy,
}

/// How far the connection had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Accepted, nothing read.
    Accept,
    /// Reading the request head.
    Head,
    /// Resolving and connecting.
    Dial,
    /// Passing a request on, or its answer back.
    Exchange,
    /// Relaying.
    Relay,
}

/// What ended it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Both directions ended with FIN.
    Done,
    /// FIN before a request was whole.
    Closed,
    /// RST.
    Reset,
    /// Another error of the connection, with its errno.
    Lost(i32),
    /// No whole head in time.
    HeadTimeout,
    /// Not a request that this proxy serves.
    Head(HeadError),
    /// Origin-form: the request is meant for a server, not for a proxy.
    OriginForm,
    /// A target of the `https` scheme in a request that is not CONNECT.
    HttpsTarget,
    /// A target of another scheme.
    OtherScheme,
    /// The client's part of a WebSocket handshake is malformed.
    Handshake(HandshakeError),
    /// The origin answered 101 without having been asked, or with the wrong proof.
    SwitchRefused,
    /// The body of the request is malformed.
    Body(ChunkError),
    /// The head of the answer is malformed.
    Response(HeadError),
    /// The body of the answer is malformed.
    ResponseBody(ChunkError),
    /// The origin ended the connection before the answer was whole.
    ResponseMissing,
    /// The origin did not answer in time.
    ResponseTimeout,
    /// No connection to the target.
    Dial(DialError),
    /// A frame that breaks the rules.
    WebSocket(FrameError),
    /// No answer to the pings of this proxy.
    PingTimeout,
    /// No byte for too long.
    IdleTimeout,
    /// No byte for too long after one direction had ended.
    HalfCloseTimeout,
    /// Too many connections.
    ConnectionLimit,
    /// No descriptors left.
    Exhausted,
    /// Cut off at the end of a drain.
    Drained,
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Whose doing it was.
    pub side: Side,
    /// How far it had come.
    pub phase: Phase,
    /// What ended it.
    pub cause: Cause,
}

impl Cause {
    /// The cause that an errno of a connected socket stands for.
    #[must_use]
    pub fn of_errno(errno: i32) -> Self {
        match errno {
            libc::ECONNRESET | libc::EPIPE | libc::ENOTCONN | libc::ECONNABORTED => Self::Reset,
            _ => Self::Lost(errno),
        }
    }
}

impl Outcome {
    /// That of a connection which is cut off because its worker ends.
    pub(super) fn drained(phase: Phase) -> Self {
        Self {
            side: Side::Proxy,
            phase,
            cause: Cause::Drained,
        }
    }

    /// Whether this process has no descriptors or ports left.
    pub(super) fn is_shortage(&self) -> bool {
        matches!(self.cause, Cause::Dial(DialError::Exhausted(_)))
    }

    /// What the client is told; `None` when there is nobody to tell, or when the tunnel stands already.
    #[must_use]
    pub fn reply(&self) -> Option<Reply> {
        Some(match self.cause {
            Cause::HeadTimeout => reply(
                Status::RequestTimeout,
                ProxyError::HttpRequestError,
                "The request head took too long.",
            ),
            Cause::Head(error) => error.into(),
            Cause::Dial(error) => dial_reply(error),
            Cause::ConnectionLimit => reply(
                Status::ServiceUnavailable,
                ProxyError::ConnectionLimitReached,
                "This proxy has as many connections as it may. Try again later.",
            ),
            Cause::Exhausted => exhausted(),
            Cause::OriginForm => ORIGIN_FORM_HELP,
            Cause::HttpsTarget => HTTPS_WANTS_CONNECT,
            Cause::OtherScheme => SCHEME_UNKNOWN,
            Cause::Handshake(error) => bad_request(error.text()),
            Cause::Body(error) => bad_request(error.text()),
            Cause::SwitchRefused => UPGRADE_FAILED,
            Cause::Response(error) => Reply::bad_response(error),
            Cause::ResponseBody(_) => reply(
                Status::BadGateway,
                ProxyError::HttpResponseTransferCoding,
                "The server's answer has a malformed body.",
            ),
            Cause::ResponseMissing => RESPONSE_INCOMPLETE,
            Cause::ResponseTimeout => RESPONSE_TIMEOUT,
            Cause::IdleTimeout if self.phase == Phase::Exchange => reply(
                Status::RequestTimeout,
                ProxyError::HttpRequestError,
                "The rest of the request took too long.",
            ),
            _ => return None,
        })
    }
}

fn reply(status: Status, error: ProxyError, text: &'static str) -> Reply {
    Reply {
        status,
        error: Some(error),
        details: "",
        text,
    }
}

fn bad_request(text: &'static str) -> Reply {
    reply(Status::BadRequest, ProxyError::HttpRequestError, text)
}

fn exhausted() -> Reply {
    let text = "This proxy is out of descriptors or ports. Try again later.";
    reply(
        Status::ServiceUnavailable,
        ProxyError::ProxyInternalError,
        text,
    )
}

fn dial_reply(error: DialError) -> Reply {
    let (status, error, text) = match error {
        DialError::Forbidden => {
            let text = "This proxy does not connect clients to that address.";
            (Status::Forbidden, ProxyError::DestinationIpProhibited, text)
        }
        DialError::Refused => (
            Status::BadGateway,
            ProxyError::ConnectionRefused,
            "The target refused the connection.",
        ),
        DialError::Unreachable(_) | DialError::Failed(_) => (
            Status::BadGateway,
            ProxyError::DestinationIpUnroutable,
            "The target cannot be reached.",
        ),
        DialError::TimedOut => (
            Status::GatewayTimeout,
            ProxyError::ConnectionTimeout,
            "The target did not answer in time.",
        ),
        DialError::Resolve(ResolveError::Timeout) => (
            Status::GatewayTimeout,
            ProxyError::DnsTimeout,
            "The name server did not answer in time.",
        ),
        DialError::Exhausted(_) | DialError::Resolve(ResolveError::Overloaded) => {
            return exhausted();
        }
        DialError::Resolve(_) => (
            Status::BadGateway,
            ProxyError::DnsError,
            "The target's name does not resolve.",
        ),
    };
    reply(status, error, text)
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "client",
            Self::Upstream => "upstream",
            Self::Proxy => "proxy",
        })
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Accept => "accept",
            Self::Head => "head",
            Self::Dial => "dial",
            Self::Exchange => "exchange",
            Self::Relay => "relay",
        })
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            Self::Closed => f.write_str("closed"),
            Self::Reset => f.write_str("reset"),
            Self::Lost(errno) => write!(f, "lost ({})", std::io::Error::from_raw_os_error(*errno)),
            Self::HeadTimeout => f.write_str("head timeout"),
            Self::Head(error) => write!(f, "bad request ({error})"),
            Self::OriginForm => f.write_str("bad request (meant for a server)"),
            Self::HttpsTarget => f.write_str("bad request (https without CONNECT)"),
            Self::OtherScheme => f.write_str("bad request (unknown scheme)"),
            Self::Handshake(error) => write!(f, "bad handshake ({error})"),
            Self::SwitchRefused => f.write_str("bad answer (wrong upgrade)"),
            Self::Body(error) => write!(f, "bad body ({error})"),
            Self::Response(error) => write!(f, "bad answer ({error})"),
            Self::ResponseBody(error) => write!(f, "bad answer body ({error})"),
            Self::ResponseMissing => f.write_str("no whole answer"),
            Self::ResponseTimeout => f.write_str("answer timeout"),
            Self::Dial(error) => write!(f, "not connected ({error})"),
            Self::WebSocket(error) => write!(f, "websocket error ({error})"),
            Self::PingTimeout => f.write_str("ping timeout"),
            Self::IdleTimeout => f.write_str("idle timeout"),
            Self::HalfCloseTimeout => f.write_str("half-close timeout"),
            Self::ConnectionLimit => f.write_str("connection limit"),
            Self::Exhausted => f.write_str("out of descriptors"),
            Self::Drained => f.write_str("drained"),
        }
    }
}

/// What the log line of a connection needs; kept only while the debug log is on. The line is written when the story is
/// dropped, with the last end it was given: a connection that is dropped in the middle has its one line as well.
pub(super) struct Story(Option<Box<Chapters>>);

struct Chapters {
    client: Option<SocketAddr>,
    target: Option<Box<str>>,
    /// Up and down, where frames were looked at.
    frames: Option<[FrameCounts; 2]>,
    start: Instant,
    outcome: Outcome,
    up: u64,
    down: u64,
}

impl Story {
    /// Starts with the client's address, if anybody will read it. Until it is given another end, it is that of a
    /// connection whose worker ends.
    pub(super) fn begin(client: &TcpStream, phase: Phase) -> Self {
        Self(enabled!(Level::DEBUG).then(|| {
            Box::new(Chapters {
                client: client.peer_address().ok(),
                target: None,
                frames: None,
                start: Instant::now(),
                outcome: Outcome::drained(phase),
                up: 0,
                down: 0,
            })
        }))
    }

    /// Adds where the client wants to go, and what it is in for now.
    pub(super) fn target(&mut self, target: &dyn fmt::Display, phase: Phase) {
        if let Some(chapters) = &mut self.0 {
            chapters.target = Some(target.to_string().into_boxed_str());
            chapters.outcome.phase = phase;
        }
    }

    /// Adds what went up and down as frames.
    pub(super) fn frames(&mut self, counts: [FrameCounts; 2]) {
        if let Some(chapters) = &mut self.0 {
            chapters.frames = Some(counts);
        }
    }

    /// Says how it ends, and how many bytes of either side were sent on.
    pub(super) fn end(&mut self, outcome: Outcome, up: u64, down: u64) {
        if let Some(chapters) = &mut self.0 {
            (chapters.outcome, chapters.up, chapters.down) = (outcome, up, down);
        }
    }
}

impl Drop for Chapters {
    fn drop(&mut self) {
        let client = self
            .client
            .map_or_else(|| "-".to_owned(), |client| client.to_string());
        let target = self.target.as_deref().unwrap_or("-");
        let ms = self.start.elapsed().as_millis() as u64;
        let Self { up, down, .. } = *self;
        let Outcome { side, phase, cause } = self.outcome;
        let [frames_up, frames_down] = self.frames.map_or([None, None], |counts| counts.map(Some));
        let [close_up, close_down] =
            [frames_up, frames_down].map(|counts| counts.map(|counts| display(close_code(counts))));
        // A field without a value is not written.
        debug!(
            %client, %target, %side, %phase, %cause, up, down, ms,
            messages_up = frames_up.map(|counts| counts.messages),
            messages_down = frames_down.map(|counts| counts.messages),
            close_up,
            close_down,
            "closed"
        );
    }
}

/// The number of the code, or a dash where there was none.
fn close_code(counts: FrameCounts) -> String {
    let code = counts.close_code.map(CloseCode::number);
    code.map_or_else(|| "-".to_owned(), |number| number.to_string())
}
