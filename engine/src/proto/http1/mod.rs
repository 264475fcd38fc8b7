//! HTTP/1 as this proxy accepts and speaks it (RFC 9110, RFC 9112): strict heads, one framing per message, chunked
//! bodies, the heads that go on, and the proxy's own replies.
//!
//! The way of a head: [`HeadScan`] finds its end while bytes arrive and refuses early what can never become one;
//! [`RequestHead::parse`] or [`ResponseHead::parse`] reads it once it is whole, and then its [`Framing`] is certain.
//! [`connect_authority`] takes the target of a CONNECT, [`target_form`] every other one. [`rewrite_request`] and
//! [`rewrite_response`] make the head that goes on; [`ChunkedBody`] checks a chunked body as it passes. What this proxy
//! says itself is [`CONNECTION_ESTABLISHED`] or a [`Reply`]. Connections, their reuse and when to send what are not
//! here.

mod chunked;
mod error;
mod field;
mod framing;
mod reply;
mod request;
mod response;
mod rewrite;
mod scan;
mod span;
mod target;
#[cfg(test)]
mod tests;
mod trailers;

pub use chunked::{ChunkError, ChunkStep, ChunkedBody};
pub use error::HeadError;
pub use framing::{Framing, MethodKind, Upgrade};
pub use reply::{
    CONNECTION_ESTABLISHED, HTTPS_WANTS_CONNECT, ORIGIN_FORM_HELP, ProxyError, RESPONSE_INCOMPLETE,
    RESPONSE_TIMEOUT, Reply, ReplyBody, SCHEME_UNKNOWN, Status, UPGRADE_FAILED,
};
pub use request::{RequestHead, connect_authority};
pub use response::ResponseHead;
pub use rewrite::{
    ConnectionField, RequestRewrite, ResponseRewrite, rewrite_request, rewrite_response,
};
pub use scan::{HeadScan, Scan};
pub use span::{Fields, Span, Version};
pub use target::{HttpTarget, TargetForm, target_form};
