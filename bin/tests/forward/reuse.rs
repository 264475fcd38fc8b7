//! The rows about connections that serve several requests: in order, to several hosts, again, and found dead.

use crate::support::*;
use crate::{GET, LAST, OK, POST, POST_CHUNKED};

/// A GET for a path of its own.
fn path(name: impl std::fmt::Display) -> String {
    GET.replace("ORIGIN/ ", &format!("ORIGIN/{name} "))
}

#[test]
fn keep_alive_on_both_legs() {
    let proxy = Proxy::start(&[]);
    let start = proxy.footing();
    let mut exchange = Exchange::get(&proxy);
    for number in 0..50 {
        let reply = exchange.answer(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nnumber{number:4}"
        ));
        assert_eq!(reply.text(), format!("number{number:4}"));
        assert!(!reply.names("Connection", "close"), "{}", reply.head.text);
        let asked = exchange.again(&path(number));
        assert_eq!(asked.start_line(), format!("GET /{number} HTTP/1.1"));
        assert!(!asked.names("Connection", "close"), "{}", asked.text);
    }
    assert_eq!(exchange.answer(LAST).text(), "ok");
    exchange.origin.expect_untouched();
    drop(exchange);
    proxy.await_gauges(&start);
}

#[test]
fn keep_alive_of_the_upstream_outlives_the_client() {
    let proxy = Proxy::start(&[]);
    let mut exchange = Exchange::get(&proxy);
    exchange.answer(OK);
    for _ in 0..5 {
        drop(std::mem::replace(&mut exchange.client, Wire::to(&proxy)));
        proxy.await_snapshot("its connection in the pool", |now| {
            now.value("upstreams_idle") == 1
        });
        exchange.again(&path("again"));
        assert_eq!(exchange.answer(OK).text(), "ok");
    }
    exchange.origin.expect_untouched();
}

#[test]
fn keep_alive_ends_where_either_side_says_close() {
    let proxy = Proxy::start(&[]);
    // The client says so: its connection ends, the upstream's may stay.
    let request = "GET http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\nConnection: close\r\n\r\n";
    let mut exchange = Exchange::begin(&proxy, request);
    let reply = exchange.answer(OK);
    assert_eq!(reply.text(), "ok");
    assert!(reply.names("Connection", "close"), "{}", reply.head.text);
    assert_eq!(exchange.client.end(), End::Fin);
    // The origin says so, or speaks HTTP/1.0: its connection ends, and the client's may stay.
    for response in [
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nConnection: x, CLOSE\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ] {
        let mut exchange = Exchange::get(&proxy);
        let reply = exchange.answer(response);
        assert_eq!(reply.text(), "ok");
        assert_eq!(exchange.server.end(), End::Fin, "{response:?}");
        if reply.names("Connection", "close") {
            assert_eq!(exchange.client.end(), End::Fin);
            continue;
        }
        exchange
            .client
            .send(about(exchange.origin.address(), &path("next")));
        let mut server = Wire::from(&exchange.origin, &exchange.client);
        assert_eq!(server.head().start_line(), "GET /next HTTP/1.1");
        server.send(OK);
        assert_eq!(exchange.client.response().text(), "ok");
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let proxy = Proxy::start(&[]);
    let mut exchange = Exchange::get(&proxy);
    exchange.answer(OK);
    let pipelined: String = (0..40).map(path).collect();
    exchange
        .client
        .send(about(exchange.origin.address(), &pipelined));
    for number in 0..40 {
        let asked = exchange.server.head();
        assert_eq!(asked.start_line(), format!("GET /{number} HTTP/1.1"));
        let reply = exchange.answer(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n{number:4}"
        ));
        assert_eq!(reply.text(), format!("{number:4}"));
    }
}

#[test]
fn pipelined_requests_behind_bodies_and_to_different_hosts() {
    let proxy = Proxy::start(&[]);
    let [first, second] = [(); 2].map(|()| Origin::listen());
    let mut client = Wire::to(&proxy);
    let request = [
        about(first.address(), &(POST.to_owned() + "hello")),
        about(second.address(), &path("second")),
        about(
            first.address(),
            &(POST_CHUNKED.to_owned() + "5\r\nworld\r\n0\r\n\r\n"),
        ),
        about(second.address(), &path("last")),
    ];
    client.send(request.concat());
    let mut servers: [Option<Wire>; 2] = [None, None];
    for (number, (server, start, body)) in [
        (0, "POST / HTTP/1.1", "hello"),
        (1, "GET /second HTTP/1.1", ""),
        (0, "POST / HTTP/1.1", "world"),
        (1, "GET /last HTTP/1.1", ""),
    ]
    .into_iter()
    .enumerate()
    {
        let origin = [&first, &second][server];
        let wire = servers[server].get_or_insert_with(|| Wire::from(origin, &client));
        let asked = wire.request();
        assert_eq!((asked.start_line(), asked.text()), (start, body));
        assert_eq!(asked.field("Host"), Some(&*origin.address().to_string()));
        wire.send(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{number}"
        ));
        assert_eq!(client.response().text(), number.to_string());
    }
    first.expect_untouched();
    second.expect_untouched();
}

