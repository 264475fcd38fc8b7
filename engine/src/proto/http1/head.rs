//! Reading a whole request head: tokens by httparse, everything that decides where messages end by us.
//!
//! A [`RequestHead`] keeps positions, not borrows, so it may outlive the moment in which its bytes are looked at, and
//! nothing is allocated for a field. Every function that takes `head` wants the bytes that were parsed.

use std::mem::MaybeUninit;

use super::HeadError;
use crate::addr::{Authority, Host, split_port};
use crate::limits::{HEAD_BYTES_MAX, HEAD_FIELDS_MAX, METHOD_BYTES_MAX, TARGET_BYTES_MAX};

/// A request head (RFC 9112 sections 2 to 5), as far as CONNECT needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestHead {
    /// The method; case matters (RFC 9110 section 9.1).
    pub method: Span,
    /// The request target, not yet parsed: its form depends on the method.
    pub target: Span,
    /// The version the client speaks.
    pub version: Version,
    /// The value of Proxy-Authorization.
    pub proxy_authorization: Option<Span>,
    /// The field lines, without the empty line behind them.
    field_lines: Span,
}

/// A part of a head: byte positions from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    start: u32,
    end: u32,
}

/// A version of HTTP/1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
}

/// The fields of a head in their order: name as sent, value without the white space around it.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    lines: &'a [u8],
}

/// The authority that a CONNECT asks for.
///
/// Host may name another one: only the target counts (RFC 9112 section 3.2.2).
pub fn connect_authority(request: &RequestHead, head: &[u8]) -> Result<Authority, HeadError> {
    if !request.is_connect(head) {
        return Err(HeadError::MethodNotImplemented);
    }
    Ok(Authority::parse(request.target.of(head))?)
}

impl RequestHead {
    /// Parses a head that [`super::HeadScan`] found the end of: one empty line before it is allowed, nothing behind
    /// it.
    ///
    /// Strict without that scan too; it only names some errors more coarsely then.
    pub fn parse(head: &[u8]) -> Result<Self, HeadError> {
        if head.len() > HEAD_BYTES_MAX as usize {
            return Err(HeadError::HeadTooLong);
        }
        // httparse would skip any number of empty lines, and take a bare LF for their end.
        match head.strip_prefix(b"\r\n").unwrap_or(head).first() {
            Some(first) if is_token_byte(*first) => {}
            Some(_) => return Err(HeadError::NotHttp),
            None => return Err(HeadError::HeadEnd),
        }
        let mut storage = [const { MaybeUninit::uninit() }; HEAD_FIELDS_MAX];
        let mut request = httparse::Request::new(&mut []);
        match request.parse_with_uninit_headers(head, &mut storage) {
            Ok(httparse::Status::Complete(bytes)) if bytes == head.len() => {}
            Ok(_) => return Err(HeadError::HeadEnd),
            Err(error) => return Err(refusal(&request, error, head)),
        }
        if !head.ends_with(b"\r\n\r\n") {
            return Err(HeadError::BareLf);
        }
        let line = RequestLine::of(&request)?;
        let known = KnownFields::collect(request.headers, head)?;
        if line.version == Version::Http11 && !known.host {
            return Err(HeadError::HostMissing);
        }
        if line.method == CONNECT && known.content {
            return Err(HeadError::ContentOnConnect);
        }
        let target = Span::within(head, line.target.as_bytes());
        Ok(Self {
            method: Span::within(head, line.method.as_bytes()),
            target,
            version: line.version,
            proxy_authorization: known.proxy_authorization,
            field_lines: Span {
                start: target.end + BEHIND_TARGET_BYTES,
                end: head.len() as u32 - 2,
            },
        })
    }

    /// Says whether a tunnel is asked for.
    pub fn is_connect(&self, head: &[u8]) -> bool {
        self.method.of(head) == CONNECT.as_bytes()
    }

    /// Walks over the fields.
    pub fn fields<'a>(&self, head: &'a [u8]) -> Fields<'a> {
        Fields {
            lines: self.field_lines.of(head),
        }
    }
}

impl Span {
    /// The bytes of the part; empty when `head` is too short to be the head that was parsed.
    pub fn of(self, head: &[u8]) -> &[u8] {
        head.get(self.start as usize..self.end as usize)
            .unwrap_or_default()
    }

    /// The position of `part`, which httparse borrowed from `head`.
    fn within(head: &[u8], part: &[u8]) -> Self {
        let start = part.as_ptr().addr().wrapping_sub(head.as_ptr().addr());
        debug_assert!(start + part.len() <= head.len(), "a part lies in its head");
        Self {
            start: start as u32,
            end: (start + part.len()) as u32,
        }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        // A parsed head has a CR only in front of LF, and a colon on every field line.
        let line_end = self.lines.iter().position(|byte| *byte == b'\r')?;
        let (line, rest) = self.lines.split_at_checked(line_end)?;
        self.lines = rest.get(2..).unwrap_or_default();
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = line.split_at_checked(colon)?;
        Some((name, value.get(1..).unwrap_or_default().trim_ascii()))
    }
}

