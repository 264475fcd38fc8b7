//! The rows about ends that come too early: no body that was cut off ever looks whole, to either side, and the other
//! connection does not stay behind.

use std::io::Write;
use std::time::Duration;

use crate::support::*;
use crate::{GET, OK, POST_CHUNKED};

/// How an origin ends its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    Fin,
    Reset,
}

/// Responses that are cut off, and whether FIN behind them is a lie (else only RST is).
const CUT_OFF: [(&str, bool); 15] = [
    // In 32 bits these would be as long as what comes.
    (
        "HTTP/1.1 200 OK\r\nContent-Length: 4294967300\r\n\r\npart",
        true,
    ),
    (
        "HTTP/1.1 200 OK\r\nContent-Length: 9223372032559808516\r\n\r\npart",
        true,
    ),
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n100000004\r\npart\r\n0\r\n\r\n",
        true,
    ),
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7fffffff00000004\r\npart",
        true,
    ),
    ("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart", true),
    ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n", true),
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        true,
    ),
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart",
        true,
    ),
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n",
        true,
    ),
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n1",
        true,
    ),
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n0\r\n",
        true,
    ),
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n0\r\n\r",
        true,
    ),
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n0\r\nX-Sum: 1\r\n",
        true,
    ),
    ("HTTP/1.1 200 OK\r\n\r\npart", false),
    ("HTTP/1.0 200 OK\r\n\r\n", false),
];

#[test]
fn origin_closes_mid_body_and_the_clients_connection_is_closed_abnormally() {
    let proxy = Proxy::start(&[]);
    let start = proxy.footing();
    for (response, fin_lies) in CUT_OFF {
        for ends in [Ends::Fin, Ends::Reset] {
            if ends == Ends::Fin && !fin_lies {
                continue;
            }
            for version in ["1.1", "1.0"] {
                let request = format!("GET http://ORIGIN/ HTTP/{version}\r\nHost: ORIGIN\r\n\r\n");
                let mut exchange = Exchange::begin(&proxy, &request);
                exchange.server.send(response);
                let head = exchange.client.head(); // so that the response has begun when it is cut off
                assert_eq!(head.status(), 200);
                match ends {
                    Ends::Fin => drop(exchange.server),
                    Ends::Reset => reset(exchange.server.into_stream()),
                }
                let whole = exchange.client.try_body_of(head);
                let what = format!("{ends:?} behind {response:?} to HTTP/{version}");
                expect_cut_off(whole, &what);
            }
        }
    }
    proxy.await_gauges(&start);
}

#[test]
fn origin_closes_mid_body_of_a_large_response() {
    for mode in ["auto", "off"] {
        let proxy = Proxy::start(&["--zero-copy", mode]);
        let content = Content::new(4);
        for ends in [Ends::Fin, Ends::Reset] {
            for field in ["Content-Length: 3000000\r\n", ""] {
                if field.is_empty() && ends == Ends::Fin {
                    continue;
                }
                let mut exchange = Exchange::get(&proxy);
                let server = exchange.server;
                server.send(format!("HTTP/1.1 200 OK\r\n{field}\r\n"));
                let head = exchange.client.head();
                let writer = std::thread::spawn(move || {
                    send(server.stream(), content, 2_000_000, &[65_536]).expect("it is read");
                    match ends {
                        Ends::Fin => drop(server),
                        Ends::Reset => reset(server.into_stream()),
                    }
                });
                let whole = exchange.client.try_body_of(head);
                expect_cut_off(whole, &format!("{mode} {ends:?} {field:?}"));
                writer.join().expect("all was written");
            }
        }
    }
}

#[test]
fn client_aborts_mid_upload_and_the_origin_sees_an_abnormal_end() {
    let proxy = Proxy::start(&[]);
    let start = proxy.footing();
    let length = "POST http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\nContent-Length: 100\r\n\r\n";
    for (request, part) in [
        (length, ""),
        (length, "part"),
        (POST_CHUNKED, ""),
        (POST_CHUNKED, "4\r\npart\r\n"),
        (POST_CHUNKED, "4\r\npart\r\n0"),
        (POST_CHUNKED, "4\r\npart\r\n0\r\n"),
        (POST_CHUNKED, "4\r\npart\r\n0\r\nX-Sum: 1\r\n"),
    ] {
        for ends in [Ends::Fin, Ends::Reset] {
            let mut exchange = Exchange::begin(&proxy, request);
            exchange.client.send(part);
            if part.contains("part") {
                let behind_line = if request == length { 0 } else { "4\r\n".len() };
                exchange.server.exactly(behind_line + "part".len()); // it was on its way
            }
            match ends {
                Ends::Fin => drop(exchange.client),
                Ends::Reset => reset(exchange.client.into_stream()),
            }
            let (seen, end) = exchange.server.rest();
            let text = String::from_utf8_lossy(&seen);
            assert!(
                !text.ends_with("0\r\n\r\n"),
                "{ends:?} {request} {part:?}: {text:?}, {end:?}"
            );
            assert!(seen.len() < 50, "{text:?}");
        }
    }
    proxy.await_gauges(&start);
}

