//! The bytes of a frame's head (RFC 6455 section 5.2): decoding, encoding, and what a head alone can break.
//!
//! Rules that need to know the frames before are in [`super::Frames`]. Reserved bits belong to extensions, which this
//! proxy does not take part in, so they are carried and never an error.

use super::FrameError;

/// Who sent a frame: a client masks, a server does not (section 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// The end that sent the request.
    Client,
    /// The end that answered it.
    Server,
}

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    /// More of the message that is open.
    Continuation = 0,
    /// A message of text begins.
    Text = 1,
    /// A message of bytes begins.
    Binary = 2,
    /// The sender will send no more.
    Close = 8,
    /// Asks for a Pong.
    Ping = 9,
    /// Answers a Ping, or comes unasked.
    Pong = 10,
}

/// A frame without its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHead {
    /// The last frame of its message.
    pub fin: bool,
    /// RSV1, RSV2 and RSV3 as a number of three bits, RSV1 the highest.
    pub rsv: u8,
    /// What it is.
    pub opcode: Opcode,
    /// The key, if the payload is masked.
    pub mask: Option<[u8; 4]>,
    /// Bytes of payload behind the head: below 2^63.
    pub payload_bytes: u64,
}

/// Up to 14 bytes of a frame: the longest head, or a short control frame of our own as a whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FrameBytes {
    bytes: [u8; Self::CAPACITY],
    length: u8,
}

impl Opcode {
    /// Says whether it is a control frame: one that may stand between the frames of a message (section 5.5).
    pub const fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }

    const fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0 => Some(Self::Continuation),
            1 => Some(Self::Text),
            2 => Some(Self::Binary),
            8 => Some(Self::Close),
            9 => Some(Self::Ping),
            10 => Some(Self::Pong),
            _ => None,
        }
    }
}

impl FrameHead {
    /// Decodes the head that `received` starts with, and says how many bytes it has; `None` while it is not whole.
    ///
    /// An error is given as soon as the bytes show it.
    pub fn decode(received: &[u8], sender: Sender) -> Result<Option<(Self, usize)>, FrameError> {
        let Some(first) = received.first() else {
            return Ok(None);
        };
        let opcode = Opcode::from_bits(first & 0x0f).ok_or(FrameError::ReservedOpcode)?;
        let fin = first & FIN != 0;
        if opcode.is_control() && !fin {
            return Err(FrameError::ControlFragmented);
        }
        let Some(second) = received.get(1) else {
            return Ok(None);
        };
        let masked = second & MASK != 0;
        match sender {
            Sender::Client if !masked => return Err(FrameError::MaskMissing),
            Sender::Server if masked => return Err(FrameError::MaskUnexpected),
            Sender::Client | Sender::Server => {}
        }
        let length = second & !MASK;
        if opcode.is_control() && length > CONTROL_BYTES_MAX {
            return Err(FrameError::ControlTooLong);
        }
        if opcode == Opcode::Close && length == 1 {
            return Err(FrameError::CloseLength);
        }
        let Some((payload_bytes, mut head_bytes)) = decode_length(length, received)? else {
            return Ok(None);
        };
        let mut mask = None;
        if masked {
            mask = part(received, head_bytes);
            if mask.is_none() {
                return Ok(None);
            }
            head_bytes += 4;
        }
        let head = Self {
            fin,
            rsv: first >> 4 & 0b111,
            opcode,
            mask,
            payload_bytes,
        };
        Ok(Some((head, head_bytes)))
    }

    /// The bytes of the head. There is one way to write it, so this is what [`Self::decode`] was given.
    pub fn encode(&self) -> FrameBytes {
        debug_assert!(self.payload_bytes >> 63 == 0, "decoded, or written by us");
        let first = u8::from(self.fin) << 7 | (self.rsv & 0b111) << 4 | self.opcode as u8;
        let masked = u8::from(self.mask.is_some()) << 7;
        let mut head = FrameBytes::default();
        if self.payload_bytes <= u64::from(CONTROL_BYTES_MAX) {
            head.extend(&[first, masked | self.payload_bytes as u8]);
        } else if let Ok(length) = u16::try_from(self.payload_bytes) {
            head.extend(&[first, masked | LENGTH_IS_U16]);
            head.extend(&length.to_be_bytes());
        } else {
            head.extend(&[first, masked | LENGTH_IS_U64]);
            head.extend(&self.payload_bytes.to_be_bytes());
        }
        if let Some(key) = self.mask {
            head.extend(&key);
        }
        head
    }
}

