//! Chunked bodies, whole and in pieces.

use super::request;
use crate::limits::{
    BODY_EXTENSION_BYTES_MAX, CHUNK_LINE_EXTENSION_BYTES_MAX, TRAILER_BYTES_MAX, TRAILER_FIELDS_MAX,
};
use crate::proto::cut;
use crate::proto::http1::{ChunkError, ChunkStep, ChunkedBody, HeadError};

/// A body as far as it has come: what goes on, what it means, and how much of the input is told.
#[derive(Debug, Default)]
struct Reader {
    body: ChunkedBody,
    told: usize,
    passed_on: Vec<u8>,
    data: Vec<u8>,
}

/// How a body ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ending {
    /// The bytes of the body, when it is over.
    pub(super) bytes: Result<usize, ChunkError>,
    pub(super) passed_on: Vec<u8>,
    pub(super) data: Vec<u8>,
}

impl Reader {
    /// Takes what has come since the last time.
    fn step(&mut self, received: &[u8]) -> Option<Ending> {
        let bytes = loop {
            let input = &received[self.told..];
            let (bytes, goes_on) = match self.body.step(input) {
                Err(error) => {
                    assert_eq!(self.body.step(input), Err(error), "asked twice");
                    break Err(error);
                }
                Ok(ChunkStep::NeedMore) => {
                    assert!(input.is_empty(), "bytes are never left over");
                    return None;
                }
                Ok(ChunkStep::Skip(bytes)) => (bytes, vec![]),
                Ok(ChunkStep::Framing(bytes)) => (bytes, input[..bytes].to_vec()),
                Ok(ChunkStep::Data(bytes)) => {
                    self.data.extend_from_slice(&input[..bytes]);
                    (bytes, input[..bytes].to_vec())
                }
                Ok(ChunkStep::End(bytes)) => (bytes, input[..bytes].to_vec()),
                Ok(ChunkStep::Trailers(bytes, section)) => (bytes, section.to_vec()),
            };
            assert!(
                bytes > 0 && bytes <= input.len(),
                "every step takes something"
            );
            self.told += bytes;
            self.passed_on.extend(goes_on);
            if self.body.ended() {
                assert_eq!(
                    self.body.step(&received[self.told..]),
                    Ok(ChunkStep::End(0))
                );
                break Ok(self.told);
            }
        };
        Some(Ending {
            bytes,
            passed_on: self.passed_on.clone(),
            data: self.data.clone(),
        })
    }
}

/// What becomes of a body, however it is cut.
pub(super) fn read(received: &[u8]) -> Option<Ending> {
    cut::everywhere(received, Reader::default, Reader::step)
}

fn read_once(received: &[u8]) -> Option<Ending> {
    Reader::default().step(received)
}

#[test]
fn a_step_takes_as_much_as_it_can() {
    let mut body = ChunkedBody::default();
    let mut input: &[u8] =
        b"5\r\nhello\r\n1F;x=y\r\n0123456789abcdef0123456789abcde\r\n0\r\n\r\nnext";
    for expected in [
        ChunkStep::Framing(3),
        ChunkStep::Data(5),
        ChunkStep::Framing(4),
        ChunkStep::Skip(4),
        ChunkStep::Framing(2),
        ChunkStep::Data(31),
        ChunkStep::Framing(5),
        ChunkStep::End(2),
        ChunkStep::End(0),
    ] {
        let step = body.step(input).unwrap();
        assert_eq!(step, expected);
        let (ChunkStep::Framing(bytes)
        | ChunkStep::Skip(bytes)
        | ChunkStep::Data(bytes)
        | ChunkStep::End(bytes)) = step
        else {
            panic!("{step:?}");
        };
        input = &input[bytes..];
    }
    assert_eq!(input, b"next");
    assert!(body.ended());
}

#[test]
fn data_is_told_as_it_comes() {
    let mut body = ChunkedBody::default();
    assert_eq!(body.step(b""), Ok(ChunkStep::NeedMore));
    assert_eq!(
        body.step(b"7fffffffffffffff\r\n"),
        Ok(ChunkStep::Framing(18))
    );
    assert_eq!(body.step(b""), Ok(ChunkStep::NeedMore));
    assert_eq!(body.step(&[b'\n'; 1000]), Ok(ChunkStep::Data(1000)));
    assert_eq!(body.step(b"0\r\n\r\n"), Ok(ChunkStep::Data(5)));
    assert!(!body.ended());
}

