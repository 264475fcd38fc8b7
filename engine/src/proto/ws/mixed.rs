//! Frames made by chance, against a reference that shares nothing with the grammar: it knows the whole stream and has
//! all the time in the world. However a stream is cut, the same bytes must pass.

use super::{CloseCode, FrameError, FrameLimits, Inspect, Passage, Sender};

const LIMITS: FrameLimits = FrameLimits {
    frame_bytes_max: 70_000,
    message_bytes_max: 70_050,
};
const OWN_PING: [u8; 8] = *b"ringway!";

/// What a stream comes to.
#[derive(Debug, PartialEq, Eq, Default)]
struct Story {
    passed: Vec<u8>,
    messages: u64,
    close_code: Option<u16>,
    closed: bool,
    pong_taken: bool,
    at_boundary: bool,
    error: Option<FrameError>,
}

/// Reads a stream frame by frame, as the text of RFC 6455 section 5 says it.
struct Reference<'a> {
    stream: &'a [u8],
    sender: Sender,
    open_bytes: Option<usize>,
    story: Story,
}

impl<'a> Reference<'a> {
    fn read(stream: &'a [u8], sender: Sender) -> Story {
        let mut reference = Self {
            stream,
            sender,
            open_bytes: None,
            story: Story {
                at_boundary: true,
                ..Story::default()
            },
        };
        while !reference.story.closed && reference.frame().is_some() {}
        reference.story
    }

    /// Reads one frame; `None` when the stream ends in it or must not go on.
    fn frame(&mut self) -> Option<()> {
        let first = *self.stream.first()?;
        let opcode = first & 15;
        let control = opcode >= 8;
        if ![0, 1, 2, 8, 9, 10].contains(&opcode) {
            return self.fail(FrameError::ReservedOpcode);
        }
        if control && first < 128 {
            return self.fail(FrameError::ControlFragmented);
        }
        let second = *self.stream.get(1)?;
        match (self.sender, second >= 128) {
            (Sender::Client, false) => return self.fail(FrameError::MaskMissing),
            (Sender::Server, true) => return self.fail(FrameError::MaskUnexpected),
            _ => {}
        }
        let short = second % 128;
        if control && short >= 126 {
            return self.fail(FrameError::ControlTooLong);
        }
        if opcode == 8 && short == 1 {
            return self.fail(FrameError::CloseLength);
        }
        let width = [0, 2, 8][usize::from(short.saturating_sub(125))];
        let mut length = u128::from(short);
        if width > 0 {
            let digits = self.stream.get(2..2 + width)?;
            length = digits
                .iter()
                .fold(0, |sum, byte| sum * 256 + u128::from(*byte));
            if length < [126, 65_536][width / 8] {
                return self.fail(FrameError::LengthNotMinimal);
            }
            if length >= 1 << 63 {
                return self.fail(FrameError::LengthTopBit);
            }
        }
        let mut head_bytes = 2 + width;
        let mut key = [0; 4];
        if second >= 128 {
            key.copy_from_slice(self.stream.get(head_bytes..head_bytes + 4)?);
            head_bytes += 4;
        }
        self.judge(first, length, head_bytes, key)
    }

    fn judge(&mut self, first: u8, length: u128, head_bytes: usize, key: [u8; 4]) -> Option<()> {
        let (fin, opcode) = (first >= 128, first & 15);
        match (opcode, self.open_bytes) {
            (0, None) => return self.fail(FrameError::ContinuationUnexpected),
            (1 | 2, Some(_)) => return self.fail(FrameError::MessageInterrupted),
            _ => {}
        }
        if opcode < 8 && length > 70_000 {
            return self.fail(FrameError::FrameTooLong);
        }
        let length = length as usize;
        let message_bytes = self.open_bytes.unwrap_or(0) + length;
        if opcode < 8 && message_bytes > 70_050 {
            return self.fail(FrameError::MessageTooLong);
        }
        let behind = &self.stream[head_bytes..];
        let whole = behind.len() >= length;
        let payload: Vec<u8> = behind.iter().take(length).copied().collect();
        let plain: Vec<u8> = payload
            .iter()
            .zip(key.iter().cycle())
            .map(|(a, b)| a ^ b)
            .collect();
        if opcode == 8 && length >= 2 {
            let [high, low] = *plain.first_chunk()?;
            let code = u16::from(high) * 256 + u16::from(low);
            if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
                return self.fail(FrameError::CloseCodeInvalid);
            }
            self.story.close_code = Some(code);
        }
        if opcode == 10 && length == 8 && !whole {
            return None;
        }
        if opcode == 10 && plain == OWN_PING && !self.story.pong_taken {
            self.story.pong_taken = true;
        } else {
            self.story
                .passed
                .extend_from_slice(&self.stream[..head_bytes]);
            self.story.passed.extend_from_slice(&payload);
        }
        if opcode < 8 {
            self.open_bytes = (!fin).then_some(message_bytes);
        }
        if !whole {
            self.story.at_boundary = false;
            return None;
        }
        self.story.messages += u64::from(fin && opcode < 8);
        self.story.closed = opcode == 8;
        self.stream = &behind[length..];
        Some(())
    }

    fn fail(&mut self, error: FrameError) -> Option<()> {
        self.story.error = Some(error);
        None
    }
}

