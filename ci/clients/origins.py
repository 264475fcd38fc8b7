"""The origins of ci/clients: HTTP, HTTPS and a name server that knows them, on ports of their own choice.

No client can look up `origin.test`: only the proxy asks this name server, so whoever gets an answer has been through
the proxy. Says its ports as lines for a shell on standard output, and ends when its standard input does.

    origins.py FOLDER CERTIFICATE

FOLDER is served below /files, and as git repositories below /git.
"""

import hashlib
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

LARGE_BYTES = 20 * 1000 * 1000
LARGE = hashlib.shake_128(b"ringway").digest(LARGE_BYTES)
FOLDER = Path(sys.argv[1])
# What the page of the browser check has had of its origin, for /confirm.
EVENTS: list[str] = []

PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c63f8cfc0f01f0005000"
    "1ff89993d1d0000000049454e44ae426082"
)
PAGE = """<!doctype html><meta charset="utf-8"><title>ringway</title>
<form action="/form" method="post"><input name="word" value="grün &amp; weiß"><button>send</button></form>
{images}
<script>
addEventListener('load', async () => {{
  const loaded = [...document.images].filter((image) => image.naturalWidth === 1).length;
  const socket = new WebSocket('ws://origin.test:{socket_port}/');
  const echoed = await new Promise((resolve, reject) => {{
    socket.onopen = () => socket.send('from the page');
    socket.onmessage = (event) => resolve(event.data);
    socket.onerror = () => reject(new Error('WebSocket'));
  }}).catch(String);
  socket.close(1000, 'done');
  const answer = await fetch('/report', {{
    method: 'POST', body: JSON.stringify({{ loaded, echoed }}), headers: {{ 'Content-Type': 'application/json' }},
  }});
  await answer.text();
  document.forms[0].submit();
}});
</script>"""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def content(self) -> bytes:
        """The body of the request, whichever way it is framed."""
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(parts)

    def answer(self, content: bytes, status: int = 200, media_type: str = "text/plain", **more: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Via", self.headers.get("Via", "none"))
        self.send_header("X-Connection", str(self.client_address[1]))
        for name, value in more.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def answer_json(self, value: object) -> None:
        self.answer(json.dumps(value).encode(), media_type="application/json")

    def do_GET(self):  # noqa: N802 (the name that the class wants)
        path = unquote(urlsplit(self.path).path)
        body = self.content()
        routes = {
            "/hello": lambda: self.answer(b"hello\n"),
            "/large": lambda: self.ranged(LARGE),
            "/chunked": self.chunked,
            "/until-close": self.until_close,
            "/nothing": lambda: self.no_content(),
            "/redirect": lambda: self.answer(b"", 302, Location="/hello"),
            "/hash": lambda: self.hash(body),
            "/echo": lambda: self.answer_json(
                {"method": self.command, "body": body.decode(), "headers": list(self.headers.items())}
            ),
            "/page": self.page,
            "/confirm": lambda: self.answer_json(EVENTS),
            "/report": lambda: self.note(f"report {body.decode()}"),
            "/form": lambda: self.note(f"form {parse_qs(body.decode())['word'][0]}"),
        }
        if path in routes:
            routes[path]()
        elif path.startswith("/image/"):
            EVENTS.append(f"image {path[7:]}")
            self.answer(PIXEL, media_type="image/png")
        elif path.startswith("/git/"):
            self.git(path[4:], body)
        elif path.startswith("/files/"):
            self.file(FOLDER / path[7:])
        else:
            self.answer(b"not here\n", 404)

    do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = do_PATCH = do_GET

    def handle_expect_100(self):
        if urlsplit(self.path).path == "/refuse-upload":
            self.answer(b"too large\n", 413, Connection="close")
            return False
        return super().handle_expect_100()

    def hash(self, body: bytes) -> None:
        framing = "chunked" if self.headers.get("Transfer-Encoding") else "length"
        self.answer_json({"sha256": hashlib.sha256(body).hexdigest(), "bytes": len(body), "framing": framing})

    def note(self, event: str) -> None:
        EVENTS.append(event)
        self.answer(b"<!doctype html><title>noted</title>noted", media_type="text/html")

    def page(self) -> None:
        EVENTS.clear()
        images = "".join(f'<img src="/image/{number}" alt="">' for number in range(12))
        socket_port = parse_qs(urlsplit(self.path).query)["socket"][0]
        self.answer(PAGE.format(images=images, socket_port=socket_port).encode(), media_type="text/html")

    def ranged(self, content: bytes) -> None:
        wanted = self.headers.get("Range", "")
        if not wanted.startswith("bytes="):
            return self.answer(content, Accept_Ranges="bytes")
        first, _, last = wanted[6:].partition("-")
        first, last = int(first), int(last or len(content) - 1)
        if first >= len(content):
            return self.answer(b"", 416, Content_Range=f"bytes */{len(content)}")
        return self.answer(content[first:last + 1], 206, Content_Range=f"bytes {first}-{last}/{len(content)}")

    def no_content(self) -> None:
        self.send_response(204)
        self.end_headers()

    def chunked(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.send_header("Trailer", "X-Sum")
        self.end_headers()
        for number in range(1000):
            self.wfile.write(b"%x\r\nline %d\n\r\n" % (len(b"line %d\n" % number), number))
        self.wfile.write(b"0\r\nX-Sum: 1000\r\n\r\n")

    def until_close(self) -> None:
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(LARGE[:100_000])

    def file(self, path: Path) -> None:
        if path.is_dir():
            links = "".join(f'<a href="{name}">{name}</a><br>' for name in sorted(os.listdir(path)))
            self.answer(links.encode(), media_type="text/html")
        elif path.is_file():
            self.ranged(path.read_bytes())
        else:
            self.answer(b"not here\n", 404)

    def git(self, path: str, body: bytes) -> None:
        """Git's own server program, which speaks CGI."""
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(FOLDER),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REMOTE_USER": "somebody",
            "REMOTE_ADDR": self.client_address[0],
            "PATH_INFO": path,
            "QUERY_STRING": urlsplit(self.path).query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "HTTP_GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }
        done = subprocess.run(["git", "http-backend"], input=body, env=environment, stdout=subprocess.PIPE, check=True)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        status = int(fields.pop("Status", "200").split()[0])
        media_type = fields.pop("Content-Type", "text/plain")
        self.answer(content, status, media_type, **fields)


class NameServer:
    """Knows `origin.test` at 127.0.0.1, and no other name."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        name = b"\x06origin\x04test\x00"
        while True:
            question, peer = self.socket.recvfrom(2048)
            end = question.index(b"\x00", 12) + 5
            known = question[12:end - 4].lower() == name
            is_a = question[end - 4:end - 2] == b"\x00\x01"
            found = known and is_a
            flags = b"\x85\x80" if known else b"\x85\x83"
            counts = b"\x00\x01" + (b"\x00\x01" if found else b"\x00\x00") + b"\x00\x00\x00\x00"
            record = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x7f\x00\x00\x01" if found else b""
            self.socket.sendto(question[:2] + flags + counts + question[12:end] + record, peer)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_):
        """Clients that break off are none of our business."""


def start(context: ssl.SSLContext | None) -> int:
    server = Server(("127.0.0.1", 0), Handler)
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def main() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[2])
    print(f"http_port={start(None)}")
    print(f"https_port={start(context)}")
    print(f"name_server_port={NameServer().port}")
    print(f"large_sha256={hashlib.sha256(LARGE).hexdigest()}", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
