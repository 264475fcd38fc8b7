//! Chunked bodies made by chance: however they are cut, they are what a naive reading says, which shares nothing with the
//! checker.

use super::chunked;
use super::mixed::{Chance, TELLING, changed};

/// What a chunked body is, told by reading it as RFC 9112 section 7.1 writes it down.
enum Naive {
    Whole {
        bytes: usize,
        data: Vec<u8>,
        passed_on: Vec<u8>,
    },
    Unfinished,
    Wrong,
}

/// A line, and what is behind its CRLF; `None` while it goes on.
type NaiveLine<'a> = Option<(&'a [u8], &'a [u8])>;

/// The first line. `Err` when a CR or LF stands alone.
fn naive_line(input: &[u8]) -> Result<NaiveLine<'_>, ()> {
    let Some(at) = input.iter().position(|byte| b"\r\n".contains(byte)) else {
        return Ok(None);
    };
    match &input[at..] {
        [b'\r', b'\n', rest @ ..] => Ok(Some((&input[..at], rest))),
        [b'\r'] => Ok(None),
        _ => Err(()),
    }
}

fn naive_body(input: &[u8]) -> Naive {
    match naive_chunks(input) {
        Ok(Some((rest, data, passed_on))) => Naive::Whole {
            bytes: input.len() - rest.len(),
            data,
            passed_on,
        },
        Ok(None) => Naive::Unfinished,
        Err(()) => Naive::Wrong,
    }
}

/// What is behind a body, its data, and what goes on in its place.
type NaiveBody<'a> = (&'a [u8], Vec<u8>, Vec<u8>);

fn naive_chunks(mut input: &[u8]) -> Result<Option<NaiveBody<'_>>, ()> {
    let (mut data, mut passed_on) = (Vec::new(), Vec::new());
    loop {
        let Some((line, rest)) = naive_line(input)? else {
            return Ok(None);
        };
        let line: String = line.iter().map(|byte| char::from(*byte)).collect();
        let (size, extension) = line.split_once(';').unwrap_or((&line, ""));
        let control = |c: char| c.is_ascii_control() && c != '\t';
        if size.starts_with(['+', '-']) || size.len() > 16 || extension.contains(control) {
            return Err(());
        }
        let bytes = i64::from_str_radix(size, 16).map_err(drop)? as usize;
        passed_on.extend_from_slice(size.as_bytes());
        passed_on.extend_from_slice(b"\r\n");
        if bytes == 0 {
            let trailers = naive_trailers(rest, &mut passed_on)?;
            return Ok(trailers.map(|rest| (rest, data, passed_on)));
        }
        let Some(chunk) = rest.get(..bytes) else {
            return Ok(None);
        };
        data.extend_from_slice(chunk);
        passed_on.extend_from_slice(chunk);
        match &rest[bytes..] {
            [b'\r', b'\n', rest @ ..] => input = rest,
            [] | [b'\r'] => return Ok(None),
            _ => return Err(()),
        }
        passed_on.extend_from_slice(b"\r\n");
    }
}

fn naive_trailers<'a>(
    mut input: &'a [u8],
    passed_on: &mut Vec<u8>,
) -> Result<Option<&'a [u8]>, ()> {
    loop {
        let Some((line, rest)) = naive_line(input)? else {
            return Ok(None);
        };
        input = rest;
        let text: String = line.iter().map(|byte| char::from(*byte)).collect();
        if text.is_empty() {
            passed_on.extend_from_slice(b"\r\n");
            return Ok(Some(rest));
        }
        let (name, value) = text.split_once(':').ok_or(())?;
        let is_tchar = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        let control = |c: char| c.is_ascii_control() && c != '\t';
        if name.is_empty() || !name.chars().all(is_tchar) || value.contains(control) {
            return Err(());
        }
        if !["content-length", "host"].contains(&name.to_lowercase().as_str()) {
            passed_on.extend_from_slice(line);
            passed_on.extend_from_slice(b"\r\n");
        }
    }
}

/// Compares with the naive reading; whether the body was whole, and whether it was refused.
fn check_body(received: &[u8]) -> [bool; 2] {
    let text = received.escape_ascii().to_string();
    let ending = chunked::read(received);
    match (naive_body(received), ending) {
        (
            Naive::Whole {
                bytes,
                data,
                passed_on,
            },
            Some(ending),
        ) => {
            assert_eq!(ending.bytes, Ok(bytes), "{text}");
            assert_eq!(ending.data, data, "{text}");
            assert_eq!(
                ending.passed_on.escape_ascii().to_string(),
                passed_on.escape_ascii().to_string()
            );
            // What goes on means the same, and goes on as it is.
            let again = chunked::read(&passed_on).unwrap();
            assert_eq!(again.bytes, Ok(passed_on.len()), "{text}");
            assert_eq!((again.data, again.passed_on), (data, passed_on), "{text}");
            [true, false]
        }
        (Naive::Unfinished, None) => [false, false],
        // A line that is wrong before it is whole.
        (Naive::Unfinished | Naive::Wrong, Some(ending)) if ending.bytes.is_err() => [false, true],
        // A wrong trailer is told when its section is whole.
        (Naive::Wrong, None) => {
            let more = [received, b"\r\n\r\n"].concat();
            assert!(
                chunked::read(&more).is_some_and(|ending| ending.bytes.is_err()),
                "{text}"
            );
            [false, true]
        }
        (_, ending) => panic!("{text}: {ending:?}"),
    }
}

#[test]
fn mixed_chunks_are_read_alike_and_by_the_rules() {
    const PIECES: &[&str] = &[
        "1",
        "0",
        "2",
        "5",
        "a",
        "F",
        "10",
        "ab",
        "hello",
        "\r\n",
        "\r\n",
        "\r\n",
        "\r\n",
        "\r",
        "\n",
        ";x",
        ";a=\"b\"",
        " ",
        "-",
        "x: y",
        "1\r\nz\r\n",
        "2;e\r\nzz\r\n",
        "3\r\n\r\n\r\r\n",
        "0\r\n",
        "0\r\n\r\n",
        "0\r\nX: y\r\n",
        "Host: h\r\n",
        "Content-Length: 1\r\n",
        "\0",
        "7fffffffffffffff",
        "0000000000000000",
        "\u{fc}",
    ];
    let mut chance = Chance::new();
    let (mut whole, mut wrong) = (0, 0);
    for _ in 0..10_000 {
        let count = 1 + chance.below(9);
        let end = ["", "0\r\n\r\n"][chance.below(2)];
        let body = [chance.mix(PIECES, count), end.into()].concat();
        let [is_whole, is_wrong] = check_body(&body);
        whole += usize::from(is_whole);
        wrong += usize::from(is_wrong);
    }
    assert!(whole > 500 && wrong > 500, "{whole} whole, {wrong} wrong");
}

#[test]
fn one_changed_byte_of_a_body_is_read_alike_and_by_the_rules() {
    let body = b"5\r\nhello\r\n1;a=b\r\nx\r\n0\r\nX: y\r\nHost: h\r\n\r\n";
    let wrong = changed(body, TELLING.iter().copied())
        .filter(|received| check_body(received)[1])
        .count();
    assert!(wrong > 500, "{wrong}");
}