impl FrameBytes {
    /// How many bytes fit: FIN and opcode, mask bit and length, the length in eight bytes, the key.
    pub const CAPACITY: usize = 2 + 8 + 4;

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        self.bytes
            .get(..usize::from(self.length))
            .unwrap_or_default()
    }

    /// Appends as much of `more` as fits, and says how much that was.
    pub(super) fn extend(&mut self, more: &[u8]) -> usize {
        let room = self.bytes.get_mut(usize::from(self.length)..);
        let copied = room.unwrap_or_default().iter_mut().zip(more);
        let count = copied.map(|(to, from)| *to = *from).count();
        self.length += count as u8;
        count
    }

    /// Forgets all bytes behind the first `length`.
    pub(super) fn truncate(&mut self, length: usize) {
        self.length = self.as_slice().len().min(length) as u8;
    }
}

const FIN: u8 = 0x80;
const MASK: u8 = 0x80;
/// A control frame's length has no other form than the seven bits (section 5.5).
const CONTROL_BYTES_MAX: u8 = 125;
const LENGTH_IS_U16: u8 = 126;
const LENGTH_IS_U64: u8 = 127;

/// The `BYTES` bytes of `received` that start at `at`, once they are there.
pub(super) fn part<const BYTES: usize>(received: &[u8], at: usize) -> Option<[u8; BYTES]> {
    received.get(at..)?.first_chunk().copied()
}

/// The payload length, and where in the head it ends.
fn decode_length(length: u8, received: &[u8]) -> Result<Option<(u64, usize)>, FrameError> {
    let (payload_bytes, end, minimum) = match length {
        LENGTH_IS_U16 => match part(received, 2) {
            Some(bytes) => (u64::from(u16::from_be_bytes(bytes)), 4, 126),
            None => return Ok(None),
        },
        LENGTH_IS_U64 => match part(received, 2) {
            Some(bytes) => (u64::from_be_bytes(bytes), 10, 1 << 16),
            None => return Ok(None),
        },
        _ => (u64::from(length), 2, 0),
    };
    if payload_bytes < minimum {
        return Err(FrameError::LengthNotMinimal);
    }
    if payload_bytes >> 63 != 0 {
        return Err(FrameError::LengthTopBit);
    }
    Ok(Some((payload_bytes, end)))
}

#[cfg(test)]
mod tests {
    use super::FrameError::*;
    use super::Opcode::*;
    use super::Sender::{Client, Server};
    use super::*;
    use crate::proto::cut;

    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

    fn decode(received: &[u8], sender: Sender) -> Option<Result<(FrameHead, usize), FrameError>> {
        cut::everywhere(
            received,
            || (),
            |(), received| FrameHead::decode(received, sender).transpose(),
        )
    }

    /// A server's head of a whole message.
    fn head(opcode: Opcode, payload_bytes: u64) -> FrameHead {
        FrameHead {
            fin: true,
            rsv: 0,
            opcode,
            mask: None,
            payload_bytes,
        }
    }

    #[test]
    fn the_examples_of_the_rfc_are_read() {
        let masked = FrameHead {
            mask: Some(KEY),
            ..head(Text, 5)
        };
        let first = FrameHead {
            fin: false,
            ..head(Text, 3)
        };
        for (bytes, sender, expected) in [
            (b"\x81\x05Hello".as_slice(), Server, head(Text, 5)),
            (
                b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58",
                Client,
                masked,
            ),
            (b"\x01\x03Hel", Server, first),
            (b"\x80\x02lo", Server, head(Continuation, 2)),
            (b"\x89\x05Hello", Server, head(Ping, 5)),
            (
                b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58",
                Client,
                FrameHead {
                    opcode: Pong,
                    ..masked
                },
            ),
            (b"\x82\x7e\x01\x00", Server, head(Binary, 256)),
            (
                b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00",
                Server,
                head(Binary, 65_536),
            ),
        ] {
            let (read, head_bytes) = decode(bytes, sender).unwrap().unwrap();
            assert_eq!(read, expected);
            assert_eq!(read.encode().as_slice(), &bytes[..head_bytes]);
        }
        let mut payload = *b"\x7f\x9f\x4d\x51\x58";
        crate::proto::ws::mask(KEY, 0, &mut payload);
        assert_eq!(&payload, b"Hello");
    }

