//! The small relays, each as a program of its own: what they carry, how they end, and what they refuse.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_ringway-bench");
const PATIENCE: Duration = Duration::from_secs(5);

/// The relays that read requests.
const KINDS: [&str; 3] = ["epoll", "monoio", "tokio-uring"];

/// An address that no client's connection can take by chance: below the ports that the kernel gives these.
fn free_address() -> SocketAddr {
    static TRIED: AtomicU32 = AtomicU32::new(0);
    loop {
        let tried = std::process::id() + TRIED.fetch_add(1, Ordering::Relaxed);
        let port = 10_000 + u16::try_from(tried % 20_000).unwrap();
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            return listener.local_addr().unwrap();
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Asks again until it is so.
#[track_caller]
fn wait_until(mut is_so: impl FnMut() -> bool, what: &str) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "{what}");
        std::thread::yield_now();
    }
}

/// A relay that is ended with the test, and an origin that it can reach.
struct Relay {
    program: Child,
    kind: &'static str,
    address: SocketAddr,
    origin: TcpListener,
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

impl Relay {
    fn start(kind: &'static str) -> Self {
        let origin = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let (address, target) = (free_address(), origin.local_addr().unwrap().to_string());
        let mut command = Command::new(PROGRAM);
        command.args(["relay", "--kind", kind, "--listen", &address.to_string()]);
        if kind == "splice" {
            command.args(["--target", &target]);
        }
        let program = command.stderr(Stdio::null()).spawn().unwrap();
        let relay = Self {
            program,
            kind,
            address,
            origin,
        };
        wait_until(|| TcpStream::connect(address).is_ok(), kind);
        match kind {
            "splice" => drop(relay.accept()), // it has passed the probe on
            _ => {
                // It listens before it has a ring; once it answers, it has opened what it needs.
                let mut client = relay.connect();
                client.write_all(b"HELP\r\n\r\n").unwrap();
                assert!(head(&mut client).starts_with("HTTP/1.1 400 "));
            }
        }
        relay
    }

    fn accept(&self) -> TcpStream {
        let (socket, _) = self.origin.accept().unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        socket
    }

