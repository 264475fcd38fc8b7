//! Parts of a head by position: spans, and the field lines one after the other.
//!
//! Positions instead of borrows, so that a parsed head may outlive the moment in which its bytes are looked at, and
//! nothing is allocated for a field. Who asks for the bytes of a part brings the bytes that were parsed.

/// A part of a head: byte positions from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub(super) start: u32,
    pub(super) end: u32,
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
    lines: Lines<'a>,
}

/// The field lines of a parsed head in their order.
#[derive(Debug, Clone)]
pub(super) struct Lines<'a> {
    head: &'a [u8],
    at: usize,
    end: usize,
}

/// One field line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'a> {
    /// Where it starts.
    pub(super) start: usize,
    /// Where the next one starts.
    pub(super) end: usize,
    pub(super) name: &'a [u8],
    /// Without the white space around it.
    pub(super) value: &'a [u8],
}

pub(super) const CRLF_BYTES: usize = 2;

impl Span {
    /// The bytes of the part; empty when `head` is too short to be the head that was parsed.
    pub fn of(self, head: &[u8]) -> &[u8] {
        head.get(self.start as usize..self.end as usize)
            .unwrap_or_default()
    }

    /// Says whether the part has no bytes.
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// The position of `part`, which httparse borrowed from `head`.
    pub(super) fn within(head: &[u8], part: &[u8]) -> Self {
        let start = part.as_ptr().addr().wrapping_sub(head.as_ptr().addr());
        debug_assert!(start + part.len() <= head.len(), "a part lies in its head");
        Self {
            start: start as u32,
            end: (start + part.len()) as u32,
        }
    }
}

impl<'a> Fields<'a> {
    pub(super) fn new(head: &'a [u8], lines: Span) -> Self {
        Self {
            lines: Lines::new(head, lines),
        }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        self.lines.next().map(|line| (line.name, line.value))
    }
}

impl<'a> Lines<'a> {
    pub(super) fn new(head: &'a [u8], lines: Span) -> Self {
        Self {
            head,
            at: lines.start as usize,
            end: lines.end as usize,
        }
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.head.get(self.at..self.end)?;
        // What was parsed has a CR only in front of LF, and a colon on every field line.
        let (line, _) = rest.split_at_checked(memchr::memchr(b'\r', rest)?)?;
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = line.split_at_checked(colon)?;
        let start = self.at;
        self.at += line.len() + CRLF_BYTES;
        Some(Line {
            start,
            end: self.at,
            name,
            value: value.get(1..).unwrap_or_default().trim_ascii(),
        })
    }
}

/// The elements of a list field (RFC 9110 section 5.6.1), without the white space around them; empty ones too.
pub(super) fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

/// A `token` (RFC 9110 section 5.6.2).
pub(super) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| is_token_byte(*byte))
}

/// A `tchar` (RFC 9110 section 5.6.2).
pub(super) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The position of the first CR or LF.
pub(super) fn find_line_break(bytes: &[u8]) -> Option<usize> {
    let is_break = |byte: &u8| matches!(byte, b'\r' | b'\n');
    // Sixteen bytes at once without a branch: the compiler makes one vector comparison of it.
    let (chunks, rest) = bytes.as_chunks::<16>();
    let before = chunks
        .iter()
        .take_while(|chunk| {
            !chunk
                .iter()
                .fold(false, |found, byte| found | is_break(byte))
        })
        .count()
        * 16;
    let rest = bytes.get(before..).unwrap_or(rest);
    rest.iter().position(is_break).map(|at| before + at)
}
