//! Sockets as streams, and the ways they come to be: accepted or dialled. Owns half-close and joining, so that no other
//! layer closes one with something in flight. Knows no protocol but DNS. Called by `proxy` and `server`.

#![forbid(unsafe_code)]

mod congestion;
mod dial;
mod listener;
pub mod resolver;
mod stream;
mod udp;

pub use congestion::CongestionPolicy;
pub use dial::{DialError, Dialler};
pub use listener::{Accepted, Listener};
pub use stream::{Incoming, StreamGone, TcpStream};
pub use udp::UdpSocket;

/// Whether this errno says that the host is short of something for a socket: of descriptors, of memory, or of ports, which
/// connect(2) says with EADDRNOTAVAIL or EAGAIN. Nobody at the other end is to blame, and it may pass.
fn is_shortage(errno: i32) -> bool {
    matches!(
        errno,
        libc::EMFILE
            | libc::ENFILE
            | libc::ENOBUFS
            | libc::ENOMEM
            | libc::EADDRNOTAVAIL
            | libc::EAGAIN
    )
}
