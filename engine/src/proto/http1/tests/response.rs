//! Response heads from the bytes on, through the scan and the parser together.

use crate::limits::{HEAD_BYTES_MAX, HEAD_FIELDS_MAX, STATUS_LINE_BYTES_MAX};
use crate::proto::cut;
use crate::proto::http1::HeadError::*;
use crate::proto::http1::{
    HeadError, HeadScan, MethodKind, ProxyError, Reply, ResponseHead, Scan, Status, Upgrade,
    Version,
};

/// What becomes of `received`: a parsed head and its length, an error, or `None` when more is needed.
fn step(scan: &mut HeadScan, received: &[u8]) -> Option<Result<(usize, ResponseHead), HeadError>> {
    let answer = scan.advance(received);
    assert_eq!(scan.advance(received), answer, "asked twice");
    match answer {
        Ok(Scan::NeedMore) => None,
        Ok(Scan::Complete(bytes)) => {
            Some(ResponseHead::parse(&received[..bytes]).map(|head| (bytes, head)))
        }
        Err(error) => Some(Err(error)),
    }
}

pub(super) fn read(received: &[u8]) -> Option<Result<(usize, ResponseHead), HeadError>> {
    cut::everywhere(received, HeadScan::response, step)
}

/// For inputs so long that cutting them everywhere would take minutes.
fn outcome(received: &str) -> Option<Result<(), HeadError>> {
    let whole = step(&mut HeadScan::response(), received.as_bytes());
    let mut scan = HeadScan::response();
    let single =
        (0..=received.len()).find_map(|length| step(&mut scan, &received.as_bytes()[..length]));
    assert_eq!(single, whole);
    whole.map(|answer| answer.map(drop))
}

pub(super) fn parsed(received: &[u8]) -> ResponseHead {
    match read(received) {
        Some(Ok((bytes, response))) if bytes == received.len() => response,
        other => panic!("{:?}: {other:?}", received.escape_ascii().to_string()),
    }
}

#[test]
fn a_response_head_is_read() {
    let head = b"HTTP/1.1 200 Very  well\r\nServer:\t x/1 \r\nEmpty:\r\nX:y\r\n\r\n";
    let response = parsed(head);
    assert_eq!((response.status, response.version), (200, Version::Http11));
    let fields: Vec<(&[u8], &[u8])> = response.fields(head).collect();
    let expected: [(&[u8], &[u8]); 3] = [(b"Server", b"x/1"), (b"Empty", b""), (b"X", b"y")];
    assert_eq!(fields, expected);
    let (bytes, _) = read(b"HTTP/1.0 404 \r\n\r\nHTTP/1.1 \r").unwrap().unwrap();
    assert_eq!(bytes, 17);
}

#[test]
fn status_lines_of_all_sorts_are_read() {
    for (line, status, version) in [
        ("HTTP/1.1 100 ", 100, Version::Http11),
        ("HTTP/1.1 599 x", 599, Version::Http11),
        ("HTTP/1.1 600 x", 600, Version::Http11),
        ("HTTP/1.0 999", 999, Version::Http10),
        ("HTTP/1.0 200 OK", 200, Version::Http10),
        // The space behind the status is missing from some servers' lines.
        ("HTTP/1.1 204", 204, Version::Http11),
        (
            "HTTP/1.1 404 \t nicht gefunden: \u{fc}",
            404,
            Version::Http11,
        ),
    ] {
        let head = format!("{line}\r\n\r\n");
        let response = parsed(head.as_bytes());
        assert_eq!(
            (response.status, response.version),
            (status, version),
            "{line:?}"
        );
        assert_eq!(response.fields(head.as_bytes()).count(), 0);
    }
}