/// What [`Inspect`] makes of a stream that comes in pieces of the lengths that `piece` says.
fn inspected(stream: &[u8], sender: Sender, mut piece: impl FnMut() -> usize) -> Story {
    let mut inspect = Inspect::new(sender, LIMITS);
    inspect.expect_pong(OWN_PING);
    let mut passed = Vec::new();
    let mut error = None;
    let mut rest = stream;
    while !rest.is_empty() && error.is_none() {
        let (mut input, behind) = rest.split_at(piece().clamp(1, rest.len()));
        rest = behind;
        while !input.is_empty() {
            let consumed = match inspect.step(input) {
                Ok(Passage::Pass(bytes)) => {
                    passed.extend_from_slice(&input[..bytes]);
                    bytes
                }
                Ok(Passage::Drop(bytes)) => bytes,
                Ok(Passage::Hold(bytes)) => {
                    assert_eq!(bytes, input.len(), "all is held");
                    bytes
                }
                Ok(Passage::Held { bytes, taken }) => {
                    assert!(bytes.as_slice().ends_with(&input[..taken]));
                    passed.extend_from_slice(bytes.as_slice());
                    taken
                }
                Err(failure) => {
                    assert_eq!(inspect.step(input), Err(failure), "asked twice");
                    assert!(inspect.at_frame_boundary());
                    error = Some(failure);
                    break;
                }
            };
            assert!(consumed > 0, "it goes on");
            input = &input[consumed..];
        }
    }
    Story {
        passed,
        messages: inspect.messages(),
        close_code: inspect.close_code().map(CloseCode::number),
        closed: inspect.is_closed(),
        pong_taken: !inspect.awaits_pong(),
        at_boundary: inspect.at_frame_boundary(),
        error,
    }
}

struct Random(u64);

impl Random {
    /// A number below `end`.
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % end
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    /// Appends a frame that mostly keeps the rules, given whether a message is open.
    fn push_frame(&mut self, stream: &mut Vec<u8>, sender: Sender, open: &mut bool) {
        let opcode = match (self.below(40), *open) {
            (0, _) => self.below(16),
            (1, _) => 8,
            (2..8, _) => 9,
            (8..16, _) => 10,
            (16..39, true) | (39, false) => 0,
            (_, _) => 1 + self.below(2),
        };
        let control = opcode >= 8;
        let fin = control && !self.one_in(100) || self.one_in(2);
        *open = if control { *open } else { !fin };
        let mut payload = match (opcode, self.below(30)) {
            (10, 0..15) => OWN_PING.to_vec(),
            (8, 0..20) => ([0x03, 0xe8 + self.below(8) as u8]).to_vec(),
            (8, 20..25) => vec![],
            (_, 0) if !control => {
                vec![0; [125, 126, 65_535, 65_536, 70_000, 70_001][self.below(6)]]
            }
            (_, 1) => vec![7; 120 + self.below(10)],
            _ => vec![9; self.below(20)],
        };
        let masked = (sender == Sender::Client) != self.one_in(300);
        let reserved = if self.one_in(5) { self.below(8) } else { 0 };
        stream.push(u8::from(fin) << 7 | (reserved << 4 | opcode) as u8);
        let mark = u8::from(masked) << 7;
        match payload.len() {
            length @ ..126 if !self.one_in(300) => stream.push(mark + length as u8),
            length @ ..65_536 if !self.one_in(300) => {
                stream.push(mark + 126);
                stream.extend((length as u16).to_be_bytes());
            }
            length => {
                stream.push(mark + 127);
                let top = u64::from(self.one_in(20)) << 63;
                stream.extend((length as u64 | top).to_be_bytes());
            }
        }
        if masked {
            let key: [u8; 4] = std::array::from_fn(|_| self.below(256) as u8);
            stream.extend(key);
            payload
                .iter_mut()
                .enumerate()
                .for_each(|(at, byte)| *byte ^= key[at % 4]);
        }
        stream.extend(payload);
    }
}

