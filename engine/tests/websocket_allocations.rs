//! Nothing is allocated per message once a WebSocket whose frames are looked at is warm, wherever its frames are cut:
//! the whole process runs under a counting allocator, and the two ends here use buffers that they made beforehand.
//!
//! One test, because the count is the process's.

#![forbid(unsafe_code)]

use std::alloc::System;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use ringway_engine::server::{Config, Server, allowed_cores};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// How often a count that is not zero is taken again: lists of the loop may grow in a busier turn than any before.
const TRIES: usize = 4;
const PATIENCE: Duration = Duration::from_secs(20);
/// Messages before the count starts, and while it runs. Each goes up in two writes, and comes down in one.
const MESSAGES: [usize; 2] = [500, 3000];
/// A number of payload bytes that no buffer is a multiple of, so that heads are cut at every place.
const PAYLOAD_BYTES: usize = 997;
/// Frames that come down for each that goes up.
const ANSWERS: usize = 40;

#[test]
fn nothing_is_allocated_per_message() {
    let server = Server::start(Config {
        listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))],
        cores: allowed_cores().into_iter().take(1).collect(),
        websocket_inspect: true,
        ..Config::default()
    })
    .expect("the proxy starts");
    let (mut client, mut origin) = websocket(server.addresses()[0]);
    let length = (PAYLOAD_BYTES as u16).to_be_bytes();
    // Masked with a key of zeros.
    let up = [&[0x82, 0xfe], length.as_slice(), &[0; 4 + PAYLOAD_BYTES]].concat();
    let down = [&[0x82, 0x7e], length.as_slice(), &[7; PAYLOAD_BYTES]].concat();
    let answer = down.repeat(ANSWERS);
    let (mut asked, mut answered) = (vec![0; up.len()], vec![0; answer.len()]);
    let (request, expected) = (up.clone(), answer.clone());
    let echo = thread::spawn(move || {
        while origin.read_exact(&mut asked).is_ok() {
            assert!(asked == request, "a message differs from what was sent");
            origin.write_all(&answer).expect("the proxy reads");
        }
    });
    let mut messages = |count| {
        for number in 0..count {
            let (first, second) = up.split_at(1 + number % 12);
            client.write_all(first).expect("the proxy reads");
            client.write_all(second).expect("the proxy reads");
            client.read_exact(&mut answered).expect("the answers");
            assert!(answered == expected, "an answer differs");
        }
    };
    let [warm_up, counted] = MESSAGES;
    messages(warm_up);
    let mut fewest = usize::MAX;
    for _ in 0..TRIES {
        let region = Region::new(ALLOCATOR);
        messages(counted);
        let change = region.change();
        fewest = fewest.min(change.allocations + change.reallocations);
    }
    drop(client);
    echo.join().expect("it says what went wrong");
    server.stop();
    server.join().expect("the worker ends well");
    assert_eq!(fewest, 0, "allocations in {counted} messages");
}

/// Both ends of a WebSocket, with the sample handshake of RFC 6455 section 1.3.
fn websocket(proxy: SocketAddr) -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a listener");
    let target = listener.local_addr().expect("its address");
    let mut client = TcpStream::connect(proxy).expect("the proxy accepts");
    let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-";
    write!(
        client,
        "GET http://{target}/ HTTP/1.1\r\nHost: {target}\r\n{upgrade}Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Version: 13\r\n\r\n"
    )
    .expect("the proxy reads");
    let mut origin = listener.accept().expect("the proxy dials").0;
    for stream in [&client, &origin] {
        stream.set_nodelay(true).expect("an option of every socket");
        let patience = Some(PATIENCE);
        stream.set_read_timeout(patience).expect("an option");
    }
    read_head(&mut origin);
    write!(
        origin,
        "HTTP/1.1 101 Switching Protocols\r\n{upgrade}Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    )
    .expect("the proxy reads");
    let reply = read_head(&mut client);
    assert!(reply.starts_with(b"HTTP/1.1 101 "));
    (client, origin)
}

fn read_head(stream: &mut TcpStream) -> Vec<u8> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).expect("a head");
        head.extend_from_slice(&byte);
    }
    head
}
