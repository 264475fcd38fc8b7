//! HTTP/1.1 forwarding on the wire: each row of the behaviour list as a test through the real program, in which the
//! origin is a script that sees every byte. A row that needs several tests gives them its name as their first words.
//! Here are requests that are forwarded and those that are not for an origin; the rows of bodies, fields, hostile
//! framing, failures, connections and bounds are in `forward/`.

mod support;

#[path = "forward/aborts.rs"]
mod aborts;
#[path = "forward/behind.rs"]
mod behind;
#[path = "forward/bodies.rs"]
mod bodies;
#[path = "forward/bounds.rs"]
mod bounds;
#[path = "forward/bulk.rs"]
mod bulk;
#[path = "forward/early.rs"]
mod early;
#[path = "forward/failures.rs"]
mod failures;
#[path = "forward/fields.rs"]
mod fields;
#[path = "forward/framing.rs"]
mod framing;
#[path = "forward/held.rs"]
mod held;
#[path = "forward/idle.rs"]
mod idle;
#[path = "forward/reuse.rs"]
mod reuse;

use support::*;

/// Every mode in which bulk bytes may move.
pub(crate) const MODES: [&str; 4] = ["auto", "splice", "send-zc", "off"];

/// A small response after which the connection may go on.
pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// One after which the origin's connection is not used again, so that nothing of it stays in the pool.
pub(crate) const LAST: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";

/// A GET without a body.
pub(crate) const GET: &str = "GET http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\n\r\n";

/// A POST whose body of five bytes is still to come.
pub(crate) const POST: &str =
    "POST http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\nContent-Length: 5\r\n\r\n";

/// A POST whose chunked body is still to come.
pub(crate) const POST_CHUNKED: &str =
    "POST http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\nTransfer-Encoding: chunked\r\n\r\n";

/// Sends `request` from a client of its own, and gives the proxy's own answer, which no origin had a part in.
#[track_caller]
pub(crate) fn answered_by_proxy(proxy: &Proxy, origin: &Origin, request: &str) -> HttpMessage {
    let mut client = Wire::to(proxy);
    client.send(about(origin.address(), request));
    let reply = client.response();
    origin.expect_untouched();
    reply
}

/// [`answered_by_proxy`], and that the connection is closed behind it.
#[track_caller]
pub(crate) fn refused_by_proxy(proxy: &Proxy, origin: &Origin, request: &str) -> HttpMessage {
    let mut client = Wire::to(proxy);
    client.send(about(origin.address(), request));
    let reply = client.response();
    assert_eq!(client.end(), End::Fin, "{request:?}: {}", reply.text);
    origin.expect_untouched();
    reply
}

#[test]
fn methods_are_forwarded_whatever_they_are() {
    let proxy = Proxy::start(&[]);
    let mut exchange = Exchange::get(&proxy);
    assert_eq!(exchange.asked.start_line(), "GET / HTTP/1.1");
    assert_eq!(exchange.answer(OK).text(), "ok");
    for (method, body) in [
        ("GET", ""),
        ("GET", "a body"),
        ("HEAD", ""),
        ("POST", "a body"),
        ("PUT", "a body"),
        ("DELETE", ""),
        ("OPTIONS", ""),
        ("PATCH", "a body"),
        ("PROPFIND", "a body"),
        ("M-SEARCH", ""),
        ("get", ""),
        ("TRACE", ""),
    ] {
        let length = match body.len() {
            0 => String::new(),
            length => format!("Content-Length: {length}\r\n"),
        };
        exchange.client.send(about(
            exchange.origin.address(),
            &format!(
                "{method} http://ORIGIN/{method}?q HTTP/1.1\r\nHost: ORIGIN\r\n{length}\r\n{body}"
            ),
        ));
        let asked = exchange.server.request();
        assert_eq!(asked.start_line(), format!("{method} /{method}?q HTTP/1.1"));
        assert_eq!(asked.text(), body, "{method}");
        exchange
            .server
            .send("HTTP/1.1 200 Fine then\r\nX-A: b\r\nContent-Length: ");
        if method == "HEAD" {
            exchange.server.send("17\r\n\r\n");
            let head = exchange.client.head();
            assert_eq!(head.field("Content-Length"), Some("17"), "{}", head.text);
        } else {
            exchange.server.send("4\r\n\r\nbody");
            let reply = exchange.client.response();
            assert_eq!(reply.start_line(), "HTTP/1.1 200 Fine then", "{method}");
            assert_eq!(reply.field("X-A"), Some("b"), "{method}");
            assert_eq!(reply.text(), "body", "{method}");
        }
    }
    exchange.origin.expect_untouched(); // all on one connection
}

