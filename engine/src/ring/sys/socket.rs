//! Sockets: made, configured and asked directly, because each of these happens once per connection or less.

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use super::{CongestionControl, check};

/// A socket address in the kernel's form.
pub(in crate::ring) struct SocketAddress {
    storage: libc::sockaddr_storage,
    bytes: libc::socklen_t,
}

impl SocketAddress {
    pub(in crate::ring) fn new(address: SocketAddr) -> Self {
        let mut storage = MaybeUninit::<libc::sockaddr_storage>::zeroed();
        let bytes = match address {
            SocketAddr::V4(v4) => {
                let form = libc::sockaddr_in {
                    sin_family: libc::AF_INET as libc::sa_family_t,
                    sin_port: v4.port().to_be(),
                    sin_addr: libc::in_addr {
                        s_addr: u32::from(*v4.ip()).to_be(),
                    },
                    sin_zero: [0; 8],
                };
                // SAFETY: sockaddr_storage is at least as large and as aligned as every sockaddr.
                unsafe { storage.as_mut_ptr().cast::<libc::sockaddr_in>().write(form) };
                size_of::<libc::sockaddr_in>()
            }
            SocketAddr::V6(v6) => {
                let form = libc::sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as libc::sa_family_t,
                    sin6_port: v6.port().to_be(),
                    sin6_flowinfo: v6.flowinfo(),
                    sin6_addr: libc::in6_addr {
                        s6_addr: v6.ip().octets(),
                    },
                    sin6_scope_id: v6.scope_id(),
                };
                // SAFETY: as above.
                unsafe {
                    storage
                        .as_mut_ptr()
                        .cast::<libc::sockaddr_in6>()
                        .write(form)
                };
                size_of::<libc::sockaddr_in6>()
            }
        };
        // SAFETY: all bytes are zero or written above.
        let storage = unsafe { storage.assume_init() };
        Self {
            storage,
            bytes: bytes as libc::socklen_t,
        }
    }

    pub(in crate::ring) fn as_ptr(&self) -> *const libc::sockaddr {
        (&raw const self.storage).cast()
    }

    pub(in crate::ring) fn bytes(&self) -> libc::socklen_t {
        self.bytes
    }

    /// `None` for a family that is neither IPv4 nor IPv6.
    fn parse(storage: &libc::sockaddr_storage) -> Option<SocketAddr> {
        match libc::c_int::from(storage.ss_family) {
            libc::AF_INET => {
                // SAFETY: the family says which form the storage holds.
                let form = unsafe { &*(&raw const *storage).cast::<libc::sockaddr_in>() };
                let ip = Ipv4Addr::from(u32::from_be(form.sin_addr.s_addr));
                Some(SocketAddrV4::new(ip, u16::from_be(form.sin_port)).into())
            }
            libc::AF_INET6 => {
                // SAFETY: as above.
                let form = unsafe { &*(&raw const *storage).cast::<libc::sockaddr_in6>() };
                let ip = Ipv6Addr::from(form.sin6_addr.s6_addr);
                let port = u16::from_be(form.sin6_port);
                Some(SocketAddrV6::new(ip, port, form.sin6_flowinfo, form.sin6_scope_id).into())
            }
            _ => None,
        }
    }
}

/// Which directions of a connection to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// Send FIN; still receive.
    Write,
}

/// What accept(2) had.
#[derive(Debug)]
pub enum Accepted {
    /// A connection.
    Connection(OwnedFd),
    /// None is waiting.
    Empty,
}

fn socket(address: SocketAddr, kind: libc::c_int) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() {
        libc::AF_INET
    } else {
        libc::AF_INET6
    };
    // SAFETY: socket(2) takes integers; the result is a new descriptor that nobody else owns.
    unsafe {
        let socket = check(libc::socket(
            family,
            kind | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK,
            0,
        ))?;
        Ok(OwnedFd::from_raw_fd(socket))
    }
}

