//! Request heads from the bytes on, through the scan and the parser together.

use crate::addr::AuthorityError;
use crate::limits::{
    CONNECTION_OPTIONS_MAX, HEAD_BYTES_MAX, HEAD_FIELDS_MAX, METHOD_BYTES_MAX, TARGET_BYTES_MAX,
};
use crate::proto::cut;
use crate::proto::http1::HeadError::*;
use crate::proto::http1::{
    HeadError, HeadScan, MethodKind, ReplyBody, RequestHead, ResponseHead, Scan, Status, Upgrade,
    Version, connect_authority,
};

/// What becomes of `received`: a parsed head and its length, an error, or `None` when more is needed.
fn step(scan: &mut HeadScan, received: &[u8]) -> Option<Result<(usize, RequestHead), HeadError>> {
    let answer = scan.advance(received);
    assert_eq!(scan.advance(received), answer, "asked twice");
    match answer {
        Ok(Scan::NeedMore) => None,
        Ok(Scan::Complete(bytes)) => {
            Some(RequestHead::parse(&received[..bytes]).map(|head| (bytes, head)))
        }
        Err(error) => Some(Err(error)),
    }
}

pub(super) fn read(received: &[u8]) -> Option<Result<(usize, RequestHead), HeadError>> {
    cut::everywhere(received, HeadScan::default, step)
}

/// For inputs so long that cutting them everywhere would take minutes.
fn read_coarsely(received: &[u8]) -> Option<Result<(usize, RequestHead), HeadError>> {
    let whole = step(&mut HeadScan::default(), received);
    let mut scan = HeadScan::default();
    let single = (0..=received.len()).find_map(|length| step(&mut scan, &received[..length]));
    assert_eq!(single, whole);
    whole
}

pub(super) fn parsed(received: &[u8]) -> RequestHead {
    match read(received) {
        Some(Ok((_, request))) => request,
        other => panic!("{:?}: {other:?}", received.escape_ascii().to_string()),
    }
}

#[test]
fn a_connect_head_is_read() {
    let head =
        b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\nUser-Agent:\t curl/8 \r\n\
        Proxy-Connection: Keep-Alive\r\nproxy-authorization: Basic Zm9vOmJhcg==\r\nEmpty:\r\n\r\n";
    let request = parsed(head);
    assert!(request.is_connect(head));
    assert_eq!(request.method.of(head), b"CONNECT");
    assert_eq!(request.target.of(head), b"example.com:443");
    assert_eq!(request.version, Version::Http11);
    let credentials = request.proxy_authorization.map(|span| span.of(head));
    assert_eq!(credentials, Some(b"Basic Zm9vOmJhcg==".as_slice()));
    let fields: Vec<(&[u8], &[u8])> = request.fields(head).collect();
    let expected: [(&[u8], &[u8]); 5] = [
        (b"Host", b"example.com:443"),
        (b"User-Agent", b"curl/8"),
        (b"Proxy-Connection", b"Keep-Alive"),
        (b"proxy-authorization", b"Basic Zm9vOmJhcg=="),
        (b"Empty", b""),
    ];
    assert_eq!(fields, expected);
    let authority = connect_authority(&request, head).unwrap();
    assert_eq!(authority.to_string(), "example.com:443");
}

#[test]
fn payload_behind_the_head_is_not_looked_at() {
    let head = b"CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n";
    for payload in [
        b"\x16\x03\x01".as_slice(),
        b"\n",
        b"\r",
        b" x",
        b"\r\n\r\n",
        b"\0",
    ] {
        let received = [head, payload].concat();
        let (bytes, _) = read(&received).unwrap().unwrap();
        assert_eq!(bytes, head.len());
    }
}

