"""The `websockets` library as a client: usage: client_websockets.py PORT [NAME CA_FILE]; with those two over TLS."""

import asyncio
import os
import ssl
import sys

import websockets


async def main(port, name="fastapi.test", ca=None):
    """Texts, large binaries, a ping, an orderly close; then twenty connections at once."""
    url = f"{'wss' if ca else 'ws'}://{name}:{port}/ws"
    options = {"host": "127.0.0.1", "port": port, "proxy": None, "max_size": None}
    if ca:
        options["ssl"] = ssl.create_default_context(cafile=ca)
    async with websockets.connect(url, **options) as socket:
        await socket.send("hello")
        assert await socket.recv() == "HELLO"
        for size in (1, 125, 126, 65_536, 1_000_000):
            data = os.urandom(size)
            await socket.send(data)
            assert await socket.recv() == data[::-1], size
        await (await socket.ping())
    assert socket.close_code == 1000

    async def one(number):
        async with websockets.connect(url, **options) as socket:
            for turn in range(10):
                await socket.send(f"{number}-{turn}-x")
                assert await socket.recv() == f"{number}-{turn}-X"

    await asyncio.gather(*(one(number) for number in range(20)))


asyncio.run(main(int(sys.argv[1]), *sys.argv[2:]))
print("ok")
