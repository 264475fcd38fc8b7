//! The heads that go on.

use super::{request, response};
use crate::limits::{CONNECTION_OPTIONS_MAX, HEAD_FIELDS_MAX};
use crate::proto::http1::ConnectionField::{Close, KeepAlive, Silent, Upgrade};
use crate::proto::http1::{
    ConnectionField, Framing, RequestRewrite, ResponseRewrite, TargetForm, rewrite_request,
    rewrite_response, target_form,
};

/// What becomes of a request for an `http` URI.
fn sent_with(head: &str, upgrade: bool, close: bool, extra: &str) -> String {
    let head = head.as_bytes();
    let request = request::parsed(head);
    let Ok(TargetForm::Http(target)) = target_form(&request, head) else {
        panic!("{}", head.escape_ascii());
    };
    let rewrite = RequestRewrite {
        target: &target,
        upgrade,
        close,
        extra: extra.as_bytes(),
    };
    let mut out = b"before".to_vec();
    rewrite_request(&request, head, &rewrite, &mut out);
    let out = String::from_utf8(out).unwrap();
    out.strip_prefix("before").unwrap().to_owned()
}

fn sent(head: &str) -> String {
    sent_with(head, false, false, "")
}

/// What becomes of a response.
fn answered(head: &str, framing: Framing, connection: ConnectionField) -> String {
    let head = head.as_bytes();
    let rewrite = ResponseRewrite {
        framing,
        connection,
    };
    let mut out = b"before".to_vec();
    rewrite_response(&response::parsed(head), head, &rewrite, &mut out);
    let out = String::from_utf8(out).unwrap();
    out.strip_prefix("before").unwrap().to_owned()
}

#[test]
fn a_request_goes_on() {
    assert_eq!(
        sent(
            "GET http://h:8080/p?q HTTP/1.1\r\nHost: h:8080\r\nUser-Agent: curl/8\r\nAccept: */*\r\n\
             Proxy-Connection: Keep-Alive\r\nProxy-Authorization: Basic Zm9v\r\nX:  y \r\n\r\n"
        ),
        "GET /p?q HTTP/1.1\r\nHost: h:8080\r\nUser-Agent: curl/8\r\nAccept: */*\r\nX:  y \r\n\
         Via: 1.1 ringway\r\n\r\n"
    );
}

#[test]
fn request_lines_are_in_origin_form() {
    for (line, expected) in [
        ("GET http://h/ HTTP/1.1", "GET / HTTP/1.1"),
        ("GET http://h HTTP/1.1", "GET / HTTP/1.1"),
        ("GET http://h?q HTTP/1.1", "GET /?q HTTP/1.1"),
        ("GET http://h? HTTP/1.1", "GET /? HTTP/1.1"),
        ("GET http://h//x HTTP/1.1", "GET //x HTTP/1.1"),
        ("OPTIONS http://h HTTP/1.1", "OPTIONS * HTTP/1.1"),
        ("OPTIONS http://h/ HTTP/1.1", "OPTIONS / HTTP/1.1"),
        ("OPTIONS http://h?q HTTP/1.1", "OPTIONS /?q HTTP/1.1"),
        ("POST http://h/x HTTP/1.0", "POST /x HTTP/1.1"),
        ("POST http://h HTTP/1.0", "POST / HTTP/1.1"),
        ("OPTIONS http://h HTTP/1.0", "OPTIONS * HTTP/1.1"),
        (
            "M-SEARCH http://h:1/%20|{} HTTP/1.1",
            "M-SEARCH /%20|{} HTTP/1.1",
        ),
    ] {
        for empty_line in ["", "\r\n"] {
            let host = line.split(['/', '?', ' ']).nth(3).unwrap();
            let out = sent(&format!(
                "{empty_line}{line}\r\nHost: {host}\r\nX: y\r\n\r\n"
            ));
            let via = &line[line.len() - 3..];
            let expected =
                format!("{expected}\r\nHost: {host}\r\nX: y\r\nVia: {via} ringway\r\n\r\n");
            assert_eq!(out, expected, "{line}");
        }
    }
}

