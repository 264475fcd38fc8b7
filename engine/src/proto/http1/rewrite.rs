//! The heads that go on: what does not change is copied through, in runs as long as possible, with patches between.
//!
//! One pass over the field lines, which ends behind the last one that may not go on as it is, unless Connection names
//! fields: then there is another one before, to collect the names. Nothing is allocated beside `out`. Every function
//! wants the bytes that were parsed.

use std::io::Write;

use super::field::{Field, HOP_BY_HOP, NamedFields, PATCHED_IN_REQUESTS, PATCHED_IN_RESPONSES};
use super::span::{CRLF_BYTES, Line, Lines};
use super::{Framing, HttpTarget, MethodKind, RequestHead, ResponseHead, Version};

/// How a request goes on.
#[derive(Debug, Clone, Copy)]
pub struct RequestRewrite<'a> {
    /// Where to: what the request line and Host say.
    pub target: &'a HttpTarget,
    /// Whether the protocol may change: the Upgrade field goes on, and Connection names it.
    pub upgrade: bool,
    /// Whether the origin shall close afterwards. An upgrade does not ask for it.
    pub close: bool,
    /// Field lines to add, each with its CRLF.
    pub extra: &'a [u8],
}

/// How a response goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseRewrite {
    /// The framing of what is sent. With [`Framing::Chunked`] the head says so, and with [`Framing::UntilClose`] it
    /// says nothing; otherwise Content-Length goes on as it came, if the status may have it.
    pub framing: Framing,
    /// What Connection says.
    pub connection: ConnectionField,
}

/// The Connection field of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionField {
    /// The connection closes after this message.
    Close,
    /// It does not: said to clients of HTTP/1.0, which would not assume it.
    KeepAlive,
    /// Nothing is said.
    Silent,
    /// The protocol changes to what the Upgrade field says, which goes on.
    Upgrade,
}

/// Appends the head that goes to the origin.
///
/// The target is in origin-form, the version is 1.1, Host comes from the target and stands where the client's was, or
/// first. Without the fields of one hop and those that Connection names; Via comes last. What frames and routes the
/// message has one spelling, so that no recipient reads another length, coding or host out of the white space.
pub fn rewrite_request(
    request: &RequestHead,
    head: &[u8],
    rewrite: &RequestRewrite<'_>,
    out: &mut Vec<u8>,
) {
    out.reserve(head.len() + rewrite.extra.len() + ADDED_BYTES_MAX);
    let authority = rewrite.target.authority.of(head);
    let mut copy = copy_request_line(request, head, rewrite.target, out);
    if !request.known.seen.has(Field::Host) {
        copy.copy_to(request.field_lines.start as usize);
        copy.insert(&[b"Host: ", authority, b"\r\n"]);
    }
    let named = NamedFields::of(&request.known, request.fields(head));
    let mut left = request.known.patched_lines;
    for line in Lines::new(head, request.field_lines) {
        if left == 0 && named.is_none() {
            break;
        }
        let field = Field::of(line.name);
        left = left.saturating_sub(u8::from(PATCHED_IN_REQUESTS.has(field)));
        match field {
            Field::Host => copy.spell(&line, &[b"Host: ", authority, b"\r\n"]),
            Field::ContentLength => copy.spell_length(&line),
            Field::TransferEncoding => copy.spell(&line, &[CHUNKED]),
            Field::MaxForwards if request.kind().counts_forwards() => {
                copy.replace(&line, &[]);
                let forwards = request.max_forwards(head).unwrap_or_default();
                // Writing to a Vec cannot fail.
                let _ = write!(copy.out, "Max-Forwards: {}\r\n", forwards.saturating_sub(1));
            }
            Field::Upgrade if rewrite.upgrade => {}
            _ if HOP_BY_HOP.has(field) || is_named(&named, line.name) => copy.replace(&line, &[]),
            _ => {}
        }
    }
    copy.finish(request.field_lines.end as usize);
    out.extend_from_slice(rewrite.extra);
    let connection = match rewrite {
        RequestRewrite { upgrade: true, .. } => ConnectionField::Upgrade,
        RequestRewrite { close: true, .. } => ConnectionField::Close,
        _ => ConnectionField::Silent,
    };
    out.extend_from_slice(connection.line());
    out.extend_from_slice(end_of_head(request.version));
}

/// Appends the head that goes to the client.
///
/// The version is 1.1; without the fields of one hop and those that Connection names; Via comes last. What frames the
/// message has one spelling.
pub fn rewrite_response(
    response: &ResponseHead,
    head: &[u8],
    rewrite: &ResponseRewrite,
    out: &mut Vec<u8>,
) {
    out.reserve(head.len() + ADDED_BYTES_MAX);
    let chunked = rewrite.framing == Framing::Chunked;
    let keeps_length = match rewrite.framing {
        Framing::Chunked | Framing::UntilClose => false,
        Framing::None | Framing::Length(_) => !response.never_has_body(),
    };
    let mut copy = copy_status_line(response, head, out);
    let named = NamedFields::of(&response.known, response.fields(head));
    let mut left = response.known.patched_lines;
    for line in Lines::new(head, response.field_lines) {
        if left == 0 && named.is_none() {
            break;
        }
        let field = Field::of(line.name);
        left = left.saturating_sub(u8::from(PATCHED_IN_RESPONSES.has(field)));
        match field {
            Field::ContentLength if keeps_length => copy.spell_length(&line),
            Field::TransferEncoding if chunked => copy.spell(&line, &[CHUNKED]),
            Field::ContentLength | Field::TransferEncoding => copy.replace(&line, &[]),
            Field::Upgrade if rewrite.connection == ConnectionField::Upgrade => {}
            _ if HOP_BY_HOP.has(field) || is_named(&named, line.name) => copy.replace(&line, &[]),
            _ => {}
        }
    }
    copy.finish(response.field_lines.end as usize);
    if chunked && !response.known.seen.has(Field::TransferEncoding) {
        out.extend_from_slice(CHUNKED);
    }
    out.extend_from_slice(rewrite.connection.line());
    out.extend_from_slice(end_of_head(response.version));
}

