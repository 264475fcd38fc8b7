//! HTTP/1.1 as clients and origin speak it: CONNECT, GET and the WebSocket handshake. Requests are written once and
//! sent again and again; heads that come are parsed, since a proxy may add fields to them.

use std::net::SocketAddr;

use httparse::{EMPTY_HEADER, Header, Request, Response, Status};

use crate::load::Mode;
use crate::load::error::LoadError;

/// Longest head that is read before it is an error.
const HEAD_BYTES_MAX: usize = 16 * 1024;

const FIELDS_MAX: usize = 64;

/// The nonce of every WebSocket handshake and its answer: the example of RFC 6455 section 1.3. A random one would
/// guard against caches, which nothing here is.
const NONCE: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// What a client has to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// To CONNECT.
    Tunnel,
    /// To a WebSocket handshake.
    Upgrade,
    /// To GET: a body of this length.
    Body { bytes: usize },
}

/// What the origin is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// So many bytes of the payload of `seed`.
    Body {
        bytes: u64,
        seed: u64,
    },
    Upgrade,
}

/// Asks the proxy for a tunnel to the origin.
pub(crate) fn connect(origin: SocketAddr) -> Vec<u8> {
    format!("CONNECT {origin} HTTP/1.1\r\nHost: {origin}\r\n\r\n").into_bytes()
}

/// Asks for `bytes` of the payload of `seed`.
pub(crate) fn get(mode: Mode, origin: SocketAddr, bytes: usize, seed: u64) -> Vec<u8> {
    let site = site(mode, origin);
    format!(
        "GET {site}/{bytes}/{seed} HTTP/1.1\r\nHost: {origin}\r\nUser-Agent: ringway-bench\r\nAccept: */*\r\n\r\n"
    )
    .into_bytes()
}

/// Asks for a WebSocket.
pub(crate) fn upgrade(mode: Mode, origin: SocketAddr) -> Vec<u8> {
    let site = site(mode, origin);
    format!(
        "GET {site}/ HTTP/1.1\r\nHost: {origin}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {NONCE}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    .into_bytes()
}

/// Answers a GET; the body of `bytes` follows.
pub(crate) fn body_head(bytes: u64) -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: {bytes}\r\n\r\n"
    )
    .into_bytes()
}

/// Answers the handshake of a WebSocket.
pub(crate) fn switching() -> Vec<u8> {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
    )
    .into_bytes()
}

/// What stands before the path: the site in absolute-form (RFC 9112 section 3.2.2), nothing in origin-form.
fn site(mode: Mode, origin: SocketAddr) -> String {
    match mode {
        Mode::Forward => format!("http://{origin}"),
        Mode::Connect | Mode::Tcp => String::new(),
    }
}

impl Answer {
    /// Length of the head that `bytes` start with, once it is whole; an error if it is another answer.
    pub(crate) fn head_bytes(self, bytes: &[u8]) -> Result<Option<usize>, LoadError> {
        let refused = || LoadError::Refused {
            expected: self.expected(),
            reply: excerpt(bytes),
        };
        let mut fields = [EMPTY_HEADER; FIELDS_MAX];
        let mut response = Response::new(&mut fields);
        let length = match response.parse(bytes) {
            Ok(Status::Complete(length)) => length,
            Ok(Status::Partial) if bytes.len() < HEAD_BYTES_MAX => return Ok(None),
            Ok(Status::Partial) | Err(_) => return Err(refused()),
        };
        let is_right = match (self, response.code) {
            (Self::Tunnel, Some(200)) => true,
            (Self::Upgrade, Some(101)) => {
                field(response.headers, "Sec-WebSocket-Accept") == Some(ACCEPT)
            }
            (Self::Body { bytes }, Some(200)) => {
                let announced = field(response.headers, "Content-Length");
                announced.and_then(|text| text.parse().ok()) == Some(bytes)
            }
            _ => false,
        };
        is_right.then_some(Some(length)).ok_or_else(refused)
    }