/// Checks a request line, its CRLF included, before the fields have arrived.
pub(super) fn check_request_line(line: &[u8]) -> Result<(), HeadError> {
    let mut request = httparse::Request::new(&mut []);
    match request.parse(line) {
        Ok(_) => RequestLine::of(&request).map(drop),
        Err(error) => Err(refusal(&request, error, line)),
    }
}

/// A `tchar` (RFC 9110 section 5.6.2).
pub(super) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

const CONNECT: &str = "CONNECT";

/// Space, version and CRLF, which stand between a target and the first field line.
const BEHIND_TARGET_BYTES: u32 = " HTTP/1.1\r\n".len() as u32;

struct RequestLine<'a> {
    method: &'a str,
    target: &'a str,
    version: Version,
}

impl<'a> RequestLine<'a> {
    fn of(request: &httparse::Request<'_, 'a>) -> Result<Self, HeadError> {
        let (method, target, version) = match (request.method, request.path, request.version) {
            (Some(method), Some(target), Some(0)) => (method, target, Version::Http10),
            (Some(method), Some(target), Some(1)) => (method, target, Version::Http11),
            _ => return Err(HeadError::HeadEnd),
        };
        if method.len() > METHOD_BYTES_MAX as usize {
            return Err(HeadError::MethodTooLong);
        }
        if target.len() > TARGET_BYTES_MAX as usize {
            return Err(HeadError::TargetTooLong);
        }
        // httparse lets UTF-8 pass, which no target has (RFC 3986 section 2).
        if !target.is_ascii() {
            return Err(HeadError::Target);
        }
        Ok(Self {
            method,
            target,
            version,
        })
    }
}

/// What the fields that matter here say.
#[derive(Default)]
struct KnownFields {
    host: bool,
    /// Content-Length or Transfer-Encoding is there.
    content: bool,
    proxy_authorization: Option<Span>,
}

impl KnownFields {
    fn collect(fields: &[httparse::Header<'_>], head: &[u8]) -> Result<Self, HeadError> {
        let mut known = Self::default();
        for field in fields {
            // httparse takes a bare LF for the end of a line.
            let line_start = Span::within(head, field.name.as_bytes()).start as usize;
            let before = head.get(..line_start).unwrap_or_default();
            if !before.ends_with(b"\r\n") {
                return Err(HeadError::BareLf);
            }
            known.take(field, head)?;
        }
        Ok(known)
    }

    fn take(&mut self, field: &httparse::Header<'_>, head: &[u8]) -> Result<(), HeadError> {
        let is = |name: &str| field.name.eq_ignore_ascii_case(name);
        if is("host") {
            if self.host {
                return Err(HeadError::HostRepeated);
            }
            if !is_host_value(field.value) {
                return Err(HeadError::HostValue);
            }
            self.host = true;
        } else if is("content-length") || is("transfer-encoding") {
            self.content = true;
        } else if is("proxy-authorization") {
            if self.proxy_authorization.is_some() {
                return Err(HeadError::CredentialsRepeated);
            }
            self.proxy_authorization = Some(Span::within(head, field.value));
        }
        Ok(())
    }
}

/// `uri-host [ ":" port ]` (RFC 9110 section 7.2); empty when the target has no authority, and the port may be empty.
fn is_host_value(value: &[u8]) -> bool {
    let (host, port) = split_port(value);
    let port_is_valid = port.unwrap_or_default().iter().all(u8::is_ascii_digit);
    value.is_empty() || Host::is_valid(host) && port_is_valid
}

/// The grammar element that httparse stumbled over, from how far it came.
#[cold]
fn refusal(request: &httparse::Request<'_, '_>, error: httparse::Error, head: &[u8]) -> HeadError {
    match error {
        httparse::Error::HeaderName => return HeadError::FieldName,
        httparse::Error::HeaderValue => return HeadError::FieldValue,
        httparse::Error::TooManyHeaders => return HeadError::TooManyFields,
        _ => {}
    }
    if request.method.is_none() {
        return HeadError::Method;
    }
    let Some(target) = request.path else {
        return HeadError::Target;
    };
    let target_end = Span::within(head, target.as_bytes()).end as usize;
    let behind = head.get(target_end..).unwrap_or_default();
    match behind.strip_prefix(b" HTTP/") {
        Some([major, b'.', minor, b'\r', b'\n', ..])
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            HeadError::VersionUnsupported
        }
        _ => HeadError::Version,
    }
}