    #[test]
    fn every_pair_of_first_bytes_is_accepted_or_refused_by_the_rules() {
        for sender in [Client, Server] {
            for first in 0..=u8::MAX {
                for second in 0..=u8::MAX {
                    let mut received = vec![first, second];
                    // A length that is minimal in both long forms.
                    received.extend(match second & 127 {
                        126 => vec![0x12, 0x34],
                        127 => vec![0, 0, 0, 1, 2, 3, 4, 5],
                        _ => vec![],
                    });
                    received.extend(if second > 127 { KEY.as_slice() } else { &[] });
                    let (opcode, length) = (first % 16, second % 128);
                    let expected = match opcode {
                        3..=7 | 11.. => Some(ReservedOpcode),
                        8.. if first < 128 => Some(ControlFragmented),
                        _ if sender == Client && second < 128 => Some(MaskMissing),
                        _ if sender == Server && second >= 128 => Some(MaskUnexpected),
                        8.. if length > 125 => Some(ControlTooLong),
                        8 if length == 1 => Some(CloseLength),
                        _ => None,
                    };
                    let answer = FrameHead::decode(&received, sender);
                    match (answer, expected) {
                        (Ok(Some((head, head_bytes))), None) => {
                            assert_eq!(head_bytes, received.len());
                            assert_eq!(head.encode().as_slice(), received);
                            assert_eq!(head.rsv, (first / 16) % 8);
                        }
                        (answer, expected) => assert_eq!(answer.err(), expected, "{received:x?}"),
                    }
                }
            }
        }
    }

    #[test]
    fn a_length_has_one_form() {
        for (payload_bytes, head_bytes) in [
            (0, 2),
            (1, 2),
            (125, 2),
            (126, 4),
            (127, 4),
            (65_535, 4),
            (65_536, 10),
            ((1 << 63) - 1, 10),
        ] {
            let written = head(Binary, payload_bytes);
            let bytes = written.encode();
            let read = decode(bytes.as_slice(), Server);
            assert_eq!(read, Some(Ok((written, head_bytes))), "{payload_bytes}");
            let masked = FrameHead {
                mask: Some(KEY),
                ..written
            };
            let bytes = masked.encode();
            let read = decode(bytes.as_slice(), Client);
            assert_eq!(read, Some(Ok((masked, head_bytes + 4))), "{payload_bytes}");
        }
        for length in [0_u16, 1, 125] {
            let bytes = [&[0x82, 126], length.to_be_bytes().as_slice()].concat();
            assert_eq!(
                decode(&bytes, Server),
                Some(Err(LengthNotMinimal)),
                "{length}"
            );
        }
        for (length, error) in [
            (0, LengthNotMinimal),
            (125, LengthNotMinimal),
            (65_535, LengthNotMinimal),
            (1 << 63, LengthTopBit),
            (u64::MAX, LengthTopBit),
        ] {
            let bytes = [&[0x82, 127], length.to_be_bytes().as_slice()].concat();
            assert_eq!(decode(&bytes, Server), Some(Err(error)), "{length}");
        }
    }

    #[test]
    fn an_error_is_given_as_soon_as_the_bytes_show_it() {
        let error = |received: &[u8], sender| FrameHead::decode(received, sender).unwrap_err();
        assert_eq!(error(b"\x83", Server), ReservedOpcode);
        assert_eq!(error(b"\x09", Server), ControlFragmented);
        assert_eq!(error(b"\x81\x05", Client), MaskMissing);
        assert_eq!(error(b"\x81\x85", Server), MaskUnexpected);
        assert_eq!(error(b"\x89\xfe", Client), ControlTooLong);
        assert_eq!(error(b"\x88\x81", Client), CloseLength);
        assert_eq!(error(b"\x81\xfe\0\x7d", Client), LengthNotMinimal);
        for received in [
            b"".as_slice(),
            b"\x81",
            b"\x81\xfe\0",
            b"\x81\xff\0\0\0\0\0\x01\0",
        ] {
            assert_eq!(
                FrameHead::decode(received, Client),
                Ok(None),
                "{received:x?}"
            );
        }
    }

    #[test]
    fn frame_bytes_take_what_fits() {
        let mut bytes = FrameBytes::default();
        assert_eq!(bytes.extend(b"0123456789"), 10);
        assert_eq!(bytes.extend(b"abcdef"), 4);
        assert_eq!(bytes.extend(b"x"), 0);
        assert_eq!(bytes.as_slice(), b"0123456789abcd");
        bytes.truncate(15);
        assert_eq!(bytes.as_slice(), b"0123456789abcd");
        bytes.truncate(2);
        assert_eq!(bytes.as_slice(), b"01");
    }
}
