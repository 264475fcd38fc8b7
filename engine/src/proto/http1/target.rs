//! The forms of a request target (RFC 9112 section 3.2), and the strict reading of an `http` one.
//!
//! The authority of CONNECT is read by [`super::connect_authority`]. What a form is answered with is the proxy's.

use super::request::RequestHead;
use super::span::Span;
use super::{HeadError, MethodKind, Upgrade};
use crate::addr::Authority;

/// The target of a request that is forwarded: `http://authority[/path][?query]`, or `ws://` where that opens a
/// WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpTarget {
    /// Host and perhaps port, as sent and valid: what Host says to the origin.
    pub authority: Span,
    /// Path and query as sent; may be empty, or start with `?`.
    pub path: Span,
    /// Whether the authority has a port; 80 otherwise.
    pub port_given: bool,
}

/// The form of a request target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetForm {
    /// `http://...`, or `ws://...` of a WebSocket's opening handshake
    Http(HttpTarget),
    /// `https://...`: for a plain proxy, that is what CONNECT is for.
    Https,
    /// Another scheme.
    OtherScheme,
    /// `/...`: meant for an origin server, or for this proxy itself.
    Origin,
    /// `*`: OPTIONS about the proxy itself.
    Asterisk,
    /// `host:port`: of CONNECT, or with a method that it does not belong to.
    Authority,
}

/// Reads the form of the target, and all of an `http` one: userinfo, a fragment, a bad or missing host and a bad port
/// are errors.
pub fn target_form(request: &RequestHead, head: &[u8]) -> Result<TargetForm, HeadError> {
    let target = request.target.of(head);
    if request.kind() == MethodKind::Connect {
        return Ok(TargetForm::Authority);
    }
    // No form has a fragment; whoever sends one reads the target differently than we would.
    if memchr::memchr(b'#', target).is_some() {
        return Err(HeadError::Fragment);
    }
    match target {
        [b'/', ..] => return Ok(TargetForm::Origin),
        b"*" if request.kind() == MethodKind::Options => return Ok(TargetForm::Asterisk),
        _ => {}
    }
    let Some((scheme, hierarchy)) = split_scheme(target) else {
        return match Authority::check(target) {
            Ok(port_given) if port_given => Ok(TargetForm::Authority),
            _ => Err(HeadError::TargetForm),
        };
    };
    if scheme.eq_ignore_ascii_case(b"https") {
        return Ok(TargetForm::Https);
    }
    // Some clients put the URI of the WebSocket into the request that opens it (RFC 6455 section 3): the same origin, and
    // the same default port.
    let opens_websocket =
        || scheme.eq_ignore_ascii_case(b"ws") && request.upgrade() == Upgrade::WebSocket;
    if !scheme.eq_ignore_ascii_case(b"http") && !opens_websocket() {
        return Ok(TargetForm::OtherScheme);
    }
    let authority_bytes = hierarchy
        .iter()
        .position(|byte| matches!(byte, b'/' | b'?'))
        .unwrap_or(hierarchy.len());
    let authority = hierarchy.get(..authority_bytes).unwrap_or_default();
    let port_given = Authority::check(authority)?;
    let start = request.target.end - hierarchy.len() as u32;
    let end = start + authority_bytes as u32;
    Ok(TargetForm::Http(HttpTarget {
        authority: Span { start, end },
        path: Span {
            start: end,
            end: request.target.end,
        },
        port_given,
    }))
}

/// The scheme and what is behind `://` (RFC 3986 section 3).
fn split_scheme(target: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = target.iter().position(|byte| *byte == b':')?;
    let (scheme, rest) = target.split_at_checked(colon)?;
    let hierarchy = rest.strip_prefix(b"://")?;
    let is_scheme_byte =
        |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    let is_scheme =
        scheme.first().is_some_and(u8::is_ascii_alphabetic) && scheme.iter().all(is_scheme_byte);
    is_scheme.then_some((scheme, hierarchy))
}
