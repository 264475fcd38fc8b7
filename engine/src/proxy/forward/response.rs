//! What an origin answers, on its way to the client: interim responses, a change to WebSocket, and the final response
//! with its body. Called by `exchange`.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::Poll;

use super::exchange::Exchange;
use super::{After, Conversation, DOWN, UP, Upgraded, client_gone, origin};
use crate::proto::http1::{
    ConnectionField, Framing, ReplyBody, ResponseHead, ResponseRewrite, rewrite_response,
};
use crate::proxy::head::WholeHead;
use crate::proxy::outcome::{Cause, Outcome};
use crate::proxy::relay::{Body, Failure};
use crate::ring::{Scratch, SendData};

impl Conversation {
    /// Passes one answer on; what comes after, unless the answer is an interim one.
    pub(super) async fn respond(
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

    /// RFC 9110 section 15.2: any number of them, none for a client of HTTP/1.0. Each that passes puts the end of an idle
    /// exchange off, which is what 102 is for, but not for ever: an origin that says nothing else for
    /// `limits::INTERIM_IDLE_TIMEOUTS_MAX` idle timeouts, while nothing of the request goes up, has not answered in time.
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
        if !self.may_put_off(exchange) {
            self.proxy.counters.timeouts.add(1);
            return Err(origin(Cause::ResponseTimeout));
        }
        let down = &mut self.halves[DOWN];
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
            Framing::Chunked if exchange.asked.modern => {
                let chunks = head.chunked_body(whole.head());
                (framing, Body::Chunked(Box::new(chunks)))
            }
            Framing::Chunked => (Framing::UntilClose, Body::Dechunked(Box::default())),
            Framing::UntilClose => (framing, Body::Stream),
        };
        self.unasked = false;
        self.answered = true;
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
        self.deliver(exchange, framing).await?;
        // A refusal that comes now is for a request that nobody has read yet.
        self.reply_body = ReplyBody::Text;
        if head.keeps_alive() && framing != Framing::UntilClose {
            // The origin may still want the rest of it. The client has its answer, and needs no other one if that fails.
            let _ = self.finish_upload(exchange).await;
        }
        let whole_request = self.halves[UP].done() && !exchange.cut_short;
        // An origin that says more than it was asked for is not asked again.
        let reusable = head.keeps_alive()
            && framing != Framing::UntilClose
            && whole_request
            && in_order
            && !self.unasked;
        if !whole_request {
            self.halves[UP].stop(&self.proxy);
        }
        if !reusable && let Some(upstream) = self.upstream.take() {
            if !whole_request {
                upstream.stream.reset_on_close();
            }
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

    /// Moves the final response on until its last byte is sent. What came behind it is nobody's.
    async fn deliver(&mut self, exchange: &mut Exchange, framing: Framing) -> Result<(), Outcome> {
        self.set_answering(true);
        self.download(exchange).await?;
        if framing == Framing::UntilClose && exchange.reset {
            // The kernel tells of a reset once. It told the upload, and the download took it for FIN.
            return Err(origin(Cause::Reset));
        }
        self.set_answering(false);
        while self.halves[DOWN].take_rest().is_some() {
            self.unasked = true;
        }
        Ok(())
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
