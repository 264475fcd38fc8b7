//! `--websocket-inspect`, through the real program: frames pass byte for byte, what breaks the rules is ended with a
//! Close to both ends, quiet ends are pinged, and the log says what went.
#![forbid(unsafe_code)]

#[path = "websocket_inspect/drain.rs"]
mod drain;
#[path = "websocket_inspect/errors.rs"]
mod errors;
#[path = "websocket_inspect/frames.rs"]
mod frames;
#[path = "websocket_inspect/quiet.rs"]
mod quiet;
mod support;

use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpStream};

use frames::{Sender, close, frame};
use support::{
    Content, End, Launch, Origin, Proxy, connect, ping, read_exactly, read_reply, read_until_end,
};

/// The sample handshake of RFC 6455 section 1.3, and an extension that the proxy knows nothing of.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const EXTENSION: &str = "permessage-deflate; client_max_window_bits";

/// Both ends of a WebSocket through the proxy.
struct WebSocket {
    client: TcpStream,
    origin: TcpStream,
    target: SocketAddr,
}

impl WebSocket {
    #[track_caller]
    fn open(proxy: &Proxy) -> Self {
        Self::open_early(proxy, &[], &[])
    }

    /// With bytes that the ends send together with their part of the handshake.
    #[track_caller]
    fn open_early(proxy: &Proxy, early_up: &[u8], early_down: &[u8]) -> Self {
        let listening = Origin::listen();
        let target = listening.address();
        let mut client = connect(proxy);
        let request = format!(
            "GET http://{target}/chat HTTP/1.1\r\nHost: {target}\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Extensions: {EXTENSION}\r\n\r\n"
        );
        client
            .write_all(&[request.as_bytes(), early_up].concat())
            .expect("the proxy takes the request");
        let mut origin = listening.accept();
        let asked = read_head(&origin);
        assert!(asked.contains(EXTENSION), "{asked}");
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {ACCEPT}\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
        );
        origin
            .write_all(&[answer.as_bytes(), early_down].concat())
            .expect("the proxy takes the answer");
        let reply = read_reply(&client);
        assert_eq!(reply.status, 101, "{}", reply.head);
        assert_eq!(
            reply.field("Sec-WebSocket-Extensions"),
            Some("permessage-deflate")
        );
        Self {
            client,
            origin,
            target,
        }
    }

    /// The end that sends in this direction, and the one that receives.
    fn ends(&self, sender: Sender) -> (&TcpStream, &TcpStream) {
        match sender {
            Sender::Client => (&self.client, &self.origin),
            Sender::Server => (&self.origin, &self.client),
        }
    }

    /// Sends `bytes` and reads the same from the other end.
    #[track_caller]
    fn pass(&self, sender: Sender, bytes: &[u8]) {
        let (from, to) = self.ends(sender);
        ping(from, to, bytes);
    }

    /// Both ends close the WebSocket with `codes`, then TCP; gives the line of the log.
    #[track_caller]
    fn close(self, proxy: &Proxy, codes: [u16; 2]) -> String {
        for (sender, code) in Sender::BOTH.into_iter().zip(codes) {
            self.pass(sender, &close(sender, code));
        }
        let target = self.target;
        for (end, other) in [(&self.origin, &self.client), (&self.client, &self.origin)] {
            end.shutdown(Shutdown::Write).expect("still connected");
            assert_eq!(read_until_end(other), (Vec::new(), End::Fin));
        }
        drop(self);
        proxy.await_closed(&target.to_string())
    }
}

/// Reads one head of a request and not a byte more.
#[track_caller]
fn read_head(stream: &TcpStream) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        head.push(char::from(read_exactly(stream, 1)[0]));
    }
    head
}

/// Panics unless the line of the log has each of these.
#[track_caller]
fn says(line: &str, parts: &[&str]) {
    for part in parts {
        assert!(
            format!("{line} ").contains(&format!("{part} ")),
            "wanted `{part}` in: {line}"
        );
    }
}

fn inspecting() -> Proxy {
    Proxy::start(&["--websocket-inspect"])
}

/// Frames of every kind in an order that is right, all of one sender.
fn every_kind(sender: Sender) -> Vec<u8> {
    let text = |payload: &[u8]| frame(sender, 0x81, payload);
    let binary = |length: usize| frame(sender, 0x82, &Content::new(7).bytes(length));
    [
        text(b"Hello"),
        text(b""),
        binary(1),
        binary(125),
        binary(126),
        binary(65_535),
        binary(65_536),
        // Fragments, with control frames between them.
        frame(sender, 0x01, b"frag"),
        frame(sender, 0x89, b""),
        frame(sender, 0x00, b""),
        frame(sender, 0x8a, b"eight by"),
        frame(sender, 0x89, &[7; 125]),
        frame(sender, 0x80, b"ment"),
        // Reserved bits: the business of extensions.
        frame(sender, 0xc1, b"deflated"),
        frame(sender, 0x72, b"all three"),
        frame(sender, 0xb0, b"and again"),
    ]
    .concat()
}

/// Messages in [`every_kind`].
const MESSAGES: usize = 10;

#[test]
fn frames_of_every_kind_pass_byte_for_byte() {
    let proxy = inspecting();
    let start = proxy.footing();
    let socket = WebSocket::open(&proxy);
    let mut bytes = Vec::new();
    for sender in Sender::BOTH {
        let stream = every_kind(sender);
        socket.pass(sender, &stream);
        bytes.push(stream.len() + close(sender, 1000).len());
    }
    socket.pass(Sender::Server, &frame(Sender::Server, 0x81, b"one more"));
    let line = socket.close(&proxy, [1000, 4321]);
    says(
        &line,
        &[
            "cause=done",
            &format!("up={}", bytes[0]),
            &format!("down={}", bytes[1] + 10),
            &format!("messages_up={MESSAGES}"),
            &format!("messages_down={}", MESSAGES + 1),
            "close_up=1000",
            "close_down=4321",
        ],
    );
    proxy.await_gauges(&start);
    assert_eq!(proxy.snapshot().value("websocket_errors"), 0);
}

