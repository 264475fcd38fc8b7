//! The rows about connections between two requests: how long they are kept, and what a drain does to them.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use crate::support::*;
use crate::{GET, OK, POST};

#[track_caller]
fn expect_about(deadline: Duration, took: Duration) {
    let long_after = deadline + Duration::from_secs(5); // the machine may be busy
    assert!(
        took >= deadline.mul_f64(0.9) && took < long_after,
        "{took:?}, not {deadline:?}"
    );
}

#[test]
fn keep_alive_connection_without_a_request_is_closed_after_its_timeout() {
    let proxy = Proxy::start(&["--keep-alive-timeout", "500ms"]);
    let mut exchange = Exchange::get(&proxy);
    exchange.answer(OK);
    let begun = Instant::now();
    assert_eq!(
        exchange.client.end(),
        End::Fin,
        "and no answer to what was never asked"
    );
    expect_about(Duration::from_millis(500), begun.elapsed());
    drop(exchange.client);
    proxy.await_snapshot("its end", |now| now.value("connections") == 0);
}

#[test]
fn keep_alive_timeout_is_put_off_by_every_request_and_does_not_count_while_one_runs() {
    let proxy = Proxy::start(&["--keep-alive-timeout", "400ms"]);
    let mut exchange = Exchange::get(&proxy);
    for _ in 0..2 {
        exchange.client.expect_quiet(Duration::from_millis(500)); // the origin thinks
        exchange.answer(OK);
        exchange.client.expect_quiet(Duration::from_millis(150));
        exchange.again(GET);
    }
    assert_eq!(exchange.answer(OK).text(), "ok");
}

#[test]
fn keep_alive_connection_whose_next_head_comes_too_slowly_is_408() {
    let proxy = Proxy::start(&["--head-timeout", "400ms", "--keep-alive-timeout", "60s"]);
    let mut exchange = Exchange::get(&proxy);
    exchange.answer(OK);
    exchange.client.expect_quiet(Duration::from_millis(600)); // the head's time begins with its first byte
    let begun = Instant::now();
    exchange.client.send("GET http://");
    let reply = exchange.client.response();
    assert_eq!(reply.status(), 408, "{}", reply.head.text);
    expect_about(Duration::from_millis(400), begun.elapsed());
    assert_eq!(exchange.client.end(), End::Fin);
}

#[test]
fn head_timeout_bounds_a_request_with_408() {
    let proxy = Proxy::start(&["--head-timeout", "400ms"]);
    let origin = Origin::listen();
    for part in [
        "G",
        "GET http://ORIGIN/ HTTP/1.1\r\n",
        "GET http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\n\r",
    ] {
        let begun = Instant::now();
        let reply = crate::refused_by_proxy(&proxy, &origin, part);
        assert_eq!(reply.status(), 408, "{part:?}: {}", reply.head.text);
        expect_about(Duration::from_millis(400), begun.elapsed());
    }
}

#[test]
fn head_timeout_does_not_bound_a_body_that_trickles() {
    let proxy = Proxy::start(&["--head-timeout", "300ms"]);
    let mut exchange = Exchange::begin(&proxy, POST);
    for byte in "hello".bytes() {
        exchange.client.expect_quiet(Duration::from_millis(120));
        exchange.client.send([byte]);
        assert_eq!(exchange.server.exactly(1), [byte]);
    }
    assert_eq!(exchange.answer(OK).text(), "ok");
}

#[test]
fn sigterm_closes_idle_connections_and_finishes_the_exchange_that_runs_with_connection_close() {
    let mut proxy = Proxy::start(&["--drain-timeout", "60s", "--keep-alive-timeout", "60s"]);
    let mut idle = Exchange::get(&proxy);
    idle.answer(OK);
    let mut runs = Exchange::get(&proxy);
    let mut uploads = Exchange::begin(&proxy, POST);
    let mut streams = Exchange::get(&proxy);
    streams
        .server
        .send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf");
    let head = streams.client.head();
    proxy.terminate();
    proxy.await_lines("that it drains", 1, "draining ");
    assert_eq!(idle.client.end(), End::Fin);
    for exchange in [&mut runs, &mut uploads] {
        if exchange.asked.start_line().starts_with("POST") {
            exchange.client.send("hello");
            assert_eq!(exchange.server.exactly(5), b"hello");
        }
        let reply = exchange.answer(OK);
        assert_eq!(reply.text(), "ok");
        assert!(reply.names("Connection", "close"), "{}", reply.head.text);
        assert_eq!(exchange.client.end(), End::Fin);
    }
    assert!(!proxy.has_ended(), "one exchange still runs");
    streams.server.send("half");
    assert_eq!(
        streams.client.try_body_of(head).expect("the rest").text(),
        "halfhalf"
    );
    assert_eq!(streams.client.end(), End::Fin, "it is not kept either");
    assert_eq!(proxy.await_exit().code(), Some(0));
}

#[test]
fn sigterm_while_only_idle_connections_are_kept_ends_at_once() {
    let mut proxy = Proxy::start(&["--drain-timeout", "60s", "--keep-alive-timeout", "60s"]);
    let mut kept: Vec<Exchange> = (0..10).map(|_| Exchange::get(&proxy)).collect();
    kept.iter_mut()
        .for_each(|exchange| drop(exchange.answer(OK)));
    let begun = Instant::now();
    proxy.terminate();
    for mut exchange in kept {
        assert_eq!(exchange.client.end(), End::Fin);
        drop(exchange.client); // a client that does not would be waited for, for a moment
        exchange.server.rest();
    }
    assert_eq!(proxy.await_exit().code(), Some(0));
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[test]
fn sigterm_while_an_exchange_runs_cuts_it_after_drain_timeout_and_it_does_not_look_whole() {
    let mut proxy = Proxy::start(&["--drain-timeout", "400ms"]);
    let mut length = Exchange::get(&proxy);
    length
        .server
        .send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf");
    let mut until_close = Exchange::get(&proxy);
    until_close.server.send("HTTP/1.1 200 OK\r\n\r\nhalf");
    let heads = [length.client.head(), until_close.client.head()];
    proxy.terminate();
    assert_eq!(proxy.await_exit().code(), Some(0));
    for (exchange, head) in [length, until_close].iter_mut().zip(heads) {
        let text = head.text.clone();
        expect_cut_off(exchange.client.try_body_of(head), &text);
    }
}

#[test]
fn pooled_connections_that_origins_close_are_let_go() {
    const ORIGINS: usize = 20;
    let proxy = Proxy::start(&[]);
    let start = proxy.footing();
    let mut exchanges: Vec<Exchange> = (0..ORIGINS).map(|_| Exchange::get(&proxy)).collect();
    exchanges
        .iter_mut()
        .for_each(|exchange| drop(exchange.answer(OK)));
    let (clients, servers): (Vec<_>, Vec<_>) = exchanges
        .into_iter()
        .map(|exchange| (exchange.client, exchange.server))
        .unzip();
    drop(clients);
    let idle = |now: &Snapshot| now.value("upstreams_idle");
    proxy.await_snapshot("all of them in the pool", |now| idle(now) == ORIGINS as u64);
    for server in &servers {
        let seen = {
            let stream = server.stream();
            stream
                .set_nonblocking(true)
                .expect("an option of every socket");
            stream.peek(&mut [0; 1]).map_err(|error| error.kind())
        };
        assert_eq!(
            seen,
            Err(ErrorKind::WouldBlock),
            "kept, and nothing is said"
        );
    }
    drop(servers);
    proxy.await_snapshot("an empty pool", |now| idle(now) == 0);
    proxy.await_gauges(&start);
}
