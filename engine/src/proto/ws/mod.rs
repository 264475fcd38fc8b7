//! WebSocket as this proxy relays it (RFC 6455): the opening handshake from between, and the frames of a direction.
//!
//! The way of a connection: a request that asks to go over to WebSocket is read as a [`ClientHandshake`], which knows what
//! the 101 must answer, and nothing is relayed before [`ClientHandshake::matches`] has said so. Then bytes are relayed as they are, or each direction goes through an [`Inspect`], which holds the rules of
//! framing, counts, and tells where the proxy may put a [ping](Inspect::ping) or a [close](Inspect::close) of its own.
//! Below it are [`Frames`], the rules, and [`FrameHead`], the bytes. `proxy::websocket` calls.
//!
//! Payload is never rewritten and text is not checked for UTF-8. With RSV1 it may be compressed (RFC 7692), what RSV1
//! means is between the two ends, and they must check text anyway (section 8.1), compressed or not.
//!
//! Mask keys and the payload of pings come from the caller: the grammars have no randomness.

mod error;
mod frame;
mod frames;
mod handshake;
mod inspect;
mod mask;
#[cfg(test)]
mod mixed;

pub use error::{CloseCode, FrameError};
pub use frame::{FrameBytes, FrameHead, Opcode, Sender};
pub use frames::{Content, FrameLimits, FrameStart, FrameStep, Frames};
pub use handshake::{ClientHandshake, HandshakeError};
pub use inspect::{Inspect, PING_PAYLOAD_BYTES, Passage};
pub use mask::mask;
