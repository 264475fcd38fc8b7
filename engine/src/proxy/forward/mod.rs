//! Forwarding (RFC 9110, RFC 9112): the requests of one client connection, in their order, each to the origin that its
//! target names. What a client sends behind a request waits until that is answered.
//!
//! One request and its answer are `exchange`, with `response`; the connection to the origin stays at hand for the next request, and goes
//! to the pool of the worker when that is slow to come. Called by `session` with the first request.

mod exchange;
mod field;
mod request;
mod response;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::Poll;
use std::time::Instant;

use super::SharedProxy;
use super::connect::{self, is_on_loopback};
use super::head::{HeadEnd, HeadReader};
use super::outcome::{Cause, Outcome, Phase, Side, Story};
use super::relay::{HalfPipe, Relay, Tunnel};
use super::session::{Refusal, Request, close_in_stages};
use super::watchdog::Watchdog;
use crate::limits;
use crate::net::{Incoming, TcpStream};
use crate::proto::http1::{HeadScan, ReplyBody};
use crate::ring::SendData;
use crate::rt::GatePass;

pub use field::ForwardedField;

/// The halves of a conversation: the client's requests, the origins' answers.
const UP: usize = 0;
const DOWN: usize = 1;

/// What comes after an exchange.
enum After {
    /// The next request.
    KeepAlive,
    /// The end of the client's connection, in order.
    Close,
    /// Not HTTP any more.
    Upgraded(Box<Upgraded>),
}

/// Bytes that start off an upgraded connection.
struct Upgraded {
    upstream: TcpStream,
    answer: SendData,
    early_down: Option<SendData>,
}

/// A connection to an origin, and what it can be used for.
struct Upstream {
    stream: TcpStream,
    key: Box<[u8]>,
}

/// A client and its requests.
struct Conversation {
    proxy: SharedProxy,
    client: TcpStream,
    /// What the client has sent behind the last request.
    input: VecDeque<SendData>,
    upstream: Option<Upstream>,
    halves: [HalfPipe; 2],
    watchdog: Watchdog,
    on_loopback: bool,
    /// Field lines that every request of this client gets.
    forwarded: Box<[u8]>,
    /// The way and the authority of the current request: what its upstream connection is kept under.
    key: Vec<u8>,
    /// How the client reads an answer of this proxy to the current request.
    reply_body: ReplyBody,
    /// A response, perhaps an interim one, has begun and is not whole.
    answering: bool,
    /// The final response to the current request has begun.
    answered: bool,
    /// The origin has said something behind its answer.
    unasked: bool,
    /// When bytes moved last, and how many had until then.
    last_byte: Instant,
    last_moved: u64,
    story: Story,
    pass: GatePass,
}

/// Serves the requests of a client from `first` on.
pub(super) async fn serve(
    proxy: &SharedProxy,
    client: TcpStream,
    first: Request,
    story: Story,
    pass: GatePass,
) -> Result<(), Refusal> {
    let mut conversation = Conversation {
        on_loopback: is_on_loopback(proxy, &client),
        forwarded: proxy.forwarded.lines(&client),
        proxy: SharedProxy::clone(proxy),
        client,
        input: VecDeque::new(),
        upstream: None,
        halves: [HalfPipe::idle(), HalfPipe::idle()],
        watchdog: Watchdog::new(&proxy.rt, proxy.rt.now() + proxy.idle_timeout),
        key: Vec::new(),
        reply_body: ReplyBody::Text,
        answering: false,
        answered: false,
        unasked: false,
        last_byte: proxy.rt.now(),
        last_moved: 0,
        story,
        pass,
    };
    let mut request = first;
    loop {
        match conversation.exchange(request).await {
            Ok(After::KeepAlive) => {}
            Ok(After::Close) => return conversation.close().await,
            Ok(After::Upgraded(upgraded)) => return conversation.upgrade(*upgraded),
            Err(outcome) => return conversation.refuse(outcome).await,
        }
        request = match conversation.next_request().await {
            Ok(Some(request)) => request,
            Ok(None) => return conversation.close().await,
            Err(outcome) => return conversation.refuse(outcome).await,
        };
        if request.head.is_connect(request.whole.head()) {
            return conversation.tunnel(request).await;
        }
    }
}

impl Conversation {
    /// The next request; `None` when there is none and the connection is to be closed in order.
    async fn next_request(&mut self) -> Result<Option<Request>, Outcome> {
        let mut reader = HeadReader::new(HeadScan::request());
        while let Some(data) = self.input.pop_front() {
            if let Some(whole) = reader.feed(data).map_err(malformed)? {
                return self.parsed(whole).map(Some);
            }
        }
        let idle_since = self.proxy.rt.now();
        let mut head_until = None;
        let read = poll_fn(|_| {
            if let Poll::Ready(read) = reader.poll(&mut self.client) {
                return Poll::Ready(Some(read));
            }
            self.mind_upstream(idle_since);
            self.wait_for_head(&reader, idle_since, &mut head_until)
        })
        .await;
        match read {
            Some(Ok(whole)) => self.parsed(whole).map(Some),
            Some(Err(HeadEnd::Malformed(error))) => Err(malformed(error)),
            Some(Err(HeadEnd::Lost(errno))) => Err(client_gone(errno)),
            Some(Err(HeadEnd::Closed)) if reader.begun() => Err(Outcome {
                side: Side::Client,
                phase: Phase::Head,
                cause: Cause::Closed,
            }),
            None if reader.begun() => Err(Outcome {
                side: Side::Client,
                phase: Phase::Head,
                cause: Cause::HeadTimeout,
            }),
            Some(Err(HeadEnd::Closed)) | None => Ok(None),
        }
    }

