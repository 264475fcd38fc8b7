//! WebSocket on the wire: each row of the behaviour list as a test through the real program. Here is the opening
//! handshake; `websocket/relay.rs` has what happens once it is agreed on.

mod support;

#[path = "websocket/relay.rs"]
mod relay;

use std::time::Duration;

use support::*;

/// The opening handshake of RFC 6455 section 1.2, in absolute-form, with all it may bring along.
pub(crate) const UPGRADE: &str = "GET http://ORIGIN/chat?room=1 HTTP/1.1\r\nHost: ORIGIN\r\nUpgrade: websocket\r\n\
    Connection: keep-alive, Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Protocol: chat, superchat\r\nOrigin: http://example.test\r\n\
    Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x-other;a=\"b c\"\r\n\r\n";

/// What agrees to it.
pub(crate) const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n\
    Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n\r\n";

/// A small response after which the connection may go on.
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

const GET: &str = "GET http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\n\r\n";

/// A WebSocket through `proxy`, its handshake over.
#[track_caller]
pub(crate) fn open(proxy: &Proxy) -> Exchange {
    let mut exchange = Exchange::begin(proxy, UPGRADE);
    exchange.server.send(SWITCH);
    let head = exchange.client.head();
    assert_eq!(head.status(), 101, "{}", head.text);
    exchange
}

#[test]
fn upgrade_through_absolute_form_is_relayed_with_sec_websocket_fields_untouched() {
    let proxy = Proxy::start(&[]);
    let start = proxy.footing();
    for (upgrade, connection) in [
        ("websocket", "Upgrade"),
        ("WebSocket", "keep-alive, Upgrade"),
        ("WEBSOCKET", "upgrade, x-private"),
    ] {
        let request = UPGRADE
            .replace("Upgrade: websocket", &format!("Upgrade: {upgrade}"))
            .replace("keep-alive, Upgrade", connection)
            .replace(
                "Origin:",
                "X-Private: p\r\nProxy-Authorization: Basic c2VjcmV0\r\nOrigin:",
            );
        let mut exchange = Exchange::begin(&proxy, &request);
        let asked = &exchange.asked;
        assert_eq!(asked.start_line(), "GET /chat?room=1 HTTP/1.1");
        let protocol = asked.field("Upgrade").map(str::to_lowercase);
        assert_eq!(protocol.as_deref(), Some("websocket"), "{}", asked.text);
        assert!(asked.names("Connection", "upgrade"), "{}", asked.text);
        let sent = Head {
            text: request.clone(),
        };
        for name in [
            "Sec-WebSocket-Key",
            "Sec-WebSocket-Version",
            "Sec-WebSocket-Protocol",
            "Sec-WebSocket-Extensions",
            "Origin",
        ] {
            assert_eq!(asked.field(name), sent.field(name), "{}", asked.text);
        }
        assert_eq!(asked.field("Proxy-Authorization"), None, "{}", asked.text);
        if connection.contains("x-private") {
            assert_eq!(asked.field("X-Private"), None, "{}", asked.text);
        }
        exchange.server.send(SWITCH);
        let switched = exchange.client.head();
        assert_eq!(switched.status(), 101, "{}", switched.text);
        let sent = Head {
            text: SWITCH.to_owned(),
        };
        for name in [
            "Sec-WebSocket-Accept",
            "Sec-WebSocket-Protocol",
            "Sec-WebSocket-Extensions",
        ] {
            assert_eq!(switched.field(name), sent.field(name), "{}", switched.text);
        }
        let protocol = switched.field("Upgrade").map(str::to_lowercase);
        assert_eq!(protocol.as_deref(), Some("websocket"), "{}", switched.text);
        assert!(switched.names("Connection", "upgrade"), "{}", switched.text);
        assert!(!switched.names("Connection", "close"), "{}", switched.text);
        let (client, server) = (exchange.client.stream(), exchange.server.stream());
        ping(client, server, b"\xc1\x85\0\0\0\0hello"); // RSV1 too: it is theirs
        ping(server, client, b"\xc1\x05hello");
    }
    proxy.await_gauges(&start);
}

