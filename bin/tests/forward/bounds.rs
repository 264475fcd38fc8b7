//! The rows about limits: heads that are long, slow or many, and readers that do not read.

use std::thread;
use std::time::Duration;

use crate::support::*;
use crate::{GET, LAST, MODES, OK, POST_CHUNKED, refused_by_proxy};

/// Bytes of a head, its empty line included.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// More bytes than the sockets on the way hold.
const ENDLESS: usize = 256 << 20;
/// Fields of a head.
const HEAD_FIELDS_MAX: usize = 100;

/// `start` with fields behind it that fill it up to a head of `length` bytes.
fn head_of(start: &str, length: usize) -> String {
    let mut text = start.to_owned();
    while length - text.len() > 3000 {
        text += &format!("X-Filler: {}\r\n", "f".repeat(1000));
    }
    let left = length - text.len() - "X-Filler: \r\n\r\n".len();
    text += &format!("X-Filler: {}\r\n\r\n", "f".repeat(left));
    assert_eq!(text.len(), length);
    text
}

/// The beginning of a GET for `origin`.
fn start(origin: &Origin) -> String {
    about(
        origin.address(),
        "GET http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\n",
    )
}

#[test]
fn head_over_the_limit_431_too_many_headers_431_target_too_long_414_close() {
    for options in [&[][..], &["--buffer-size", "512", "--buffers", "2"]] {
        let proxy = Proxy::start(options);
        let origin = Origin::listen();
        let start = start(&origin);
        let many = |fields: usize| format!("{start}{}\r\n", "X: y\r\n".repeat(fields - 1));
        for (status, request) in [
            (431, head_of(&start, HEAD_BYTES_MAX + 1)),
            (431, head_of(&start, 3 * HEAD_BYTES_MAX)),
            (431, format!("{start}X: {}", "x".repeat(2 * HEAD_BYTES_MAX))),
            (431, many(HEAD_FIELDS_MAX + 1)),
            (431, many(3000)),
            (
                414,
                format!(
                    "GET http://ORIGIN/{} HTTP/1.1\r\nHost: ORIGIN\r\n\r\n",
                    "p".repeat(9000)
                ),
            ),
            (414, format!("GET http://ORIGIN/{}", "p".repeat(20_000))),
            (414, format!("POST http://{}/", "h".repeat(20_000))),
        ] {
            let reply = refused_by_proxy(&proxy, &origin, &request);
            assert_eq!(
                reply.status(),
                status,
                "{} bytes: {}",
                request.len(),
                reply.head.text
            );
        }
    }
}

#[test]
fn head_as_long_as_it_may_be_is_forwarded_and_so_is_that_of_the_response() {
    for options in [&[][..], &["--buffer-size", "512", "--buffers", "2"]] {
        let proxy = Proxy::start(options);
        let origin = Origin::listen();
        let mut client = Wire::to(&proxy);
        let mut server = None;
        for request in [
            head_of(&start(&origin), HEAD_BYTES_MAX),
            head_of(&start(&origin), HEAD_BYTES_MAX - 1),
            format!(
                "{}{}\r\n",
                start(&origin),
                "X: y\r\n".repeat(HEAD_FIELDS_MAX - 1)
            ),
            get(origin.address(), &format!("/{}", "p".repeat(8000))),
        ] {
            client.send(&request);
            let server = server.get_or_insert_with(|| Wire::from(&origin, &client));
            let asked = server.head();
            for name in ["X-Filler", "X"] {
                let sent = Head {
                    text: request.clone(),
                };
                assert_eq!(asked.values(name), sent.values(name));
            }
            let response = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n";
            for response in [
                head_of(response, HEAD_BYTES_MAX - 100),
                format!("{response}{}\r\n", "X: y\r\n".repeat(HEAD_FIELDS_MAX - 1)),
            ] {
                server.send(response.clone() + "ok");
                let reply = client.response();
                assert_eq!((reply.status(), reply.text()), (200, "ok"));
                let sent = Head { text: response };
                assert_eq!(reply.values("X-Filler"), sent.values("X-Filler"));
                assert_eq!(reply.values("X"), sent.values("X"));
                client.send(get(origin.address(), "/"));
                server.head();
            }
            server.send(OK);
            assert_eq!(client.response().text(), "ok");
        }
    }
}