#[test]
fn what_is_allowed_is_accepted() {
    for head in [
        // RFC 9112 section 2.2: one empty line before the request line.
        "\r\nCONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n",
        // Host is asked of HTTP/1.1 only.
        "CONNECT h:1 HTTP/1.0\r\n\r\n",
        "CONNECT h:1 HTTP/1.0\r\nHost: h:1\r\n\r\n",
        // Host may be empty, lack the port, name another host, stand anywhere, in any case.
        "CONNECT h:1 HTTP/1.1\r\nHost:\r\n\r\n",
        "CONNECT h:1 HTTP/1.1\r\nHost: \r\n\r\n",
        "CONNECT h:1 HTTP/1.1\r\nHost:h\r\n\r\n",
        "CONNECT h:1 HTTP/1.1\r\nHost: h:\r\n\r\n",
        "CONNECT h:1 HTTP/1.1\r\nHost: other.example:2\r\n\r\n",
        "CONNECT h:1 HTTP/1.1\r\nHost: [2001:db8::1]:443\r\n\r\n",
        "CONNECT h:1 HTTP/1.1\r\nHost: [2001:db8::1]\r\n\r\n",
        "CONNECT h:1 HTTP/1.1\r\nX: y\r\nhOST: h:1\r\n\r\n",
        // Every token byte in a name; tabs, spaces and obs-text in a value.
        "CONNECT h:1 HTTP/1.0\r\n!#$%&'*+-.^_`|~09azAZ: x\r\n\r\n",
        "CONNECT h:1 HTTP/1.0\r\nX: a\t b\u{fc}\t \r\nY: :\r\n\r\n",
    ] {
        let request = parsed(head.as_bytes());
        let authority = connect_authority(&request, head.as_bytes()).unwrap();
        assert_eq!(authority.to_string(), "h:1", "{head:?}");
    }
}

