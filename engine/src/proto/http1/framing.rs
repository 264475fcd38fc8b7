//! Where a message's body ends: the one decision per message (RFC 9112 section 6.3), and what it depends on.
//!
//! Content-Length and Transfer-Encoding are collected line by line into [`Content`]; what they say together is settled
//! once, and everything that two parsers could read in two ways is an error. Requests are decided by
//! [`of_request`], responses by [`of_response`].

use super::span::{elements, is_token};
use super::{HeadError, Version};

/// How the body of a message is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    None,
    /// So many bytes, at most 2^63 - 1.
    Length(u64),
    /// The chunked coding.
    Chunked,
    /// Everything until the connection ends; never of a request.
    UntilClose,
}

/// What a method means for framing, forwarding and retries (RFC 9110 section 9). Case matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MethodKind {
    /// CONNECT
    Connect,
    /// HEAD: safe, and its response has no body.
    Head,
    /// OPTIONS: safe, and bounded by Max-Forwards.
    Options,
    /// TRACE: safe, without a body, and bounded by Max-Forwards.
    Trace,
    /// GET and the others that the registry calls safe.
    Safe,
    /// Every other one.
    Other,
}

/// What the Upgrade field asks for, when Connection names it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Upgrade {
    /// Nothing.
    #[default]
    None,
    /// WebSocket and nothing else (RFC 6455 section 4.1).
    WebSocket,
    /// Another protocol, such as `h2c`, or several.
    Other,
}

/// Content-Length and Transfer-Encoding of one head.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Content {
    length: Length,
    coding: Coding,
}

/// What the Content-Length lines say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Length {
    #[default]
    Absent,
    Bytes(u64),
    /// Empty, signed, a list, too large: no plain decimal number.
    Malformed,
    /// More than one line, even if they agree: recipients differ in which one they take.
    Repeated,
}

/// What the Transfer-Encoding lines say, taken as one list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Coding {
    #[default]
    Absent,
    /// Exactly one element: `chunked`.
    Chunked,
    /// Codings that this proxy does not know, perhaps with `chunked` behind them.
    Unknown { chunked: bool },
    /// An element that is no coding, or one behind `chunked`.
    Malformed,
}

/// The framing of a request; never [`Framing::UntilClose`].
pub(super) fn of_request(
    content: Content,
    method: MethodKind,
    version: Version,
) -> Result<Framing, HeadError> {
    if method == MethodKind::Connect && content != Content::default() {
        return Err(HeadError::ContentOnConnect);
    }
    let framing = content.settle(version)?;
    // RFC 9110 section 9.3.8. A length of 0 only says that there is none.
    if method == MethodKind::Trace && !matches!(framing, Framing::None | Framing::Length(0)) {
        return Err(HeadError::ContentOnTrace);
    }
    Ok(framing)
}

/// The framing of a response with this status to a request of this method. `stated` is what [`Content::settle`] gave.
pub(super) fn of_response(stated: Framing, method: MethodKind, status: u16) -> Framing {
    match (method, status) {
        (MethodKind::Head, _) | (_, 100..=199 | 204 | 304) => Framing::None,
        (MethodKind::Connect, 200..=299) => Framing::None,
        _ if stated == Framing::None => Framing::UntilClose,
        _ => stated,
    }
}

impl Content {
    /// Takes one Content-Length line.
    pub(super) fn take_length(&mut self, value: &[u8]) {
        self.length = match self.length {
            Length::Absent => length(value).map_or(Length::Malformed, Length::Bytes),
            _ => Length::Repeated,
        };
    }

    /// Takes one Transfer-Encoding line.
    pub(super) fn take_coding(&mut self, value: &[u8]) {
        self.coding = elements(value).fold(self.coding, Coding::and);
    }

    /// What both fields say together; [`Framing::None`] when neither is there.
    ///
    /// | Content-Length | Transfer-Encoding | |
    /// |---|---|---|
    /// | absent | absent | none stated |
    /// | one plain number | absent | that many bytes |
    /// | anything else | absent | error |
    /// | absent | `chunked` alone, in HTTP/1.1 | chunked |
    /// | absent | anything else | error |
    /// | present | present | error |
    pub(super) fn settle(self, version: Version) -> Result<Framing, HeadError> {
        match (self.length, self.coding) {
            (Length::Absent, Coding::Absent) => Ok(Framing::None),
            (Length::Bytes(bytes), Coding::Absent) => Ok(Framing::Length(bytes)),
            (Length::Malformed, Coding::Absent) => Err(HeadError::ContentLength),
            (Length::Repeated, Coding::Absent) => Err(HeadError::ContentLengthRepeated),
            (Length::Absent, _) if version == Version::Http10 => {
                Err(HeadError::TransferEncodingVersion)
            }
            (Length::Absent, Coding::Chunked) => Ok(Framing::Chunked),
            (Length::Absent, Coding::Unknown { .. }) => Err(HeadError::TransferCoding),
            (Length::Absent, Coding::Malformed) => Err(HeadError::TransferEncoding),
            (_, _) => Err(HeadError::FramingAmbiguous),
        }
    }
}

impl Coding {
    /// The state after one more element.
    fn and(self, element: &[u8]) -> Self {
        let chunked = element.eq_ignore_ascii_case(b"chunked");
        match self {
            // A parameter makes it no token; none is defined for `chunked` (RFC 9112 section 7.1).
            _ if !is_token(element) => Self::Malformed,
            Self::Absent if chunked => Self::Chunked,
            Self::Absent | Self::Unknown { chunked: false } => Self::Unknown { chunked },
            // Whatever stands behind `chunked`, `chunked` included (RFC 9112 section 6.1).
            Self::Chunked | Self::Unknown { chunked: true } | Self::Malformed => Self::Malformed,
        }
    }
}

impl MethodKind {
    pub(super) fn of(method: &[u8]) -> Self {
        match method {
            b"GET" | b"PROPFIND" | b"REPORT" | b"SEARCH" => Self::Safe,
            b"CONNECT" => Self::Connect,
            b"HEAD" => Self::Head,
            b"OPTIONS" => Self::Options,
            b"TRACE" => Self::Trace,
            _ => Self::Other,
        }
    }

    /// Says whether nothing is changed by the request (RFC 9110 section 9.2.1).
    pub const fn is_safe(self) -> bool {
        matches!(self, Self::Head | Self::Options | Self::Trace | Self::Safe)
    }

    /// Says whether Max-Forwards counts for it (RFC 9110 section 7.6.2).
    pub(super) const fn counts_forwards(self) -> bool {
        matches!(self, Self::Options | Self::Trace)
    }
}

impl Upgrade {
    /// What one Upgrade line asks for; with another one before it, it asks for several protocols.
    pub(super) fn of(value: &[u8], repeated: bool) -> Self {
        if !repeated && value.eq_ignore_ascii_case(b"websocket") {
            Self::WebSocket
        } else {
            Self::Other
        }
    }
}

/// A plain decimal number of at most 19 digits, up to 2^63 - 1: more is read as negative, or cut, by others.
fn length(value: &[u8]) -> Option<u64> {
    const DIGITS_MAX: usize = 19;
    if value.is_empty() || value.len() > DIGITS_MAX {
        return None;
    }
    let bytes = decimal(value)?;
    (bytes <= i64::MAX as u64).then_some(bytes)
}

/// `1*DIGIT`; a number too large for its type is the largest.
pub(super) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0_u64, |number, digit| {
        number
            .saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'))
    }))
}
