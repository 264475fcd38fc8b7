//! A relay that looks at the frames of a WebSocket (`--websocket-inspect`; RFC 6455): pings both ends while they are
//! quiet, ends in order what breaks the rules, stays idle or outlives a drain, and tells what has passed.
//!
//! The rules of frames are in `proto::ws`, the state of a direction in `inspection`. Tunnels made by CONNECT, and
//! WebSockets without the option, are relayed as bytes and do not come here.

use std::time::{Duration, Instant};

use super::inspection::Ping;
use super::{DOWN, Relay, Tunnel, UP};
use crate::limits;
use crate::proto::ws::{CloseCode, Sender};
use crate::proxy::SharedProxy;
use crate::proxy::outcome::{Cause, Outcome, Phase, Side};

impl Relay {
    /// The relay of a WebSocket whose frames are looked at.
    pub(in crate::proxy) fn inspecting(proxy: SharedProxy, mut tunnel: Tunnel) -> Self {
        let early_up = std::mem::take(&mut tunnel.early_up);
        let early_down = tunnel.early_down.take();
        let mut relay = Self::new(proxy, tunnel);
        let scratch = &relay.proxy.scratch;
        relay.halves[UP].inspect(Sender::Client, scratch, early_up);
        relay.halves[DOWN].inspect(Sender::Server, scratch, early_down);
        relay
    }

    /// Begins the end, if an end has broken the rules: both are told, and what stood before is delivered.
    pub(super) fn mind_frames(&mut self) {
        for direction in [UP, DOWN] {
            let inspection = self.halves[direction].inspection();
            let Some(error) = inspection.and_then(|inspection| inspection.error()) else {
                continue;
            };
            self.proxy.counters.websocket_errors.add(1);
            let outcome = Outcome {
                side: source_of(direction),
                phase: Phase::Relay,
                cause: Cause::WebSocket(error),
            };
            return self.begin_end(outcome, error.close_code());
        }
    }

    /// Ends an idle WebSocket, if it can be told of it. Where bytes have waited all that time, a Close would wait with
    /// them.
    pub(super) fn ends_idle(&mut self, outcome: Outcome) -> bool {
        let orderly = outcome.cause == Cause::IdleTimeout
            && self.outcome.is_none()
            && self.halves[UP].inspection().is_some()
            && !self.holds_bytes();
        if orderly {
            self.begin_end(outcome, CloseCode::GOING_AWAY);
        }
        orderly
    }

    /// The worker ends now, and the tunnel with it, with RST, so that nobody takes it for whole. But an end that can be told
    /// that this proxy goes away is told so, and that with FIN.
    pub(super) fn cut_off(&mut self) {
        let [client, upstream] = &self.streams;
        for (half, sink) in self.halves.iter_mut().zip([upstream, client]) {
            let key = self.proxy.random.bytes();
            if !half.close_at_once(CloseCode::GOING_AWAY, key, sink) {
                sink.reset_on_close();
            }
        }
    }

    /// What has been decided stands from here on; a Close and FIN go both ways behind what is on its way, and both ends
    /// have the half-close timeout to end as well.
    fn begin_end(&mut self, outcome: Outcome, code: CloseCode) {
        for half in self.halves.iter_mut().filter(|half| !half.done()) {
            half.close(code, self.proxy.random.bytes());
        }
        self.outcome = Some(outcome);
        self.half_closed = true;
        self.last_byte = self.proxy.rt.now();
        self.set_timer(self.last_byte + self.proxy.half_close_timeout);
        self.proxy.rt.yield_now();
    }