/// Every refusal, and the status it is answered with.
const HOSTILE: &[(&str, HeadError, u16)] = &[
    ("\x16\x03\x01\x02\0\x01\0\x01", NotHttp, 400),
    ("\x05\x01\0", NotHttp, 400),
    ("\x04\x01\0\x50", NotHttp, 400),
    ("\0", NotHttp, 400),
    (" CONNECT h:1 HTTP/1.1\r\n\r\n", NotHttp, 400),
    ("\tCONNECT h:1 HTTP/1.1\r\n\r\n", NotHttp, 400),
    ("\u{fc}", NotHttp, 400),
    ("\r\n\r\nCONNECT h:1 HTTP/1.1\r\n\r\n", NotHttp, 400),
    ("\r\n CONNECT h:1 HTTP/1.1\r\n\r\n", NotHttp, 400),
    ("\r\n\x05\x01\0", NotHttp, 400),
    ("\nCONNECT h:1 HTTP/1.1\r\n\r\n", BareLf, 400),
    ("\r\n\nCONNECT h:1 HTTP/1.1\r\n\r\n", NotHttp, 400),
    ("\rCONNECT h:1 HTTP/1.1\r\n\r\n", BareCr, 400),
    ("SSH-2.0-OpenSSH_9.2\r\n", Method, 400),
    ("*1\r\n$4\r\nPING\r\n", Method, 400),
    ("CON\tNECT h:1 HTTP/1.1\r\n", Method, 400),
    ("CON\0NECT h:1 HTTP/1.1\r\n", Method, 400),
    ("CONNECT\th:1 HTTP/1.1\r\n", Method, 400),
    ("CONNECT(x) h:1 HTTP/1.1\r\n", Method, 400),
    ("GET /\r\n", Target, 400),
    ("CONNECT  h:1 HTTP/1.1\r\n", Target, 400),
    ("CONNECT \r\n", Target, 400),
    ("CONNECT h:1\tHTTP/1.1\r\n", Target, 400),
    ("CONNECT h\0:1 HTTP/1.1\r\n", Target, 400),
    ("CONNECT h\x7f:1 HTTP/1.1\r\n", Target, 400),
    ("CONNECT \u{fc}:1 HTTP/1.1\r\n", Target, 400),
    ("CONNECT h:1  HTTP/1.1\r\n", Version, 400),
    ("CONNECT h:1 HTTP/1.1 \r\n", Version, 400),
    ("CONNECT h:1 HTTP/1.1 x\r\n", Version, 400),
    ("CONNECT h:1 HTTP/1.10\r\n", Version, 400),
    ("CONNECT h:1 HTTP/1.\r\n", Version, 400),
    ("CONNECT h:1 HTTP/1\r\n", Version, 400),
    ("CONNECT h:1 HTTP/a.1\r\n", Version, 400),
    ("CONNECT h:1 http/1.1\r\n", Version, 400),
    ("CONNECT h:1 \r\n", Version, 400),
    ("CONNECT h:1 HTTP/0.9\r\n", VersionUnsupported, 505),
    ("CONNECT h:1 HTTP/1.2\r\n", VersionUnsupported, 505),
    ("CONNECT h:1 HTTP/3.0\r\n", VersionUnsupported, 505),
    ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", VersionUnsupported, 505),
    ("CONNECT h:1 HTTP/1.1\n", BareLf, 400),
    ("CONNECT h:1 HTTP/1.1\rHost: h\r\n", BareCr, 400),
    ("CONNECT h:1 HTTP/1.1\r\r\n", BareCr, 400),
    ("CONNECT h:1 HTTP/1.1\r\nHost: h\n\r\n", BareLf, 400),
    ("CONNECT h:1 HTTP/1.1\r\nHost: h\nX: y\r\n\r\n", BareLf, 400),
    ("CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\n", BareLf, 400),
    ("CONNECT h:1 HTTP/1.1\r\nHost: h\r\r\n\r\n", BareCr, 400),
    ("CONNECT h:1 HTTP/1.1\r\nHost: h\rX: y\r\n\r\n", BareCr, 400),
    ("CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\rX", BareCr, 400),
    ("CONNECT h:1 HTTP/1.1\r\n Host: h\r\n\r\n", ObsFold, 400),
    ("CONNECT h:1 HTTP/1.1\r\n\tHost: h\r\n\r\n", ObsFold, 400),
    ("CONNECT h:1 HTTP/1.1\r\n \r\n", ObsFold, 400),
    (
        "CONNECT h:1 HTTP/1.1\r\nHost: h\r\n X\r\n\r\n",
        ObsFold,
        400,
    ),
    (
        "CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\tX: y\r\n\r\n",
        ObsFold,
        400,
    ),
    ("CONNECT h:1 HTTP/1.1\r\nHost : h\r\n\r\n", FieldName, 400),
    ("CONNECT h:1 HTTP/1.1\r\nHost\t: h\r\n\r\n", FieldName, 400),
    (
        "CONNECT h:1 HTTP/1.1\r\n: h\r\nHost: h\r\n\r\n",
        FieldName,
        400,
    ),
    (
        "CONNECT h:1 HTTP/1.1\r\nHost: h\r\nX\r\n\r\n",
        FieldName,
        400,
    ),
    (
        "CONNECT h:1 HTTP/1.1\r\nHost: h\r\nX\0: y\r\n\r\n",
        FieldName,
        400,
    ),
    (
        "CONNECT h:1 HTTP/1.1\r\nHost: h\r\nX(y): z\r\n\r\n",
        FieldName,
        400,
    ),
    (
        "CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\u{fc}: z\r\n\r\n",
        FieldName,
        400,
    ),
    ("CONNECT h:1 HTTP/1.1\r\nHost: h\0\r\n\r\n", FieldValue, 400),
    (
        "CONNECT h:1 HTTP/1.1\r\nHost: h\r\nX: \x08\r\n\r\n",
        FieldValue,
        400,
    ),
    (
        "CONNECT h:1 HTTP/1.1\r\nHost: h\r\nX: a\x7fb\r\n\r\n",
        FieldValue,
        400,
    ),
    (
        "CONNECT h:1 HTTP/1.1\r\nHost: h\r\nX: a\x0bb\r\n\r\n",
        FieldValue,
        400,
    ),
    ("CONNECT h:1 HTTP/1.1\r\n\r\n", HostMissing, 400),
    (
        "CONNECT h:1 HTTP/1.1\r\nX-Host: h\r\n\r\n",
        HostMissing,
        400,
    ),
    (
        "CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\nHost: h:1\r\n\r\n",
        HostRepeated,
        400,
    ),
    (
        "CONNECT h:1 HTTP/1.1\r\nHost: h\r\nX: y\r\nHOST:\r\n\r\n",
        HostRepeated,
        400,
    ),
    (
        "CONNECT h:1 HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
        HostRepeated,
        400,
    ),
    ("CONNECT h:1 HTTP/1.1\r\nHost: a, b\r\n\r\n", HostValue, 400),
    ("CONNECT h:1 HTTP/1.1\r\nHost: a b\r\n\r\n", HostValue, 400),
    ("CONNECT h:1 HTTP/1.1\r\nHost: h:x\r\n\r\n", HostValue, 400),
    ("CONNECT h:1 HTTP/1.1\r\nHost: :1\r\n\r\n", HostValue, 400),
    ("CONNECT h:1 HTTP/1.1\r\nHost: u@h\r\n\r\n", HostValue, 400),
    (
        "CONNECT h:1 HTTP/1.1\r\nHost: http://h/\r\n\r\n",
        HostValue,
        400,
    ),
    ("CONNECT h:1 HTTP/1.1\r\nHost: [::1\r\n\r\n", HostValue, 400),
    (
        "CONNECT h:1 HTTP/1.1\r\nHost: \u{fc}\r\n\r\n",
        HostValue,
        400,
    ),
    (
        "CONNECT h:1 HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
        ContentOnConnect,
        400,
    ),
    (
        "CONNECT h:1 HTTP/1.1\r\nHost: h\r\ncontent-length: 5\r\n\r\nhello",
        ContentOnConnect,
        400,
    ),
    (
        "CONNECT h:1 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
        ContentOnConnect,
        400,
    ),
    (
        "CONNECT h:1 HTTP/1.0\r\nTRANSFER-ENCODING:\r\n\r\n",
        ContentOnConnect,
        400,
    ),
    (
        "CONNECT h:1 HTTP/1.0\r\nProxy-Authorization: a\r\nProxy-Authorization: a\r\n\r\n",
        CredentialsRepeated,
        400,
    ),
    (
        "GET / HTTP/1.0\r\nConnection: clo se\r\n\r\n",
        ConnectionOption,
        400,
    ),
    (
        "GET / HTTP/1.0\r\nConnection: a, b;c\r\n\r\n",
        ConnectionOption,
        400,
    ),
    (
        "GET / HTTP/1.0\r\nConnection: \"close\"\r\n\r\n",
        ConnectionOption,
        400,
    ),
    (
        "OPTIONS / HTTP/1.0\r\nMax-Forwards: x\r\n\r\n",
        MaxForwards,
        400,
    ),
    (
        "OPTIONS / HTTP/1.0\r\nMax-Forwards:\r\n\r\n",
        MaxForwards,
        400,
    ),
    (
        "TRACE / HTTP/1.0\r\nMax-Forwards: -1\r\n\r\n",
        MaxForwards,
        400,
    ),
    (
        "TRACE / HTTP/1.0\r\nMax-Forwards: 1, 1\r\n\r\n",
        MaxForwards,
        400,
    ),
    (
        "TRACE / HTTP/1.0\r\nMax-Forwards: 1\r\nMax-Forwards: 1\r\n\r\n",
        MaxForwards,
        400,
    ),
];

