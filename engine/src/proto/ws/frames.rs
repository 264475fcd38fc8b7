//! The frames that one end sends, in their order: where they start and end, and the rules between them (RFC 6455
//! sections 5.4 and 5.5).
//!
//! Keeps no bytes: what is not whole yet is given again with more behind it. Does not look at payload, except at the
//! code of a Close and at short Pongs. [`super::Inspect`] calls.

use super::frame::part;
use super::inspect::PING_PAYLOAD_BYTES;
use super::{CloseCode, FrameError, FrameHead, Opcode, Sender, mask};
use crate::limits::{WEBSOCKET_FRAME_BYTES_MAX, WEBSOCKET_MESSAGE_BYTES_MAX};

/// The state of one direction.
#[derive(Debug, Clone)]
pub struct Frames {
    sender: Sender,
    limits: FrameLimits,
    /// Payload still to come of the frame that has begun.
    payload_left: u64,
    /// Payload so far of the message that is open, its current frame included.
    open_message_bytes: Option<u64>,
    /// A Close has begun.
    closing: bool,
}

/// How long frames and messages may be, in bytes of payload on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameLimits {
    /// One frame; control frames have a bound of their own.
    pub frame_bytes_max: u64,
    /// All frames of a message.
    pub message_bytes_max: u64,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameStep {
    /// A frame starts with these bytes, and more are needed to judge it. Nothing is consumed.
    NeedMore,
    /// A frame begins; its head is consumed.
    Head(FrameStart),
    /// That many bytes are payload of the frame that has begun.
    Payload(usize),
    /// That many bytes come after a Close, where nothing may come; a receiver discards them (section 1.4).
    AfterClose(usize),
}

/// A frame that begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameStart {
    /// Its head.
    pub head: FrameHead,
    /// Bytes of the head.
    pub head_bytes: usize,
    /// What is known of its payload.
    pub content: Content,
}

/// What is looked at of a payload. Those bytes are there when the frame is said to begin, and not consumed with its
/// head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Not looked at.
    Opaque,
    /// A Close, with the code if it has one.
    Close(Option<CloseCode>),
    /// A Pong with as much payload as a ping of this proxy has, unmasked.
    Pong([u8; PING_PAYLOAD_BYTES]),
}

impl Frames {
    /// A direction whose first frame has not begun.
    pub fn new(sender: Sender, limits: FrameLimits) -> Self {
        Self {
            sender,
            limits,
            payload_left: 0,
            open_message_bytes: None,
            closing: false,
        }
    }

    /// Says what `input` starts with. An error and [`FrameStep::NeedMore`] leave the state as it was.
    pub fn step(&mut self, input: &[u8]) -> Result<FrameStep, FrameError> {
        if self.payload_left > 0 && !input.is_empty() {
            let bytes = input.len().min(clamped(self.payload_left));
            self.payload_left -= bytes as u64;
            return Ok(FrameStep::Payload(bytes));
        }
        if self.is_closed() {
            return Ok(FrameStep::AfterClose(input.len()));
        }
        let start = self.begin(input)?;
        Ok(start.map_or(FrameStep::NeedMore, FrameStep::Head))
    }

    /// Who sends.
    pub fn sender(&self) -> Sender {
        self.sender
    }

    /// Says whether no frame has begun, or the last one has ended.
    pub fn at_boundary(&self) -> bool {
        self.payload_left == 0
    }

    /// Says whether a Close has ended this direction.
    pub fn is_closed(&self) -> bool {
        self.closing && self.payload_left == 0
    }

    /// Ends the direction as a Close of the sender would.
    pub(super) fn close(&mut self) {
        self.closing = true;
    }

    /// Consumes the payload that was judged together with the head.
    pub(super) fn pass_content(&mut self, start: &FrameStart) {
        let content_bytes = start.judged_bytes().saturating_sub(start.head_bytes);
        self.payload_left = self.payload_left.saturating_sub(content_bytes as u64);
    }

