//! Nothing is allocated per read or write once a tunnel is warm, nor per request once a client is: the whole process, with the proxy, a client and an
//! origin in it, runs under a counting allocator. The client and the origin here use buffers they made beforehand, so
//! every allocation that is counted is the proxy's.
//!
//! One test, because the count is the process's: a second one beside it, or the test runner between two, would be
//! counted as well.

#![forbid(unsafe_code)]

use std::alloc::System;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ringway_engine::server::{Config, Server, WorkerSnapshot, ZeroCopy, allowed_cores};
use socket2::SockRef;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// How often a count that is not zero is taken again.
const TRIES: usize = 4;

/// Longest a socket of this test may be silent.
const PATIENCE: Duration = Duration::from_secs(20);

/// Tunnels that echo at the same time.
const ECHO_TUNNELS: usize = 8;
/// Bytes of one echo.
const ECHO_BYTES: usize = 1024;
/// Echoes of every tunnel before the count starts, and while it runs.
const ECHO_ROUNDS: [usize; 2] = [500, 2500];

/// Bodies of the answers to requests.
const ANSWER_BYTES: [usize; 2] = [2, 10 * 1024];

/// Bytes of a bulk transfer before the count starts, and the two that are compared.
const BULK_MIB: [usize; 3] = [32, 128, 256];
const MIB: usize = 1024 * 1024;
/// What they consist of.
const BULK_BYTE: u8 = 0xa5;
/// The reader takes this much at a time, with a pause behind it, from a socket that holds little: it is the slowest
/// part of the way, so every relay has to wait for room many times.
const SIP_BYTES: usize = 512 * 1024;
const SIP_PAUSE: Duration = Duration::from_micros(200);
const READER_SOCKET_BYTES: usize = 128 * 1024;

#[test]
fn nothing_is_allocated_per_read_or_write_or_request() {
    let mut found = Vec::new();
    for zero_copy in [
        ZeroCopy::Auto,
        ZeroCopy::Splice,
        ZeroCopy::SendZc,
        ZeroCopy::Off,
    ] {
        let echoed = allocations_of_echoes(zero_copy);
        if echoed != 0 {
            let echoes = ECHO_TUNNELS * ECHO_ROUNDS[1];
            found.push(format!(
                "{zero_copy:?}: at least {echoed} in each {echoes} echoes"
            ));
        }
        let [once, twice] = allocations_of_bulk(zero_copy);
        if (once, twice) != (0, 0) {
            let [_, mib, mib_twice] = BULK_MIB;
            found.push(format!(
                "{zero_copy:?}: at least {once} in each {mib} MiB, {twice} in each {mib_twice} MiB"
            ));
        }
    }
    for bytes in ANSWER_BYTES {
        let requested = allocations_of_requests(bytes);
        if requested != 0 {
            let requests = ECHO_TUNNELS * ECHO_ROUNDS[1];
            found.push(format!(
                "{bytes} bytes: at least {requested} in each {requests} requests"
            ));
        }
    }
    assert!(found.is_empty(), "allocations:\n{}", found.join("\n"));
}

/// Allocations while [`ECHO_TUNNELS`] tunnels echo, each [`ECHO_ROUNDS`] times.
fn allocations_of_echoes(zero_copy: ZeroCopy) -> usize {
    let proxy = Proxy::start(zero_copy);
    let mut clients = Vec::new();
    let mut origins = Vec::new();
    for _ in 0..ECHO_TUNNELS {
        let (client, origin) = proxy.tunnel();
        clients.push(client);
        origins.push(echo(origin));
    }
    let sent = [0x5a; ECHO_BYTES];
    let mut received = [0; ECHO_BYTES];
    let [warm_up, counted] = ECHO_ROUNDS;
    let mut rounds = |count| {
        for _ in 0..count {
            for mut client in &clients {
                client.write_all(&sent).expect("the proxy reads");
            }
            for mut client in &clients {
                client.read_exact(&mut received).expect("an echo");
                assert!(received == sent, "an echo differs from what was sent");
            }
        }
    };
    rounds(warm_up);
    let allocations = fewest_allocations(|| rounds(counted));
    drop(clients);
    origins.into_iter().for_each(join);
    proxy.stop();
    allocations
}