#[test]
fn upgrade_inside_connect_is_relayed_as_it_is() {
    let proxy = Proxy::start(&[]);
    let tunnel = Tunnel::open(&proxy);
    for (from, to, bytes) in [
        (
            &tunnel.client,
            &tunnel.origin,
            about(tunnel.target, UPGRADE),
        ),
        (&tunnel.origin, &tunnel.client, SWITCH.to_owned()),
        (&tunnel.client, &tunnel.origin, "\u{1}\u{2}frame".to_owned()),
        (&tunnel.origin, &tunnel.client, "\u{1}\u{2}frame".to_owned()),
    ] {
        ping(from, to, bytes.as_bytes());
    }
}

#[test]
fn upgrade_as_a_later_request_on_connections_that_are_kept() {
    let proxy = Proxy::start(&[]);
    let start = proxy.footing();
    let mut exchange = Exchange::begin(&proxy, GET);
    assert_eq!(exchange.answer(OK).text(), "ok");
    let asked = exchange.again(UPGRADE);
    assert!(asked.names("Connection", "upgrade"), "{}", asked.text);
    exchange.server.send(SWITCH);
    assert_eq!(exchange.client.head().status(), 101);
    let (client, server) = (exchange.client.stream(), exchange.server.stream());
    ping(client, server, b"up");
    ping(server, client, b"GET / HTTP/1.1\r\n\r\n"); // nobody reads HTTP any more
    ping(client, server, b"GET / HTTP/1.1\r\n\r\n");
    drop(exchange);
    proxy.await_gauges(&start);
}

#[test]
fn upgrade_on_a_reused_connection_found_dead_is_tried_again() {
    let proxy = Proxy::start(&[]);
    let mut exchange = Exchange::begin(&proxy, GET);
    assert_eq!(exchange.answer(OK).text(), "ok");
    exchange.again(UPGRADE);
    drop(exchange.server);
    let mut server = Wire::from(&exchange.origin, &exchange.client);
    let asked = server.head();
    assert!(asked.names("Connection", "upgrade"), "{}", asked.text);
    assert_eq!(
        asked.field("Sec-WebSocket-Key"),
        Some("dGhlIHNhbXBsZSBub25jZQ==")
    );
    server.send(SWITCH);
    assert_eq!(exchange.client.head().status(), 101);
    ping(exchange.client.stream(), server.stream(), b"up");
}

const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const VERSION: &str = "Sec-WebSocket-Version: 13\r\n";

/// What is changed in a handshake, each by itself.
fn changes() -> Vec<(&'static str, String)> {
    vec![
        (KEY, String::new()),
        (KEY, "Sec-WebSocket-Key:\r\n".to_owned()),
        (KEY, "Sec-WebSocket-Key: short\r\n".to_owned()),
        (
            KEY,
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ\r\n".to_owned(),
        ),
        (
            KEY,
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==x\r\n".to_owned(),
        ),
        (
            KEY,
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j!Q==\r\n".to_owned(),
        ),
        (
            KEY,
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZWFhYWE=\r\n".to_owned(),
        ),
        (KEY, KEY.repeat(2)),
        (VERSION, String::new()),
        (VERSION, "Sec-WebSocket-Version: 8\r\n".to_owned()),
        (VERSION, "Sec-WebSocket-Version: 13, 8\r\n".to_owned()),
        (VERSION, VERSION.repeat(2)),
        ("GET", "POST".to_owned()),
        ("HTTP/1.1", "HTTP/1.0".to_owned()),
        ("Connection: keep-alive, Upgrade\r\n", String::new()),
        (
            "Connection: keep-alive, Upgrade\r\n",
            "Connection: keep-alive\r\n".to_owned(),
        ),
        ("Upgrade: websocket\r\n", String::new()),
        ("Upgrade: websocket\r\n", "Upgrade: h2c\r\n".to_owned()),
        (
            "Upgrade: websocket\r\n",
            "Upgrade: websocket, h2c\r\n".to_owned(),
        ),
        (
            "Upgrade: websocket\r\n",
            "Upgrade: websocket/13\r\n".to_owned(),
        ),
        (
            VERSION,
            "Sec-WebSocket-Version: 13\r\nContent-Length: 5\r\n".to_owned(),
        ),
        (
            VERSION,
            "Sec-WebSocket-Version: 13\r\nTransfer-Encoding: chunked\r\n".to_owned(),
        ),
    ]
}