#[test]
fn hostile_heads_are_refused() {
    for (head, error, code) in HOSTILE {
        assert_eq!(read(head.as_bytes()), Some(Err(*error)), "{head:?}");
        assert_eq!(error.status().code(), *code, "{head:?}");
        // The parser alone refuses them too, whoever cut the head out and how.
        assert!(RequestHead::parse(head.as_bytes()).is_err(), "{head:?}");
    }
}

#[test]
fn what_cannot_become_a_request_is_refused_by_its_first_byte() {
    for byte in 0..=u8::MAX {
        let token = byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let expected = match byte {
            b'\r' => Ok(Scan::NeedMore),
            b'\n' => Err(BareLf),
            _ if token => Ok(Scan::NeedMore),
            _ => Err(NotHttp),
        };
        assert_eq!(HeadScan::default().advance(&[byte]), expected, "{byte:#x}");
    }
}

#[test]
fn an_unfinished_head_needs_more() {
    let head = b"\r\nCONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n";
    for length in 0..head.len() {
        assert_eq!(read(&head[..length]), None, "{length}");
        assert!(RequestHead::parse(&head[..length]).is_err(), "{length}");
    }
    let behind = [head.as_slice(), b"\r\n"].concat();
    assert_eq!(RequestHead::parse(&behind), Err(HeadEnd));
}

