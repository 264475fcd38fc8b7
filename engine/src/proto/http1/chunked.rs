//! The chunked coding as it passes (RFC 9112 section 7.1): checked to the byte, cut anywhere, never buffered.
//!
//! [`ChunkedBody::step`] says what the next bytes are, so that a forwarder passes them on or drops them where they lie.
//! What it calls framing is canonical: sizes in digits, CRLF, no extension. Only trailers are put together, in bounded
//! room, because what goes on of them is decided by whole lines; [`super::trailers`] does that. The body of a message is
//! asked of its head, which may have something to say about them.

use std::fmt;

use bytes::Bytes;

use super::HeadError;
use super::field::NamedFields;
use super::trailers::Trailers;
use crate::limits::{
    BODY_EXTENSION_BYTES_MAX, CHUNK_BYTES_MAX, CHUNK_LINE_EXTENSION_BYTES_MAX,
    CHUNK_SIZE_DIGITS_MAX,
};

/// How far a chunked body has come.
#[derive(Debug, Default)]
pub struct ChunkedBody {
    /// The size of the chunk as far as its digits are read, then what is left of its data.
    left: u64,
    /// There only while a trailer section is in pieces, or when Connection names fields that it may not have.
    trailers: Option<Box<Trailers>>,
    /// Of the whole body.
    extension_bytes: u32,
    /// Of the chunk.
    line_extension_bytes: u32,
    digits: u8,
    state: State,
    #[cfg(test)]
    pub(super) bytes_touched: usize,
}

/// What the next bytes of a chunked body are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChunkStep {
    /// There were none, and the body goes on.
    NeedMore,
    /// So many bytes of canonical framing: passed on, or dropped when the body is decoded.
    Framing(usize),
    /// So many bytes to drop: extensions, and pieces of a trailer section that is not whole yet.
    Skip(usize),
    /// So many bytes of content.
    Data(usize),
    /// So many bytes that end the body; in their place, these go on: the trailer section without the fields that a
    /// trailer may not have, and the empty line.
    Trailers(usize, Bytes),
    /// So many bytes of canonical framing that end the body: the empty line, or what is left of it.
    End(usize),
}

/// What is wrong with a chunked body. What comes next is unknown, so the connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChunkError {
    /// The size is no plain hexadecimal number: a sign, a prefix, a space, or nothing.
    Size,
    /// The size has more than 16 digits, or is more than 2^63 - 1.
    SizeOverflow,
    /// An extension has a control byte.
    Extension,
    /// The extensions of one chunk are longer than the limit.
    ExtensionTooLong,
    /// The extensions of all chunks together are longer than the limit.
    ExtensionFlood,
    /// The data of a chunk are not followed by CRLF.
    DataEnd,
    /// A CR without LF.
    BareCr,
    /// An LF without CR.
    BareLf,
    /// The trailer section is malformed, or longer than its limits.
    Trailer(HeadError),
}

/// What the next byte belongs to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    /// The digits of a size, or what ends them.
    #[default]
    Size,
    /// The extensions, from the first semicolon on, or the CR behind them.
    Extension,
    /// The LF of a size line.
    SizeLf,
    /// The data of a chunk.
    Data,
    /// The CR behind the data.
    DataCr,
    /// The LF behind the data.
    DataLf,
    /// The first byte behind the last chunk's line.
    Last,
    /// The LF of the empty line that ends a body without trailers.
    EndLf,
    /// A trailer section.
    Trailers,
    /// Nothing: the body is over.
    Ended,
}

impl ChunkedBody {
    /// The body behind a head in which Connection names these fields.
    pub(super) fn without(named: Option<NamedFields<'_>>) -> Self {
        Self {
            trailers: named.map(|named| Box::new(Trailers::without(&named))),
            ..Self::default()
        }
    }

    /// Says what the first bytes of `input` are; the next call wants what is behind them.
    ///
    /// Errors are final, and come when the bytes before them have been told. Behind the end, `End(0)`.
    pub fn step(&mut self, input: &[u8]) -> Result<ChunkStep, ChunkError> {
        if self.ended() {
            return Ok(ChunkStep::End(0));
        }
        let framing = self.framing(input)?;
        match self.state {
            _ if input.is_empty() => Ok(ChunkStep::NeedMore),
            State::Ended => Ok(ChunkStep::End(framing)),
            _ if framing > 0 => Ok(ChunkStep::Framing(framing)),
            State::Data => Ok(ChunkStep::Data(self.data(input.len()))),
            State::Trailers => self.trailers(input),
            _ => self.extension(input).map(ChunkStep::Skip),
        }
    }

    /// Says whether the body is over; when its connection ends before, it is incomplete.
    pub fn ended(&self) -> bool {
        self.state == State::Ended
    }

    /// Takes bytes of canonical framing, up to where something else begins.
    fn framing(&mut self, input: &[u8]) -> Result<usize, ChunkError> {
        let mut taken = 0;
        for byte in input {
            #[cfg(test)]
            {
                self.bytes_touched += 1;
            }
            match self.take(*byte) {
                Ok(true) => taken += 1,
                Ok(false) => break,
                // It is found again when the bytes before it have been told.
                Err(_) if taken > 0 => break,
                Err(error) => return Err(error),
            }
            // The last chunk is told apart from what ends the body, which trailers stand in for.
            if matches!(self.state, State::Last | State::Ended) {
                break;
            }
        }
        Ok(taken)
    }