#[test]
fn host_comes_from_the_target_once() {
    for (version, before, after) in [
        (
            "1.1",
            "Host: h:8080\r\nX: y\r\n",
            "Host: h:8080\r\nX: y\r\n",
        ),
        (
            "1.1",
            "host:\th:8080 \r\nX: y\r\n",
            "Host: h:8080\r\nX: y\r\n",
        ),
        (
            "1.1",
            "X: y\r\nHost: evil\r\nZ: a\r\n",
            "X: y\r\nHost: h:8080\r\nZ: a\r\n",
        ),
        ("1.1", "X: y\r\nHost:\r\n", "X: y\r\nHost: h:8080\r\n"),
        ("1.1", "HOST: h\r\n", "Host: h:8080\r\n"),
        ("1.1", "Host: H:8080\r\n", "Host: h:8080\r\n"),
        ("1.0", "X: y\r\n", "Host: h:8080\r\nX: y\r\n"),
        ("1.0", "", "Host: h:8080\r\n"),
        ("1.0", "X: y\r\nHost: z\r\n", "X: y\r\nHost: h:8080\r\n"),
        ("1.0", "TE: x\r\nX: y\r\n", "Host: h:8080\r\nX: y\r\n"),
    ] {
        let out = sent(&format!(
            "GET http://h:8080/ HTTP/{version}\r\n{before}\r\n"
        ));
        let expected = format!("GET / HTTP/1.1\r\n{after}Via: {version} ringway\r\n\r\n");
        assert_eq!(out, expected, "{before}");
    }
}

/// Fields of a request, and what is left of them.
const REQUEST_FIELDS: &[(&str, &str)] = &[
    ("Connection: close\r\n", ""),
    ("connection:\r\n", ""),
    ("Keep-Alive: timeout=5\r\nTE: trailers\r\n", ""),
    ("Proxy-Connection: close\r\nPROXY-AUTHORIZATION: x\r\n", ""),
    (
        "Proxy-Authenticate: x\r\nProxy-Authentication-Info: y\r\n",
        "",
    ),
    ("Upgrade: websocket\r\nConnection: upgrade\r\n", ""),
    ("A: b\r\nUpgrade: h2c\r\nC: d\r\n", "A: b\r\nC: d\r\n"),
    // What Connection names goes, wherever it stands and however it is written.
    (
        "X-Hop: 1\r\nConnection: x-hop\r\nx-HOP: 2\r\nY: z\r\n",
        "Y: z\r\n",
    ),
    (
        "Connection: close , X-Hop,,\ty\r\nA: b\r\nX-Hop: 1\r\nY: 2\r\n",
        "A: b\r\n",
    ),
    (
        "Connection: a\r\nA: 1\r\nB: 2\r\nC: 3\r\nConnection: c\r\n",
        "B: 2\r\n",
    ),
    (
        "Connection: accept\r\nAccept: x\r\nAccept-Language: y\r\n",
        "Accept-Language: y\r\n",
    ),
    ("Connection: none\r\nA: b\r\n", "A: b\r\n"),
    (
        "Connection: Authorization\r\nAuthorization: x\r\nCookie: y\r\n",
        "Cookie: y\r\n",
    ),
    // These pass as they are.
    (
        "Content-Length: 5\r\nExpect: 100-continue\r\n",
        "Content-Length: 5\r\nExpect: 100-continue\r\n",
    ),
    (
        "Transfer-Encoding: chunked\r\nTrailer: X\r\n",
        "Transfer-Encoding: chunked\r\nTrailer: X\r\n",
    ),
    // These pass in one spelling.
    (
        "transfer-encoding:\tChunked \r\nTrailer: X\r\n",
        "Transfer-Encoding: chunked\r\nTrailer: X\r\n",
    ),
    (
        "A: b\r\ncontent-length:\t 0005\t\r\nX:\ty \r\n",
        "A: b\r\nContent-Length: 5\r\nX:\ty \r\n",
    ),
    ("Content-Length:00\r\n", "Content-Length: 0\r\n"),
    ("Content-Length: 10\r\n", "Content-Length: 10\r\n"),
    // These pass as they are.
    (
        "Via: 1.0 a\r\nForwarded: for=b\r\n",
        "Via: 1.0 a\r\nForwarded: for=b\r\n",
    ),
    (
        "X-Forwarded-For: c\r\nAuthorization: d\r\n",
        "X-Forwarded-For: c\r\nAuthorization: d\r\n",
    ),
    (
        "Sec-WebSocket-Key: x\r\nMax-Forwards: 5\r\n",
        "Sec-WebSocket-Key: x\r\nMax-Forwards: 5\r\n",
    ),
    ("Empty:\r\nX:\t\u{fc}\t\r\n", "Empty:\r\nX:\t\u{fc}\t\r\n"),
    (
        "Connections: x\r\nTEs: y\r\nT: z\r\n",
        "Connections: x\r\nTEs: y\r\nT: z\r\n",
    ),
];