/// CPU that the proxy takes for `heads` requests whose heads have `length` bytes and come a byte at a time; for the
/// heads of as many responses too.
fn cost_of(heads: usize, length: usize) -> Duration {
    let proxy = Proxy::start(&[]);
    let mut exchange = Exchange::get(&proxy);
    exchange.answer(OK);
    let request = head_of(&start(&exchange.origin), length);
    let response = head_of("HTTP/1.1 204 No Content\r\n", length);
    let before = proxy.process().cpu();
    for _ in 0..heads {
        exchange.client.trickle(&request);
        exchange.server.head();
        exchange.server.trickle(&response);
        assert_eq!(exchange.client.head().status(), 204);
    }
    proxy.process().cpu() - before
}

#[test]
fn head_one_byte_at_a_time_costs_cpu_linear_in_bytes() {
    let [short, long] = [cost_of(16, 1024), cost_of(2, 8 * 1024)];
    // As many bytes in all. Looking at all of a head for each of its bytes would make the long ones 8 times as dear.
    let bound = short * 3 + Duration::from_millis(100);
    assert!(
        long < bound,
        "heads of 1 KiB took {short:?}, as many bytes in heads of 8 KiB took {long:?}"
    );
}

#[test]
fn chunks_one_byte_at_a_time_cost_cpu_linear_in_bytes() {
    let proxy = Proxy::start(&[]);
    let mut exchange = Exchange::begin(&proxy, POST_CHUNKED);
    let body = Content::new(1).bytes(20_000);
    let bytes = chunked(&body, &[1]);
    let before = proxy.process().cpu();
    exchange.client.send(&bytes);
    let head = exchange.asked.clone();
    assert!(
        exchange
            .server
            .try_body_of(head)
            .expect("a whole body")
            .body
            == body
    );
    let cost = proxy.process().cpu() - before;
    assert!(
        cost < Duration::from_secs(5),
        "{cost:?} for {} bytes",
        bytes.len()
    );
    assert_eq!(exchange.answer(OK).text(), "ok");
}

#[test]
fn slow_reader_of_a_large_response_is_back_pressure_and_memory_stays_bounded() {
    for mode in MODES {
        let proxy = Proxy::start(&["--zero-copy", mode]);
        let start = proxy.footing();
        let before = proxy.process().pss_kib();
        let mut exchanges: Vec<Exchange> = (0..4).map(|_| Exchange::get(&proxy)).collect();
        let heads = [
            "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3B9ACA00\r\n",
            "HTTP/1.0 200 OK\r\n\r\n",
        ];
        for (exchange, head) in exchanges.iter().zip(heads) {
            exchange.server.send(head);
        }
        let servers: Vec<_> = exchanges
            .iter()
            .map(|exchange| exchange.server.stream())
            .collect();
        let written = write_until_all_stalled(&servers, ENDLESS, Duration::from_millis(200));
        assert!(
            written.iter().all(|written| *written < ENDLESS),
            "{mode}: {written:?} bytes were taken"
        );
        let grown = proxy.process().pss_kib().saturating_sub(before);
        assert!(
            grown < 16 << 10,
            "{mode}: {grown} KiB more for 4 slow readers"
        );
        // The others do not notice.
        let mut other = Exchange::get(&proxy);
        assert_eq!(other.answer(LAST).text(), "ok");
        // What waits is delivered, in order.
        for (exchange, head) in exchanges.iter_mut().zip(heads) {
            let reply = exchange.client.head();
            if reply.field("Transfer-Encoding").is_none() {
                let bytes = exchange.client.exactly(1 << 20);
                assert!(bytes.iter().all(|byte| *byte == 0xa5), "{mode} {head:?}");
            }
        }
        drop((exchanges, other));
        proxy.await_gauges(&start);
    }
}

#[test]
fn slow_reader_of_a_large_upload_is_back_pressure_and_memory_stays_bounded() {
    let proxy = Proxy::start(&[]);
    let start = proxy.footing();
    let before = proxy.process().pss_kib();
    for request in [
        "POST http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\nContent-Length: 1000000000\r\n\r\n"
            .to_owned(),
        POST_CHUNKED.to_owned() + "3B9ACA00\r\n",
    ] {
        let exchange = Exchange::begin(&proxy, &request);
        stall(exchange.client.stream());
        let grown = proxy.process().pss_kib().saturating_sub(before);
        assert!(grown < 16 << 10, "{grown} KiB more for one slow origin");
    }
    proxy.await_gauges(&start);
}