    /// When the pings need another look; `None` where there are none: behind a FIN or a Close nobody has to answer.
    pub(super) fn pings_due(&self) -> Option<Instant> {
        let open = self.halves.iter().all(|half| {
            let inspection = half.inspection();
            inspection.is_some_and(|inspection| !inspection.is_closed())
        });
        if !open || self.half_closed {
            return None;
        }
        let tried_at = self.halves[UP].inspection()?.tried_at;
        let quiet_since = tried_at.map_or(self.last_byte, |at| at.max(self.last_byte));
        let next = quiet_since + self.ping_interval();
        Some(
            self.dead_at()
                .map_or(next, |(dead_at, _)| next.min(dead_at)),
        )
    }

    /// The end of an idle WebSocket. An end that is about to be found dead is waited for: pings of a third of the idle
    /// timeout would else never tell.
    pub(super) fn idle_deadline(&self, deadline: Instant) -> Instant {
        let (true, Some((dead_at, _))) = (self.pings_due().is_some(), self.dead_at()) else {
            return deadline;
        };
        if dead_at < deadline + self.ping_interval() / 2 {
            deadline.max(dead_at)
        } else {
            deadline
        }
    }

    /// The end of a WebSocket one of whose ends has answered no ping for too long.
    pub(super) fn dead(&self, now: Instant) -> Option<Outcome> {
        self.pings_due()?;
        let (_, side) = self.dead_at().filter(|(dead_at, _)| now >= *dead_at)?;
        Some(Outcome {
            side,
            phase: Phase::Relay,
            cause: Cause::PingTimeout,
        })
    }

    /// Pings both ends when it is time.
    pub(super) fn mind_pings(&mut self, now: Instant) {
        if self.pings_due().is_none_or(|due| now < due) {
            return;
        }
        if let Some(up) = self.halves[UP].inspection_mut() {
            up.tried_at = Some(now);
        }
        if !self.holds_bytes() {
            self.ping(UP, now);
            self.ping(DOWN, now);
        }
    }

    /// Pings the receiver of this direction, unless it has one to answer already or is inside of a frame of its own and
    /// cannot answer.
    fn ping(&mut self, direction: usize, now: Instant) {
        let back = &self.halves[1 - direction];
        let may_answer = back
            .inspection()
            .is_some_and(|inspection| inspection.at_frame_boundary());
        if !may_answer || self.unanswered_since(direction).is_some() {
            return;
        }
        let ping = Ping {
            sent_at: now,
            heard: back.moved,
        };
        let (payload, key) = (self.proxy.random.bytes(), self.proxy.random.bytes());
        if !self.halves[direction].ping(ping, payload, key) {
            return;
        }
        if let Some(back) = self.halves[1 - direction].inspection_mut() {
            back.expect_pong(payload);
        }
        self.proxy.rt.yield_now();
    }

    /// When an end will have been silent for too long, and which.
    fn dead_at(&self) -> Option<(Instant, Side)> {
        let allowance = self.ping_interval() * limits::WEBSOCKET_PING_INTERVALS_MAX;
        let ends = [UP, DOWN].into_iter().filter_map(|direction| {
            let since = self.unanswered_since(direction)?;
            Some((since + allowance, source_of(1 - direction)))
        });
        ends.min_by_key(|(dead_at, _)| *dead_at)
    }

    /// Since when the receiver of this direction has had a ping to answer and has said nothing. Whatever it says shows
    /// that it is there: an end with two pings to answer may answer just the last (section 5.5.3).
    fn unanswered_since(&self, direction: usize) -> Option<Instant> {
        let ping = self.halves[direction].inspection()?.ping?;
        let back = &self.halves[1 - direction];
        let silent = back.inspection()?.awaits_pong() && back.moved == ping.heard;
        // What it says may wait for a buffer.
        let heard = self.streams.iter().all(|stream| !stream.starved());
        (silent && heard).then_some(ping.sent_at)
    }

    fn ping_interval(&self) -> Duration {
        limits::WEBSOCKET_PING_INTERVAL.min(self.idle_timeout / 3)
    }
}

/// Who sends in this direction.
fn source_of(direction: usize) -> Side {
    if direction == UP {
        Side::Client
    } else {
        Side::Upstream
    }
}