#[test]
fn connect_wants_a_connect_with_host_and_port() {
    let authority = |head: &[u8]| connect_authority(&parsed(head), head);
    for (target, error) in [
        ("host", AuthorityError::PortMissing),
        ("host:", AuthorityError::PortMissing),
        (":80", AuthorityError::HostMissing),
        ("h:0", AuthorityError::Port),
        ("h:65536", AuthorityError::Port),
        ("h:+80", AuthorityError::Port),
        ("h:080", AuthorityError::Port),
        ("u:p@h:80", AuthorityError::Userinfo),
        ("http://h:80", AuthorityError::NotAuthority),
        ("h:80/", AuthorityError::Port),
    ] {
        let head = format!("CONNECT {target} HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(
            authority(head.as_bytes()),
            Err(Authority(error)),
            "{target}"
        );
        assert_eq!(Authority(error).status(), Status::BadRequest);
    }
    for head in [
        "GET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n",
        "connect h:1 HTTP/1.1\r\nHost: h\r\n\r\n",
    ] {
        let error = authority(head.as_bytes()).unwrap_err();
        assert_eq!(error, MethodNotImplemented, "{head}");
        assert_eq!(error.status(), Status::NotImplemented);
    }
}

fn outcome(head: &str) -> Option<Result<(), HeadError>> {
    read_coarsely(head.as_bytes()).map(|answer| answer.map(drop))
}

#[test]
fn the_limit_of_targets_is_exact() {
    let target = |bytes: usize| {
        let name = "a".repeat(bytes);
        outcome(&format!(
            "{} {name} HTTP/1.0\r\n\r\n",
            "M".repeat(METHOD_BYTES_MAX as usize)
        ))
    };
    assert_eq!(target(TARGET_BYTES_MAX as usize), Some(Ok(())));
    assert_eq!(
        target(TARGET_BYTES_MAX as usize + 1),
        Some(Err(TargetTooLong))
    );
    // A short method leaves room in the line; the target's own limit holds all the same.
    let head = format!(
        "M {} HTTP/1.0\r\n\r\n",
        "a".repeat(TARGET_BYTES_MAX as usize + 1)
    );
    assert_eq!(outcome(&head), Some(Err(TargetTooLong)));
    let head = format!("CONNECT {}", "a".repeat(2 * TARGET_BYTES_MAX as usize));
    assert_eq!(outcome(&head), Some(Err(TargetTooLong)));
    // What stands behind the limit does not matter, arrived or not.
    let head = format!("CONNECT {}\n", "a".repeat(2 * TARGET_BYTES_MAX as usize));
    assert_eq!(outcome(&head), Some(Err(TargetTooLong)));
    assert_eq!(TargetTooLong.status().code(), 414);
}

#[test]
fn the_limit_of_methods_is_exact() {
    let method = |bytes: usize| outcome(&format!("{} / HTTP/1.0\r\n\r\n", "M".repeat(bytes)));
    assert_eq!(method(METHOD_BYTES_MAX as usize), Some(Ok(())));
    assert_eq!(
        method(METHOD_BYTES_MAX as usize + 1),
        Some(Err(MethodTooLong))
    );
    assert_eq!(outcome(&"M".repeat(10_000)), Some(Err(MethodTooLong)));
    assert_eq!(MethodTooLong.status().code(), 501);
}