    /// The frame that `received` starts with, at a boundary.
    pub(super) fn begin(&mut self, received: &[u8]) -> Result<Option<FrameStart>, FrameError> {
        let Some((head, head_bytes)) = FrameHead::decode(received, self.sender)? else {
            return Ok(None);
        };
        let open_message_bytes = self.admit(&head)?;
        let Some(content) = content(&head, received, head_bytes)? else {
            return Ok(None);
        };
        self.open_message_bytes = open_message_bytes;
        self.payload_left = head.payload_bytes;
        self.closing = head.opcode == Opcode::Close;
        Ok(Some(FrameStart {
            head,
            head_bytes,
            content,
        }))
    }

    /// The bytes of the message that is open behind this head, if it may stand here.
    fn admit(&self, head: &FrameHead) -> Result<Option<u64>, FrameError> {
        let before = match (head.opcode, self.open_message_bytes) {
            (Opcode::Close | Opcode::Ping | Opcode::Pong, open) => return Ok(open),
            (Opcode::Continuation, Some(bytes)) => bytes,
            (Opcode::Continuation, None) => return Err(FrameError::ContinuationUnexpected),
            (Opcode::Text | Opcode::Binary, None) => 0,
            (Opcode::Text | Opcode::Binary, Some(_)) => return Err(FrameError::MessageInterrupted),
        };
        if head.payload_bytes > self.limits.frame_bytes_max {
            return Err(FrameError::FrameTooLong);
        }
        let message_bytes = before.saturating_add(head.payload_bytes);
        if message_bytes > self.limits.message_bytes_max {
            return Err(FrameError::MessageTooLong);
        }
        Ok((!head.fin).then_some(message_bytes))
    }
}

impl Default for FrameLimits {
    fn default() -> Self {
        Self {
            frame_bytes_max: WEBSOCKET_FRAME_BYTES_MAX,
            message_bytes_max: WEBSOCKET_MESSAGE_BYTES_MAX,
        }
    }
}

impl FrameStart {
    /// Bytes of the head, and of the payload that was looked at.
    pub(super) fn judged_bytes(&self) -> usize {
        let content_bytes = match self.content {
            Content::Opaque | Content::Close(None) => 0,
            Content::Close(Some(_)) => 2,
            Content::Pong(payload) => payload.len(),
        };
        self.head_bytes + content_bytes
    }
}

