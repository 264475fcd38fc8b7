//! Heads made by chance: whatever is accepted obeys the rules and goes on as it should, and however it is cut.
//!
//! Rules and results are told by naive code that shares nothing with the parsers: it splits texts into lines.

use super::{request, response};
use crate::proto::http1::ConnectionField::{Close, KeepAlive, Silent};
use crate::proto::http1::{
    Framing, HttpTarget, MethodKind, RequestHead, RequestRewrite, ResponseHead, ResponseRewrite,
    TargetForm, Upgrade, Version, rewrite_request, rewrite_response, target_form,
};

/// Numbers that look random (xorshift64).
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % bound
    }

    /// So many pieces, one after the other.
    pub(super) fn mix(&mut self, pieces: &[&str], count: usize) -> Vec<u8> {
        let picked = (0..count).map(|_| pieces[self.below(pieces.len())]);
        picked.flat_map(str::bytes).collect()
    }
}

/// Pieces that requests are made of, and pieces that they must not be made of.
const REQUEST_PIECES: &[&str] = &[
    "CONNECT",
    "GET",
    " ",
    "h:1",
    "example.com:443",
    "http://h",
    "/p?q",
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
    "GET http://h/ HTTP/1.1\r\nHost: h\r\n",
];

/// First lines, whole field lines and parts of them: these mixes are heads more often.
const REQUEST_LINES: &[&str] = &[
    "GET http://h/p HTTP/1.1\r\n",
    "POST http://h:8080?q HTTP/1.1\r\n",
    "POST http://h HTTP/1.0\r\n",
    "OPTIONS http://h HTTP/1.1\r\n",
    "HEAD / HTTP/1.1\r\n",
    "CONNECT h:1 HTTP/1.1\r\n",
];
const FIELD_LINES: &[&str] = &[
    "Host: h\r\n",
    "host:  h:8080\r\n",
    "X: y\r\n",
    "x-Hop: 1\r\n",
    "Empty:\r\n",
    "Content-Length: 5\r\n",
    "CONTENT-LENGTH:\t 05\t\r\n",
    "Content-Length: 5, 5\r\n",
    "Content-Length: -1\r\n",
    "content-length: 7",
    "Transfer-Encoding: chunked\r\n",
    "transfer-encoding:\tChunked \r\n",
    "Transfer-Encoding: gzip, chunked\r\n",
    "Transfer-Encoding: ",
    "Connection: close\r\n",
    "Connection: keep-alive, X-Hop\r\n",
    "connection: x, ,Upgrade\r\n",
    "Connection: Host\r\n",
    "Keep-Alive: 5\r\n",
    "Proxy-Connection: x\r\n",
    "Upgrade: websocket\r\n",
    "TE: trailers\r\n",
    "Max-Forwards: 7\r\n",
    "Via: 1.0 a\r\n",
    "Trailer: ",
    "chunked\r\n",
    "\r\n",
    "x\n",
    " y\r\n",
];

/// A head as lines: each without its CRLF. Panics unless all of them end in CRLF, there is no other CR or LF and no
/// other control byte, and one empty line stands at the end.
fn lines_of(head: &[u8]) -> Vec<&[u8]> {
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
    let mut lines: Vec<&[u8]> = lines.iter().map(|line| &line[..line.len() - 1]).collect();
    assert_eq!(lines.pop(), Some(b"".as_slice()), "{text}");
    if lines[0].is_empty() {
        lines.remove(0);
    }
    assert!(lines.iter().all(|line| !line.is_empty()), "{text}");
    lines
}

/// Name in small letters and value of a field line.
fn split_field(line: &[u8]) -> (String, String) {
    let text = String::from_utf8_lossy(line);
    let (name, value) = text.split_once(':').unwrap();
    (
        name.to_lowercase(),
        value.trim_matches([' ', '\t']).to_owned(),
    )
}

/// The one way in which a framing goes on.
fn spelled(name: &str, value: &str) -> Vec<u8> {
    match name {
        "content-length" => format!("Content-Length: {}", value.parse::<u64>().unwrap()),
        _ => "Transfer-Encoding: chunked".to_owned(),
    }
    .into_bytes()
}

fn values<'a>(fields: &'a [(String, String)], wanted: &str) -> Vec<&'a str> {
    let matching = fields.iter().filter(|(name, _)| name == wanted);
    matching.map(|(_, value)| value.as_str()).collect()
}