#[test]
fn the_limits_of_fields_are_exact() {
    let fields = |count: usize, end: &str| {
        outcome(&format!(
            "CONNECT h:1 HTTP/1.0\r\n{}{end}",
            "X: y\r\n".repeat(count)
        ))
    };
    assert_eq!(fields(HEAD_FIELDS_MAX, "\r\n"), Some(Ok(())));
    assert_eq!(
        fields(HEAD_FIELDS_MAX + 1, "\r\n"),
        Some(Err(TooManyFields))
    );
    // Refused at the line that is too many, not at the head's end.
    assert_eq!(fields(HEAD_FIELDS_MAX + 1, ""), Some(Err(TooManyFields)));
    assert_eq!(TooManyFields.status().code(), 431);

    let options = |count: usize| {
        let names = "X, ".repeat(count);
        outcome(&format!(
            "GET / HTTP/1.0\r\nConnection: {names}close,,TE\r\n\r\n"
        ))
    };
    assert_eq!(options(CONNECTION_OPTIONS_MAX), Some(Ok(())));
    assert_eq!(
        options(CONNECTION_OPTIONS_MAX + 1),
        Some(Err(TooManyOptions))
    );
    assert_eq!(TooManyOptions.status().code(), 431);
}

#[test]
fn the_limit_of_heads_is_exact() {
    let head = |bytes: usize, end: &str| {
        let frame = "CONNECT h:1 HTTP/1.0\r\nX: \r\n\r\n".len();
        format!(
            "CONNECT h:1 HTTP/1.0\r\nX: {}\r\n\r\n{end}",
            "y".repeat(bytes - frame)
        )
    };
    let longest = HEAD_BYTES_MAX as usize;
    assert_eq!(outcome(&head(longest, "")), Some(Ok(())));
    assert_eq!(outcome(&head(longest, "payload")), Some(Ok(())));
    assert_eq!(outcome(&head(longest + 1, "")), Some(Err(HeadTooLong)));
    assert_eq!(
        RequestHead::parse(head(longest + 1, "").as_bytes()),
        Err(HeadTooLong)
    );
    let bare = head(longest + 100, "").replace("\r\n\r\n", "\n");
    assert_eq!(outcome(&bare), Some(Err(HeadTooLong)));
    assert_eq!(HeadTooLong.status().code(), 431);
}

#[test]
fn cost_is_linear_however_the_bytes_arrive() {
    let touched = |bytes: usize, step_bytes: usize| {
        let line = "CONNECT h:1 HTTP/1.0\r\n";
        let fields = "X-Some-Name: some value of a field\r\n".repeat(bytes / 100);
        let filling = "y".repeat(bytes - line.len() - fields.len() - "Z: \r\n\r\n".len());
        let head = format!("{line}{fields}Z: {filling}\r\n\r\n");
        assert_eq!(head.len(), bytes);
        let mut scan = HeadScan::default();
        for length in (step_bytes..bytes).step_by(step_bytes) {
            assert_eq!(scan.advance(&head.as_bytes()[..length]), Ok(Scan::NeedMore));
        }
        assert_eq!(scan.advance(head.as_bytes()), Ok(Scan::Complete(bytes)));
        scan.bytes_touched
    };
    let request_line_bytes = 100;
    for step_bytes in [1, 2, 7, 100] {
        let (short, long) = (touched(1024, step_bytes), touched(8192, step_bytes));
        // Each byte once, the request line twice, and a CR once more when a cut parts it from its LF.
        assert!(
            short <= 1024 + 1024 / 10 + request_line_bytes,
            "{step_bytes}: {short}"
        );
        assert!(long <= 8 * short, "{step_bytes}: {short} and {long}");
    }
    assert!(touched(8192, 8191) >= 8192, "the count counts");
}

