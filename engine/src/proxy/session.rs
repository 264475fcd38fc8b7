//! A client connection from its first byte: the head is read and judged, the request handed to the mode that serves it.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::os::fd::OwnedFd;

use tracing::trace;

use super::head::{HeadEnd, HeadReader, WholeHead};
use super::outcome::{Cause, Outcome, Phase, Side, Story};
use super::{Proxy, SharedProxy, connect, forward};
use crate::net::{StreamGone, TcpStream};
use crate::proto::http1::{HeadError, HeadScan, ReplyBody, RequestHead};
use crate::rt::GatePass;

/// Serves one accepted connection. When it asks for a tunnel, the tunnel goes on as a task of its own. The story begins
/// here and not with the first poll, which a connection does not live to see when its worker ends.
pub fn session(
    proxy: SharedProxy,
    socket: OwnedFd,
    pass: GatePass,
) -> impl Future<Output = ()> + 'static {
    let client = TcpStream::new(&proxy.rt, socket);
    let story = Story::begin(&client, Phase::Head);
    serve(proxy, client, story, pass)
}

async fn serve(proxy: SharedProxy, mut client: TcpStream, story: Story, pass: GatePass) {
    let served = match read_request(&proxy, &mut client).await {
        Ok(request) if request.head.is_connect(request.whole.head()) => {
            connect::serve(&proxy, client, request, VecDeque::new(), story, pass).await
        }
        // On the heap: most connections are tunnels, whose session is small and soon over.
        Ok(request) => Box::pin(forward::serve(&proxy, client, request, story, pass)).await,
        Err(outcome) => Err(Refusal {
            client,
            story,
            outcome,
            pass,
            body: ReplyBody::Text,
            answered: false,
            moved: [0; 2],
        }),
    };
    if let Err(refusal) = served {
        refusal.tell(&proxy).await;
    }
}

/// Refuses a connection that there is no room for.
pub fn refuse(
    proxy: SharedProxy,
    socket: OwnedFd,
    cause: Cause,
) -> impl Future<Output = ()> + 'static {
    let (client, story, outcome) = unserved(&proxy, socket, cause);
    async move {
        answer(&proxy, client, &outcome, ReplyBody::Text).await;
        drop(story);
    }
}

/// Closes a connection without a word, because there is not even room to refuse it.
pub fn turn_away(proxy: &Proxy, socket: OwnedFd, cause: Cause) {
    drop(unserved(proxy, socket, cause));
}

/// A connection of which nothing is read, and how its story ends.
fn unserved(proxy: &Proxy, socket: OwnedFd, cause: Cause) -> (TcpStream, Story, Outcome) {
    let client = TcpStream::new(&proxy.rt, socket);
    let mut story = Story::begin(&client, Phase::Accept);
    let outcome = Outcome {
        side: Side::Proxy,
        phase: Phase::Accept,
        cause,
    };
    story.end(outcome, 0, 0);
    (client, story, outcome)
}

/// A request, its head parsed.
pub(super) struct Request {
    pub(super) head: RequestHead,
    pub(super) whole: WholeHead,
}

/// A request that came to nothing: the connection, so that the client can be told.
pub(super) struct Refusal {
    pub(super) client: TcpStream,
    pub(super) story: Story,
    pub(super) outcome: Outcome,
    /// It counts as a connection until it has been told.
    pub(super) pass: GatePass,
    /// How the client reads the answer.
    pub(super) body: ReplyBody,
    /// An answer has begun, and is cut off.
    pub(super) answered: bool,
    /// Bytes that had been passed on before, up and down.
    pub(super) moved: [u64; 2],
}

impl Refusal {
    async fn tell(mut self, proxy: &Proxy) {
        self.story.end(self.outcome, self.moved[0], self.moved[1]);
        if self.answered {
            self.client.reset_on_close();
            self.client.close().await;
        } else {
            answer(proxy, self.client, &self.outcome, self.body).await;
        }
        drop((self.story, self.pass));
    }
}

async fn read_request(proxy: &Proxy, client: &mut TcpStream) -> Result<Request, Outcome> {
    let deadline = proxy.rt.now() + proxy.head_timeout;
    let mut reader = HeadReader::new(HeadScan::request());
    let read = poll_fn(|_| reader.poll(client));
    let cause = match proxy.rt.timeout_at(deadline, read).await {
        Ok(Ok(whole)) => {
            let head = whole.parse_request().map_err(bad_head)?;
            return Ok(Request { head, whole });
        }
        Ok(Err(HeadEnd::Closed)) => Cause::Closed,
        Ok(Err(HeadEnd::Lost(errno))) => Cause::of_errno(errno),
        Ok(Err(HeadEnd::Malformed(error))) => Cause::Head(error),
        Err(_) => Cause::HeadTimeout,
    };
    Err(Outcome {
        side: Side::Client,
        phase: Phase::Head,
        cause,
    })
}

pub(super) fn bad_head(error: HeadError) -> Outcome {
    Outcome {
        side: Side::Client,
        phase: Phase::Head,
        cause: Cause::Head(error),
    }
}

/// How long a refused client may take to read the answer and close, before it is closed on.
const LINGER: std::time::Duration = std::time::Duration::from_secs(2);
/// Bytes of a refused client that are read and dropped, so that they do not turn our close into an RST which would
/// destroy the answer (RFC 9112, section 9.6).
const LINGER_BYTES_MAX: usize = 256 * 1024;

/// Sends the answer, if one is due, and closes in stages.
async fn answer(proxy: &Proxy, mut client: TcpStream, outcome: &Outcome, body: ReplyBody) {
    let Some(reply) = outcome.reply() else {
        client.close().await;
        return;
    };
    proxy.counters.refused.add(1);
    let deadline = proxy.rt.now() + LINGER;
    let told = proxy
        .rt
        .timeout_at(deadline, client.send_all(reply.encode(body)))
        .await;
    match told {
        Ok(Ok(())) => close_in_stages(proxy, client).await,
        Ok(Err(StreamGone(errno))) => {
            trace!(errno, "the client was gone before the answer");
            client.close().await;
        }
        Err(_) => client.close().await,
    }
}

/// Sends FIN, and gives the client time to read what was sent before and to close.
pub(super) async fn close_in_stages(proxy: &Proxy, mut client: TcpStream) {
    let deadline = proxy.rt.now() + LINGER;
    let lingering = proxy.rt.timeout_at(deadline, async {
        client.shutdown_write()?;
        let mut dropped = 0;
        while let Some(lease) = client.recv().await? {
            dropped += lease.len();
            if dropped > LINGER_BYTES_MAX {
                break;
            }
        }
        Ok::<(), StreamGone>(())
    });
    if let Ok(Err(StreamGone(errno))) = lingering.await {
        trace!(errno, "the client was gone before it closed");
    }
    client.close().await;
}