/// Bodies, what goes on in their place, and what they mean.
const BODIES: &[(&str, &str, &str)] = &[
    ("0\r\n\r\n", "0\r\n\r\n", ""),
    ("000\r\n\r\n", "000\r\n\r\n", ""),
    ("0000000000000000\r\n\r\n", "0000000000000000\r\n\r\n", ""),
    ("1\r\na\r\n0\r\n\r\n", "1\r\na\r\n0\r\n\r\n", "a"),
    (
        "0000000000000001\r\na\r\n0\r\n\r\n",
        "0000000000000001\r\na\r\n0\r\n\r\n",
        "a",
    ),
    (
        "A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n",
        "A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n",
        "01234567890123456789",
    ),
    (
        "4\r\n\r\n\r\n\r\n0\r\n\r\n",
        "4\r\n\r\n\r\n\r\n0\r\n\r\n",
        "\r\n\r\n",
    ),
    (
        "7\r\n0\r\n\r\nab\r\n0\r\n\r\n",
        "7\r\n0\r\n\r\nab\r\n0\r\n\r\n",
        "0\r\n\r\nab",
    ),
    // Extensions are dropped.
    ("1;a\r\nx\r\n0;b=c\r\n\r\n", "1\r\nx\r\n0\r\n\r\n", "x"),
    ("1;\r\nx\r\n0\r\n\r\n", "1\r\nx\r\n0\r\n\r\n", "x"),
    (
        "1;a=\"b;c\\\"\";d \t; e = f\r\nx\r\n0\r\n\r\n",
        "1\r\nx\r\n0\r\n\r\n",
        "x",
    ),
    ("1;\u{fc}\r\nx\r\n0;;;\r\n\r\n", "1\r\nx\r\n0\r\n\r\n", "x"),
    // Trailers go on, except for those that none may be.
    ("0\r\nX: y\r\n\r\n", "0\r\nX: y\r\n\r\n", ""),
    (
        "1\r\na\r\n0\r\nX:\t y \r\nEmpty:\r\n\r\n",
        "1\r\na\r\n0\r\nX:\t y \r\nEmpty:\r\n\r\n",
        "a",
    ),
    ("0;x\r\nX: y\r\n\r\n", "0\r\nX: y\r\n\r\n", ""),
    ("0\r\nContent-Length: 5\r\n\r\n", "0\r\n\r\n", ""),
    (
        "0\r\nA: b\r\ntransfer-encoding: chunked\r\nHOST: h\r\nC: d\r\n\r\n",
        "0\r\nA: b\r\nC: d\r\n\r\n",
        "",
    ),
];

#[test]
fn bodies_are_read_and_go_on() {
    for (body, passed_on, data) in BODIES {
        for behind in ["", "\r\n", "0\r\n\r\n", "GET / HTTP/1.1\r\n", "\0"] {
            let ending = read(format!("{body}{behind}").as_bytes()).unwrap();
            assert_eq!(ending.bytes, Ok(body.len()), "{body:?}");
            assert_eq!(
                ending.passed_on.escape_ascii().to_string(),
                passed_on.as_bytes().escape_ascii().to_string()
            );
            assert_eq!(ending.data, data.as_bytes(), "{body:?}");
        }
        for length in 0..body.len() {
            assert_eq!(read(&body.as_bytes()[..length]), None, "{body:?} {length}");
        }
    }
}