/// Fields that no option of Connection may take away.
const INDISPENSABLE: &[&str] = &[
    "Host",
    "Content-Length",
    "Transfer-Encoding",
    "Content-Encoding",
    "Content-Range",
    "Content-Type",
    "Cache-Control",
    "Expect",
    "Max-Forwards",
    "Via",
    "Forwarded",
    "X-Forwarded-For",
];

#[test]
fn connection_may_not_name_what_the_message_cannot_lose() {
    for name in INDISPENSABLE {
        for name in [(*name).to_owned(), name.to_lowercase(), name.to_uppercase()] {
            for value in [
                name.clone(),
                format!("close, {name}"),
                format!("x,\t{name} ,"),
            ] {
                let head = format!("GET / HTTP/1.1\r\nHost: h\r\nConnection: {value}\r\n\r\n");
                let error = read(head.as_bytes()).unwrap().unwrap_err();
                assert_eq!(error, ConnectionField, "{value}");
                assert_eq!(error.status().code(), 400);
            }
        }
    }
}

/// A request with these lines behind Host; the version is given.
fn with_lines(line: &str, lines: &[&str]) -> (String, RequestHead) {
    let mut head = format!("{line}\r\nHost: h\r\n");
    for line in lines {
        head += line;
        head += "\r\n";
    }
    head += "\r\n";
    let request = parsed(head.as_bytes());
    (head, request)
}

#[test]
fn whether_the_client_goes_on_is_known() {
    for (version, lines, expected) in [
        ("1.1", &[][..], true),
        ("1.1", &["Connection: keep-alive"], true),
        ("1.1", &["Connection: close"], false),
        ("1.1", &["Connection: CLOSE"], false),
        ("1.1", &["Connection: keep-alive, close"], false),
        (
            "1.1",
            &["Connection: close", "Connection: keep-alive"],
            false,
        ),
        ("1.1", &["Connection: x", "connection:,\tClose,"], false),
        ("1.1", &["Connection: closed"], true),
        ("1.1", &["Proxy-Connection: close"], true),
        ("1.0", &[], false),
        ("1.0", &["Connection: Keep-Alive"], true),
        ("1.0", &["Connection: Keep-Alive, close"], false),
        ("1.0", &["Keep-Alive: timeout=5"], false),
        ("1.0", &["Proxy-Connection: keep-alive"], false),
    ] {
        let (head, request) = with_lines(&format!("GET http://h/ HTTP/{version}"), lines);
        assert_eq!(request.keeps_alive(), expected, "{head}");
    }
}

#[test]
fn what_an_upgrade_asks_for_is_known() {
    for (version, lines, expected) in [
        ("1.1", &[][..], Upgrade::None),
        ("1.1", &["Upgrade: websocket"], Upgrade::None),
        ("1.1", &["Connection: Upgrade"], Upgrade::None),
        (
            "1.1",
            &["Connection: Upgrade", "Upgrade: websocket"],
            Upgrade::WebSocket,
        ),
        (
            "1.1",
            &["Upgrade: WebSocket", "Connection: keep-alive, upgrade"],
            Upgrade::WebSocket,
        ),
        (
            "1.0",
            &["Connection: Upgrade", "Upgrade: websocket"],
            Upgrade::None,
        ),
        (
            "1.1",
            &["Connection: Upgrade", "Upgrade: h2c"],
            Upgrade::Other,
        ),
        (
            "1.1",
            &["Connection: Upgrade", "Upgrade: websocket, h2c"],
            Upgrade::Other,
        ),
        (
            "1.1",
            &["Connection: Upgrade", "Upgrade: websocket", "Upgrade: h2c"],
            Upgrade::Other,
        ),
        (
            "1.1",
            &["Connection: Upgrade", "Upgrade: h2c", "Upgrade: websocket"],
            Upgrade::Other,
        ),
        ("1.1", &["Connection: Upgrade", "Upgrade:"], Upgrade::Other),
        (
            "1.1",
            &["Connection: Upgrade", "Upgrade: websocket/13"],
            Upgrade::Other,
        ),
        (
            "1.1",
            &["Connection: Upgrade, HTTP2-Settings", "Upgrade: TLS/1.0"],
            Upgrade::Other,
        ),
    ] {
        let (head, request) = with_lines(&format!("GET http://h/ HTTP/{version}"), lines);
        assert_eq!(request.upgrade(), expected, "{head}");
    }
}

