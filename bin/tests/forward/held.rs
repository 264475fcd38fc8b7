//! What a slow or silent end leaves in the middle: nothing of it is lost, nothing of it is passed off as whole, and it
//! keeps nothing from others.

use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use super::{GET, OK, POST};
use crate::support::*;

/// As scarce as it can be, and everything is received into it.
const SCARCE: [&str; 6] = [
    "--buffers",
    "4",
    "--buffer-size",
    "512",
    "--zero-copy",
    "off",
];

/// A response in front of the answer, which says its number.
fn hint(number: usize) -> String {
    format!(
        "HTTP/1.1 103 Early Hints\r\nX-Number: {number}\r\nX: {}\r\n\r\n",
        "y".repeat(400)
    )
}

/// Sends interim responses until nobody takes any more of them. Gives how many were begun, and what is left of the last.
fn flood(mut origin: &TcpStream) -> (usize, Vec<u8>) {
    origin
        .set_nonblocking(true)
        .expect("an option of every socket");
    let (mut begun, mut left) = (0, Vec::new());
    let mut stalled = 0;
    while stalled < 20 {
        if left.is_empty() {
            left = hint(begun).into_bytes();
            begun += 1;
        }
        match origin.write(&left) {
            Ok(sent) => {
                left.drain(..sent);
                stalled = 0;
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                thread::park_timeout(Duration::from_millis(10));
                stalled += 1;
            }
        }
    }
    origin
        .set_nonblocking(false)
        .expect("an option of every socket");
    (begun, left)
}

/// Has clients send something behind their requests that has to wait, one more of them than the proxy has `buffers`, until
/// others are asked for theirs. As many as buffers would do only if a slow reader happened to hold one more.
fn hold_buffers(proxy: &Proxy, buffers: usize) {
    let mut holding: Vec<Exchange> = (0..=buffers)
        .map(|_| Exchange::begin(proxy, POST))
        .collect();
    for exchange in &mut holding {
        exchange.client.send("helloGET http://");
        assert_eq!(exchange.server.exactly(5), b"hello");
    }
    proxy.await_snapshot("buffers to be wanted", |now| now.value("spills") > 0);
}

#[test]
fn interim_responses_to_a_slow_reader_lose_nothing_when_others_need_buffers() {
    let proxy = Proxy::start(&["--buffers", "32", "--buffer-size", "512"]);
    let mut slow = Exchange::get(&proxy);
    let (begun, left) = flood(slow.server.stream());
    hold_buffers(&proxy, 32);
    let server = slow.server.stream();
    thread::scope(|scope| {
        scope.spawn(move || {
            { server }
                .write_all(&[&left, OK.as_bytes()].concat())
                .expect("the proxy takes the rest")
        });
        for number in 0..begun {
            let head = slow.client.head();
            assert_eq!(head.field("X-Number"), Some(number.to_string().as_str()));
        }
        assert_eq!(slow.client.response().text(), "ok");
    });
}

#[test]
fn bytes_behind_an_early_answer_keep_no_buffer_from_others_while_the_upload_runs() {
    let proxy = Proxy::start(&SCARCE);
    let mut early = Exchange::begin(&proxy, POST);
    early.server.send([OK.as_bytes(), &[b'x'; 8192]].concat());
    assert_eq!(early.client.response().text(), "ok");
    let mut other = Exchange::get(&proxy);
    assert_eq!(other.answer(OK).text(), "ok");
    // The upload is not disturbed, and what was unasked answers nobody.
    early.client.send("hello");
    assert_eq!(early.server.exactly(5), b"hello");
    early.client.send(about(early.origin.address(), GET));
    let mut server = Wire::from(&early.origin, &early.client);
    server.head();
    server.send(OK);
    assert_eq!(early.client.response().text(), "ok");
}

/// Sends chunks until the client takes no more. What it has not taken has been received by the proxy, which holds it.
fn fill(proxy: &Proxy, exchange: &mut Exchange) -> usize {
    let bytes_down = || proxy.snapshot().value("bytes_down");
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let before = bytes_down();
    exchange.server.send(head);
    exchange.client.head();
    let head_bytes = bytes_down() - before;
    let chunk = [b"4000\r\n".as_slice(), &[b'c'; 0x4000], b"\r\n"].concat();
    for chunks in 1.. {
        exchange.server.send(&chunk);
        let due = before + head_bytes + (chunks * chunk.len()) as u64;
        let deadline = Instant::now() + Duration::from_millis(300);
        while bytes_down() < due {
            if Instant::now() > deadline {
                return chunks;
            }
        }
    }
    unreachable!("a client that does not read takes chunks without end")
}

/// Its answer is whole before its origin ends the connection, and the proxy has all of it.
fn held_whole(proxy: &Proxy) -> (Exchange, usize) {
    let mut slow = Exchange::get(proxy);
    let chunks = fill(proxy, &mut slow);
    let held = proxy.snapshot().value("leases");
    slow.server.send("0\r\n\r\n");
    proxy.await_snapshot("the end of the answer", |now| now.value("leases") > held);
    (slow, chunks)
}