/// Every refusal of a response head.
const HOSTILE: &[(&str, HeadError)] = &[
    ("\x15\x03\x01", StatusLine),
    ("<html>", StatusLine),
    ("ICY 200 OK\r\n", StatusLine),
    ("http/1.1 200 OK\r\n\r\n", StatusLine),
    ("\r\nHTTP/1.1 200 OK\r\n\r\n", StatusLine),
    ("\nHTTP/1.1 200 OK\r\n\r\n", StatusLine),
    (" HTTP/1.1 200 OK\r\n\r\n", StatusLine),
    ("\0", StatusLine),
    ("HTTP\r\n", StatusLine),
    ("HTTP/1.1\r\n", StatusLine),
    ("HTTP/1.1 \r\n", StatusLine),
    ("HTTP/1.1  200 OK\r\n\r\n", StatusLine),
    ("HTTP/1.1\t200 OK\r\n\r\n", StatusLine),
    ("HTTP/1.1 20 OK\r\n\r\n", StatusLine),
    ("HTTP/1.1 2000 OK\r\n\r\n", StatusLine),
    ("HTTP/1.1 2x0 OK\r\n\r\n", StatusLine),
    ("HTTP/1.1 +20 OK\r\n\r\n", StatusLine),
    ("HTTP/1.1 -20 OK\r\n\r\n", StatusLine),
    ("HTTP/1.1 200OK\r\n\r\n", StatusLine),
    ("HTTP/1.1 200\tOK\r\n\r\n", StatusLine),
    ("HTTP/1.1 200 O\0K\r\n\r\n", StatusLine),
    ("HTTP/1.1 200 O\x7fK\r\n\r\n", StatusLine),
    ("HTTP/1.1 000 x\r\n\r\n", StatusCode),
    ("HTTP/1.1 099 x\r\n\r\n", StatusCode),
    ("HTTP/1.1 1000 x\r\n\r\n", StatusLine),
    ("HTTP/1.2 200 OK\r\n\r\n", VersionUnsupported),
    ("HTTP/2.0 200 OK\r\n\r\n", VersionUnsupported),
    ("HTTP/0.9 200 OK\r\n\r\n", VersionUnsupported),
    ("HTTP/2 200 OK\r\n\r\n", StatusLine),
    ("HTTP/1.1 200 OK\n", BareLf),
    ("HTTP/1.1 200\n", BareLf),
    ("HTTP/1.1 200 OK\rX: y\r\n", BareCr),
    ("HTTP/1.1 200 OK\r\nX: y\nZ: a\r\n\r\n", BareLf),
    ("HTTP/1.1 200 OK\r\nX: y\r\n\n", BareLf),
    ("HTTP/1.1 200 OK\r\nX: y\rZ: a\r\n\r\n", BareCr),
    ("HTTP/1.1 200 OK\r\n X: y\r\n\r\n", ObsFold),
    ("HTTP/1.1 200 OK\r\nX: y\r\n\tz\r\n\r\n", ObsFold),
    ("HTTP/1.1 200 OK\r\nX : y\r\n\r\n", FieldName),
    ("HTTP/1.1 200 OK\r\nX\t: y\r\n\r\n", FieldName),
    ("HTTP/1.1 200 OK\r\n: y\r\n\r\n", FieldName),
    ("HTTP/1.1 200 OK\r\nX\r\n\r\n", FieldName),
    ("HTTP/1.1 200 OK\r\nX(: y\r\n\r\n", FieldName),
    ("HTTP/1.1 200 OK\r\nX\0: y\r\n\r\n", FieldName),
    ("HTTP/1.1 200 OK\r\nX: y\0\r\n\r\n", FieldValue),
    ("HTTP/1.1 200 OK\r\nX: \x1b[0m\r\n\r\n", FieldValue),
    (
        "HTTP/1.1 200 OK\r\nConnection: a b\r\n\r\n",
        ConnectionOption,
    ),
    (
        "HTTP/1.1 200 OK\r\nConnection: content-length\r\n\r\n",
        ConnectionField,
    ),
    (
        "HTTP/1.1 200 OK\r\nConnection: close, Content-Type\r\n\r\n",
        ConnectionField,
    ),
    (
        "HTTP/1.1 200 OK\r\nConnection: Via\r\n\r\n",
        ConnectionField,
    ),
];

