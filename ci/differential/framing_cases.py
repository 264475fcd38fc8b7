"""Where a body ends: Content-Length, Transfer-Encoding, and both (RFC 9112 sections 6.1 to 6.3 and 11.2)."""

from corpus import chunked, forwarded, refused

HELLO = b"hello"
POSTED = (b"POST", b"a", HELLO)
GOT = (b"GET", b"a", b"")
# They refuse a tab around a value that decides about framing.
REFUSE_TABS = ("nginx", "node")


def name_of(line: bytes) -> str:
    return line.decode("latin-1").encode("unicode_escape").decode()


# Both fields: each order, spelling and body that the two ends could disagree about.
def both(name, first, second, version=b"HTTP/1.1"):
    def cl_te(aim):
        body = b"0\r\n\r\n" + aim.smuggled()
        lines = [line.replace(b"LENGTH", b"%d" % len(body)) for line in (first, second)]
        return aim.request(b"POST", b"a", *lines, body=body, version=version)

    def te_cl(aim):
        body = chunked(aim.smuggled())
        lines = [line.replace(b"LENGTH", b"4") for line in (first, second)]
        return aim.request(b"POST", b"a", *lines, body=body, version=version)

    refused(f"both fields, body ends by chunks: {name}", cl_te)
    refused(f"both fields, body ends by length: {name}", te_cl)


LENGTH, CHUNKED = b"Content-Length: LENGTH", b"Transfer-Encoding: chunked"
both("length first", LENGTH, CHUNKED)
both("coding first", CHUNKED, LENGTH)
both("HTTP/1.0", LENGTH, CHUNKED, version=b"HTTP/1.0")
both("other case", b"content-length: LENGTH", b"TRANSFER-ENCODING: Chunked")
both("length empty", b"Content-Length:", CHUNKED)
both("coding empty", LENGTH, b"Transfer-Encoding:")
both("coding unknown", LENGTH, b"Transfer-Encoding: xchunked")
both("coding identity", LENGTH, b"Transfer-Encoding: identity")
both("length zero", b"Content-Length: 0", CHUNKED)

