//! The rows about heads: one byte at a time, too slow, too long, and what is no CONNECT at all.

use std::fmt::Write as _;
use std::io::{ErrorKind, Write};
use std::time::{Duration, Instant};

use crate::support::*;

/// Bytes of a head, its empty line included.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Fields of a head.
const HEAD_FIELDS_MAX: usize = 100;

/// A head for `target` with fields that fill it up to `length` bytes.
fn head_of(target: impl std::fmt::Display, length: usize) -> Vec<u8> {
    let mut text = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
    let field = "X-Filler: ";
    while length - text.len() > 3000 {
        let _ = write!(text, "{field}{}\r\n", "f".repeat(1000));
    }
    let left = length - text.len() - field.len() - "\r\n\r\n".len();
    let _ = write!(text, "{field}{}\r\n\r\n", "f".repeat(left));
    assert_eq!(text.len(), length);
    text.into_bytes()
}

fn head_with_fields(target: impl std::fmt::Display, fields: usize) -> Vec<u8> {
    let mut text = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
    (1..fields).for_each(|number| write!(text, "X-{number}: y\r\n").expect("a string takes all"));
    (text + "\r\n").into_bytes()
}

#[test]
fn head_one_byte_at_a_time_works() {
    for options in [&[][..], &["--buffers", "1", "--buffer-size", "512"]] {
        let proxy = Proxy::start(options);
        let origin = Origin::listen();
        let mut client = connect(&proxy);
        for byte in head(origin.address()) {
            client.write_all(&[byte]).expect("the proxy takes a byte");
        }
        assert_eq!(read_reply(&client).status, 200);
        let server = origin.accept();
        ping(&client, &server, b"up");
        ping(&server, &client, b"down");
    }
}

#[test]
fn head_one_byte_at_a_time_costs_cpu_in_proportion_to_its_bytes() {
    let proxy = Proxy::start(&[]);
    let origin = Origin::listen();
    let bytes = head_of(origin.address(), HEAD_BYTES_MAX);
    let before = proxy.process().cpu();
    let mut client = connect(&proxy);
    for byte in bytes {
        client.write_all(&[byte]).expect("the proxy takes a byte");
    }
    assert_eq!(read_reply(&client).status, 200);
    let cost = proxy.process().cpu() - before;
    // A system call and a wake-up for each of 32,768 bytes is well under a second; parsing anew from the start each
    // time would be 512 MiB of parsing, and take a debug build ten times as long.
    assert!(cost < Duration::from_secs(5), "{cost:?}");
}

#[test]
fn head_timeout_bounds_it_with_408() {
    let proxy = Proxy::start(&["--head-timeout", "400ms"]);
    for part in [
        "C",
        "CONNECT 127.0.0.1:1 HTTP/1.1\r\n",
        "CONNECT 127.0.0.1:1 HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r",
    ] {
        let start = Instant::now();
        let reply = ask(&proxy, part.as_bytes());
        assert_eq!(reply.status, 408, "{part:?}: {}", reply.head);
        let took = start.elapsed();
        assert!(
            took >= Duration::from_millis(350) && took < Duration::from_secs(5),
            "{took:?}"
        );
    }
}

#[test]
fn head_timeout_is_not_put_off_by_bytes_that_trickle_in() {
    let proxy = Proxy::start(&["--head-timeout", "400ms"]);
    let mut client = connect(&proxy);
    client
        .write_all(b"CONNECT 127.0.0.1:1 HTTP/1.1\r\nX-Slow: ")
        .expect("the proxy takes a part of the head");
    client
        .set_read_timeout(Some(Duration::from_millis(50)))
        .expect("an option of every socket");
    let start = Instant::now();
    while let Err(error) = client.peek(&mut [0; 1]) {
        assert!(
            matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
            "{error}"
        );
        assert!(
            start.elapsed() < Duration::from_secs(5),
            "a byte each 50 ms keeps the connection for ever"
        );
        let _ = client.write_all(b"s"); // an error shows in what is read next
    }
    assert_eq!(read_reply(&client).status, 408);
}