/// Allocations while [`ECHO_TUNNELS`] clients ask for `bytes` bytes, each [`ECHO_ROUNDS`] times on one connection.
fn allocations_of_requests(bytes: usize) -> usize {
    let proxy = Proxy::start(ZeroCopy::Auto);
    let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n\r\n").into_bytes();
    answer.resize(answer.len() + bytes, BULK_BYTE);
    let mut clients = Vec::new();
    let mut origins = Vec::new();
    for _ in 0..ECHO_TUNNELS {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a listener");
        let target = listener.local_addr().expect("its address");
        let client = TcpStream::connect(proxy.address).expect("the proxy accepts");
        prepare(&client);
        clients.push((client, get(target)));
        origins.push(answer_requests(listener, answer.clone()));
    }
    // Its Via is a field more than the origin sends.
    let mut received = vec![0; answer.len() + "Via: 1.1 ringway\r\n".len()];
    let [warm_up, counted] = ECHO_ROUNDS;
    let mut rounds = |count| {
        for _ in 0..count {
            for (client, request) in &mut clients {
                client.write_all(request).expect("the proxy reads");
            }
            for (client, _) in &mut clients {
                client.read_exact(&mut received).expect("an answer");
                assert!(received.ends_with(&answer[answer.len() - bytes..]));
            }
        }
    };
    rounds(warm_up);
    let allocations = fewest_allocations(|| rounds(counted));
    drop(clients);
    // It keeps the connections to the origins for others.
    proxy.stop();
    origins.into_iter().for_each(join);
    allocations
}

/// Allocations in two transfers from an origin to a client that reads slowly, the second twice as long as the first.
fn allocations_of_bulk(zero_copy: ZeroCopy) -> [usize; 2] {
    let proxy = Proxy::start(zero_copy);
    let (client, mut origin) = proxy.tunnel();
    SockRef::from(&client)
        .set_recv_buffer_size(READER_SOCKET_BYTES)
        .expect("an option of every socket");
    let (ask, asked) = mpsc::sync_channel::<usize>(BULK_MIB.len());
    let writer = thread::spawn(move || {
        let content = vec![BULK_BYTE; MIB];
        for mib in asked {
            for _ in 0..mib {
                origin.write_all(&content).expect("the proxy reads");
            }
        }
    });
    let mut reader = SlowReader {
        buffer: vec![0; SIP_BYTES],
        expected: vec![BULK_BYTE; SIP_BYTES],
    };
    let mut transfer = |mib| {
        ask.send(mib).expect("the writer waits for this");
        reader.read(&client, mib * MIB);
    };
    let [warm_up, once, twice] = BULK_MIB;
    transfer(warm_up);
    let first = fewest_allocations(|| transfer(once));
    let second = fewest_allocations(|| transfer(twice));
    drop(ask);
    join(writer);
    drop(client);
    proxy.expect_bulk_to_have_gone_by(zero_copy);
    proxy.stop();
    [first, second]
}

/// Reads a sip, then pauses.
struct SlowReader {
    buffer: Vec<u8>,
    expected: Vec<u8>,
}

impl SlowReader {
    fn read(&mut self, mut client: &TcpStream, bytes: usize) {
        let mut read = 0;
        let mut sips = 0;
        while read < bytes {
            let part = match client.read(&mut self.buffer) {
                // The probe's ring of this thread is gone, and the kernel says so to whatever this thread is in.
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                part => part.expect("the bytes of the origin"),
            };
            assert_ne!(part, 0, "FIN after {read} of {bytes} bytes");
            let same = self.buffer[..part] == self.expected[..part];
            assert!(
                same,
                "a byte behind the {read}th differs from what was sent"
            );
            read += part;
            if read / SIP_BYTES > sips {
                sips = read / SIP_BYTES;
                thread::sleep(SIP_PAUSE);
            }
        }
    }
}

