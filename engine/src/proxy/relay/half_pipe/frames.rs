//! A direction of a WebSocket whose frames are looked at: beside what its source sends it carries frames of this proxy,
//! which are not counted as moved, and it may be ended by this proxy. `relay::websocket` calls.

use std::os::fd::AsFd;
use std::task::Poll;

use super::super::body::Body;
use super::super::inspection::{Inspection, Ping};
use super::{Failure, HalfPipe};
use crate::net::{Incoming, StreamGone, TcpStream};
use crate::proto::ws::{CloseCode, FrameBytes, PING_PAYLOAD_BYTES, Sender};
use crate::proxy::SharedProxy;
use crate::ring::{ScratchPool, SendData, sys};

impl HalfPipe {
    /// Looks at the frames from here on; `early` is the start of them.
    pub(in crate::proxy::relay) fn inspect(
        &mut self,
        sender: Sender,
        scratch: &ScratchPool,
        early: impl IntoIterator<Item = SendData>,
    ) {
        let mut inspection = Box::new(Inspection::new(sender, scratch));
        let passed = early.into_iter().filter_map(|data| inspection.take(data));
        self.backlog.extend(passed);
        self.body = Body::Frames(inspection);
    }

    /// What is known of the frames, if they are looked at.
    pub(in crate::proxy::relay) fn inspection(&self) -> Option<&Inspection> {
        match &self.body {
            Body::Frames(inspection) => Some(inspection),
            _ => None,
        }
    }

    /// The same, to be changed.
    pub(in crate::proxy::relay) fn inspection_mut(&mut self) -> Option<&mut Inspection> {
        match &mut self.body {
            Body::Frames(inspection) => Some(inspection),
            _ => None,
        }
    }

    /// Nothing is read of the source: a frame of it breaks the rules, and [`Self::close`] is due, or it has gone on sending
    /// for too long after that, and [`Self::step_closing`] takes it for gone.
    pub(super) fn is_broken(&self) -> bool {
        let flooded = |inspection: &Inspection| inspection.is_flooded() && !self.source_ended;
        self.inspection()
            .is_some_and(|inspection| inspection.error().is_some() || flooded(inspection))
    }

    /// Sends a ping, if one may stand here. Nothing may be on its way: a ping is counted as the next to be sent.
    pub(in crate::proxy::relay) fn ping(
        &mut self,
        ping: Ping,
        payload: [u8; PING_PAYLOAD_BYTES],
        key: [u8; 4],
    ) -> bool {
        debug_assert!(self.backlog.is_empty() && self.own == 0);
        let Some(inspection) = self.inspection_mut() else {
            return false;
        };
        let Some(frame) = inspection.ping(payload, key) else {
            return false;
        };
        inspection.ping = Some(ping);
        self.own = self.push_frame(&frame);
        true
    }

    /// Ends the direction: behind what is on its way comes a Close, where one may stand, then FIN.
    pub(in crate::proxy::relay) fn close(&mut self, code: CloseCode, key: [u8; 4]) {
        let Some(inspection) = self.inspection_mut() else {
            return;
        };
        let Some(frame) = inspection.close(code, key) else {
            return;
        };
        let close_bytes = self.push_frame(&frame);
        if let Some(inspection) = self.inspection_mut() {
            inspection.close_bytes = close_bytes;
        }
    }

    /// Ends the direction without waiting for anything: a Close, unless one has passed, and FIN. Says whether it could: not
    /// while bytes are on their way, nor inside of a frame.
    pub(in crate::proxy::relay) fn close_at_once(
        &mut self,
        code: CloseCode,
        key: [u8; 4],
        sink: &TcpStream,
    ) -> bool {
        let quiet = !self.holds_bytes() && !sink.sending();
        let Some(inspection) = self.inspection_mut().filter(|_| quiet) else {
            return false;
        };
        let taken = |frame: &FrameBytes| {
            let sent = sys::send_at_once(sink.as_fd(), frame.as_slice());
            sent.is_ok_and(|sent| sent as usize == frame.as_slice().len())
        };
        let told = inspection.is_closed()
            || inspection
                .close(code, key)
                .is_some_and(|frame| taken(&frame));
        told && sink.shutdown_write().is_ok()
    }

    fn push_frame(&mut self, frame: &FrameBytes) -> u32 {
        let Some(inspection) = self.inspection() else {
            return 0;
        };
        let mut scratch = inspection.scratch();
        scratch.writer().extend_from_slice(frame.as_slice());
        self.backlog.push_back(SendData::Scratch(scratch));
        u32::try_from(frame.as_slice().len()).unwrap_or(u32::MAX)
    }

    /// Of `sent` bytes, those of this proxy's Close; `left` of that send are not sent.
    pub(super) fn close_bytes_sent(&mut self, left: usize) -> u32 {
        let queued = self.backlog.iter().map(|data| data.as_slice().len());
        let left = match &self.body {
            Body::Frames(inspection) if inspection.close_bytes > 0 => left + queued.sum::<usize>(),
            _ => return 0,
        };
        let left = u32::try_from(left).unwrap_or(u32::MAX);
        self.inspection_mut().map_or(0, |inspection| {
            let unsent = inspection.close_bytes.min(left);
            std::mem::replace(&mut inspection.close_bytes, unsent) - unsent
        })
    }

    /// [`Self::step`] of a direction that this proxy ends. FIN follows the Close; what still comes is read and dropped,
    /// because a close with unread bytes would send RST, which may destroy the Close on its way; but not for ever. An end
    /// that is gone does not keep the other from its Close.
    pub(in crate::proxy::relay) fn step_closing(
        &mut self,
        proxy: &SharedProxy,
        source: &mut TcpStream,
        sink: &mut TcpStream,
    ) -> Result<(), Failure> {
        let mut stepped = self.step(proxy, source, sink);
        let gone = match stepped {
            Err(Failure::Source(_)) => !self.source_ended,
            _ => self.is_broken() && stops(source),
        };
        if gone {
            self.source_ended = true;
            stepped = self.step(proxy, source, sink);
        }
        if stepped.is_ok() && self.fin_is_due(sink) {
            if let Some(inspection) = self.inspection_mut() {
                inspection.fin_sent = true;
            }
            let sent = sink.shutdown_write();
            stepped = sent.map_err(|StreamGone(errno)| Failure::Sink(errno));
        }
        if matches!(stepped, Err(Failure::Sink(_))) {
            self.give_up_sink(proxy);
            stepped = self.step(proxy, source, sink);
        }
        stepped
    }

    fn fin_is_due(&self, sink: &TcpStream) -> bool {
        let all_sent = self.backlog.is_empty() && !sink.sending();
        all_sent
            && self
                .inspection()
                .is_some_and(|inspection| !inspection.fin_sent)
    }

    /// The sink takes nothing any more; the source is still read.
    fn give_up_sink(&mut self, proxy: &SharedProxy) {
        self.stop(proxy);
        self.blocked = false;
        if let Some(inspection) = self.inspection_mut() {
            inspection.fin_sent = true;
            inspection.close_bytes = 0;
        }
    }
}

/// Says whether nothing of the source comes any more, which is asked to stop. What it still gives is dropped: the buffers
/// are others'.
fn stops(source: &mut TcpStream) -> bool {
    source.pause_incoming();
    while let Poll::Ready(Incoming::Bytes(_)) = source.poll_received() {}
    source.forget_starved();
    !source.receiving()
}
