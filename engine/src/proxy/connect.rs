//! CONNECT (RFC 9110, section 9.3.6): the target is dialled, then the client is told, then the bytes are relayed.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::pin;
use std::task::Poll;

use bytes::Bytes;

use super::outcome::{Cause, Outcome, Phase, Side, Story};
use super::relay::{Relay, Tunnel};
use super::session::{Request, bad_head};
use super::{Proxy, SharedProxy};
use crate::net::{DialError, Incoming, TcpStream};
use crate::proto::http1::{CONNECTION_ESTABLISHED, connect_authority};
use crate::ring::SendData;
use crate::rt::GatePass;

/// A request that came to nothing: the connection, so that the client can be told.
pub(super) struct Refusal {
    pub(super) client: TcpStream,
    pub(super) story: Story,
    pub(super) outcome: Outcome,
    /// It counts as a connection until it has been told.
    pub(super) pass: GatePass,
}

/// Serves a CONNECT. On success the tunnel runs as a task of its own.
pub(super) async fn serve(
    proxy: &SharedProxy,
    mut client: TcpStream,
    request: Request,
    mut story: Story,
    pass: GatePass,
) -> Result<(), Refusal> {
    let Request { head, bytes, early } = request;
    let mut early = EarlyBytes {
        data: early,
        ended: false,
    };
    let authority = connect_authority(&head, bytes.as_slice());
    // The buffer of the head goes back before the wait.
    drop(bytes);
    let dialled = match authority {
        Err(error) => Err(bad_head(error)),
        Ok(authority) => {
            story.target(&authority);
            let on_loopback = is_on_loopback(proxy, &client);
            let allowed =
                |address: IpAddr, port: u16| proxy.policy.allows(on_loopback, address, port);
            let deadline = proxy.rt.now() + proxy.connect_timeout;
            let dial = proxy.dialler.dial(&authority, &allowed, deadline);
            dial_while_listening(&mut client, &mut early, dial).await
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
            });
        }
    };
    let tunnel = Tunnel {
        client,
        upstream,
        early_up: early.data,
        client_ended: early.ended,
        answer: SendData::Bytes(Box::new(CONNECTION_ESTABLISHED)),
        story,
        pass,
    };
    proxy
        .rt
        .spawn(Relay::new(SharedProxy::clone(proxy), tunnel));
    Ok(())
}

/// What the client sent before it was told that the tunnel stands.
struct EarlyBytes {
    data: VecDeque<SendData>,
    ended: bool,
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
        if self.data.len() == EARLY_BUFFERS_MAX {
            client.pause_incoming();
        }
    }
}

/// The client's address is asked for only where it matters.
fn is_on_loopback(proxy: &Proxy, client: &TcpStream) -> bool {
    proxy.policy.only_loopback_clients()
        || client
            .peer_address()
            .is_ok_and(|address| address.ip().to_canonical().is_loopback())
}
