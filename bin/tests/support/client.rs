//! The client's side: heads on the wire, replies read to the byte, and how a connection ended.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{Domain, Socket, Type};

use super::{PATIENCE, Proxy};

/// A reply's head.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    /// What came behind the head, where the whole connection was read.
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// The value of a field, by its name in any case.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self
            .head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(':'));
        fields
            .find(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    }

    /// Panics unless this is `status` with a `Proxy-Status` that names `error` (RFC 9209).
    #[track_caller]
    pub(crate) fn expect_error(&self, status: u16, error: &str) {
        assert_eq!(self.status, status, "{}", self.head);
        let said = self.field("Proxy-Status").unwrap_or_default();
        let parameter = format!("error={error}");
        assert!(
            said.split(';').any(|part| part.trim() == parameter),
            "wanted `{parameter}` in: {}",
            self.head
        );
    }
}

/// How a connection ended, for the side that reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// FIN.
    Fin,
    /// RST.
    Reset,
}

/// The head of a CONNECT request.
pub(crate) fn head(target: impl std::fmt::Display) -> Vec<u8> {
    format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n").into_bytes()
}

/// A connection to the proxy, on which no read waits longer than [`PATIENCE`].
#[track_caller]
pub(crate) fn connect(proxy: &Proxy) -> TcpStream {
    let stream = TcpStream::connect(proxy.address()).expect("the proxy accepts");
    prepare(stream)
}

/// [`connect`], from the address `source`.
#[track_caller]
pub(crate) fn connect_from(source: impl Into<IpAddr>, proxy: SocketAddr) -> TcpStream {
    let source = SocketAddr::new(source.into(), 0);
    let socket = Socket::new(Domain::for_address(source), Type::STREAM, None).expect("a socket");
    socket
        .bind(&source.into())
        .expect("the source address is this host's");
    socket.connect(&proxy.into()).expect("the proxy accepts");
    prepare(socket.into())
}

pub(super) fn prepare(stream: TcpStream) -> TcpStream {
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("an option of every socket");
    stream
        .set_write_timeout(Some(PATIENCE))
        .expect("an option of every socket");
    stream.set_nodelay(true).expect("an option of every socket");
    stream
}

/// A tunnel to `target`, the 200 read and not a byte more.
#[track_caller]
pub(crate) fn open_tunnel(proxy: &Proxy, target: impl std::fmt::Display) -> TcpStream {
    let mut stream = connect(proxy);
    stream
        .write_all(&head(&target))
        .expect("the proxy takes the head");
    let reply = read_reply(&stream);
    assert_eq!(reply.status, 200, "CONNECT {target}: {}", reply.head);
    stream
}

/// Reads one reply head and not a byte more.
#[track_caller]
pub(crate) fn read_reply(stream: &TcpStream) -> Reply {
    try_reply(stream).unwrap_or_else(|error| panic!("no reply: {error}"))
}

/// [`read_reply`], where none may come.
pub(crate) fn try_reply(mut stream: &TcpStream) -> io::Result<Reply> {
    let mut head = Vec::new();
    let mut ahead = [0; 4096];
    loop {
        let seen = stream.peek(&mut ahead)?;
        if seen == 0 {
            let text = String::from_utf8_lossy(&head).into_owned();
            return Err(io::Error::new(
                ErrorKind::UnexpectedEof,
                format!("the connection ended after {text:?}"),
            ));
        }
        let known = head.len();
        head.extend_from_slice(&ahead[..seen]);
        let end = head
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .map(|at| at + 4);
        head.truncate(end.unwrap_or(head.len()));
        let taken = head.len() - known;
        stream.read_exact(&mut ahead[..taken])?;
        if end.is_some() {
            break;
        }
    }
    let head =
        String::from_utf8(head).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
    let status = head
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3)?.parse().ok());
    let status = status.ok_or_else(|| io::Error::new(ErrorKind::InvalidData, head.clone()))?;
    Ok(Reply {
        status,
        head,
        body: Vec::new(),
    })
}

/// Sends `request` as one write, reads the reply and all behind it, and asserts that the proxy then closes with FIN: a
/// RST could take the reply away before the client has read it.
#[track_caller]
pub(crate) fn ask(proxy: &Proxy, request: &[u8]) -> Reply {
    finish(connect(proxy), request)
}

/// [`ask`], from the address `source`.
#[track_caller]
pub(crate) fn ask_from(source: impl Into<IpAddr>, proxy: SocketAddr, request: &[u8]) -> Reply {
    finish(connect_from(source, proxy), request)
}

/// [`ask`] for a CONNECT to `target`.
#[track_caller]
pub(crate) fn refused(proxy: &Proxy, target: impl std::fmt::Display) -> Reply {
    ask(proxy, &head(target))
}

#[track_caller]
fn finish(mut stream: TcpStream, request: &[u8]) -> Reply {
    stream
        .write_all(request)
        .expect("the proxy takes the request");
    let mut reply = read_reply(&stream);
    assert_ne!(reply.status, 200, "a tunnel was opened: {}", reply.head);
    let (body, end) = read_until_end(&stream);
    assert_eq!(end, End::Fin, "the reply is followed by a clean close");
    reply.body = body;
    reply
}