/// Says whether Connection names the field.
fn is_named(named: &Option<NamedFields<'_>>, name: &[u8]) -> bool {
    named.as_ref().is_some_and(|named| named.has(name))
}

/// More than what either function may add to a head, `extra` and Host aside.
const ADDED_BYTES_MAX: usize = 128;

const CHUNKED: &[u8] = b"Transfer-Encoding: chunked\r\n";

/// The version of a status line, and version and status; both have a fixed length.
const VERSION_BYTES: usize = "HTTP/1.1".len();
const STATUS_END: usize = "HTTP/1.1 200".len();

impl ConnectionField {
    fn line(self) -> &'static [u8] {
        match self {
            Self::Close => b"Connection: close\r\n",
            Self::KeepAlive => b"Connection: keep-alive\r\n",
            Self::Silent => b"",
            Self::Upgrade => b"Connection: Upgrade\r\n",
        }
    }
}

/// Via with the version that the message came in (RFC 9110 section 7.6.3), and the empty line.
fn end_of_head(received: Version) -> &'static [u8] {
    match received {
        Version::Http10 => b"Via: 1.0 ringway\r\n\r\n",
        Version::Http11 => b"Via: 1.1 ringway\r\n\r\n",
    }
}

/// Copies the bytes of a head, except for what is taken out on the way.
struct Copy<'a> {
    head: &'a [u8],
    /// Up to here, everything is copied or left out.
    done: usize,
    out: &'a mut Vec<u8>,
}

impl Copy<'_> {
    /// Copies what is in front of a line, and puts `parts` in its place.
    fn replace(&mut self, line: &Line<'_>, parts: &[&[u8]]) {
        self.copy_to(line.start);
        self.done = line.end;
        self.insert(parts);
    }

    /// Leaves a line that reads like `parts` where it is, and puts them in the place of every other one.
    fn spell(&mut self, line: &Line<'_>, parts: &[&[u8]]) {
        let written = self.head.get(line.start..line.end).unwrap_or_default();
        let mut parts_left = parts.iter();
        let rest = parts_left.try_fold(written, |rest, part| rest.strip_prefix(*part));
        if rest != Some(&[]) {
            self.replace(line, parts);
        }
    }

    /// The same for a Content-Length, of which the parser has let only digits pass.
    fn spell_length(&mut self, line: &Line<'_>) {
        let zeros = line.value.iter().take_while(|digit| **digit == b'0');
        let zeros = zeros.count().min(line.value.len().saturating_sub(1));
        let digits = line.value.get(zeros..).unwrap_or_default();
        self.spell(line, &[b"Content-Length: ", digits, b"\r\n"]);
    }

    /// Copies up to `end`.
    fn copy_to(&mut self, end: usize) {
        let run = self.head.get(self.done..end).unwrap_or_default();
        self.out.extend_from_slice(run);
        self.done = end;
    }

    fn insert(&mut self, parts: &[&[u8]]) {
        for part in parts {
            self.out.extend_from_slice(part);
        }
    }

    fn finish(mut self, end: usize) {
        self.copy_to(end);
    }
}

/// Writes the request line. What follows the path is copied together with the fields, if it is what it should be.
fn copy_request_line<'a>(
    request: &RequestHead,
    head: &'a [u8],
    target: &HttpTarget,
    out: &'a mut Vec<u8>,
) -> Copy<'a> {
    let path = target.path.of(head);
    out.extend_from_slice(request.method.of(head));
    out.push(b' ');
    match path.first() {
        // RFC 9112 section 3.2.4: OPTIONS about the whole server.
        None if request.kind() == MethodKind::Options => out.push(b'*'),
        // RFC 9112 section 3.2.1: an empty path is sent as `/`.
        None | Some(b'?') => out.push(b'/'),
        Some(_) => {}
    }
    let mut copy = Copy {
        head,
        done: target.path.start as usize,
        out,
    };
    if request.version == Version::Http10 {
        copy.copy_to(target.path.end as usize);
        copy.insert(&[b" HTTP/1.1\r\n"]);
        copy.done = request.field_lines.start as usize;
    }
    copy
}

/// Writes the version. What follows is copied together with the fields, if it is what it should be.
fn copy_status_line<'a>(response: &ResponseHead, head: &'a [u8], out: &'a mut Vec<u8>) -> Copy<'a> {
    out.extend_from_slice(b"HTTP/1.1");
    let mut copy = Copy {
        head,
        done: VERSION_BYTES,
        out,
    };
    // RFC 9112 section 4: the space stands there even without a reason.
    if response.field_lines.start as usize == STATUS_END + CRLF_BYTES {
        copy.copy_to(STATUS_END);
        copy.insert(&[b" "]);
    }
    copy
}