/// Whoever counts in 32 bits takes the second request for one, or the body for whole.
#[test]
fn client_aborts_mid_upload_of_more_than_4_gib() {
    let proxy = Proxy::start(&[]);
    let start = proxy.footing();
    let smuggled = "GET http://ORIGIN/smuggled HTTP/1.1\r\nHost: ORIGIN\r\n\r\n";
    for (request, line) in [
        (
            "POST http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\nContent-Length: 4294967300\r\n\r\n",
            "",
        ),
        (POST_CHUNKED, "100000004\r\n"),
    ] {
        let mut exchange = Exchange::begin(&proxy, request);
        let body = about(exchange.origin.address(), &format!("part{smuggled}"));
        exchange.client.send(line.to_owned() + &body);
        let seen = exchange.server.exactly(line.len() + body.len());
        assert!(seen.ends_with(body.as_bytes()), "as it was sent: {request}");
        drop(exchange.client);
        exchange.server.rest();
        exchange.origin.expect_untouched();
    }
    proxy.await_gauges(&start);
}

#[test]
fn client_aborts_mid_upload_of_a_large_body() {
    for mode in ["auto", "off"] {
        let proxy = Proxy::start(&["--zero-copy", mode]);
        let start = proxy.footing();
        let request =
            "POST http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\nContent-Length: 3000000\r\n\r\n";
        let mut exchange = Exchange::begin(&proxy, request);
        let client = exchange.client;
        let writer = std::thread::spawn(move || {
            send(client.stream(), Content::new(5), 2_000_000, &[65_536]).expect("it is read");
            reset(client.into_stream());
        });
        let (seen, _) = exchange.server.rest();
        Content::new(5).check(0, &seen);
        assert!(seen.len() <= 2_000_000);
        writer.join().expect("all was written");
        drop(exchange.server);
        proxy.await_gauges(&start);
    }
}

#[test]
fn client_aborts_mid_response_and_the_upstream_connection_is_closed() {
    let proxy = Proxy::start(&[]);
    let start = proxy.footing();
    for response in [
        "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\npart",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n",
        "HTTP/1.1 200 OK\r\n\r\npart",
        "HTTP/1.1 100 Continue\r\n\r\n",
    ] {
        let mut exchange = Exchange::get(&proxy);
        exchange.server.send(response);
        exchange.client.head();
        reset(
            exchange
                .client
                .stream()
                .try_clone()
                .expect("a descriptor is left"),
        );
        drop(exchange.client);
        exchange.server.rest(); // FIN or RST, as it likes, without a byte of the origin's
    }
    proxy.await_gauges(&start);
}

#[test]
fn client_aborts_while_a_large_response_streams() {
    for mode in ["auto", "off"] {
        let proxy = Proxy::start(&["--zero-copy", mode]);
        let start = proxy.footing();
        let mut exchange = Exchange::get(&proxy);
        exchange
            .server
            .send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
        let server = exchange.server;
        let writer = std::thread::spawn(move || {
            send(server.stream(), Content::new(6), 1_000_000_000, &[65_536])
        });
        exchange.client.head();
        Content::new(6).check(0, &exchange.client.exactly(1_000_000));
        drop(exchange.client); // unread bytes make it RST
        let error = writer
            .join()
            .expect("it ends")
            .expect_err("nobody reads any more");
        assert!(error.kind() != std::io::ErrorKind::WouldBlock, "{error}");
        proxy.await_gauges(&start);
    }
}

#[test]
fn client_aborts_while_the_origin_thinks_and_the_upstream_connection_is_closed() {
    let proxy = Proxy::start(&[]);
    let start = proxy.footing();
    let mut exchange = Exchange::get(&proxy);
    reset(exchange.client.into_stream());
    exchange.server.rest();
    drop(exchange.server);
    proxy.await_gauges(&start);
}

#[test]
fn client_fin_behind_its_request_and_the_whole_response_is_delivered() {
    let proxy = Proxy::start(&[]);
    let start = proxy.footing();
    let post = "POST http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\nContent-Length: 5\r\n\r\nhello";
    for request in [GET, post] {
        let mut exchange = Exchange::begin(&proxy, request);
        exchange.client.finish();
        exchange
            .server
            .expect_quiet_after_body(request.len() - request.trim_end_matches("hello").len());
        let body = Content::new(8).bytes(200_000);
        exchange.server.send(format!(
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        ));
        exchange.server.send(&body);
        assert!(exchange.client.response().body == body, "{request}");
        assert_eq!(exchange.client.end(), End::Fin);
        drop(exchange.server);
    }
    proxy.await_gauges(&start);
}

impl Wire {
    /// Reads a body of `length` bytes, and asserts that no end comes behind it for a while.
    #[track_caller]
    fn expect_quiet_after_body(&mut self, length: usize) {
        self.exactly(length);
        self.expect_quiet(Duration::from_millis(100));
    }
}

#[test]
fn client_fin_behind_pipelined_requests_and_all_are_answered() {
    let proxy = Proxy::start(&[]);
    let mut exchange = Exchange::begin(&proxy, &GET.repeat(3));
    exchange.client.finish();
    for number in 0..3 {
        if number > 0 {
            exchange.server.head();
        }
        assert_eq!(exchange.answer(OK).text(), "ok");
    }
    assert_eq!(exchange.client.end(), End::Fin);
}

#[test]
fn client_that_never_reads_its_response_and_goes_leaves_nothing_behind() {
    let proxy = Proxy::start(&[]);
    let start = proxy.footing();
    let exchange = Exchange::get(&proxy);
    exchange
        .server
        .send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
    stall(exchange.server.stream());
    drop(exchange.client);
    let mut stream = exchange.server.stream();
    until("the end of the upstream connection", || {
        stream.write(&[0; 4096]).is_err().then_some(())
    });
    drop(exchange.server);
    proxy.await_gauges(&start);
}