    fn connect(&self) -> TcpStream {
        let socket = TcpStream::connect(self.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        socket
    }

    fn request(&self) -> String {
        let target = self.origin.local_addr().unwrap();
        format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n")
    }

    /// Both ends of a tunnel.
    fn tunnel(&self) -> [TcpStream; 2] {
        let mut client = self.connect();
        if self.kind == "splice" {
            return [client, self.accept()];
        }
        client.write_all(self.request().as_bytes()).unwrap();
        assert!(head(&mut client).starts_with("HTTP/1.1 200 "));
        [client, self.accept()]
    }

    /// Both ends of a GET that the origin has read.
    fn asked(&self) -> [TcpStream; 2] {
        let target = self.origin.local_addr().unwrap();
        let mut client = self.connect();
        let request = format!("GET http://{target}/ HTTP/1.1\r\n\r\n");
        client.write_all(request.as_bytes()).unwrap();
        let mut origin = self.accept();
        head(&mut origin);
        [client, origin]
    }

    fn open_files(&self) -> usize {
        let folder = format!("/proc/{}/fd", self.program.id());
        std::fs::read_dir(folder).unwrap().count()
    }
}

/// A head, byte by byte, so that nothing after it is read.
fn head(socket: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    text(&head)
}

fn read_exactly(socket: &mut TcpStream, bytes: usize) -> String {
    let mut came = vec![0; bytes];
    socket.read_exact(&mut came).unwrap();
    text(&came)
}

fn read_to_end(socket: &mut TcpStream) -> String {
    let mut came = Vec::new();
    socket.read_to_end(&mut came).unwrap();
    text(&came)
}

/// Sends until nothing has been taken for some time: every buffer on the way is full, and none of them grows.
fn fill(socket: &TcpStream, kind: &str) {
    socket.set_nonblocking(true).unwrap();
    let (mut taken, mut last) = (0, Instant::now());
    while last.elapsed() < Duration::from_millis(300) {
        match (&*socket).write(&[7; 64 * 1024]) {
            Ok(count) => (taken, last) = (taken + count, Instant::now()),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{kind}"),
        }
        assert!(taken < 64 << 20, "{kind} takes what nobody reads: {taken}");
    }
}

/// Closes with a reset instead of a FIN.
fn reset(socket: TcpStream) {
    let socket = socket2::Socket::from(socket);
    socket.set_linger(Some(Duration::ZERO)).unwrap();
}

fn is_reset(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
    )
}

fn run(kind: &str, arguments: &str) -> Output {
    let (proxy, origin) = (free_address().to_string(), free_address().to_string());
    let spawn = format!("'{PROGRAM}' relay --kind {kind} --listen {proxy}");
    Command::new(PROGRAM)
        .args(arguments.split(' '))
        .args(
            "--duration 100ms --warm-up 20ms --load-cores none --core none --no-direct".split(' '),
        )
        .args(["--spawn", &spawn, "--proxy", &proxy, "--origin", &origin])
        .output()
        .unwrap()
}

#[test]
fn each_carries_every_workload_through_connect() {
    for kind in KINDS {
        for workload in [
            "W1 --connections 64",
            "W3 --connections 8",
            "W5 --connections 4",
            "W5 --connections 1 --bytes 4097",
            "W6",
            "W7 --connections 300",
            "W8 --connections 500",
            "W9 --connections 64",
            "W9 --connections 4 --bytes 300000",
            "W12 --connections 8",
            "W13 --connections 8",
            "W14 --connections 8",
            "W15",
        ] {
            let output = run(kind, &format!("run --mode connect --workload {workload}"));
            let error = text(&output.stderr);
            assert!(output.status.success(), "{kind} {workload}: {error}");
        }
    }
}

#[test]
fn each_forwards_gets_and_websockets() {
    for kind in KINDS {
        for workload in [
            "W3 --connections 64",
            "W4 --connections 8 --bytes 1024",
            "W4 --connections 8 --bytes 102400",
            "W4 --connections 2 --bytes 10485760",
            "W12 --connections 8",
            "W13 --connections 8",
            "W14 --connections 8",
            "W16 --connections 100",
        ] {
            let output = run(kind, &format!("run --mode forward --workload {workload}"));
            let error = text(&output.stderr);
            assert!(output.status.success(), "{kind} {workload}: {error}");
            let figures = text(&output.stdout);
            let opened = figures
                .lines()
                .find(|line| line.contains("origin_connections"));
            let opened = opened.and_then(|line| line.split_whitespace().last());
            assert!(matches!(opened, None | Some("0.0000")), "{kind}: {figures}");
        }
    }
}

#[test]
fn each_passes_fin_as_fin_and_reset_as_reset() {
    for kind in ["splice"].into_iter().chain(KINDS) {
        let relay = Relay::start(kind);
        let [mut client, mut origin] = relay.tunnel();
        client.write_all(b"question").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_to_end(&mut origin), "question", "{kind}"); // up to the FIN
        origin.write_all(b"answer after the FIN").unwrap();
        drop(origin);
        assert_eq!(read_to_end(&mut client), "answer after the FIN", "{kind}");

        let [mut client, origin] = relay.tunnel();
        reset(origin);
        let error = client.read(&mut [0]).expect_err(kind);
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{kind}");

        let [client, mut origin] = relay.tunnel();
        reset(client);
        let error = origin.read(&mut [0]).expect_err(kind);
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{kind}");
    }
}

#[test]
fn a_side_that_takes_nothing_does_not_hide_that_the_other_is_broken() {
    for kind in KINDS {
        let relay = Relay::start(kind);
        let before = relay.open_files();
        let [mut client, origin] = relay.tunnel();
        fill(&origin, kind);
        reset(origin);
        let broken = || {
            client
                .write_all(b"is anybody there?")
                .is_err_and(|error| is_reset(&error))
        };
        wait_until(broken, kind);
        drop(client);
        wait_until(
            || relay.open_files() <= before,
            &format!("{kind} keeps a socket open"),
        );
    }
}

#[test]
fn nothing_stays_open_after_its_tunnel() {
    for kind in KINDS {
        let relay = Relay::start(kind);
        let before = relay.open_files();
        for _ in 0..20 {
            drop(relay.tunnel());
            let [client, origin] = relay.tunnel();
            reset(client);
            drop(origin);
            drop(relay.connect());
        }
        wait_until(
            || relay.open_files() <= before,
            &format!("{kind} keeps a socket open"),
        );
    }
}

#[test]
fn what_comes_early_arrives_first() {
    for kind in KINDS {
        let relay = Relay::start(kind);
        let mut client = relay.connect();
        let request = relay.request() + "early";
        client.write_all(request.as_bytes()).unwrap();
        let mut origin = relay.accept();
        assert_eq!(read_exactly(&mut origin, 5), "early", "{kind}");
        assert!(head(&mut client).starts_with("HTTP/1.1 200 "));
        client.write_all(b" and late").unwrap();
        assert_eq!(read_exactly(&mut origin, 9), " and late", "{kind}");
    }
}