#[test]
fn frames_pass_cut_at_every_byte() {
    let proxy = inspecting();
    let socket = WebSocket::open(&proxy);
    for sender in Sender::BOTH {
        let stream = [
            frame(sender, 0x01, b"a"),
            frame(sender, 0x8a, b"eight by"),
            frame(sender, 0x80, &[5; 126]),
            frame(sender, 0x82, b""),
        ]
        .concat();
        let (mut from, to) = socket.ends(sender);
        for byte in &stream {
            from.write_all(&[*byte]).expect("the proxy reads");
            // A worker that has answered this has seen the byte, so the next comes by itself.
            proxy.snapshot();
        }
        assert_eq!(read_exactly(to, stream.len()), stream);
    }
    let line = socket.close(&proxy, [1001, 3000]);
    says(
        &line,
        &["messages_up=2", "messages_down=2", "close_up=1001"],
    );
}

#[test]
fn frames_in_the_segment_of_the_handshake_pass_in_order() {
    let proxy = inspecting();
    let [up, down] = Sender::BOTH.map(|sender| frame(sender, 0x81, b"early"));
    // The last frame of each is cut.
    let socket = WebSocket::open_early(
        &proxy,
        &[up.as_slice(), &up[..3]].concat(),
        &[down.as_slice(), &down[..1]].concat(),
    );
    let late = [up[3..].to_vec(), down[1..].to_vec()];
    for ((sender, whole), late) in Sender::BOTH.into_iter().zip([&up, &down]).zip(&late) {
        let (mut from, to) = socket.ends(sender);
        assert_eq!(read_exactly(to, whole.len()), *whole);
        from.write_all(late).expect("the proxy reads");
        assert_eq!(read_exactly(to, whole.len()), *whole);
    }
    let line = socket.close(&proxy, [1000, 1000]);
    says(&line, &["messages_up=2", "messages_down=2"]);
}

#[test]
fn bulk_passes_whole_and_is_never_spliced() {
    const FRAMES: usize = 4000;
    for (options, frame_bytes) in [
        (["--buffer-size", "512"].as_slice(), 1000),
        (&["--buffer-size", "512", "--buffers", "2"], 1000),
        (&["--buffer-size", "16k"], 4093),
        (&["--buffer-size", "16k", "--zero-copy", "send-zc"], 70_000),
    ] {
        let options = [options, &["--websocket-inspect"]].concat();
        let proxy = Launch::new(&options).tuning("1,1,1,0").start();
        let socket = WebSocket::open(&proxy);
        let frames = FRAMES * 1000 / frame_bytes;
        std::thread::scope(|scope| {
            for sender in Sender::BOTH {
                let (mut from, to) = socket.ends(sender);
                let one = frame(sender, 0x82, &Content::new(3).bytes(frame_bytes));
                let same = one.clone();
                scope.spawn(move || {
                    for _ in 0..frames {
                        from.write_all(&one).expect("the proxy reads");
                    }
                });
                scope.spawn(move || {
                    for number in 0..frames {
                        let got = read_exactly(to, same.len());
                        assert!(got == same, "frame {number} of {frame_bytes} bytes differs");
                    }
                });
            }
        });
        assert_eq!(proxy.snapshot().value("promotions"), 0);
        let line = socket.close(&proxy, [1000, 1000]);
        says(&line, &[&format!("messages_up={frames}")]);
        says(&line, &[&format!("messages_down={frames}")]);
    }
}

#[test]
fn a_sender_that_ends_inside_of_a_head_ends_before_it() {
    let proxy = inspecting();
    for sender in Sender::BOTH {
        let socket = WebSocket::open(&proxy);
        let (mut from, to) = socket.ends(sender);
        let whole = frame(sender, 0x81, b"whole");
        from.write_all(&[whole.as_slice(), &whole[..1]].concat())
            .expect("the proxy reads");
        from.shutdown(Shutdown::Write).expect("still connected");
        assert_eq!(read_until_end(to), (whole, End::Fin));
        // The other direction lives on.
        let other = sender.other();
        socket.pass(other, &frame(other, 0x82, b"answer"));
        to.shutdown(Shutdown::Write).expect("still connected");
        assert_eq!(read_until_end(from), (Vec::new(), End::Fin));
        let line = proxy.await_closed(&socket.target.to_string());
        says(&line, &["cause=done", "close_up=-", "close_down=-"]);
    }
}

#[test]
fn without_the_option_and_in_tunnels_nothing_is_looked_at() {
    let wrong = b"\x83\x01x is no frame";
    let opaque = Proxy::start(&[]);
    let socket = WebSocket::open(&opaque);
    for sender in Sender::BOTH {
        socket.pass(sender, wrong);
    }
    let target = socket.target.to_string();
    drop(socket);
    let line = opaque.await_closed(&target);
    assert!(!line.contains("messages_up"), "{line}");

    let proxy = inspecting();
    let tunnel = support::Tunnel::open(&proxy);
    ping(&tunnel.client, &tunnel.origin, wrong);
    let target = tunnel.target.to_string();
    drop(tunnel);
    let line = proxy.await_closed(&target);
    assert!(!line.contains("messages_up"), "{line}");
}