fn set_option(
    socket: RawFd,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    // SAFETY: the kernel reads one int.
    check(unsafe {
        libc::setsockopt(
            socket,
            level,
            name,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    })
    .map(drop)
}

/// Seconds of silence before TCP keep-alive probes start, and seconds between them. How many may fail is not counted:
/// TCP_USER_TIMEOUT decides.
const KEEP_ALIVE: [libc::c_int; 2] = [60, 15];

fn set_tcp_options(socket: RawFd, user_timeout: Duration) -> io::Result<()> {
    set_option(socket, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1)?;
    set_option(socket, libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1)?;
    set_option(socket, libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, KEEP_ALIVE[0])?;
    set_option(
        socket,
        libc::IPPROTO_TCP,
        libc::TCP_KEEPINTVL,
        KEEP_ALIVE[1],
    )?;
    let timeout_ms = libc::c_int::try_from(user_timeout.as_millis()).unwrap_or(libc::c_int::MAX);
    set_option(
        socket,
        libc::IPPROTO_TCP,
        libc::TCP_USER_TIMEOUT,
        timeout_ms,
    )
}

/// A listening TCP socket that shares its address with those of the other workers (SO_REUSEPORT). The options set here
/// are inherited by every accepted socket, so none is set per connection. TCP_USER_TIMEOUT also ends a peer that answers
/// but does not read, so it is the time that a connection may be idle, not a shorter one.
///
/// # Errors
/// What socket(2), bind(2) or listen(2) says: EADDRINUSE, EACCES, EADDRNOTAVAIL.
pub fn bind_listener(
    address: SocketAddr,
    backlog: i32,
    share: bool,
    user_timeout: Duration,
    congestion: Option<CongestionControl>,
) -> io::Result<OwnedFd> {
    let listener = socket(address, libc::SOCK_STREAM)?;
    let raw = listener.as_raw_fd();
    set_option(raw, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
    if share {
        set_option(raw, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
    }
    if address.is_ipv6() {
        set_option(raw, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1)?;
    }
    set_tcp_options(raw, user_timeout)?;
    if let Some(congestion) = congestion {
        congestion.set(listener.as_fd())?;
    }
    let form = SocketAddress::new(address);
    // SAFETY: the kernel reads `bytes` bytes of the address.
    check(unsafe { libc::bind(raw, form.as_ptr(), form.bytes()) })?;
    // SAFETY: listen(2) takes integers.
    check(unsafe { libc::listen(raw, backlog) })?;
    Ok(listener)
}

/// A TCP socket to connect with, of the family of `address`. TCP_NODELAY is set, and `congestion` if there is one: each
/// option is a system call per tunnel, and a dead upstream is found by the idle timeout
/// (`kernel-notes/decisions/0007-options-on-the-upstream-socket.md`).
///
/// # Errors
/// What socket(2) says: EMFILE, ENFILE, ENOBUFS; or [`CongestionControl::set`].
pub fn tcp_socket(
    address: SocketAddr,
    congestion: Option<CongestionControl>,
) -> io::Result<OwnedFd> {
    let stream = socket(address, libc::SOCK_STREAM)?;
    set_option(stream.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_NODELAY, 1)?;
    if let Some(congestion) = congestion {
        congestion.set(stream.as_fd())?;
    }
    Ok(stream)
}

/// A UDP socket connected to `server`: the kernel picks a random source port and drops datagrams of anybody else.
///
/// # Errors
/// What socket(2) or connect(2) says.
pub fn udp_socket(server: SocketAddr) -> io::Result<OwnedFd> {
    let datagram = socket(server, libc::SOCK_DGRAM)?;
    let form = SocketAddress::new(server);
    // SAFETY: the kernel reads `bytes` bytes of the address.
    check(unsafe { libc::connect(datagram.as_raw_fd(), form.as_ptr(), form.bytes()) })?;
    Ok(datagram)
}

/// Whether `address` is one of this host's own: only to those can a socket be bound.
#[must_use]
pub fn is_of_this_host(address: IpAddr) -> bool {
    let address = SocketAddr::new(address, 0);
    let form = SocketAddress::new(address);
    socket(address, libc::SOCK_DGRAM).is_ok_and(|probe| {
        // SAFETY: the kernel reads `bytes` bytes of the address.
        unsafe { libc::bind(probe.as_raw_fd(), form.as_ptr(), form.bytes()) == 0 }
    })
}

/// Takes one waiting connection of a non-blocking listener.
///
/// # Errors
/// EMFILE, ENFILE, ENOBUFS, ENOMEM; the errors of a connection that died in the queue count as "try again".
pub fn accept(listener: BorrowedFd<'_>) -> io::Result<Accepted> {
    loop {
        // SAFETY: no address is asked for; the result is a new descriptor that nobody else owns.
        let accepted = unsafe {
            check(libc::accept4(
                listener.as_raw_fd(),
                std::ptr::null_mut(),
                std::ptr::null_mut(),
                libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK,
            ))
            .map(|socket| OwnedFd::from_raw_fd(socket))
        };
        match accepted {
            Ok(socket) => return Ok(Accepted::Connection(socket)),
            Err(error) => match error.raw_os_error() {
                Some(libc::EAGAIN) => return Ok(Accepted::Empty),
                Some(libc::EINTR | libc::ECONNABORTED | libc::EPROTO) => {}
                _ => return Err(error),
            },
        }
    }
}

/// Ends a direction at once. Never through the ring: IORING_OP_SHUTDOWN always goes to a worker thread.
///
/// # Errors
/// ENOTCONN when the peer has reset the connection.
pub fn shutdown(socket: BorrowedFd<'_>, how: Shutdown) -> io::Result<()> {
    let how = match how {
        Shutdown::Write => libc::SHUT_WR,
    };
    // SAFETY: shutdown(2) takes integers.
    check(unsafe { libc::shutdown(socket.as_raw_fd(), how) }).map(drop)
}

/// Whether a connected socket is alive and has nothing to say: no bytes, no FIN, no error.
#[must_use]
pub fn is_quiet(socket: BorrowedFd<'_>) -> bool {
    let mut byte = 0_u8;
    // SAFETY: the kernel writes at most one byte to `byte`.
    let peeked = unsafe {
        libc::recv(
            socket.as_raw_fd(),
            (&raw mut byte).cast(),
            1,
            libc::MSG_PEEK | libc::MSG_DONTWAIT,
        )
    };
    peeked < 0 && io::Error::last_os_error().raw_os_error() == Some(libc::EAGAIN)
}

/// Sends what the kernel takes of `bytes` in this very moment, and says how many those were, or the errno. No send of the
/// ring may be in flight on the socket.
///
/// # Errors
/// What send(2) says; EAGAIN when there is no room.
pub fn send_at_once(socket: BorrowedFd<'_>, bytes: &[u8]) -> Result<u32, i32> {
    // SAFETY: the kernel reads as many bytes as the slice has.
    let sent = unsafe {
        libc::send(
            socket.as_raw_fd(),
            bytes.as_ptr().cast(),
            bytes.len(),
            libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
        )
    };
    let failed = || io::Error::last_os_error().raw_os_error();
    u32::try_from(sent).map_err(|_| failed().unwrap_or(libc::EIO))
}

/// Another descriptor of the same socket.
///
/// # Errors
/// EMFILE.
pub fn duplicate(socket: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    socket.try_clone_to_owned()
}

/// Makes the close of `socket` send RST and drop what is not sent yet (socket(7), SO_LINGER with zero).
///
/// # Errors
/// What setsockopt(2) says.
pub fn set_reset_on_close(socket: BorrowedFd<'_>) -> io::Result<()> {
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    // SAFETY: the kernel reads one linger.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            size_of::<libc::linger>() as libc::socklen_t,
        )
    })
    .map(drop)
}

