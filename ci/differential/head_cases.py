"""Everything else in a head: line ends, names, request lines, targets and Host, Connection, Expect, pipelines."""

from corpus import chunked, cut_off, forwarded, refused
from framing_cases import GOT, HELLO, POSTED, name_of

# Lines.
for name, line in (
    ("LF in a value", b"X: a\nY: b"),
    ("LF LF", b"X: a\n\nY: b"),
    ("LF CR LF", b"X: a\n\r\nY: b"),
    ("CR in a value", b"X: a\rY: b"),
    ("CR CR LF", b"X: a\r"),
    ("CR before a name", b"\rX: a"),
    ("LF before a name", b"\nX: a"),
    ("NUL in a value", b"X: a\x00b"),
    ("NUL in a name", b"X\x00: a"),
    ("bell in a value", b"X: \x07"),
    ("backspace in a value", b"X: a\x08"),
    ("vertical tab in a value", b"X: a\x0bb"),
    ("form feed in a value", b"X: a\x0cb"),
    ("escape in a value", b"X: \x1b[0m"),
    ("DEL in a value", b"X: a\x7fb"),
    ("control byte in a name", b"X\x01: a"),
    ("DEL in a name", b"X\x7f: a"),
    ("space before the colon", b"X : a"),
    ("tab before the colon", b"X\t: a"),
    ("space in a name", b"X Y: a"),
    ("slash in a name", b"X/Y: a"),
    ("brackets in a name", b"X[0]: a"),
    ("bytes above ASCII in a name", b"X\xc3\xa9: a"),
    ("no colon", b"X"),
    ("no colon but a space", b"X a"),
    ("empty name", b": a"),
    ("only a colon", b":"),
    ("folded by space", b"X: a\r\n b"),
    ("folded by tab", b"X: a\r\n\tb"),
    ("folded at once", b"X:\r\n b"),
    ("folded and empty", b"X: a\r\n \r\nY: b"),
    ("folded length", b"X: a\r\n Content-Length: 5"),
):
    refused(f"line: {name}", lambda aim, line=line: aim.request(b"GET", b"a", line) + aim.smuggled())
refused(
    "line: space before the first field",
    lambda aim: aim.bare(b"GET " + aim.url(b"a") + b" HTTP/1.1", b" X: a", aim.host()),
)
refused("line: LF ends the request line", lambda aim: aim.request(b"GET", b"a").replace(b"\r\n", b"\n", 1))
refused("line: LF ends all lines", lambda aim: aim.request(b"GET", b"a").replace(b"\r\n", b"\n"))
refused("line: LF ends the head", lambda aim: aim.request(b"GET", b"a")[:-2] + b"\n" + aim.smuggled())
refused("line: CR ends the head", lambda aim: aim.request(b"GET", b"a")[:-2] + b"\rX")
refused("line: CR ends the request line", lambda aim: aim.request(b"GET", b"a").replace(b"\r\n", b"\r", 1))
refused("line: LF before the request", lambda aim: b"\n" + aim.request(b"GET", b"a"))
refused("line: two empty lines before the request", lambda aim: b"\r\n\r\n" + aim.request(b"GET", b"a"))
refused("line: space before the request", lambda aim: b" " + aim.request(b"GET", b"a"))
refused("line: NUL before the request", lambda aim: b"\x00" + aim.request(b"GET", b"a"))
forwarded("line: one empty line before the request", lambda aim: b"\r\n" + aim.request(b"GET", b"a"), GOT)
for line in (b"X:", b"X: ", b"X:\t", b"X: \xe9\xff", b"X: a:b", b"X: a\tb", b"!#$%&'*+-.^_`|~09: a", b"X: \"\\\"\""):
    forwarded(f"line, plain: {name_of(line)}", lambda aim, line=line: aim.request(b"GET", b"a", line), GOT)
refused("line: more fields than a head may have", lambda aim: aim.request(b"GET", b"a", *[b"X: a"] * 101), 431)
refused("line: longer than a head may be", lambda aim: aim.request(b"GET", b"a", b"X: " + b"a" * 40_000), 431)
forwarded("line: almost as long as a head may be", lambda aim: aim.request(b"GET", b"a", b"X: " + b"a" * 7_000), GOT)