#[test]
fn wrong_requests_are_refused_with_their_reason() {
    let gone = free_address();
    let long = format!(
        "CONNECT {gone} HTTP/1.1\r\nA: {}\r\n\r\n",
        "a".repeat(17_000)
    );
    for (request, status) in [
        ("EHLO example.test\r\n\r\n".to_owned(), "400 "),
        (format!("CONNECT {gone} HTTP/2\r\n\r\n"), "400 "),
        (
            "CONNECT example.test:443 HTTP/1.1\r\n\r\n".to_owned(),
            "501 ",
        ),
        (format!("POST http://{gone}/ HTTP/1.1\r\n\r\n"), "501 "),
        (format!("CONNECT {gone} HTTP/1.1\r\n\r\n"), "502 "),
        (format!("GET http://{gone}/ HTTP/1.1\r\n\r\n"), "502 "),
        (long, "431 "),
    ] {
        for kind in KINDS {
            let relay = Relay::start(kind);
            let mut client = relay.connect();
            client.write_all(request.as_bytes()).unwrap();
            let reply = head(&mut client);
            let (_, came) = reply.split_once(' ').unwrap();
            assert!(came.starts_with(status), "{kind} {request:.60}: {reply}");
            let end = client.read(&mut [0]);
            let is_end = end.as_ref().map_or_else(is_reset, |count| *count == 0);
            assert!(is_end, "{kind} {request:.60}: {end:?}");
        }
    }
}

#[test]
fn requests_and_answers_may_come_in_any_pieces() {
    for kind in KINDS {
        let relay = Relay::start(kind);
        let target = relay.origin.local_addr().unwrap();
        let mut client = relay.connect();
        client.set_nodelay(true).unwrap();
        let get = |path: &str| format!("GET http://{target}/{path} HTTP/1.1\r\nA: b\r\n\r\n");
        let both = get("one") + &get("two");
        let (first, second) = both.split_at(70); // within the second
        client.write_all(first.as_bytes()).unwrap();
        let mut origin = relay.accept();
        origin.set_nodelay(true).unwrap();
        let expected = |path| format!("GET /{path} HTTP/1.1\r\nHost: {target}\r\nA: b\r\n\r\n");
        assert_eq!(head(&mut origin), expected("one"), "{kind}");
        let early = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n";
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
        let pieces = format!("{early}{answer}");
        let (start, end) = pieces.split_at(60);
        origin.write_all(start.as_bytes()).unwrap();
        assert_eq!(head(&mut client), early, "{kind}");
        origin.write_all(end.as_bytes()).unwrap();
        assert_eq!(read_exactly(&mut client, answer.len()), answer, "{kind}");
        client.write_all(second.as_bytes()).unwrap();
        assert_eq!(head(&mut origin), expected("two"), "{kind}");
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
        origin.write_all(chunked.as_bytes()).unwrap();
        assert!(head(&mut client).starts_with("HTTP/1.1 502 "), "{kind}");
    }
}

#[test]
fn a_body_that_nobody_reads_is_not_taken() {
    for kind in KINDS {
        let relay = Relay::start(kind);
        let [mut client, mut origin] = relay.asked();
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n";
        origin.write_all(answer.as_bytes()).unwrap();
        assert_eq!(head(&mut client), answer, "{kind}");
        fill(&origin, kind);
    }
}

#[test]
fn an_answer_that_is_cut_short_is_a_reset() {
    for kind in KINDS {
        let relay = Relay::start(kind);
        let [mut client, mut origin] = relay.asked();
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf";
        origin.write_all(answer.as_bytes()).unwrap();
        assert_eq!(read_exactly(&mut client, answer.len()), answer, "{kind}");
        drop(origin);
        let error = client.read(&mut [0]).expect_err(kind);
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{kind}");
    }
}

#[test]
fn a_kind_says_what_it_needs() {
    for (typed, words) in [
        ("--kind splice", "needs --target"),
        ("--kind monoio --target 127.0.0.1:1", "for --kind splice"),
        ("--kind epoll --pipe-bytes 4096", "for --kind splice"),
        ("--kind tokio", "give splice, epoll, monoio, tokio-uring"),
    ] {
        let output = Command::new(PROGRAM)
            .args("relay --listen 127.0.0.1:0".split(' '))
            .args(typed.split(' '))
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{typed}");
        let error = text(&output.stderr);
        assert!(error.contains(words), "{typed}: {error}");
    }
    let help = Command::new(PROGRAM)
        .args(["relay", "--help"])
        .output()
        .unwrap();
    assert!(text(&help.stdout).contains("relay --kind monoio --listen"));
}