/// Takes the error that a connected socket has failed with (SO_ERROR, socket(7)): asked once, it is told once. `None`
/// when there is none, or somebody was told before.
#[must_use]
pub fn take_error(socket: BorrowedFd<'_>) -> Option<i32> {
    let mut errno: libc::c_int = 0;
    let mut bytes = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the kernel writes one int, and its length.
    let asked = check(unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ERROR,
            (&raw mut errno).cast(),
            &raw mut bytes,
        )
    });
    asked.ok().map(|_| errno).filter(|&errno| errno != 0)
}

type NameCall =
    unsafe extern "C" fn(libc::c_int, *mut libc::sockaddr, *mut libc::socklen_t) -> libc::c_int;

fn name(socket: BorrowedFd<'_>, call: NameCall) -> io::Result<SocketAddr> {
    let mut storage = MaybeUninit::<libc::sockaddr_storage>::zeroed();
    let mut bytes = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `bytes` bytes into the storage, whose zeroes are valid already.
    let storage = unsafe {
        check(call(
            socket.as_raw_fd(),
            storage.as_mut_ptr().cast(),
            &raw mut bytes,
        ))?;
        storage.assume_init()
    };
    SocketAddress::parse(&storage).ok_or_else(|| io::Error::from_raw_os_error(libc::EAFNOSUPPORT))
}

