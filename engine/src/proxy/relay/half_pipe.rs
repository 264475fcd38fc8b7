//! One direction of a relay, or of one message: a body ends where its framing says. It copies through receive buffers while messages are small, and splices once they have
//! proved bulky; both changes keep every byte in its place. See `kernel-notes/splice.md`.

mod frames;
mod message;

use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::task::Poll;

use super::super::zero_copy::Route;
use super::super::{SharedProxy, SpliceTuning};
use super::body::Body;
use crate::limits;
use crate::net::{Incoming, TcpStream};
use crate::proto::http1::ChunkError;
use crate::ring::sys::{Pipe, Spliced};
use crate::ring::{Interest, Lease, SendData};
use crate::rt::Operation;

/// How bytes move in this direction now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Receive into the arena, send from there.
    Copy,
    /// The receive was asked to stop; what it had is still being sent.
    Promoting,
    /// splice(2) through a pipe.
    Splice,
}

/// Which end failed, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::proxy) enum Failure {
    Source(i32),
    Sink(i32),
    /// The source has sent FIN before the end of the body.
    Truncated,
    /// The source's body is malformed.
    Body(ChunkError),
}

/// One direction.
pub(in crate::proxy) struct HalfPipe {
    mode: Mode,
    /// Where the direction ends.
    body: Body,
    /// Received behind the end of a message. A tunnel has none, and its state is small.
    rest: Option<Box<message::Rest>>,
    /// To be sent before anything received: early bytes, the rest of a partial send, what was moved out of the arena.
    backlog: VecDeque<SendData>,
    pipe: Option<Pipe>,
    /// The source's readiness in splice mode, or the sink's room in either mode.
    wait: Option<Operation>,
    /// `wait` is for room at the sink.
    blocked: bool,
    full_buffers: u32,
    small_splices: u32,
    /// The source has sent FIN, or the last byte of the body, and nothing of it is left with the kernel.
    source_ended: bool,
    /// The source has ended, and its last byte is sent.
    done: bool,
    /// Whether large sends may be SEND_ZC; asked once.
    route: Option<Route>,
    /// Bytes still to be sent that are this proxy's own, not the source's.
    own: u32,
    /// Bytes of the source that were sent.
    pub(in crate::proxy) moved: u64,
}

impl HalfPipe {
    /// A direction that sends `backlog` first.
    pub(super) fn new(backlog: VecDeque<SendData>, source_ended: bool) -> Self {
        Self {
            mode: Mode::Copy,
            body: Body::Stream,
            rest: None,
            backlog,
            pipe: None,
            wait: None,
            blocked: false,
            full_buffers: 0,
            small_splices: 0,
            source_ended,
            done: false,
            route: None,
            own: 0,
            moved: 0,
        }
    }

    /// A direction that sends an answer of this proxy's own first.
    pub(super) fn answering(answer: SendData) -> Self {
        let own = u32::try_from(answer.as_slice().len()).unwrap_or(u32::MAX);
        Self {
            own,
            ..Self::new(VecDeque::from([answer]), false)
        }
    }

    /// The source has ended, and its last byte is sent: FIN is due.
    pub(in crate::proxy) fn done(&self) -> bool {
        self.done
    }

    /// The sink has no room, so the source is not read.
    pub(in crate::proxy) fn blocked(&self) -> bool {
        self.blocked
    }

    /// Bytes of the source are on their way that the sink has no room for.
    pub(super) fn holds_bytes(&self) -> bool {
        let in_pipe = self.pipe.as_ref().is_some_and(|pipe| pipe.held() > 0);
        self.blocked || in_pipe || !self.backlog.is_empty()
    }