#[test]
fn pipelined_request_that_is_malformed_is_400_behind_the_answers_before_it() {
    let proxy = Proxy::start(&[]);
    let bad = "GET http://ORIGIN/bad HTTP/1.1\r\nHost: ORIGIN\r\nX : y\r\n\r\n";
    let mut exchange = Exchange::begin(&proxy, &(GET.to_owned() + bad + GET));
    assert_eq!(exchange.answer(OK).text(), "ok");
    let reply = exchange.client.response();
    assert_eq!(reply.status(), 400, "{}", reply.head.text);
    assert_eq!(exchange.client.end(), End::Fin);
    exchange.origin.expect_untouched();
}

#[test]
fn pipelined_request_that_is_malformed_behind_a_head_request_is_told_in_full() {
    let proxy = Proxy::start(&[]);
    let head = GET.replace("GET", "HEAD");
    let bad = "GET http://ORIGIN/bad HTTP/1.1\r\nHost: ORIGIN\r\nX : y\r\n\r\n";
    let mut exchange = Exchange::begin(&proxy, &(head + bad));
    exchange
        .server
        .send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(exchange.client.head().status(), 200);
    let reply = exchange.client.response();
    assert_eq!(reply.status(), 400, "{}", reply.head.text);
    assert!(reply.text().ends_with(".\n"), "{}", reply.text());
}

#[test]
fn pipelined_bytes_without_end_are_held_back() {
    for options in [&[][..], &["--buffers", "2", "--buffer-size", "512"]] {
        let proxy = Proxy::start(options);
        let start = proxy.footing();
        let exchange = Exchange::get(&proxy); // not answered
        stall(exchange.client.stream());
        let mut other = Exchange::get(&proxy); // buffers are left for the others
        assert_eq!(other.answer(LAST).text(), "ok");
        drop((other, exchange));
        proxy.await_gauges(&start);
    }
}

#[test]
fn pipelined_bytes_without_end_are_held_back_while_the_upstream_is_dialled() {
    let proxy = Proxy::start(&[]);
    let start = proxy.footing();
    let blackhole = Blackhole::listen();
    let client = Wire::to(&proxy);
    client.send(about(
        blackhole.address(),
        "POST http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\nContent-Length: 1000000000\r\n\r\n",
    ));
    stall(client.stream());
    drop((client, blackhole)); // the SYN that the kernel sends again is refused
    proxy.await_gauges(&start);
}

#[test]
fn reused_upstream_connection_found_dead_before_a_response_byte_is_retried_once_for_safe_requests()
{
    let proxy = Proxy::start(&[]);
    for (method, resets) in [
        ("GET", false),
        ("GET", true),
        ("HEAD", false),
        ("OPTIONS", true),
    ] {
        let mut exchange = Exchange::get(&proxy);
        exchange.answer(OK);
        let request = path("again").replace("GET", method);
        exchange.again(&request); // it had not been closed when the request came
        let what = format!("{method}, reset {resets}");
        match exchange.server.into_stream() {
            stream if resets => reset(stream),
            stream => drop(stream),
        }
        let mut server = Wire::from(&exchange.origin, &exchange.client);
        assert_eq!(
            server.head().start_line(),
            format!("{method} /again HTTP/1.1"),
            "{what}"
        );
        server.send(OK);
        let head = exchange.client.head();
        assert_eq!(head.status(), 200, "{what}: {}", head.text);
        exchange.origin.expect_untouched();
    }
}

#[test]
fn reused_upstream_connection_found_dead_is_not_retried_twice() {
    let proxy = Proxy::start(&[]);
    let mut exchange = Exchange::get(&proxy);
    exchange.answer(OK);
    exchange.again(GET);
    drop(exchange.server);
    let mut server = Wire::from(&exchange.origin, &exchange.client);
    server.head();
    drop(server);
    exchange.client.response().expect_some_error(502);
    exchange.origin.expect_untouched();
}

#[test]
fn reused_upstream_connection_found_dead_is_502_for_a_request_with_a_body() {
    let proxy = Proxy::start(&[]);
    let start = proxy.footing();
    let no_length = POST.replace("Content-Length: 5\r\n", "");
    for (request, body) in [
        (POST, "hello"),
        (POST, ""),
        (POST_CHUNKED, "5\r\nhello\r\n0\r\n\r\n"),
        (&POST.replace("Content-Length: 5", "Content-Length: 0"), ""),
        (&no_length, ""),
        (&POST.replace("POST", "PATCH"), "hello"),
    ] {
        let mut exchange = Exchange::get(&proxy);
        exchange.answer(OK);
        let request = format!("{request}{body}");
        exchange.again(&request);
        exchange.server.exactly(body.len());
        drop(exchange.server);
        let reply = exchange.client.response();
        assert_eq!(reply.status(), 502, "{request:?}: {}", reply.head.text);
        reply.expect_some_error(502);
        exchange.origin.expect_untouched();
    }
    proxy.await_gauges(&start);
}