    /// Takes one byte, if it is one of canonical framing.
    fn take(&mut self, byte: u8) -> Result<bool, ChunkError> {
        self.state = match (self.state, byte) {
            (State::Size, b'\r' | b'\n' | b';') if self.digits == 0 => {
                return Err(ChunkError::Size);
            }
            (State::Size | State::Extension, b'\r') => State::SizeLf,
            (State::Size, b';') => {
                (self.state, self.line_extension_bytes) = (State::Extension, 0);
                return Ok(false);
            }
            (State::Size, b'\n') => return Err(ChunkError::BareLf),
            (State::Size, digit) => {
                self.take_digit(digit)?;
                State::Size
            }
            (State::SizeLf, b'\n') if self.left == 0 => State::Last,
            (State::SizeLf, b'\n') => State::Data,
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => {
                self.digits = 0;
                State::Size
            }
            (State::DataCr | State::DataLf, _) => return Err(ChunkError::DataEnd),
            (State::Last, b'\r') => State::EndLf,
            (State::Last, b'\n') => return Err(ChunkError::BareLf),
            (State::Last, _) => {
                self.state = State::Trailers;
                return Ok(false);
            }
            (State::EndLf, b'\n') => State::Ended,
            (State::SizeLf | State::EndLf, _) => return Err(ChunkError::BareCr),
            (State::Extension | State::Data | State::Trailers | State::Ended, _) => {
                return Ok(false);
            }
        };
        Ok(true)
    }

    fn take_digit(&mut self, byte: u8) -> Result<(), ChunkError> {
        let digit = char::from(byte).to_digit(16).ok_or(ChunkError::Size)?;
        if self.digits == CHUNK_SIZE_DIGITS_MAX || self.left > CHUNK_BYTES_MAX >> 4 {
            return Err(ChunkError::SizeOverflow);
        }
        self.left = self.left << 4 | u64::from(digit);
        self.digits += 1;
        Ok(())
    }

    /// Takes as much data as there is, of at least one byte.
    fn data(&mut self, input_bytes: usize) -> usize {
        let bytes = self.left.min(input_bytes as u64);
        self.left -= bytes;
        if self.left == 0 {
            self.state = State::DataCr;
        }
        bytes as usize
    }

    /// Takes bytes of extensions. What they mean does not matter, only that no parser can see an end in them.
    fn extension(&mut self, input: &[u8]) -> Result<usize, ChunkError> {
        let in_line = CHUNK_LINE_EXTENSION_BYTES_MAX - self.line_extension_bytes;
        let in_body = BODY_EXTENSION_BYTES_MAX - self.extension_bytes;
        let allowed = input.get(..in_line.min(in_body) as usize).unwrap_or(input);
        let is_control = |byte: &u8| byte.is_ascii_control() && *byte != b'\t';
        let control = allowed.iter().position(is_control);
        let bytes = control.unwrap_or(allowed.len());
        #[cfg(test)]
        {
            self.bytes_touched += bytes;
        }
        if bytes == 0 {
            return Err(match allowed.first() {
                None if in_line == 0 => ChunkError::ExtensionTooLong,
                None => ChunkError::ExtensionFlood,
                Some(b'\n') => ChunkError::BareLf,
                Some(_) => ChunkError::Extension,
            });
        }
        self.line_extension_bytes += bytes as u32;
        self.extension_bytes += bytes as u32;
        Ok(bytes)
    }

    fn trailers(&mut self, input: &[u8]) -> Result<ChunkStep, ChunkError> {
        match Trailers::take(&mut self.trailers, input).map_err(ChunkError::Trailer)? {
            None => Ok(ChunkStep::Skip(input.len())),
            Some((bytes, passed_on)) => {
                self.state = State::Ended;
                self.trailers = None;
                Ok(ChunkStep::Trailers(bytes, passed_on))
            }
        }
    }
}

impl ChunkError {
    /// What is wrong, for a person; never contains what the peer sent.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Size => "a chunk size is not a plain hexadecimal number",
            Self::SizeOverflow => "a chunk size is larger than 2^63 - 1 or has more than 16 digits",
            Self::Extension => "a chunk extension has a control byte",
            Self::ExtensionTooLong => "the extensions of a chunk are too long",
            Self::ExtensionFlood => "the body has too many bytes of chunk extensions",
            Self::DataEnd => "the data of a chunk do not end with CRLF where its size says",
            Self::BareCr => "a CR in the chunked coding is not followed by LF",
            Self::BareLf => "an LF in the chunked coding does not follow a CR",
            Self::Trailer(error) => error.text(),
        }
    }
}

impl fmt::Display for ChunkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if matches!(self, Self::Trailer(_)) {
            f.write_str("in the trailers, ")?;
        }
        f.write_str(self.text())
    }
}

impl std::error::Error for ChunkError {}
