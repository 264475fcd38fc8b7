//! Sockets as streams, and the ways they come to be: accepted or dialled. Owns half-close and joining, so that no other
//! layer closes one with something in flight. Knows no protocol but DNS. Called by `proxy` and `server`.

#![forbid(unsafe_code)]

mod dial;
mod listener;
pub mod resolver;
mod stream;
mod udp;

pub use dial::{DialError, Dialler};
pub use listener::{Accepted, Listener};
pub use stream::{Incoming, StreamGone, TcpStream};
pub use udp::UdpSocket;