/// Reads all that is left and how it ended. Panics when neither FIN nor RST comes within the read timeout.
#[track_caller]
pub(crate) fn read_until_end(mut stream: &TcpStream) -> (Vec<u8>, End) {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => (bytes, End::Fin),
        Err(error) if error.kind() == ErrorKind::ConnectionReset => (bytes, End::Reset),
        Err(error) => panic!(
            "neither FIN nor RST came after {} bytes: {error}",
            bytes.len()
        ),
    }
}

/// How the connection ended, when nothing more was to be read.
#[track_caller]
pub(crate) fn end_of(stream: &TcpStream) -> End {
    let (bytes, end) = read_until_end(stream);
    assert!(
        bytes.is_empty(),
        "{} bytes before the end: {:?}",
        bytes.len(),
        String::from_utf8_lossy(&bytes)
    );
    end
}

/// Ends the connection with RST.
pub(crate) fn reset(stream: TcpStream) {
    let socket = Socket::from(stream);
    socket
        .set_linger(Some(Duration::ZERO))
        .expect("an option of every socket");
}

/// Waits, without reading, until the connection has been aborted by the other side: by RST, also where this side has
/// already seen FIN and no read could tell.
#[track_caller]
pub(crate) fn await_abort(stream: &TcpStream) {
    let patience = Timespec {
        tv_sec: PATIENCE.as_secs() as i64,
        tv_nsec: 0,
    };
    let mut wanted = [PollFd::new(stream, PollFlags::empty())]; // ERR and HUP are always reported
    let ready = poll(&mut wanted, Some(&patience)).expect("poll");
    assert_eq!(ready, 1, "no RST came within {PATIENCE:?}");
    let error = stream
        .take_error()
        .expect("an option of every socket")
        .expect("an abort has an error");
    let kinds = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe]; // the latter where FIN had been seen before
    assert!(kinds.contains(&error.kind()), "{error}");
}

/// Asserts that no RST comes for `quiet`.
#[track_caller]
pub(crate) fn expect_no_abort(stream: &TcpStream, quiet: Duration) {
    let quiet = Timespec {
        tv_sec: quiet.as_secs() as i64,
        tv_nsec: quiet.subsec_nanos().into(),
    };
    let ready = poll(&mut [PollFd::new(stream, PollFlags::empty())], Some(&quiet)).expect("poll");
    assert_eq!(ready, 0, "aborted: {:?}", stream.take_error());
}

/// Asserts that nothing comes for `quiet`, neither bytes nor an end.
#[track_caller]
pub(crate) fn expect_quiet(stream: &TcpStream, quiet: Duration) {
    stream
        .set_read_timeout(Some(quiet))
        .expect("an option of every socket");
    match stream.peek(&mut [0; 64]) {
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
        other => panic!("nothing should have come within {quiet:?}: {other:?}"),
    }
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("an option of every socket");
}

/// Sends `bytes` into one end and reads them from the other.
#[track_caller]
pub(crate) fn ping(mut from: &TcpStream, to: &TcpStream, bytes: &[u8]) {
    from.write_all(bytes).expect("the tunnel takes bytes");
    assert_eq!(read_exactly(to, bytes.len()), bytes);
}

#[track_caller]
pub(crate) fn read_exactly(mut stream: &TcpStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    stream
        .read_exact(&mut bytes)
        .unwrap_or_else(|error| panic!("{length} bytes should have come: {error}"));
    bytes
}

/// Writes until the other side has taken nothing for `quiet`, or `limit` bytes are written; gives how many went in.
#[track_caller]
pub(crate) fn write_until_stalled(stream: &TcpStream, limit: usize, quiet: Duration) -> usize {
    write_until_all_stalled(&[stream], limit, quiet)[0]
}

/// [`write_until_stalled`] on many connections at once.
#[track_caller]
pub(crate) fn write_until_all_stalled(
    streams: &[&TcpStream],
    limit: usize,
    quiet: Duration,
) -> Vec<usize> {
    const PIECE: [u8; 16 * 1024] = [0xa5; 16 * 1024];
    let quiet = Timespec {
        tv_sec: quiet.as_secs() as i64,
        tv_nsec: quiet.subsec_nanos().into(),
    };
    let deadline = Instant::now() + PATIENCE;
    let mut written = vec![0; streams.len()];
    let blocking = |blocking: bool| {
        streams.iter().for_each(|stream| {
            stream
                .set_nonblocking(!blocking)
                .expect("an option of every socket")
        });
    };
    blocking(false);
    loop {
        let mut waiting = Vec::new();
        for (stream, written) in streams.iter().copied().zip(&mut written) {
            while *written < limit {
                match { stream }.write(&PIECE[..PIECE.len().min(limit - *written)]) {
                    Ok(bytes) => *written += bytes,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        waiting.push(PollFd::new(stream, PollFlags::OUT));
                        break;
                    }
                    Err(error) => panic!("after {written} bytes: {error}"),
                }
            }
        }
        if waiting.is_empty() || poll(&mut waiting, Some(&quiet)).expect("poll") == 0 {
            blocking(true);
            return written;
        }
        assert!(
            Instant::now() < deadline,
            "{written:?} bytes went in and there is still room for more"
        );
    }
}
