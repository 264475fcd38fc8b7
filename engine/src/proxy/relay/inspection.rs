//! One direction of a WebSocket whose frames are looked at: what passes of received bytes, and what is known of the
//! direction. Only such relays have it, in a box. The rules are [`Inspect`]'s; when to ping and when to end is decided in
//! `websocket`, and `half_pipe` sends.

use std::time::Instant;

use crate::limits;
use crate::proto::ws::{
    CloseCode, FrameBytes, FrameError, FrameLimits, Inspect, PING_PAYLOAD_BYTES, Passage, Sender,
};
use crate::ring::{Scratch, ScratchPool, SendData};

/// The state of one direction.
pub(in crate::proxy) struct Inspection {
    inspect: Inspect,
    scratch: ScratchPool,
    /// What the sender has done wrong.
    error: Option<FrameError>,
    /// This proxy ends the direction: nothing of the sender passes any more.
    closing: bool,
    /// Bytes of the sender that were read and dropped since, and those behind its own Close.
    dropped: u64,
    /// The receiver has been sent FIN behind this proxy's Close, or cannot be sent anything.
    pub(super) fin_sent: bool,
    /// Bytes of this proxy's Close that are still to be sent, as the last of the direction.
    pub(super) close_bytes: u32,
    /// The last ping that went this way.
    pub(super) ping: Option<Ping>,
    /// When pings were due last, whether or not one could be sent; kept for both directions in the one up.
    pub(super) tried_at: Option<Instant>,
}

/// A ping of this proxy.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ping {
    pub(super) sent_at: Instant,
    /// Bytes that the pinged end had sent until then.
    pub(super) heard: u64,
}

/// What went one way.
#[derive(Debug, Clone, Copy)]
pub(in crate::proxy) struct FrameCounts {
    pub(in crate::proxy) messages: u64,
    pub(in crate::proxy) close_code: Option<CloseCode>,
}

impl Inspection {
    /// A direction behind the opening handshake.
    pub(super) fn new(sender: Sender, scratch: &ScratchPool) -> Self {
        Self {
            inspect: Inspect::new(sender, FrameLimits::default()),
            scratch: scratch.clone(),
            error: None,
            closing: false,
            dropped: 0,
            fin_sent: false,
            close_bytes: 0,
            ping: None,
            tried_at: None,
        }
    }

    /// Takes received bytes and gives what passes of them. The usual buffer passes as it is, or its start does; what has
    /// a gap, or the start of a frame from the buffer before, is copied together.
    pub(super) fn take(&mut self, data: SendData) -> Option<SendData> {
        let mut at = 0;
        // So many bytes from the start are passed as they are.
        let mut prefix = 0;
        let mut copied: Option<Scratch> = None;
        let input = data.as_slice();
        if self.closing {
            self.count_dropped(input.len());
        }
        while at < input.len() && !self.closing && self.error.is_none() {
            let left = input.get(at..).unwrap_or_default();
            let passage = match self.inspect.step(left) {
                Ok(passage) => passage,
                Err(error) => {
                    self.error = Some(error);
                    break;
                }
            };
            let (taken, passed) = match &passage {
                Passage::Pass(bytes) if copied.is_none() && prefix == at => {
                    at += bytes;
                    prefix = at;
                    continue;
                }
                Passage::Pass(bytes) => (*bytes, left.get(..*bytes).unwrap_or_default()),
                Passage::Drop(bytes) | Passage::Hold(bytes) => (*bytes, [].as_slice()),
                Passage::Held { bytes, taken } => (*taken, bytes.as_slice()),
            };
            at += taken;
            // A receiver discards what comes behind a Close (RFC 6455 section 1.4), but not without end. What is dropped in
            // front of one is a pong to this proxy.
            if matches!(passage, Passage::Drop(_)) && self.inspect.is_closed() {
                self.count_dropped(taken);
                self.error = Some(FrameError::CloseFollowed).filter(|_| self.is_flooded());
            }
            if !passed.is_empty() {
                let start = || {
                    let mut scratch = self.scratch.take();
                    let before = input.get(..prefix).unwrap_or_default();
                    scratch.writer().extend_from_slice(before);
                    scratch
                };
                let scratch = copied.get_or_insert_with(start);
                scratch.writer().extend_from_slice(passed);
            }
        }
        match copied {
            Some(scratch) => Some(SendData::Scratch(scratch)),
            None if prefix == 0 => None,
            None => Some(data.split(prefix).0),
        }
    }

    fn count_dropped(&mut self, bytes: usize) {
        self.dropped = self.dropped.saturating_add(bytes as u64);
    }

    /// What the sender has done wrong, unless the direction is being ended already.
    pub(super) fn error(&self) -> Option<FrameError> {
        self.error.filter(|_| !self.closing)
    }

    /// The sender has gone on for long enough behind the end of its direction.
    pub(super) fn is_flooded(&self) -> bool {
        self.dropped >= limits::WEBSOCKET_DROPPED_BYTES_MAX
    }

    /// Ends the direction, with a Close where one may stand.
    pub(super) fn close(&mut self, code: CloseCode, key: [u8; 4]) -> Option<FrameBytes> {
        self.closing = true;
        self.inspect.close(code, key)
    }

    /// A ping, where one may stand.
    pub(super) fn ping(
        &self,
        payload: [u8; PING_PAYLOAD_BYTES],
        key: [u8; 4],
    ) -> Option<FrameBytes> {
        self.inspect.ping(payload, key)
    }

    /// Takes the pong to a ping of the other direction out.
    pub(super) fn expect_pong(&mut self, payload: [u8; PING_PAYLOAD_BYTES]) {
        self.inspect.expect_pong(payload);
    }

    /// The pong to the last ping of the other direction has not come.
    pub(super) fn awaits_pong(&self) -> bool {
        self.inspect.awaits_pong()
    }

    /// What has passed ends at the end of a frame.
    pub(super) fn at_frame_boundary(&self) -> bool {
        self.inspect.at_frame_boundary()
    }

    /// A buffer for a frame of this proxy.
    pub(super) fn scratch(&self) -> Scratch {
        self.scratch.take()
    }

    /// A Close has passed.
    pub(super) fn is_closed(&self) -> bool {
        self.inspect.is_closed()
    }

    /// What went this way so far.
    pub(super) fn counts(&self) -> FrameCounts {
        FrameCounts {
            messages: self.inspect.messages(),
            close_code: self.inspect.close_code(),
        }
    }
}