#[test]
fn targets_in_absolute_form_become_origin_form() {
    let proxy = Proxy::start(&[]);
    let mut exchange = Exchange::get(&proxy);
    exchange.answer(OK);
    for (method, target, path) in [
        ("GET", "http://ORIGIN", "/"),
        ("GET", "http://ORIGIN/", "/"),
        ("GET", "http://ORIGIN?a=b", "/?a=b"),
        ("GET", "http://ORIGIN/?", "/?"),
        ("GET", "http://ORIGIN//a/../b//", "//a/../b//"),
        (
            "GET",
            "http://ORIGIN/%7e%2F%00;p=1?x=http://h/&y=@",
            "/%7e%2F%00;p=1?x=http://h/&y=@",
        ),
        ("GET", "HTTP://ORIGIN/UPPER", "/UPPER"),
        ("GET", "hTTp://ORIGIN/a", "/a"),
        ("OPTIONS", "http://ORIGIN", "*"), // RFC 9112 section 3.2.4
        ("OPTIONS", "http://ORIGIN/", "/"),
        ("OPTIONS", "http://ORIGIN?a", "/?a"),
    ] {
        let asked = exchange.again(&format!(
            "{method} {target} HTTP/1.1\r\nHost: ORIGIN\r\n\r\n"
        ));
        assert_eq!(
            asked.start_line(),
            format!("{method} {path} HTTP/1.1"),
            "{target}"
        );
        assert_eq!(exchange.answer(OK).status(), 200, "{target}");
    }
}

#[test]
fn targets_that_are_not_certain_are_400_close() {
    let proxy = Proxy::start(&[]);
    let origin = Origin::listen();
    for target in [
        "http://user@ORIGIN/",
        "http://user:secret@ORIGIN/",
        "http://@ORIGIN/",
        "http://ORIGIN/#fragment",
        "http://ORIGIN#fragment",
        "http://ORIGIN0000/",
        "http:///",
        "http://",
        "http:ORIGIN/",
        "http:/ORIGIN/",
        "http://:80/",
        "http://127.0.0.1:/",
        "http://127.0.0.1:0/",
        "http://127.0.0.1:080/",
        "http://127.0.0.1:65536/",
        "http://127.0.0.1:+80/",
        "http://[::1/",
        "http://::1/",
        "http://ORIGIN\\@h/",
        "http://h h/",
        "http://ORIGIN/a b",
        "http://ORIGIN/\u{1}",
        "http://ORIGIN/\u{7f}",
        "http://ORIGIN/\0",
        "http://ORIGIN/\t",
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: ORIGIN\r\n\r\n");
        let reply = refused_by_proxy(&proxy, &origin, &request);
        assert_eq!(reply.status(), 400, "{target:?}: {}", reply.text);
        assert!(!reply.text().contains("secret"), "a peer's bytes come back");
    }
    let mut exchange = Exchange::get(&proxy); // it was not deaf to everything
    assert_eq!(exchange.answer(OK).text(), "ok");
}

#[test]
fn targets_of_other_schemes_are_501() {
    let proxy = Proxy::start(&[]);
    let origin = Origin::listen();
    for target in [
        "https://ORIGIN/",
        "HTTPS://ORIGIN/",
        "ftp://ORIGIN/",
        "ws://ORIGIN/",
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: ORIGIN\r\n\r\n");
        let reply = answered_by_proxy(&proxy, &origin, &request);
        let https = target.to_lowercase().starts_with("https:");
        let statuses: &[u16] = if https { &[501] } else { &[400, 501] };
        assert!(
            statuses.contains(&reply.status()),
            "{target}: {}",
            reply.head.text
        );
        reply.head.expect_some_error(reply.status());
    }
}

#[test]
fn origin_form_request_to_the_proxy_itself_is_400_with_a_page_that_says_what_this_port_is() {
    let proxy = Proxy::start(&[]);
    let origin = Origin::listen();
    for (accept, kind) in [
        ("", "text/plain"),
        ("Accept: */*\r\n", "text/plain"),
        ("Accept: application/json\r\n", "text/plain"),
        (
            "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n",
            "text/html",
        ),
        ("accept: text/html\r\n", "text/html"),
    ] {
        for start in ["GET /", "GET /path?<script>", "POST /x", "DELETE //h/x"] {
            let request = format!("{start} HTTP/1.1\r\nHost: ORIGIN\r\n{accept}\r\n");
            let reply = refused_by_proxy(&proxy, &origin, &request);
            assert_eq!(reply.status(), 400, "{start} {accept}");
            let said = reply.field("Content-Type").unwrap_or_default();
            assert!(said.starts_with(kind), "{start} {accept}: {said}");
            let page = reply.text().to_lowercase();
            assert!(page.contains("proxy"), "what this port is: {page}");
            assert!(
                page.contains("curl -x") || page.contains("http_proxy"),
                "how to use it: {page}"
            );
            assert_eq!(
                page.contains("<html") || page.contains("<!doctype"),
                kind == "text/html"
            );
            assert!(
                !page.contains("script>"),
                "a peer's bytes come back: {page}"
            );
        }
    }
    let head = "HEAD / HTTP/1.1\r\nHost: ORIGIN\r\n\r\n";
    let mut client = Wire::to(&proxy);
    client.send(about(origin.address(), head));
    assert_eq!(client.head().status(), 400);
    assert_eq!(
        client.end(),
        End::Fin,
        "no body behind the head of an answer to HEAD"
    );
}

