//! One direction of a WebSocket whose frames are looked at while its bytes pass untouched.
//!
//! A frame's head leaves only when it is whole and within the rules, so what has left always ends at a frame's boundary
//! or inside of payload, and an error is always at a boundary: there the proxy may put a frame of its own. What is kept
//! back meanwhile are at most 13 bytes of the start of a frame; a stream that ends there ends before that frame.
//!
//! A ping of this proxy goes with one direction, and its pong comes with the other, which has been told by
//! [`Inspect::expect_pong`] and takes it out. Ping a quiet connection only: an end that has two pings to answer may
//! answer just the last (RFC 6455 section 5.5.3), and the other end would wait for its pong in vain.
//!
//! Knows no time, and not what the other direction does. `proxy::websocket` calls.

use super::{
    CloseCode, Content, FrameBytes, FrameError, FrameHead, FrameLimits, FrameStart, FrameStep,
    Frames, Opcode, Sender, mask,
};

/// The state of one direction.
#[derive(Debug, Clone)]
pub struct Inspect {
    frames: Frames,
    /// The start of a frame that could not be judged yet.
    held: FrameBytes,
    /// Bytes that the next input starts with and that were found to be a pong for this proxy.
    drop_bytes: usize,
    /// The frame that has begun is the last of its message.
    ends_message: bool,
    expected_pong: Option<[u8; PING_PAYLOAD_BYTES]>,
    messages: u64,
    close_code: Option<CloseCode>,
}

/// What to do with the start of the input. Every byte of it is told about once; go on with the rest until none is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passage {
    /// That many bytes pass.
    Pass(usize),
    /// That many bytes do not pass: a pong to this proxy, or bytes behind a Close.
    Drop(usize),
    /// That many bytes are kept here, until what they begin can be judged: all of the input.
    Hold(usize),
    /// Bytes that were kept here pass now, with the next `taken` of the input behind them.
    Held {
        /// What to send, the `taken` bytes included.
        bytes: FrameBytes,
        /// How many bytes of the input that consumes.
        taken: usize,
    },
}

/// Payload bytes of a ping of this proxy: what room a short head and a key leave in [`FrameBytes`], so that a pong can be
/// held while it is judged; and enough that no other end's ping has the same by chance.
pub const PING_PAYLOAD_BYTES: usize = FrameBytes::CAPACITY - 2 - 4;

impl Inspect {
    /// A direction behind the opening handshake.
    pub fn new(sender: Sender, limits: FrameLimits) -> Self {
        Self {
            frames: Frames::new(sender, limits),
            held: FrameBytes::default(),
            drop_bytes: 0,
            ends_message: false,
            expected_pong: None,
            messages: 0,
            close_code: None,
        }
    }

    /// Judges the start of `input`, as much of it as can be told in one [`Passage`].
    ///
    /// After an error nothing passes any more, and every call gives it again until [`Self::close`].
    pub fn step(&mut self, input: &[u8]) -> Result<Passage, FrameError> {
        if self.drop_bytes > 0 {
            let dropped = self.drop_bytes.min(input.len());
            self.drop_bytes -= dropped;
            return Ok(Passage::Drop(dropped));
        }
        if !self.held.as_slice().is_empty() {
            return self.step_held(input);
        }
        let mut passed = 0;
        loop {
            let rest = input.get(passed..).unwrap_or_default();
            match self.frames.step(rest) {
                Ok(FrameStep::Payload(bytes)) => passed += bytes,
                Ok(FrameStep::Head(start)) => {
                    if self.takes_pong(&start) {
                        let dropped = start.judged_bytes();
                        if passed == 0 {
                            return Ok(Passage::Drop(dropped));
                        }
                        self.drop_bytes = dropped;
                        return Ok(Passage::Pass(passed));
                    }
                    self.note(&start);
                    passed += start.head_bytes;
                }
                _ if passed > 0 => return Ok(Passage::Pass(passed)),
                Ok(FrameStep::NeedMore) => return Ok(Passage::Hold(self.held.extend(rest))),
                Ok(FrameStep::AfterClose(bytes)) => return Ok(Passage::Drop(bytes)),
                Err(error) => return Err(error),
            }
            self.count_message();
        }
    }