#[test]
fn key_missing_or_malformed_or_bad_version_is_400_or_the_origins_to_judge_never_a_half_open_relay()
{
    let proxy = Proxy::start(&[]);
    let start = proxy.footing();
    for (from, to) in changes() {
        let origin = Origin::listen();
        let mut client = Wire::to(&proxy);
        client.send(about(origin.address(), &UPGRADE.replacen(from, &to, 1)));
        // An origin that agrees to anything.
        let asked = until("an answer, or a question to the origin", || {
            if let Some(stream) = origin.accept_if_there() {
                return Some(Some(Wire::new(stream)));
            }
            client
                .stream()
                .set_nonblocking(true)
                .expect("an option of every socket");
            let answered = client.stream().peek(&mut [0; 1]).is_ok();
            client
                .stream()
                .set_nonblocking(false)
                .expect("an option of every socket");
            answered.then_some(None)
        });
        let Some(mut server) = asked else {
            let reply = client.response();
            assert_eq!(reply.status(), 400, "{to:?}: {}", reply.head.text);
            assert_eq!(client.end(), End::Fin);
            continue;
        };
        server.head();
        server.send(SWITCH);
        let reply = client.response();
        if from == VERSION && !to.contains("Content-Length") && !to.contains("Transfer-Encoding") {
            assert_eq!(reply.status(), 101, "the origin has judged the version");
            ping(client.stream(), server.stream(), b"no half of a relay");
            ping(server.stream(), client.stream(), b"no half of a relay");
            continue;
        }
        assert_eq!(
            reply.status(),
            502,
            "a relay without agreement, {from:?} is {to:?}: {}",
            reply.head.text
        );
        client.rest();
        let (seen, _) = server.rest();
        assert!(seen.is_empty(), "{to:?}: {seen:?}");
    }
    proxy.await_gauges(&start);
}

#[test]
fn switch_101_whose_accept_is_wrong_is_502_and_no_relay() {
    let proxy = Proxy::start(&[]);
    let start = proxy.footing();
    let accept = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
    for (from, to) in [
        (accept, String::new()),
        (accept, "Sec-WebSocket-Accept:\r\n".to_owned()),
        (
            accept,
            "Sec-WebSocket-Accept: dGhlIHNhbXBsZSBub25jZQ==\r\n".to_owned(),
        ),
        (accept, accept.replace("s3pP", "S3PP")),
        (accept, accept.replace("=\r\n", "\r\n")),
        (accept, accept.replace("=\r\n", "=x\r\n")),
        (accept, accept.replace("s3pP", "a, s3pP")),
        (
            accept,
            "Sec-WebSocket-Accept: wrong\r\n".to_owned() + accept,
        ),
        (
            accept,
            accept.to_owned() + "Sec-WebSocket-Accept: wrong\r\n",
        ),
        ("Upgrade: websocket\r\n", String::new()),
        ("Upgrade: websocket\r\n", "Upgrade: h2c\r\n".to_owned()),
        (
            "Upgrade: websocket\r\n",
            "Upgrade: websocketx\r\n".to_owned(),
        ),
        ("Connection: Upgrade\r\n", String::new()),
        (
            "Connection: Upgrade\r\n",
            "Connection: keep-alive\r\n".to_owned(),
        ),
    ] {
        let mut exchange = Exchange::begin(&proxy, UPGRADE);
        exchange.client.send("early");
        let reply = exchange.answer(SWITCH.replacen(from, &to, 1) + "behind");
        assert_eq!(reply.status(), 502, "{to:?}: {}", reply.head.text);
        reply.expect_some_error(502);
        let (behind, _) = exchange.client.rest();
        let text = String::from_utf8_lossy(&behind).into_owned() + reply.text();
        assert!(!text.contains("behind"), "{to:?}: {text}");
        let (seen, _) = exchange.server.rest();
        assert!(seen.is_empty(), "{to:?}: {seen:?}");
    }
    proxy.await_gauges(&start);
}

#[test]
fn answer_other_than_101_to_an_upgrade_is_an_ordinary_response() {
    let proxy = Proxy::start(&[]);
    let mut exchange = Exchange::begin(&proxy, GET);
    assert_eq!(exchange.answer(OK).text(), "ok");
    for response in [
        "200 OK\r\nContent-Length: 4",
        "426 Upgrade Required\r\nSec-WebSocket-Version: 13\r\nUpgrade: websocket\r\nConnection: upgrade\r\nContent-Length: 4",
        "401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"r\"\r\nContent-Length: 4",
        "302 Found\r\nLocation: http://h/\r\nContent-Length: 4",
        "200 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nContent-Length: 4",
    ] {
        exchange.again(UPGRADE);
        let reply = exchange.answer(format!("HTTP/1.1 {response}\r\n\r\nbody"));
        assert_eq!(reply.status().to_string(), response[..3]);
        assert_eq!(reply.text(), "body", "{response}");
        if response.starts_with("426") {
            assert_eq!(reply.field("Sec-WebSocket-Version"), Some("13"));
        }
        exchange.again(GET); // it is still HTTP, on both connections
        assert_eq!(exchange.answer(OK).text(), "ok", "behind {response}");
    }
}