#[test]
fn reused_upstream_connection_found_dead_behind_a_response_byte_is_not_retried() {
    let proxy = Proxy::start(&[]);
    for part in [
        "H",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 103 Early Hints\r\n\r\n",
    ] {
        let mut exchange = Exchange::get(&proxy);
        exchange.answer(OK);
        exchange.again(GET);
        exchange.server.send(part);
        drop(exchange.server);
        let mut head = exchange.client.head();
        if head.status() == 103 {
            head = exchange.client.head();
        }
        assert_eq!(head.status(), 502, "{part:?}: {}", head.text);
        exchange.origin.expect_untouched();
    }
}

#[test]
fn reused_upstream_connection_that_the_origin_had_closed_before_is_not_used() {
    let proxy = Proxy::start(&[]);
    for resets in [false, true] {
        for at_once in [false, true] {
            for request in [GET.to_owned(), POST.to_owned() + "hello"] {
                let mut exchange = Exchange::get(&proxy);
                exchange.answer(OK);
                let Exchange {
                    origin,
                    mut client,
                    server,
                    ..
                } = exchange;
                let stream = server.into_stream();
                let close = || if resets { reset(stream) } else { drop(stream) };
                let request = about(origin.address(), &request);
                if at_once {
                    proxy.while_stopped(|| {
                        close();
                        client.send(&request);
                    });
                } else {
                    close();
                    client.send(&request);
                }
                let mut server = Wire::from(&origin, &client);
                let asked = server.request(); // unsent until now, so also a POST goes through
                assert_eq!(asked.text().is_empty(), request.starts_with("GET"));
                server.send(OK);
                assert_eq!(client.response().text(), "ok");
                origin.expect_untouched();
            }
        }
    }
}

/// When bytes come that no request asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unasked {
    /// Behind a response, in its segment.
    Behind,
    /// While the connection is idle.
    Idle,
    /// In the moment of the next request.
    AtOnce,
}

#[test]
fn reused_upstream_connection_with_unasked_bytes_poisons_nobody() {
    let proxy = Proxy::start(&[]);
    let poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
    let timeout = "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    for unasked in [poison, timeout, "\r\n", "x"] {
        for when in [Unasked::Behind, Unasked::Idle, Unasked::AtOnce] {
            for other_client in [true, false] {
                let mut exchange = Exchange::get(&proxy);
                let behind = if when == Unasked::Behind { unasked } else { "" };
                let answer = exchange.answer(OK.to_owned() + behind);
                assert_eq!(answer.text(), "ok");
                if other_client {
                    let before = std::mem::replace(&mut exchange.client, Wire::to(&proxy));
                    drop(before);
                }
                let next = about(exchange.origin.address(), &path("next"));
                match when {
                    Unasked::Behind => exchange.client.send(next),
                    Unasked::Idle => {
                        exchange.server.send(unasked);
                        exchange.client.send(next);
                    }
                    Unasked::AtOnce => proxy.while_stopped(|| {
                        exchange.server.send(unasked);
                        exchange.client.send(next);
                    }),
                }
                let mut server = Wire::from(&exchange.origin, &exchange.client);
                assert_eq!(server.head().start_line(), "GET /next HTTP/1.1");
                server.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nright");
                let what = format!("{unasked:?} {when:?} {other_client}");
                assert_eq!(exchange.client.response().text(), "right", "{what}");
            }
        }
    }
}

#[test]
fn reused_upstream_connection_is_one_to_the_same_host_and_port() {
    let dns = Dns::knows(&[
        ("a.example.test", &["127.0.0.1"]),
        ("b.example.test", &["127.0.0.1"]),
    ]);
    let proxy = Proxy::start(&["--resolver", &dns.address()]);
    let [first, second] = [(); 2].map(|()| Origin::listen());
    let mut client = Wire::to(&proxy);
    let mut ask = |host: &str, origin: &Origin, new: Option<Wire>| -> Wire {
        client.send(format!(
            "GET http://{host}:{}/ HTTP/1.1\r\nHost: h\r\n\r\n",
            origin.port()
        ));
        let mut server = new.unwrap_or_else(|| Wire::from(origin, &client));
        let asked = server.head();
        assert_eq!(
            asked.field("Host"),
            Some(&*format!("{host}:{}", origin.port()))
        );
        server.send(OK);
        assert_eq!(client.response().text(), "ok");
        server
    };
    let a = ask("a.example.test", &first, None);
    let second_a = ask("a.example.test", &second, None);
    ask("a.example.test", &first, Some(a));
    ask("a.example.test", &second, Some(second_a));
}
