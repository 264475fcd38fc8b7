//! One request and its answer. The body of the request goes up while the answer is waited for and comes down, so an
//! origin may answer before it has read everything. What comes down is in `response`.

use std::future::poll_fn;
use std::os::fd::AsFd;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::request::Asked;
use super::{After, Conversation, DOWN, UP, Upstream, client_gone, origin};
use crate::addr::Authority;
use crate::limits;
use crate::net::{Incoming, TcpStream};
use crate::proto::http1::{Framing, HeadScan};
use crate::proxy::connect::{EarlyBytes, dial};
use crate::proxy::head::{HeadEnd, HeadReader, WholeHead};
use crate::proxy::outcome::{Cause, Outcome, Phase, Side};
use crate::proxy::relay::{Body, Failure};
use crate::proxy::session::Request;
use crate::proxy::upstream::Enquiry;
use crate::ring::{Interest, Scratch, SendData, sys};
use crate::rt::Operation;

/// An exchange under way.
pub(super) struct Exchange {
    pub(super) asked: Asked,
    /// The head once more, for as long as the request may be sent a second time.
    again: Option<Scratch>,
    /// Another worker was asked for a connection.
    enquiry: Option<Enquiry>,
    /// No more of the request goes up: the origin takes no more, or the client gives no more.
    pub(super) cut_short: bool,
    /// The client has ended its request in the middle, and waits for the rest of the answer.
    given_up: bool,
    /// Since when nothing but interim responses has moved, and how much had gone up by then.
    interim_since: Option<(Instant, u64)>,
    /// It has reset its connection, and the upload was told.
    pub(super) reset: bool,
    /// A look-out for the client's end, where no receive tells of it.
    watch: Option<Operation>,
}

/// What came back.
enum Answer {
    Head(WholeHead),
    /// The connection had been used before and was dead: this request has not been served.
    Dead,
}

impl Conversation {
    /// Serves one request.
    pub(super) async fn exchange(&mut self, request: Request) -> Result<After, Outcome> {
        self.proxy.counters.requests.add(1);
        let mut exchange = self.begin(request)?;
        if self.upstream.is_none() && !self.wait_for_another(&mut exchange).await {
            self.dial().await?;
        }
        self.feed_upload()?;
        // Once: what is received and not passed on, such as interim responses for HTTP/1.0, puts the end off for nobody.
        self.last_byte = self.proxy.rt.now();
        loop {
            match self.answer(&mut exchange).await? {
                Answer::Head(whole) => {
                    if let Some(after) = self.respond(&mut exchange, whole).await? {
                        return Ok(after);
                    }
                }
                Answer::Dead => self.retry(&mut exchange).await?,
            }
        }
    }

    /// Judges the request, and makes ready what goes up. Nothing is dialled before it is known to be sound.
    fn begin(&mut self, request: Request) -> Result<Exchange, Outcome> {
        let Request { head, whole } = request;
        self.answered = false;
        self.reply_body = head.reply_body(whole.head());
        let asked = Asked::judge(&head, whole.head())?;
        asked.write_key(whole.head(), self.on_loopback, &mut self.key);
        self.story.target(
            &self.key.get(1..).unwrap_or_default().escape_ascii(),
            Phase::Exchange,
        );
        let enquiry = self.take_upstream();
        let sent = asked.rewritten(&self.proxy, &head, whole.head(), &self.forwarded);
        let reused = self.upstream.is_some() || enquiry.is_some();
        let again = (reused && asked.may_repeat()).then(|| {
            let mut copy = self.proxy.scratch.take();
            copy.writer().extend_from_slice(&sent);
            copy
        });
        let body = match asked.framing {
            Framing::Length(bytes) => Body::Length(bytes),
            Framing::Chunked => Body::Chunked(Box::new(head.chunked_body(whole.head()))),
            Framing::None | Framing::UntilClose => Body::Length(0),
        };
        self.halves[UP].begin(body);
        // Behind the head in its buffer; what the client has sent after that is behind this.
        if let Some(behind) = whole.into_behind() {
            self.input.push_front(behind);
        }
        let first = self.admit_input()?;
        self.halves[UP].push_message(sent, first);
        self.feed_upload()?;
        Ok(Exchange {
            asked,
            again,
            enquiry,
            cut_short: false,
            given_up: false,
            interim_since: None,
            reset: false,
            watch: None,
        })
    }