    /// Says whether what has passed ends at the end of a frame.
    pub fn at_frame_boundary(&self) -> bool {
        self.frames.at_boundary()
    }

    /// Says whether a Close has passed as a whole, of the sender or of this proxy.
    pub fn is_closed(&self) -> bool {
        self.frames.is_closed()
    }

    /// Messages whose last byte has passed.
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// The code of the sender's Close, if it has sent one with a code.
    pub fn close_code(&self) -> Option<CloseCode> {
        self.close_code
    }

    /// A ping of this proxy to be sent behind what has passed; `None` where none may stand: inside of a frame, and
    /// behind a Close.
    ///
    /// `key` is used towards a server only, and has to be unpredictable (section 5.3). The other direction must
    /// [expect the pong](Self::expect_pong).
    pub fn ping(&self, payload: [u8; PING_PAYLOAD_BYTES], key: [u8; 4]) -> Option<FrameBytes> {
        self.control_frame(Opcode::Ping, payload, key)
    }

    /// A Close of this proxy to be sent behind what has passed, as the last of this direction: whatever comes after it
    /// is dropped. `None` inside of a frame, and behind a Close. `key` as for [`Self::ping`].
    pub fn close(&mut self, code: CloseCode, key: [u8; 4]) -> Option<FrameBytes> {
        let frame = self.control_frame(Opcode::Close, code.number().to_be_bytes(), key)?;
        self.frames.close();
        self.held = FrameBytes::default();
        Some(frame)
    }

    /// Takes out the next pong with this payload. One is expected at a time; pongs to older pings pass, which does no
    /// harm: an end ignores a pong that it has not asked for (section 5.5.3).
    pub fn expect_pong(&mut self, payload: [u8; PING_PAYLOAD_BYTES]) {
        self.expected_pong = Some(payload);
    }

    /// Says whether the pong that is expected has not come yet.
    pub fn awaits_pong(&self) -> bool {
        self.expected_pong.is_some()
    }

    /// Judges the start of a frame that came in several pieces.
    fn step_held(&mut self, input: &[u8]) -> Result<Passage, FrameError> {
        let held_bytes = self.held.as_slice().len();
        let mut joined = self.held;
        let joined_bytes = joined.extend(input);
        let Some(start) = self.frames.begin(joined.as_slice())? else {
            self.held = joined;
            return Ok(Passage::Hold(joined_bytes));
        };
        self.held = FrameBytes::default();
        joined.truncate(start.judged_bytes());
        let taken = start.judged_bytes().saturating_sub(held_bytes);
        if self.takes_pong(&start) {
            return Ok(Passage::Drop(taken));
        }
        self.frames.pass_content(&start);
        self.note(&start);
        self.count_message();
        Ok(Passage::Held {
            bytes: joined,
            taken,
        })
    }

    /// Takes the frame if it is the pong that is expected, its payload included.
    fn takes_pong(&mut self, start: &FrameStart) -> bool {
        let Content::Pong(payload) = start.content else {
            return false;
        };
        if self.expected_pong != Some(payload) {
            return false;
        }
        self.expected_pong = None;
        self.frames.pass_content(start);
        true
    }

    fn note(&mut self, start: &FrameStart) {
        self.ends_message = start.head.fin && !start.head.opcode.is_control();
        if let Content::Close(code) = start.content {
            self.close_code = code;
        }
    }

    /// Counts the message whose last byte has passed.
    fn count_message(&mut self) {
        if self.ends_message && self.frames.at_boundary() {
            self.ends_message = false;
            self.messages += 1;
        }
    }