#[test]
fn fields_of_one_hop_stay_behind() {
    for (before, after) in REQUEST_FIELDS {
        for (first, last) in [("Host: h\r\n", ""), ("", "Host: h\r\n")] {
            let out = sent(&format!(
                "POST http://h/ HTTP/1.1\r\n{first}{before}{last}\r\n"
            ));
            let expected =
                format!("POST / HTTP/1.1\r\n{first}{after}{last}Via: 1.1 ringway\r\n\r\n");
            assert_eq!(out, expected, "{before}");
        }
    }
}

#[test]
fn as_many_fields_as_connection_may_name_stay_behind() {
    let names: Vec<String> = (0..CONNECTION_OPTIONS_MAX)
        .map(|n| format!("x{n}"))
        .collect();
    let fields: String = names.iter().map(|name| format!("{name}: y\r\n")).collect();
    let named = names.join(",");
    let out = sent(&format!(
        "GET http://h/ HTTP/1.1\r\nHost: h\r\n{fields}Connection: {named}\r\n\r\n"
    ));
    assert_eq!(out, "GET / HTTP/1.1\r\nHost: h\r\nVia: 1.1 ringway\r\n\r\n");
    // What names nothing takes no room from what does.
    let idle = ", close,TE,,keep-alive,".repeat(CONNECTION_OPTIONS_MAX);
    let out = sent(&format!(
        "GET http://h/ HTTP/1.1\r\nHost: h\r\n{fields}Connection: {idle}{named}\r\n\r\n"
    ));
    assert_eq!(out, "GET / HTTP/1.1\r\nHost: h\r\nVia: 1.1 ringway\r\n\r\n");
}

#[test]
fn forwards_are_counted_down() {
    for (method, before, after) in [
        (
            "OPTIONS",
            "Max-Forwards: 5\r\nX: y\r\n",
            "Max-Forwards: 4\r\nX: y\r\n",
        ),
        (
            "TRACE",
            "X: y\r\nmax-forwards: 010\r\n",
            "X: y\r\nMax-Forwards: 9\r\n",
        ),
        ("TRACE", "Max-Forwards: 0\r\n", "Max-Forwards: 0\r\n"),
        ("GET", "Max-Forwards: 5\r\n", "Max-Forwards: 5\r\n"),
        (
            "OPTIONS",
            "Max-Forwards: 99999999999999999999999\r\n",
            "Max-Forwards: 18446744073709551614\r\n",
        ),
    ] {
        let out = sent(&format!(
            "{method} http://h/ HTTP/1.1\r\nHost: h\r\n{before}\r\n"
        ));
        let expected = format!("{method} / HTTP/1.1\r\nHost: h\r\n{after}Via: 1.1 ringway\r\n\r\n");
        assert_eq!(out, expected, "{method}");
    }
}

#[test]
fn what_is_asked_for_is_added() {
    let head = "GET http://h/ HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade, X\r\n\
        Upgrade: websocket\r\nX: y\r\nVia: 1.0 a\r\nZ: b\r\n\r\n";
    let start = "GET / HTTP/1.1\r\nHost: h\r\n";
    for (upgrade, close, extra, expected) in [
        (false, false, "", "Via: 1.0 a\r\nZ: b\r\n"),
        (
            false,
            true,
            "",
            "Via: 1.0 a\r\nZ: b\r\nConnection: close\r\n",
        ),
        (
            true,
            false,
            "",
            "Upgrade: websocket\r\nVia: 1.0 a\r\nZ: b\r\nConnection: Upgrade\r\n",
        ),
        (
            true,
            true,
            "F: 1\r\nG: 2\r\n",
            "Upgrade: websocket\r\nVia: 1.0 a\r\nZ: b\r\nF: 1\r\nG: 2\r\nConnection: Upgrade\r\n",
        ),
        (
            false,
            true,
            "F: 1\r\n",
            "Via: 1.0 a\r\nZ: b\r\nF: 1\r\nConnection: close\r\n",
        ),
    ] {
        let out = sent_with(head, upgrade, close, extra);
        assert_eq!(out, format!("{start}{expected}Via: 1.1 ringway\r\n\r\n"));
    }
}

