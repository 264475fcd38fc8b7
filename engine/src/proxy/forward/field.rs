//! What origins are told about the client (RFC 7239).

use std::net::IpAddr;

use crate::net::TcpStream;

/// Whether origins are told the client's address (`--forwarded`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForwardedField {
    /// No.
    Off,
    /// In a `Forwarded` field.
    Forwarded,
    /// In an `X-Forwarded-For` field.
    XForwardedFor,
}

impl ForwardedField {
    /// The field lines for the requests of `client`.
    pub(super) fn lines(self, client: &TcpStream) -> Box<[u8]> {
        if self == Self::Off {
            return Box::default();
        }
        let address = client.peer_address().map(|peer| peer.ip().to_canonical());
        let line = match (self, address) {
            (Self::Forwarded, Ok(IpAddr::V4(address))) => format!("Forwarded: for={address}\r\n"),
            (Self::Forwarded, Ok(IpAddr::V6(address))) => {
                format!("Forwarded: for=\"[{address}]\"\r\n")
            }
            (Self::Forwarded, Err(_)) => "Forwarded: for=unknown\r\n".to_owned(),
            (_, Ok(address)) => format!("X-Forwarded-For: {address}\r\n"),
            (_, Err(_)) => String::new(),
        };
        line.into_bytes().into_boxed_slice()
    }
}