/// What is refused, and what has gone on before.
const HOSTILE: &[(&str, ChunkError, &str)] = &[
    ("\r\n", ChunkError::Size, ""),
    ("\n", ChunkError::Size, ""),
    (";x\r\n", ChunkError::Size, ""),
    ("g\r\n", ChunkError::Size, ""),
    ("-1\r\n", ChunkError::Size, ""),
    ("+1\r\n", ChunkError::Size, ""),
    (" 1\r\n", ChunkError::Size, ""),
    ("\t1\r\n", ChunkError::Size, ""),
    ("0x1\r\n", ChunkError::Size, "0"),
    ("0X1\r\n", ChunkError::Size, "0"),
    ("1 \r\n", ChunkError::Size, "1"),
    ("1 ;x\r\n", ChunkError::Size, "1"),
    ("1\t\r\n", ChunkError::Size, "1"),
    ("1_0\r\n", ChunkError::Size, "1"),
    ("1,1\r\n", ChunkError::Size, "1"),
    ("1.0\r\n", ChunkError::Size, "1"),
    ("1h\r\n", ChunkError::Size, "1"),
    ("1\0\r\n", ChunkError::Size, "1"),
    ("\u{ff11}\r\n", ChunkError::Size, ""),
    (
        "8000000000000000\r\n",
        ChunkError::SizeOverflow,
        "800000000000000",
    ),
    (
        "ffffffffffffffff\r\n",
        ChunkError::SizeOverflow,
        "fffffffffffffff",
    ),
    (
        "00000000000000001\r\n",
        ChunkError::SizeOverflow,
        "0000000000000000",
    ),
    (
        "10000000000000000\r\n",
        ChunkError::SizeOverflow,
        "1000000000000000",
    ),
    (
        "100000000000000001\r\n",
        ChunkError::SizeOverflow,
        "1000000000000000",
    ),
    ("1\n", ChunkError::BareLf, "1"),
    ("1\nx\r\n", ChunkError::BareLf, "1"),
    ("1\rx\r\n", ChunkError::BareCr, "1\r"),
    ("1\r\r\n", ChunkError::BareCr, "1\r"),
    ("1;x\n", ChunkError::BareLf, "1"),
    ("1;x\ny\r\n", ChunkError::BareLf, "1"),
    ("1;x\ry\r\n", ChunkError::BareCr, "1\r"),
    ("1;\0\r\n", ChunkError::Extension, "1"),
    ("1;x\x0b\r\n", ChunkError::Extension, "1"),
    ("1;\x7f\r\n", ChunkError::Extension, "1"),
    ("1\r\nab\r\n", ChunkError::DataEnd, "1\r\na"),
    ("1\r\na\n", ChunkError::DataEnd, "1\r\na"),
    ("1\r\na\rb", ChunkError::DataEnd, "1\r\na\r"),
    ("1\r\na0\r\n\r\n", ChunkError::DataEnd, "1\r\na"),
    ("1\r\na\r\n\r\n", ChunkError::Size, "1\r\na\r\n"),
    ("1\r\n\r\n0\r\n\r\n", ChunkError::DataEnd, "1\r\n\r"),
    ("2\r\na\r\n0\r\n\r\n", ChunkError::DataEnd, "2\r\na\r"),
    ("0\r\n\n", ChunkError::BareLf, "0\r\n"),
    ("0\r\n\rx", ChunkError::BareCr, "0\r\n\r"),
    ("0\n\n", ChunkError::BareLf, "0"),
    (
        "0\r\n X: y\r\n\r\n",
        ChunkError::Trailer(HeadError::ObsFold),
        "0\r\n",
    ),
    (
        "0\r\nX: y\r\n z\r\n\r\n",
        ChunkError::Trailer(HeadError::ObsFold),
        "0\r\n",
    ),
    (
        "0\r\nX: y\n\r\n",
        ChunkError::Trailer(HeadError::BareLf),
        "0\r\n",
    ),
    (
        "0\r\nX: y\r\n\n",
        ChunkError::Trailer(HeadError::BareLf),
        "0\r\n",
    ),
    (
        "0\r\nX: y\rz\r\n\r\n",
        ChunkError::Trailer(HeadError::BareCr),
        "0\r\n",
    ),
    (
        "0\r\nX : y\r\n\r\n",
        ChunkError::Trailer(HeadError::FieldName),
        "0\r\n",
    ),
    (
        "0\r\n: y\r\n\r\n",
        ChunkError::Trailer(HeadError::FieldName),
        "0\r\n",
    ),
    (
        "0\r\nX\r\n\r\n",
        ChunkError::Trailer(HeadError::FieldName),
        "0\r\n",
    ),
    (
        "0\r\n\0: y\r\n\r\n",
        ChunkError::Trailer(HeadError::FieldName),
        "0\r\n",
    ),
    (
        "0\r\nX: \0\r\n\r\n",
        ChunkError::Trailer(HeadError::FieldValue),
        "0\r\n",
    ),
    (
        "0\r\nGET / HTTP/1.1\r\n\r\n",
        ChunkError::Trailer(HeadError::FieldName),
        "0\r\n",
    ),
];

#[test]
fn hostile_bodies_are_refused_and_what_is_wrong_never_goes_on() {
    for (body, error, passed_on) in HOSTILE {
        let ending = read(body.as_bytes()).unwrap_or_else(|| panic!("{body:?}"));
        assert_eq!(ending.bytes, Err(*error), "{body:?}");
        let gone_on = ending.passed_on.escape_ascii().to_string();
        assert_eq!(
            gone_on,
            passed_on.as_bytes().escape_ascii().to_string(),
            "{body:?}"
        );
    }
}

