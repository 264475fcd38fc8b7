//! What can be wrong with frames, and the codes that a Close says it with (RFC 6455 section 7.4).

use std::fmt;

/// A code that may be in a Close on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CloseCode(u16);

/// Why a direction fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameError {
    /// An opcode that RFC 6455 section 5.2 reserves.
    ReservedOpcode,
    /// A client's frame that is not masked.
    MaskMissing,
    /// A server's frame that is masked.
    MaskUnexpected,
    /// A payload length in more bytes than it needs.
    LengthNotMinimal,
    /// A payload length of 2^63 or more.
    LengthTopBit,
    /// A control frame without FIN.
    ControlFragmented,
    /// A control frame with more than 125 bytes of payload.
    ControlTooLong,
    /// A continuation, and no message is open.
    ContinuationUnexpected,
    /// A new message before the last one has ended.
    MessageInterrupted,
    /// A Close with half a code.
    CloseLength,
    /// A Close with a code that must not be sent or that nobody has defined.
    CloseCodeInvalid,
    /// A frame with more payload than the limit.
    FrameTooLong,
    /// A message with more payload than the limit.
    MessageTooLong,
    /// Behind a Close, where nothing may come, more than is dropped (section 5.5.1).
    CloseFollowed,
}

impl CloseCode {
    /// 1001: this end goes away, as a proxy does that drains.
    pub const GOING_AWAY: Self = Self(1001);
    /// 1002
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// 1009
    pub const MESSAGE_TOO_BIG: Self = Self(1009);

    /// The code with this number, if it may be sent: registered with IANA, or of the ranges for libraries and private
    /// use. 1005, 1006 and 1015 stand for what never was on the wire (section 7.4.1).
    pub const fn new(number: u16) -> Option<Self> {
        match number {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Some(Self(number)),
            _ => None,
        }
    }

    /// Its number.
    pub const fn number(self) -> u16 {
        self.0
    }
}

impl FrameError {
    /// The code of the Close that fails the connection.
    pub const fn close_code(self) -> CloseCode {
        match self {
            Self::FrameTooLong | Self::MessageTooLong => CloseCode::MESSAGE_TOO_BIG,
            Self::ReservedOpcode
            | Self::MaskMissing
            | Self::MaskUnexpected
            | Self::LengthNotMinimal
            | Self::LengthTopBit
            | Self::ControlFragmented
            | Self::ControlTooLong
            | Self::ContinuationUnexpected
            | Self::MessageInterrupted
            | Self::CloseLength
            | Self::CloseCodeInvalid
            | Self::CloseFollowed => CloseCode::PROTOCOL_ERROR,
        }
    }

    /// What is wrong, for a person; never contains what the peer sent.
    pub const fn text(self) -> &'static str {
        match self {
            Self::ReservedOpcode => "the opcode is reserved",
            Self::MaskMissing => "a frame of a client is not masked",
            Self::MaskUnexpected => "a frame of a server is masked",
            Self::LengthNotMinimal => "the payload length is written in more bytes than it needs",
            Self::LengthTopBit => "the payload length has its top bit set",
            Self::ControlFragmented => "a control frame is fragmented",
            Self::ControlTooLong => "a control frame has more than 125 bytes of payload",
            Self::ContinuationUnexpected => "a continuation has no message to continue",
            Self::MessageInterrupted => "a message starts before the last one has ended",
            Self::CloseLength => "a close frame has one byte of payload",
            Self::CloseCodeInvalid => "a close frame has an invalid code",
            Self::FrameTooLong => "a frame is too long",
            Self::MessageTooLong => "a message is too long",
            Self::CloseFollowed => "too much comes behind a close frame",
        }
    }
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl std::error::Error for FrameError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_that_may_be_sent_are_told_from_the_others() {
        let valid = |number: u16| CloseCode::new(number).is_some();
        let ranges = [1000..=1003, 1007..=1014, 3000..=4999];
        for number in 0..=u16::MAX {
            let expected = ranges.iter().any(|range| range.contains(&number));
            assert_eq!(valid(number), expected, "{number}");
        }
        for own in [
            CloseCode::GOING_AWAY,
            CloseCode::PROTOCOL_ERROR,
            CloseCode::MESSAGE_TOO_BIG,
        ] {
            assert_eq!(CloseCode::new(own.number()), Some(own));
        }
    }
}