#[test]
fn origin_form_request_to_the_proxy_itself_through_the_proxy_does_not_go_round() {
    let proxy = Proxy::start(&[]);
    let mut client = Wire::to(&proxy);
    client.send(get(proxy.address(), "/"));
    let status = client.response().status();
    assert!([400, 403].contains(&status), "{status}");
    let before = proxy.snapshot().value("accepted");
    assert!(before <= 2, "one request made {before} connections");
}

#[test]
fn asterisk_form_and_authority_form_are_for_nobody_else() {
    let proxy = Proxy::start(&[]);
    let origin = Origin::listen();
    for start in [
        "GET *",
        "GET ORIGIN",
        "POST ORIGIN",
        "GET h:80",
        "GET ",
        "GET",
    ] {
        let request = format!("{start} HTTP/1.1\r\nHost: ORIGIN\r\n\r\n");
        assert_eq!(
            refused_by_proxy(&proxy, &origin, &request).status(),
            400,
            "{start}"
        );
    }
    let reply = answered_by_proxy(
        &proxy,
        &origin,
        "OPTIONS * HTTP/1.1\r\nHost: ORIGIN\r\n\r\n",
    );
    assert!(
        [200, 204, 400, 501].contains(&reply.status()),
        "{}",
        reply.head.text
    );
}

#[test]
fn h2c_upgrade_is_not_upgraded() {
    let proxy = Proxy::start(&[]);
    for protocol in [
        "h2c",
        "TLS/1.0",
        "HTTP/2.0",
        "h2c, websocket",
        "IRC/6.9, RTA/x11",
    ] {
        let mut exchange = Exchange::begin(
            &proxy,
            &format!(
                "GET http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\nConnection: Upgrade, HTTP2-Settings\r\n\
                 Upgrade: {protocol}\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"
            ),
        );
        let asked = &exchange.asked;
        for name in ["Upgrade", "HTTP2-Settings"] {
            assert_eq!(asked.field(name), None, "{protocol}: {}", asked.text);
        }
        assert!(!asked.names("Connection", "upgrade"), "{}", asked.text);
        assert_eq!(
            exchange.answer(OK).text(),
            "ok",
            "answered as an ordinary request"
        );
        let asked = exchange.again(GET);
        assert_eq!(
            asked.start_line(),
            "GET / HTTP/1.1",
            "and it stays HTTP/1.1"
        );
    }
}

#[test]
fn http2_preface_on_the_plain_port_is_answered_or_closed_cleanly() {
    let proxy = Proxy::start(&[]);
    for behind in ["", "\0\0\0\x04\0\0\0\0\0"] {
        let reply = ask(
            &proxy,
            format!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{behind}").as_bytes(),
        );
        assert!([400, 505].contains(&reply.status), "{}", reply.head);
    }
    let origin = Origin::listen();
    for version in [
        "HTTP/2.0",
        "HTTP/3.0",
        "HTTP/0.9",
        "HTTP/1.2",
        "HTTP/1",
        "http/1.1",
        "HTTP/1.10",
    ] {
        let request = format!("GET http://ORIGIN/ {version}\r\nHost: ORIGIN\r\n\r\n");
        let mut client = Wire::to(&proxy);
        client.send(about(origin.address(), &request));
        let status = client.response().status();
        assert!([400, 505].contains(&status), "{version}: {status}");
        assert_eq!(client.end(), End::Fin, "{version}");
        origin.expect_untouched();
    }
}

#[test]
fn max_forwards_is_counted_down_and_obeyed_for_options_and_trace() {
    let proxy = Proxy::start(&[]);
    let origin = Origin::listen();
    let request = |method: &str, hops: &str| {
        format!("{method} http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\nMax-Forwards: {hops}\r\n\r\n")
    };
    for method in ["OPTIONS", "TRACE"] {
        for (hops, left) in [("5", "4"), ("1", "0"), ("100", "99")] {
            let exchange = Exchange::begin(&proxy, &request(method, hops));
            let counted = exchange.asked.field("Max-Forwards");
            assert_eq!(counted, Some(left), "RFC 9110 section 7.6.2");
        }
        let reply = answered_by_proxy(&proxy, &origin, &request(method, "0"));
        assert!(reply.status() < 502, "{}", reply.head.text);
    }
    let exchange = Exchange::begin(&proxy, &request("GET", "0"));
    let counted = exchange.asked.field("Max-Forwards");
    assert_eq!(counted, Some("0"), "of no other method");
}

#[test]
fn connect_and_forwarding_share_a_port() {
    let proxy = Proxy::start(&[]);
    let start = proxy.footing();
    let mut exchange = Exchange::get(&proxy);
    assert_eq!(exchange.answer(LAST).text(), "ok");
    let Exchange {
        origin,
        client,
        server,
        ..
    } = exchange;
    client.send(head(origin.address())); // CONNECT as the second request of a connection
    let mut client = client;
    assert_eq!(client.head().status(), 200);
    let other = origin.accept();
    ping(client.stream(), &other, b"up");
    ping(&other, client.stream(), b"GET / HTTP/1.1\r\n\r\n");
    drop((client, server, other));
    proxy.await_gauges(&start);
}