# Transfer-Encoding in disguise. Each is sent alone with a chunked body, and beside a Content-Length that covers all.
DISGUISED = [
    (b"Transfer-Encoding : chunked", 400),
    (b"Transfer-Encoding\t: chunked", 400),
    (b"Transfer-Encoding\x0b: chunked", 400),
    (b"Transfer-Encoding\x00: chunked", 400),
    (b"Transfer\x00-Encoding: chunked", 400),
    (b"Transfer Encoding: chunked", 400),
    (b" Transfer-Encoding: chunked", 400),
    (b"\tTransfer-Encoding: chunked", 400),
    (b":Transfer-Encoding: chunked", 400),
    (b": Transfer-Encoding: chunked", 400),
    (b"\x00Transfer-Encoding: chunked", 400),
    (b"\xefTransfer-Encoding: chunked", 400),
    (b'"Transfer-Encoding": chunked', 400),
    (b"Transfer-Encoding=chunked", 400),
    (b"Transfer-Encoding chunked", 400),
    (b"Transfer-Encoding:\x0bchunked", 400),
    (b"Transfer-Encoding:\x0cchunked", 400),
    (b"Transfer-Encoding: \x00chunked", 400),
    (b"Transfer-Encoding: chunked\x00", 400),
    (b"Transfer-Encoding: chunked\x0b", 400),
    (b"Transfer-Encoding: chunked\x7f", 400),
    (b"Transfer-Encoding:\r\n chunked", 400),
    (b"Transfer-Encoding:\r\n\tchunked", 400),
    (b"Transfer-Encoding: chunked\r\n , identity", 400),
    (b"Transfer-Encoding:\n chunked", 400),
    (b"Transfer-Encoding\n: chunked", 400),
    (b"Transfer-Encoding\r\n: chunked", 400),
    (b"Transfer-Encoding:\rchunked", 400),
    (b"Transfer-Encoding: chunked\r", 400),
    (b"X: x\nTransfer-Encoding: chunked", 400),
    (b"X: x\rTransfer-Encoding: chunked", 400),
    (b"X: x\x00Transfer-Encoding: chunked", 400),
    (b"X: x\r\n Transfer-Encoding: chunked", 400),
    (b"Transfer-Encoding:", 400),
    (b"Transfer-Encoding: ,", 400),
    (b"Transfer-Encoding: ,chunked", 400),
    (b"Transfer-Encoding: chunked,", 400),
    (b"Transfer-Encoding: chunked, chunked", 400),
    (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", 400),
    (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", 400),
    (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x", 400),
    (b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked", 501),
    (b"Transfer-Encoding: chunked, identity", 400),
    (b"Transfer-Encoding: chunked, gzip", 400),
    (b"Transfer-Encoding: identity, chunked", 501),
    (b"Transfer-Encoding: gzip, chunked", 501),
    (b"Transfer-Encoding: gzip", 501),
    (b"Transfer-Encoding: identity", 501),
    (b"Transfer-Encoding: xchunked", 501),
    (b"Transfer-Encoding: chunkedx", 501),
    (b"Transfer-Encoding: chunk", 501),
    (b"Transfer-Encoding: 'chunked'", 501),
    (b'Transfer-Encoding: "chunked"', 400),
    (b"Transfer-Encoding: chunked;q=1", 400),
    (b"Transfer-Encoding: chunked; a=b", 400),
    (b"Transfer-Encoding: chun ked", 400),
    (b"Transfer-Encoding: chunked identity", 400),
    (b"Transfer-Encoding:: chunked", 400),
    (b"Transfer-Encoding: : chunked", 400),
    (b"Transfer-Encoding: \xa0chunked", 400),
    (b"Transfer-Encoding: chunked\xa0", 400),
    (b"Transfer-Encoding: \xc4\x8dhunked", 400),
    (b"Transfer-Encoding: \xe2\x80\x8bchunked", 400),
]
for line, status in DISGUISED:
    refused(
        f"coding in disguise: {name_of(line)}",
        lambda aim, line=line: aim.request(b"POST", b"a", line, body=chunked(HELLO)),
        status,
    )

    def beside_length(aim, line=line):
        body = b"0\r\n\r\n" + aim.smuggled()
        return aim.request(b"POST", b"a", b"Content-Length: %d" % len(body), line, body=body)

    refused(f"coding in disguise beside a length: {name_of(line)}", beside_length)

# Transfer-Encoding as the grammar allows it.
for line in (
    b"Transfer-Encoding:chunked",
    b"Transfer-Encoding:\tchunked",
    b"Transfer-Encoding: \t chunked \t ",
    b"Transfer-Encoding: CHUNKED",
    b"tRANSFER-eNCODING: cHUNKED",
):
    forwarded(
        f"coding, plain: {name_of(line)}",
        lambda aim, line=line: aim.request(b"POST", b"a", line, body=chunked(HELLO)),
        POSTED,
        may_refuse=REFUSE_TABS if b"\t" in line else (),
    )

# Names that only resemble: the body is what Content-Length says, and no origin may think otherwise.
for line in (
    b"Transfer_Encoding: chunked",
    b"TransferEncoding: chunked",
    b"X-Transfer-Encoding: chunked",
    b"Content-Encoding: chunked",
    b"Transfer-Encodin: chunked",
    b"Transfer-Encoding-: chunked",
    b"Content_Length: 3",
    b"Content-Lengths: 3",
    b"X: Transfer-Encoding: chunked",
):

    def resembling(aim, line=line):
        body = b"0\r\n\r\n" + aim.smuggled()
        return aim.request(b"POST", b"a", b"Content-Length: %d" % len(body), line, body=body)

    forwarded(
        f"no coding at all: {name_of(line)}",
        resembling,
        (b"POST", b"a", lambda aim: b"0\r\n\r\n" + aim.smuggled()),
    )

# Content-Length that is not one plain number.
for value in (
    b"",
    b" ",
    b"+5",
    b"-5",
    b"-0",
    b"5 5",
    b"5,5",
    b"5, 5",
    b"5,",
    b",5",
    b"5;",
    b"5;q=1",
    b"5.0",
    b"5e0",
    b"0x5",
    b"5h",
    b"0b101",
    b"5_0",
    b'"5"',
    b"'5'",
    b"\xd9\xa5",
    b"\xef\xbc\x95",
    b"5\x00",
    b"\x005",
    b"5\x0b",
    b"\x0c5",
    b"5\xa0",
    b"5\r\n 0",
    b"\r\n 5",
    b"5\n",
    b"5\r",
    b"00000000000000000005",
    b"9223372036854775808",
    b"18446744073709551615",
    b"18446744073709551621",
    b"99999999999999999999999999999999",
    b"NaN",
    b"chunked",
):
    refused(
        f"length malformed: {name_of(value)}",
        lambda aim, value=value: aim.request(b"POST", b"a", b"Content-Length: " + value, body=HELLO),
    )
for line in (
    b"Content-Length : 5",
    b"Content-Length\t: 5",
    b" Content-Length: 5",
    b"Content-Length\x00: 5",
    b"Content Length: 5",
    b"\x01Content-Length: 5",
    b"Content-Length",
    b"Content-Length 5",
):
    refused(
        f"length in disguise: {name_of(line)}",
        lambda aim, line=line: aim.request(b"POST", b"a", line, body=HELLO),
    )
for name, first, second in (
    ("equal", b"Content-Length: 5", b"Content-Length: 5"),
    ("smaller first", b"Content-Length: 0", b"Content-Length: 5"),
    ("larger first", b"Content-Length: 5", b"Content-Length: 0"),
    ("other case", b"content-length: 5", b"CONTENT-LENGTH: 6"),
    ("one empty", b"Content-Length: 5", b"Content-Length:"),
    ("one malformed", b"Content-Length: 5", b"Content-Length: x"),
    ("one in disguise", b"Content-Length: 5", b"Content-Length : 6"),
):
    refused(
        f"two lengths: {name}",
        lambda aim, first=first, second=second: aim.request(b"POST", b"a", first, b"X: y", second, body=HELLO),
    )
for value in (b"5", b"05", b"0000000000000000005", b"\t5\t"):
    forwarded(
        f"length, plain: {name_of(value)}",
        lambda aim, value=value: aim.request(b"POST", b"a", b"Content-Length: " + value, body=HELLO),
        POSTED,
        may_refuse=REFUSE_TABS if b"\t" in value else (),
    )

# A body where few expect one, that looks like a request: CL.0 in all its forms.
for method in (b"GET", b"HEAD", b"DELETE", b"OPTIONS", b"PUT", b"PATCH", b"PROPFIND"):

    def with_body(aim, method=method):
        body = aim.smuggled()
        return aim.request(method, b"a", b"Content-Length: %d" % len(body), body=body)

    def with_chunks(aim, method=method):
        return aim.request(method, b"a", b"Transfer-Encoding: chunked", body=chunked(aim.smuggled()))

    seen = (method, b"a", lambda aim: aim.smuggled())
    forwarded(f"body that is a request, by length: {method.decode()}", with_body, seen)
    forwarded(f"body that is a request, in chunks: {method.decode()}", with_chunks, seen)

# HTTP/1.0 has no codings.
refused(
    "HTTP/1.0 with a coding",
    lambda aim: aim.request(b"POST", b"a", b"Transfer-Encoding: chunked", body=chunked(HELLO), version=b"HTTP/1.0"),
)
refused(
    "HTTP/1.0 with a coding and keep-alive",
    lambda aim: aim.request(
        b"POST", b"a", b"Connection: keep-alive", b"Transfer-Encoding: chunked",
        body=chunked(HELLO) + aim.smuggled_in_proxy_form(), version=b"HTTP/1.0",
    ),
)
refused(
    "HTTP/1.0 with coding identity",
    lambda aim: aim.request(b"POST", b"a", b"Transfer-Encoding: identity", body=HELLO, version=b"HTTP/1.0"),
)
forwarded(
    "HTTP/1.0 with a length",
    lambda aim: aim.request(b"POST", b"a", b"Content-Length: 5", body=HELLO, version=b"HTTP/1.0"),
    POSTED,
)
forwarded(
    "HTTP/1.0 without keep-alive, bytes behind",
    lambda aim: aim.request(b"POST", b"a", b"Content-Length: 5", body=HELLO, version=b"HTTP/1.0")
    + aim.smuggled_in_proxy_form(),
    POSTED,
)
forwarded(
    "HTTP/1.0 without a length, bytes behind",
    lambda aim: aim.request(b"POST", b"a", body=aim.smuggled_in_proxy_form(), version=b"HTTP/1.0"),
    (b"POST", b"a", b""),
)
forwarded(
    "POST without a length, a request behind",
    lambda aim: aim.request(b"POST", b"a") + aim.request(b"GET", b"b"),
    (b"POST", b"a", b""),
    (b"GET", b"b", b""),
)
refused(
    "POST without a length, a body behind",
    lambda aim: aim.request(b"POST", b"a") + b"{}\r\n",
    after=[(b"POST", b"a", b"")],
)