/// Fields that trailers may not have.
const FORBIDDEN: &[&str] = &[
    "Content-Length",
    "Transfer-Encoding",
    "Host",
    "Connection",
    "Keep-Alive",
    "TE",
    "Upgrade",
    "Trailer",
    "Proxy-Connection",
    "Proxy-Authorization",
    "Proxy-Authenticate",
    "Proxy-Authentication-Info",
    "Authorization",
    "WWW-Authenticate",
    "Cookie",
    "Set-Cookie",
    "Content-Type",
    "Content-Encoding",
    "Content-Range",
    "Cache-Control",
    "Expect",
    "Max-Forwards",
    "Range",
    "If-Match",
    "If-None-Match",
    "If-Modified-Since",
    "If-Unmodified-Since",
    "If-Range",
    "Pragma",
    "Age",
    "Date",
    "Expires",
    "Location",
    "Retry-After",
    "Vary",
    "Warning",
    "Via",
    "Forwarded",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Forwarded-Port",
    "X-Real-IP",
];

#[test]
fn trailers_that_would_decide_something_are_dropped() {
    for name in FORBIDDEN {
        for name in [(*name).to_owned(), name.to_lowercase(), name.to_uppercase()] {
            let body = format!("0\r\n{name}: x\r\n\r\n");
            assert_eq!(
                read(body.as_bytes()).unwrap().passed_on,
                b"0\r\n\r\n",
                "{name}"
            );
            let body = format!("0\r\nA: b\r\n{name}: x\r\n{name}:\r\nX-{name}: y\r\n\r\n");
            let expected = format!("0\r\nA: b\r\nX-{name}: y\r\n\r\n");
            assert_eq!(
                read(body.as_bytes()).unwrap().passed_on,
                expected.as_bytes(),
                "{name}"
            );
        }
    }
    for name in [
        "Digest",
        "Server-Timing",
        "ETag",
        "Accept",
        "grpc-status",
        "X-Checksum",
        "If",
    ] {
        let body = format!("0\r\n{name}: x\r\n\r\n");
        assert_eq!(
            read(body.as_bytes()).unwrap().passed_on,
            body.as_bytes(),
            "{name}"
        );
    }
}

#[test]
fn extensions_are_bounded_per_chunk_and_per_body() {
    let chunk = |bytes: u32| format!("1;{}\r\nx\r\n", "e".repeat(bytes as usize - 1));
    let longest = CHUNK_LINE_EXTENSION_BYTES_MAX;
    let bytes = |body: &str| read_once(body.as_bytes()).map(|ending| ending.bytes);
    assert_eq!(bytes(&chunk(longest)), None);
    assert_eq!(
        bytes(&chunk(longest + 1)),
        Some(Err(ChunkError::ExtensionTooLong))
    );
    let endless = format!("1;{}", "e".repeat(100_000));
    assert_eq!(bytes(&endless), Some(Err(ChunkError::ExtensionTooLong)));

    let most = (BODY_EXTENSION_BYTES_MAX / longest) as usize;
    assert_eq!(BODY_EXTENSION_BYTES_MAX % longest, 0);
    let full = chunk(longest).repeat(most);
    assert_eq!(bytes(&full), None);
    assert!(bytes(&format!("{full}0\r\n\r\n")).unwrap().is_ok());
    assert_eq!(
        bytes(&format!("{full}0;\r\n\r\n")),
        Some(Err(ChunkError::ExtensionFlood))
    );
    // Many small ones are no better.
    let small = "1;\r\nx\r\n".repeat(BODY_EXTENSION_BYTES_MAX as usize + 1);
    assert_eq!(bytes(&small), Some(Err(ChunkError::ExtensionFlood)));

    // In pieces the limits are the same.
    let mut reader = Reader::default();
    let body = chunk(longest + 1);
    let ending = (0..=body.len()).find_map(|length| reader.step(&body.as_bytes()[..length]));
    assert_eq!(
        ending.map(|ending| ending.bytes),
        Some(Err(ChunkError::ExtensionTooLong))
    );
}