/// Allocations and reallocations of the whole process during `run`, in the best of a few tries. The lists of the loop
/// have room for the busiest turn so far, and a busier one makes them grow; that may fall into a try, but not into
/// every one.
fn fewest_allocations(mut run: impl FnMut()) -> usize {
    let mut fewest = usize::MAX;
    for _ in 0..TRIES {
        let region = Region::new(ALLOCATOR);
        run();
        let change = region.change();
        fewest = fewest.min(change.allocations + change.reallocations);
        if fewest == 0 {
            break;
        }
    }
    fewest
}

/// A proxy of one worker inside this process.
struct Proxy {
    server: Server,
    address: SocketAddr,
}

impl Proxy {
    fn start(zero_copy: ZeroCopy) -> Self {
        let server = Server::start(Config {
            listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))],
            cores: allowed_cores().into_iter().take(1).collect(),
            zero_copy,
            buffers: 64,
            ..Config::default()
        })
        .unwrap_or_else(|error| panic!("{zero_copy:?}: {error}"));
        let address = server.addresses()[0];
        Self { server, address }
    }

    /// Both ends of a new tunnel.
    fn tunnel(&self) -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a listener");
        let target = listener.local_addr().expect("its address");
        let mut client = TcpStream::connect(self.address).expect("the proxy accepts");
        prepare(&client);
        write!(
            client,
            "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"
        )
        .expect("the proxy reads");
        let origin = listener.accept().expect("the proxy dials").0;
        prepare(&origin);
        let mut reply = Vec::new();
        let mut byte = [0];
        while !reply.ends_with(b"\r\n\r\n") {
            client.read_exact(&mut byte).expect("an answer");
            reply.extend_from_slice(&byte);
        }
        assert!(reply.starts_with(b"HTTP/1.1 200 "));
        (client, origin)
    }

    /// A count of nothing says nothing unless the bytes went the way they should.
    fn expect_bulk_to_have_gone_by(&self, zero_copy: ZeroCopy) {
        let snapshots = self.server.snapshot();
        let [WorkerSnapshot { counters, ring, .. }] = snapshots.as_slice() else {
            panic!("one worker answers, not {}", snapshots.len());
        };
        let splices = matches!(zero_copy, ZeroCopy::Auto | ZeroCopy::Splice);
        let sends_zero_copy = zero_copy == ZeroCopy::SendZc;
        assert_eq!(
            (
                counters.promotions.value() > 0,
                counters.zero_copy_sends.value() > 0,
                splices || ring.pauses > 20
            ),
            (splices, sends_zero_copy, true),
            "{zero_copy:?}: {}",
            snapshots[0]
        );
    }

    fn stop(self) {
        self.server.stop();
        self.server.join().expect("the worker ends well");
    }
}

fn prepare(stream: &TcpStream) {
    stream.set_nodelay(true).expect("an option of every socket");
    for set in [TcpStream::set_read_timeout, TcpStream::set_write_timeout] {
        set(stream, Some(PATIENCE)).expect("an option of every socket");
    }
}

/// Sends back what comes, until FIN.
fn echo(mut origin: TcpStream) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut buffer = [0; 4 * ECHO_BYTES];
        loop {
            match origin.read(&mut buffer).expect("the proxy writes") {
                0 => return,
                read => origin.write_all(&buffer[..read]).expect("the proxy reads"),
            }
        }
    })
}

fn get(target: SocketAddr) -> Vec<u8> {
    format!(
        "GET http://{target}/path HTTP/1.1\r\nHost: {target}\r\nUser-Agent: test\r\nAccept: */*\r\n\
         Proxy-Connection: keep-alive\r\n\r\n"
    )
    .into_bytes()
}

/// Answers the requests of one connection, until FIN.
fn answer_requests(listener: TcpListener, answer: Vec<u8>) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut origin = listener.accept().expect("the proxy dials").0;
        prepare(&origin);
        let mut request = [0; 4096];
        let mut read = 0;
        loop {
            match origin.read(&mut request[read..]).expect("the proxy writes") {
                0 => return,
                more => read += more,
            }
            if request[..read].ends_with(b"\r\n\r\n") {
                origin.write_all(&answer).expect("the proxy reads");
                read = 0;
            }
        }
    })
}

fn join(thread: JoinHandle<()>) {
    thread.join().expect("it says what went wrong");
}
