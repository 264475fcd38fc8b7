//! The relay: two half-pipes between two streams, as a task of its own. When a tunnel stands, its session has ended and
//! this is all that is left of it: a few hundred bytes, nothing allocated per read or write. `websocket` adds to it what
//! looks at frames.
//!
//! How a tunnel closes is a table in `kernel-notes/half-close.md`: FIN passes in its direction after the last byte, and
//! the other direction lives on; RST, or any other failure, ends both with RST.

mod body;
mod half_pipe;
mod inspection;
mod websocket;

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::SharedProxy;
use super::outcome::{Cause, Outcome, Phase, Side, Story};
use crate::net::{StreamGone, TcpStream};
use crate::ring::{Interest, SendData};
use crate::rt::{GatePass, Operation, TimerKey};

pub(super) use body::Body;
pub(super) use half_pipe::{Failure, HalfPipe};
pub(super) use inspection::FrameCounts;

/// Which direction is which: up from the client, whose stream is the first.
const UP: usize = 0;
const DOWN: usize = 1;

/// How long a tunnel may be half-closed or blocked before it looks out for resets. Most are closed altogether, or moving
/// again, before this.
const WATCH_AFTER: Duration = Duration::from_millis(100);

/// A tunnel between two streams.
pub(super) struct Relay {
    proxy: SharedProxy,
    streams: [TcpStream; 2],
    halves: [HalfPipe; 2],
    /// Look-outs for a failure of a stream that has no receive armed to tell of it.
    watches: [Option<Operation>; 2],
    timer: Option<(Instant, TimerKey)>,
    moved: u64,
    last_byte: Instant,
    idle_timeout: Duration,
    half_closed: bool,
    /// How the tunnel ends, once that is decided. Frames of this proxy may still have to be delivered.
    outcome: Option<Outcome>,
    /// The tunnel is over; what remains is to join the streams.
    over: bool,
    story: Story,
    _pass: GatePass,
}

/// What a session hands over to its relay.
pub(super) struct Tunnel {
    pub(super) client: TcpStream,
    pub(super) upstream: TcpStream,
    /// To the upstream, before what the client sends next.
    pub(super) early_up: VecDeque<SendData>,
    /// The client has sent FIN behind `early_up`.
    pub(super) client_ended: bool,
    /// To the client, before what the upstream sends.
    pub(super) answer: SendData,
    /// To the client, behind the answer.
    pub(super) early_down: Option<SendData>,
    /// How long it may be silent.
    pub(super) idle_timeout: Duration,
    pub(super) story: Story,
    pub(super) pass: GatePass,
}

impl Relay {
    pub(super) fn new(proxy: SharedProxy, tunnel: Tunnel) -> Self {
        let now = proxy.rt.now();
        proxy.counters.tunnels.add(1);
        let mut down = HalfPipe::answering(tunnel.answer);
        if let Some(early) = tunnel.early_down {
            down.push(early);
        }
        Self {
            streams: [tunnel.client, tunnel.upstream],
            halves: [HalfPipe::new(tunnel.early_up, tunnel.client_ended), down],
            watches: [None, None],
            timer: None,
            moved: 0,
            last_byte: now,
            idle_timeout: tunnel.idle_timeout,
            half_closed: false,
            outcome: None,
            over: false,
            story: tunnel.story,
            _pass: tunnel.pass,
            proxy,
        }
    }

    /// Goes on until the tunnel is over.
    fn run(&mut self) -> Poll<Outcome> {
        // Down first: the answer to CONNECT goes out before any byte the client may have sent early.
        for direction in [DOWN, UP] {
            if let Err(outcome) = self.step(direction) {
                return Poll::Ready(outcome);
            }
        }
        let moved = self.halves[UP].moved + self.halves[DOWN].moved;
        if moved != self.moved {
            self.moved = moved;
            self.last_byte = self.proxy.rt.now();
        }
        if self.outcome.is_none() {
            self.mind_frames();
        }
        if self.halves.iter().all(HalfPipe::done) {
            return Poll::Ready(Outcome {
                side: Side::Proxy,
                phase: Phase::Relay,
                cause: Cause::Done,
            });
        }
        // Once the end is decided, an end that fails does not keep the other from reading why.
        if self.outcome.is_none() {
            self.mind_half_close();
            if let Some(outcome) = self.failure_of_a_watched_stream() {
                return Poll::Ready(outcome);
            }
        }
        self.mind_timer()
    }