/// The only ways a head may state a body.
fn stated(fields: &[(String, String)]) -> Framing {
    let lengths = values(fields, "content-length");
    let codings = values(fields, "transfer-encoding");
    match (lengths.as_slice(), codings.as_slice()) {
        ([], []) => Framing::None,
        ([length], []) => {
            assert!(length.bytes().all(|byte| byte.is_ascii_digit()), "{length}");
            Framing::Length(length.parse::<i64>().unwrap() as u64)
        }
        ([], [coding]) if coding.eq_ignore_ascii_case("chunked") => Framing::Chunked,
        other => panic!("{other:?} was accepted"),
    }
}

/// What Connection names, in small letters.
fn options(fields: &[(String, String)]) -> Vec<String> {
    let lists = values(fields, "connection");
    let options = lists.iter().flat_map(|list| list.split(','));
    options
        .map(|option| option.trim_matches([' ', '\t']).to_lowercase())
        .collect()
}

const ONE_HOP: [&str; 8] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "upgrade",
];

fn check_fields(lines: &[&[u8]], parsed: Vec<(&[u8], &[u8])>) -> Vec<(String, String)> {
    assert_eq!(parsed.len(), lines.len());
    let fields: Vec<(String, String)> = lines.iter().map(|line| split_field(line)).collect();
    for ((name, value), (expected_name, expected_value)) in parsed.iter().zip(&fields) {
        assert!(!name.is_empty());
        assert_eq!(String::from_utf8_lossy(name).to_lowercase(), *expected_name);
        assert_eq!(String::from_utf8_lossy(value), *expected_value);
    }
    fields
}

/// Whatever is accepted obeys the rules.
fn check_request(head: &[u8], request: &RequestHead) {
    let lines = lines_of(head);
    let text = head.escape_ascii().to_string();
    let request_line = [request.method.of(head), request.target.of(head)].join(&b' ');
    assert!(lines[0].starts_with(&request_line), "{text}");
    let fields = check_fields(&lines[1..], request.fields(head).collect());
    let hosts = values(&fields, "host").len();
    assert!(
        hosts == 1 || hosts == 0 && request.version == Version::Http10,
        "{text}"
    );
    let framing = stated(&fields);
    assert_eq!(request.framing(), framing, "{text}");
    assert!(
        framing == Framing::None || !request.is_connect(head),
        "{text}"
    );
    assert!(
        framing != Framing::Chunked || request.version == Version::Http11,
        "{text}"
    );
    let options = options(&fields);
    let close = options.iter().any(|option| option == "close");
    let keep_alive = options.iter().any(|option| option == "keep-alive");
    let expected = !close && (request.version == Version::Http11 || keep_alive);
    assert_eq!(request.keeps_alive(), expected, "{text}");
    let asked =
        options.iter().any(|option| option == "upgrade") && request.version == Version::Http11;
    let expected = match values(&fields, "upgrade").as_slice() {
        [protocol] if asked && protocol.eq_ignore_ascii_case("websocket") => Upgrade::WebSocket,
        [_, ..] if asked => Upgrade::Other,
        _ => Upgrade::None,
    };
    assert_eq!(request.upgrade(), expected, "{text}");
    if let Ok(TargetForm::Http(target)) = target_form(request, head) {
        check_request_goes_on(head, request, &target, &lines, &fields);
    }
}

/// What goes on is what lines, filtered and joined, would be; and it is a request of the same framing.
fn check_request_goes_on(
    head: &[u8],
    request: &RequestHead,
    target: &HttpTarget,
    lines: &[&[u8]],
    fields: &[(String, String)],
) {
    let text = String::from_utf8_lossy(request.target.of(head)).into_owned();
    let rest = &text["http://".len()..];
    let path_start = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(path_start);
    let method = String::from_utf8_lossy(request.method.of(head)).into_owned();
    let path = match path {
        "" if method == "OPTIONS" => "*".to_owned(),
        "" => "/".to_owned(),
        path if path.starts_with('?') => format!("/{path}"),
        path => path.to_owned(),
    };
    let mut expected = vec![format!("{method} {path} HTTP/1.1").into_bytes()];
    let host = format!("Host: {authority}").into_bytes();
    if values(fields, "host").is_empty() {
        expected.push(host.clone());
    }
    let options = options(fields);
    for (line, (name, value)) in lines[1..].iter().zip(fields) {
        match name.as_str() {
            "host" => expected.push(host.clone()),
            "content-length" | "transfer-encoding" => expected.push(spelled(name, value)),
            "max-forwards" if method == "OPTIONS" => expected.push(b"Max-Forwards: 6".to_vec()),
            name if ONE_HOP.contains(&name) || options.iter().any(|option| option == name) => {}
            _ => expected.push(line.to_vec()),
        }
    }
    let via = if request.version == Version::Http10 {
        "1.0"
    } else {
        "1.1"
    };
    expected.extend([b"Extra: 1".to_vec(), b"Connection: close".to_vec()]);
    expected.extend([format!("Via: {via} ringway").into_bytes(), vec![], vec![]]);
    let rewrite = RequestRewrite {
        target,
        upgrade: false,
        close: true,
        extra: b"Extra: 1\r\n",
    };
    let mut out = Vec::with_capacity(head.len() + rewrite.extra.len() + 128);
    let room = out.as_ptr();
    rewrite_request(request, head, &rewrite, &mut out);
    assert_eq!(out.as_ptr(), room, "there is room for every head");
    assert_eq!(
        out.escape_ascii().to_string(),
        expected.join(b"\r\n".as_slice()).escape_ascii().to_string()
    );
    let again = RequestHead::parse(&out).unwrap();
    assert_eq!(again.framing(), request.framing());
    assert_eq!(
        values(fields, "via").len() + 1,
        again
            .fields(&out)
            .filter(|field| field.0.eq_ignore_ascii_case(b"via"))
            .count()
    );
}

