//! The rows about bodies that are small: where they end, however they are cut, with trailers and without, and messages
//! that have none whatever their headers say.

use crate::support::*;
use crate::{GET, OK, POST, POST_CHUNKED};

/// Sends `request` on the client's side in two writes, for every place where it can be cut, and has the origin answer
/// each time; all on one pair of connections. `check` sees what the origin was asked.
fn cut_everywhere(proxy: &Proxy, request: &str, check: impl Fn(&HttpMessage)) {
    let mut exchange = Exchange::get(proxy);
    exchange.answer(OK);
    let request = about(exchange.origin.address(), request);
    for cut in 1..request.len() {
        let (first, second) = request.split_at(cut);
        exchange.client.send(first);
        exchange.client.send(second);
        check(&exchange.server.request());
        assert_eq!(exchange.answer(OK).text(), "ok", "cut at {cut}");
    }
    exchange.client.trickle(&request);
    check(&exchange.server.request());
    assert_eq!(exchange.answer(OK).text(), "ok", "byte by byte");
    exchange.client.send(&request);
    check(&exchange.server.request());
    assert_eq!(exchange.answer(OK).text(), "ok", "in one segment");
}

#[test]
fn body_with_content_length_passes_however_it_is_cut() {
    for options in [&[][..], &["--buffers", "1", "--buffer-size", "512"]] {
        let proxy = Proxy::start(options);
        cut_everywhere(&proxy, &(POST.to_owned() + "hello"), |asked| {
            assert_eq!(asked.text(), "hello");
            assert_eq!(asked.field("Content-Length"), Some("5"));
        });
    }
}

#[test]
fn body_that_is_chunked_passes_however_it_is_cut() {
    for options in [&[][..], &["--buffers", "1", "--buffer-size", "512"]] {
        let proxy = Proxy::start(options);
        let request = POST_CHUNKED.to_owned()
            + "5\r\nhello\r\n1;x=\"y\"\r\n \r\n005\r\nworld\r\n0\r\nX-Sum: 1\r\n\r\n";
        cut_everywhere(&proxy, &request, |asked| {
            assert_eq!(asked.text(), "hello world");
            assert_eq!(asked.field("Transfer-Encoding"), Some("chunked"));
            assert_eq!(asked.trailers, ["X-Sum: 1"]);
        });
    }
}

#[test]
fn body_of_a_response_passes_however_it_is_cut() {
    let proxy = Proxy::start(&[]);
    for response in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x\r\nhe\r\n3\r\nllo\r\n0\r\nX-Sum: 1\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    ] {
        let mut exchange = Exchange::get(&proxy);
        for cut in 1..response.len() {
            let (first, second) = response.split_at(cut);
            exchange.server.send(first);
            exchange.server.send(second);
            let mut reply = exchange.client.response();
            if reply.status() == 100 {
                reply = exchange.client.response();
            }
            assert_eq!(
                (reply.status(), reply.text()),
                (200, "hello"),
                "cut at {cut}"
            );
            exchange.again(GET);
        }
        exchange.server.trickle(response);
        let reply = exchange.client.response();
        assert!(
            reply.status() == 100 || reply.text() == "hello",
            "byte by byte"
        );
    }
}

#[test]
fn body_to_its_end_is_followed_by_the_next_pipelined_request() {
    let proxy = Proxy::start(&[]);
    let mut exchange = Exchange::get(&proxy);
    exchange.answer(OK);
    let smuggled = "GET http://ORIGIN/smuggled HTTP/1.1\r\nHost: ORIGIN\r\n\r\n";
    let smuggled = about(exchange.origin.address(), smuggled);
    let chunks = String::from_utf8(chunked(smuggled.as_bytes(), &[7])).expect("a text");
    let requests = [
        format!("{}hello", POST),
        GET.replace("ORIGIN/ ", "ORIGIN/1 "),
        format!(
            "POST http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\nContent-Length: {}\r\n\r\n{smuggled}",
            smuggled.len()
        ),
        POST.replace("Content-Length: 5", "Content-Length: 0"),
        POST_CHUNKED.to_owned() + &chunks,
        GET.replace("ORIGIN/ ", "ORIGIN/2 "),
    ];
    exchange
        .client
        .send(about(exchange.origin.address(), &requests.concat()));
    for (start, body) in [
        ("POST / HTTP/1.1", "hello"),
        ("GET /1 HTTP/1.1", ""),
        ("POST / HTTP/1.1", &smuggled),
        ("POST / HTTP/1.1", ""),
        ("POST / HTTP/1.1", &smuggled),
        ("GET /2 HTTP/1.1", ""),
    ] {
        let asked = exchange.server.request();
        assert_eq!((asked.start_line(), asked.text()), (start, body));
        assert_eq!(exchange.answer(OK).text(), "ok");
    }
}