#[test]
fn a_response_goes_on() {
    let out = answered(
        "HTTP/1.1 200 OK\r\nDate: x\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\n\
         Content-Length: 2\r\nContent-Type: text/plain\r\n\r\n",
        Framing::Length(2),
        Silent,
    );
    let expected = "HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\
        Via: 1.1 ringway\r\n\r\n";
    assert_eq!(out, expected);
}

#[test]
fn status_lines_say_our_version() {
    for (line, expected) in [
        ("HTTP/1.1 200 OK", "HTTP/1.1 200 OK"),
        ("HTTP/1.0 200 OK", "HTTP/1.1 200 OK"),
        ("HTTP/1.0 404 ", "HTTP/1.1 404 "),
        ("HTTP/1.1 404", "HTTP/1.1 404 "),
        ("HTTP/1.0 404", "HTTP/1.1 404 "),
        ("HTTP/1.1 599  a  \u{fc} ", "HTTP/1.1 599  a  \u{fc} "),
    ] {
        for (before, after) in [("", ""), ("X: y\r\nTE: z\r\n", "X: y\r\n")] {
            let out = answered(
                &format!("{line}\r\n{before}\r\n"),
                Framing::UntilClose,
                Silent,
            );
            let via = &line["HTTP/".len()..][..3];
            assert_eq!(
                out,
                format!("{expected}\r\n{after}Via: {via} ringway\r\n\r\n")
            );
        }
    }
}

