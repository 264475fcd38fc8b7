//! The rows about fields: those of one connection are stripped in both directions, Host is that of the target, Via is
//! added, and the client's address is told to nobody unless `--forwarded` says so.

use std::net::Ipv6Addr;

use crate::support::*;
use crate::{GET, OK, POST};

#[test]
fn header_named_in_connection_and_hop_by_hop_fields_are_stripped_from_requests() {
    let proxy = Proxy::start(&[]);
    let exchange = Exchange::begin(
        &proxy,
        "GET http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\nAccept: a\r\nConnection: keep-alive, X-Private , x-OTHER\r\n\
         X-Private: p\r\nx-other: p\r\nKeep-Alive: timeout=5\r\nconnection:,,te,x-third,\r\nX-Third: p\r\n\
         TE: trailers, deflate\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: Basic c2VjcmV0\r\n\
         Upgrade: TLS/1.0\r\nAuthorization: Basic a2VwdA==\r\nX-Kept: 1\r\n\
         X-PRIVATE: p\r\nx-kept:2\r\nCookie: a=b\r\nX-Privateer: kept\r\n\r\n",
    );
    let asked = &exchange.asked;
    for name in [
        "X-Private",
        "X-Other",
        "X-Third",
        "Keep-Alive",
        "TE",
        "Proxy-Connection",
        "Proxy-Authorization",
        "Upgrade",
    ] {
        assert_eq!(
            asked.values(name),
            [""; 0],
            "{name} is not for the origin: {}",
            asked.text
        );
    }
    for named in ["x-private", "x-other", "te", "upgrade"] {
        assert!(!asked.names("Connection", named), "{}", asked.text);
    }
    assert!(!asked.text.contains("c2VjcmV0"), "{}", asked.text);
    assert_eq!(
        asked.values("X-Kept"),
        ["1", "2"],
        "in their order: {}",
        asked.text
    );
    assert_eq!(asked.field("Accept"), Some("a"));
    assert_eq!(asked.field("Authorization"), Some("Basic a2VwdA=="));
    assert_eq!(asked.field("Cookie"), Some("a=b"));
    assert_eq!(
        asked.field("X-Privateer"),
        Some("kept"),
        "a prefix is not the name"
    );
}

#[test]
fn header_named_in_connection_and_hop_by_hop_fields_are_stripped_from_responses() {
    let proxy = Proxy::start(&[]);
    let mut exchange = Exchange::get(&proxy);
    let reply = exchange.answer(
        "HTTP/1.1 200 OK\r\nServer: s\r\nConnection: x-private, keep-alive\r\nX-Private: p\r\nKeep-Alive: timeout=5\r\n\
         Proxy-Connection: keep-alive\r\nUpgrade: h2c\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nx-private: p\r\n\
         Connection: upgrade\r\nTE: trailers\r\nWWW-Authenticate: Basic realm=\"r\"\r\nContent-Length: 2\r\n\r\nok",
    );
    for name in [
        "X-Private",
        "Keep-Alive",
        "Proxy-Connection",
        "Upgrade",
        "TE",
    ] {
        assert_eq!(
            reply.values(name),
            [""; 0],
            "{name} is not for the client: {}",
            reply.head.text
        );
    }
    assert!(!reply.names("Connection", "x-private") && !reply.names("Connection", "upgrade"));
    assert_eq!(reply.values("Set-Cookie"), ["a=1", "b=2"], "in their order");
    assert_eq!(reply.field("Server"), Some("s"));
    assert_eq!(reply.field("WWW-Authenticate"), Some("Basic realm=\"r\""));
    assert_eq!(reply.text(), "ok");
}

#[test]
fn header_named_in_connection_never_takes_the_framing_or_the_host_away() {
    let proxy = Proxy::start(&[]);
    for named in [
        "Content-Length",
        "content-length, close",
        "Host",
        "Via",
        "Transfer-Encoding",
    ] {
        let chunked = named == "Transfer-Encoding";
        let (framing, body) = if chunked {
            (
                "Transfer-Encoding: chunked",
                "1A\r\nGET /smuggled HTTP/1.1\r\n\r\n\r\n0\r\n\r\n",
            )
        } else {
            ("Content-Length: 26", "GET /smuggled HTTP/1.1\r\n\r\n")
        };
        let origin = Origin::listen();
        let mut client = Wire::to(&proxy);
        client.send(about(
            origin.address(),
            &format!(
                "POST http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\n{framing}\r\nConnection: {named}\r\n\r\n{body}"
            ),
        ));
        client.finish();
        let host = origin.address().to_string();
        let refused = |head: &Head| head.status() == 400;
        client
            .stream()
            .set_read_timeout(Some(std::time::Duration::from_millis(300)))
            .expect("an option of every socket");
        if client.try_head().is_ok_and(|head| refused(&head)) {
            origin.expect_untouched();
            continue;
        }
        let mut server = Wire::from(&origin, &client);
        let asked = server.request();
        assert_eq!(asked.field("Host"), Some(host.as_str()), "{named}");
        assert_eq!(
            asked.text(),
            "GET /smuggled HTTP/1.1\r\n\r\n",
            "{named}: {}",
            asked.head.text
        );
    }
}

