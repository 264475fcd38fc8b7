//! The rows about origins that cannot be reached, may not be, say nothing, or say what is not HTTP: each has its own
//! answer, and nothing that an origin said wrong reaches the client.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::support::*;
use crate::{GET, OK, POST};

/// A client's request to `host`, and the proxy's answer.
#[track_caller]
fn asks_for(proxy: &Proxy, host: impl std::fmt::Display) -> HttpMessage {
    let mut client = Wire::to(proxy);
    client.send(format!(
        "GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n"
    ));
    client.response()
}

#[test]
fn upstream_whose_name_is_unknown_is_502() {
    let dns = Dns::knows(&[]);
    let proxy = Proxy::start(&["--resolver", &dns.address()]);
    asks_for(&proxy, "nowhere.example.test").expect_error(502, "dns_error");
    asks_for(&proxy, "nowhere.example.test:81").expect_error(502, "dns_error");
}

#[test]
fn upstream_that_refuses_is_502() {
    let bound = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    bound
        .bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())
        .expect("a free port");
    let closed = bound
        .local_addr()
        .ok()
        .and_then(|address| address.as_socket());
    let closed = closed.expect("an IP address");
    let proxy = Proxy::start(&[]);
    let start = proxy.footing();
    asks_for(&proxy, closed).expect_error(502, "connection_refused");
    let mut client = Wire::to(&proxy);
    client.send(format!(
        "HEAD http://{closed}/ HTTP/1.1\r\nHost: {closed}\r\n\r\n"
    ));
    client.head().expect_error(502, "connection_refused");
    assert_eq!(client.end(), End::Fin, "nor has this answer to HEAD a body");
    drop(client);
    // The answer survives a body that nobody takes.
    for length in [5, 60_000, 500_000] {
        let head = format!(
            "POST http://{closed}/ HTTP/1.1\r\nHost: {closed}\r\nContent-Length: {length}\r\n\r\n"
        );
        let mut client = Wire::to(&proxy);
        client.send([head.as_bytes(), &Content::new(1).bytes(length)].concat());
        client.response().expect_error(502, "connection_refused");
    }
    proxy.await_gauges(&start);
}

#[test]
fn upstream_that_does_not_answer_in_time_is_504() {
    let blackhole = Blackhole::listen();
    let proxy = Proxy::start(&["--connect-timeout", "300ms"]);
    let begun = Instant::now();
    asks_for(&proxy, blackhole.address()).expect_error(504, "connection_timeout");
    let took = begun.elapsed();
    assert!(
        took >= Duration::from_millis(280) && took < Duration::from_secs(5),
        "{took:?}"
    );
}

#[test]
fn upstream_that_cannot_be_reached_is_502() {
    in_own_network("failures::upstream_that_cannot_be_reached_is_502", || {
        let proxy = Proxy::start(&[]);
        for host in ["203.0.113.1", "192.0.2.9:81", "[2001:db8:ffff::1]"] {
            asks_for(&proxy, host).expect_error(502, "destination_ip_unroutable");
        }
    });
}

const CLIENT: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);

#[test]
fn policy_says_no_is_403() {
    in_own_network("failures::policy_says_no_is_403", || {
        let proxy = Proxy::start(&["--listen", "0.0.0.0:0", "--open-proxy"]);
        let port = proxy.address().port();
        let outside = SocketAddr::from((Ipv4Addr::new(198, 51, 100, 1), port));
        let origin = Origin::listen_at((Ipv4Addr::UNSPECIFIED, 0));
        for host in [
            "127.0.0.1",
            "localhost",
            "[::ffff:127.0.0.1]",
            "0.0.0.0",
            "169.254.169.254",
        ] {
            let mut client = Wire::new(connect_from(CLIENT, outside));
            let host = format!("{host}:{}", origin.port());
            client.send(format!(
                "GET http://{host}/ HTTP/1.1\r\nHost: 198.51.100.1\r\n\r\n"
            ));
            client.response().expect_some_error(403);
        }
        for own in [
            format!("198.51.100.1:{port}"),
            format!("198.51.100.99:{port}"),
        ] {
            let mut client = Wire::new(connect_from(CLIENT, outside));
            client.send(format!("GET http://{own}/ HTTP/1.1\r\nHost: {own}\r\n\r\n"));
            client.response().expect_some_error(403);
        }
        origin.expect_untouched();
        let mut client = Wire::new(connect_from(CLIENT, outside));
        let host = format!("198.51.100.1:{}", origin.port());
        client.send(format!(
            "GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n"
        ));
        let mut server = Wire::from(&origin, &client); // it was not deaf to everything
        server.head();
        server.send(OK);
        assert_eq!(client.response().text(), "ok");
    });
}