/// The address at this end.
///
/// # Errors
/// What getsockname(2) says.
pub fn local_address(socket: BorrowedFd<'_>) -> io::Result<SocketAddr> {
    name(socket, libc::getsockname)
}

/// The address at the other end.
///
/// # Errors
/// ENOTCONN when the connection is gone already.
pub fn peer_address(socket: BorrowedFd<'_>) -> io::Result<SocketAddr> {
    name(socket, libc::getpeername)
}

/// A descriptor that another thread can make readable to wake a ring.
///
/// # Errors
/// What eventfd(2) says.
pub fn eventfd() -> io::Result<OwnedFd> {
    // SAFETY: eventfd(2) takes integers; the result is a new descriptor that nobody else owns.
    unsafe {
        Ok(OwnedFd::from_raw_fd(check(libc::eventfd(
            0,
            libc::EFD_CLOEXEC | libc::EFD_NONBLOCK,
        ))?))
    }
}

/// Makes an eventfd readable.
pub fn eventfd_signal(event: BorrowedFd<'_>) {
    let one = 1u64;
    // SAFETY: the kernel reads eight bytes. EAGAIN means that it is readable already.
    unsafe { libc::write(event.as_raw_fd(), (&raw const one).cast(), size_of::<u64>()) };
}

/// Makes an eventfd unreadable again.
pub fn eventfd_clear(event: BorrowedFd<'_>) {
    let mut count = 0u64;
    // SAFETY: the kernel writes eight bytes. EAGAIN means that it was not readable.
    unsafe { libc::read(event.as_raw_fd(), (&raw mut count).cast(), size_of::<u64>()) };
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn addresses_survive_the_kernels_form() {
        for text in [
            "127.0.0.1:80",
            "255.255.255.255:65535",
            "[::1]:443",
            "[fe80::1%7]:1",
        ] {
            let address: SocketAddr = text.parse().expect("a valid address");
            assert_eq!(
                SocketAddress::parse(&SocketAddress::new(address).storage),
                Some(address)
            );
        }
    }

    #[test]
    fn addresses_of_this_host_are_told_from_others() {
        for (address, own) in [
            ("127.0.0.1", true),
            ("127.9.9.9", true),
            ("192.0.2.1", false),
        ] {
            assert_eq!(
                is_of_this_host(address.parse().expect("an address")),
                own,
                "{address}"
            );
        }
    }

    #[test]
    fn an_error_is_told_once() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("its address");
        let client = std::net::TcpStream::connect(address).expect("a connection");
        let (server, _) = listener.accept().expect("a connection");
        assert_eq!(take_error(client.as_fd()), None);
        set_reset_on_close(server.as_fd()).expect("an option of every socket");
        drop(server);
        // On loopback the RST has come when close(2) returns.
        assert_eq!(take_error(client.as_fd()), Some(libc::ECONNRESET));
        assert_eq!(take_error(client.as_fd()), None);
    }

    #[test]
    fn a_listener_tells_its_port_and_is_empty() {
        let listener = bind_listener(
            "127.0.0.1:0".parse().expect("an address"),
            16,
            true,
            Duration::from_secs(60),
            None,
        )
        .expect("a listener");
        let address = local_address(listener.as_fd()).expect("its address");
        assert_ne!(address.port(), 0);
        assert!(matches!(accept(listener.as_fd()), Ok(Accepted::Empty)));
        let _client = std::net::TcpStream::connect(address).expect("a connection");
        assert!(matches!(
            accept(listener.as_fd()),
            Ok(Accepted::Connection(_))
        ));
    }
}
