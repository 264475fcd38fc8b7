//! CONNECT (RFC 9110, section 9.3.6): the target is dialled, then the client is told, then the bytes are relayed.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::pin;
use std::task::Poll;

use bytes::Bytes;

use super::outcome::{Cause, Outcome, Phase, Side, Story};
use super::relay::{Relay, Tunnel};
use super::session::{Refusal, Request, bad_head};
use super::{Proxy, SharedProxy};
use crate::addr::Authority;
use crate::net::{DialError, Incoming, TcpStream};
use crate::proto::http1::{CONNECTION_ESTABLISHED, ReplyBody, connect_authority};
use crate::ring::SendData;
use crate::rt::GatePass;

/// Serves a CONNECT; `input` is what the client has sent behind the buffer of its head. On success the tunnel runs as a task of its own.
pub(super) async fn serve(
    proxy: &SharedProxy,
    mut client: TcpStream,
    request: Request,
    input: VecDeque<SendData>,
    mut story: Story,
    pass: GatePass,
) -> Result<(), Refusal> {
    let Request { head, whole } = request;
    let authority = connect_authority(&head, whole.head());
    // The buffer of the head goes back before the wait.
    let mut early = EarlyBytes {
        data: whole
            .into_behind()
            .into_iter()
            .chain(input)
            .map(SendData::out_of_arena)
            .collect(),
        ended: false,
    };
    let dialled = match authority {
        Err(error) => Err(bad_head(error)),
        Ok(authority) => {
            story.target(&authority, Phase::Dial);
            dial(proxy, &mut client, &authority, &mut early).await
        }
    };
    let upstream = match dialled {
        Ok(upstream) => upstream,
        Err(outcome) => {
            return Err(Refusal {
                client,
                story,
                outcome,
                pass,
                body: ReplyBody::Text,
                answered: false,
                moved: [0; 2],
            });
        }
    };
    let tunnel = Tunnel {
        client,
        upstream,
        early_up: early.data,
        client_ended: early.ended,
        answer: SendData::Bytes(Box::new(CONNECTION_ESTABLISHED)),
        early_down: None,
        idle_timeout: proxy.idle_timeout,
        story,
        pass,
    };
    proxy
        .rt
        .spawn(Relay::new(SharedProxy::clone(proxy), tunnel));
    Ok(())
}

/// What the client sends while its upstream is dialled.
pub(super) struct EarlyBytes {
    pub(super) data: VecDeque<SendData>,
    /// It has sent FIN behind them.
    pub(super) ended: bool,
}

/// Connects to where the client wants to go, if it may.
pub(super) async fn dial(
    proxy: &SharedProxy,
    client: &mut TcpStream,
    authority: &Authority,
    early: &mut EarlyBytes,
) -> Result<TcpStream, Outcome> {
    let on_loopback = is_on_loopback(proxy, client);
    let allowed = |address: IpAddr, port: u16| proxy.policy.allows(on_loopback, address, port);
    let deadline = proxy.rt.now() + proxy.connect_timeout;
    loop {
        let dial = proxy.dialler.dial(authority, &allowed, deadline);
        match dial_while_listening(client, early, dial).await {
            // Idle connections are kept for the good of others, not at their cost.
            Err(outcome) if outcome.is_shortage() && proxy.upstreams.clear() => {}
            dialled => return dialled,
        }
    }
}

/// Receive buffers of early bytes after which the client is not listened to until the dial is over.
const EARLY_BUFFERS_MAX: usize = 2;

/// Dials, and meanwhile keeps an ear on the client: one that is gone needs no upstream. What it sends early is kept, but
/// not in receive buffers, which a dial may not hold; FIN is no reason to stop, the request may be all it had to say.
async fn dial_while_listening(
    client: &mut TcpStream,
    early: &mut EarlyBytes,
    dial: impl Future<Output = Result<TcpStream, DialError>>,
) -> Result<TcpStream, Outcome> {
    let mut dial = pin!(dial);
    poll_fn(|context| {
        if let Poll::Ready(dialled) = dial.as_mut().poll(context) {
            return Poll::Ready(dialled.map_err(|error| Outcome {
                side: if error == DialError::Forbidden {
                    Side::Client
                } else {
                    Side::Upstream
                },
                phase: Phase::Dial,
                cause: Cause::Dial(error),
            }));
        }
        while !early.ended {
            let enough = early.data.len() >= EARLY_BUFFERS_MAX;
            match if enough {
                client.poll_received()
            } else {
                client.poll_incoming()
            } {
                Poll::Pending => break,
                Poll::Ready(Incoming::Bytes(lease)) => early.push(client, &lease),
                Poll::Ready(Incoming::Fin) => early.ended = true,
                Poll::Ready(Incoming::Failed(errno)) => {
                    let cause = Cause::of_errno(errno);
                    return Poll::Ready(Err(Outcome {
                        side: Side::Client,
                        phase: Phase::Dial,
                        cause,
                    }));
                }
            }
        }
        Poll::Pending
    })
    .await
}

impl EarlyBytes {
    fn push(&mut self, client: &TcpStream, bytes: &[u8]) {
        self.data
            .push_back(SendData::Bytes(Box::new(Bytes::copy_from_slice(bytes))));
        if self.data.len() >= EARLY_BUFFERS_MAX {
            client.pause_incoming();
        }
    }
}

/// The client's address is asked for only where it matters.
pub(super) fn is_on_loopback(proxy: &Proxy, client: &TcpStream) -> bool {
    proxy.policy.only_loopback_clients()
        || client
            .peer_address()
            .is_ok_and(|address| address.ip().to_canonical().is_loopback())
}
