//! Heads made by chance: whatever is accepted obeys the rules, and however it is cut.

use super::request::read;
use crate::proto::http1::{RequestHead, Version};

/// Pieces that heads are made of, and pieces that they must not be made of.
const PIECES: &[&str] = &[
    "CONNECT",
    "GET",
    " ",
    "h:1",
    "example.com:443",
    " HTTP/1.1",
    " HTTP/1.0",
    "\r\n",
    "\r\n",
    "\r\n",
    "\r",
    "\n",
    "Host: h",
    "Host:",
    "X: y",
    ": ",
    "\t",
    "\0",
    "Content-Length: 1",
    "Transfer-Encoding",
    "\u{fc}",
    "a",
    "\x7f",
    "Proxy-Authorization: x",
    "CONNECT h:1 HTTP/1.1\r\n",
    "CONNECT h:1 HTTP/1.0\r\nHost: h\r\n\r\n",
];

/// Whatever is accepted obeys the rules, as told by a check that shares nothing with the parser.
fn check_accepted(head: &[u8], request: &RequestHead) {
    let text = head.escape_ascii().to_string();
    let lines: Vec<&[u8]> = head.split(|byte| *byte == b'\n').collect();
    let (last, lines) = lines.split_last().unwrap();
    assert!(
        last.is_empty() && lines.iter().all(|line| line.ends_with(b"\r")),
        "{text}"
    );
    let crs = head.iter().filter(|byte| **byte == b'\r').count();
    assert_eq!(crs, lines.len(), "{text}");
    let control = |byte: &u8| byte.is_ascii_control() && !b"\r\n\t".contains(byte);
    assert!(!head.iter().any(control), "{text}");

    let lines = if lines[0] == b"\r" {
        &lines[1..]
    } else {
        lines
    };
    assert_eq!(
        lines.iter().filter(|line| *line == b"\r").count(),
        1,
        "{text}"
    );
    let request_line = [request.method.of(head), request.target.of(head)].join(&b' ');
    assert!(lines[0].starts_with(&request_line), "{text}");
    let fields: Vec<(&[u8], &[u8])> = request.fields(head).collect();
    assert_eq!(fields.len(), lines.len() - 2, "{text}");
    for ((name, value), line) in fields.iter().zip(&lines[1..]) {
        assert!(
            !name.is_empty() && line.starts_with(name) && line[name.len()] == b':',
            "{text}"
        );
        assert_eq!(line[name.len() + 1..].trim_ascii(), *value, "{text}");
    }
    let count = |wanted: &str| {
        fields
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case(wanted.as_bytes()))
            .count()
    };
    assert!(count("host") == 1 || count("host") == 0 && request.version == Version::Http10);
    let content = count("content-length") + count("transfer-encoding");
    assert!(content == 0 || !request.is_connect(head), "{text}");
}

#[test]
fn mixed_pieces_are_read_alike_and_by_the_rules() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut accepted = 0;
    for _ in 0..10_000 {
        let mut received = Vec::new();
        for _ in 0..12 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            received.extend_from_slice(PIECES[(state >> 33) as usize % PIECES.len()].as_bytes());
        }
        if let Some(Ok((bytes, request))) = read(&received) {
            check_accepted(&received[..bytes], &request);
            accepted += 1;
        }
    }
    assert!(
        accepted > 50,
        "{accepted} accepted: the pieces make too few heads"
    );
}

#[test]
fn one_changed_byte_is_read_alike_and_by_the_rules() {
    let head = b"CONNECT h.x:1 HTTP/1.1\r\nHost: h:1\r\nX: y\r\n\r\n";
    for at in 0..head.len() {
        for byte in 0..=u8::MAX {
            let mut received = head.to_vec();
            received[at] = byte;
            if let Some(Ok((bytes, request))) = read(&received) {
                check_accepted(&received[..bytes], &request);
            }
            if let Ok(request) = RequestHead::parse(&received) {
                check_accepted(&received, &request);
            }
        }
    }
}
