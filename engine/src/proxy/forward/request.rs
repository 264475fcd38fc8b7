//! What a request asks for: which origin, over which connection, and the head that goes there.

use crate::proto::http1::{
    Framing, HeadError, HttpTarget, MethodKind, RequestHead, RequestRewrite, TargetForm, Upgrade,
    Version, rewrite_request, target_form,
};
use crate::proto::ws::ClientHandshake;
use crate::proxy::SharedProxy;
use crate::proxy::outcome::{Cause, Outcome, Phase, Side};
use crate::ring::Scratch;

/// A request that can be served.
pub(super) struct Asked {
    pub(super) target: HttpTarget,
    pub(super) method: MethodKind,
    pub(super) framing: Framing,
    /// The client speaks HTTP/1.1.
    pub(super) modern: bool,
    pub(super) keeps_alive: bool,
    /// The client asks to go over to WebSocket, and what the origin has to answer.
    pub(super) websocket: Option<ClientHandshake>,
}

impl Asked {
    /// Judges the form of the request.
    pub(super) fn judge(head: &RequestHead, bytes: &[u8]) -> Result<Self, Outcome> {
        let target = match target_form(head, bytes).map_err(|error| refused(Cause::Head(error)))? {
            TargetForm::Http(target) => target,
            TargetForm::Https => return Err(refused(Cause::HttpsTarget)),
            TargetForm::Origin => return Err(refused(Cause::OriginForm)),
            TargetForm::Asterisk => return Err(refused(NOTHING_TO_SAY)),
            TargetForm::OtherScheme => return Err(refused(Cause::OtherScheme)),
            TargetForm::Authority => return Err(refused(Cause::Head(HeadError::Target))),
        };
        let method = head.kind();
        // RFC 9110 section 7.6.2: the proxy is the last to get this request.
        let counted = matches!(method, MethodKind::Options | MethodKind::Trace);
        if counted && head.max_forwards(bytes) == Some(0) {
            return Err(refused(NOTHING_TO_SAY));
        }
        let websocket = match head.upgrade() {
            // RFC 6455 section 4.1: any other request that says so is an ordinary one.
            Upgrade::WebSocket
                if head.method.of(bytes) == b"GET"
                    && head.version == Version::Http11
                    && head.framing() == Framing::None =>
            {
                let read = ClientHandshake::read(head.fields(bytes));
                Some(read.map_err(|error| refused(Cause::Handshake(error)))?)
            }
            _ => None,
        };
        Ok(Self {
            target,
            method,
            framing: head.framing(),
            modern: head.version == Version::Http11,
            keeps_alive: head.keeps_alive(),
            websocket,
        })
    }

    /// Whether the request may be sent again on another connection when the first was found dead: it changes nothing at
    /// the origin (RFC 9110 section 9.2.1), and nothing of it has to be kept but its head. Section 9.2.2 would allow
    /// idempotent ones as well; a DELETE that is served twice may still tell its client of a failure that was none.
    pub(super) fn may_repeat(&self) -> bool {
        self.method.is_safe() && self.framing == Framing::None
    }

    /// Writes what the upstream connection is kept under: who may use it, then the host and port to dial. The port of
    /// `http` is 80 (RFC 9110 section 4.2.1).
    pub(super) fn write_key(&self, bytes: &[u8], on_loopback: bool, key: &mut Vec<u8>) {
        key.clear();
        key.push(u8::from(on_loopback));
        key.extend_from_slice(self.target.authority.of(bytes));
        key.make_ascii_lowercase();
        if !self.target.port_given {
            key.extend_from_slice(b":80");
        }
    }

    /// The head that goes to the origin.
    pub(super) fn rewritten(
        &self,
        proxy: &SharedProxy,
        head: &RequestHead,
        bytes: &[u8],
        extra: &[u8],
    ) -> Scratch {
        let mut scratch = proxy.scratch.take();
        let rewrite = RequestRewrite {
            target: &self.target,
            upgrade: self.websocket.is_some(),
            close: false,
            extra,
        };
        rewrite_request(head, bytes, &rewrite, scratch.writer());
        scratch
    }
}

/// To OPTIONS and TRACE about this proxy itself.
const NOTHING_TO_SAY: Cause = Cause::Head(HeadError::MethodNotImplemented);

/// The client's own fault.
fn refused(cause: Cause) -> Outcome {
    Outcome {
        side: Side::Client,
        phase: Phase::Head,
        cause,
    }
}
