"""A WebSocket echo server on a port of its own choice, for ci/clients; the library is `websockets`.

Says its port on standard output, and ends when its standard input does. A text message `close CODE REASON` makes it
close.
"""

import asyncio
import sys

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed


async def echo(connection):
    try:
        async for message in connection:
            if isinstance(message, str) and message.startswith("close "):
                _, code, reason = message.split(" ", 2)
                await connection.close(int(code), reason)
                return
            await connection.send(message)
    except ConnectionClosed:
        pass


async def main():
    async with serve(echo, "127.0.0.1", 0, max_size=16 * 1024 * 1024) as server:
        print(f"socket_port={server.sockets[0].getsockname()[1]}", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(main())
