//! Where bodies end: one table for what the fields say, one for what status and method make of it.

use super::request;
use super::response;
use crate::proto::http1::Framing::{Chunked, Length, UntilClose};
use crate::proto::http1::HeadError::*;
use crate::proto::http1::{Framing, HeadError, MethodKind};

const LARGEST: u64 = i64::MAX as u64;

/// What field lines say: a framing, or an error with its status.
type Said = Result<Framing, (HeadError, u16)>;

/// Field lines of an HTTP/1.1 message, what they say, and the status that a request is refused with.
const STATED: &[(&[&str], Said)] = &[
    (&[], Ok(Framing::None)),
    (&["X-Content-Length: 5"], Ok(Framing::None)),
    (&["Content-Length: 0"], Ok(Length(0))),
    (&["content-length:5"], Ok(Length(5))),
    (&["CONTENT-LENGTH: \t5\t "], Ok(Length(5))),
    (&["Content-Length: 00005"], Ok(Length(5))),
    (
        &["Content-Length: 9223372036854775807"],
        Ok(Length(LARGEST)),
    ),
    (&["Content-Length: 0000000000000000005"], Ok(Length(5))),
    (
        &["Content-Length: 9223372036854775808"],
        Err((ContentLength, 400)),
    ),
    (
        &["Content-Length: 9999999999999999999"],
        Err((ContentLength, 400)),
    ),
    (
        &["Content-Length: 18446744073709551616"],
        Err((ContentLength, 400)),
    ),
    (
        &["Content-Length: 00000000000000000005"],
        Err((ContentLength, 400)),
    ),
    (
        &["Content-Length: 99999999999999999999999999999999"],
        Err((ContentLength, 400)),
    ),
    (&["Content-Length:"], Err((ContentLength, 400))),
    (&["Content-Length: \t "], Err((ContentLength, 400))),
    (&["Content-Length: +5"], Err((ContentLength, 400))),
    (&["Content-Length: -5"], Err((ContentLength, 400))),
    (&["Content-Length: -0"], Err((ContentLength, 400))),
    (&["Content-Length: 5 0"], Err((ContentLength, 400))),
    (&["Content-Length: 5, 5"], Err((ContentLength, 400))),
    (&["Content-Length: 5,5"], Err((ContentLength, 400))),
    (&["Content-Length: 5, 6"], Err((ContentLength, 400))),
    (&["Content-Length: 5,"], Err((ContentLength, 400))),
    (&["Content-Length: ,5"], Err((ContentLength, 400))),
    (&["Content-Length: 5;x"], Err((ContentLength, 400))),
    (&["Content-Length: 0x5"], Err((ContentLength, 400))),
    (&["Content-Length: 5e1"], Err((ContentLength, 400))),
    (&["Content-Length: 5.0"], Err((ContentLength, 400))),
    (&["Content-Length: 1_000"], Err((ContentLength, 400))),
    (&["Content-Length: five"], Err((ContentLength, 400))),
    (&["Content-Length: \u{664}"], Err((ContentLength, 400))),
    (&["Content-Length: \"5\""], Err((ContentLength, 400))),
    (
        &["Content-Length: 5", "Content-Length: 5"],
        Err((ContentLengthRepeated, 400)),
    ),
    (
        &["Content-Length: 5", "Content-Length: 6"],
        Err((ContentLengthRepeated, 400)),
    ),
    (
        &["Content-Length: 5", "X: y", "content-length:"],
        Err((ContentLengthRepeated, 400)),
    ),
    (
        &["Content-Length:", "content-length: 5"],
        Err((ContentLengthRepeated, 400)),
    ),
    (&["Transfer-Encoding: chunked"], Ok(Chunked)),
    (&["transfer-encoding:CHUNKED"], Ok(Chunked)),
    (&["Transfer-Encoding: \t chunked\t"], Ok(Chunked)),
    (
        &["Transfer-Encoding: gzip, chunked"],
        Err((TransferCoding, 501)),
    ),
    (&["Transfer-Encoding: gzip"], Err((TransferCoding, 501))),
    (&["Transfer-Encoding: identity"], Err((TransferCoding, 501))),
    (
        &["Transfer-Encoding: identity, chunked"],
        Err((TransferCoding, 501)),
    ),
    (
        &["Transfer-Encoding: x, gzip, chunked"],
        Err((TransferCoding, 501)),
    ),
    (&["Transfer-Encoding: xchunked"], Err((TransferCoding, 501))),
    (&["Transfer-Encoding: chunkedx"], Err((TransferCoding, 501))),
    (&["Transfer-Encoding: chunke"], Err((TransferCoding, 501))),
    (
        &["Transfer-Encoding: gzip", "Transfer-Encoding: chunked"],
        Err((TransferCoding, 501)),
    ),
    (
        &["Transfer-Encoding: chunked, chunked"],
        Err((TransferEncoding, 400)),
    ),
    (
        &["Transfer-Encoding: chunked, gzip"],
        Err((TransferEncoding, 400)),
    ),
    (
        &["Transfer-Encoding: chunked, identity"],
        Err((TransferEncoding, 400)),
    ),
    (
        &["Transfer-Encoding: gzip, chunked, chunked"],
        Err((TransferEncoding, 400)),
    ),
    (
        &["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
        Err((TransferEncoding, 400)),
    ),
    (
        &["Transfer-Encoding: chunked", "transfer-encoding:"],
        Err((TransferEncoding, 400)),
    ),
    (
        &["Transfer-Encoding:", "Transfer-Encoding: chunked"],
        Err((TransferEncoding, 400)),
    ),
    (
        &["Transfer-Encoding: chunked", "Transfer-Encoding: gzip"],
        Err((TransferEncoding, 400)),
    ),
    (&["Transfer-Encoding:"], Err((TransferEncoding, 400))),
    (&["Transfer-Encoding: ,"], Err((TransferEncoding, 400))),
    (
        &["Transfer-Encoding: chunked,"],
        Err((TransferEncoding, 400)),
    ),
    (
        &["Transfer-Encoding: ,chunked"],
        Err((TransferEncoding, 400)),
    ),
    (
        &["Transfer-Encoding: chunked;x=y"],
        Err((TransferEncoding, 400)),
    ),
    (
        &["Transfer-Encoding: gzip;q=1, chunked"],
        Err((TransferEncoding, 400)),
    ),
    (
        &["Transfer-Encoding: chun ked"],
        Err((TransferEncoding, 400)),
    ),
    (
        &["Transfer-Encoding: \"chunked\""],
        Err((TransferEncoding, 400)),
    ),
    (
        &["Transfer-Encoding: 'chunked'"],
        Err((TransferCoding, 501)),
    ),
    (
        &["Transfer-Encoding: chunked\u{a0}"],
        Err((TransferEncoding, 400)),
    ),
    (
        &["Transfer-Encoding: [chunked]"],
        Err((TransferEncoding, 400)),
    ),
    (
        &["Content-Length: 5", "Transfer-Encoding: chunked"],
        Err((FramingAmbiguous, 400)),
    ),
    (
        &["Transfer-Encoding: chunked", "Content-Length: 5"],
        Err((FramingAmbiguous, 400)),
    ),
    (
        &["Transfer-Encoding: chunked", "Content-Length: 0"],
        Err((FramingAmbiguous, 400)),
    ),
    (
        &["Transfer-Encoding: chunked", "Content-Length:"],
        Err((FramingAmbiguous, 400)),
    ),
    (
        &["Transfer-Encoding: identity", "Content-Length: 5"],
        Err((FramingAmbiguous, 400)),
    ),
    (
        &["Transfer-Encoding:", "Content-Length: 5"],
        Err((FramingAmbiguous, 400)),
    ),
    (
        &[
            "Content-Length: 5",
            "Content-Length: 5",
            "Transfer-Encoding: chunked",
        ],
        Err((FramingAmbiguous, 400)),
    ),
];

fn lines(fields: &[&str]) -> String {
    fields.iter().map(|field| format!("{field}\r\n")).collect()
}

#[test]
fn what_the_fields_of_a_request_say() {
    for (fields, expected) in STATED {
        let head = format!(
            "POST http://h/ HTTP/1.1\r\nHost: h\r\n{}\r\n",
            lines(fields)
        );
        let framing = request::read(head.as_bytes()).unwrap();
        let framing = framing.map(|(_, request)| request.framing());
        assert_eq!(framing, expected.map_err(|(error, _)| error), "{fields:?}");
        if let Err((error, code)) = expected {
            assert_eq!(error.status().code(), *code, "{fields:?}");
        }
    }
}

#[test]
fn what_the_fields_of_a_response_say() {
    for (fields, expected) in STATED {
        let head = format!("HTTP/1.1 200 OK\r\n{}\r\n", lines(fields));
        let framing = response::read(head.as_bytes()).unwrap();
        let framing = framing.map(|(_, response)| response.framing(MethodKind::Safe));
        let expected = match expected {
            Ok(Framing::None) => Ok(UntilClose),
            Ok(framing) => Ok(*framing),
            Err((error, _)) => Err(*error),
        };
        assert_eq!(framing, expected, "{fields:?}");
    }
}

#[test]
fn http_1_0_has_lengths_and_no_codings() {
    for (fields, expected) in STATED {
        let coded = fields
            .iter()
            .any(|field| field.to_lowercase().starts_with("transfer"));
        let expected = match expected {
            _ if coded
                && fields
                    .iter()
                    .any(|field| field.to_lowercase().starts_with("content")) =>
            {
                Err(FramingAmbiguous)
            }
            _ if coded => Err(TransferEncodingVersion),
            Ok(framing) => Ok(*framing),
            Err((error, _)) => Err(*error),
        };
        let head = format!("POST http://h/ HTTP/1.0\r\n{}\r\n", lines(fields));
        let framing = request::read(head.as_bytes()).unwrap();
        assert_eq!(
            framing.map(|(_, request)| request.framing()),
            expected,
            "{fields:?}"
        );
        let head = format!("HTTP/1.0 200 OK\r\n{}\r\n", lines(fields));
        let framing = response::read(head.as_bytes()).unwrap();
        assert_eq!(framing.map(drop), expected.map(drop), "{fields:?}");
    }
    assert_eq!(TransferEncodingVersion.status().code(), 400);
}

#[test]
fn a_connect_has_no_body_to_speak_of() {
    for (fields, expected) in STATED {
        let head = format!("CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n{}\r\n", lines(fields));
        let framing = request::read(head.as_bytes()).unwrap();
        let expected = match expected {
            Ok(Framing::None) => Ok(Framing::None),
            _ => Err(ContentOnConnect),
        };
        assert_eq!(
            framing.map(|(_, request)| request.framing()),
            expected,
            "{fields:?}"
        );
    }
}

#[test]
fn a_trace_has_no_body() {
    for (fields, expected) in STATED {
        let head = format!(
            "TRACE http://h/ HTTP/1.1\r\nHost: h\r\n{}\r\n",
            lines(fields)
        );
        let framing = request::read(head.as_bytes()).unwrap();
        let expected = match expected {
            Ok(framing @ (Framing::None | Length(0))) => Ok(*framing),
            Ok(_) => Err(ContentOnTrace),
            Err((error, _)) => Err(*error),
        };
        assert_eq!(
            framing.map(|(_, request)| request.framing()),
            expected,
            "{fields:?}"
        );
    }
    assert_eq!(ContentOnTrace.status().code(), 400);
}

/// Method, status, and the framing of a response that states nothing, a length of 5, or chunks.
const MADE_OF_IT: &[(MethodKind, u16, [Framing; 3])] = &[
    (MethodKind::Safe, 200, [UntilClose, Length(5), Chunked]),
    (MethodKind::Safe, 206, [UntilClose, Length(5), Chunked]),
    (MethodKind::Safe, 205, [UntilClose, Length(5), Chunked]),
    (MethodKind::Safe, 203, [UntilClose, Length(5), Chunked]),
    (MethodKind::Safe, 303, [UntilClose, Length(5), Chunked]),
    (MethodKind::Safe, 305, [UntilClose, Length(5), Chunked]),
    (MethodKind::Safe, 404, [UntilClose, Length(5), Chunked]),
    (MethodKind::Safe, 599, [UntilClose, Length(5), Chunked]),
    (MethodKind::Safe, 600, [UntilClose, Length(5), Chunked]),
    (MethodKind::Head, 999, [Framing::None; 3]),
    (MethodKind::Other, 200, [UntilClose, Length(5), Chunked]),
    (MethodKind::Other, 201, [UntilClose, Length(5), Chunked]),
    (MethodKind::Options, 200, [UntilClose, Length(5), Chunked]),
    (MethodKind::Trace, 200, [UntilClose, Length(5), Chunked]),
    (MethodKind::Safe, 100, [Framing::None; 3]),
    (MethodKind::Safe, 101, [Framing::None; 3]),
    (MethodKind::Other, 103, [Framing::None; 3]),
    (MethodKind::Other, 199, [Framing::None; 3]),
    (MethodKind::Safe, 204, [Framing::None; 3]),
    (MethodKind::Other, 304, [Framing::None; 3]),
    (MethodKind::Head, 200, [Framing::None; 3]),
    (MethodKind::Head, 404, [Framing::None; 3]),
    (MethodKind::Head, 304, [Framing::None; 3]),
    (MethodKind::Connect, 200, [Framing::None; 3]),
    (MethodKind::Connect, 204, [Framing::None; 3]),
    (MethodKind::Connect, 299, [Framing::None; 3]),
    (MethodKind::Connect, 100, [Framing::None; 3]),
    (MethodKind::Connect, 300, [UntilClose, Length(5), Chunked]),
    (MethodKind::Connect, 407, [UntilClose, Length(5), Chunked]),
    (MethodKind::Connect, 502, [UntilClose, Length(5), Chunked]),
];

#[test]
fn what_status_and_method_make_of_it() {
    let stated = [
        "",
        "Content-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\n",
    ];
    for (method, status, expected) in MADE_OF_IT {
        for (fields, expected) in stated.iter().zip(expected) {
            let head = format!("HTTP/1.1 {status} x\r\n{fields}\r\n");
            let response = response::parsed(head.as_bytes());
            assert_eq!(
                response.framing(*method),
                *expected,
                "{method:?} {status} {fields}"
            );
        }
    }
}

#[test]
fn what_is_ambiguous_stays_an_error_where_there_is_no_body() {
    for status in [100, 204, 304] {
        let head = format!(
            "HTTP/1.1 {status} x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        let error = response::read(head.as_bytes()).unwrap().unwrap_err();
        assert_eq!(error, FramingAmbiguous);
    }
}