# Request lines; URL stands for the target.
for line, *statuses in (
    (b"GET  URL HTTP/1.1",), (b"GET URL  HTTP/1.1",), (b"GET URL HTTP/1.1 ",), (b"GET\tURL HTTP/1.1",),
    (b"GET URL\tHTTP/1.1",), (b"GET\x0bURL HTTP/1.1",), (b"GET URL",), (b"GET URL ",), (b"GET",),
    (b"GET URL HTTP/1.1\tX",), (b"GET URL HTTP/1.1 HTTP/1.1",), (b"GET URL x HTTP/1.1",), (b"GET URL\x00 HTTP/1.1",),
    (b"GET URL\x7f HTTP/1.1",), (b"GET URL\xc3\xa9 HTTP/1.1",), (b"GET URL\xff HTTP/1.1",), (b"GET URL#x HTTP/1.1",),
    (b"GET URL http/1.1",), (b"GET URL HTTP/11",), (b"GET URL HTTP/1",), (b"GET URL HTTP/1.",), (b"GET URL HTTP/.1",),
    (b"GET URL HTTP/1.10",), (b"GET URL HTTP/01.1",), (b"GET URL HTTP/1.1x",), (b"GET URL HTTP 1.1",),
    (b"GET URL HTTPS/1.1",), (b"GET URL HTTP/-1.1",), (b"GET URL HTTP/1.2", 505), (b"GET URL HTTP/2.0", 505),
    (b"GET URL HTTP/0.9", 505), (b"G\x00T URL HTTP/1.1",), (b"G@T URL HTTP/1.1",), (b"(GET) URL HTTP/1.1",),
    (b"GET: URL HTTP/1.1",), (b"\xc7ET URL HTTP/1.1",), (b"GET\r\n URL HTTP/1.1",), (b"GET URL\r\n HTTP/1.1",),
    (b"X" * 40 + b" URL HTTP/1.1", 501), (b"GET URL?" + b"x" * 9000 + b" HTTP/1.1", 414),
):
    refused(
        f"request line: {name_of(line[:48])}",
        lambda aim, line=line: aim.bare(line.replace(b"URL", aim.url(b"a")), aim.host()),
        *statuses,
    )
refused("request line: the preface of HTTP/2", lambda aim: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505)
for method in (b"get", b"Get", b"GETX", b"FOO", b"M-SEARCH", b"$", b"HTTP/1.1"[:4]):
    forwarded(
        f"request line: method {method.decode()}",
        lambda aim, method=method: aim.request(method, b"a"),
        (method, b"a", b""),
        may_refuse=("nginx", "apache", "node"),
    )
forwarded(
    "request line: method TRACE",
    lambda aim: aim.request(b"TRACE", b"a"),
    (b"TRACE", b"a", b""),
    may_refuse=("nginx", "apache", "node"),
)
for method in (b"TRACE", b"OPTIONS"):
    for value, status in (
        (b"0", 501), (b"", 400), (b"-1", 400), (b"x", 400), (b"1, 1", 400), (b"1\r\nMax-Forwards: 2", 400),
    ):
        refused(
            f"Max-Forwards: {method.decode()} {name_of(value)}",
            lambda aim, method=method, value=value: aim.request(method, b"a", b"Max-Forwards: " + value),
            status,
        )
    forwarded(
        f"Max-Forwards: {method.decode()} counted down",
        lambda aim, method=method: aim.request(method, b"a", b"Max-Forwards: 1"),
        (method, b"a", b""),
        may_refuse=("nginx", "apache", "node"),
    )
for suffix in (
    b"?x=1", b"?http://other.test/", b"//x", b"/../../x", b"/%2e%2e/x", b"%0d%0aX:%20y", b"%00", b"\\x", b"?a|b^c`d{}",
    b";p=1", b"%zz", b"?x=%20HTTP/1.1%0d%0aHost:%20y", b'"x"<y>',
):
    forwarded(
        f"target: path with {name_of(suffix)}",
        lambda aim, suffix=suffix: aim.request(b"GET", b"a" + suffix),
        (b"GET", b"a" + suffix, b""),
        may_refuse=("nginx", "apache", "node"),
    )