/// Status, fields, the framing of what goes on, what Connection says, and what is left and added.
const RESPONSE_FIELDS: &[(u16, &str, Framing, ConnectionField, &str)] = &[
    (
        200,
        "Connection: close\r\nTE: x\r\nProxy-Connection: y\r\n",
        Framing::UntilClose,
        Silent,
        "",
    ),
    (
        407,
        "Proxy-Authenticate: x\r\nKeep-Alive: y\r\n",
        Framing::Length(0),
        Silent,
        "",
    ),
    (
        200,
        "Proxy-Authentication-Info: x\r\nA: b\r\n",
        Framing::Length(0),
        Silent,
        "A: b\r\n",
    ),
    (
        200,
        "WWW-Authenticate: x\r\n",
        Framing::Length(0),
        Silent,
        "WWW-Authenticate: x\r\n",
    ),
    (
        200,
        "Authentication-Info: x\r\n",
        Framing::Length(0),
        Silent,
        "Authentication-Info: x\r\n",
    ),
    (
        200,
        "X-Hop: 1\r\nConnection: X-Hop\r\nA: b\r\n",
        Framing::Length(0),
        Silent,
        "A: b\r\n",
    ),
    (
        200,
        "Upgrade: h2c\r\nConnection: Upgrade\r\n",
        Framing::Length(0),
        Silent,
        "",
    ),
    (
        101,
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n",
        Framing::None,
        Upgrade,
        "Upgrade: websocket\r\nSec-WebSocket-Accept: x\r\nConnection: Upgrade\r\n",
    ),
    (
        200,
        "Content-Length: 5\r\n",
        Framing::Length(5),
        Close,
        "Content-Length: 5\r\nConnection: close\r\n",
    ),
    (
        200,
        "Content-Length: 5\r\n",
        Framing::Length(5),
        KeepAlive,
        "Content-Length: 5\r\nConnection: keep-alive\r\n",
    ),
    (
        200,
        "Transfer-Encoding: chunked\r\nA: b\r\n",
        Framing::Chunked,
        Silent,
        "Transfer-Encoding: chunked\r\nA: b\r\n",
    ),
    (
        200,
        "Transfer-Encoding: chunked\r\nConnection: Transfer-Encoding\r\n",
        Framing::Chunked,
        Silent,
        "Transfer-Encoding: chunked\r\n",
    ),
    (
        200,
        "A: b\r\n",
        Framing::Chunked,
        Silent,
        "A: b\r\nTransfer-Encoding: chunked\r\n",
    ),
    (
        200,
        "A: b\r\n",
        Framing::UntilClose,
        Close,
        "A: b\r\nConnection: close\r\n",
    ),
    // Decoded, for a client that knows no chunks.
    (
        200,
        "Transfer-Encoding: chunked\r\nA: b\r\n",
        Framing::UntilClose,
        Close,
        "A: b\r\nConnection: close\r\n",
    ),
    (
        200,
        "A: b\r\ntransfer-encoding:CHUNKED\t\r\nX:\ty \r\n",
        Framing::Chunked,
        Silent,
        "A: b\r\nTransfer-Encoding: chunked\r\nX:\ty \r\n",
    ),
    (
        200,
        "content-length:\t007 \r\nX:\ty \r\n",
        Framing::Length(7),
        Silent,
        "Content-Length: 7\r\nX:\ty \r\n",
    ),
    // A length never stands beside another framing.
    (
        200,
        "Content-Length: 5\r\n",
        Framing::UntilClose,
        Silent,
        "",
    ),
    (
        200,
        "Content-Length: 5\r\n",
        Framing::Chunked,
        Silent,
        "Transfer-Encoding: chunked\r\n",
    ),
    // Of HEAD and in a 304, the length is the one that GET would have.
    (
        200,
        "Content-Length: 5\r\n",
        Framing::None,
        Silent,
        "Content-Length: 5\r\n",
    ),
    (
        304,
        "Content-Length: 5\r\n",
        Framing::None,
        Silent,
        "Content-Length: 5\r\n",
    ),
    (
        200,
        "Transfer-Encoding: chunked\r\n",
        Framing::None,
        Silent,
        "",
    ),
    (
        204,
        "Content-Length: 0\r\nA: b\r\n",
        Framing::None,
        Silent,
        "A: b\r\n",
    ),
    (
        204,
        "Transfer-Encoding: chunked\r\n",
        Framing::None,
        Silent,
        "",
    ),
    (100, "Content-Length: 5\r\n", Framing::None, Silent, ""),
    (
        103,
        "Link: x\r\nContent-Length: 5\r\n",
        Framing::None,
        Silent,
        "Link: x\r\n",
    ),
    (
        200,
        "Host: x\r\nExpect: y\r\nMax-Forwards: 1\r\n",
        Framing::None,
        Silent,
        "Host: x\r\nExpect: y\r\nMax-Forwards: 1\r\n",
    ),
    (
        200,
        "Set-Cookie: a\r\nSet-Cookie: b\r\n",
        Framing::None,
        Silent,
        "Set-Cookie: a\r\nSet-Cookie: b\r\n",
    ),
    (
        200,
        "Trailer: X\r\nVia: 1.1 o\r\n",
        Framing::None,
        Silent,
        "Trailer: X\r\nVia: 1.1 o\r\n",
    ),
];

#[test]
fn response_fields_of_one_hop_stay_behind_and_the_framing_is_said() {
    for (status, before, framing, connection, after) in RESPONSE_FIELDS {
        let out = answered(
            &format!("HTTP/1.1 {status} x\r\n{before}\r\n"),
            *framing,
            *connection,
        );
        let expected = format!("HTTP/1.1 {status} x\r\n{after}Via: 1.1 ringway\r\n\r\n");
        assert_eq!(
            out, expected,
            "{status} {before} {framing:?} {connection:?}"
        );
    }
}

#[test]
fn the_most_fields_go_on() {
    let fields = "TE: x\r\nX: y\r\n".repeat(HEAD_FIELDS_MAX / 2);
    let kept = "X: y\r\n".repeat(HEAD_FIELDS_MAX / 2);
    let head = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
    let out = answered(&head, Framing::UntilClose, Silent);
    assert_eq!(
        out,
        format!("HTTP/1.1 200 OK\r\n{kept}Via: 1.1 ringway\r\n\r\n")
    );
}
