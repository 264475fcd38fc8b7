//! A client connection from its first byte: the head is read and judged, the request served.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;

use bytes::Bytes;
use tracing::trace;

use super::connect;
use super::outcome::{Cause, Outcome, Phase, Side, Story};
use super::{Proxy, SharedProxy};
use crate::net::{StreamGone, TcpStream};
use crate::proto::http1::{HeadError, HeadScan, RequestHead, Scan};
use crate::ring::{Lease, SendData};
use crate::rt::GatePass;

/// Serves one accepted connection. When it asks for a tunnel, the tunnel goes on as a task of its own.
pub async fn session(proxy: SharedProxy, socket: OwnedFd, mut pass: GatePass) {
    let mut client = TcpStream::new(&proxy.rt, socket);
    let mut story = Story::begin(&proxy, &client);
    let outcome = match read_request(&proxy, &mut client).await {
        Ok(request) => match connect::serve(&proxy, client, request, story, pass).await {
            Ok(()) => return,
            Err(refusal) => {
                client = refusal.client;
                story = refusal.story;
                pass = refusal.pass;
                refusal.outcome
            }
        },
        Err(outcome) => outcome,
    };
    answer(&proxy, client, &outcome).await;
    story.end(&proxy, &outcome, 0, 0);
    drop(pass);
}

/// Refuses a connection that there is no room for.
pub async fn refuse(proxy: SharedProxy, socket: OwnedFd, cause: Cause) {
    let client = TcpStream::new(&proxy.rt, socket);
    let mut story = Story::begin(&proxy, &client);
    let outcome = Outcome {
        side: Side::Proxy,
        phase: Phase::Accept,
        cause,
    };
    answer(&proxy, client, &outcome).await;
    story.end(&proxy, &outcome, 0, 0);
}

/// A whole request head, and what came behind it.
pub(super) struct Request {
    pub(super) head: RequestHead,
    pub(super) bytes: HeadBytes,
    pub(super) early: VecDeque<SendData>,
}

/// Where the bytes of a head are: in the receive buffer it came in, or put together from several.
pub(super) enum HeadBytes {
    Lease(Lease),
    Joined(Bytes),
}

impl HeadBytes {
    pub(super) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Lease(lease) => lease,
            Self::Joined(bytes) => bytes,
        }
    }
}

async fn read_request(proxy: &Proxy, client: &mut TcpStream) -> Result<Request, Outcome> {
    let deadline = proxy.rt.now() + proxy.head_timeout;
    match proxy.rt.timeout_at(deadline, read_head(client)).await {
        Ok(request) => request,
        Err(_) => Err(Outcome {
            side: Side::Client,
            phase: Phase::Head,
            cause: Cause::HeadTimeout,
        }),
    }
}

/// Reads up to the end of the head. The common case is one receive, whose buffer is then used as it is; a head in pieces
/// is put together outside the arena, so that a slow client holds none of its buffers.
async fn read_head(client: &mut TcpStream) -> Result<Request, Outcome> {
    let mut scan = HeadScan::default();
    let first = receive(client).await?;
    if let Scan::Complete(head_bytes) = scan.advance(&first).map_err(bad_head)? {
        return whole_head(HeadBytes::Lease(first), head_bytes);
    }
    let mut joined = Vec::from(&*first);
    drop(first);
    loop {
        let next = receive(client).await?;
        joined.extend_from_slice(&next);
        drop(next);
        if let Scan::Complete(head_bytes) = scan.advance(&joined).map_err(bad_head)? {
            return whole_head(HeadBytes::Joined(joined.into()), head_bytes);
        }
    }
}

async fn receive(client: &mut TcpStream) -> Result<Lease, Outcome> {
    let cause = match client.recv().await {
        Ok(Some(lease)) => return Ok(lease),
        Ok(None) => Cause::Closed,
        Err(StreamGone(errno)) => Cause::of_errno(errno),
    };
    Err(Outcome {
        side: Side::Client,
        phase: Phase::Head,
        cause,
    })
}

fn whole_head(bytes: HeadBytes, head_bytes: usize) -> Result<Request, Outcome> {
    let head = bytes.as_slice().get(..head_bytes).ok_or(HeadError::HeadEnd);
    let head = head.and_then(RequestHead::parse).map_err(bad_head)?;
    // Out of the arena: the dial that follows may take long, and must not hold a receive buffer.
    let behind = bytes
        .as_slice()
        .get(head_bytes..)
        .filter(|behind| !behind.is_empty());
    let early = behind
        .map(|behind| SendData::Bytes(Box::new(Bytes::copy_from_slice(behind))))
        .into_iter()
        .collect();
    Ok(Request { head, bytes, early })
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
async fn answer(proxy: &Proxy, mut client: TcpStream, outcome: &Outcome) {
    let Some(reply) = outcome.reply() else {
        client.close().await;
        return;
    };
    proxy.counters.refused.add(1);
    let deadline = proxy.rt.now() + LINGER;
    let told = proxy.rt.timeout_at(deadline, async {
        client.send_all(reply.encode()).await?;
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
    if let Ok(Err(StreamGone(errno))) = told.await {
        trace!(errno, "the client was gone before the answer");
    }
    client.close().await;
}