#[test]
fn slow_reader_that_stops_for_good_is_ended_after_idle_timeout() {
    let proxy = Proxy::start(&["--idle-timeout", "1500ms"]);
    let start = proxy.footing();
    let mut exchange = Exchange::get(&proxy);
    exchange
        .server
        .send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
    stall(exchange.server.stream());
    exchange.server.rest(); // closed, although the client is still there
    drop(exchange);
    proxy.await_gauges(&start);
}

#[test]
fn waiting_costs_no_cpu_however_the_exchange_stands() {
    let proxy = Proxy::start(&[]);
    let quiet = Tunnel::open(&proxy);
    let mut kept = Exchange::get(&proxy);
    kept.answer(OK);
    let thinks = Exchange::get(&proxy);
    let fin_behind_request = Exchange::get(&proxy);
    fin_behind_request.client.finish();
    let pipelined = Exchange::get(&proxy);
    stall(pipelined.client.stream());
    let upload = Exchange::begin(
        &proxy,
        "POST http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\nContent-Length: 1000000000\r\n\r\n",
    );
    stall(upload.client.stream());
    let slow_readers = [(); 2].map(|()| Exchange::get(&proxy));
    for (reader, head) in slow_readers.iter().zip([
        "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\n",
    ]) {
        reader.server.send(head);
        stall(reader.server.stream());
    }
    slow_readers[0].client.finish();
    slow_readers[1].server.finish();
    let before = proxy.snapshot().value("enters");
    expect_quiet(&quiet.client, Duration::from_millis(600));
    let enters = proxy.snapshot().value("enters") - before;
    assert!(enters < 200, "{enters} enters while nothing moved");
    drop((
        kept,
        thinks,
        fin_behind_request,
        pipelined,
        upload,
        slow_readers,
    ));
}

#[test]
fn connection_limit_reached_is_503() {
    let proxy = Proxy::start(&["--max-connections", "2"]);
    let start = proxy.footing();
    let mut kept = [(); 2].map(|()| Exchange::get(&proxy));
    kept.iter_mut()
        .for_each(|exchange| drop(exchange.answer(OK)));
    let reply = refused_by_proxy(&proxy, &kept[0].origin, GET);
    assert_eq!(reply.status(), 503, "{}", reply.head.text);
    for exchange in &mut kept {
        exchange.again(GET);
        assert_eq!(exchange.answer(LAST).text(), "ok");
    }
    drop(kept);
    proxy.await_gauges(&start);
}

#[test]
fn scarce_buffers_and_completions_are_slow_but_never_wrong() {
    for options in [
        &["--buffers", "1"][..],
        &["--buffers", "2", "--buffer-size", "512"],
        &[
            "--buffers",
            "1",
            "--buffer-size",
            "512",
            "--ring-entries",
            "8",
        ],
    ] {
        let proxy = Proxy::start(options);
        let start = proxy.footing();
        thread::scope(|scope| {
            for seed in 0..12 {
                let proxy = &proxy;
                scope.spawn(move || exchange_of_each_kind(proxy, seed));
            }
        });
        proxy.await_gauges(&start);
    }
}

/// Requests and responses with bodies of both framings, on one pair of connections.
fn exchange_of_each_kind(proxy: &Proxy, seed: u32) {
    let body = Content::new(seed).bytes(50_000);
    let framed = |start: &str, chunks: bool| {
        let (field, bytes) = if chunks {
            (
                "Transfer-Encoding: chunked".to_owned(),
                chunked(&body, &[3000, 1]),
            )
        } else {
            (format!("Content-Length: {}", body.len()), body.clone())
        };
        [format!("{start}{field}\r\n\r\n").as_bytes(), &bytes].concat()
    };
    let mut exchange = Exchange::get(proxy);
    exchange.answer(OK);
    for (up, down) in [(false, false), (true, false), (false, true), (true, true)] {
        let post = about(
            exchange.origin.address(),
            "POST http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\n",
        );
        let (request, response) = (framed(&post, up), framed("HTTP/1.1 200 OK\r\n", down));
        let Exchange { client, server, .. } = &mut exchange;
        let handle =
            |wire: &Wire| Wire::new(wire.stream().try_clone().expect("a descriptor is left"));
        let (sending, answering) = (handle(client), handle(server));
        thread::scope(|scope| {
            scope.spawn(move || sending.send(&request));
            assert!(server.request().body == body, "{seed} {up}");
            scope.spawn(move || answering.send(&response));
            assert!(client.response().body == body, "{seed} {down}");
        });
    }
    exchange.again(GET);
    assert_eq!(exchange.answer(LAST).text(), "ok", "both are in step");
}