# Targets and Host; AT stands for the origin's authority, PATH for a path of the case.
for target in (
    b"http:///PATH", b"http://", b"http:", b"http:/AT/PATH", b"http:AT/PATH", b"http//AT/PATH", b"://AT/PATH",
    b"//AT/PATH",
    b"http://user@AT/PATH", b"http://user:pw@AT/PATH", b"http://@AT/PATH", b"http://AT@other.test/PATH",
    b"http://other.test@AT/PATH", b"http://AT\\@other.test/PATH", b"http://AT\\/PATH", b"http://AT,other.test/PATH",
    b"http://AT;x/PATH", b"http://AT:80/PATH", b"http://AT%00/PATH", b"http://127.0.0.1:/:80/", b"http://127.0.0.1:x/",
    b"http://127.0.0.1:+80/", b"http://127.0.0.1:080/", b"http://127.0.0.1:65536/", b"http://127.0.0.1:0/",
    b"http://[::1/PATH", b"http://::1/PATH", b"http://[::1]x/PATH", b"http://[127.0.0.1]:80/", b"https://AT/PATH",
    b"ftp://AT/PATH", b"ws://AT/PATH", b"file:///PATH", b"AT", b"AT/PATH", b"*", b"/PATH", b"PATH", b"?x",
    b"http://a b/",
    b"http://.:80/", b"http://a..b:80/", b"http://0x7f.1:80/", b"http://127.1:80/", b"http://2130706433:80/",
):
    refused(
        f"target: {name_of(target)}",
        lambda aim, target=target: aim.bare(
            b"GET " + target.replace(b"AT", aim.authority, 1).replace(b"PATH", aim.path(b"a")[1:]) + b" HTTP/1.1",
            aim.host(),
        ),
        400,
        501,
        502,
        504,
    )
for name, lines in (
    ("missing", []),
    ("twice", [b"Host: AT", b"Host: AT"]),
    ("twice, other first", [b"Host: other.test", b"Host: AT"]),
    ("twice, other second", [b"Host: AT", b"Host: other.test"]),
    ("twice, other case", [b"Host: AT", b"hOST: other.test"]),
    ("twice, one empty", [b"Host:", b"Host: AT"]),
    ("twice, one folded", [b"X: y", b" Host: other.test", b"Host: AT"]),
    ("space before the colon", [b"Host : AT"]),
    ("two names", [b"Host: AT, other.test"]),
    ("two names by space", [b"Host: AT other.test"]),
    ("userinfo", [b"Host: user@AT"]),
    ("a path", [b"Host: AT/x"]),
    ("a URL", [b"Host: http://AT/"]),
    ("a port that is none", [b"Host: 127.0.0.1:x"]),
    ("two ports", [b"Host: 127.0.0.1:80:80"]),
    ("NUL", [b"Host: AT\x00.other.test"]),
    ("tab inside", [b"Host: AT\tother.test"]),
    ("backslash", [b"Host: AT\\other.test"]),
    ("question mark", [b"Host: AT?x"]),
    ("hash", [b"Host: AT#x"]),
    ("bracket", [b"Host: [::1"]),
):
    refused(
        f"Host: {name}",
        lambda aim, lines=lines: aim.bare(
            b"GET " + aim.url(b"a") + b" HTTP/1.1", *[line.replace(b"AT", aim.authority) for line in lines]
        ),
    )
for name, lines in (
    ("another one", [b"Host: other.test"]),
    ("another port", [b"Host: 127.0.0.1:1"]),
    ("empty", [b"Host:"]),
    ("in other case", [b"hOsT: Other.TEST"]),
    ("with X-Forwarded-Host", [b"Host: other.test", b"X-Forwarded-Host: third.test", b"X-Host: fourth.test"]),
    ("with Forwarded", [b"Host: other.test", b"Forwarded: host=third.test"]),
):
    forwarded(
        f"Host: {name}", lambda aim, lines=lines: aim.bare(b"GET " + aim.url(b"a") + b" HTTP/1.1", *lines), GOT
    )
forwarded("Host: missing in HTTP/1.0", lambda aim: aim.bare(b"GET " + aim.url(b"a") + b" HTTP/1.0"), GOT)
forwarded(
    "target: scheme in capitals",
    lambda aim: aim.bare(b"GET HTTP://" + aim.authority + aim.path(b"a") + b" HTTP/1.1", aim.host()),
    GOT,
)
forwarded(
    "target: OPTIONS about the server",
    lambda aim: aim.bare(b"OPTIONS http://" + aim.authority + b" HTTP/1.1", aim.host()),
    (b"OPTIONS", b"*", b""),
    may_refuse=("nginx", "apache"),
)
refused(
    "target: origin-form behind a request",
    lambda aim: aim.request(b"GET", b"a") + aim.smuggled(),
    after=[GOT],
)

# Connection: what it names goes away, and what the message cannot lose may not be named.
for value in (
    b"Content-Length", b"close, Content-Length", b"transfer-encoding", b"Host", b"keep-alive, host", b"Expect",
    b"X-Forwarded-For", b"Forwarded", b"Via", b"Cache-Control", b"Content-Type", b"a b", b"a;b", b'"close"', b"a\x00",
    b"Content-Length\r\nConnection: close", b"close\r\n , Content-Length", b"Max-Forwards",
):
    refused(
        f"Connection: {name_of(value)}",
        lambda aim, value=value: aim.request(
            b"POST", b"a", b"Connection: " + value, b"Content-Length: 5", body=HELLO
        ),
    )