#[test]
fn policy_says_no_is_403_also_where_a_connection_of_another_client_is_at_hand() {
    let name =
        "failures::policy_says_no_is_403_also_where_a_connection_of_another_client_is_at_hand";
    in_own_network(name, || {
        let proxy = Proxy::start(&["--listen", "0.0.0.0:0", "--open-proxy"]);
        let port = proxy.address().port();
        let outside = SocketAddr::from((Ipv4Addr::new(198, 51, 100, 1), port));
        let origin = Origin::listen_at((Ipv4Addr::LOCALHOST, 0));
        for host in ["127.0.0.1", "localhost"] {
            let host = format!("{host}:{}", origin.port());
            let request = format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n");
            let mut local = Wire::new(connect_from(
                Ipv4Addr::LOCALHOST,
                SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            ));
            local.send(&request);
            let mut server = Wire::from(&origin, &local);
            server.head();
            server.send(OK);
            assert_eq!(local.response().text(), "ok");
            drop(local); // its connection to the origin may be given to somebody else now
            for _ in 0..3 {
                let mut client = Wire::new(connect_from(CLIENT, outside));
                client.send(&request);
                client.response().expect_some_error(403);
            }
            server.expect_quiet_or_end();
        }
        origin.expect_untouched();
    });
}

impl Wire {
    /// Asserts that no byte of a request has come.
    #[track_caller]
    fn expect_quiet_or_end(&mut self) {
        self.stream()
            .set_nonblocking(true)
            .expect("an option of every socket");
        let seen = self.stream().peek(&mut [0; 1]);
        assert!(!matches!(seen, Ok(1..)), "a request came");
    }
}