#[test]
fn body_that_only_the_close_ends_is_delivered_whole() {
    for version in ["1.1", "1.0"] {
        let proxy = Proxy::start(&[]);
        for length in [0, 1, 70_000] {
            let content = Content::new(length as u32).bytes(length);
            for client in ["1.1", "1.0"] {
                let mut exchange = Exchange::begin(
                    &proxy,
                    &format!("GET http://ORIGIN/ HTTP/{client}\r\nHost: ORIGIN\r\n\r\n"),
                );
                exchange
                    .server
                    .send(format!("HTTP/{version} 200 OK\r\nX: y\r\n\r\n"));
                let head = exchange.client.head(); // before the body is whole
                exchange.server.send(&content);
                drop(exchange.server);
                let chunked = head.field("Transfer-Encoding").is_some();
                assert!(!(chunked && client == "1.0"), "{}", head.text);
                let reply = exchange.client.try_body_of(head).expect("a clean end");
                assert!(
                    reply.body == content,
                    "{} bytes of {length}",
                    reply.body.len()
                );
                if !chunked {
                    assert_eq!(exchange.client.end(), End::Fin);
                }
            }
        }
    }
}

#[test]
fn http_1_0_client_gets_no_chunks_and_the_close_ends_the_body() {
    let proxy = Proxy::start(&[]);
    for connection in [
        "",
        "Connection: keep-alive\r\n",
        "Proxy-Connection: keep-alive\r\n",
    ] {
        let mut exchange = Exchange::begin(
            &proxy,
            &format!("GET http://ORIGIN/ HTTP/1.0\r\n{connection}\r\n"),
        );
        exchange.server.send(
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
             5\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: 1\r\n\r\n",
        );
        let head = exchange.client.head();
        assert_eq!(
            head.status(),
            200,
            "no 1xx for HTTP/1.0 (RFC 9110 section 15.2)"
        );
        assert_eq!(head.field("Transfer-Encoding"), None, "{}", head.text);
        assert!(!head.names("Connection", "keep-alive"), "{}", head.text);
        let (body, end) = exchange.client.rest();
        assert_eq!(
            (&body[..], end),
            (&b"hello world"[..], End::Fin),
            "{connection:?}"
        );
    }
}

#[test]
fn http_1_0_client_is_kept_where_it_asks_for_it() {
    let proxy = Proxy::start(&[]);
    let request = "GET http://ORIGIN/ HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n";
    let mut exchange = Exchange::begin(&proxy, request);
    for _ in 0..3 {
        let reply = exchange.answer(OK);
        assert_eq!(reply.text(), "ok");
        assert!(
            reply.names("Connection", "keep-alive"),
            "said to HTTP/1.0: {}",
            reply.head.text
        );
        let asked = exchange.again(request);
        assert_eq!(
            asked.start_line(),
            "GET / HTTP/1.1",
            "the proxy's own version"
        );
    }
    for connection in [
        "",
        // What an older proxy passes on without knowing it asks for nothing.
        "Proxy-Connection: keep-alive\r\n",
        "Proxy-Connection: keep-alive\r\nKeep-Alive: timeout=5\r\n",
        "Connection: keep-alive\r\nConnection: close\r\n",
    ] {
        let request = format!("GET http://ORIGIN/ HTTP/1.0\r\n{connection}\r\n");
        let mut exchange = Exchange::begin(&proxy, &request);
        assert_eq!(exchange.asked.field("Proxy-Connection"), None);
        let reply = exchange.answer(OK);
        let head = &reply.head.text;
        assert_eq!(reply.text(), "ok");
        assert!(reply.names("Connection", "close"), "{head}");
        assert_eq!(exchange.client.end(), End::Fin, "not kept: {head}");
    }
}