#[test]
fn hostile_response_heads_are_refused() {
    for (head, error) in HOSTILE {
        assert_eq!(read(head.as_bytes()), Some(Err(*error)), "{head:?}");
        // The parser alone refuses them too, whoever cut the head out and how.
        assert!(ResponseHead::parse(head.as_bytes()).is_err(), "{head:?}");
        let reply = Reply::bad_response(*error);
        assert_eq!(
            (reply.status, reply.error),
            (Status::BadGateway, Some(ProxyError::HttpProtocolError))
        );
    }
}

#[test]
fn an_unfinished_response_head_needs_more() {
    let head = b"HTTP/1.1 200 OK\r\nX: y\r\n\r\n";
    for length in 0..head.len() {
        assert_eq!(read(&head[..length]), None, "{length}");
        assert!(ResponseHead::parse(&head[..length]).is_err(), "{length}");
    }
    let behind = [head.as_slice(), b"\r\n"].concat();
    assert_eq!(ResponseHead::parse(&behind), Err(HeadEnd));
}

#[test]
fn what_cannot_become_a_response_is_refused_by_its_first_byte() {
    for byte in 0..=u8::MAX {
        let expected = match byte {
            b'H' => Ok(Scan::NeedMore),
            _ => Err(StatusLine),
        };
        assert_eq!(HeadScan::response().advance(&[byte]), expected, "{byte:#x}");
    }
}

#[test]
fn limits_of_responses_are_exact() {
    let line = |bytes: usize| {
        let reason = "x".repeat(bytes - "HTTP/1.1 200 ".len());
        outcome(&format!("HTTP/1.1 200 {reason}\r\n\r\n"))
    };
    let longest = STATUS_LINE_BYTES_MAX as usize;
    assert_eq!(line(longest), Some(Ok(())));
    assert_eq!(line(longest + 1), Some(Err(StatusLineTooLong)));
    let head = format!("HTTP/1.1 200 {}\r\n\r\n", "x".repeat(longest + 1 - 13));
    assert_eq!(ResponseHead::parse(head.as_bytes()), Err(StatusLineTooLong));
    let unfinished = "H".repeat(2 * longest);
    assert_eq!(outcome(&unfinished), Some(Err(StatusLineTooLong)));

    let fields = |count: usize| {
        outcome(&format!(
            "HTTP/1.1 200 OK\r\n{}\r\n",
            "X: y\r\n".repeat(count)
        ))
    };
    assert_eq!(fields(HEAD_FIELDS_MAX), Some(Ok(())));
    assert_eq!(fields(HEAD_FIELDS_MAX + 1), Some(Err(TooManyFields)));

    let head = |bytes: usize| {
        let frame = "HTTP/1.1 200 OK\r\nX: \r\n\r\n".len();
        format!(
            "HTTP/1.1 200 OK\r\nX: {}\r\n\r\n",
            "y".repeat(bytes - frame)
        )
    };
    let longest = HEAD_BYTES_MAX as usize;
    assert_eq!(outcome(&head(longest)), Some(Ok(())));
    assert_eq!(outcome(&head(longest + 1)), Some(Err(HeadTooLong)));
    let parsed = ResponseHead::parse(head(longest + 1).as_bytes());
    assert_eq!(parsed, Err(HeadTooLong));
    for error in [StatusLineTooLong, TooManyFields, HeadTooLong] {
        let kind = Reply::bad_response(error).error;
        assert_eq!(kind, Some(ProxyError::HttpResponseHeaderSectionSize));
    }
}