    fn step(&mut self, direction: usize) -> Result<(), Outcome> {
        let [client, upstream] = &mut self.streams;
        let (source, sink) = if direction == UP {
            (client, upstream)
        } else {
            (upstream, client)
        };
        let other_done = self.halves[1 - direction].done();
        let half = &mut self.halves[direction];
        if half.done() {
            return Ok(());
        }
        let before = half.moved;
        let mut stepped = if self.outcome.is_some() {
            half.step_closing(&self.proxy, source, sink)
        } else {
            half.step(&self.proxy, source, sink)
        };
        let counters = &self.proxy.counters;
        let counter = if direction == UP {
            &counters.bytes_up
        } else {
            &counters.bytes_down
        };
        counter.add(half.moved - before);
        if stepped.is_ok() && half.done() && !other_done && self.outcome.is_none() {
            // The last direction to end needs no shutdown: the close that follows sends FIN.
            stepped = sink
                .shutdown_write()
                .map_err(|StreamGone(errno)| Failure::Sink(errno));
        }
        stepped.map_err(|failure| {
            let (of_source, cause) = match failure {
                Failure::Source(errno) => (true, Cause::of_errno(errno)),
                Failure::Sink(errno) => (false, Cause::of_errno(errno)),
                // Only bodies that say where they end end too early, and a tunnel's do not.
                Failure::Truncated => (true, Cause::Closed),
                Failure::Body(error) => (true, Cause::Body(error)),
            };
            Outcome {
                side: if of_source == (direction == UP) {
                    Side::Client
                } else {
                    Side::Upstream
                },
                phase: Phase::Relay,
                cause,
            }
        })
    }

    /// At the first FIN, the shorter timeout begins. While a direction has ended or is blocked, no receive may be armed
    /// that would tell of a reset; so if it stays that way for a moment, both streams are watched.
    fn mind_half_close(&mut self) {
        let now = self.proxy.rt.now();
        if !self.half_closed && self.halves.iter().any(HalfPipe::done) {
            self.half_closed = true;
            self.last_byte = now;
            self.set_timer(now + WATCH_AFTER);
        }
        let deaf = self.half_closed || self.halves.iter().any(HalfPipe::blocked);
        let soon = now + WATCH_AFTER;
        if deaf
            && self.watches.iter().any(Option::is_none)
            && self.timer.is_none_or(|(at, _)| at > soon)
        {
            self.set_timer(soon);
        }
    }

    fn set_timer(&mut self, at: Instant) {
        if let Some((_, timer)) = self.timer.take() {
            self.proxy.rt.stop_timer(timer);
        }
        self.timer = Some((at, self.proxy.rt.start_timer(at)));
    }

    /// Deadlines move with every byte; the timer is left where it is, and looks at the deadline when it fires.
    fn mind_timer(&mut self) -> Poll<Outcome> {
        let now = self.proxy.rt.now();
        if self.timer.is_some_and(|(at, _)| now < at) {
            return Poll::Pending;
        }
        let (allowance, cause) = if self.half_closed {
            (self.proxy.half_close_timeout, Cause::HalfCloseTimeout)
        } else {
            (self.idle_timeout, Cause::IdleTimeout)
        };
        let deadline = self.idle_deadline(self.last_byte + allowance);
        if self.timer.is_some() {
            if let Some(dead) = self.dead(now) {
                return Poll::Ready(dead);
            }
            if now >= deadline {
                let outcome = Outcome {
                    side: Side::Proxy,
                    phase: Phase::Relay,
                    cause,
                };
                return if self.ends_idle(outcome) {
                    Poll::Pending
                } else {
                    Poll::Ready(outcome)
                };
            }
            let deaf = self.half_closed || self.halves.iter().any(HalfPipe::blocked);
            if deaf && self.outcome.is_none() {
                self.watch();
            }
            // Not before the idle timeout was looked at: a ping on its way would make an orderly end an abort.
            self.mind_pings(now);
        }
        let pings_due = self.pings_due();
        self.set_timer(pings_due.map_or(deadline, |due| due.min(deadline)));
        Poll::Pending
    }