#[test]
fn head_204_304_and_1xx_have_no_body_whatever_the_headers_say() {
    let proxy = Proxy::start(&[]);
    let mut exchange = Exchange::get(&proxy);
    exchange.answer(OK);
    let head = GET.replace("GET", "HEAD");
    // The last of each says whether such an origin may be asked again: one that announces a body which there cannot be
    // may send it all the same.
    for (request, response, reused) in [
        (&head[..], "200 OK\r\nContent-Length: 5", true),
        (&head, "200 OK\r\nTransfer-Encoding: chunked", true),
        (&head, "404 No\r\nContent-Length: 5", true),
        (&head, "200 OK\r\nX: y", true),
        (GET, "204 No Content\r\nX: y", true),
        (GET, "204 No Content\r\nContent-Length: 5", false),
        (GET, "204 No Content\r\nTransfer-Encoding: chunked", false),
        (
            GET,
            "304 Not Modified\r\nContent-Length: 5\r\nETag: \"e\"",
            true,
        ),
        (GET, "304 Not Modified\r\nTransfer-Encoding: chunked", true),
    ] {
        exchange.again(request);
        exchange.server.send(format!("HTTP/1.1 {response}\r\n\r\n"));
        let status = exchange.client.head().status();
        assert_eq!(status.to_string(), response[..3], "{response:?}");
        exchange
            .client
            .expect_quiet(std::time::Duration::from_millis(30));
        if reused {
            exchange.again(GET); // on the same connections, in step
        } else {
            exchange.client.send(about(exchange.origin.address(), GET));
            exchange.server = Wire::from(&exchange.origin, &exchange.client);
            exchange.server.head();
        }
        assert_eq!(exchange.answer(OK).text(), "ok", "behind {response:?}");
    }
    exchange.again(GET);
    exchange
        .server
        .send("HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(exchange.client.head().status(), 103);
    assert_eq!(exchange.answer(OK).text(), "ok");
}

#[test]
fn head_204_and_304_with_a_body_all_the_same_poison_nobody() {
    let proxy = Proxy::start(&[]);
    let head = GET.replace("GET", "HEAD");
    let poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
    for (request, start) in [
        (&head[..], "200 OK"),
        (GET, "204 No Content"),
        (GET, "304 Not Modified"),
    ] {
        let mut exchange = Exchange::begin(&proxy, request);
        let response = format!(
            "HTTP/1.1 {start}\r\nContent-Length: {}\r\n\r\n{poison}",
            poison.len()
        );
        exchange.server.send(response);
        let head = exchange.client.head();
        assert_eq!(head.status().to_string(), start[..3]);
        exchange.client.send(about(exchange.origin.address(), GET));
        let mut server = Wire::from(&exchange.origin, &exchange.client); // the first connection is out of step
        assert_eq!(server.head().start_line(), "GET / HTTP/1.1");
        server.send(OK);
        assert_eq!(exchange.client.response().text(), "ok", "behind {start}");
    }
}

#[test]
fn trailers_pass() {
    let proxy = Proxy::start(&[]);
    let mut exchange = Exchange::begin(
        &proxy,
        &POST_CHUNKED.replace("\r\n\r\n", "\r\nTrailer: X-Sum, X-More\r\n\r\n"),
    );
    exchange
        .client
        .send("5\r\nhello\r\n0\r\nX-Sum: abc\r\nX-More: \t d e \r\n\r\n");
    let head = exchange.asked.clone();
    let asked = exchange.server.try_body_of(head).expect("a whole body");
    assert_eq!(asked.text(), "hello");
    let trimmed: Vec<&str> = asked.trailers.iter().map(|line| line.trim_end()).collect();
    assert_eq!(trimmed[0], "X-Sum: abc");
    assert!(
        trimmed.len() == 2 && trimmed[1].ends_with("d e"),
        "{trimmed:?}"
    );
    let reply = exchange.answer(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nworld\r\n0\r\nX-Sum: def\r\n\r\n",
    );
    assert_eq!(
        (reply.text(), &reply.trailers[..]),
        ("world", &["X-Sum: def".to_owned()][..])
    );
    exchange.again(GET);
    assert_eq!(
        exchange.answer(OK).text(),
        "ok",
        "both connections are in step"
    );
}

#[test]
fn trailers_that_would_frame_or_route_are_not_forwarded() {
    let proxy = Proxy::start(&[]);
    for field in [
        "Content-Length: 5",
        "Transfer-Encoding: chunked",
        "Host: h",
        "Connection: close",
        "Proxy-Authorization: Basic c2VjcmV0",
    ] {
        let mut exchange = Exchange::begin(&proxy, POST_CHUNKED);
        exchange
            .client
            .send(format!("5\r\nhello\r\n0\r\nX-Sum: 1\r\n{field}\r\n\r\n"));
        let (name, _) = field.split_once(':').expect("a field");
        let head = exchange.asked.clone();
        if let Ok(asked) = exchange.server.try_body_of(head) {
            let dropped = !asked.trailers.iter().any(|line| line.starts_with(name));
            assert!(dropped, "RFC 9110 section 6.5.1: {:?}", asked.trailers);
        } else {
            assert_eq!(exchange.client.head().status(), 400, "{field}");
        }
        let mut exchange = Exchange::get(&proxy);
        exchange
            .server
            .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
        exchange.server.send(format!("0\r\n{field}\r\n\r\n"));
        if let Ok(reply) = exchange.client.try_response() {
            let dropped = !reply.trailers.iter().any(|line| line.starts_with(name));
            assert!(dropped, "RFC 9110 section 6.5.1: {:?}", reply.trailers);
        }
    }
}

#[test]
fn trailers_that_connection_named_are_not_forwarded() {
    let proxy = Proxy::start(&[]);
    let connection = "Connection: x-hop, X-Sum2\r\nconnection: close , Signature\r\n";
    let body =
        "5\r\nhello\r\n0\r\nX-Sum: 1\r\nX-HOP: a\r\nx-sum2: b\r\nSignature: c\r\nX-Hops: 2\r\n\r\n";
    let kept = ["X-Sum: 1", "X-Hops: 2"];
    for in_pieces in [false, true] {
        let send = |wire: &Wire, head: String| {
            if in_pieces {
                wire.send(head);
                wire.trickle(body);
            } else {
                wire.send(head + body);
            }
        };
        let origin = Origin::listen();
        let mut client = Wire::to(&proxy);
        let fields =
            format!("{connection}Transfer-Encoding: chunked\r\nX-Hop: in the head\r\n\r\n");
        let head = format!("POST http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\n{fields}");
        send(&client, about(origin.address(), &head));
        let mut server = Wire::from(&origin, &client);
        let asked = server.request();
        assert_eq!(asked.field("X-Hop"), None, "{}", asked.head.text);
        assert_eq!(asked.trailers, kept, "in pieces: {in_pieces}");
        send(&server, format!("HTTP/1.1 200 OK\r\n{fields}"));
        let reply = client.response();
        assert_eq!((reply.text(), reply.field("X-Hop")), ("hello", None));
        assert_eq!(reply.trailers, kept, "in pieces: {in_pieces}");
    }
}

#[test]
fn chunk_extensions_are_dropped() {
    let proxy = Proxy::start(&[]);
    let mut exchange = Exchange::begin(&proxy, POST_CHUNKED);
    let chunks = "5;a\r\nhello\r\n6;b=c;d=\"e;\\\"f\"\r\n world\r\n0;last\r\n\r\n";
    exchange.client.send(chunks);
    let mut seen = Vec::new();
    loop {
        // A line that is not only a size is an error there.
        let (_, content) = exchange
            .server
            .try_chunk()
            .expect("a chunk without extension");
        if content.is_empty() {
            break;
        }
        seen.extend(content);
    }
    assert_eq!(exchange.server.try_line().expect("the end"), "");
    assert_eq!(seen, b"hello world");
    let reply = exchange.answer(format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"
    ));
    assert_eq!(reply.text(), "hello world");
}
