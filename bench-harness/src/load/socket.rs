//! Non-blocking sockets as the load needs them: dial, listen, receive, send, each one system call where it can be.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};

use nix::errno::Errno;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::IpBindAddressNoPort;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// Connections that may wait to be accepted; the kernel cuts it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// Loopback source addresses the clients take in turn. One address has some 28,000 ports towards one listener, each
/// held for 60 s after its connection ends; this many keep a run of new connections from running out of them.
const SOURCES: u8 = 8;

/// Starts a connection; it stands once the socket is writable without an error. `count` picks the source address.
pub(crate) fn dial(address: SocketAddr, count: u64) -> io::Result<TcpStream> {
    let socket = socket(address)?;
    socket.set_tcp_nodelay(true)?;
    if address.ip() == IpAddr::V4(Ipv4Addr::LOCALHOST) {
        // The port is chosen at connect, by the whole four-tuple, not at bind, where it would be taken for all.
        setsockopt(&socket, IpBindAddressNoPort, &true)?;
        let source = Ipv4Addr::new(127, 0, 0, 1 + (count % u64::from(SOURCES)) as u8);
        socket.bind(&SockAddr::from(SocketAddr::from((source, 0))))?;
    }
    connect(socket, address)
}

/// As `dial`, from the address that the kernel chooses.
pub(crate) fn dial_plain(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = socket(address)?;
    socket.set_tcp_nodelay(true)?;
    connect(socket, address)
}

/// A listener whose accepted sockets have TCP_NODELAY.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket(address)?;
    socket.set_reuse_address(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.bind(&SockAddr::from(address))?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Fails if anything listens on `address`, also with SO_REUSEPORT, where it would silently take half of the load.
pub(crate) fn check_free(address: SocketAddr) -> io::Result<()> {
    let socket = socket(address)?;
    socket.set_reuse_address(true)?; // so that connections in TIME_WAIT do not count
    socket.bind(&SockAddr::from(address))
}

/// The next waiting connection, non-blocking, or none.
pub(crate) fn accept(listener: &TcpListener) -> io::Result<Option<TcpStream>> {
    match listener.accept() {
        Ok((socket, _)) => {
            socket.set_nonblocking(true)?;
            Ok(Some(socket))
        }
        Err(error) if error.kind() == ErrorKind::ConnectionAborted => Ok(None),
        Err(error) => unless_blocked(error),
    }
}

/// Receives: bytes that came, 0 at the end of the stream, none where it would block.
pub(crate) fn receive(mut socket: &TcpStream, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    socket.read(buffer).map(Some).or_else(unless_blocked)
}

/// Sends: bytes taken, none where it would block.
pub(crate) fn send(mut socket: &TcpStream, bytes: &[u8]) -> io::Result<Option<usize>> {
    socket.write(bytes).map(Some).or_else(unless_blocked)
}

/// Sends one after the other with one call: bytes taken of both, none where it would block.
pub(crate) fn send_both(
    mut socket: &TcpStream,
    first: &[u8],
    second: &[u8],
) -> io::Result<Option<usize>> {
    let both = [IoSlice::new(first), IoSlice::new(second)];
    socket
        .write_vectored(&both)
        .map(Some)
        .or_else(unless_blocked)
}

fn unless_blocked<T>(error: io::Error) -> io::Result<Option<T>> {
    match error.kind() {
        ErrorKind::WouldBlock => Ok(None),
        _ => Err(error),
    }
}

fn connect(socket: Socket, address: SocketAddr) -> io::Result<TcpStream> {
    match socket.connect(&SockAddr::from(address)) {
        Err(error) if error.raw_os_error() != Some(Errno::EINPROGRESS as i32) => Err(error),
        _ => Ok(socket.into()),
    }
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let kind = Type::STREAM.nonblocking();
    Socket::new(Domain::for_address(address), kind, Some(Protocol::TCP))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_seen_also_under_reuseport() {
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let other = socket(free).unwrap();
        other.set_reuse_port(true).unwrap();
        other.bind(&SockAddr::from(free)).unwrap();
        other.listen(1).unwrap();
        let taken = other.local_addr().unwrap().as_socket().unwrap();
        assert_eq!(check_free(taken).unwrap_err().kind(), ErrorKind::AddrInUse);
        drop(other);
        check_free(taken).unwrap();
    }

    #[test]
    fn clients_take_their_source_addresses_in_turn() {
        let listener = listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        listener.set_nonblocking(false).unwrap();
        let address = listener.local_addr().unwrap();
        for count in [0, 1, 7, 8] {
            let _client = dial(address, count).unwrap();
            let (_, source) = listener.accept().unwrap();
            let expected = Ipv4Addr::new(127, 0, 0, 1 + (count % 8) as u8);
            assert_eq!(source.ip(), IpAddr::V4(expected));
        }
    }
}