    /// Ready when the client was given enough time, or when no more requests are wanted.
    fn wait_for_head<T>(
        &mut self,
        reader: &HeadReader,
        idle_since: Instant,
        head_until: &mut Option<Instant>,
    ) -> Poll<Option<T>> {
        let proxy = &self.proxy;
        let deadline = if reader.begun() {
            *head_until.get_or_insert_with(|| proxy.rt.now() + proxy.head_timeout)
        } else if proxy.draining.get() {
            return Poll::Ready(None);
        } else {
            idle_since + proxy.keep_alive_timeout
        };
        let held_until = idle_since + limits::UPSTREAM_HOLD_TIME;
        let wake_at = if self.upstream.is_some() {
            deadline.min(held_until)
        } else {
            deadline
        };
        self.watchdog.set(wake_at);
        if self.watchdog.expired() && proxy.rt.now() >= deadline {
            return Poll::Ready(None);
        }
        Poll::Pending
    }

    /// While the client is silent: drops its upstream connection when the origin closes it, and lets others have it
    /// after a moment.
    fn mind_upstream(&mut self, idle_since: Instant) {
        let Some(mut upstream) = self.upstream.take() else {
            return;
        };
        if upstream.stream.poll_received().is_ready() {
            return self.discard(upstream);
        }
        if self.proxy.rt.now() < idle_since + limits::UPSTREAM_HOLD_TIME {
            self.upstream = Some(upstream);
            return;
        }
        release(&self.proxy, upstream);
    }

    /// Closes an upstream connection beside what goes on here.
    fn discard(&self, upstream: Upstream) {
        self.proxy.rt.spawn(upstream.stream.close());
    }

    fn parsed(&self, whole: super::head::WholeHead) -> Result<Request, Outcome> {
        let head = whole.parse_request().map_err(malformed)?;
        Ok(Request { head, whole })
    }

    /// Ends the client's connection in order.
    async fn close(mut self) -> Result<(), Refusal> {
        self.stop_halves();
        if let Some(upstream) = self.upstream.take() {
            release(&self.proxy, upstream);
        }
        let [up, down] = self.moved();
        let outcome = Outcome {
            side: Side::Proxy,
            phase: Phase::Exchange,
            cause: Cause::Done,
        };
        self.story.end(outcome, up, down);
        close_in_stages(&self.proxy, self.client).await;
        drop((self.story, self.pass));
        Ok(())
    }

    /// Ends it with an answer of this proxy's own, or, when an answer has begun already, with RST: nobody may take what
    /// was cut off for whole.
    async fn refuse(mut self, outcome: Outcome) -> Result<(), Refusal> {
        let moved = self.moved();
        self.stop_halves();
        if let Some(upstream) = self.upstream.take() {
            upstream.stream.reset_on_close();
            upstream.stream.close().await;
        }
        Err(Refusal {
            client: self.client,
            story: self.story,
            outcome,
            pass: self.pass,
            body: self.reply_body,
            answered: self.answering,
            moved,
        })
    }

    fn upgrade(self, upgraded: Upgraded) -> Result<(), Refusal> {
        let tunnel = Tunnel {
            client: self.client,
            upstream: upgraded.upstream,
            early_up: self.input,
            client_ended: false,
            answer: upgraded.answer,
            early_down: upgraded.early_down,
            idle_timeout: self.proxy.websocket_idle_timeout,
            story: self.story,
            pass: self.pass,
        };
        let proxy = SharedProxy::clone(&self.proxy);
        let relay = if proxy.websocket_inspect {
            Relay::inspecting(proxy, tunnel)
        } else {
            Relay::new(proxy, tunnel)
        };
        self.proxy.rt.spawn(relay);
        Ok(())
    }

    /// The client wants no more answers but a tunnel.
    async fn tunnel(self, request: Request) -> Result<(), Refusal> {
        if let Some(upstream) = self.upstream {
            release(&self.proxy, upstream);
        }
        connect::serve(
            &self.proxy,
            self.client,
            request,
            self.input,
            self.story,
            self.pass,
        )
        .await
    }

    fn stop_halves(&mut self) {
        for half in &mut self.halves {
            half.stop(&self.proxy);
        }
    }

    fn moved(&self) -> [u64; 2] {
        [self.halves[UP].moved, self.halves[DOWN].moved]
    }
}

/// Gives an upstream connection to the pool, once its receive has been asked back: at once, so that it is there for the
/// client's next request but one, which may come in the next turn.
fn release(proxy: &SharedProxy, mut upstream: Upstream) {
    let proxy = SharedProxy::clone(proxy);
    let rt = proxy.rt.clone();
    upstream.stream.pause_incoming();
    rt.spawn(async move {
        let alive = poll_fn(|_| {
            while upstream.stream.receiving() {
                match upstream.stream.poll_received() {
                    Poll::Ready(Incoming::Bytes(_) | Incoming::Fin | Incoming::Failed(_)) => {
                        return Poll::Ready(false);
                    }
                    Poll::Pending if upstream.stream.receiving() => return Poll::Pending,
                    Poll::Pending => {}
                }
            }
            Poll::Ready(true)
        })
        .await;
        if alive {
            proxy.upstreams.put(&upstream.key, upstream.stream);
        } else {
            upstream.stream.close().await;
        }
    });
}

fn malformed(error: crate::proto::http1::HeadError) -> Outcome {
    Outcome {
        side: Side::Client,
        phase: Phase::Head,
        cause: Cause::Head(error),
    }
}

fn client_gone(errno: i32) -> Outcome {
    Outcome {
        side: Side::Client,
        phase: Phase::Exchange,
        cause: Cause::of_errno(errno),
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
