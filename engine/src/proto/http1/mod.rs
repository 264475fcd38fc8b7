//! HTTP/1 as this proxy accepts and speaks it (RFC 9110, RFC 9112): strict request heads, and its own replies.
//!
//! The way of a head: [`HeadScan`] finds its end while bytes arrive and refuses early what can never become one;
//! [`RequestHead::parse`] reads it once it is whole; [`connect_authority`] takes the target of a CONNECT. What goes
//! back is [`CONNECTION_ESTABLISHED`] or a [`Reply`]. Bodies, responses of origins and forwarding are not here.

mod error;
mod head;
#[cfg(test)]
mod mixed;
mod reply;
mod scan;
#[cfg(test)]
mod tests;

pub use error::HeadError;
pub use head::{Fields, RequestHead, Span, Version, connect_authority};
pub use reply::{CONNECTION_ESTABLISHED, ProxyError, Reply, Status};
pub use scan::{HeadScan, Scan};
