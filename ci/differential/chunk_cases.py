"""The chunked coding: sizes, extensions, line ends and trailers (RFC 9112 sections 7.1 and 11.2).

The head of such a request is sound and has gone on when the fault shows; then no origin may take the request for whole.
"""

from corpus import CASES, chunk, chunked, cut_off, forwarded
from framing_cases import HELLO, POSTED, name_of

CODING = b"Transfer-Encoding: chunked"


def post(aim, body):
    return aim.request(b"POST", b"a", CODING, body=body)


def broken(name, body):
    """A body with a fault, and behind it what an attacker would like to be a request of its own."""
    make = body if callable(body) else lambda aim: body
    cut_off(f"chunks: {name}", lambda aim: post(aim, make(aim) + aim.smuggled()))


def sound(name, body, data=HELLO, may_refuse=()):
    forwarded(
        f"chunks: {name}", lambda aim: post(aim, body), (b"POST", b"a", data), may_refuse=may_refuse
    )


# Sizes that are no plain hexadecimal number, or too large a one.
for size in (
    b"", b" ", b"+5", b"-5", b"-0", b"0x5", b"0X5", b" 5", b"\t5", b"5 ", b"5\t", b"5,5", b"5.", b"5_", b"5h", b"g",
    b"\xd9\xa5", b"\x005", b"5\x00", b"5\x0b", b"\x0c5", b'"5"', b"5 5", b"5\xa0", b"5\r", b"\r5", b"\n5", b"5\x7f",
):
    broken(f"size {name_of(size)}", size + b"\r\nhello\r\n0\r\n\r\n")
for size in (
    b"8000000000000000", b"ffffffffffffffff", b"FFFFFFFFFFFFFFFB", b"10000000000000005", b"00000000000000005",
    b"100000005000000000000005", b"f" * 40, b"0" * 400 + b"5",
):
    broken(f"size too large {name_of(size[:24])}", size + b"\r\nhello\r\n0\r\n\r\n")
for size in (b"7fffffffffffffff", b"100000005", b"ffffffff", b"80000000"):
    broken(f"size larger than all that comes {name_of(size)}", size + b"\r\nhello\r\n0\r\n\r\n")
for size in (b"5", b"05", b"0000000000000005"):
    sound(f"size plain {name_of(size)}", size + b"\r\nhello\r\n0\r\n\r\n")
sound("size in capitals", b"A\r\nhellohello\r\n0\r\n\r\n", HELLO * 2)
sound("size in small letters", b"a\r\nhellohello\r\n0\r\n\r\n", HELLO * 2)
sound("last size 00", b"5\r\nhello\r\n00\r\n\r\n")
sound("last size of sixteen digits", b"5\r\nhello\r\n0000000000000000\r\n\r\n")
sound("none at all", b"0\r\n\r\n", b"")
sound("many small ones", chunked(*[b"x"] * 300), b"x" * 300)
sound("data that look like the end", chunk(b"0\r\n\r\n") + b"0\r\n\r\n", b"0\r\n\r\n")

# Line ends: after the size, after the data, at the end.
for name, body in (
    ("LF after the size", b"5\nhello\r\n0\r\n\r\n"),
    ("CR after the size", b"5\rhello\r\n0\r\n\r\n"),
    ("CR CR LF after the size", b"5\r\r\nhello\r\n0\r\n\r\n"),
    ("LF CR after the size", b"5\n\rhello\r\n0\r\n\r\n"),
    ("nothing after the size", b"5hello\r\n0\r\n\r\n"),
    ("LF after the data", b"5\r\nhello\n0\r\n\r\n"),
    ("CR after the data", b"5\r\nhello\r0\r\n\r\n"),
    ("CR CR LF after the data", b"5\r\nhello\r\r\n0\r\n\r\n"),
    ("nothing after the data", b"5\r\nhello0\r\n\r\n"),
    ("two other bytes after the data", b"5\r\nhelloXX0\r\n\r\n"),
    ("space after the data", b"5\r\nhello \r\n0\r\n\r\n"),
    ("data longer than the size", b"5\r\nhello!\r\n0\r\n\r\n"),
    ("data shorter than the size", b"6\r\nhello\r\n0\r\n\r\n"),
    ("empty line before the size", b"\r\n5\r\nhello\r\n0\r\n\r\n"),
    ("empty line between chunks", b"5\r\nhello\r\n\r\n0\r\n\r\n"),
    ("LF after the last size", b"5\r\nhello\r\n0\n\r\n"),
    ("CR after the last size", b"5\r\nhello\r\n0\r\r\n"),
    ("LF at the end", b"5\r\nhello\r\n0\r\n\n"),
    ("LF LF at the end", b"5\r\nhello\r\n0\n\n"),
    ("CR X at the end", b"5\r\nhello\r\n0\r\n\rX"),
    ("all by LF", b"5\nhello\n0\n\n"),
    ("nothing at the end", b"5\r\nhello\r\n0\r\n"),
):
    broken(name, body)
cut_off("chunks: the connection ends before the last", lambda aim: post(aim, b"5\r\nhello\r\n"))
cut_off("chunks: the connection ends within the data", lambda aim: post(aim, b"5\r\nhel"))
cut_off("chunks: the connection ends within the last", lambda aim: post(aim, b"5\r\nhello\r\n0\r\n"))
cut_off("chunks: the connection ends within the trailers", lambda aim: post(aim, b"5\r\nhello\r\n0\r\nX-A: b\r\n"))

