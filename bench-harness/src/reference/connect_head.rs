//! The heads that the CONNECT relays read, and what they make of them: CONNECT (RFC 9110 section 9.3.6), GET in
//! absolute-form (RFC 9112 section 3.2.2) and the answers to it. It knows no socket. No names are resolved, no bodies
//! go up, an answer's body has its Content-Length: whatever else is asked is refused, never passed on.

use std::net::{IpAddr, SocketAddr};

use httparse::{EMPTY_HEADER, Header, Request, Response, Status};

/// Longest head, of a request or an answer.
pub(super) const HEAD_BYTES_MAX: usize = 16 * 1024;

/// The answer to CONNECT.
pub(super) const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

const FIELDS_MAX: usize = 64;
const HTTP_PORT: u16 = 80;

/// Fields for the next hop only (RFC 9110 section 7.6.1), and Host, which is written anew.
const NOT_PASSED_ON: [&str; 7] = [
    "Connection",
    "Host",
    "Keep-Alive",
    "Proxy-Authorization",
    "Proxy-Connection",
    "TE",
    "Upgrade",
];

/// What a client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) target: SocketAddr,
    pub(super) what: What,
    /// Length of the head.
    pub(super) bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Tunnel,
    /// One answer; none comes after it if it is the last.
    Answer {
        last: bool,
    },
}

/// Where an answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answer {
    /// Length of the head.
    pub(super) bytes: usize,
    pub(super) then: Then,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    /// So many bytes of body; none comes after it if it is the last.
    Body { bytes: u64, last: bool },
    /// The answer itself, after this interim one.
    Answer,
    /// No more HTTP: it has become a tunnel.
    Tunnel,
}

/// Why a request is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Malformed,
    TooLong,
    Unsupported,
    /// The target cannot be reached, or what it answers cannot be passed on.
    Gateway,
}