#[test]
fn head_timeout_ends_a_client_that_says_nothing() {
    let proxy = Proxy::start(&["--head-timeout", "400ms"]);
    let client = connect(&proxy);
    let start = Instant::now();
    let (bytes, end) = read_until_end(&client);
    assert_eq!(end, End::Fin);
    assert!(
        bytes.is_empty() || bytes.starts_with(b"HTTP/1.1 408 "),
        "{:?}",
        String::from_utf8_lossy(&bytes)
    );
    let took = start.elapsed();
    assert!(
        took >= Duration::from_millis(350) && took < Duration::from_secs(5),
        "{took:?}"
    );
}

#[test]
fn head_that_ends_in_fin_is_closed_at_once() {
    let proxy = Proxy::start(&[]);
    let start = proxy.footing();
    for part in ["", "CONNECT 127.0.0.1:1 HTTP/1.1\r\nHost"] {
        let mut client = connect(&proxy);
        client
            .write_all(part.as_bytes())
            .expect("the proxy takes a part of the head");
        client
            .shutdown(std::net::Shutdown::Write)
            .expect("the connection stands");
        let asked = Instant::now();
        let (bytes, end) = read_until_end(&client);
        assert_eq!(end, End::Fin);
        assert!(
            bytes.is_empty() || bytes.starts_with(b"HTTP/1.1 400 "),
            "{:?}",
            String::from_utf8_lossy(&bytes)
        );
        assert!(
            asked.elapsed() < Duration::from_secs(3),
            "it waited for a head that cannot come"
        );
    }
    proxy.await_gauges(&start);
}

#[test]
fn head_as_long_as_it_may_be_is_taken() {
    for options in [
        &[][..],
        &["--buffer-size", "512", "--buffers", "2"],
        &["--buffer-size", "65536"],
    ] {
        let proxy = Proxy::start(options);
        let origin = Origin::listen();
        for bytes in [
            head_of(origin.address(), HEAD_BYTES_MAX),
            head_of(origin.address(), HEAD_BYTES_MAX - 1),
            head_with_fields(origin.address(), HEAD_FIELDS_MAX),
        ] {
            let mut client = connect(&proxy);
            client
                .write_all(&[bytes, b"payload".to_vec()].concat())
                .expect("the proxy takes the head");
            assert_eq!(read_reply(&client).status, 200);
            assert_eq!(read_exactly(&origin.accept(), 7), b"payload");
        }
    }
}

#[test]
fn head_over_the_limit_is_431_too_many_headers_431_target_too_long_414_close() {
    for options in [
        &[][..],
        &["--buffer-size", "512", "--buffers", "2"],
        &["--buffer-size", "65536"],
    ] {
        let proxy = Proxy::start(options);
        let origin = Origin::listen();
        let target = origin.address();
        let one_field = format!(
            "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nX: {}",
            "x".repeat(40_000)
        );
        let long_target = format!(
            "CONNECT {}:80 HTTP/1.1\r\nHost: h\r\n\r\n",
            "h".repeat(9000)
        );
        let endless_target = format!("CONNECT {}", "h".repeat(20_000));
        let cases = [
            (431, head_of(target, HEAD_BYTES_MAX + 1)),
            (431, head_of(target, HEAD_BYTES_MAX + 4000)),
            (431, one_field.into_bytes()),
            (431, head_with_fields(target, HEAD_FIELDS_MAX + 1)),
            (431, head_with_fields(target, 2000)),
            (414, long_target.into_bytes()),
            (414, endless_target.into_bytes()),
        ];
        for (status, request) in cases {
            let reply = ask(&proxy, &request);
            let start = String::from_utf8_lossy(&request[..60]);
            assert_eq!(
                reply.status,
                status,
                "{} bytes, {start}: {}",
                request.len(),
                reply.head
            );
        }
        origin.expect_untouched();
    }
}

