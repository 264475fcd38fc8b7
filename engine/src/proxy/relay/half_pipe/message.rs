//! A direction that carries one message after the other, each up to the end that its framing names. The tunnels' relay
//! needs none of this; `forward` does.

use std::collections::VecDeque;

use super::super::body::Body;
use super::{HalfPipe, Mode};
use crate::limits;
use crate::net::TcpStream;
use crate::proto::http1::ChunkError;
use crate::proxy::SharedProxy;
use crate::ring::{Scratch, SendData};

/// What was received behind the end of a message, in order.
#[derive(Default)]
pub(super) struct Rest(VecDeque<SendData>);

impl HalfPipe {
    /// A direction that has nothing to move before [`Self::begin`].
    pub(in crate::proxy) fn idle() -> Self {
        Self {
            done: true,
            ..Self::new(VecDeque::new(), true)
        }
    }

    /// Starts on a message; the one before is done. What was moved counts on. [`Self::push_message`] is due.
    pub(in crate::proxy) fn begin(&mut self, body: Body) {
        debug_assert!(self.backlog.is_empty() && self.pipe.is_none() && self.wait.is_none());
        self.source_ended = body.ended();
        self.body = body;
        self.mode = Mode::Copy;
        self.blocked = false;
        self.full_buffers = 0;
        self.small_splices = 0;
        self.route = None;
        self.done = false;
    }

    /// Takes bytes of the source that were received elsewhere; gives back what is to be sent of them.
    pub(in crate::proxy) fn admit(
        &mut self,
        data: SendData,
    ) -> Result<Option<SendData>, ChunkError> {
        let taken = self.body.take(data)?;
        if let Some(rest) = taken.rest {
            self.keep_rest(rest);
        }
        self.source_ended = self.body.ended();
        Ok(taken.passed)
    }

    /// Sends `data` after what waits already.
    pub(in crate::proxy) fn push(&mut self, data: SendData) {
        self.backlog.push_back(data);
    }

    /// Sends `head` and the part of the body that came with it, in one send if that can be: out of the buffer that the
    /// part is in, or copied behind the head.
    pub(in crate::proxy) fn push_message(&mut self, mut head: Scratch, mut body: Option<SendData>) {
        if let Some(SendData::Lease(lease)) = &mut body
            && lease.prepend(&head)
        {
            return self.backlog.extend(body);
        }
        let part = body.as_ref().map(SendData::as_slice).unwrap_or_default();
        if part.len() <= limits::BODY_INLINE_BYTES_MAX {
            head.writer().extend_from_slice(part);
            body = None;
        }
        self.push(SendData::Scratch(head));
        self.backlog.extend(body);
    }

    /// Keeps what was received behind the end of the message for [`Self::take_rest`].
    pub(in crate::proxy) fn keep_rest(&mut self, data: SendData) {
        self.rest.get_or_insert_default().0.push_back(data);
    }

    /// What was received behind the end of the message, in order.
    pub(in crate::proxy) fn take_rest(&mut self) -> Option<SendData> {
        self.rest.as_mut()?.0.pop_front()
    }

    /// Whether the last byte of the body was received.
    pub(in crate::proxy) fn body_ended(&self) -> bool {
        self.source_ended
    }

    /// Splices from the start what is known to be long.
    pub(in crate::proxy) fn expect_bulk(&mut self, proxy: &SharedProxy, source: &TcpStream) {
        let long = matches!(self.body, Body::Length(left) if left >= limits::BODY_SPLICE_BYTES_MIN);
        if long && proxy.splice.is_some() && proxy.has_pipe() {
            self.promote(proxy, source);
        }
    }

    /// Moves what waits here out of the receive buffers. Says whether anything was in one.
    pub(in crate::proxy) fn leave_arena(&mut self) -> bool {
        let rest = self.rest.iter_mut().flat_map(|rest| &mut rest.0);
        let waiting = self.backlog.iter_mut().chain(rest);
        waiting.fold(false, |moved, data| data.leave_arena() | moved)
    }
}
