//! The trailer section of a chunked body (RFC 9112 section 7.1.2): as strict as a head, and bounded.
//!
//! Recipients may merge trailers into the fields of the head, so a field there must not be one that decides about
//! framing, routing or access (RFC 9110 section 6.5.1). Those are left out of what goes on; no trailer is an error for
//! its name.

use bytes::Bytes;

use super::field::{Field, HOP_BY_HOP};
use super::request::field_refusal;
use super::span::{Lines, Span};
use super::{HeadError, HeadScan, Scan};
use crate::limits::{TRAILER_BYTES_MAX, TRAILER_FIELDS_MAX};

/// A trailer section in pieces.
#[derive(Debug)]
pub(super) struct Trailers {
    scan: HeadScan,
    received: Vec<u8>,
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
    /// Takes the next piece. `None` while the section goes on, else the bytes of the piece that belong to it, and what
    /// goes on in its place. A section in one piece is read where it lies.
    pub(super) fn take(
        pieces: &mut Option<Box<Self>>,
        piece: &[u8],
    ) -> Result<Option<(usize, Bytes)>, HeadError> {
        let Some(trailers) = pieces else {
            let mut scan = HeadScan::trailers();
            let Scan::Complete(bytes) = scan.advance(piece)? else {
                *pieces = Some(Box::new(Self {
                    scan,
                    received: piece.to_vec(),
                }));
                return Ok(None);
            };
            return passed_on(piece.get(..bytes).unwrap_or_default())
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
        Ok(Some((bytes.saturating_sub(before), passed_on(section)?)))
    }
}

/// Checks the tokens of a whole section, and leaves out what may not stand there.
fn passed_on(section: &[u8]) -> Result<Bytes, HeadError> {
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
    for line in Lines::new(section, fields).filter(|line| !is_forbidden(line.name)) {
        passed_on.extend_from_slice(section.get(line.start..line.end).unwrap_or_default());
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