/// Whatever is accepted obeys the rules.
fn check_response(head: &[u8], response: &ResponseHead) {
    let lines = lines_of(head);
    let text = head.escape_ascii().to_string();
    assert!((100..=999).contains(&response.status), "{text}");
    let line = String::from_utf8_lossy(lines[0]).into_owned();
    assert_eq!(
        line["HTTP/1.1 ".len()..][..3],
        response.status.to_string(),
        "{text}"
    );
    let fields = check_fields(&lines[1..], response.fields(head).collect());
    let framing = stated(&fields);
    let bodiless = response.status < 200 || [204, 304].contains(&response.status);
    let expected = match framing {
        _ if bodiless => Framing::None,
        Framing::None => Framing::UntilClose,
        framing => framing,
    };
    assert_eq!(response.framing(MethodKind::Safe), expected, "{text}");
    assert_eq!(response.framing(MethodKind::Head), Framing::None, "{text}");
    for (framing, connection) in [
        (expected, Silent),
        (Framing::UntilClose, Close),
        (Framing::Chunked, KeepAlive),
    ] {
        let rewrite = ResponseRewrite {
            framing,
            connection,
        };
        check_response_goes_on(head, response, &rewrite, &lines, &fields);
    }
}

fn check_response_goes_on(
    head: &[u8],
    response: &ResponseHead,
    rewrite: &ResponseRewrite,
    lines: &[&[u8]],
    fields: &[(String, String)],
) {
    let (status, rest) = lines[0]["HTTP/1.1 ".len()..].split_at(3);
    let reason = rest.get(1..).unwrap_or_default();
    let mut expected = vec![[b"HTTP/1.1 ".as_slice(), status, b" ", reason].concat()];
    let options = options(fields);
    let length_goes = matches!(rewrite.framing, Framing::None | Framing::Length(_))
        && response.status >= 200
        && response.status != 204;
    for (line, (name, value)) in lines[1..].iter().zip(fields) {
        let goes = match name.as_str() {
            "content-length" => length_goes,
            "transfer-encoding" => rewrite.framing == Framing::Chunked,
            name => !ONE_HOP.contains(&name) && !options.iter().any(|option| option == name),
        };
        if goes && ["content-length", "transfer-encoding"].contains(&name.as_str()) {
            expected.push(spelled(name, value));
        } else if goes {
            expected.push(line.to_vec());
        }
    }
    if rewrite.framing == Framing::Chunked && values(fields, "transfer-encoding").is_empty() {
        expected.push(b"Transfer-Encoding: chunked".to_vec());
    }
    match rewrite.connection {
        Close => expected.push(b"Connection: close".to_vec()),
        KeepAlive => expected.push(b"Connection: keep-alive".to_vec()),
        _ => {}
    }
    let via = if response.version == Version::Http10 {
        "1.0"
    } else {
        "1.1"
    };
    expected.extend([format!("Via: {via} ringway").into_bytes(), vec![], vec![]]);
    let mut out = Vec::with_capacity(head.len() + 128);
    let room = out.as_ptr();
    rewrite_response(response, head, rewrite, &mut out);
    assert_eq!(out.as_ptr(), room, "there is room for every head");
    assert_eq!(
        out.escape_ascii().to_string(),
        expected.join(b"\r\n".as_slice()).escape_ascii().to_string()
    );
    let again = ResponseHead::parse(&out).unwrap();
    if rewrite.framing != Framing::None {
        assert_eq!(
            again.framing(MethodKind::Safe) == Framing::None,
            response.framing(MethodKind::Safe) == Framing::None
        );
    }
}

