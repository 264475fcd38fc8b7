//! Reading a whole response head: tokens by httparse, everything that decides where messages end by us.
//!
//! As strict as with requests: a response that two recipients could read in two ways is an error, and its connection
//! ends. Every function that takes `head` wants the bytes that were parsed.

use std::mem::MaybeUninit;

use super::field::{Collected, Known, Message, NamedFields};
use super::framing::{self, Framing, MethodKind, Upgrade};
use super::request::field_refusal;
use super::span::{CRLF_BYTES, find_line_break};
use super::{ChunkedBody, Fields, HeadError, Span, Version};
use crate::limits::{HEAD_BYTES_MAX, HEAD_FIELDS_MAX, STATUS_LINE_BYTES_MAX};

/// A response head (RFC 9112 sections 4 to 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseHead {
    /// The status, 100 to 999. What is above 599 belongs to no class and goes on: RFC 9110 section 15 leaves it to the
    /// client to take it for a 5xx.
    pub status: u16,
    /// The version the origin speaks.
    pub version: Version,
    /// The field lines, without the empty line behind them.
    pub(super) field_lines: Span,
    pub(super) known: Known,
    /// What Content-Length and Transfer-Encoding say, whatever the status and the request.
    stated: Framing,
}

impl ResponseHead {
    /// Parses a head that [`super::HeadScan`] found the end of: nothing before it, nothing behind it.
    ///
    /// Strict without that scan too; it only names some errors more coarsely then.
    pub fn parse(head: &[u8]) -> Result<Self, HeadError> {
        if head.len() > HEAD_BYTES_MAX as usize {
            return Err(HeadError::HeadTooLong);
        }
        // httparse would skip empty lines, which RFC 9112 section 2.2 allows in front of requests only.
        match head.first() {
            Some(b'H') => {}
            Some(_) => return Err(HeadError::StatusLine),
            None => return Err(HeadError::HeadEnd),
        }
        let mut storage = [const { MaybeUninit::uninit() }; HEAD_FIELDS_MAX];
        let mut response = httparse::Response::new(&mut []);
        let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(
            &mut response,
            head,
            &mut storage,
        );
        match parsed {
            Ok(httparse::Status::Complete(bytes)) if bytes == head.len() => {}
            Ok(_) => return Err(HeadError::HeadEnd),
            Err(error) => return Err(refusal(error, head)),
        }
        if !head.ends_with(b"\r\n\r\n") {
            return Err(HeadError::BareLf);
        }
        let line = StatusLine::of(&response, head)?;
        let fields = Collected::from(response.headers, head, Message::Response)?;
        Ok(Self {
            status: line.status,
            version: line.version,
            field_lines: Span {
                start: (line.bytes + CRLF_BYTES) as u32,
                end: (head.len() - CRLF_BYTES) as u32,
            },
            known: fields.known,
            stated: fields.content.settle(line.version)?,
        })
    }

    /// Where the body ends, in answer to a request of this method.
    pub fn framing(&self, request: MethodKind) -> Framing {
        framing::of_response(self.stated, request, self.status)
    }

    /// Says whether the connection may be used again behind this message, as far as the head tells (RFC 9112 section
    /// 9.3). A body that ends with the connection rules it out as well.
    pub fn keeps_alive(&self) -> bool {
        // With a body announced that there cannot be, the origin may send it all the same (RFC 9110 section 8.6, RFC
        // 9112 section 6.1); the next response must not start inside it.
        let impossible_body =
            self.never_has_body() && !matches!(self.stated, Framing::None | Framing::Length(0));
        !impossible_body && self.known.keeps_alive(self.version == Version::Http11)
    }

    /// The protocol that the origin changes to, or offers.
    pub fn upgrade(&self) -> Upgrade {
        self.known.upgrade()
    }

    /// The start of the body, when [`Self::framing`] says that it is chunked.
    pub fn chunked_body(&self, head: &[u8]) -> ChunkedBody {
        ChunkedBody::without(NamedFields::of(&self.known, self.fields(head)))
    }

    /// Walks over the fields.
    pub fn fields<'a>(&self, head: &'a [u8]) -> Fields<'a> {
        Fields::new(head, self.field_lines)
    }

    /// Says whether the status alone rules out a body, and with it Content-Length (RFC 9110 section 8.6).
    pub(super) fn never_has_body(&self) -> bool {
        matches!(self.status, 100..=199 | 204)
    }
}

/// Checks a status line, its CRLF included, before the fields have arrived.
pub(super) fn check_status_line(line: &[u8]) -> Result<(), HeadError> {
    let mut response = httparse::Response::new(&mut []);
    match response.parse(line) {
        Ok(_) => StatusLine::of(&response, line).map(drop),
        Err(error) => Err(refusal(error, line)),
    }
}

struct StatusLine {
    version: Version,
    status: u16,
    /// Without the CRLF.
    bytes: usize,
}

impl StatusLine {
    fn of(response: &httparse::Response<'_, '_>, head: &[u8]) -> Result<Self, HeadError> {
        let (version, status) = match (response.version, response.code) {
            (Some(0), Some(status)) => (Version::Http10, status),
            (Some(1), Some(status)) => (Version::Http11, status),
            _ => return Err(HeadError::StatusLine),
        };
        if status < 100 {
            return Err(HeadError::StatusCode);
        }
        let bytes = find_line_break(head).ok_or(HeadError::HeadEnd)?;
        if bytes > STATUS_LINE_BYTES_MAX as usize {
            return Err(HeadError::StatusLineTooLong);
        }
        // httparse takes a bare LF for the end of a line.
        match head.get(bytes..).unwrap_or_default() {
            [b'\r', b'\n', ..] => Ok(Self {
                version,
                status,
                bytes,
            }),
            _ => Err(HeadError::BareLf),
        }
    }
}

/// The grammar element that httparse stumbled over.
#[cold]
fn refusal(error: httparse::Error, head: &[u8]) -> HeadError {
    if let Some(error) = field_refusal(error) {
        return error;
    }
    match head {
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor, b' ', ..]
            if major.is_ascii_digit()
                && minor.is_ascii_digit()
                && (*major != b'1' || !matches!(minor, b'0' | b'1')) =>
        {
            HeadError::VersionUnsupported
        }
        _ => HeadError::StatusLine,
    }
}
