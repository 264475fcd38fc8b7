//! The rows about requests that two programs could read differently: answered and closed, and no origin sees a byte.
//! For a body that turns out to be malformed on its way the origin sees an abnormal end, never the malformed bytes.

use crate::support::*;
use crate::{GET, OK, POST_CHUNKED, refused_by_proxy};

/// Sends a POST with `fields`, and asserts that it is refused with one of `statuses`.
#[track_caller]
fn refuses(proxy: &Proxy, origin: &Origin, fields: &str, statuses: &[u16]) {
    for version in ["1.1", "1.0"] {
        let request = format!(
            "POST http://ORIGIN/ HTTP/{version}\r\nHost: ORIGIN\r\n{fields}\r\n\r\nhello{GET}"
        );
        let reply = refused_by_proxy(proxy, origin, &request);
        let said = &reply.head.text;
        assert!(
            statuses.contains(&reply.status()),
            "{version} {fields:?}: {said}"
        );
        assert_eq!(reply.field("Connection"), Some("close"), "{fields:?}");
        reply.head.expect_some_error(reply.status());
    }
}

#[test]
fn content_length_and_transfer_encoding_both_is_400_close() {
    let proxy = Proxy::start(&[]);
    let origin = Origin::listen();
    for fields in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "transfer-encoding:chunked\r\nX: y\r\ncontent-length:0",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\nConnection: Content-Length",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\nConnection: Transfer-Encoding",
        "Content-Length: 5\r\nTransfer-Encoding: identity",
        "Content-Length: 5\r\nTransfer-Encoding:",
    ] {
        refuses(&proxy, &origin, fields, &[400, 501]);
    }
    let both = "Content-Length: 5\r\nTransfer-Encoding: chunked";
    let request = format!("POST http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\n{both}\r\n\r\n");
    assert_eq!(refused_by_proxy(&proxy, &origin, &request).status(), 400);
}

#[test]
fn two_content_lengths_that_differ_or_one_that_is_no_number_is_400_close() {
    let proxy = Proxy::start(&[]);
    let origin = Origin::listen();
    for value in [
        "5\r\nContent-Length: 6",
        "6\r\ncontent-length: 5",
        "5\r\nX: y\r\nContent-Length: 05",
        "5, 6",
        "5,6",
        "",
        " ",
        "+5",
        "-5",
        "-0",
        "5 5",
        "0x5",
        "5.0",
        "5e0",
        "5;",
        "5,",
        ",5",
        "\"5\"",
        "\u{0665}",
        "5\u{b}",
        "9223372036854775808",
        "18446744073709551616",
        "18446744073709551621",
        "99999999999999999999999999999999999999",
        "five",
    ] {
        refuses(&proxy, &origin, &format!("Content-Length: {value}"), &[400]);
    }
}

#[test]
fn two_content_lengths_that_agree_are_400_or_one() {
    let proxy = Proxy::start(&[]);
    for value in ["5\r\nContent-Length: 5", "5, 5"] {
        let origin = Origin::listen();
        let mut client = Wire::to(&proxy);
        let request = format!(
            "POST http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\nContent-Length: {value}\r\n\r\nhello"
        );
        client.send(about(origin.address(), &request));
        client.finish();
        match client.try_head() {
            Ok(head) if head.status() == 400 => origin.expect_untouched(),
            other => {
                let mut server = Wire::from(&origin, &client); // RFC 9110 section 8.6
                let asked = server.head();
                assert_eq!(asked.field("Content-Length"), Some("5"), "{other:?}");
            }
        }
    }
}

#[test]
fn transfer_encoding_other_than_exactly_one_final_chunked_is_501_or_400_close() {
    let proxy = Proxy::start(&[]);
    let origin = Origin::listen();
    for value in [
        "gzip",
        "gzip, chunked",
        "chunked, gzip",
        "chunked, chunked",
        "chunked,",
        ",chunked",
        "chunked, identity",
        "identity",
        "xchunked",
        "chunkedx",
        "chunked;q=1",
        "chunked gzip",
        "\"chunked\"",
        "'chunked'",
        "",
        "\u{b}chunked",
        "chunked\u{b}",
        "\u{a0}chunked",
        "chunked\r\nTransfer-Encoding: chunked",
        "chunked\r\nTransfer-Encoding: identity",
        "identity\r\nTransfer-Encoding: chunked",
        "chunked\0",
    ] {
        refuses(
            &proxy,
            &origin,
            &format!("Transfer-Encoding: {value}"),
            &[400, 501],
        );
    }
}