impl Refusal {
    pub(super) fn reply(self) -> &'static [u8] {
        match self {
            Self::Malformed => {
                b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            }
            Self::TooLong => {
                b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            }
            Self::Unsupported => {
                b"HTTP/1.1 501 Not Implemented\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            }
            Self::Gateway => {
                b"HTTP/1.1 502 Bad Gateway\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            }
        }
    }
}

/// Reads the request that `bytes` start with, none while it is not whole. What the target has to be told goes into
/// `forwarded`, which is empty for a tunnel.
pub(super) fn request(bytes: &[u8], forwarded: &mut Vec<u8>) -> Result<Option<Asked>, Refusal> {
    forwarded.clear();
    let mut fields = [EMPTY_HEADER; FIELDS_MAX];
    let mut request = Request::new(&mut fields);
    let bytes = match request.parse(bytes) {
        Ok(Status::Complete(length)) if length <= HEAD_BYTES_MAX => length,
        Ok(Status::Partial) if bytes.len() < HEAD_BYTES_MAX => return Ok(None),
        Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err(Refusal::TooLong),
        Err(_) => return Err(Refusal::Malformed),
    };
    let (Some(method), Some(path), Some(version)) = (request.method, request.path, request.version)
    else {
        return Err(Refusal::Malformed);
    };
    let (target, what) = match method {
        "CONNECT" => (target(path, None)?, What::Tunnel),
        "GET" if version == 1 => get(path, request.headers, forwarded)?,
        _ => return Err(Refusal::Unsupported),
    };
    Ok(Some(Asked {
        target,
        what,
        bytes,
    }))
}

/// Reads the answer that `bytes` start with, none while its head is not whole.
pub(super) fn answer(bytes: &[u8]) -> Result<Option<Answer>, Refusal> {
    let mut fields = [EMPTY_HEADER; FIELDS_MAX];
    let mut response = Response::new(&mut fields);
    let length = match response.parse(bytes) {
        Ok(Status::Complete(length)) if length <= HEAD_BYTES_MAX => length,
        Ok(Status::Partial) if bytes.len() < HEAD_BYTES_MAX => return Ok(None),
        Ok(_) | Err(_) => return Err(Refusal::Gateway),
    };
    let then = match response.code {
        Some(101) => Then::Tunnel,
        Some(100..200) => Then::Answer,
        code => Then::Body {
            bytes: match code {
                Some(204 | 304) => 0,
                _ => body(response.headers)?,
            },
            last: response.version != Some(1) || lists(response.headers, "close"),
        },
    };
    Ok(Some(Answer {
        bytes: length,
        then,
    }))
}

/// A GET in absolute-form, as its target wants it: in origin-form, with the fields that are meant for it.
fn get(
    path: &str,
    fields: &[Header<'_>],
    forwarded: &mut Vec<u8>,
) -> Result<(SocketAddr, What), Refusal> {
    let site = path.strip_prefix("http://").ok_or(Refusal::Unsupported)?;
    let (authority, path) = site.split_at(site.find(['/', '?']).unwrap_or(site.len()));
    let target = target(authority, Some(HTTP_PORT))?;
    let has = |name| field(fields, name).is_some();
    if has("Transfer-Encoding") || field(fields, "Content-Length").is_some_and(|it| it != b"0") {
        return Err(Refusal::Unsupported);
    }
    let root = if path.starts_with('/') { "" } else { "/" };
    for part in ["GET ", root, path, " HTTP/1.1\r\nHost: ", authority, "\r\n"] {
        forwarded.extend_from_slice(part.as_bytes());
    }
    let upgrade = field(fields, "Upgrade").filter(|_| lists(fields, "upgrade"));
    if let Some(protocol) = upgrade {
        pass_on("Connection", b"Upgrade", forwarded);
        pass_on("Upgrade", protocol, forwarded);
    }
    for Header { name, value } in fields {
        let stays = |other: &str| name.eq_ignore_ascii_case(other);
        if !NOT_PASSED_ON.into_iter().any(stays) && !lists(fields, name) {
            pass_on(name, value, forwarded);
        }
    }
    forwarded.extend_from_slice(b"\r\n");
    let last = lists(fields, "close");
    Ok((target, What::Answer { last }))
}

fn pass_on(name: &str, value: &[u8], forwarded: &mut Vec<u8>) {
    for part in [name.as_bytes(), b": ", value, b"\r\n"] {
        forwarded.extend_from_slice(part);
    }
}

/// An address with its port; a name, which would have to be resolved, is refused.
fn target(authority: &str, usual_port: Option<u16>) -> Result<SocketAddr, Refusal> {
    if let Ok(address) = authority.parse() {
        return Ok(address);
    }
    let bare = authority.trim_start_matches('[').trim_end_matches(']');
    match (bare.parse::<IpAddr>(), usual_port) {
        (Ok(address), Some(port)) => Ok(SocketAddr::new(address, port)),
        _ if authority.is_empty() || authority.contains(['@', '/']) => Err(Refusal::Malformed),
        (_, None) if !authority.contains(':') => Err(Refusal::Malformed),
        _ => Err(Refusal::Unsupported),
    }
}

/// The one Content-Length that an answer has to have.
fn body(fields: &[Header<'_>]) -> Result<u64, Refusal> {
    let named = |field: &&Header<'_>| field.name.eq_ignore_ascii_case("Content-Length");
    let mut lengths = fields.iter().filter(named);
    let (Some(length), None) = (lengths.next(), lengths.next()) else {
        return Err(Refusal::Gateway);
    };
    let is_plain = field(fields, "Transfer-Encoding").is_none();
    let length = str::from_utf8(length.value).ok();
    let digits = length.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let bytes = digits.and_then(|digits| digits.parse().ok());
    bytes.filter(|_| is_plain).ok_or(Refusal::Gateway)
}

/// Whether Connection lists `option`.
fn lists(fields: &[Header<'_>], option: &str) -> bool {
    fields
        .iter()
        .filter(|field| field.name.eq_ignore_ascii_case("Connection"))
        .flat_map(|field| field.value.split(|&byte| byte == b','))
        .any(|listed| listed.trim_ascii().eq_ignore_ascii_case(option.as_bytes()))
}

fn field<'a>(fields: &[Header<'a>], name: &str) -> Option<&'a [u8]> {
    fields
        .iter()
        .find(|field| field.name.eq_ignore_ascii_case(name))
        .map(|field| field.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 81);

    fn read(text: &str) -> Result<Option<Asked>, Refusal> {
        request(text.as_bytes(), &mut Vec::new())
    }

    #[test]
    fn a_tunnel_is_asked_for_by_address() {
        let text = "CONNECT 127.0.0.1:81 HTTP/1.1\r\nHost: 127.0.0.1:81\r\n\r\n";
        let expected = Asked {
            target: TARGET,
            what: What::Tunnel,
            bytes: text.len(),
        };
        assert_eq!(read(&format!("{text}early")), Ok(Some(expected)));
        for cut in 0..text.len() {
            assert_eq!(read(&text[..cut]), Ok(None), "{cut}");
        }
        let v6 = read("CONNECT [::1]:443 HTTP/1.0\r\n\r\n").unwrap().unwrap();
        assert_eq!(v6.target, "[::1]:443".parse().unwrap());
    }

    #[test]
    fn what_is_no_request_for_it_is_refused_with_its_reason() {
        let long = format!(
            "GET http://127.0.0.1/ HTTP/1.1\r\nA: {}",
            "a".repeat(HEAD_BYTES_MAX)
        );
        let many = format!(
            "GET http://127.0.0.1/ HTTP/1.1\r\n{}\r\n",
            "A: b\r\n".repeat(65)
        );
        for (wrong, refusal) in [
            ("EHLO\r\n\r\n", Refusal::Malformed),
            ("CONNECT 127.0.0.1 HTTP/1.1\r\n\r\n", Refusal::Malformed),
            (
                "CONNECT a@127.0.0.1:80 HTTP/1.1\r\n\r\n",
                Refusal::Malformed,
            ),
            (
                "CONNECT proxy.test:80 HTTP/1.1\r\n\r\n",
                Refusal::Unsupported,
            ),
            (
                "GET http://proxy.test/ HTTP/1.1\r\n\r\n",
                Refusal::Unsupported,
            ),
            ("GET http:///x HTTP/1.1\r\n\r\n", Refusal::Malformed),
            ("GET / HTTP/1.1\r\n\r\n", Refusal::Unsupported),
            (
                "GET http://127.0.0.1/ HTTP/1.0\r\n\r\n",
                Refusal::Unsupported,
            ),
            (
                "POST http://127.0.0.1/ HTTP/1.1\r\n\r\n",
                Refusal::Unsupported,
            ),
            (
                "GET http://127.0.0.1/ HTTP/1.1\r\nContent-Length: 1\r\n\r\n",
                Refusal::Unsupported,
            ),
            (
                "GET http://127.0.0.1/ HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n",
                Refusal::Unsupported,
            ),
            (&long, Refusal::TooLong),
            (&many, Refusal::TooLong),
        ] {
            assert_eq!(read(wrong), Err(refusal), "{wrong}");
        }
    }

    #[test]
    fn a_get_goes_on_in_origin_form_without_the_fields_of_this_hop() {
        let text = "GET http://127.0.0.1:81/a?b=http://c HTTP/1.1\r\nHost: other\r\nAccept: */*\r\n\
                    Proxy-Connection: keep-alive\r\nConnection: x-mine, Close\r\nX-Mine: 1\r\nTE: trailers\r\n\
                    Upgrade: websocket\r\n\r\n";
        let mut forwarded = b"old".to_vec();
        let asked = request(text.as_bytes(), &mut forwarded).unwrap().unwrap();
        assert_eq!(asked.target, TARGET);
        assert_eq!(asked.what, What::Answer { last: true });
        assert_eq!(asked.bytes, text.len());
        let expected = "GET /a?b=http://c HTTP/1.1\r\nHost: 127.0.0.1:81\r\nAccept: */*\r\n\r\n";
        assert_eq!(String::from_utf8(forwarded).unwrap(), expected);
    }

    #[test]
    fn a_handshake_keeps_its_upgrade_and_a_site_has_a_root_and_a_port() {
        let text = "GET http://[::1]?q HTTP/1.1\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n";
        let mut forwarded = Vec::new();
        let asked = request(text.as_bytes(), &mut forwarded).unwrap().unwrap();
        assert_eq!(asked.target, "[::1]:80".parse().unwrap());
        assert_eq!(asked.what, What::Answer { last: false });
        let expected =
            "GET /?q HTTP/1.1\r\nHost: [::1]\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
        assert_eq!(String::from_utf8(forwarded).unwrap(), expected);
    }

    #[test]
    fn an_answer_ends_where_its_head_says() {
        let then = |text: &str| answer(text.as_bytes()).map(|answer| answer.map(|it| it.then));
        let body = |bytes, last| Ok(Some(Then::Body { bytes, last }));
        let text = "HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n";
        assert_eq!(then(text), body(12, false));
        assert_eq!(then(&text[..text.len() - 1]), Ok(None));
        assert_eq!(answer(text.as_bytes()).unwrap().unwrap().bytes, text.len());
        assert_eq!(
            then("HTTP/1.1 404 x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
            body(0, true)
        );
        assert_eq!(
            then("HTTP/1.0 200 x\r\nContent-Length: 1\r\n\r\n"),
            body(1, true)
        );
        assert_eq!(
            then("HTTP/1.1 304 x\r\nContent-Length: 9\r\n\r\n"),
            body(0, false)
        );
        assert_eq!(then("HTTP/1.1 103 x\r\n\r\n"), Ok(Some(Then::Answer)));
        assert_eq!(then("HTTP/1.1 101 x\r\n\r\n"), Ok(Some(Then::Tunnel)));
        for wrong in [
            "HTTP/1.1 200 x\r\n\r\n",
            "HTTP/1.1 200 x\r\nContent-Length: +1\r\n\r\n",
            "HTTP/1.1 200 x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
            "HTTP/1.1 200 x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "220 mail\r\n\r\n",
        ] {
            assert_eq!(then(wrong), Err(Refusal::Gateway), "{wrong}");
        }
    }
}