/// Reads requests; how many were accepted, and how many of those go on.
fn requests(heads: impl Iterator<Item = Vec<u8>>) -> [usize; 2] {
    let mut counts = [0; 2];
    for received in heads {
        if let Some(Ok((bytes, request))) = request::read(&received) {
            check_request(&received[..bytes], &request);
            counts[0] += 1;
            let form = target_form(&request, &received);
            counts[1] += usize::from(matches!(form, Ok(TargetForm::Http(_))));
        }
    }
    counts
}

#[test]
fn mixed_pieces_are_read_alike_and_by_the_rules() {
    let mut chance = Chance::new();
    let [accepted, _] = requests((0..10_000).map(|_| chance.mix(REQUEST_PIECES, 12)));
    assert!(
        accepted > 50,
        "{accepted} accepted: the pieces make too few heads"
    );
}

#[test]
fn mixed_lines_are_read_alike_and_by_the_rules() {
    let mut chance = Chance::new();
    let [accepted, go_on] = requests((0..2000).map(|_| {
        let fields = chance.below(7);
        let parts = [
            chance.mix(REQUEST_LINES, 1),
            chance.mix(FIELD_LINES, fields),
            b"\r\n".to_vec(),
        ];
        parts.concat()
    }));
    assert!(
        accepted > 150 && go_on > 75,
        "{accepted} accepted, {go_on} go on"
    );
}

#[test]
fn mixed_responses_are_read_alike_and_by_the_rules() {
    const STATUS_LINES: &[&str] = &[
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 404\r\n",
        "HTTP/1.0 200 \r\n",
        "HTTP/1.0 302\r\n",
        "HTTP/1.1 204 No Content\r\n",
        "HTTP/1.1 304 \t x\r\n",
        "HTTP/1.1 777\r\n",
        "HTTP/1.1 100 Continue\r\n",
        "HTTP/1.1 099 x\r\n",
        "HTTP/1.1 2",
    ];
    let mut chance = Chance::new();
    let mut accepted = 0;
    for _ in 0..2000 {
        let fields = chance.below(7);
        let parts = [
            chance.mix(STATUS_LINES, 1),
            chance.mix(FIELD_LINES, fields),
            b"\r\n".to_vec(),
        ];
        let received = parts.concat();
        if let Some(Ok((bytes, response))) = response::read(&received) {
            check_response(&received[..bytes], &response);
            accepted += 1;
        }
    }
    assert!(accepted > 250, "{accepted} accepted");
}

/// Bytes that mean something in a head or a chunk line, and some that must not stand there.
pub(super) const TELLING: &[u8] = b"\0\x08\t\n\x0b\r !\"#%()*,-./01:;=?@AFXfghx[\\]_{}\x7f\x80\xff";

/// A message with each byte replaced by each of `bytes`.
pub(super) fn changed(
    message: &[u8],
    bytes: impl Iterator<Item = u8> + Clone,
) -> impl Iterator<Item = Vec<u8>> {
    (0..message.len()).flat_map(move |at| {
        bytes.clone().map(move |byte| {
            let mut received = message.to_vec();
            received[at] = byte;
            received
        })
    })
}

#[test]
fn one_changed_byte_is_read_alike_and_by_the_rules() {
    let connect = b"CONNECT h.x:1 HTTP/1.1\r\nHost: h:1\r\nX: y\r\n\r\n";
    let get = b"GET http://h/ HTTP/1.1\r\nHost: h\r\nTE: x\r\nConnection: a\r\n\r\n";
    for received in changed(connect, 0..=u8::MAX).chain(changed(get, TELLING.iter().copied())) {
        if let Some(Ok((bytes, request))) = request::read(&received) {
            check_request(&received[..bytes], &request);
        }
        if let Ok(request) = RequestHead::parse(&received) {
            check_request(&received, &request);
        }
    }
}

#[test]
fn one_changed_byte_of_a_response_is_read_alike_and_by_the_rules() {
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 15\r\nTE: x\r\n\r\n";
    for received in changed(head, TELLING.iter().copied()) {
        if let Some(Ok((bytes, response))) = response::read(&received) {
            check_response(&received[..bytes], &response);
        }
        if let Ok(response) = ResponseHead::parse(&received) {
            check_response(&received, &response);
        }
    }
}