#[test]
fn whether_the_origin_can_be_asked_again_is_known() {
    for (head, expected) in [
        ("HTTP/1.1 200 OK\r\n", true),
        ("HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n", true),
        ("HTTP/1.1 200 OK\r\nConnection: close\r\n", false),
        ("HTTP/1.1 200 OK\r\nConnection: x, Close\r\n", false),
        ("HTTP/1.1 200 OK\r\nProxy-Connection: close\r\n", true),
        ("HTTP/1.0 200 OK\r\n", false),
        ("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n", true),
        (
            "HTTP/1.0 200 OK\r\nConnection: keep-alive, close\r\n",
            false,
        ),
        ("HTTP/1.0 200 OK\r\nKeep-Alive: timeout=5\r\n", false),
        // What there cannot be may come all the same.
        ("HTTP/1.1 204 x\r\nContent-Length: 5\r\n", false),
        ("HTTP/1.1 204 x\r\nContent-Length: 0\r\n", true),
        ("HTTP/1.1 204 x\r\nTransfer-Encoding: chunked\r\n", false),
        ("HTTP/1.1 103 x\r\nContent-Length: 5\r\n", false),
        ("HTTP/1.1 304 x\r\nContent-Length: 5\r\n", true),
        ("HTTP/1.1 304 x\r\nTransfer-Encoding: chunked\r\n", true),
    ] {
        let response = parsed(format!("{head}\r\n").as_bytes());
        assert_eq!(response.keeps_alive(), expected, "{head}");
    }
}

#[test]
fn every_status_of_three_digits_is_read() {
    for status in 100..=999 {
        let response = parsed(format!("HTTP/1.1 {status} x\r\n\r\n").as_bytes());
        assert_eq!(response.status, status);
    }
}

#[test]
fn an_upgrade_needs_both_fields() {
    for (fields, expected) in [
        ("", Upgrade::None),
        ("Upgrade: websocket\r\n", Upgrade::None),
        ("Connection: upgrade\r\n", Upgrade::None),
        (
            "Connection: upgrade\r\nUpgrade: WebSocket\r\n",
            Upgrade::WebSocket,
        ),
        ("Connection: upgrade\r\nUpgrade: h2c\r\n", Upgrade::Other),
    ] {
        let response = parsed(format!("HTTP/1.1 101 x\r\n{fields}\r\n").as_bytes());
        assert_eq!(response.upgrade(), expected, "{fields}");
    }
}

#[test]
fn transfer_encoding_may_be_named_by_a_response() {
    // Content networks do; the coding is one hop's in any case.
    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\
        Connection: keep-alive, Transfer-Encoding\r\n\r\n";
    let response = parsed(head);
    assert_eq!(
        response.framing(MethodKind::Safe),
        crate::proto::http1::Framing::Chunked
    );
    assert!(response.keeps_alive());
}

#[test]
fn cost_is_linear_however_a_response_arrives() {
    let touched = |bytes: usize, step_bytes: usize| {
        let fields = "X-Some-Name: some value of a field\r\n".repeat(bytes / 100);
        let start = format!("HTTP/1.1 200 OK\r\n{fields}Z: ");
        let head = format!("{start}{}\r\n\r\n", "y".repeat(bytes - start.len() - 4));
        let mut scan = HeadScan::response();
        for length in (step_bytes..bytes).step_by(step_bytes) {
            assert_eq!(scan.advance(&head.as_bytes()[..length]), Ok(Scan::NeedMore));
        }
        assert_eq!(scan.advance(head.as_bytes()), Ok(Scan::Complete(bytes)));
        scan.bytes_touched
    };
    for step_bytes in [1, 2, 7, 100] {
        let (short, long) = (touched(1024, step_bytes), touched(8192, step_bytes));
        // Each byte once, the status line twice, and a CR once more when a cut parts it from its LF.
        assert!(short <= 1024 + 1024 / 10 + 20, "{step_bytes}: {short}");
        assert!(long <= 8 * short, "{step_bytes}: {short} and {long}");
    }
    assert!(touched(8192, 8191) >= 8192, "the count counts");
}
