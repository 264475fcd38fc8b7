//! One request and its answer. The body of the request goes up while the answer is waited for and comes down, so an
//! origin may answer before it has read everything.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::os::fd::AsFd;
use std::task::Poll;

use bytes::Bytes;

use super::request::Asked;
use super::{After, Conversation, DOWN, UP, Upgraded, Upstream, client_gone};
use crate::addr::Authority;
use crate::net::Incoming;
use crate::proto::http1::{
    ConnectionField, Framing, HeadScan, ReplyBody, ResponseHead, ResponseRewrite, rewrite_response,
};
use crate::proxy::connect::{EarlyBytes, dial};
use crate::proxy::head::{HeadEnd, HeadReader, WholeHead};
use crate::proxy::outcome::{Cause, Outcome, Phase, Side};
use crate::proxy::relay::{Body, Failure};
use crate::proxy::session::Request;
use crate::ring::{Scratch, SendData, sys};

/// An exchange under way.
struct Exchange {
    asked: Asked,
    /// The head once more, for as long as the request may be sent a second time.
    again: Option<Scratch>,
    /// The origin takes no more of the request.
    cut_short: bool,
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
        if self.upstream.is_none() {
            self.dial().await?;
        }
        self.feed_upload()?;
        // Not per answer: interim ones alone do not keep an exchange alive.
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
        self.reply_body = head.reply_body(whole.head());
        let asked = Asked::judge(&head, whole.head())?;
        asked.write_key(whole.head(), self.on_loopback, &mut self.key);
        self.story.target(
            &self.key.get(1..).unwrap_or_default().escape_ascii(),
            Phase::Exchange,
        );
        self.take_upstream();
        let sent = asked.rewritten(&self.proxy, &head, whole.head(), &self.forwarded);
        let reused = self.upstream.is_some();
        let again = (reused && asked.may_repeat()).then(|| {
            let mut copy = self.proxy.scratch.take();
            copy.writer().extend_from_slice(&sent);
            copy
        });
        let body = match asked.framing {
            Framing::Length(bytes) => Body::Length(bytes),
            Framing::Chunked => Body::Chunked(Box::default()),
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
            cut_short: false,
        })
    }

    /// The connection at hand if it leads there, or one from the pool.
    fn take_upstream(&mut self) {
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
                return;
            }
        }
        if let Some(stream) = self.proxy.upstreams.take(&self.key) {
            self.proxy.counters.reused.add(1);
            self.upstream = Some(Upstream {
                stream,
                key: self.key.as_slice().into(),
            });
        }
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
        exchange.cut_short = false;
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
    fn upload(&mut self, exchange: &mut Exchange) -> Result<(), Outcome> {
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
            Err(Failure::Sink(_)) => {
                exchange.cut_short = true;
                up.stop(&self.proxy);
                return Ok(());
            }
            Err(Failure::Source(errno)) => return Err(client_gone(errno)),
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
    fn mind_client(&mut self, exchange: &Exchange, for_answer: bool) -> Poll<Outcome> {
        let proxy = &self.proxy;
        let moved = self.halves[UP].moved + self.halves[DOWN].moved;
        if moved != self.last_moved {
            self.last_moved = moved;
            self.last_byte = proxy.rt.now();
        }
        let up = &self.halves[UP];
        if up.body_ended() || exchange.cut_short {
            if let Some(errno) = self.client.recv_failure() {
                return Poll::Ready(client_gone(errno));
            }
            self.spare_buffers();
        }
        self.watchdog.set(self.last_byte + self.proxy.idle_timeout);
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

    /// What the client sends behind its request waits in receive buffers; when others need these, it is moved.
    fn spare_buffers(&mut self) {
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
        self.client.pause_incoming();
        while let Poll::Ready(Incoming::Bytes(lease)) = self.client.poll_received() {
            let copied = Bytes::copy_from_slice(&lease);
            self.input.push_back(SendData::Bytes(Box::new(copied)));
            spilled = true;
        }
        // What an origin says behind its answer is nobody's.
        if self.halves[DOWN].body_ended()
            && self.answering
            && let Some(upstream) = &mut self.upstream
        {
            upstream.stream.pause_incoming();
            while upstream.stream.poll_received().is_ready() {
                self.unasked = true;
            }
        }
        self.proxy.counters.spills.add(u64::from(spilled));
    }

    /// Passes one answer on; what comes after, unless the answer is an interim one.
    async fn respond(
        &mut self,
        exchange: &mut Exchange,
        whole: WholeHead,
    ) -> Result<Option<After>, Outcome> {
        let head =
            ResponseHead::parse(whole.head()).map_err(|error| origin(Cause::Response(error)))?;
        match head.status {
            101 => self.switch(exchange, &head, whole).map(Some),
            100..200 => self.interim(exchange, &head, whole).await.map(|()| None),
            _ => self.final_response(exchange, &head, whole).await.map(Some),
        }
    }

    /// The origin goes over to WebSocket, if that was asked for and it has understood.
    fn switch(
        &mut self,
        exchange: &Exchange,
        head: &ResponseHead,
        whole: WholeHead,
    ) -> Result<After, Outcome> {
        let agreed = exchange
            .asked
            .websocket
            .as_ref()
            .is_some_and(|expected| expected.matches(head.fields(whole.head())));
        if !agreed || !self.halves[UP].done() {
            return Err(origin(Cause::SwitchRefused));
        }
        let answer = self.rewritten(head, &whole, Framing::None, ConnectionField::Upgrade);
        let Some(upstream) = self.upstream.take() else {
            return Err(origin(Cause::ResponseMissing));
        };
        Ok(After::Upgraded(Box::new(Upgraded {
            upstream: upstream.stream,
            answer: SendData::Scratch(answer),
            early_down: whole.into_behind(),
        })))
    }

    /// RFC 9110 section 15.2: any number of them, none for a client of HTTP/1.0.
    async fn interim(
        &mut self,
        exchange: &mut Exchange,
        head: &ResponseHead,
        whole: WholeHead,
    ) -> Result<(), Outcome> {
        let sent = exchange
            .asked
            .modern
            .then(|| self.rewritten(head, &whole, Framing::None, ConnectionField::Silent));
        let down = &mut self.halves[DOWN];
        if let Some(behind) = whole.into_behind() {
            down.keep_rest(behind);
        }
        let Some(sent) = sent else {
            return Ok(());
        };
        down.begin(Body::Length(0));
        down.push_message(sent, None);
        // A refusal may not stand inside of a head.
        self.set_answering(true);
        self.download(exchange).await?;
        self.set_answering(false);
        Ok(())
    }

    async fn final_response(
        &mut self,
        exchange: &mut Exchange,
        head: &ResponseHead,
        whole: WholeHead,
    ) -> Result<After, Outcome> {
        let framing = head.framing(exchange.asked.method);
        let (sent_framing, body) = match framing {
            Framing::None => (framing, Body::Length(0)),
            Framing::Length(bytes) => (framing, Body::Length(bytes)),
            Framing::Chunked if exchange.asked.modern => (framing, Body::Chunked(Box::default())),
            Framing::Chunked => (Framing::UntilClose, Body::Dechunked(Box::default())),
            Framing::UntilClose => (framing, Body::Stream),
        };
        self.unasked = false;
        let whole_request = self.halves[UP].done();
        // An answer that was there before its request cannot be its answer.
        let in_order = whole_request || exchange.asked.framing != Framing::None;
        // An origin that closes before the request is whole wants no more of it, so the rest of it leads nowhere.
        let keep = exchange.asked.keeps_alive
            && sent_framing != Framing::UntilClose
            && !exchange.cut_short
            && (whole_request || head.keeps_alive())
            && !self.proxy.draining.get();
        let connection = match (keep, exchange.asked.modern) {
            (false, _) => ConnectionField::Close,
            (true, true) => ConnectionField::Silent,
            (true, false) => ConnectionField::KeepAlive,
        };
        let sent = self.rewritten(head, &whole, sent_framing, connection);
        self.begin_download(body, sent, whole)?;
        self.set_answering(true);
        self.download(exchange).await?;
        self.set_answering(false);
        // A refusal that comes now is for a request that nobody has read yet.
        self.reply_body = ReplyBody::Text;
        if head.keeps_alive() && framing != Framing::UntilClose {
            // The origin may still want the rest of it. The client has its answer, and needs no other one if that fails.
            let _ = self.finish_upload(exchange).await;
        }
        let whole_request = self.halves[UP].done() && !exchange.cut_short;
        let rest = self.halves[DOWN].take_rest();
        while self.halves[DOWN].take_rest().is_some() {}
        // An origin that says more than it was asked for is not asked again.
        let reusable = head.keeps_alive()
            && framing != Framing::UntilClose
            && whole_request
            && in_order
            && rest.is_none()
            && !self.unasked;
        if !whole_request {
            self.halves[UP].stop(&self.proxy);
        }
        if !reusable && let Some(upstream) = self.upstream.take() {
            self.discard(upstream);
        }
        let mut input: VecDeque<SendData> =
            std::iter::from_fn(|| self.halves[UP].take_rest()).collect();
        input.append(&mut self.input);
        self.input = input;
        Ok(if keep && whole_request {
            After::KeepAlive
        } else {
            After::Close
        })
    }

    fn rewritten(
        &self,
        head: &ResponseHead,
        whole: &WholeHead,
        framing: Framing,
        connection: ConnectionField,
    ) -> Scratch {
        let mut sent = self.proxy.scratch.take();
        let rewrite = ResponseRewrite {
            framing,
            connection,
        };
        rewrite_response(head, whole.head(), &rewrite, sent.writer());
        sent
    }

    /// The head goes out together with as much of the body as came with it, if that is little.
    fn begin_download(
        &mut self,
        body: Body,
        head: Scratch,
        whole: WholeHead,
    ) -> Result<(), Outcome> {
        let down = &mut self.halves[DOWN];
        down.begin(body);
        let body = match whole.into_behind() {
            Some(behind) => down
                .admit(behind)
                .map_err(|error| origin(Cause::ResponseBody(error)))?,
            None => None,
        };
        down.push_message(head, body);
        if let Some(upstream) = &self.upstream {
            down.expect_bulk(&self.proxy, &upstream.stream);
        }
        Ok(())
    }

    /// Says whether an answer is on its way to the client, which nothing but its own end may end in order.
    fn set_answering(&mut self, answering: bool) {
        self.answering = answering;
        self.client.set_unfinished(answering);
    }

    /// Moves the request on until its last byte is sent, or the origin takes no more.
    async fn finish_upload(&mut self, exchange: &mut Exchange) -> Result<(), Outcome> {
        poll_fn(|_| {
            if let Err(outcome) = self.upload(exchange) {
                return Poll::Ready(Err(outcome));
            }
            if self.halves[UP].done() || exchange.cut_short {
                return Poll::Ready(Ok(()));
            }
            self.mind_client(exchange, false).map(Err)
        })
        .await
    }

    /// Moves the answer on until its last byte is sent.
    async fn download(&mut self, exchange: &mut Exchange) -> Result<(), Outcome> {
        self.last_byte = self.proxy.rt.now();
        poll_fn(|_| {
            if let Err(outcome) = self.upload(exchange) {
                return Poll::Ready(Err(outcome));
            }
            let Some(upstream) = &mut self.upstream else {
                return Poll::Ready(Err(origin(Cause::ResponseMissing)));
            };
            let down = &mut self.halves[DOWN];
            let before = down.moved;
            let stepped = down.step(&self.proxy, &mut upstream.stream, &mut self.client);
            self.proxy.counters.bytes_down.add(down.moved - before);
            match stepped {
                Ok(()) if down.done() => Poll::Ready(Ok(())),
                Ok(()) => self.mind_client(exchange, false).map(Err),
                Err(Failure::Sink(errno)) => Poll::Ready(Err(client_gone(errno))),
                Err(Failure::Source(errno)) => Poll::Ready(Err(origin(Cause::of_errno(errno)))),
                Err(Failure::Truncated) => Poll::Ready(Err(origin(Cause::ResponseMissing))),
                Err(Failure::Body(error)) => Poll::Ready(Err(origin(Cause::ResponseBody(error)))),
            }
        })
        .await
    }
}

/// The origin's fault.
fn origin(cause: Cause) -> Outcome {
    Outcome {
        side: Side::Upstream,
        phase: Phase::Exchange,
        cause,
    }
}
