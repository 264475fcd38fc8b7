//! The origin's side: listeners that a test accepts on by hand, one that echoes, one that never answers, and a tunnel
//! with both of its ends.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{Domain, Socket, Type};

use super::client::prepare;
use super::{PATIENCE, Proxy, open_tunnel, until};

/// A listener on loopback that accepts when the test says so.
pub(crate) struct Origin {
    listener: TcpListener,
}

impl Origin {
    pub(crate) fn listen() -> Self {
        Self::listen_at((Ipv4Addr::LOCALHOST, 0))
    }

    #[track_caller]
    pub(crate) fn listen_at(address: impl Into<SocketAddr>) -> Self {
        let address = address.into();
        let socket =
            Socket::new(Domain::for_address(address), Type::STREAM, None).expect("a socket");
        if address.is_ipv6() {
            socket
                .set_only_v6(true)
                .expect("an option of every IPv6 socket");
        }
        socket
            .set_reuse_address(true)
            .expect("an option of every socket");
        socket
            .bind(&address.into())
            .unwrap_or_else(|error| panic!("{address}: {error}"));
        socket.listen(4096).expect("a bound socket listens");
        socket
            .set_nonblocking(true)
            .expect("an option of every socket");
        Self {
            listener: socket.into(),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener
            .local_addr()
            .expect("a bound socket has an address")
    }

    pub(crate) fn port(&self) -> u16 {
        self.address().port()
    }

    /// The next connection.
    #[track_caller]
    pub(crate) fn accept(&self) -> TcpStream {
        let patience = Timespec {
            tv_sec: PATIENCE.as_secs() as i64,
            tv_nsec: 0,
        };
        let ready = poll(
            &mut [PollFd::new(&self.listener, PollFlags::IN)],
            Some(&patience),
        )
        .expect("poll");
        assert_eq!(ready, 1, "nobody connected within {PATIENCE:?}");
        prepare(self.listener.accept().expect("a connection was there").0)
    }

    /// The next connection, which the proxy makes for `client`. Panics at once if that is answered instead.
    #[track_caller]
    pub(crate) fn accept_for(&self, client: &TcpStream) -> TcpStream {
        await_before(&self.listener, client);
        self.accept()
    }

    /// The next connection, if there is one already.
    #[track_caller]
    pub(crate) fn accept_if_there(&self) -> Option<TcpStream> {
        match self.listener.accept() {
            Ok((stream, _)) => Some(prepare(stream)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// Panics if anybody has connected. The kernel queues a connection before the side that connects knows of it, so
    /// what the proxy had dialled before it answered is seen here.
    #[track_caller]
    pub(crate) fn expect_untouched(&self) {
        let touched = self.accept_if_there();
        assert!(touched.is_none(), "the origin was dialled: {touched:?}");
    }
}

/// Waits until there is something to read or to accept at the origin. Panics when it comes to the client first, with
/// what that is.
#[track_caller]
pub(super) fn await_before(origin: impl std::os::fd::AsFd, client: &TcpStream) {
    let patience = Timespec {
        tv_sec: PATIENCE.as_secs() as i64,
        tv_nsec: 0,
    };
    let mut wanted = [
        PollFd::new(&origin, PollFlags::IN),
        PollFd::new(client, PollFlags::IN),
    ];
    let ready = poll(&mut wanted, Some(&patience)).expect("poll");
    assert_ne!(ready, 0, "the origin heard of nothing within {PATIENCE:?}");
    if wanted[0].revents().is_empty() {
        let mut bytes = [0; 1024];
        let seen = client.peek(&mut bytes);
        let text = String::from_utf8_lossy(&bytes[..*seen.as_ref().unwrap_or(&0)]);
        panic!("the client heard first, and not the origin: {seen:?} {text}");
    }
}

/// An origin that sends back what it receives, and FIN after FIN.
pub(crate) struct Echo {
    address: SocketAddr,
    over: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

impl Echo {
    pub(crate) fn start() -> Self {
        Self::start_at((Ipv4Addr::LOCALHOST, 0))
    }

    #[track_caller]
    pub(crate) fn start_at(address: impl Into<SocketAddr>) -> Self {
        let Origin { listener } = Origin::listen_at(address);
        listener
            .set_nonblocking(false)
            .expect("an option of every socket");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        let over = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&over);
        let acceptor = thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if ended.load(Ordering::Acquire) {
                    break;
                }
                thread::spawn(move || echo(&prepare(stream)));
            }
        });
        Self {
            address,
            over,
            acceptor: Some(acceptor),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        let _ = TcpStream::connect(self.address); // wakes the acceptor
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

fn echo(mut stream: &TcpStream) {
    let mut buffer = [0; 64 * 1024];
    let _ = stream.set_read_timeout(None); // a tunnel may stay silent for as long as its test wants
    while let Ok(read) = stream.read(&mut buffer) {
        if read == 0 || stream.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = stream.shutdown(Shutdown::Write);
}

/// An address that never answers a SYN: a listener whose queue is full.
pub(crate) struct Blackhole {
    listener: Socket,
    _queued: TcpStream,
}

impl Blackhole {
    pub(crate) fn listen() -> Self {
        Self::listen_at((Ipv4Addr::LOCALHOST, 0))
    }

    #[track_caller]
    pub(crate) fn listen_at(address: impl Into<SocketAddr>) -> Self {
        let address = address.into();
        let listener =
            Socket::new(Domain::for_address(address), Type::STREAM, None).expect("a socket");
        if address.is_ipv6() {
            listener
                .set_only_v6(true)
                .expect("an option of every IPv6 socket");
        }
        listener
            .bind(&address.into())
            .unwrap_or_else(|error| panic!("{address}: {error}"));
        listener.listen(0).expect("a bound socket listens");
        let bound = listener
            .local_addr()
            .ok()
            .and_then(|bound| bound.as_socket())
            .expect("an IP address");
        // A backlog of 0 is a queue of one; once it is full, the kernel drops every SYN.
        let queued = TcpStream::connect(bound).expect("the queue has one place");
        Self {
            listener,
            _queued: queued,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener
            .local_addr()
            .ok()
            .and_then(|bound| bound.as_socket())
            .expect("an IP address")
    }

    /// The connection whose SYN was answered.
    #[track_caller]
    pub(crate) fn accept(&self) -> TcpStream {
        self.listener
            .set_nonblocking(true)
            .expect("an option of every socket");
        until("the connection", || {
            Some(prepare(self.listener.accept().ok()?.0.into()))
        })
    }

    /// Makes place in the queue: the next SYN is answered.
    pub(crate) fn answer(&self) {
        let _ = self.listener.accept().expect("one connection is queued");
    }
}

/// Both ends of one tunnel.
pub(crate) struct Tunnel {
    pub(crate) client: TcpStream,
    pub(crate) origin: TcpStream,
    /// As it stands in the request and in the log.
    pub(crate) target: SocketAddr,
}

impl Tunnel {
    /// A tunnel through `proxy` to a listener of its own.
    #[track_caller]
    pub(crate) fn open(proxy: &Proxy) -> Self {
        Self::open_to(proxy, &Origin::listen())
    }

    #[track_caller]
    pub(crate) fn open_to(proxy: &Proxy, origin: &Origin) -> Self {
        let target = origin.address();
        let client = open_tunnel(proxy, target);
        Self {
            client,
            origin: origin.accept(),
            target,
        }
    }

    /// A tunnel both of whose ends have the smallest socket buffers the kernel allows.
    #[track_caller]
    pub(crate) fn open_narrow(proxy: &Proxy) -> Self {
        let listening = Origin::listen();
        narrow(&listening.listener); // accepted sockets inherit it
        let target = listening.address();
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        narrow(&socket);
        socket
            .connect(&proxy.address().into())
            .expect("the proxy accepts");
        let client = prepare(socket.into());
        (&client)
            .write_all(&super::head(target))
            .expect("the proxy takes the head");
        let reply = super::read_reply(&client);
        assert_eq!(reply.status, 200, "{}", reply.head);
        Self {
            client,
            origin: listening.accept(),
            target,
        }
    }

    /// The two ends, the one that does something first and the other.
    pub(crate) fn from(self, side: Side) -> (TcpStream, TcpStream) {
        match side {
            Side::Client => (self.client, self.origin),
            Side::Origin => (self.origin, self.client),
        }
    }
}

/// An end of a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Origin,
}

impl Side {
    pub(crate) const BOTH: [Self; 2] = [Self::Client, Self::Origin];
}

/// The smallest buffers the kernel allows, for a socket before it connects or listens. The small segments go with them:
/// with those of the loopback device, larger than such a buffer, each would wait for a timer of TCP.
pub(crate) fn narrow<'socket>(socket: impl Into<socket2::SockRef<'socket>>) {
    let socket = socket.into();
    socket
        .set_recv_buffer_size(1)
        .expect("an option of every socket");
    socket
        .set_send_buffer_size(1)
        .expect("an option of every socket");
    socket
        .set_tcp_mss(536)
        .expect("an option of every TCP socket");
}

/// Whether this host has IPv6 on loopback.
pub(crate) fn ipv6_loopback() -> bool {
    TcpListener::bind((std::net::Ipv6Addr::LOCALHOST, 0)).is_ok()
}

/// An address of 127.0.0.0/8 by number, to spread connections over.
pub(crate) fn loopback(number: u16) -> IpAddr {
    let [high, low] = number.to_be_bytes();
    Ipv4Addr::new(127, 0, high, low).into()
}
