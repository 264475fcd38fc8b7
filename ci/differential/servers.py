"""The real origins: nginx and Apache, each with a recording backend behind it, and Node.

nginx and Apache decide where requests begin and end; what they took for a request goes, whole and in their own words,
to a backend that records it. `X-Record-Line` is the request line as they read it, `X-Record-Peer` the connection it
came on.
"""

import base64
import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

from strict import Seen, StrictOrigin

PATIENCE = 20
APACHE_MODULES = "/usr/lib/apache2/modules"

NGINX = """
{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx.error.log warn;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/nginx-body;
    proxy_temp_path {folder}/nginx-proxy;
    fastcgi_temp_path {folder}/nginx-fastcgi;
    uwsgi_temp_path {folder}/nginx-uwsgi;
    scgi_temp_path {folder}/nginx-scgi;
    large_client_header_buffers 8 64k;
    keepalive_requests 100000;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://127.0.0.1:{backend};
            proxy_http_version 1.1;
            proxy_request_buffering on;
            proxy_set_header X-Record-Line $request;
            proxy_set_header X-Record-Peer $remote_port;
        }}
    }}
}}
"""

APACHE = """
ServerRoot {folder}
ServerName localhost
Listen 127.0.0.1:{port}
{user}
PidFile {folder}/apache.pid
DefaultRuntimeDir {folder}
ErrorLog {folder}/apache.error.log
{modules}
StartServers 1
MaxKeepAliveRequests 0
LimitRequestFieldSize 65536
LimitRequestLine 16384
AllowEncodedSlashes NoDecode
ProxyRequests Off
SetEnv proxy-sendcl 1
ProxyPass / http://127.0.0.1:{backend}/ nocanon
RequestHeader set X-Record-Line "expr=%{{THE_REQUEST}}"
RequestHeader set X-Record-Peer "expr=%{{REMOTE_PORT}}"
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for_port(port: int, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args[0]} ended with {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"{process.args[0]} does not listen")


class FrontedOrigin:
    """nginx or Apache with its recording backend."""

    def __init__(self, name: str, template: str, command: list[str], folder: Path, **values: str):
        backend = StrictOrigin(backend=True)
        self.name, self.seen, self.port = name, backend.seen, free_port()
        configuration = folder / f"{name}.conf"
        configuration.write_text(
            template.format(folder=folder, port=self.port, backend=backend.port, **values)
        )
        self.process = subprocess.Popen(
            [*command, str(configuration)], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            wait_for_port(self.port, self.process)
        except RuntimeError:
            self.process.terminate()
            raise

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE)


class NodeOrigin:
    name = "node"

    def __init__(self):
        script = Path(__file__).with_name("node_origin.js")
        self.seen: queue.Queue[Seen] = queue.Queue()
        self.process = subprocess.Popen(["node", str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.port = json.loads(self.process.stdout.readline())["port"]
        threading.Thread(target=self.read, daemon=True).start()

    def read(self) -> None:
        for line in self.process.stdout:
            record = json.loads(line)
            self.seen.put(
                Seen(
                    record["connection"],
                    record["method"].encode("latin-1"),
                    record["target"].encode("latin-1"),
                    base64.b64decode(record["body"]),
                )
            )

    def stop(self) -> None:
        self.process.stdin.close()
        self.process.wait(PATIENCE)


def start_nginx(folder: Path) -> FrontedOrigin:
    command = ["nginx", "-e", str(folder / "nginx.start.log"), "-c"]
    return FrontedOrigin("nginx", NGINX, command, folder, user="user root;" if os.geteuid() == 0 else "")


def start_apache(folder: Path) -> FrontedOrigin:
    names = ("mpm_event", "authz_core", "env", "headers", "proxy", "proxy_http")
    modules = "\n".join(f"LoadModule {name}_module {APACHE_MODULES}/mod_{name}.so" for name in names)
    user = "User nobody\nGroup nogroup" if os.geteuid() == 0 else ""
    return FrontedOrigin("apache", APACHE, ["apache2", "-D", "FOREGROUND", "-f"], folder, modules=modules, user=user)


# The program of each, and what starts it.
REAL_ORIGINS = {
    "nginx": start_nginx,
    "apache2": start_apache,
    "node": lambda folder: NodeOrigin(),
}
