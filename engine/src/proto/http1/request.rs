//! Reading a whole request head: tokens by httparse, everything that decides where messages end by us.
//!
//! Every function that takes `head` wants the bytes that were parsed.

use std::mem::MaybeUninit;

use super::field::{Collected, Field, Known, Message, NamedFields};
use super::framing::{self, Framing, MethodKind, Upgrade, decimal};
use super::span::{elements, is_token_byte};
use super::{ChunkedBody, Fields, HeadError, ReplyBody, Span, Version};
use crate::addr::Authority;
use crate::limits::{HEAD_BYTES_MAX, HEAD_FIELDS_MAX, METHOD_BYTES_MAX, TARGET_BYTES_MAX};

/// A request head (RFC 9112 sections 2 to 6), strictly read: that there is one means that its framing is certain.
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
    pub(super) field_lines: Span,
    pub(super) known: Known,
    kind: MethodKind,
    framing: Framing,
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
        let fields = Collected::from(request.headers, head, Message::Request)?;
        if line.version == Version::Http11 && !fields.known.seen.has(Field::Host) {
            return Err(HeadError::HostMissing);
        }
        let kind = MethodKind::of(line.method.as_bytes());
        let target = Span::within(head, line.target.as_bytes());
        let request = Self {
            method: Span::within(head, line.method.as_bytes()),
            target,
            version: line.version,
            proxy_authorization: fields.proxy_authorization,
            field_lines: Span {
                start: target.end + BEHIND_TARGET_BYTES,
                end: head.len() as u32 - 2,
            },
            known: fields.known,
            kind,
            framing: framing::of_request(fields.content, kind, line.version)?,
        };
        if kind.counts_forwards() && fields.known.seen.has(Field::MaxForwards) {
            request.checked_max_forwards(head)?;
        }
        Ok(request)
    }

    /// Says whether a tunnel is asked for.
    pub fn is_connect(&self, head: &[u8]) -> bool {
        debug_assert_eq!(
            self.method.of(head) == b"CONNECT",
            self.kind == MethodKind::Connect
        );
        self.kind == MethodKind::Connect
    }

    /// What the method means here.
    pub fn kind(&self) -> MethodKind {
        self.kind
    }

    /// Where the body ends; never [`Framing::UntilClose`].
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Says whether the client wants to use the connection again (RFC 9112 section 9.3).
    pub fn keeps_alive(&self) -> bool {
        self.known.keeps_alive(self.version == Version::Http11)
    }

    /// The protocol that the client would like to change to; HTTP/1.0 cannot ask (RFC 9110 section 7.8).
    pub fn upgrade(&self) -> Upgrade {
        match self.version {
            Version::Http10 => Upgrade::None,
            Version::Http11 => self.known.upgrade(),
        }
    }

    /// Through how many more recipients an OPTIONS or TRACE may go: at 0 this one has to answer it (RFC 9110 section
    /// 7.6.2). `None` without a bound, and for every other method.
    pub fn max_forwards(&self, head: &[u8]) -> Option<u64> {
        if !self.kind.counts_forwards() || !self.known.seen.has(Field::MaxForwards) {
            return None;
        }
        self.checked_max_forwards(head).ok()
    }

    /// Says whether Accept names HTML, and not plain text before it. A browser does, a tool does not.
    pub fn prefers_html(&self, head: &[u8]) -> bool {
        if !self.known.seen.has(Field::Accept) {
            return false;
        }
        let is =
            |media_type: &[u8], wanted: &str| media_type.eq_ignore_ascii_case(wanted.as_bytes());
        self.values(head, Field::Accept)
            .flat_map(elements)
            .map(|range| range.split(|byte| *byte == b';').next().unwrap_or_default())
            .map(<[u8]>::trim_ascii_end)
            .find(|media_type| is(media_type, "text/html") || is(media_type, "text/plain"))
            .is_some_and(|media_type| is(media_type, "text/html"))
    }

    /// The body that a reply of this proxy has for this request.
    pub fn reply_body(&self, head: &[u8]) -> ReplyBody {
        if self.kind == MethodKind::Head {
            ReplyBody::None
        } else if self.prefers_html(head) {
            ReplyBody::Html
        } else {
            ReplyBody::Text
        }
    }

    /// The start of the body, when [`Self::framing`] says that it is chunked.
    pub fn chunked_body(&self, head: &[u8]) -> ChunkedBody {
        ChunkedBody::without(NamedFields::of(&self.known, self.fields(head)))
    }

    /// Walks over the fields.
    pub fn fields<'a>(&self, head: &'a [u8]) -> Fields<'a> {
        Fields::new(head, self.field_lines)
    }

    fn values<'a>(&self, head: &'a [u8], field: Field) -> impl Iterator<Item = &'a [u8]> {
        self.fields(head)
            .filter(move |(name, _)| Field::of(name) == field)
            .map(|(_, value)| value)
    }

    fn checked_max_forwards(&self, head: &[u8]) -> Result<u64, HeadError> {
        let mut values = self.values(head, Field::MaxForwards);
        let (first, second) = (values.next(), values.next());
        match first.and_then(decimal) {
            Some(forwards) if second.is_none() => Ok(forwards),
            _ => Err(HeadError::MaxForwards),
        }
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

/// The grammar element of a field that httparse stumbled over, when it came that far.
pub(super) fn field_refusal(error: httparse::Error) -> Option<HeadError> {
    match error {
        httparse::Error::HeaderName => Some(HeadError::FieldName),
        httparse::Error::HeaderValue => Some(HeadError::FieldValue),
        httparse::Error::TooManyHeaders => Some(HeadError::TooManyFields),
        _ => None,
    }
}

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

/// The grammar element that httparse stumbled over, from how far it came.
#[cold]
fn refusal(request: &httparse::Request<'_, '_>, error: httparse::Error, head: &[u8]) -> HeadError {
    if let Some(error) = field_refusal(error) {
        return error;
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
