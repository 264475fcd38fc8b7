"""The Python clients of ci/clients: requests, aiohttp and websockets, each through the proxy.

Prints `pass NAME` or `fail NAME: why` for each check. The ports come in the environment, from ci/clients/run.
"""

import asyncio
import hashlib
import os
import ssl
import sys
import traceback

import aiohttp
import requests
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

PROXY = os.environ["proxy_url"]
HTTP = f"http://origin.test:{os.environ['http_port']}"
HTTPS = f"https://origin.test:{os.environ['https_port']}"
SOCKET = f"ws://origin.test:{os.environ['socket_port']}/"
CERTIFICATE = os.environ["certificate"]
LARGE_SHA256 = os.environ["large_sha256"]
CONTENT = hashlib.shake_128(b"upload").digest(3_000_000)
CONTENT_SHA256 = hashlib.sha256(CONTENT).hexdigest()


def pieces():
    for at in range(0, len(CONTENT), 10_007):
        yield CONTENT[at:at + 10_007]


async def async_pieces():
    for piece in pieces():
        yield piece


def session() -> requests.Session:
    made = requests.Session()
    made.trust_env = False
    made.proxies = {"http": PROXY, "https": PROXY}
    made.verify = CERTIFICATE
    return made


def requests_session_keeps_its_connection():
    with session() as client:
        answers = [client.get(f"{HTTP}/hello", timeout=20) for _ in range(20)]
        assert all(answer.text == "hello\n" for answer in answers)
        assert all("ringway" in answer.headers["X-Via"] for answer in answers)
        assert len({answer.headers["X-Connection"] for answer in answers}) == 1, "several connections to the origin"


def requests_streams_an_upload():
    with session() as client:
        seen = client.post(f"{HTTP}/hash", data=pieces(), timeout=30).json()
    assert seen == {"sha256": CONTENT_SHA256, "bytes": len(CONTENT), "framing": "chunked"}, seen


def requests_streams_a_download():
    digest = hashlib.sha256()
    with session() as client, client.get(f"{HTTP}/large", stream=True, timeout=30) as answer:
        for piece in answer.iter_content(70_001):
            digest.update(piece)
    assert digest.hexdigest() == LARGE_SHA256


def requests_tunnels():
    with session() as client:
        seen = [client.put(f"{HTTPS}/hash", data=CONTENT, timeout=30).json() for _ in range(3)]
    assert all(one["sha256"] == CONTENT_SHA256 for one in seen), seen


def requests_follows_a_redirect():
    with session() as client:
        answer = client.get(f"{HTTP}/redirect", timeout=20)
    assert [one.status_code for one in answer.history] == [302] and answer.text == "hello\n"


async def aiohttp_session():
    async with aiohttp.ClientSession() as client:
        async def one(number):
            async with client.get(f"{HTTP}/hello?{number}", proxy=PROXY) as answer:
                return await answer.text()

        assert await asyncio.gather(*map(one, range(60))) == ["hello\n"] * 60


async def aiohttp_streams_an_upload():
    async with aiohttp.ClientSession() as client:
        async with client.post(f"{HTTP}/hash", data=async_pieces(), proxy=PROXY) as answer:
            seen = await answer.json()
    assert seen == {"sha256": CONTENT_SHA256, "bytes": len(CONTENT), "framing": "chunked"}, seen


async def aiohttp_expects_continue():
    async with aiohttp.ClientSession() as client:
        async with client.put(f"{HTTP}/hash", data=CONTENT, expect100=True, proxy=PROXY) as answer:
            seen = await answer.json()
    assert seen["sha256"] == CONTENT_SHA256, seen


async def aiohttp_reads_chunks():
    async with aiohttp.ClientSession() as client:
        async with client.get(f"{HTTP}/chunked", proxy=PROXY) as answer:
            assert (await answer.text()).splitlines() == [f"line {number}" for number in range(1000)]


async def aiohttp_reads_until_close():
    async with aiohttp.ClientSession() as client:
        async with client.get(f"{HTTP}/until-close", proxy=PROXY) as answer:
            assert len(await answer.read()) == 100_000


async def aiohttp_tunnels():
    context = ssl.create_default_context(cafile=CERTIFICATE)
    async with aiohttp.ClientSession() as client:
        async with client.post(f"{HTTPS}/hash", data=async_pieces(), proxy=PROXY, ssl=context) as answer:
            assert (await answer.json())["sha256"] == CONTENT_SHA256


async def aiohttp_websocket_in_absolute_form():
    """aiohttp asks for the upgrade with the URL as the target, not by a tunnel."""
    await aiohttp_websocket(SOCKET.replace("ws:", "http:"))


async def aiohttp_websocket_in_absolute_form_with_scheme_ws():
    await aiohttp_websocket(SOCKET)


async def aiohttp_websocket(url):
    async with aiohttp.ClientSession() as client:
        async with client.ws_connect(url, proxy=PROXY, compress=15, max_msg_size=0) as socket:
            assert socket.compress, "permessage-deflate was not agreed upon"
            await socket.send_str("grün")
            assert await socket.receive_str() == "grün"
            await socket.send_bytes(CONTENT[:1_000_000])
            assert await socket.receive_bytes() == CONTENT[:1_000_000]
            await socket.send_str("a" * 1_000_000)
            assert await socket.receive_str() == "a" * 1_000_000
            await socket.ping(b"?")
            await socket.send_str("close 4001 enough")
            end = await socket.receive()
            assert (end.data, end.extra) == (4001, "enough"), end


async def websockets_by_tunnel():
    async with connect(SOCKET, proxy=PROXY, max_size=None) as socket:
        assert socket.protocol.extensions, "permessage-deflate was not agreed upon"
        for message in ("grün", "", CONTENT[:1_000_000], "a" * 1_000_000, b""):
            await socket.send(message)
            assert await socket.recv() == message
        await (await socket.ping(b"?"))
        await socket.send("close 4002 enough")
        try:
            await socket.recv()
        except ConnectionClosed as end:
            assert (end.rcvd.code, end.rcvd.reason) == (4002, "enough"), end
        else:
            raise AssertionError("the server did not close")


async def websockets_without_compression():
    async with connect(SOCKET, proxy=PROXY, compression=None, max_size=None) as socket:
        for size in (0, 125, 126, 65_535, 65_536, 1_000_000):
            await socket.send(CONTENT[:size])
            assert await socket.recv() == CONTENT[:size]
        await socket.close(1000, "bye")
        assert (socket.close_code, socket.close_reason) == (1000, "bye")


def main() -> int:
    checks = [
        requests_session_keeps_its_connection, requests_streams_an_upload, requests_streams_a_download,
        requests_tunnels, requests_follows_a_redirect, aiohttp_session, aiohttp_streams_an_upload,
        aiohttp_expects_continue, aiohttp_reads_chunks, aiohttp_reads_until_close, aiohttp_tunnels,
        aiohttp_websocket_in_absolute_form,
        aiohttp_websocket_in_absolute_form_with_scheme_ws, websockets_by_tunnel, websockets_without_compression,
    ]
    for check in checks:
        name = check.__name__.replace("_", " ")
        try:
            if asyncio.iscoroutinefunction(check):
                asyncio.run(asyncio.wait_for(check(), 40))
            else:
                check()
        except Exception as error:  # noqa: BLE001 (whatever it is, it is this check's failure)
            traceback.print_exc()
            print(f"fail {name}: {type(error).__name__}: {error}".replace("\n", " ")[:300], flush=True)
        else:
            print(f"pass {name}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