    /// Goes as far as it can without waiting.
    pub(in crate::proxy) fn step(
        &mut self,
        proxy: &SharedProxy,
        source: &mut TcpStream,
        sink: &mut TcpStream,
    ) -> Result<(), Failure> {
        let mut budget = limits::RELAY_BYTES_PER_TURN;
        while !self.done {
            if self.poll_wait(proxy, source, sink)?.is_pending() {
                return Ok(());
            }
            let progress = match self.mode {
                Mode::Copy | Mode::Promoting => self.copy(proxy, source, sink)?,
                Mode::Splice => self.splice(proxy, source, sink, &mut budget)?,
            };
            if progress.is_pending() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Waits for the source's readiness or the sink's room, if it has to.
    fn poll_wait(
        &mut self,
        proxy: &SharedProxy,
        source: &mut TcpStream,
        sink: &TcpStream,
    ) -> Result<Poll<()>, Failure> {
        let interest = if self.blocked {
            Interest::WritablePastFin
        } else {
            Interest::Readable
        };
        let Some(wait) = &mut self.wait else {
            return Ok(Poll::Ready(()));
        };
        match wait.poll_events(interest) {
            Poll::Pending => {
                // A reset of the source overtakes bytes that cannot be passed on, unless they may be all that is left of a
                // body.
                let overtakes = self.blocked && !self.source_ended && self.body.ends_with_source();
                if let Some(errno) = source.recv_failure().filter(|_| overtakes) {
                    return Err(Failure::Source(errno));
                }
                self.make_room(proxy, source)?;
                Ok(Poll::Pending)
            }
            // All it had to say is that the sink has sent FIN.
            Poll::Ready(0) if self.blocked => {
                self.wait = Some(sink.readiness(Interest::WritablePastFin));
                Ok(Poll::Pending)
            }
            Poll::Ready(_) => {
                self.wait = None;
                self.blocked = false;
                Ok(Poll::Ready(()))
            }
        }
    }

    /// Stops waiting, so that the streams can be joined, and gives the pipe back.
    pub(in crate::proxy) fn stop(&mut self, proxy: &SharedProxy) {
        self.wait = None;
        self.backlog.clear();
        if let Some(pipe) = self.pipe.take() {
            proxy.put_pipe(pipe);
        }
    }

    fn copy(
        &mut self,
        proxy: &SharedProxy,
        source: &mut TcpStream,
        sink: &mut TcpStream,
    ) -> Result<Poll<()>, Failure> {
        if sink.sending() {
            let Poll::Ready(outcome) = sink.poll_sent() else {
                return Ok(Poll::Pending);
            };
            let mut data = outcome.data;
            match outcome.result {
                Ok(sent) => {
                    data.advance(sent);
                    self.count_sent(sent, data.as_slice().len());
                }
                Err(libc::EAGAIN | libc::EINTR) => {}
                Err(errno) => return Err(Failure::Sink(errno)),
            }
            if !data.as_slice().is_empty() {
                self.backlog.push_front(data);
                self.wait_for_room(proxy, sink);
                return Ok(Poll::Ready(()));
            }
        }
        if let Some(next) = self.backlog.pop_front() {
            self.send(proxy, next, sink);
            return Ok(Poll::Ready(()));
        }
        if self.is_broken() {
            return Ok(Poll::Pending);
        }
        if self.source_ended {
            self.done = true;
            return Ok(Poll::Ready(()));
        }
        let incoming = if self.mode == Mode::Copy {
            source.poll_incoming()
        } else {
            source.poll_received()
        };
        match incoming {
            Poll::Ready(Incoming::Bytes(lease)) => {
                self.judge(proxy, &lease, source);
                let passed = self.admit(SendData::Lease(lease)).map_err(Failure::Body)?;
                let Some(data) = passed else {
                    return Ok(Poll::Ready(()));
                };
                self.send(proxy, data, sink);
                Ok(Poll::Ready(()))
            }
            Poll::Ready(Incoming::Fin) => {
                self.end_of_source()?;
                Ok(Poll::Ready(()))
            }
            Poll::Ready(Incoming::Failed(errno)) => Err(Failure::Source(errno)),
            Poll::Pending if self.mode == Mode::Promoting && !source.receiving() => {
                source.forget_starved();
                self.mode = Mode::Splice;
                self.small_splices = 0;
                Ok(Poll::Ready(()))
            }
            Poll::Pending => Ok(Poll::Pending),
        }
    }

    /// Counts what was sent of the source: own bytes are in front, or behind all of it.
    fn count_sent(&mut self, sent: u32, left: usize) {
        let own = sent.min(self.own);
        self.own -= own;
        let close = self.close_bytes_sent(left);
        self.moved += u64::from((sent - own).saturating_sub(close));
    }

    /// Counts full buffers, and asks the receive to stop when there were enough in a row. Without a pipe the direction
    /// goes on copying, and asks again after as many more.
    fn judge(&mut self, proxy: &SharedProxy, lease: &Lease, source: &TcpStream) {
        self.full_buffers = if lease.fills_buffer() {
            self.full_buffers.saturating_add(1)
        } else {
            0
        };
        let Some(tuning) = proxy.splice else { return };
        let enough = tuning.promote_full_buffers.max(1);
        let proved = self.full_buffers > 0 && self.full_buffers.is_multiple_of(enough);
        // What is left of a body must be worth it, beside the buffers that are on their way already.
        let long = self.body.spliceable() >= u64::from(lease.bytes()) * 4;
        if self.mode != Mode::Copy || !proved || !long {
            return;
        }
        if proxy.has_pipe() {
            self.promote(proxy, source);
        } else if self.full_buffers == enough {
            proxy.counters.pipes_missing.add(1);
        }
    }

    fn promote(&mut self, proxy: &SharedProxy, source: &TcpStream) {
        // An upload is promoted again once its origin is connected: what listened meanwhile has armed a receive.
        let first = std::mem::replace(&mut self.mode, Mode::Promoting) == Mode::Copy;
        self.full_buffers = 0;
        proxy.counters.promotions.add(u64::from(first));
        source.pause_incoming();
    }

    /// FIN: the end of a stream, but not of a body that says where it ends.
    fn end_of_source(&mut self) -> Result<(), Failure> {
        if !self.body.ends_with_source() {
            return Err(Failure::Truncated);
        }
        self.source_ended = true;
        Ok(())
    }

    fn send(&mut self, proxy: &SharedProxy, data: SendData, sink: &mut TcpStream) {
        let zero_copy = match &data {
            SendData::Lease(lease) if self.full_buffers > 0 => {
                let route = self
                    .route
                    .get_or_insert_with(|| proxy.zero_copy.route(&proxy.rt, sink));
                proxy.zero_copy.pays(&proxy.rt, lease, route)
            }
            _ => None,
        };
        proxy
            .counters
            .zero_copy_sends
            .add(u64::from(zero_copy.is_some()));
        sink.start_send(data, zero_copy);
    }

    fn splice(
        &mut self,
        proxy: &SharedProxy,
        source: &TcpStream,
        sink: &TcpStream,
        budget: &mut u32,
    ) -> Result<Poll<()>, Failure> {
        if let Some(pipe) = self.pipe.as_mut().filter(|pipe| pipe.held() > 0) {
            let drained = pipe.drain(sink.as_fd());
            match drained.map_err(|error| Failure::Sink(errno_of(&error)))? {
                Spliced::Moved(bytes) => {
                    self.moved += u64::from(bytes);
                    *budget = budget.saturating_sub(bytes);
                }
                Spliced::Blocked | Spliced::End => self.wait_for_room(proxy, sink),
            }
            return Ok(Poll::Ready(()));
        }
        if self.source_ended {
            self.return_pipe(proxy);
            self.done = true;
            return Ok(Poll::Ready(()));
        }
        if *budget == 0 {
            self.return_pipe(proxy);
            proxy.rt.yield_now();
            return Ok(Poll::Pending);
        }
        self.fill(proxy, source)?;
        Ok(Poll::Ready(()))
    }

    /// Splices from the source into an empty pipe.
    fn fill(&mut self, proxy: &SharedProxy, source: &TcpStream) -> Result<(), Failure> {
        if self.pipe.is_none() {
            self.pipe = proxy.pipes.take();
        }
        let Some(pipe) = &mut self.pipe else {
            proxy.counters.pipes_missing.add(1);
            self.demote(proxy);
            return Ok(());
        };
        let left = u32::try_from(self.body.spliceable()).unwrap_or(u32::MAX);
        let filled = pipe.fill(source.as_fd(), limits::SPLICE_BYTES.min(left));
        let tuning = proxy.splice;
        match filled.map_err(|error| Failure::Source(errno_of(&error)))? {
            Spliced::Moved(bytes) => {
                self.body.spliced(bytes);
                self.source_ended = self.body.ended();
                let small = tuning.is_none_or(|tuning| bytes < tuning.demote_bytes);
                self.small_splices = if small { self.small_splices + 1 } else { 0 };
            }
            Spliced::End => {
                self.return_pipe(proxy);
                // The kernel tells of an RST once, and may have told the send.
                if let Some(errno) = source.send_failure() {
                    return Err(Failure::Source(errno));
                }
                self.end_of_source()?;
            }
            Spliced::Blocked => {
                self.return_pipe(proxy);
                let few = |tuning: SpliceTuning| self.small_splices >= tuning.demote_small_splices;
                if tuning.is_none_or(few) {
                    self.demote(proxy);
                } else {
                    self.wait = Some(source.readiness(Interest::Readable));
                }
            }
        }
        Ok(())
    }

    fn demote(&mut self, proxy: &SharedProxy) {
        proxy.counters.demotions.add(1);
        self.mode = Mode::Copy;
        self.full_buffers = 0;
    }

    fn return_pipe(&mut self, proxy: &SharedProxy) {
        if let Some(pipe) = self.pipe.take() {
            proxy.put_pipe(pipe);
        }
    }

    fn wait_for_room(&mut self, proxy: &SharedProxy, sink: &TcpStream) {
        self.wait = Some(sink.readiness(Interest::Writable));
        self.blocked = true;
        proxy.rt.hold_buffers();
    }

    /// While the sink is blocked and others wait for buffers: moves what this direction holds out of the arena. The
    /// receive is stopped first, so what is moved is bounded by what one receive can have.
    fn make_room(&mut self, proxy: &SharedProxy, source: &mut TcpStream) -> Result<(), Failure> {
        if !self.blocked || self.mode == Mode::Splice {
            return Ok(());
        }
        if !proxy.rt.buffers_wanted() {
            proxy.rt.hold_buffers();
            return Ok(());
        }
        if self.mode == Mode::Copy {
            source.pause_incoming();
        }
        let mut spilled = self.leave_arena();
        // Behind the end of a message nothing is this direction's any more, neither bytes nor how the source ends.
        while !self.source_ended
            && let Poll::Ready(incoming) = source.poll_received()
        {
            match incoming {
                Incoming::Bytes(lease) => {
                    let passed = self.admit(SendData::Lease(lease)).map_err(Failure::Body)?;
                    self.backlog.extend(passed);
                    spilled |= self.leave_arena();
                }
                Incoming::Fin => self.end_of_source()?,
                Incoming::Failed(errno) => return Err(Failure::Source(errno)),
            }
        }
        proxy.counters.spills.add(u64::from(spilled));
        Ok(())
    }
}

fn errno_of(error: &std::io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::EIO)
}
