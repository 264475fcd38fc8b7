//! What lies behind the end of a message: it belongs to the next one or to nobody, keeps no receive buffer from others,
//! and does not change how the message before ends.

use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use super::{GET, OK, POST, POST_CHUNKED};
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

#[test]
fn bytes_behind_a_body_keep_no_buffer_from_others_while_the_origin_thinks() {
    let proxy = Proxy::start(&SCARCE);
    let mut thinking: Vec<Exchange> = (0..12).map(|_| Exchange::begin(&proxy, POST)).collect();
    for exchange in &mut thinking {
        exchange.client.send("helloGET http://");
        assert_eq!(exchange.server.exactly(5), b"hello");
    }
    let mut other = Exchange::get(&proxy);
    assert_eq!(other.answer(OK).text(), "ok");
}

#[test]
fn pipelined_requests_on_kept_connections_keep_no_buffer_from_others() {
    let proxy = Proxy::start(&SCARCE);
    let mut thinking: Vec<Exchange> = (0..12).map(|_| Exchange::get(&proxy)).collect();
    for exchange in &mut thinking {
        exchange.answer(OK);
        exchange.again(&(GET.to_owned() + GET));
    }
    let mut other = Exchange::get(&proxy);
    assert_eq!(other.answer(OK).text(), "ok");
    for exchange in &mut thinking {
        assert_eq!(exchange.answer(OK).text(), "ok");
        exchange.server.head(); // the second one, whole
    }
}

/// No receive is armed behind a body that was spliced, so nothing but the socket knows what an origin says there.
#[test]
fn unasked_bytes_behind_a_spliced_body_answer_nobody() {
    const LENGTH: usize = 1 << 20;
    let proxy = Proxy::start(&["--zero-copy", "splice"]);
    let mut exchange = Exchange::get(&proxy);
    let long = format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n");
    let body = vec![b'q'; LENGTH];
    let reply = thread::scope(|scope| {
        let server = &exchange.server;
        scope.spawn(move || {
            server.send(long);
            server.send(&body);
        });
        exchange.client.response()
    });
    assert_eq!(reply.body.len(), LENGTH);
    exchange
        .server
        .send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison");
    let next = about(exchange.origin.address(), GET);
    exchange.client.send(next);
    let mut server = Wire::from(&exchange.origin, &exchange.client);
    server.head();
    server.send(OK);
    assert_eq!(exchange.client.response().text(), "ok");
}

/// Sends interim responses until nobody takes any more of them.
fn flood(mut origin: &TcpStream) {
    let hint = format!("HTTP/1.1 103 Early Hints\r\nX: {}\r\n\r\n", "y".repeat(400));
    origin
        .set_nonblocking(true)
        .expect("an option of every socket");
    let mut left = hint.as_bytes();
    let mut stalled = 0;
    while stalled < 20 {
        match origin.write(left) {
            Ok(sent) => {
                left = left
                    .get(sent..)
                    .filter(|left| !left.is_empty())
                    .unwrap_or(hint.as_bytes());
                stalled = 0;
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                thread::park_timeout(Duration::from_millis(10));
                stalled += 1;
            }
        }
    }
}

#[test]
fn refusal_never_stands_inside_of_an_interim_response() {
    let proxy = Proxy::start(&[]);
    let start = proxy.footing();
    let mut exchange = Exchange::begin(&proxy, POST_CHUNKED);
    flood(exchange.server.stream());
    exchange.client.send("ZZ\r\n");
    let (heard, _) = exchange.client.rest();
    let text = String::from_utf8_lossy(&heard);
    let before = text.split("HTTP/1.1 400 ").next().unwrap_or_default();
    assert!(
        before.len() == text.len() || before.ends_with("\r\n\r\n"),
        "...{}",
        &text[before.len().saturating_sub(60)..]
    );
    drop(exchange);
    proxy.await_gauges(&start);
}

#[test]
fn early_final_response_of_an_origin_that_goes_on_reading_does_not_end_the_upload() {
    let proxy = Proxy::start(&[]);
    let mut exchange = Exchange::begin(&proxy, POST);
    assert_eq!(exchange.answer(OK).text(), "ok");
    exchange.client.send("hel");
    assert_eq!(exchange.server.exactly(3), b"hel");
    exchange.client.send("lo");
    assert_eq!(exchange.server.exactly(2), b"lo");
    exchange.again(GET); // on the same connections
    assert_eq!(exchange.answer(OK).text(), "ok");
}