    /// The connection at hand if it leads there, or one from the pool. Without either another worker is asked, if that
    /// seems to have one.
    fn take_upstream(&mut self) -> Option<Enquiry> {
        if let Some(mut upstream) = self.upstream.take() {
            if *upstream.key != *self.key {
                super::release(&self.proxy, upstream);
            } else if upstream.stream.poll_received().is_ready()
                || (!upstream.stream.receiving() && !sys::is_quiet(upstream.stream.as_fd()))
            {
                // It has ended, or says what nobody asked for. With no receive armed, as behind a spliced body, only
                // the socket knows.
                self.discard(upstream);
            } else {
                self.upstream = Some(upstream);
                self.proxy.counters.reused.add(1);
                return None;
            }
        }
        let Some(stream) = self.proxy.upstreams.take(&self.key) else {
            return self.proxy.upstreams.ask(&self.key);
        };
        self.reuse(stream);
        None
    }

    fn reuse(&mut self, stream: TcpStream) {
        self.proxy.counters.reused.add(1);
        self.upstream = Some(Upstream {
            stream,
            key: self.key.as_slice().into(),
        });
    }

    /// Waits for what another worker was asked for. Says whether that is a connection. The wait is too short to let go
    /// of receive buffers.
    async fn wait_for_another(&mut self, exchange: &mut Exchange) -> bool {
        let Some(enquiry) = exchange.enquiry.take() else {
            return false;
        };
        if let Some(stream) = enquiry.connection().await {
            self.reuse(stream);
            return true;
        }
        // Only a connection that has served a request may be found dead.
        exchange.again = None;
        false
    }

    /// Connects to the origin. What waits meanwhile must not hold receive buffers.
    async fn dial(&mut self) -> Result<(), Outcome> {
        let authority = self.key.get(1..).unwrap_or_default();
        let authority =
            Authority::parse(authority).map_err(|error| super::malformed(error.into()))?;
        self.halves[UP].leave_arena();
        let input = std::mem::take(&mut self.input);
        let mut early = EarlyBytes {
            data: input.into_iter().map(SendData::out_of_arena).collect(),
            ended: false,
        };
        let dialled = dial(&self.proxy, &mut self.client, &authority, &mut early).await;
        self.input = early.data;
        self.upstream = Some(Upstream {
            stream: dialled?,
            key: self.key.as_slice().into(),
        });
        Ok(())
    }

    async fn retry(&mut self, exchange: &mut Exchange) -> Result<(), Outcome> {
        if let Some(dead) = self.upstream.take() {
            self.halves[UP].stop(&self.proxy);
            dead.stream.close().await;
        }
        let Some(head) = exchange.again.take() else {
            return Ok(());
        };
        self.proxy.counters.retries.add(1);
        self.halves[UP].begin(Body::Length(0));
        self.halves[UP].push_message(head, None);
        (exchange.cut_short, exchange.reset) = (false, false);
        self.dial().await
    }

    /// Gives the half-pipe of the request what has arrived of its body.
    fn feed_upload(&mut self) -> Result<(), Outcome> {
        while !self.halves[UP].body_ended() && !self.input.is_empty() {
            if let Some(data) = self.admit_input()? {
                self.halves[UP].push(data);
            }
        }
        self.halves[UP].expect_bulk(&self.proxy, &self.client);
        Ok(())
    }