#[test]
fn header_named_in_connection_never_takes_the_framing_of_a_response_away() {
    let proxy = Proxy::start(&[]);
    for (framing, body) in [
        ("Content-Length", "Content-Length: 2\r\n\r\nok"),
        (
            "Transfer-Encoding",
            "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        ),
    ] {
        let mut exchange = Exchange::get(&proxy);
        exchange.server.send(format!(
            "HTTP/1.1 200 OK\r\nConnection: {framing}\r\n{body}"
        ));
        exchange.server.finish();
        let reply = exchange.client.response();
        if reply.status() == 502 {
            continue;
        }
        assert_eq!((reply.status(), reply.text()), (200, "ok"), "{framing}");
        let framed = reply
            .field("Content-Length")
            .or(reply.field("Transfer-Encoding"));
        assert!(
            framed.is_some() || exchange.client.end() == End::Fin,
            "{}",
            reply.head.text
        );
    }
}

#[test]
fn host_that_differs_from_the_absolute_form_target_is_rewritten_from_the_target() {
    let dns = Dns::knows(&[("origin.example.test", &["127.0.0.1"])]);
    let proxy = Proxy::start(&["--resolver", &dns.address()]);
    for host in [
        "h",
        "other.example.test:81",
        "127.0.0.1",
        "ORIGIN",
        "ORIGIN:80",
        "[::1]:80",
    ] {
        let host = host.replace("ORIGIN:80", "origin.example.test:80");
        let exchange = Exchange::begin(
            &proxy,
            &format!("GET http://ORIGIN/ HTTP/1.1\r\nX: y\r\nhost: {host}\r\n\r\n"),
        );
        let wanted = exchange.origin.address().to_string();
        assert_eq!(
            exchange.asked.field("Host"),
            Some(wanted.as_str()),
            "RFC 9112 section 3.2.2"
        );
    }
    let origin = Origin::listen();
    let client = Wire::to(&proxy);
    let port = origin.port();
    client.send(format!(
        "GET http://Origin.Example.test:{port}/a HTTP/1.1\r\nHost: h\r\n\r\n"
    ));
    let asked = Wire::from(&origin, &client).head();
    let host = asked.field("Host").unwrap_or_default().to_lowercase();
    assert_eq!(
        host,
        format!("origin.example.test:{port}"),
        "the name, not its address"
    );
    assert_eq!(asked.start_line(), "GET /a HTTP/1.1");
}

/// The protocols and names in the `Via` fields, in their order.
fn via(head: &Head) -> Vec<String> {
    let values = head.values("Via").into_iter();
    let members = values.flat_map(|value| value.split(','));
    members.map(|member| member.trim().to_owned()).collect()
}

#[test]
fn via_is_added_in_both_directions() {
    let proxy = Proxy::start(&[]);
    let mut exchange = Exchange::get(&proxy);
    let added = via(&exchange.asked);
    assert_eq!(added.len(), 1, "{}", exchange.asked.text);
    assert!(
        added[0].starts_with("1.1 "),
        "RFC 9110 section 7.6.3: {added:?}"
    );
    let reply = exchange.answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(via(&reply), added, "{}", reply.head.text);

    let asked = exchange.again(
        "GET http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\nVia: 1.0 a, 1.1 b\r\nvia: 2 c\r\n\r\n",
    );
    let all = via(&asked);
    assert_eq!(all[..3], ["1.0 a", "1.1 b", "2 c"], "{}", asked.text);
    assert_eq!(all[3..], added[..], "{}", asked.text);
    let reply = exchange.answer("HTTP/1.1 200 OK\r\nVia: 1.1 gate\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(via(&reply)[0], "1.1 gate", "{}", reply.head.text);
    assert_eq!(via(&reply)[1..], added[..], "{}", reply.head.text);

    let mut exchange = Exchange::begin(&proxy, "GET http://ORIGIN/ HTTP/1.0\r\n\r\n");
    let old = via(&exchange.asked);
    assert!(
        old.len() == 1 && old[0].starts_with("1.0 "),
        "the protocol that came: {old:?}"
    );
    let reply = exchange.answer("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n");
    let old = via(&reply);
    assert!(
        old.len() == 1 && old[0].starts_with("1.0 "),
        "the protocol that came: {old:?}"
    );
}

/// Fields in which a proxy may tell of its client.
const TELLING: [&str; 6] = [
    "Forwarded",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Real-IP",
    "Client-IP",
];

#[test]
fn client_address_is_told_to_nobody_by_default() {
    for options in [&[][..], &["--forwarded", "off"]] {
        let proxy = Proxy::start(options);
        let mut exchange = Exchange::get(&proxy);
        for name in TELLING {
            assert_eq!(exchange.asked.field(name), None, "{}", exchange.asked.text);
        }
        exchange.answer(OK);
        let asked = exchange.again(
            "GET http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\nForwarded: for=192.0.2.1\r\n\
             X-Forwarded-For: 192.0.2.2\r\n\r\n",
        );
        assert_eq!(
            asked.field("Forwarded"),
            Some("for=192.0.2.1"),
            "what others said passes"
        );
        assert_eq!(
            asked.field("X-Forwarded-For"),
            Some("192.0.2.2"),
            "what others said passes"
        );
    }
}

/// All members of the fields `name`, in their order.
fn members(head: &Head, name: &str) -> Vec<String> {
    let values = head.values(name).into_iter();
    values
        .flat_map(|value| value.split(','))
        .map(|member| member.trim().to_owned())
        .collect()
}

#[test]
fn client_address_is_told_where_forwarded_says_so() {
    for (value, name, other) in [
        ("forwarded", "Forwarded", "X-Forwarded-For"),
        ("x-forwarded-for", "X-Forwarded-For", "Forwarded"),
    ] {
        let mut listeners = vec![("127.0.0.1:0", "127.0.0.1")];
        if std::net::TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
            listeners.push(("[::1]:0", "::1"));
        }
        for (listen, client_ip) in listeners {
            let proxy = Proxy::start(&["--forwarded", value, "--listen", listen]);
            let mut exchange = Exchange::get(&proxy);
            let told = members(&exchange.asked, name);
            assert_eq!(told.len(), 1, "{}", exchange.asked.text);
            // RFC 7239 section 6: an IPv6 address is quoted and in brackets, and a port may follow.
            let right = match (name, client_ip) {
                ("Forwarded", "::1") => told[0].starts_with("for=\"[::1]"),
                ("Forwarded", _) => {
                    told[0] == "for=127.0.0.1" || told[0].starts_with("for=\"127.0.0.1:")
                }
                _ => told[0] == client_ip,
            };
            assert!(right, "{told:?}");
            assert_eq!(exchange.asked.field(other), None, "{}", exchange.asked.text);
            exchange.answer(OK);
            let asked = exchange.again(&format!(
                "POST http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\n{name}: first\r\nContent-Length: 5\r\n\r\nhello"
            ));
            let all = members(&asked, name);
            assert_eq!(
                all,
                [&["first".to_owned()], &told[..]].concat(),
                "{}",
                asked.text
            );
        }
    }
}

#[test]
fn redirect_30x_is_returned_untouched() {
    let proxy = Proxy::start(&[]);
    let other = Origin::listen();
    let mut exchange = Exchange::get(&proxy);
    for status in [300, 301, 302, 303, 307, 308] {
        let location = format!("http://{}/elsewhere?a=b#c", other.address());
        let reply = exchange.answer(format!(
            "HTTP/1.1 {status} Elsewhere\r\nLocation: {location}\r\nContent-Length: 4\r\n\r\ngone"
        ));
        assert_eq!(reply.status(), status);
        assert_eq!(reply.field("Location"), Some(location.as_str()));
        assert_eq!(reply.text(), "gone");
        other.expect_untouched();
        exchange.again(GET);
    }
}

#[test]
fn fields_pass_with_any_bytes_that_may_stand_in_a_value() {
    let proxy = Proxy::start(&[]);
    let mut exchange = Exchange::get(&proxy);
    exchange.answer(OK);
    let value: Vec<u8> = (0x21..=0xff)
        .filter(|byte| *byte != 0x7f)
        .chain(*b"\t \t.")
        .collect();
    let line = [&b"X-Bytes: \t "[..], &value, b" \t\r\n"].concat();
    let text: String = value.iter().map(|byte| char::from(*byte)).collect();
    let start = about(
        exchange.origin.address(),
        "GET http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\nX-Empty:\r\n",
    );
    exchange
        .client
        .send([start.as_bytes(), &line, b"\r\n"].concat());
    let asked = exchange.server.head();
    assert_eq!(asked.field("X-Bytes"), Some(text.as_str()));
    assert_eq!(asked.field("X-Empty"), Some(""));
    exchange.server.send(
        [
            b"HTTP/1.1 200 \xe9\xff\r\n",
            &line[..],
            b"Content-Length: 0\r\n\r\n",
        ]
        .concat(),
    );
    let reply = exchange.client.response();
    assert_eq!(reply.field("X-Bytes"), Some(text.as_str()));
}

#[test]
fn fields_of_a_request_with_a_body_keep_its_length() {
    let proxy = Proxy::start(&[]);
    let mut exchange = Exchange::begin(
        &proxy,
        &POST.replace("Content-Length: 5", "content-length:   005  "),
    );
    let length = exchange
        .asked
        .field("Content-Length")
        .map(|length| length.trim_start_matches('0').to_owned());
    assert_eq!(length.as_deref(), Some("5"), "{}", exchange.asked.text);
    exchange.client.send("hello");
    assert_eq!(exchange.server.exactly(5), b"hello");
    assert_eq!(exchange.answer(OK).text(), "ok");
}

/// A length and a coding as they may be written, and as they go on.
const WRITTEN: [(&str, &str); 8] = [
    ("Content-Length: 5", "Content-Length: 5"),
    ("Content-Length:5", "Content-Length: 5"),
    ("Content-Length:\t5\t", "Content-Length: 5"),
    ("content-length:  \t 0005 ", "Content-Length: 5"),
    ("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
    ("Transfer-Encoding:chunked\t", "Transfer-Encoding: chunked"),
    ("Transfer-Encoding:\tChunked", "Transfer-Encoding: chunked"),
    (
        "TRANSFER-ENCODING: \t CHUNKED \t",
        "Transfer-Encoding: chunked",
    ),
];

/// Five bytes, as `framing` frames them.
fn five_bytes(framing: &str) -> &'static str {
    if framing.starts_with("Transfer") {
        "5\r\nhello\r\n0\r\n\r\n"
    } else {
        "hello"
    }
}

#[track_caller]
fn expect_line_once(head: &Head, line: &str) {
    let (name, _) = line.split_once(':').expect("a field line");
    assert_eq!(head.values(name).len(), 1, "{:?}", head.text);
    assert!(head.lines().contains(&line), "{line}: {:?}", head.text);
}

#[test]
fn framing_of_a_request_goes_on_in_one_spelling() {
    let proxy = Proxy::start(&[]);
    for (written, expected) in WRITTEN {
        let body = five_bytes(expected);
        let mut exchange = Exchange::begin(
            &proxy,
            &format!(
                "POST http://ORIGIN/ HTTP/1.1\r\nhost:\t ORIGIN\t\r\nX: y\r\n{written}\r\nZ:\ta \r\n\r\n{body}"
            ),
        );
        expect_line_once(&exchange.asked, expected);
        let host = format!("Host: {}", exchange.origin.address());
        expect_line_once(&exchange.asked, &host);
        expect_line_once(&exchange.asked, "Z:\ta ");
        assert_eq!(exchange.server.exactly(body.len()), body.as_bytes());
        assert_eq!(exchange.answer(OK).text(), "ok", "{written:?}");
    }
}

#[test]
fn framing_of_a_response_goes_on_in_one_spelling() {
    let proxy = Proxy::start(&[]);
    for (written, expected) in WRITTEN {
        let mut exchange = Exchange::get(&proxy);
        let head = format!("X: y\r\n{written}\r\nZ:\ta \r\n\r\n");
        let body = five_bytes(expected);
        let reply = exchange.answer(format!("HTTP/1.1 200 OK\r\n{head}{body}"));
        expect_line_once(&reply, expected);
        expect_line_once(&reply, "Z:\ta ");
        assert_eq!(reply.text(), "hello", "{written:?}");
        if expected.starts_with("Transfer") {
            continue;
        }
        // Where it frames nothing, the length goes on all the same.
        for (method, status) in [("HEAD", 200), ("GET", 304)] {
            exchange.again(&format!(
                "{method} http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\n\r\n"
            ));
            exchange
                .server
                .send(format!("HTTP/1.1 {status} X\r\n{head}"));
            expect_line_once(&exchange.client.head(), expected);
        }
    }
}