#[test]
fn methods_are_what_they_mean() {
    for (method, kind, safe) in [
        ("CONNECT", MethodKind::Connect, false),
        ("HEAD", MethodKind::Head, true),
        ("OPTIONS", MethodKind::Options, true),
        ("TRACE", MethodKind::Trace, true),
        ("GET", MethodKind::Safe, true),
        ("PROPFIND", MethodKind::Safe, true),
        ("PUT", MethodKind::Other, false),
        ("DELETE", MethodKind::Other, false),
        ("POST", MethodKind::Other, false),
        ("PATCH", MethodKind::Other, false),
        // Methods have a case.
        ("get", MethodKind::Other, false),
        ("Head", MethodKind::Other, false),
        ("connect", MethodKind::Other, false),
        ("GETS", MethodKind::Other, false),
    ] {
        let (head, request) = with_lines(&format!("{method} h:1 HTTP/1.1"), &[]);
        assert_eq!(request.kind(), kind, "{method}");
        assert_eq!(kind.is_safe(), safe, "{method}");
        assert_eq!(request.is_connect(head.as_bytes()), method == "CONNECT");
    }
}

#[test]
fn max_forwards_counts_for_two_methods() {
    for (method, lines, expected) in [
        ("OPTIONS", &[][..], None),
        ("OPTIONS", &["Max-Forwards: 0"], Some(0)),
        ("TRACE", &["max-forwards: 010 "], Some(10)),
        (
            "TRACE",
            &["Max-Forwards: 99999999999999999999999999"],
            Some(u64::MAX),
        ),
        ("GET", &["Max-Forwards: 0"], None),
        ("GET", &["Max-Forwards: x", "Max-Forwards: y"], None),
        ("HEAD", &["Max-Forwards: 1"], None),
    ] {
        let (head, request) = with_lines(&format!("{method} http://h/ HTTP/1.1"), lines);
        assert_eq!(request.max_forwards(head.as_bytes()), expected, "{head}");
    }
}

#[test]
fn browsers_are_answered_in_html_and_tools_in_text() {
    for (method, lines, expected) in [
        ("GET", &[][..], ReplyBody::Text),
        ("GET", &["Accept: */*"], ReplyBody::Text),
        (
            "GET",
            &["Accept: text/html,application/xhtml+xml,*/*;q=0.8"],
            ReplyBody::Html,
        ),
        (
            "GET",
            &["Accept: application/json, TEXT/HTML ;q=1"],
            ReplyBody::Html,
        ),
        ("GET", &["Accept: text/plain, text/html"], ReplyBody::Text),
        ("GET", &["Accept: text/html, text/plain"], ReplyBody::Html),
        (
            "GET",
            &["Accept: x/y", "Accept: text/html"],
            ReplyBody::Html,
        ),
        ("GET", &["Accept: text/htmlx"], ReplyBody::Text),
        ("GET", &["Accept:"], ReplyBody::Text),
        ("HEAD", &["Accept: text/html"], ReplyBody::None),
        ("HEAD", &[], ReplyBody::None),
    ] {
        let (head, request) = with_lines(&format!("{method} / HTTP/1.1"), lines);
        assert_eq!(request.reply_body(head.as_bytes()), expected, "{head}");
        let html = lines
            .iter()
            .any(|line| line.to_lowercase().contains("html"))
            && expected != ReplyBody::Text;
        assert_eq!(request.prefers_html(head.as_bytes()), html, "{head}");
    }
}

#[test]
fn a_head_is_small_enough_to_be_copied() {
    assert!(
        size_of::<RequestHead>() <= 72,
        "{}",
        size_of::<RequestHead>()
    );
    assert!(
        size_of::<ResponseHead>() <= 48,
        "{}",
        size_of::<ResponseHead>()
    );
}