    /// The body's part of what the client has sent next.
    fn admit_input(&mut self) -> Result<Option<SendData>, Outcome> {
        let up = &mut self.halves[UP];
        let Some(data) = self.input.pop_front() else {
            return Ok(None);
        };
        let admitted = up.admit(data).map_err(|error| Outcome {
            side: Side::Client,
            phase: Phase::Exchange,
            cause: Cause::Body(error),
        });
        if let Some(rest) = up.take_rest() {
            self.input.push_front(rest);
        }
        admitted
    }

    /// Waits for a whole head from the origin.
    async fn answer(&mut self, exchange: &mut Exchange) -> Result<Answer, Outcome> {
        let mut reader = HeadReader::new(HeadScan::response());
        if let Some(data) = self.halves[DOWN].take_rest() {
            let fed = reader
                .feed(data)
                .map_err(|error| origin(Cause::Response(error)))?;
            if let Some(whole) = fed {
                return Ok(Answer::Head(whole));
            }
        }
        poll_fn(|_| {
            if let Err(outcome) = self.upload(exchange) {
                return Poll::Ready(Err(outcome));
            }
            let Some(upstream) = &mut self.upstream else {
                return Poll::Ready(Err(origin(Cause::ResponseMissing)));
            };
            match reader.poll(&mut upstream.stream) {
                Poll::Ready(Ok(whole)) => {
                    exchange.again = None;
                    Poll::Ready(Ok(Answer::Head(whole)))
                }
                Poll::Ready(Err(HeadEnd::Malformed(error))) => {
                    Poll::Ready(Err(origin(Cause::Response(error))))
                }
                Poll::Ready(Err(_)) if exchange.again.is_some() && !reader.begun() => {
                    Poll::Ready(Ok(Answer::Dead))
                }
                Poll::Ready(Err(HeadEnd::Closed | HeadEnd::Lost(_))) => {
                    Poll::Ready(Err(origin(Cause::ResponseMissing)))
                }
                Poll::Pending => self.mind_client(exchange, true).map(Err),
            }
        })
        .await
    }

    /// Moves the request on. An origin that takes no more of it may have answered already.
    ///
    /// A client that ends in the middle of it has aborted it, unless the final response has begun: who sees an origin refuse
    /// a body should cease to send it and close its side of the connection (RFC 9112 section 9.5), and wants the rest of the
    /// answer. The origin is told of no end then, and of RST when it has answered: it must not take what it has for whole.
    pub(super) fn upload(&mut self, exchange: &mut Exchange) -> Result<(), Outcome> {
        let up = &mut self.halves[UP];
        let Some(upstream) = &mut self.upstream else {
            return Ok(());
        };
        if up.done() || exchange.cut_short {
            return Ok(());
        }
        let before = up.moved;
        let stepped = up.step(&self.proxy, &mut self.client, &mut upstream.stream);
        self.proxy.counters.bytes_up.add(up.moved - before);
        let cause = match stepped {
            Ok(()) => return Ok(()),
            Err(Failure::Sink(errno)) => {
                exchange.cut_short = true;
                exchange.reset |= errno == libc::ECONNRESET;
                up.stop(&self.proxy);
                return Ok(());
            }
            Err(Failure::Source(errno)) => return Err(client_gone(errno)),
            Err(Failure::Truncated) if self.answered => {
                (exchange.cut_short, exchange.given_up) = (true, true);
                self.last_byte = self.proxy.rt.now();
                up.stop(&self.proxy);
                return Ok(());
            }
            Err(Failure::Truncated) => Cause::Closed,
            Err(Failure::Body(error)) => Cause::Body(error),
        };
        Err(Outcome {
            side: Side::Client,
            phase: Phase::Exchange,
            cause,
        })
    }