#[test]
fn head_that_is_ambiguous_is_400_close() {
    let proxy = Proxy::start(&[]);
    let origin = Origin::listen();
    let target = origin.address();
    let heads = [
        "CONNECT T HTTP/1.1\nHost: T\n\n", // bare LF
        "CONNECT T HTTP/1.1\r\nHost: T\n\r\n",
        "CONNECT T HTTP/1.1\rHost: T\r\r", // bare CR
        "CONNECT T HTTP/1.1\r\nHost: T\r\nX: a\rb\r\n\r\n", // bare CR in a value
        "CONNECT T HTTP/1.1\r\nHost: T\r\nX: a\0b\r\n\r\n", // NUL
        "CONNECT T HTTP/1.1\r\nHost: T\r\nX: a\x07b\r\n\r\n", // a control byte
        "CONNECT T HTTP/1.1\r\nHost: T\r\nX : y\r\n\r\n", // space before the colon
        "CONNECT T HTTP/1.1\r\nHost: T\r\nX: y\r\n z\r\n\r\n", // obs-fold
        "CONNECT T HTTP/1.1\r\n X: y\r\nHost: T\r\n\r\n", // folded onto nothing
        "CONNECT T HTTP/1.1\r\nHost: T\r\n: y\r\n\r\n", // no name
        "CONNECT T HTTP/1.1\r\nHost: T\r\nno colon\r\n\r\n",
        "CONNECT T HTTP/1.1\r\nHost: T\r\nX\u{e9}: y\r\n\r\n",
        "CONNECT  T HTTP/1.1\r\nHost: T\r\n\r\n", // two spaces
        "CONNECT T  HTTP/1.1\r\nHost: T\r\n\r\n",
        "CONNECT\tT\tHTTP/1.1\r\nHost: T\r\n\r\n",
        "CONNECT T HTTP/1.1 \r\nHost: T\r\n\r\n",
        "CONNECT T http/1.1\r\nHost: T\r\n\r\n",
        "CONNECT T HTTP/1.11\r\nHost: T\r\n\r\n",
        "CONNECT T\r\n\r\n",
    ];
    for text in heads {
        let reply = ask(&proxy, text.replace('T', &target.to_string()).as_bytes());
        assert_eq!(reply.status, 400, "{text:?}: {}", reply.head);
    }
    origin.expect_untouched();
}

/// What other programs say first, and what no program says.
fn other_protocols() -> Vec<(&'static str, Vec<u8>)> {
    let mut hello = vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    hello.resize(517, 0x5a);
    vec![
        ("TLS ClientHello", hello),
        ("TLS ClientHello, its first byte", vec![0x16]),
        (
            "HTTP/2 preface",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec(),
        ),
        ("SOCKS4", b"\x04\x01\x00\x50\x7f\x00\x00\x01\x00".to_vec()),
        ("SOCKS5", b"\x05\x01\x00".to_vec()),
        (
            "PROXY protocol 2",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x01\0\x50\0\x50".to_vec(),
        ),
        ("SSH", b"SSH-2.0-OpenSSH_9.9\r\n".to_vec()),
        ("zeros", vec![0; 2000]),
        ("high bytes", vec![0xff; 2000]),
        ("no spaces", b"GARBAGE\r\n\r\n".to_vec()),
        ("random", Content::new(99).bytes(60_000)),
    ]
}

#[test]
fn other_protocols_on_the_port_are_answered_or_closed_cleanly_and_soon() {
    let proxy = Proxy::start(&[]);
    let start = proxy.footing();
    for (what, bytes) in other_protocols() {
        let asked = Instant::now();
        let mut client = connect(&proxy);
        let _ = client.write_all(&bytes); // it may have heard enough before the end
        let (answer, end) = read_until_end(&client);
        let status = answer.get(..13).unwrap_or_default();
        assert!(
            asked.elapsed() < Duration::from_secs(3),
            "{what}: it took {:?}",
            asked.elapsed()
        );
        assert_eq!(end, End::Fin, "{what}");
        let clean = status.is_empty()
            || [&b"HTTP/1.1 400 "[..], b"HTTP/1.1 505 ", b"HTTP/1.1 501 "].contains(&status);
        assert!(clean, "{what}: {:?}", String::from_utf8_lossy(&answer));
    }
    proxy.await_gauges(&start);
}

#[test]
fn other_methods_and_origin_form_are_answered_with_an_error_and_close() {
    let proxy = Proxy::start(&[]);
    let requests = [
        "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /index.html HTTP/1.0\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
        "GET https://127.0.0.1:1/ HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n",
        "connect 127.0.0.1:1 HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n",
    ];
    for request in requests {
        let reply = ask(&proxy, request.as_bytes());
        assert!(
            [400, 501].contains(&reply.status),
            "{request:?}: {}",
            reply.head
        );
    }
    let upload = [
        &b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 60000\r\n\r\n"[..],
        &[b'x'; 60_000],
    ]
    .concat();
    assert!([400, 501].contains(&ask(&proxy, &upload).status));
}