refused("Connection: more names than it may have", lambda aim: aim.request(
    b"GET", b"a", b"Connection: " + b", ".join(b"x%d" % number for number in range(40))), 431)
for lines in (
    [b"Connection: close"], [b"Connection: keep-alive"], [b"Connection:"], [b"Connection: ,"], [b"Connection: ,close,"],
    [b"Connection: X-A", b"X-A: b"], [b"Connection: Cookie", b"Cookie: a=b"], [b"Connection: Authorization"],
    [b"Connection: close", b"Connection: keep-alive"], [b"Connection: TE", b"TE: trailers"], [b"TE: chunked"],
    [b"Proxy-Connection: keep-alive"], [b"Keep-Alive: timeout=5"], [b"Connection: Keep-Alive", b"Keep-Alive: max=1"],
    [b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"],
    [b"Connection: HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQ"], [b"Upgrade: h2c"],
    [b"Connection: Upgrade", b"Upgrade: TLS/1.0"], [b"Connection: Upgrade"], [b"Upgrade: websocket"],
    [b"Connection: Upgrade", b"Upgrade: websocket, h2c"], [b"Proxy-Authorization: Basic eDp5"],
    [b"Connection: close, Proxy-Authorization", b"Proxy-Authorization: Basic eDp5"],
):
    name = " | ".join(name_of(line) for line in lines)
    forwarded(
        f"fields of one hop: {name}",
        lambda aim, lines=lines: aim.request(b"POST", b"a", *lines, b"Content-Length: 5", body=HELLO),
        POSTED,
    )
    closes = any(line.lower().startswith(b"connection:") and b"close" in line for line in lines)
    forwarded(
        f"fields of one hop, and a request behind: {name}",
        lambda aim, lines=lines: aim.request(b"POST", b"a", *lines, b"Content-Length: 5", body=HELLO)
        + aim.request(b"GET", b"b"),
        POSTED,
        *([] if closes else [(b"GET", b"b", b"")]),
    )

# Upgrades whose bytes behind look like a request, when the origin does not switch.
WEBSOCKET = (
    b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
forwarded(
    "upgrade: refused by the origin, a request behind",
    lambda aim: aim.request(b"GET", b"a", *WEBSOCKET) + aim.request(b"GET", b"b"),
    GOT,
    (b"GET", b"b", b""),
)
refused(
    "upgrade: refused by the origin, bytes behind that would be for it",
    lambda aim: aim.request(b"GET", b"a", *WEBSOCKET) + aim.smuggled(),
    after=[GOT],
)

# Expect.
for value in (b"100-continue", b"100-Continue", b"100-continue, 100-continue"):
    forwarded(
        f"Expect: {value.decode()}",
        lambda aim, value=value: aim.request(
            b"POST", b"a", b"Expect: " + value, b"Content-Length: 5", body=HELLO
        ) + aim.request(b"GET", b"b"),
        POSTED,
        (b"GET", b"b", b""),
        may_refuse=("nginx", "apache", "node"),
    )
for value in (b"y 100-continue", b"200-ok", b"x", b""):
    forwarded(
        f"Expect, unknown: {value.decode()}",
        lambda aim, value=value: aim.request(b"POST", b"a", b"Expect: " + value, b"Content-Length: 5", body=HELLO),
        POSTED,
        may_refuse=("nginx", "apache", "node"),
    )

    def hidden(aim, value=value):
        body = aim.smuggled()
        return aim.request(b"GET", b"a", b"Expect: " + value, b"Content-Length: %d" % len(body), body=body)

    forwarded(
        f"Expect, unknown, with a body that is a request: {value.decode()}",
        hidden,
        (b"GET", b"a", lambda aim: aim.smuggled()),
        may_refuse=("nginx", "apache", "node"),
    )
forwarded("Expect: without a body", lambda aim: aim.request(b"GET", b"a", b"Expect: 100-continue"), GOT)
forwarded(
    "Expect: twice",
    lambda aim: aim.request(
        b"POST", b"a", b"Expect: 100-continue", b"Expect: 100-continue", b"Content-Length: 5", body=HELLO
    ),
    POSTED,
    may_refuse=("nginx", "apache", "node"),
)
forwarded(
    "Expect: length zero, and a request behind",
    lambda aim: aim.request(b"POST", b"a", b"Expect: 100-continue", b"Content-Length: 0") + aim.request(b"GET", b"b"),
    (b"POST", b"a", b""),
    (b"GET", b"b", b""),
)
forwarded(
    "Expect: in HTTP/1.0",
    lambda aim: aim.request(
        b"POST", b"a", b"Expect: 100-continue", b"Content-Length: 5", body=HELLO, version=b"HTTP/1.0"
    ),
    POSTED,
)
forwarded(
    "Expect: HEAD with a body that is a request",
    lambda aim: aim.request(
        b"HEAD", b"a", b"Expect: 100-continue", b"Content-Length: %d" % len(aim.smuggled()), body=aim.smuggled()
    ) + aim.request(b"GET", b"b"),
    (b"HEAD", b"a", lambda aim: aim.smuggled()),
    (b"GET", b"b", b""),
)
forwarded(
    "Expect: chunks, and a request behind",
    lambda aim: aim.request(b"POST", b"a", b"Expect: 100-continue", b"Transfer-Encoding: chunked", body=chunked(HELLO))
    + aim.request(b"GET", b"b"),
    POSTED,
    (b"GET", b"b", b""),
)

# Pipelines.
forwarded(
    "pipeline: five requests",
    lambda aim: b"".join(aim.request(b"GET", b"%d" % number) for number in range(5)),
    *[(b"GET", b"%d" % number, b"") for number in range(5)],
)
forwarded(
    "pipeline: with and without bodies",
    lambda aim: aim.request(b"POST", b"a", b"Content-Length: 5", body=HELLO) + aim.request(b"GET", b"b")
    + aim.request(b"POST", b"c", b"Transfer-Encoding: chunked", body=chunked(HELLO)) + aim.request(b"HEAD", b"d")
    + aim.request(b"GET", b"e"),
    POSTED, (b"GET", b"b", b""), (b"POST", b"c", HELLO), (b"HEAD", b"d", b""), (b"GET", b"e", b""),
)
forwarded(
    "pipeline: an empty line between",
    lambda aim: aim.request(b"POST", b"a", b"Content-Length: 5", body=HELLO) + b"\r\n" + aim.request(b"GET", b"b"),
    POSTED, (b"GET", b"b", b""),
)
refused(
    "pipeline: two empty lines between",
    lambda aim: aim.request(b"POST", b"a", b"Content-Length: 5", body=HELLO) + b"\r\n\r\n" + aim.request(b"GET", b"b"),
    after=[POSTED],
)
forwarded(
    "pipeline: what is behind the length makes another method",
    lambda aim: aim.request(b"POST", b"a", b"Content-Length: 3", body=HELLO) + aim.request(b"GET", b"b"),
    (b"POST", b"a", b"hel"), (b"loGET", b"b", b""),
    may_refuse=("nginx", "node"),
)
refused(
    "pipeline: what is behind the length is no request",
    lambda aim: aim.request(b"POST", b"a", b"Content-Length: 3", body=b"hel{}") + aim.request(b"GET", b"b"),
    after=[(b"POST", b"a", b"hel")],
)
cut_off(
    "pipeline: the body is shorter than its length",
    lambda aim: aim.request(b"POST", b"a", b"Content-Length: 9", body=HELLO),
)
refused(
    "pipeline: a bad request second",
    lambda aim: aim.request(b"GET", b"a") + aim.request(b"GET", b"b", b"X : y") + aim.request(b"GET", b"c"),
    after=[GOT],
)
refused(
    "pipeline: a bad request behind HEAD",
    lambda aim: aim.request(b"HEAD", b"a") + aim.request(b"GET", b"b", b"X : y"),
    after=[(b"HEAD", b"a", b"")],
)
refused(
    "pipeline: both fields second",
    lambda aim: aim.request(b"GET", b"a")
    + aim.request(b"POST", b"b", b"Content-Length: 5", b"Transfer-Encoding: chunked", body=chunked(HELLO)),
    after=[GOT],
)
forwarded(
    "pipeline: close first",
    lambda aim: aim.request(b"GET", b"a", b"Connection: close") + aim.request(b"GET", b"b"),
    GOT,
)
refused(
    "CONNECT with a length",
    lambda aim: aim.bare(b"CONNECT " + aim.authority + b" HTTP/1.1", aim.host(), b"Content-Length: 5", body=HELLO),
)
refused(
    "CONNECT with a coding",
    lambda aim: aim.bare(
        b"CONNECT " + aim.authority + b" HTTP/1.1", aim.host(), b"Transfer-Encoding: chunked", body=chunked(HELLO)
    ),
)
refused(
    "CONNECT to a URL",
    lambda aim: aim.bare(b"CONNECT " + aim.url(b"a") + b" HTTP/1.1", aim.host(), body=aim.smuggled()),
)