    /// While there is nothing to do: whether the client is still there, and everybody in time.
    pub(super) fn mind_client(
        &mut self,
        exchange: &mut Exchange,
        for_answer: bool,
    ) -> Poll<Outcome> {
        let proxy = &self.proxy;
        let moved = self.halves[UP].moved + self.halves[DOWN].moved;
        if moved != self.last_moved {
            self.last_moved = moved;
            self.last_byte = proxy.rt.now();
        }
        let up = &self.halves[UP];
        let unread = up.body_ended() || exchange.cut_short;
        if (unread || up.blocked())
            && let Some(errno) = self.client_failure(exchange)
        {
            return Poll::Ready(client_gone(errno));
        }
        self.spare_buffers(unread);
        self.watchdog.set(self.last_byte + self.allowance(exchange));
        if !self.watchdog.expired() {
            return Poll::Pending;
        }
        self.proxy.counters.timeouts.add(1);
        let up = &self.halves[UP];
        let waits_for_client = if for_answer {
            !up.done() && !up.blocked() && !exchange.cut_short
        } else {
            self.halves[DOWN].blocked()
        };
        Poll::Ready(if waits_for_client {
            Outcome {
                side: Side::Client,
                phase: Phase::Exchange,
                cause: Cause::IdleTimeout,
            }
        } else {
            origin(Cause::ResponseTimeout)
        })
    }

    /// How long nothing may move. An answer that waits for a body of which no more comes would wait in vain, so behind a
    /// client's FIN this is as short as in a tunnel.
    fn allowance(&self, exchange: &Exchange) -> Duration {
        let idle_timeout = self.proxy.idle_timeout;
        if exchange.given_up {
            idle_timeout.min(self.proxy.half_close_timeout)
        } else {
            idle_timeout
        }
    }

    /// Whether an origin may put its final response off by another interim one.
    pub(super) fn may_put_off(&self, exchange: &mut Exchange) -> bool {
        let (now, uploaded) = (self.proxy.rt.now(), self.halves[UP].moved);
        let begun = exchange.interim_since.filter(|(_, then)| *then == uploaded);
        let (since, _) = *exchange
            .interim_since
            .insert(begun.unwrap_or((now, uploaded)));
        let allowance = self
            .proxy
            .idle_timeout
            .saturating_mul(limits::INTERIM_IDLE_TIMEOUTS_MAX);
        now.saturating_duration_since(since) < allowance
    }

    /// What the client's connection has failed with, while nothing is read from it.
    fn client_failure(&self, exchange: &mut Exchange) -> Option<i32> {
        let client = &self.client;
        if client.recv_failure().is_some() || client.listening() {
            return client.recv_failure();
        }
        // A splice leaves no receive behind that would tell, and one that has received as much as it may is over.
        let watch = exchange
            .watch
            .get_or_insert_with(|| client.readiness(Interest::Failed));
        match watch.poll_events(Interest::Failed) {
            Poll::Pending => None,
            // The completion queue was full.
            Poll::Ready(0) => {
                exchange.watch = Some(client.readiness(Interest::Failed));
                None
            }
            Poll::Ready(_) => Some(client.take_error().unwrap_or(libc::ECONNRESET)),
        }
    }

    /// What waits here is in receive buffers; when others need these, it is moved. With `unread`, so is what the client
    /// has sent behind its request.
    fn spare_buffers(&mut self, unread: bool) {
        let rt = &self.proxy.rt;
        if !rt.buffers_wanted() {
            return rt.hold_buffers();
        }
        let mut spilled = false;
        for data in &mut self.input {
            spilled |= data.leave_arena();
        }
        for half in &mut self.halves {
            spilled |= half.leave_arena();
        }
        if unread {
            self.client.pause_incoming();
            while let Poll::Ready(Incoming::Bytes(lease)) = self.client.poll_received() {
                let copied = Bytes::copy_from_slice(&lease);
                self.input.push_back(SendData::Bytes(Box::new(copied)));
                spilled = true;
            }
        }
        // What an origin says behind its answer is nobody's. Behind an interim response comes the answer.
        if self.answered
            && self.halves[DOWN].body_ended()
            && let Some(upstream) = &mut self.upstream
        {
            upstream.stream.pause_incoming();
            while upstream.stream.poll_received().is_ready() {
                self.unasked = true;
            }
        }
        self.proxy.counters.spills.add(u64::from(spilled));
    }
}
