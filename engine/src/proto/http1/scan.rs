//! Finding the end of a head, or of a trailer section, while its bytes arrive: framing only, no tokens.
//!
//! Every byte is looked at once for its line, and the first line a second time when it is whole, so the cost is linear
//! in bytes even when they come one at a time. What can never become a head is refused as soon as that is known, by
//! its first byte or by its first line: a peer that speaks something else would wait for us until a timeout. The
//! answer for given bytes does not depend on where they were cut.

use super::HeadError;
use super::request::check_request_line;
use super::response::check_status_line;
use super::span::{CRLF_BYTES, find_line_break, is_token_byte};
use crate::limits::{
    HEAD_BYTES_MAX, HEAD_FIELDS_MAX, REQUEST_LINE_BYTES_MAX, STATUS_LINE_BYTES_MAX,
    TRAILER_BYTES_MAX, TRAILER_FIELDS_MAX,
};

/// How far a head has been searched; a new one is for a request's. Make a new one for each head.
#[derive(Debug, Clone, Default)]
pub struct HeadScan {
    /// Bytes that need not be looked at again.
    examined: usize,
    /// Where the current line starts.
    line_start: usize,
    line: Line,
    section: Section,
    #[cfg(test)]
    pub(super) bytes_touched: usize,
}

/// What a [`HeadScan`] knows after looking at the bytes received so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scan {
    /// The head goes on.
    NeedMore,
    /// The head ends here: its bytes, the empty line included. What follows is payload.
    Complete(usize),
}

/// What is searched for its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Section {
    #[default]
    Head,
    Trailers,
}

/// Which line of a head the current one is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Line {
    /// The request line, or the one empty line that RFC 9112 section 2.2 has servers ignore before it.
    #[default]
    First,
    /// The request line, after that empty line.
    Request,
    /// The status line. Nothing may be in front of it.
    Status,
    /// A field line or the empty line at the end; so many field lines came before.
    Field(usize),
}

impl HeadScan {
    /// Searches a request head.
    pub fn request() -> Self {
        Self::default()
    }

    /// Searches a response head.
    pub fn response() -> Self {
        Self {
            line: Line::Status,
            ..Self::default()
        }
    }

    /// Searches a trailer section (RFC 9112 section 7.1.2), which is what a head has behind its first line.
    pub(super) fn trailers() -> Self {
        Self {
            line: Line::Field(0),
            section: Section::Trailers,
            ..Self::default()
        }
    }

    /// Looks at `received`: everything since the start of the head, what earlier calls saw included.
    ///
    /// Asked again after `Complete` or an error, with the same bytes or more, it answers the same.
    pub fn advance(&mut self, received: &[u8]) -> Result<Scan, HeadError> {
        loop {
            if let Some(first) = received.get(self.line_start) {
                self.check_line_start(*first)?;
            }
            let limit = self.limit();
            let Some(line_end) = self.line_end(received, limit)? else {
                return match received.get(self.line_start..limit) {
                    Some(too_long) => Err(self.too_long(too_long)),
                    None => Ok(Scan::NeedMore),
                };
            };
            if self.finish_line(received, line_end)? {
                return Ok(Scan::Complete(line_end + CRLF_BYTES));
            }
        }
    }

    fn check_line_start(&self, first: u8) -> Result<(), HeadError> {
        match (self.line, first) {
            (Line::First, b'\r' | b'\n') => Ok(()),
            (Line::First | Line::Request, _) if !is_token_byte(first) => Err(HeadError::NotHttp),
            (Line::Status, _) if first != b'H' => Err(HeadError::StatusLine),
            (Line::Field(_), b' ' | b'\t') => Err(HeadError::ObsFold),
            _ => Ok(()),
        }
    }

    /// The end of the bytes that the current line may occupy. Nothing behind it is looked at, or the answer would
    /// depend on how much has arrived.
    fn limit(&self) -> usize {
        match self.line {
            Line::First | Line::Request => {
                self.line_start + REQUEST_LINE_BYTES_MAX as usize + CRLF_BYTES
            }
            Line::Status => STATUS_LINE_BYTES_MAX as usize + CRLF_BYTES,
            Line::Field(_) => match self.section {
                Section::Head => HEAD_BYTES_MAX as usize,
                Section::Trailers => TRAILER_BYTES_MAX as usize,
            },
        }
    }

    fn fields_max(&self) -> usize {
        match self.section {
            Section::Head => HEAD_FIELDS_MAX,
            Section::Trailers => TRAILER_FIELDS_MAX,
        }
    }

    /// Finds the CRLF that ends the current line.
    fn line_end(&mut self, received: &[u8], limit: usize) -> Result<Option<usize>, HeadError> {
        let window = received.get(..limit).unwrap_or(received);
        let fresh = window.get(self.examined..).unwrap_or_default();
        let found = find_line_break(fresh);
        #[cfg(test)]
        {
            self.bytes_touched += found.map_or(fresh.len(), |at| at + CRLF_BYTES);
        }
        let Some(at) = found else {
            self.examined = window.len();
            return Ok(None);
        };
        match fresh.get(at..) {
            Some([b'\r', b'\n', ..]) => Ok(Some(self.examined + at)),
            Some([b'\r']) => {
                // The CR is looked at once more when the next byte is there.
                self.examined += at;
                Ok(None)
            }
            Some([b'\r', ..]) => Err(HeadError::BareCr),
            _ => Err(HeadError::BareLf),
        }
    }

    /// Takes a whole line; true when it was the last one.
    fn finish_line(&mut self, received: &[u8], line_end: usize) -> Result<bool, HeadError> {
        let next = line_end + CRLF_BYTES;
        let empty = line_end == self.line_start;
        let line = match self.line {
            Line::First if empty => Line::Request,
            Line::First | Line::Request | Line::Status => {
                #[cfg(test)]
                {
                    self.bytes_touched += next - self.line_start;
                }
                let line = received.get(self.line_start..next).unwrap_or_default();
                match self.line {
                    Line::Status => check_status_line(line)?,
                    _ => check_request_line(line)?,
                }
                Line::Field(0)
            }
            Line::Field(_) if empty => {
                self.examined = line_end;
                return Ok(true);
            }
            Line::Field(before) if before == self.fields_max() => {
                return Err(HeadError::TooManyFields);
            }
            Line::Field(before) => Line::Field(before + 1),
        };
        (self.line, self.line_start, self.examined) = (line, next, next);
        Ok(false)
    }

    #[cold]
    fn too_long(&self, line: &[u8]) -> HeadError {
        match self.line {
            Line::Field(_) => HeadError::HeadTooLong,
            Line::Status => HeadError::StatusLineTooLong,
            Line::First | Line::Request if line.contains(&b' ') => HeadError::TargetTooLong,
            Line::First | Line::Request => HeadError::MethodTooLong,
        }
    }
}