    fn expected(self) -> &'static str {
        match self {
            Self::Tunnel => "CONNECT with 200",
            Self::Upgrade => "the handshake with 101 and its Sec-WebSocket-Accept",
            Self::Body { .. } => "GET with 200 and its Content-Length",
        }
    }
}

/// What a client asks for with `bytes`, once the request is whole; a client never asks twice at the same time.
pub(crate) fn asked(bytes: &[u8]) -> Result<Option<Asked>, LoadError> {
    let unasked = || LoadError::Unasked {
        request: excerpt(bytes),
    };
    let mut fields = [EMPTY_HEADER; FIELDS_MAX];
    let mut request = Request::new(&mut fields);
    match request.parse(bytes) {
        Ok(Status::Complete(length)) if length == bytes.len() => {}
        Ok(Status::Partial) if bytes.len() < HEAD_BYTES_MAX => return Ok(None),
        Ok(_) | Err(_) => return Err(unasked()),
    }
    let asked = match (request.method, request.path) {
        (Some("GET"), Some("/")) => {
            let is_ours = field(request.headers, "Sec-WebSocket-Key") == Some(NONCE);
            let upgrade = field(request.headers, "Upgrade");
            let is_upgrade = upgrade.is_some_and(|to| to.eq_ignore_ascii_case("websocket"));
            (is_ours && is_upgrade).then_some(Asked::Upgrade)
        }
        (Some("GET"), Some(path)) => body(path),
        _ => None,
    };
    asked.map(Some).ok_or_else(unasked)
}

fn body(path: &str) -> Option<Asked> {
    let (bytes, seed) = path.strip_prefix('/')?.split_once('/')?;
    Some(Asked::Body {
        bytes: bytes.parse().ok()?,
        seed: seed.parse().ok()?,
    })
}

fn field<'a>(fields: &[Header<'a>], name: &str) -> Option<&'a str> {
    let field = fields
        .iter()
        .find(|field| field.name.eq_ignore_ascii_case(name))?;
    str::from_utf8(field.value).ok()
}

fn excerpt(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_back_at_the_origin() {
        let origin = SocketAddr::from(([127, 0, 0, 1], 80));
        let request = get(Mode::Tcp, origin, 1024, 7);
        let expected = Asked::Body {
            bytes: 1024,
            seed: 7,
        };
        assert_eq!(asked(&request).unwrap(), Some(expected));
        assert_eq!(asked(&request[..request.len() - 1]).unwrap(), None);
        let request = upgrade(Mode::Connect, origin);
        assert_eq!(asked(&request).unwrap(), Some(Asked::Upgrade));
        let text = String::from_utf8(request).unwrap();
        for wrong in [
            text.replace("dGhl", "DGhl"),
            text.replace("websocket", "h2c"),
            text.replace("GET", "PUT"),
            String::from_utf8(get(Mode::Forward, origin, 1, 2)).unwrap(),
            text.clone() + "GET",
        ] {
            assert!(asked(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_the_right_answer_is_taken() {
        let body = |text: &str, bytes| Answer::Body { bytes }.head_bytes(text.as_bytes());
        let head = "HTTP/1.1 200 OK\r\nVia: x\r\ncontent-length: 12\r\n\r\n";
        assert_eq!(body(&format!("{head}body"), 12).unwrap(), Some(head.len()));
        assert_eq!(body(&head[..20], 12).unwrap(), None);
        assert!(body(head, 13).is_err());
        assert!(body(&head.replace("200", "206"), 12).is_err());
        assert!(body("HTTP/1.1 200 OK\r\n\r\n", 0).is_err());
        assert!(body(&"x".repeat(HEAD_BYTES_MAX), 12).is_err());
        let upgrade = |text: &str| Answer::Upgrade.head_bytes(text.as_bytes());
        let right = String::from_utf8(switching()).unwrap();
        assert_eq!(upgrade(&right).unwrap(), Some(right.len()));
        assert!(upgrade(&right.replace("xOo=", "xOO=")).is_err());
        assert!(upgrade(&right.replace("101", "200")).is_err());
    }
}