/// `bytes`, or as many as memory can have.
fn clamped(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// What must be known of the payload, once it is there.
fn content(
    head: &FrameHead,
    received: &[u8],
    head_bytes: usize,
) -> Result<Option<Content>, FrameError> {
    match (head.opcode, clamped(head.payload_bytes)) {
        (Opcode::Close, 0) => Ok(Some(Content::Close(None))),
        (Opcode::Close, _) => {
            let Some(code) = unmasked(head, received, head_bytes) else {
                return Ok(None);
            };
            let code = CloseCode::new(u16::from_be_bytes(code));
            let code = code.ok_or(FrameError::CloseCodeInvalid)?;
            Ok(Some(Content::Close(Some(code))))
        }
        (Opcode::Pong, PING_PAYLOAD_BYTES) => {
            Ok(unmasked(head, received, head_bytes).map(Content::Pong))
        }
        _ => Ok(Some(Content::Opaque)),
    }
}

/// The start of a payload as its sender meant it.
fn unmasked<const BYTES: usize>(
    head: &FrameHead,
    received: &[u8],
    head_bytes: usize,
) -> Option<[u8; BYTES]> {
    let mut bytes = part(received, head_bytes)?;
    if let Some(key) = head.mask {
        mask(key, 0, &mut bytes);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::FrameError::*;
    use super::*;
    use crate::proto::ws::Sender::{Client, Server};

    const LIMITS: FrameLimits = FrameLimits {
        frame_bytes_max: 200,
        message_bytes_max: 300,
    };

    /// A server's frame: its first byte, and that many zeros.
    fn frame(first: u8, payload_bytes: usize) -> Vec<u8> {
        let length = match payload_bytes {
            0..=125 => vec![payload_bytes as u8],
            _ => [&[126], (payload_bytes as u16).to_be_bytes().as_slice()].concat(),
        };
        [&[first], length.as_slice(), &vec![0; payload_bytes]].concat()
    }

    /// The error of a server's stream, if it has one; asks twice, and gives each frame whole.
    fn judge(stream: &[Vec<u8>]) -> Result<Frames, FrameError> {
        let mut frames = Frames::new(Server, LIMITS);
        for frame in stream {
            let mut rest = frame.as_slice();
            while !rest.is_empty() {
                let before = frames.clone();
                let step = frames.step(rest);
                let consumed = match step {
                    Ok(FrameStep::Head(start)) => start.head_bytes,
                    Ok(FrameStep::Payload(bytes)) => bytes,
                    Ok(other) => panic!("{other:?} for a whole frame"),
                    Err(error) => {
                        assert_eq!(frames.step(rest), Err(error), "asked twice");
                        assert_eq!(format!("{frames:?}"), format!("{before:?}"));
                        return Err(error);
                    }
                };
                rest = &rest[consumed..];
            }
            assert!(frames.at_boundary());
        }
        Ok(frames)
    }

    #[test]
    fn fragments_follow_each_other_with_control_frames_between() {
        for stream in [
            vec![frame(0x81, 3), frame(0x82, 0), frame(0x81, 200)],
            vec![
                frame(0x01, 3),
                frame(0x00, 0),
                frame(0x80, 2),
                frame(0x82, 1),
            ],
            vec![
                frame(0x02, 3),
                frame(0x89, 125),
                frame(0x8a, 8),
                frame(0x80, 2),
            ],
            // Reserved bits, on fragments and on control frames.
            vec![
                frame(0x71, 3),
                frame(0x30, 2),
                frame(0xf9, 0),
                frame(0xf0, 0),
                frame(0xc1, 1),
            ],
        ] {
            let frames = judge(&stream).unwrap();
            assert_eq!(frames.open_message_bytes, None, "{stream:x?}");
        }
        for (stream, error) in [
            (vec![frame(0x80, 1)], ContinuationUnexpected),
            (vec![frame(0x00, 1)], ContinuationUnexpected),
            (vec![frame(0x81, 1), frame(0x80, 1)], ContinuationUnexpected),
            (
                vec![frame(0x01, 1), frame(0x80, 1), frame(0x80, 0)],
                ContinuationUnexpected,
            ),
            (vec![frame(0x01, 1), frame(0x81, 1)], MessageInterrupted),
            (
                vec![frame(0x01, 1), frame(0x00, 0), frame(0x02, 1)],
                MessageInterrupted,
            ),
            (
                vec![frame(0x01, 1), frame(0x89, 0), frame(0x82, 1)],
                MessageInterrupted,
            ),
        ] {
            assert_eq!(judge(&stream).unwrap_err(), error, "{stream:x?}");
        }
    }

    #[test]
    fn limits_are_exact() {
        let fits = [
            frame(0x01, 200),
            frame(0x89, 125),
            frame(0x80, 100),
            frame(0x82, 200),
        ];
        assert!(judge(&fits).is_ok());
        assert_eq!(judge(&[frame(0x81, 201)]).unwrap_err(), FrameTooLong);
        let parts = [frame(0x01, 200), frame(0x00, 100), frame(0x80, 1)];
        assert_eq!(judge(&parts).unwrap_err(), MessageTooLong);
        let two = [frame(0x81, 200), frame(0x81, 200)];
        assert!(judge(&two).is_ok(), "a message does not count for the next");
        for error in [FrameTooLong, MessageTooLong] {
            assert_eq!(error.close_code(), CloseCode::MESSAGE_TOO_BIG);
        }
        assert_eq!(MaskMissing.close_code(), CloseCode::PROTOCOL_ERROR);
        let mut frames = Frames::new(
            Server,
            FrameLimits {
                frame_bytes_max: u64::MAX,
                message_bytes_max: u64::MAX,
            },
        );
        let huge = [&[0x02, 127, 127], [0xff; 7].as_slice()].concat();
        assert!(matches!(frames.step(&huge), Ok(FrameStep::Head(_))));
        frames.payload_left = 0;
        let more = [&[0x00, 127, 127], [0xff; 7].as_slice()].concat();
        for _ in 0..2 {
            assert!(matches!(frames.step(&more), Ok(FrameStep::Head(_))));
            frames.payload_left = 0;
        }
        assert_eq!(frames.open_message_bytes, Some(u64::MAX), "no overflow");
    }

    #[test]
    fn a_close_is_judged_by_its_code() {
        // The code of a client's frame is masked.
        let close = |code: u16| {
            let [high, low] = code.to_be_bytes();
            [0x88, 0x82, 1, 2, 3, 4, high ^ 1, low ^ 2]
        };
        let begin = |received: &[u8]| Frames::new(Client, LIMITS).step(received);
        for code in [1000, 1001, 1003, 1007, 1011, 1014, 3000, 4999] {
            let Ok(FrameStep::Head(start)) = begin(&close(code)) else {
                panic!("{code}");
            };
            assert_eq!(
                start.content,
                Content::Close(CloseCode::new(code)),
                "{code}"
            );
            assert_eq!((start.head_bytes, start.judged_bytes()), (6, 8));
        }
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535] {
            assert_eq!(begin(&close(code)), Err(CloseCodeInvalid), "{code}");
        }
        for length in 0..8 {
            assert_eq!(
                begin(&close(1000)[..length]),
                Ok(FrameStep::NeedMore),
                "{length}"
            );
        }
        let bare = begin(b"\x88\x80\x01\x02\x03\x04");
        let Ok(FrameStep::Head(start)) = bare else {
            panic!("{bare:?}");
        };
        assert_eq!(
            (start.content, start.judged_bytes()),
            (Content::Close(None), 6)
        );
    }

    #[test]
    fn nothing_counts_behind_a_close() {
        let mut frames = Frames::new(Server, LIMITS);
        let stream = b"\x88\x04\x03\xe8ok\x83\xff";
        assert!(matches!(frames.step(stream), Ok(FrameStep::Head(_))));
        assert!(!frames.is_closed());
        assert_eq!(frames.step(&stream[2..]), Ok(FrameStep::Payload(4)));
        assert!(frames.is_closed());
        assert_eq!(frames.step(&stream[6..]), Ok(FrameStep::AfterClose(2)));
        assert_eq!(frames.step(b"\x81\0"), Ok(FrameStep::AfterClose(2)));
    }

    #[test]
    fn short_pongs_are_read_and_other_payload_is_not() {
        let mut pong = b"\x8a\x88\x01\x02\x03\x04\0\0\0\0\0\0\0\0".to_vec();
        let step = Frames::new(Client, LIMITS).step(&pong);
        let Ok(FrameStep::Head(start)) = step else {
            panic!("{step:?}");
        };
        assert_eq!(start.content, Content::Pong([1, 2, 3, 4, 1, 2, 3, 4]));
        assert_eq!((start.head_bytes, start.judged_bytes()), (6, 14));
        pong.pop();
        assert_eq!(
            Frames::new(Client, LIMITS).step(&pong),
            Ok(FrameStep::NeedMore)
        );
        for (first, payload_bytes) in [(0x8a, 7), (0x8a, 9), (0x89, 8), (0x82, 8)] {
            let step = Frames::new(Server, LIMITS).step(&frame(first, payload_bytes)[..2]);
            let Ok(FrameStep::Head(start)) = step else {
                panic!("{step:?}");
            };
            assert_eq!((start.content, start.judged_bytes()), (Content::Opaque, 2));
        }
    }
}