    fn watch(&mut self) {
        for (stream, watch) in self.streams.iter().zip(&mut self.watches) {
            if watch.is_none() {
                *watch = Some(stream.readiness(Interest::Failed));
            }
        }
    }

    fn failure_of_a_watched_stream(&mut self) -> Option<Outcome> {
        let sides = self.streams.iter().zip([Side::Client, Side::Upstream]);
        for (watch, (stream, side)) in self.watches.iter_mut().zip(sides) {
            match watch
                .as_mut()
                .map(|watch| watch.poll_events(Interest::Failed))
            {
                // The completion queue was full: looked out for again with the next timer.
                Some(Poll::Ready(0)) => *watch = None,
                Some(Poll::Ready(_)) => {
                    // Without an error somebody was told before: a send, whose failure is an end already.
                    let cause = stream.take_error().map_or(Cause::Reset, Cause::of_errno);
                    return Some(Outcome {
                        side,
                        phase: Phase::Relay,
                        cause,
                    });
                }
                Some(Poll::Pending) | None => {}
            }
        }
        None
    }

    /// Ends the tunnel: everything in flight is asked back. An orderly end closes with FIN, and so does a timeout when
    /// everything was delivered; the rest with RST on both sides, so that nobody takes a stream that was cut off for a
    /// whole one.
    fn begin_close(&mut self, outcome: Outcome) {
        let counters = &self.proxy.counters;
        let cut_off = match outcome.cause {
            Cause::Done => false,
            Cause::IdleTimeout | Cause::HalfCloseTimeout => {
                counters.timeouts.add(1);
                self.holds_bytes()
            }
            // Its Close was delivered, or could not be.
            Cause::WebSocket(_) => self.holds_bytes(),
            _ => {
                counters.resets.add(1);
                true
            }
        };
        if cut_off {
            self.streams.iter().for_each(TcpStream::reset_on_close);
        }
        self.let_go();
        self.streams.iter().for_each(TcpStream::begin_close);
        self.outcome = Some(outcome);
        self.over = true;
    }

    /// Bytes are on their way, or may be.
    fn holds_bytes(&self) -> bool {
        // A receive that found no buffer all that time may have bytes to give that nobody knows of.
        self.halves.iter().any(HalfPipe::holds_bytes)
            || self.streams.iter().any(TcpStream::starved)
            // What came in this very moment is on its way already.
            || self.streams.iter().any(TcpStream::sending)
    }

    fn let_go(&mut self) {
        self.watches = [None, None];
        if let Some((_, timer)) = self.timer.take() {
            self.proxy.rt.stop_timer(timer);
        }
        let proxy = &self.proxy;
        self.halves.iter_mut().for_each(|half| half.stop(proxy));
    }
}

impl Future for Relay {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if !this.over {
            let Poll::Ready(outcome) = this.run() else {
                return Poll::Pending;
            };
            // What was decided before is why it ends, however the rest went.
            let outcome = this.outcome.unwrap_or(outcome);
            this.begin_close(outcome);
        }
        for stream in &mut this.streams {
            if stream.poll_joined().is_pending() {
                return Poll::Pending;
            }
        }
        Poll::Ready(())
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if !self.over {
            self.cut_off();
        }
        let outcome = self.outcome.unwrap_or(Outcome::drained(Phase::Relay));
        let [up, down] = &self.halves;
        if let (Some(frames_up), Some(frames_down)) = (up.inspection(), down.inspection()) {
            let counts = [frames_up.counts(), frames_down.counts()];
            self.story.frames(counts);
        }
        self.story.end(outcome, up.moved, down.moved);
        self.let_go();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_has_as_much_state_as_it_had_before_it_knew_frames() {
        assert!(size_of::<Relay>() <= 520, "{}", size_of::<Relay>());
        assert!(size_of::<HalfPipe>() <= 136, "{}", size_of::<HalfPipe>());
    }
}