#[track_caller]
fn expect_whole(client: &mut Wire, chunks: usize) {
    for number in 0..chunks {
        let (_, content) = client
            .try_chunk()
            .unwrap_or_else(|error| panic!("chunk {number} of {chunks}: {error}"));
        assert_eq!(content, [b'c'; 0x4000]);
    }
    assert_eq!(client.exactly(5), b"0\r\n\r\n");
}

#[test]
fn slow_reader_of_a_whole_answer_gets_it_when_others_need_buffers() {
    let proxy = Proxy::start(&["--buffers", "8", "--zero-copy", "off"]);
    let (mut slow, chunks) = held_whole(&proxy);
    slow.server.finish();
    hold_buffers(&proxy, 8);
    expect_whole(&mut slow.client, chunks);
}

#[test]
fn slow_reader_of_a_whole_answer_gets_it_although_its_origin_resets() {
    let proxy = Proxy::start(&["--zero-copy", "off"]);
    let (mut slow, chunks) = held_whole(&proxy);
    reset(slow.server.into_stream());
    expect_no_abort(slow.client.stream(), Duration::from_millis(100));
    expect_whole(&mut slow.client, chunks);
}

const MEBIBYTE: usize = 1 << 20;

/// Passes as much of a body.
fn upload(exchange: &mut Exchange) {
    let Exchange { client, server, .. } = exchange;
    thread::scope(|scope| {
        scope.spawn(|| client.send([b'u'; MEBIBYTE]));
        server.exactly(MEBIBYTE);
    });
}

#[test]
fn client_aborts_behind_a_spliced_upload_while_the_origin_thinks() {
    let proxy = Proxy::start(&["--zero-copy", "splice"]);
    let start = proxy.footing();
    let mut exchange = Exchange::begin(&proxy, &POST.replace(": 5", ": 1048576"));
    upload(&mut exchange);
    reset(exchange.client.into_stream());
    exchange.server.rest();
    drop(exchange.server);
    proxy.await_gauges(&start);
}

#[test]
fn client_aborts_a_spliced_upload_that_the_origin_does_not_read() {
    let proxy = Proxy::start(&["--zero-copy", "splice"]);
    let start = proxy.footing();
    let exchange = Exchange::begin(&proxy, &POST.replace(": 5", ": 1000000000"));
    stall(exchange.client.stream());
    reset(exchange.client.into_stream());
    await_abort(exchange.server.stream());
    drop(exchange.server);
    proxy.await_gauges(&start);
}

/// The kernel tells of a reset once, and here it tells the upload.
#[test]
fn answer_that_only_the_close_ends_is_not_whole_when_its_origin_resets_during_the_upload() {
    let proxy = Launch::new(&["--zero-copy", "splice"])
        .tuning("1,1,1000000,0")
        .start();
    let mut exchange = Exchange::begin(&proxy, &POST.replace(": 5", ": 1000000000"));
    upload(&mut exchange);
    exchange.server.send("HTTP/1.1 200 OK\r\n\r\n");
    exchange.server.send([b'd'; MEBIBYTE]);
    exchange.client.head();
    exchange.client.exactly(MEBIBYTE);
    let Exchange {
        mut client, server, ..
    } = exchange;
    let server = server.into_stream();
    proxy.while_stopped(|| {
        client.send("more");
        reset(server);
    });
    assert_eq!(client.end(), End::Reset);
}

#[test]
fn upload_that_is_long_is_promoted_once() {
    let proxy = Proxy::start(&["--zero-copy", "splice"]);
    let mut exchange = Exchange::begin(&proxy, &POST.replace(": 5", ": 1048576"));
    upload(&mut exchange);
    assert_eq!(exchange.answer(OK).text(), "ok");
    assert_eq!(proxy.snapshot().value("promotions"), 1);
}

#[test]
fn client_aborts_an_upload_that_the_origin_does_not_read() {
    let proxy = Proxy::start(&["--zero-copy", "off"]);
    let start = proxy.footing();
    let exchange = Exchange::begin(&proxy, &POST.replace(": 5", ": 1000000000"));
    stall(exchange.client.stream());
    reset(exchange.client.into_stream());
    await_abort(exchange.server.stream());
    drop(exchange.server);
    proxy.await_gauges(&start);
}

#[test]
fn client_aborts_behind_more_requests_than_fit_while_the_origin_thinks() {
    let proxy = Proxy::start(&[]);
    let start = proxy.footing();
    let exchange = Exchange::get(&proxy);
    stall(exchange.client.stream());
    reset(exchange.client.into_stream());
    await_abort(exchange.server.stream());
    drop(exchange.server);
    proxy.await_gauges(&start);
}
