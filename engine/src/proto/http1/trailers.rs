//! The trailer section of a chunked body (RFC 9112 section 7.1.2): as strict as a head, and bounded.
//!
//! Recipients may merge trailers into the fields of the head, so a field there must not be one that decides about
//! framing, routing or access (RFC 9110 section 6.5.1), nor one that Connection kept from going on in the head. Those are
//! left out of what goes on; no trailer is an error for its name.

use bytes::Bytes;

use super::field::{Field, HOP_BY_HOP, NamedFields};
use super::request::field_refusal;
use super::span::{Lines, Span, elements};
use super::{HeadError, HeadScan, Scan};
use crate::limits::{TRAILER_BYTES_MAX, TRAILER_FIELDS_MAX};

/// A trailer section in pieces, or one that Connection has something to say about.
#[derive(Debug)]
pub(super) struct Trailers {
    scan: HeadScan,
    received: Vec<u8>,
    /// The fields that Connection named in the head, as a list.
    named: Box<[u8]>,
}

/// Fields that mean something before the body has come, beside those of one hop and Content-Length, Expect, Host,
/// Max-Forwards, Transfer-Encoding and all that start with `if-`. In the order of their letters.
const FORBIDDEN: [&str; 25] = [
    "age",
    "authorization",
    "cache-control",
    "content-encoding",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "expires",
    "forwarded",
    "location",
    "pragma",
    "range",
    "retry-after",
    "set-cookie",
    "trailer",
    "vary",
    "via",
    "warning",
    "www-authenticate",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-real-ip",
];

impl Trailers {
    /// A section that has not begun, without the fields that Connection named.
    pub(super) fn without(named: &NamedFields<'_>) -> Self {
        Self::new(named.list())
    }

    fn new(named: Box<[u8]>) -> Self {
        Self {
            scan: HeadScan::trailers(),
            received: Vec::new(),
            named,
        }
    }

    /// Takes the next piece. `None` while the section goes on, else the bytes of the piece that belong to it, and what
    /// goes on in its place. A section in one piece is read where it lies.
    pub(super) fn take(
        pieces: &mut Option<Box<Self>>,
        piece: &[u8],
    ) -> Result<Option<(usize, Bytes)>, HeadError> {
        let Some(trailers) = pieces else {
            let mut trailers = Self::new(Box::default());
            let Scan::Complete(bytes) = trailers.scan.advance(piece)? else {
                trailers.received.extend_from_slice(piece);
                *pieces = Some(Box::new(trailers));
                return Ok(None);
            };
            return passed_on(piece.get(..bytes).unwrap_or_default(), &[])
                .map(|section| Some((bytes, section)));
        };
        let before = trailers.received.len();
        let room = (TRAILER_BYTES_MAX as usize).saturating_sub(before);
        let piece = piece.get(..room).unwrap_or(piece);
        trailers.received.extend_from_slice(piece);
        let Scan::Complete(bytes) = trailers.scan.advance(&trailers.received)? else {
            return Ok(None);
        };
        let section = trailers.received.get(..bytes).unwrap_or_default();
        let passed_on = passed_on(section, &trailers.named)?;
        Ok(Some((bytes.saturating_sub(before), passed_on)))
    }
}

/// Checks the tokens of a whole section, and leaves out what may not stand there.
fn passed_on(section: &[u8], named: &[u8]) -> Result<Bytes, HeadError> {
    let mut storage = [httparse::EMPTY_HEADER; TRAILER_FIELDS_MAX];
    match httparse::parse_headers(section, &mut storage) {
        Ok(httparse::Status::Complete((bytes, _))) if bytes == section.len() => {}
        Ok(_) => return Err(HeadError::HeadEnd),
        Err(error) => return Err(field_refusal(error).unwrap_or(HeadError::HeadEnd)),
    }
    let fields = Span {
        start: 0,
        end: section.len() as u32 - 2,
    };
    let mut passed_on = Vec::with_capacity(section.len());
    let is_named = |name: &[u8]| elements(named).any(|other| other.eq_ignore_ascii_case(name));
    for line in Lines::new(section, fields) {
        if !is_forbidden(line.name) && !is_named(line.name) {
            passed_on.extend_from_slice(section.get(line.start..line.end).unwrap_or_default());
        }
    }
    passed_on.extend_from_slice(b"\r\n");
    Ok(Bytes::from(passed_on))
}

fn is_forbidden(name: &[u8]) -> bool {
    match Field::of(name) {
        Field::Other => {
            let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
            let is_condition = name
                .get(..3)
                .is_some_and(|start| start.eq_ignore_ascii_case(b"if-"));
            is_condition || FORBIDDEN.iter().any(|known| is(known))
        }
        Field::ContentLength
        | Field::Expect
        | Field::Host
        | Field::MaxForwards
        | Field::TransferEncoding => true,
        field => HOP_BY_HOP.has(field),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cost_is_linear_however_the_pieces_are_cut() {
        let touched = |bytes: usize, piece_bytes: usize| {
            let section = format!("X: y\r\nZ: {}\r\n\r\n", "z".repeat(bytes - 13));
            assert_eq!(section.len(), bytes);
            let mut pieces = None;
            let mut whole = section.as_bytes().chunks(piece_bytes).peekable();
            while let Some(piece) = whole.next() {
                let taken = Trailers::take(&mut pieces, piece).unwrap();
                assert_eq!(taken.is_some(), whole.peek().is_none());
            }
            pieces.unwrap().scan.bytes_touched
        };
        for piece_bytes in [1, 2, 100] {
            let (short, long) = (touched(512, piece_bytes), touched(8 * 512, piece_bytes));
            // Each byte once, and a CR once more when a cut parts it from its LF.
            assert!((512..512 + 20).contains(&short), "{piece_bytes}: {short}");
            assert!(long <= 8 * short, "{piece_bytes}: {short} and {long}");
        }
    }
}