#[test]
fn transfer_encoding_on_http_1_0_is_501_or_400_close() {
    let proxy = Proxy::start(&[]);
    let origin = Origin::listen();
    for connection in ["", "Connection: keep-alive\r\n"] {
        let request = format!(
            "POST http://ORIGIN/ HTTP/1.0\r\nHost: ORIGIN\r\n{connection}Transfer-Encoding: chunked\r\n\r\n\
             5\r\nhello\r\n0\r\n\r\n"
        );
        let status = refused_by_proxy(&proxy, &origin, &request).status();
        assert!([400, 501].contains(&status), "{status}");
    }
}

/// What a chunked body may not go on with, behind one chunk that is right.
fn malformed_chunks() -> Vec<String> {
    let mut all: Vec<String> = [
        "10000000000000000\r\nhello\r\n0\r\n\r\n",
        "FFFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n",
        "ffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        "00000000000000000000000000000000000000000000000000000000000000000005\r\nhello\r\n0\r\n\r\n",
        "5\r\nhelloX\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello\r0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\rhello\r\n0\r\n\r\n",
        "5;a\nhello\r\n0\r\n\r\n",
        "5;a\rhello\r\n0\r\n\r\n",
        "5;a=\"\n\"\r\nhello\r\n0\r\n\r\n",
        "5;\0\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "5h\r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "5 5\r\nhello\r\n0\r\n\r\n",
        "5,\r\nhello\r\n0\r\n\r\n",
        "5_\r\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        ";a\r\nhello\r\n0\r\n\r\n",
        "\n0\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "0\n\r\n",
        "0\r\n\n",
        "0\r\nX\r\n\r\n",
        "0\r\nX : y\r\n\r\n",
        "0\r\nX: y\n\r\n",
        "0\r\nX: y\r\n folded\r\n\r\n",
        "0\r\n: y\r\n\r\n",
        "0\r\nX: \0\r\n\r\n",
    ]
    .map(str::to_owned)
    .to_vec();
    all.push(format!("5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(70_000)));
    all.push("1;".to_owned() + &"a".repeat(200) + "\r\nX\r\n");
    all.push(format!("0\r\nX: {}\r\n\r\n", "t".repeat(70_000)));
    all.push(format!("0\r\n{}\r\n", "X: y\r\n".repeat(2000)));
    all
}

#[test]
fn chunk_size_overflow_missing_crlf_extension_flood_or_bare_lf_is_400_or_close_never_forwarded_raw()
{
    let proxy = Proxy::start(&[]);
    let start = proxy.footing();
    for malformed in malformed_chunks() {
        // A single small extension is no flood; ten thousand of them are.
        let flood = malformed.starts_with("1;");
        let hostile = malformed.repeat(if flood { 10_000 } else { 1 });
        let what = &hostile[..hostile.len().min(40)];
        let mut exchange = Exchange::begin(&proxy, POST_CHUNKED);
        exchange.client.send("3\r\nabc\r\n");
        assert_eq!(
            exchange
                .server
                .try_chunk()
                .expect("the chunk that is right")
                .1,
            b"abc"
        );
        let sender = exchange
            .client
            .stream()
            .try_clone()
            .expect("a descriptor is left");
        std::thread::scope(|scope| {
            let bytes = hostile.as_bytes();
            // It may have been refused before all was taken.
            scope.spawn(move || std::io::Write::write_all(&mut &sender, bytes).ok());
            let (seen, _) = exchange.server.rest();
            let text = String::from_utf8_lossy(&seen);
            assert!(
                !text.ends_with("0\r\n\r\n") && !text.ends_with("\r\n\r\n"),
                "{what:?} seems whole: {text:?}"
            );
            let raw = [
                "\n0", ";", "folded", "X :", "\0", "GET", "0x5", "000", "FFFF", "-5", "+5", "tttt",
            ];
            assert!(
                !raw.iter().any(|raw| text.contains(raw)),
                "{what:?} was forwarded raw: {text:?}"
            );
            if let Ok(head) = exchange.client.try_head() {
                assert!(
                    [400, 431].contains(&head.status()),
                    "{what:?}: {}",
                    head.text
                );
            }
        });
        exchange.client.rest(); // closed, in whatever way
        exchange.origin.expect_untouched();
    }
    proxy.await_gauges(&start);
}

#[test]
fn chunk_size_overflow_in_the_same_segment_as_the_head_is_400_or_close() {
    let proxy = Proxy::start(&[]);
    for malformed in malformed_chunks() {
        if malformed.starts_with("1;") {
            continue; // that one is malformed only by repetition
        }
        let origin = Origin::listen();
        let mut client = Wire::to(&proxy);
        client.send(about(origin.address(), POST_CHUNKED) + &malformed);
        let what = &malformed[..malformed.len().min(40)];
        if let Ok(head) = client.try_head() {
            assert!(
                [400, 431].contains(&head.status()),
                "{what:?}: {}",
                head.text
            );
            head.expect_some_error(head.status());
        }
        client.rest();
        if let Some(stream) = origin.accept_if_there() {
            let mut server = Wire::new(stream);
            expect_cut_off(server.try_request(), what);
        }
    }
}

#[test]
fn chunk_size_with_leading_zeros_in_either_case_is_a_size() {
    let proxy = Proxy::start(&[]);
    let mut exchange = Exchange::begin(&proxy, POST_CHUNKED);
    let body = "x".repeat(0xab);
    exchange
        .client
        .send(format!("0aB\r\n{body}\r\n00AB\r\n{body}\r\n000\r\n\r\n"));
    let mut seen = Vec::new();
    loop {
        let (_, content) = exchange.server.try_chunk().expect("a chunk");
        if content.is_empty() {
            break;
        }
        seen.extend(content);
    }
    assert_eq!(seen, body.repeat(2).as_bytes());
    assert_eq!(exchange.server.try_line().expect("the end"), "");
    assert_eq!(exchange.answer(OK).text(), "ok");
}

#[test]
fn space_before_colon_obs_fold_bare_lf_or_cr_nul_control_bytes_or_empty_name_is_400_close() {
    let proxy = Proxy::start(&[]);
    let origin = Origin::listen();
    for request in [
        "GET U HTTP/1.1\nHost: ORIGIN\n\n",
        "GET U HTTP/1.1\r\nHost: ORIGIN\n\r\n",
        "GET U HTTP/1.1\r\nHost: ORIGIN\r\n\n",
        "GET U HTTP/1.1\nHost: ORIGIN\r\n\r\n",
        "GET U HTTP/1.1\rHost: ORIGIN\r\r",
        "GET U HTTP/1.1\r\nHost: ORIGIN\r\nX: a\rb\r\n\r\n",
        "GET U HTTP/1.1\r\nHost: ORIGIN\r\nX: a\r\r\n\r\n",
        "GET U HTTP/1.1\r\nHost: ORIGIN\r\nX: a\nContent-Length: 5\r\n\r\n",
        "GET U HTTP/1.1\r\nHost: ORIGIN\r\nX: a\0b\r\n\r\n",
        "GET U HTTP/1.1\r\nHost: ORIGIN\r\nX: a\x01b\r\n\r\n",
        "GET U HTTP/1.1\r\nHost: ORIGIN\r\nX: a\x0bb\r\n\r\n",
        "GET U HTTP/1.1\r\nHost: ORIGIN\r\nX: a\x7fb\r\n\r\n",
        "GET U HTTP/1.1\r\nHost: ORIGIN\r\nX : y\r\n\r\n",
        "GET U HTTP/1.1\r\nHost: ORIGIN\r\nX\t: y\r\n\r\n",
        "POST U HTTP/1.1\r\nHost: ORIGIN\r\nContent-Length : 5\r\n\r\nhello",
        "POST U HTTP/1.1\r\nHost: ORIGIN\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        "POST U HTTP/1.1\r\nHost: ORIGIN\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET U HTTP/1.1\r\nHost: ORIGIN\r\nX: y\r\n z\r\n\r\n",
        "GET U HTTP/1.1\r\nHost: ORIGIN\r\nX: y\r\n\tz\r\n\r\n",
        "GET U HTTP/1.1\r\n X: y\r\nHost: ORIGIN\r\n\r\n",
        "GET U HTTP/1.1\r\nHost: ORIGIN\r\n: y\r\n\r\n",
        "GET U HTTP/1.1\r\nHost: ORIGIN\r\n:\r\n\r\n",
        "GET U HTTP/1.1\r\nHost: ORIGIN\r\nno colon\r\n\r\n",
        "GET U HTTP/1.1\r\nHost: ORIGIN\r\nX\0: y\r\n\r\n",
        "GET U HTTP/1.1\r\nHost: ORIGIN\r\nX\u{e9}: y\r\n\r\n",
        "GET U HTTP/1.1\r\nHost: ORIGIN\r\nX(y): z\r\n\r\n",
        "GET U HTTP/1.1\r\nHost: ORIGIN\r\n\"X\": y\r\n\r\n",
        "GET  U HTTP/1.1\r\nHost: ORIGIN\r\n\r\n",
        "GET U  HTTP/1.1\r\nHost: ORIGIN\r\n\r\n",
        " GET U HTTP/1.1\r\nHost: ORIGIN\r\n\r\n",
        "GET\tU\tHTTP/1.1\r\nHost: ORIGIN\r\n\r\n",
        "GET U HTTP/1.1 \r\nHost: ORIGIN\r\n\r\n",
        "GET U\r\nHost: ORIGIN\r\n\r\n",
        "G(T U HTTP/1.1\r\nHost: ORIGIN\r\n\r\n",
        "G\0T U HTTP/1.1\r\nHost: ORIGIN\r\n\r\n",
    ] {
        let reply = refused_by_proxy(&proxy, &origin, &request.replace(" U", " http://ORIGIN/"));
        assert_eq!(reply.status(), 400, "{request:?}: {}", reply.head.text);
    }
}

#[test]
fn missing_or_double_host_is_400() {
    let proxy = Proxy::start(&[]);
    let origin = Origin::listen();
    for fields in [
        "",
        "X: y\r\n",
        "Host: ORIGIN\r\nHost: ORIGIN\r\n",
        "Host: ORIGIN\r\nhost: h\r\n",
        "Host: h h\r\n",
        "Host: h, h\r\n",
        "Host: http://ORIGIN\r\n",
        "Host: u@ORIGIN\r\n",
        "Host: ORIGIN/\r\n",
        "Host: h:x\r\n",
        "Host: [::1\r\n",
    ] {
        let request = format!("GET http://ORIGIN/ HTTP/1.1\r\n{fields}\r\n");
        let reply = refused_by_proxy(&proxy, &origin, &request);
        assert_eq!(reply.status(), 400, "{fields:?}: {}", reply.head.text);
    }
    let exchange = Exchange::begin(&proxy, "GET http://ORIGIN/ HTTP/1.0\r\n\r\n");
    let host = exchange.origin.address().to_string();
    assert_eq!(
        exchange.asked.field("Host"),
        Some(host.as_str()),
        "HTTP/1.0 needs none"
    );
}

#[test]
fn trace_with_a_body_is_400_close() {
    let proxy = Proxy::start(&[]);
    let origin = Origin::listen();
    for framed in [
        "Content-Length: 5\r\n\r\nhello",
        "Content-Length: 5\r\nMax-Forwards: 3\r\n\r\n",
        "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        let request = format!("TRACE http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\n{framed}");
        let reply = refused_by_proxy(&proxy, &origin, &request);
        reply.head.expect_some_error(400); // RFC 9110 section 9.3.8
        assert_eq!(reply.field("Connection"), Some("close"), "{framed:?}");
    }
    // Without one it goes on, also when it says that there is none.
    for framed in ["\r\n", "Content-Length: 0\r\n\r\n"] {
        let request = format!("TRACE http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\n{framed}");
        let mut exchange = Exchange::begin(&proxy, &request);
        assert_eq!(exchange.asked.start_line(), "TRACE / HTTP/1.1");
        assert_eq!(exchange.answer(OK).text(), "ok");
    }
}