#[test]
fn bytes_behind_an_upgrade_that_is_declined_go_nowhere() {
    let proxy = Proxy::start(&[]);
    let start = proxy.footing();
    let frame = "\u{1}\u{2}secret frame";
    let mut exchange = Exchange::begin(&proxy, &(UPGRADE.to_owned() + frame));
    exchange
        .server
        .send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
    assert_eq!(exchange.client.response().text(), "ok");
    let (behind, _) = exchange.client.rest(); // not a request, so 400 or nothing, and closed
    assert!(behind.is_empty() || behind.starts_with(b"HTTP/1.1 400 "));
    let (seen, _) = exchange.server.rest();
    assert!(seen.is_empty(), "{:?}", String::from_utf8_lossy(&seen));
    exchange.origin.expect_untouched();
    drop(exchange);
    proxy.await_gauges(&start);
}

#[test]
fn interim_responses_may_come_before_the_101() {
    let proxy = Proxy::start(&[]);
    let mut exchange = Exchange::begin(&proxy, UPGRADE);
    exchange
        .server
        .send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
    exchange.server.send(SWITCH.to_owned() + "frame");
    for status in [100, 103, 101] {
        assert_eq!(exchange.client.head().status(), status);
    }
    assert_eq!(exchange.client.exactly(5), b"frame");
    ping(exchange.client.stream(), exchange.server.stream(), b"up");
}

#[test]
fn origin_that_ends_before_the_101_is_502() {
    let proxy = Proxy::start(&[]);
    let start = proxy.footing();
    for part in ["", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: webso"] {
        let mut exchange = Exchange::begin(&proxy, UPGRADE);
        exchange.server.send(part);
        drop(exchange.server);
        exchange.client.response().expect_some_error(502);
        exchange.origin.expect_untouched();
    }
    proxy.await_gauges(&start);
}

#[test]
fn client_that_ends_before_the_101_leaves_nothing_behind() {
    let proxy = Proxy::start(&[]);
    let start = proxy.footing();
    for sends in ["", "frame"] {
        let exchange = Exchange::begin(&proxy, UPGRADE);
        exchange.client.send(sends);
        reset(exchange.client.into_stream());
        let mut server = exchange.server;
        let (seen, _) = server.rest();
        assert!(seen.is_empty(), "{seen:?}");
    }
    // FIN behind the request is no reason to forget the answer, and passes once the relay stands.
    let mut exchange = Exchange::begin(&proxy, UPGRADE);
    exchange.client.send("frame");
    exchange.client.finish();
    exchange.server.expect_quiet(Duration::from_millis(100));
    exchange.server.send(SWITCH);
    assert_eq!(exchange.client.head().status(), 101);
    assert_eq!(exchange.server.rest(), (b"frame".to_vec(), End::Fin));
    drop(exchange);
    proxy.await_gauges(&start);
}

#[test]
fn body_fields_on_a_101_mean_nothing() {
    let proxy = Proxy::start(&[]);
    for field in ["Content-Length: 3", "Transfer-Encoding: chunked"] {
        let mut exchange = Exchange::begin(&proxy, UPGRADE);
        let switch = SWITCH.replace(
            "Upgrade: websocket",
            &format!("{field}\r\nUpgrade: websocket"),
        );
        exchange.server.send(switch + "frames");
        let head = exchange.client.head();
        if head.status() == 502 {
            continue;
        }
        assert_eq!(head.status(), 101, "{}", head.text);
        let (name, _) = field.split_once(':').expect("a field");
        assert_eq!(
            head.field(name),
            None,
            "RFC 9110 section 8.6: {}",
            head.text
        );
        assert_eq!(exchange.client.exactly(6), b"frames");
        ping(exchange.client.stream(), exchange.server.stream(), b"up");
    }
}
