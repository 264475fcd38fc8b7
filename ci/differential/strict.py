"""An origin that reads requests as strictly as RFC 9112 allows, and records what it reads.

It tells what the proxy meant: whatever a proxy sends on must be so plain that there is one way to read it, so each
departure from the canonical form is recorded as a violation. It also stands behind nginx and Apache, and records there
what they made of their requests.
"""

import queue
import re
import socket
import threading
from dataclasses import dataclass

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
REQUEST_LINE = re.compile(rb"(" + TOKEN + rb") (/[!-\"$-~]*|\*) HTTP/1\.1\Z")
BACKEND_LINE = re.compile(rb"(" + TOKEN + rb") ([^ ]+) HTTP/1\.[01]\Z")
FIELD_LINE = re.compile(rb"(" + TOKEN + rb"):[ \t]*([\t -~\x80-\xff]*?)[ \t]*\Z")
CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,16}\Z")
LENGTH = re.compile(rb"[0-9]{1,19}\Z")
# Of one hop, so no proxy passes them on. Connection and Upgrade are looked at by themselves.
ONE_HOP = {b"keep-alive", b"te", b"proxy-connection", b"proxy-authorization", b"proxy-authenticate", b"http2-settings"}
FORBIDDEN_TRAILERS = {b"content-length", b"transfer-encoding", b"host", b"connection", b"expect", b"authorization"}


@dataclass
class Seen:
    """One request, or the beginning of one."""

    connection: str
    method: bytes
    target: bytes
    body: bytes
    whole: bool = True
    violation: str = ""

    def short(self) -> str:
        body = self.body if len(self.body) <= 60 else self.body[:60] + b"..."
        cut = "" if self.whole else " (not whole)"
        wrong = f" VIOLATION: {self.violation}" if self.violation else ""
        return f"{self.method.decode('latin-1')} {self.target.decode('latin-1')} body {body!r}{cut}{wrong}"


class Violation(Exception):
    pass


class Ended(Exception):
    """The connection ended within a message."""


class Reader:
    def __init__(self, connection: socket.socket):
        self.connection = connection
        self.data = b""

    def more(self) -> None:
        received = self.connection.recv(65536)
        if not received:
            raise Ended
        self.data += received

    def until(self, end: bytes) -> bytes:
        """What comes before `end`, which is taken too."""
        while end not in self.data:
            self.more()
        before, self.data = self.data.split(end, 1)
        return before

    def exactly(self, count: int) -> bytes:
        while len(self.data) < count:
            self.more()
        taken, self.data = self.data[:count], self.data[count:]
        return taken


class StrictOrigin:
    """Listens on a port of its own choice. What it sees goes to `seen`, in the order in which requests end."""

    def __init__(self, backend: bool = False):
        self.backend = backend
        self.seen: queue.Queue[Seen] = queue.Queue()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        while True:
            connection, peer = self.listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.serve, args=(connection, str(peer[1])), daemon=True).start()

    def serve(self, connection: socket.socket, peer: str) -> None:
        reader = Reader(connection)
        with connection:
            try:
                while True:
                    self.one(connection, reader, peer)
            except (Ended, OSError):
                pass

    def one(self, connection: socket.socket, reader: Reader, peer: str) -> None:
        """Reads one request, records it and answers."""
        now = Seen(peer, b"", b"", b"", whole=False)
        try:
            head = reader.until(b"\r\n\r\n")
            method, target, fields = self.read_head(head, now)
            if b"100-continue" in fields.get(b"expect", b"").lower():
                connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            now.body = self.read_body(reader, fields)
            now.whole = True
        except (Ended, OSError):
            # A beginning: bytes of a head, or a head whose body did not come.
            if reader.data or now.method:
                now.target = now.target or reader.data[:200]
                self.seen.put(now)
            raise Ended from None
        except Violation as violation:
            now.violation = str(violation)
            self.seen.put(now)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            raise Ended from None
        self.seen.put(now)
        content = b"" if method == b"HEAD" else b"seen\n"
        connection.sendall(
            b"HTTP/1.1 200 OK\r\nX-Seen: " + target + b"\r\nContent-Length: 5\r\n\r\n" + content
        )

    def read_head(self, head: bytes, now: Seen) -> tuple[bytes, bytes, dict[bytes, bytes]]:
        first, *lines = head.split(b"\r\n")
        read = (BACKEND_LINE if self.backend else REQUEST_LINE).match(first)
        # Recorded before anything is judged, so that a violation names its case.
        now.method, now.target = read.groups() if read else (b"?", first[:200])
        if not read:
            raise Violation(f"request line {first[:200]!r}")
        fields: dict[bytes, bytes] = {}
        for line in lines:
            found = FIELD_LINE.match(line)
            if not found:
                raise Violation(f"field line {line[:200]!r}")
            name, value = found[1].lower(), found[2]
            if name in fields and name in {b"host", b"content-length", b"transfer-encoding", b"connection"}:
                raise Violation(f"{name!r} twice")
            fields[name] = fields[name] + b", " + value if name in fields else value
        if self.backend:
            self.unwrap(fields, now)
        else:
            self.judge(fields)
        return now.method, now.target, fields

    @staticmethod
    def unwrap(fields: dict[bytes, bytes], now: Seen) -> None:
        """The server in front says what it took the request line for, and whose connection it came on."""
        now.method, _, rest = fields.get(b"x-record-line", b"? ?").partition(b" ")
        now.target = rest.rpartition(b" ")[0]
        now.connection = fields.get(b"x-record-peer", b"?").decode("latin-1")

    @staticmethod
    def judge(fields: dict[bytes, bytes]) -> None:
        """What a proxy may not pass on."""
        if not fields.get(b"host"):
            raise Violation("no Host")
        passed = ONE_HOP & fields.keys()
        if passed:
            raise Violation(f"fields of one hop: {passed}")
        connection, upgrade = fields.get(b"connection"), fields.get(b"upgrade")
        if (connection, upgrade) not in {(None, None), (b"close", None), (b"Upgrade", b"websocket")}:
            raise Violation(f"Connection {connection!r} with Upgrade {upgrade!r}")
        if b"content-length" in fields and b"transfer-encoding" in fields:
            raise Violation("Content-Length and Transfer-Encoding")

    @staticmethod
    def read_body(reader: Reader, fields: dict[bytes, bytes]) -> bytes:
        coding, length = fields.get(b"transfer-encoding"), fields.get(b"content-length")
        if coding is not None:
            if coding.lower() != b"chunked":
                raise Violation(f"Transfer-Encoding {coding!r}")
            return read_chunks(reader)
        if length is None:
            return b""
        if not LENGTH.match(length):
            raise Violation(f"Content-Length {length!r}")
        return reader.exactly(int(length))


def read_chunks(reader: Reader) -> bytes:
    body = b""
    while True:
        size = reader.until(b"\r\n")
        if not CHUNK_SIZE.match(size):
            raise Violation(f"chunk size {size[:100]!r}")
        if int(size, 16) == 0:
            break
        body += reader.exactly(int(size, 16))
        if reader.exactly(2) != b"\r\n":
            raise Violation("no CRLF behind a chunk")
    while line := reader.until(b"\r\n"):
        found = FIELD_LINE.match(line)
        if not found:
            raise Violation(f"trailer line {line[:200]!r}")
        if found[1].lower() in FORBIDDEN_TRAILERS:
            raise Violation(f"trailer {found[1]!r}")
    return body
