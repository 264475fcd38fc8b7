"""The corpus: requests that two parsers could read in two ways, each with what must become of it.

A case is a function from the origin it is aimed at to the bytes that a client sends. It says what the origin must see:
requests as (method, path, body), and which status the proxy must answer itself, if any. The families are in
`framing_cases.py` (where a body ends), `chunk_cases.py` (the chunked coding) and `head_cases.py` (all other lines).
"""

from dataclasses import dataclass, field
from typing import Callable


class Aim:
    """An origin as a case sees it: its authority, and a folder of paths that is the case's own."""

    def __init__(self, authority: str, folder: str):
        self.authority = authority.encode()
        self.folder = b"/" + folder.encode()

    def path(self, name: bytes) -> bytes:
        return self.folder + b"/" + name

    def url(self, name: bytes) -> bytes:
        return b"http://" + self.authority + self.path(name)

    def host(self) -> bytes:
        return b"Host: " + self.authority

    def request(self, method: bytes, name: bytes, *lines: bytes, body=b"", version=b"HTTP/1.1") -> bytes:
        """A request with Host and these field lines."""
        return self.bare(method + b" " + self.url(name) + b" " + version, self.host(), *lines, body=body)

    def bare(self, *lines: bytes, body=b"") -> bytes:
        """A head of exactly these lines, and a body."""
        return b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body

    def smuggled(self) -> bytes:
        """What an attacker would like an origin to take for a request."""
        return b"GET " + self.path(b"smuggled") + b" HTTP/1.1\r\nHost: " + self.authority + b"\r\n\r\n"

    def smuggled_in_proxy_form(self) -> bytes:
        return self.request(b"GET", b"smuggled")


@dataclass
class Case:
    name: str
    build: Callable[[Aim], bytes]
    # What an origin must have seen whole: (method, name below the case's folder or the whole target, body or a function
    # that makes it from the aim).
    requests: list = field(default_factory=list)
    # What the proxy must answer itself, behind the answers to `requests`; empty when nothing is left to refuse.
    statuses: tuple = ()
    # The request that is refused may have begun to go on: its fault was behind its head.
    begun: bool = False
    # Real origins that know better than to serve all of this: they may have seen fewer requests.
    may_refuse: tuple = ()


CASES: list[Case] = []


def forwarded(name, build, *requests, may_refuse=()):
    """All of it is understood: the origin sees these requests and no other."""
    CASES.append(Case(name, build, list(requests), may_refuse=may_refuse))


def refused(name, build, *statuses, after=()):
    """The proxy refuses before a byte goes on, behind the requests `after`."""
    CASES.append(Case(name, build, list(after), statuses or (400,)))


def cut_off(name, build, after=(), statuses=(400,)):
    """The head is sound and has gone on; the body is not, so that no origin may take it for whole."""
    CASES.append(Case(name, build, list(after), statuses, begun=True))


def all_cases() -> list[Case]:
    import chunk_cases  # noqa: F401, PLC0415 (they register themselves)
    import framing_cases  # noqa: F401, PLC0415
    import head_cases  # noqa: F401, PLC0415

    names = [case.name for case in CASES]
    repeated = {name for name in names if names.count(name) > 1}
    assert not repeated, f"case names are not unique: {repeated}"
    return CASES


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def chunked(*parts: bytes) -> bytes:
    """A plain chunked body."""
    return b"".join(chunk(part) for part in parts) + b"0\r\n\r\n"