#[test]
fn trailers_that_connection_named_are_dropped() {
    let head = b"POST http://h/ HTTP/1.1\r\nHost: h\r\nConnection: X-Hop,, close, te\r\n\
        Transfer-Encoding: chunked\r\nconnection: digest\r\n\r\n";
    let request = request::parsed(head);
    let begin = || Reader {
        body: request.chunked_body(head),
        ..Reader::default()
    };
    for (section, left) in [
        ("", ""),
        ("x-hop: a\r\n", ""),
        (
            "A: b\r\nDIGEST: x\r\nX-Hop:\r\nX-Hops: c\r\n",
            "A: b\r\nX-Hops: c\r\n",
        ),
        ("TE: x\r\nHost: y\r\nC: d\r\n", "C: d\r\n"),
    ] {
        let body = format!("1\r\na\r\n0\r\n{section}\r\n");
        let ending = cut::everywhere(body.as_bytes(), begin, Reader::step).unwrap();
        assert_eq!(ending.bytes, Ok(body.len()));
        let expected = format!("1\r\na\r\n0\r\n{left}\r\n");
        assert_eq!(ending.passed_on, expected.as_bytes(), "{section}");
    }
    // As many as there may be, and as long.
    let most = format!("0\r\n{}\r\n", "X-Hop: y\r\n".repeat(TRAILER_FIELDS_MAX));
    let ending = begin().step(most.as_bytes()).unwrap();
    assert_eq!(ending.passed_on, b"0\r\n\r\n");
    let long = format!("0\r\nX: {}\r\n\r\n", "y".repeat(TRAILER_BYTES_MAX as usize));
    let error = Err(ChunkError::Trailer(HeadError::HeadTooLong));
    assert_eq!(begin().step(long.as_bytes()).unwrap().bytes, error);
}

#[test]
fn trailers_are_bounded() {
    let read = |body: &str, step_bytes: usize| {
        let mut reader = Reader::default();
        let lengths = (0..body.len()).step_by(step_bytes).chain([body.len()]);
        let mut lengths = lengths.map(|length| reader.step(&body.as_bytes()[..length]));
        lengths.find_map(|ending| ending).map(|ending| ending.bytes)
    };
    let fields = |count: usize| format!("0\r\n{}\r\n", "X: y\r\n".repeat(count));
    let section = |bytes: usize| {
        let frame = "X: \r\n\r\n".len();
        format!("0\r\nX: {}\r\n\r\n", "y".repeat(bytes - frame))
    };
    for step_bytes in [1, 7, 100_000] {
        let most = fields(TRAILER_FIELDS_MAX);
        assert_eq!(read(&most, step_bytes), Some(Ok(most.len())));
        let error = Some(Err(ChunkError::Trailer(HeadError::TooManyFields)));
        assert_eq!(read(&fields(TRAILER_FIELDS_MAX + 1), step_bytes), error);

        let longest = section(TRAILER_BYTES_MAX as usize);
        assert_eq!(read(&longest, step_bytes), Some(Ok(longest.len())));
        let error = Some(Err(ChunkError::Trailer(HeadError::HeadTooLong)));
        assert_eq!(
            read(&section(TRAILER_BYTES_MAX as usize + 1), step_bytes),
            error
        );
        let endless = format!("0\r\nX: {}", "y".repeat(100_000));
        assert_eq!(read(&endless, step_bytes), error);
    }
}

#[test]
fn every_byte_is_looked_at_once_however_it_arrives() {
    let touched = |chunks: usize, step_bytes: usize| {
        let chunk = format!("40;name=value\r\n{}\r\n", "d".repeat(0x40));
        let body = format!("{}0\r\nX: y\r\n\r\n", chunk.repeat(chunks));
        let mut reader = Reader::default();
        for length in (0..body.len()).step_by(step_bytes) {
            assert_eq!(reader.step(&body.as_bytes()[..length]), None);
        }
        assert!(reader.step(body.as_bytes()).unwrap().bytes.is_ok());
        reader.body.bytes_touched
    };
    for step_bytes in [1, 3, 50, 10_000_000] {
        // Framing and extensions once, and once more where something else begins; data not at all, except for the
        // byte that shows that it begins, once per step.
        let (few, many) = (touched(10, step_bytes), touched(1000, step_bytes));
        assert!(few <= 10 * 2 * 84 + 40, "{step_bytes}: {few}");
        assert!(many <= 100 * few, "{step_bytes}: {few} and {many}");
    }
    assert!(
        touched(1000, 10_000_000) <= 1000 * 24 + 40,
        "data is not looked at"
    );
    assert!(touched(1000, 10_000_000) >= 1000 * 17, "the count counts");
}

#[test]
fn a_body_is_small() {
    assert!(
        size_of::<ChunkedBody>() <= 48,
        "{}",
        size_of::<ChunkedBody>()
    );
}