# Extensions: what is harmless is left out, what another parser could see a line end in is refused.
for extension in (b";a", b";a=b", b';a="b"', b";a=b;c=d", b" ;a=b", b"; a = b", b";", b";;;", b";\xe9=1", b';a="0"'):
    name = f"extension {name_of(extension)}"
    if extension.startswith(b" "):
        # Space before the semicolon is bad white space, which a recipient may refuse.
        broken(name, b"5" + extension + b"\r\nhello\r\n0\r\n\r\n")
    else:
        sound(name, b"5" + extension + b"\r\nhello\r\n0\r\n\r\n")
        sound(name + " on the last chunk", b"5\r\nhello\r\n0" + extension + b"\r\n\r\n")
for name, extension in (
    ("LF", b";\n"), ("a=b LF", b";a=b\n"), ("CR", b";\rx"), ("NUL", b";\x00"), ("vertical tab", b";\x0b"),
    ("DEL", b";\x7f"), ("escape", b";a=\x1b"), ("LF in quotes", b';a="\n"'), ("CRLF in quotes", b';a="\r\n"'),
    ("LF and a chunk", b";\n5;x=\r\nhello\r\n0\r\n\r\n"), ("too long", b";" + b"x" * 1100),
    ("far too long", b";" + b"x" * 70_000),
):
    broken(f"extension with {name}", b"5" + extension + b"\r\nhello\r\n0\r\n\r\n")
broken("flood of extensions", b"".join(b"1;" + b"x" * 1000 + b"\r\nh\r\n" for _ in range(40)) + b"0\r\n\r\n")
# The two sides of TERM.EXT and EXT.TERM: whether LF ends an extension decides which bytes are a request.
broken(
    "extension whose LF hides a request",
    lambda aim: b"2;\nxx\r\n%x\r\n" % (len(aim.smuggled()) + 5) + b"0\r\n\r\n" + aim.smuggled() + b"\r\n0\r\n\r\n",
)
broken(
    "data end of two bytes that hides a request",
    lambda aim: b"5\r\nhelloAA0\r\n\r\n" + aim.smuggled() + b"\r\n0\r\n\r\n",
)
broken(
    "size line of LF that hides a request",
    lambda aim: b"1\nh\r\n0\r\n\r\n" + aim.smuggled(),
)

# Trailers: they pass, but for those that decide about a message; nothing in them is a request.
for trailer in (
    b"X-Checksum: abc", b"X-A: b\r\nX-C: d", b"x-empty:", b"Content-Length: 5", b"Transfer-Encoding: chunked",
    b"Host: elsewhere.test", b"Connection: close", b"Content-Length: 5\r\nTransfer-Encoding: chunked",
    b"Expect: 100-continue", b"Authorization: Basic eDp5", b"Transfer-Encoding: gzip", b"Content-Length: x",
    b"Host: a\r\nHost: b",
):
    sound(f"trailer {name_of(trailer)}", b"5\r\nhello\r\n0\r\n" + trailer + b"\r\n\r\n")
for trailer in (
    b"X-A : b", b" X-A: b", b"X-A: b\r\n folded", b"X-A", b": b", b"X-A: b\nX-C: d", b"X-A: b\rX-C: d", b"X-A: \x00",
    b"X-A\x00: b", b"GET /smuggled HTTP/1.1", b"X-A: " + b"b" * 9000, b"X-A: b\r\n" * 40 + b"X-A: b", b"X A: b",
):
    broken(f"trailer {name_of(trailer[:40])}", b"5\r\nhello\r\n0\r\n" + trailer + b"\r\n\r\n")
broken(
    "trailer that is a request",
    lambda aim: b"5\r\nhello\r\n0\r\n" + aim.smuggled(),
)
forwarded(
    "chunks: trailer, and a request behind",
    lambda aim: post(aim, b"5\r\nhello\r\n0\r\nX-A: b\r\n\r\n") + aim.request(b"GET", b"b"),
    POSTED,
    (b"GET", b"b", b""),
)
forwarded(
    "chunks: trailer announced",
    lambda aim: aim.request(
        b"POST", b"a", b"Trailer: X-A", b"TE: trailers", b"Connection: TE", CODING,
        body=b"5\r\nhello\r\n0\r\nX-A: b\r\n\r\n",
    ),
    POSTED,
)
forwarded(
    "chunks: Trailer announces what no trailer may be",
    lambda aim: aim.request(
        b"POST", b"a", b"Trailer: Content-Length, Transfer-Encoding", CODING,
        body=b"5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n",
    ),
    POSTED,
)
forwarded(
    "chunks: a request behind",
    lambda aim: post(aim, chunked(HELLO)) + aim.request(b"GET", b"b"),
    POSTED,
    (b"GET", b"b", b""),
)
forwarded(
    "chunks: empty line, and a request behind",
    lambda aim: post(aim, chunked(HELLO)) + b"\r\n" + aim.request(b"GET", b"b"),
    POSTED,
    (b"GET", b"b", b""),
)

assert CASES