    fn control_frame<const BYTES: usize>(
        &self,
        opcode: Opcode,
        mut payload: [u8; BYTES],
        key: [u8; 4],
    ) -> Option<FrameBytes> {
        if !self.frames.at_boundary() || self.frames.is_closed() {
            return None;
        }
        let key = (self.frames.sender() == Sender::Client).then_some(key);
        let head = FrameHead {
            fin: true,
            rsv: 0,
            opcode,
            mask: key,
            payload_bytes: BYTES as u64,
        };
        let mut frame = head.encode();
        if let Some(key) = key {
            mask(key, 0, &mut payload);
        }
        frame.extend(&payload);
        Some(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 4] = [1, 2, 3, 4];
    const PING: [u8; PING_PAYLOAD_BYTES] = *b"ringway!";

    fn server() -> Inspect {
        Inspect::new(Sender::Server, FrameLimits::default())
    }

    /// Every passage of `input`, with the bytes that went on.
    fn feed(inspect: &mut Inspect, mut input: &[u8]) -> Result<Vec<u8>, FrameError> {
        let mut passed = Vec::new();
        while !input.is_empty() {
            let consumed = match inspect.step(input)? {
                Passage::Pass(bytes) => {
                    passed.extend_from_slice(&input[..bytes]);
                    bytes
                }
                Passage::Drop(bytes) | Passage::Hold(bytes) => bytes,
                Passage::Held { bytes, taken } => {
                    passed.extend_from_slice(bytes.as_slice());
                    taken
                }
            };
            input = &input[consumed..];
        }
        Ok(passed)
    }

    #[test]
    fn many_frames_pass_in_one_piece() {
        let mut inspect = server();
        let input = b"\x81\x05Hello\x89\0\x01\x01a\x8a\x01b\x80\x01c\x82\x03ab";
        assert_eq!(inspect.step(input), Ok(Passage::Pass(input.len())));
        assert_eq!(inspect.messages(), 2);
        assert!(!inspect.at_frame_boundary());
        assert_eq!(inspect.step(b"c"), Ok(Passage::Pass(1)));
        assert_eq!(inspect.messages(), 3);
        assert!(inspect.at_frame_boundary());
        assert_eq!(inspect.step(b"\x82\0"), Ok(Passage::Pass(2)));
        assert_eq!(inspect.messages(), 4);
        assert_eq!(inspect.step(b""), Ok(Passage::Hold(0)));
    }

    #[test]
    fn a_head_leaves_when_it_is_whole_and_right() {
        let mut inspect = server();
        assert_eq!(inspect.step(b"\x81\x01a\x82\x7e\x01"), Ok(Passage::Pass(3)));
        assert_eq!(inspect.step(b"\x82\x7e\x01"), Ok(Passage::Hold(3)));
        assert!(inspect.at_frame_boundary(), "of what has passed");
        let Ok(Passage::Held { bytes, taken }) = inspect.step(b"\x02abc") else {
            panic!("the head is whole");
        };
        assert_eq!(
            (bytes.as_slice(), taken),
            (b"\x82\x7e\x01\x02".as_slice(), 1)
        );
        assert!(!inspect.at_frame_boundary());
        assert_eq!(inspect.step(b"abc"), Ok(Passage::Pass(3)));

        let mut inspect = server();
        assert_eq!(inspect.step(b"\x88\x02\x03"), Ok(Passage::Hold(3)));
        assert_eq!(inspect.step(b"\xed"), Err(FrameError::CloseCodeInvalid));
        assert_eq!(inspect.close_code(), None);
        assert!(inspect.at_frame_boundary() && !inspect.is_closed());
    }

    #[test]
    fn what_stands_before_an_error_passes() {
        let mut inspect = server();
        let input = b"\x81\x05Hello\x83\x01";
        assert_eq!(inspect.step(input), Ok(Passage::Pass(7)));
        let error = inspect.step(&input[7..]).unwrap_err();
        assert_eq!(error, FrameError::ReservedOpcode);
        assert_eq!(inspect.step(b"\x83"), Err(error), "asked twice");
        let close = inspect.close(error.close_code(), KEY).unwrap();
        assert_eq!(close.as_slice(), b"\x88\x02\x03\xea");
        assert!(inspect.is_closed());
        assert_eq!(inspect.step(&input[7..]), Ok(Passage::Drop(2)));
    }

    #[test]
    fn a_close_is_noted_and_ends_the_direction() {
        let mut inspect = server();
        assert_eq!(inspect.step(b"\x88\x05\x03\xe9g"), Ok(Passage::Pass(5)));
        assert_eq!(inspect.close_code(), Some(CloseCode::GOING_AWAY));
        assert!(!inspect.is_closed());
        assert_eq!(
            inspect.close(CloseCode::GOING_AWAY, KEY),
            None,
            "inside of a frame"
        );
        assert_eq!(inspect.step(b"on\x81\x01x"), Ok(Passage::Pass(2)));
        assert!(inspect.is_closed());
        assert_eq!(inspect.step(b"\x81\x01x"), Ok(Passage::Drop(3)));
        assert_eq!(inspect.ping(PING, KEY), None);
        assert_eq!(inspect.close(CloseCode::GOING_AWAY, KEY), None);
        assert_eq!(inspect.messages(), 0);
    }

    #[test]
    fn frames_of_our_own_stand_at_boundaries_only() {
        let mut inspect = server();
        assert_eq!(
            inspect.ping(PING, KEY).unwrap().as_slice(),
            b"\x89\x08ringway!"
        );
        assert_eq!(feed(&mut inspect, b"\x01\x02a").unwrap(), b"\x01\x02a");
        assert_eq!(inspect.ping(PING, KEY), None, "inside of a frame");
        assert_eq!(inspect.close(CloseCode::GOING_AWAY, KEY), None);
        assert_eq!(feed(&mut inspect, b"b\x80").unwrap(), b"b");
        assert!(
            inspect.ping(PING, KEY).is_some(),
            "between fragments, a head held back"
        );
        let close = inspect.close(CloseCode::GOING_AWAY, KEY).unwrap();
        assert_eq!(close.as_slice(), b"\x88\x02\x03\xe9");
        assert_eq!(
            feed(&mut inspect, b"\x01x").unwrap(),
            b"",
            "what was held is gone too"
        );
        assert_eq!(inspect.close_code(), None, "the sender has sent none");
    }

    #[test]
    fn frames_of_our_own_are_masked_towards_a_server() {
        let mut to_server = Inspect::new(Sender::Client, FrameLimits::default());
        let ping = to_server.ping(PING, KEY).unwrap();
        let close = to_server.close(CloseCode::MESSAGE_TOO_BIG, KEY).unwrap();
        assert_eq!(
            close.as_slice(),
            [0x88, 0x82, 1, 2, 3, 4, 0x03 ^ 1, 0xf1 ^ 2]
        );
        // What a strict reader of clients' frames sees of them.
        let mut reader = Frames::new(Sender::Client, FrameLimits::default());
        let Ok(FrameStep::Head(start)) = reader.step(ping.as_slice()) else {
            panic!("a frame");
        };
        assert_eq!(
            (start.head.opcode, start.head.mask),
            (Opcode::Ping, Some(KEY))
        );
        let mut payload: [u8; 8] = ping.as_slice()[6..].try_into().unwrap();
        mask(KEY, 0, &mut payload);
        assert_eq!(payload, PING);
    }

    #[test]
    fn only_the_pong_to_our_own_ping_is_taken_out() {
        let pong = b"\x8a\x08ringway!";
        let other = b"\x8a\x08ringway?";
        let mut inspect = server();
        assert_eq!(feed(&mut inspect, pong).unwrap(), pong, "none is expected");
        inspect.expect_pong(PING);
        assert_eq!(feed(&mut inspect, other).unwrap(), other);
        assert_eq!(
            feed(&mut inspect, b"\x89\x08ringway!").unwrap(),
            b"\x89\x08ringway!"
        );
        assert!(inspect.awaits_pong());
        let input = [b"\x81\x01a".as_slice(), pong, b"\x81\x01b", pong].concat();
        let expected = [b"\x81\x01a\x81\x01b".as_slice(), pong].concat();
        assert_eq!(feed(&mut inspect, &input).unwrap(), expected);
        assert!(!inspect.awaits_pong());
        for cut in 1..pong.len() {
            inspect.expect_pong(PING);
            assert_eq!(feed(&mut inspect, &pong[..cut]).unwrap(), b"", "{cut}");
            assert!(inspect.awaits_pong() && inspect.at_frame_boundary());
            assert_eq!(feed(&mut inspect, &pong[cut..]).unwrap(), b"", "{cut}");
            assert!(!inspect.awaits_pong() && inspect.at_frame_boundary());
        }
        inspect.expect_pong(*b"earlier!");
        inspect.expect_pong(PING);
        assert_eq!(
            feed(&mut inspect, b"\x8a\x08earlier!").unwrap(),
            b"\x8a\x08earlier!"
        );
        assert_eq!(feed(&mut inspect, pong).unwrap(), b"");
    }

    #[test]
    fn the_state_of_a_direction_is_small() {
        assert!(size_of::<Inspect>() <= 128, "{}", size_of::<Inspect>());
    }
}