/// What origins say that is not a response.
fn rubbish() -> Vec<String> {
    let fixed = [
        "SSH-2.0-OpenSSH_9.9\r\n\r\n",
        "\u{16}\u{3}\u{1}\r\n\r\n",
        "\r\n\r\n",
        "200 OK\r\n\r\n",
        "ICY 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1\r\n\r\n",
        "HTTP/1.1 \r\n\r\n",
        "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 +20 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 000 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/0.9 200 OK\r\nContent-Length: 0\r\n\r\n",
        "http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\n\r\nok",
        "HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nX : y\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nX: y\r\n z\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\n: y\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nno colon\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nokk",
        "HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\nokk",
        "HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551618\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    ];
    let mut all = fixed.map(str::to_owned).to_vec();
    all.push(format!(
        "HTTP/1.1 200 OK\r\nX: {}\r\n\r\n",
        "x".repeat(1 << 20)
    ));
    all.push(format!(
        "HTTP/1.1 200 OK\r\n{}\r\n",
        "X: y\r\n".repeat(2000)
    ));
    all.push("x".repeat(1 << 20));
    all
}

#[test]
fn origin_answers_rubbish_is_502() {
    let proxy = Proxy::start(&[]);
    let start = proxy.footing();
    for rubbish in rubbish() {
        let mut exchange = Exchange::get(&proxy);
        let (mut server, bytes) = (exchange.server, rubbish.clone());
        let writer = std::thread::spawn(move || {
            // It may be closed before all was taken.
            std::io::Write::write_all(&mut server.stream(), bytes.as_bytes()).ok();
            server.rest(); // it is not used again
        });
        let what = &rubbish[..rubbish.len().min(60)];
        let reply = exchange.client.response();
        assert_eq!(reply.status(), 502, "{what:?}: {}", reply.head.text);
        reply.expect_some_error(502);
        assert!(!reply.text().contains("ok"), "{what:?}: {}", reply.text());
        drop(exchange.client);
        writer.join().expect("the upstream connection is closed");
        exchange.origin.expect_untouched(); // and not asked again
    }
    proxy.await_gauges(&start);
}

#[test]
fn origin_answers_a_malformed_chunk_and_nothing_of_it_passes_for_whole() {
    let proxy = Proxy::start(&[]);
    for malformed in [
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhelloX\r\n0\r\n\r\n",
        "FFFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "5g\r\nhello\r\n0\r\n\r\n",
        "\r\n0\r\n\r\n",
        "0\r\nX : y\r\n\r\n",
        "0\n\r\n",
    ] {
        let mut exchange = Exchange::get(&proxy);
        exchange
            .server
            .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
        let head = exchange.client.head();
        exchange.server.send(malformed);
        let whole = exchange.client.try_body_of(head);
        expect_cut_off(whole, malformed);
        exchange.server.rest();
    }
}

#[test]
fn origin_answers_nothing_and_closes_is_502_and_a_new_connection_is_not_tried_twice() {
    let proxy = Proxy::start(&[]);
    let start = proxy.footing();
    for part in [
        "",
        "H",
        "HTTP/1.1 200 OK\r\nContent-Le",
        "HTTP/1.1 100 Continue\r\n\r\n",
    ] {
        for resets in [false, true] {
            let mut exchange = Exchange::get(&proxy);
            exchange.server.send(part);
            if part.ends_with("\r\n\r\n") {
                assert_eq!(exchange.client.head().status(), 100);
            }
            match exchange.server.into_stream() {
                stream if resets => reset(stream),
                stream => drop(stream),
            }
            exchange.client.response().expect_some_error(502);
            exchange.origin.expect_untouched();
        }
    }
    proxy.await_gauges(&start);
}

#[test]
fn origin_that_stays_silent_is_504_after_idle_timeout() {
    let proxy = Proxy::start(&["--idle-timeout", "400ms"]);
    let start = proxy.footing();
    for (request, part) in [
        (GET, ""),
        (GET, "HTTP/1.1 200 OK\r\n"),
        (GET, "HTTP/1.1 100 Continue\r\n\r\n"),
        (&(POST.to_owned() + "hello"), ""),
    ] {
        let mut exchange = Exchange::begin(&proxy, request);
        let begun = Instant::now();
        exchange.server.send(part);
        if part.ends_with("\r\n\r\n") {
            assert_eq!(exchange.client.head().status(), 100);
        }
        let reply = exchange.client.response();
        let took = begun.elapsed();
        reply.expect_some_error(504);
        assert!(
            took >= Duration::from_millis(350) && took < Duration::from_secs(5),
            "{took:?}"
        );
        exchange.server.rest();
    }
    proxy.await_gauges(&start);
}

#[test]
fn origin_that_falls_silent_mid_body_is_an_abnormal_end_after_idle_timeout() {
    let proxy = Proxy::start(&["--idle-timeout", "400ms"]);
    let start = proxy.footing();
    for response in [
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n",
        "HTTP/1.1 200 OK\r\n\r\npart",
    ] {
        let mut exchange = Exchange::get(&proxy);
        exchange.server.send(response);
        let whole = exchange.client.try_response();
        expect_cut_off(whole, response);
        exchange.server.rest();
    }
    proxy.await_gauges(&start);
}

#[test]
fn client_that_falls_silent_mid_body_is_ended_after_idle_timeout() {
    let proxy = Proxy::start(&["--idle-timeout", "400ms"]);
    let start = proxy.footing();
    let mut exchange = Exchange::begin(&proxy, POST);
    exchange.client.send("hel");
    assert_eq!(exchange.server.exactly(3), b"hel");
    if let Ok(head) = exchange.client.try_head() {
        assert!([408, 504].contains(&head.status()), "{}", head.text);
    }
    exchange.server.rest();
    drop(exchange);
    proxy.await_gauges(&start);
}

#[test]
fn status_that_no_class_has_passes_with_its_body_and_one_below_100_is_502() {
    let proxy = Proxy::start(&[]);
    let mut exchange = Exchange::get(&proxy);
    for (index, line) in ["600 So", "666", "999 Request denied", "799 "]
        .iter()
        .enumerate()
    {
        if index > 0 {
            exchange.again(GET);
        }
        // RFC 9110 section 15 leaves it to the client to take it for a 5xx.
        let reply = exchange.answer(if index % 2 == 0 {
            format!("HTTP/1.1 {line}\r\nContent-Length: 2\r\n\r\nok")
        } else {
            format!("HTTP/1.1 {line}\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
        });
        let passed = reply.start_line().trim_end();
        assert_eq!(passed, format!("HTTP/1.1 {}", line.trim_end()));
        assert_eq!(reply.text(), "ok", "{line}");
    }
    // Without a framing of its own it ends with its connection, as every other one.
    exchange.again(GET);
    exchange.server.send("HTTP/1.1 999 x\r\n\r\nok");
    exchange.server.finish();
    let reply = exchange.client.response();
    assert_eq!((reply.status(), reply.text()), (999, "ok"));
    for line in [
        "099 x",
        "000 x",
        "1000 x",
        "60 x",
        "6x0 x",
        "-99 x",
        "60\u{660} x",
    ] {
        let mut exchange = Exchange::get(&proxy);
        let reply = exchange.answer(format!("HTTP/1.1 {line}\r\nContent-Length: 2\r\n\r\nok"));
        reply.expect_some_error(502);
    }
}
