//! What tests of forwarding send, and an exchange with both of its ends.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::{Content, Head, HttpMessage, Origin, Proxy, Wire, write_until_stalled};

/// `text`, in which `ORIGIN` stands for the address of the origin.
pub(crate) fn about(origin: SocketAddr, text: &str) -> String {
    text.replace("ORIGIN", &origin.to_string())
}

/// The head of a GET in absolute-form.
pub(crate) fn get(origin: SocketAddr, path: &str) -> String {
    format!("GET http://{origin}{path} HTTP/1.1\r\nHost: {origin}\r\n\r\n")
}

/// `body` in chunks of the sizes that `sizes` names in turn, the last chunk included.
pub(crate) fn chunked(mut body: &[u8], sizes: &[usize]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for size in sizes.iter().copied().cycle() {
        if body.is_empty() {
            break;
        }
        let (chunk, rest) = body.split_at(size.min(body.len()));
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
        body = rest;
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

/// Writes `length` bytes of `content` in chunks of the sizes that `sizes` names in turn, without the last chunk.
pub(crate) fn send_chunked(
    mut stream: &TcpStream,
    content: Content,
    length: u64,
    sizes: &[usize],
) -> io::Result<()> {
    let mut buffer = vec![0; sizes.iter().copied().max().unwrap_or(0)];
    let mut position = 0;
    for size in sizes.iter().copied().cycle() {
        if position == length {
            break;
        }
        let size = size.min(usize::try_from(length - position).unwrap_or(usize::MAX));
        content.fill(position, &mut buffer[..size]);
        let line = format!("{size:X}\r\n");
        stream.write_all(&[line.as_bytes(), &buffer[..size], b"\r\n"].concat())?;
        position += size as u64;
    }
    Ok(())
}

/// Writes until the other side has taken nothing for a while, which it does not do before the kernel's buffers on the
/// way are full. Panics when it takes more than those can ever hold.
#[track_caller]
pub(crate) fn stall(stream: &TcpStream) {
    const ENDLESS: usize = 256 << 20; // more than four sockets hold
    let written = write_until_stalled(stream, ENDLESS, Duration::from_millis(200));
    assert!(
        written < ENDLESS,
        "{written} bytes were taken, and nobody reads them"
    );
}

/// Both ends of an exchange, its request's head already at the origin.
pub(crate) struct Exchange {
    pub(crate) origin: Origin,
    pub(crate) client: Wire,
    pub(crate) server: Wire,
    /// What the origin was asked.
    pub(crate) asked: Head,
}

impl Exchange {
    /// Sends `request` to the proxy from a client of its own, for an origin of its own, whose address stands where
    /// `request` says `ORIGIN`, and reads the head that arrives.
    #[track_caller]
    pub(crate) fn begin(proxy: &Proxy, request: &str) -> Self {
        let origin = Origin::listen();
        let client = Wire::to(proxy);
        client.send(about(origin.address(), request));
        let mut server = Wire::from(&origin, &client);
        let asked = server.head();
        Self {
            origin,
            client,
            server,
            asked,
        }
    }

    /// [`Exchange::begin`] with a GET that has no body.
    #[track_caller]
    pub(crate) fn get(proxy: &Proxy) -> Self {
        Self::begin(proxy, "GET http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\n\r\n")
    }

    /// Another request on both connections; gives the head that arrives.
    #[track_caller]
    pub(crate) fn again(&mut self, request: &str) -> Head {
        self.client.send(about(self.origin.address(), request));
        self.server.head_from(&self.client)
    }

    /// Has the origin answer with `response`, and gives what the client gets.
    #[track_caller]
    pub(crate) fn answer(&mut self, response: impl AsRef<[u8]>) -> HttpMessage {
        self.server.send(response);
        self.client.response()
    }
}