#[test]
fn frames_by_chance_pass_as_the_reference_says_however_they_are_cut() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut seen: Vec<Option<FrameError>> = Vec::new();
    let (mut closed, mut pongs, mut messages) = (0, 0, 0);
    for round in 0..4000 {
        let sender = [Sender::Client, Sender::Server][round % 2];
        let mut stream = Vec::new();
        let mut open = false;
        for _ in 0..1 + random.below(12) {
            random.push_frame(&mut stream, sender, &mut open);
        }
        if random.one_in(3) {
            stream.truncate(random.below(stream.len() + 1));
        }
        if random.one_in(6) && !stream.is_empty() {
            let at = random.below(stream.len());
            stream[at] = random.below(256) as u8;
        }
        let expected = Reference::read(&stream, sender);
        for pieces in [usize::MAX, 1, 2, 20, 300] {
            if pieces == 1 && stream.len() > 2000 {
                continue;
            }
            let piece = || 1 + random.below(pieces.min(1 << 20));
            let story = match pieces {
                usize::MAX => inspected(&stream, sender, || usize::MAX),
                _ => inspected(&stream, sender, piece),
            };
            assert!(
                story == expected,
                "round {round}, pieces up to {pieces}: {:?} {:?}",
                Story {
                    passed: vec![],
                    ..story
                },
                Story {
                    passed: vec![],
                    ..expected
                }
            );
        }
        closed += u64::from(expected.closed);
        pongs += u64::from(expected.pong_taken);
        messages += expected.messages;
        if !seen.contains(&expected.error) {
            seen.push(expected.error);
        }
    }
    assert_eq!(seen.len(), 14, "every error, and none: {seen:?}");
    assert!(
        closed > 200 && pongs > 1000 && messages > 4000,
        "{closed} {pongs} {messages}"
    );
}

#[test]
fn one_changed_byte_is_judged_as_the_reference_says() {
    let stream = b"\x01\x03Hel\x8a\x08ringway!\x80\x02lo\x82\x7e\x00\x7e";
    let stream = [
        stream.as_slice(),
        &[0; 126],
        b"\x89\0\x88\x02\x03\xe8\x81\x01x",
    ]
    .concat();
    for at in 0..stream.len() {
        for byte in 0..=u8::MAX {
            let mut changed = stream.clone();
            changed[at] = byte;
            let expected = Reference::read(&changed, Sender::Server);
            assert_eq!(inspected(&changed, Sender::Server, || usize::MAX), expected);
            assert_eq!(inspected(&changed, Sender::Server, || 1), expected);
        }
    }
}

#[test]
fn a_stream_cut_in_three_anywhere_passes_alike() {
    let stream =
        b"\x01\x83kkkkHel\x8a\x88\0\0\0\0ringway!\x8a\x88\0\0\0\0ringway!\x80\xfe\x00\x7ekkkk";
    let stream = [
        stream.as_slice(),
        &[5; 126],
        b"\x88\x84\0\0\0\0\x03\xe9by\x81",
    ]
    .concat();
    let expected = Reference::read(&stream, Sender::Client);
    assert!(expected.closed && expected.pong_taken && expected.messages == 1);
    for first in 1..stream.len() {
        for second in 1..stream.len() {
            let mut lengths = [first, second].into_iter();
            let story = inspected(&stream, Sender::Client, || {
                lengths.next().unwrap_or(usize::MAX)
            });
            assert_eq!(story, expected, "cut at {first} and {second} later");
        }
    }
}
