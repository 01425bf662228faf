#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A WebSocket server that sleeps for 8 s after the first second of each connection, as if it loaded a model.

Usage: slow-server.py websockets|aiohttp|uvicorn FOLDER. Listens on a free port of 127.0.0.1 and prints
`listening on PORT`, and `connection N` for each that it accepts. Writes the audio of connection N to FOLDER/N.raw. The
sleep blocks its event loop, so that no ping is answered meanwhile. Runs until it is ended.
"""
import asyncio
import itertools
import socket
import sys
import time

kind, folder = sys.argv[1], sys.argv[2]
STALL_SECONDS = 8
# A second at 8 kHz. By then it has answered a ping.
STALL_AFTER_BYTES = 16_000
numbers = itertools.count(1)
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen(100)


class Recording:
    """One connection's audio."""

    def __init__(self):
        number = next(numbers)
        print(f"connection {number}", flush=True)
        self.file = open(f"{folder}/{number}.raw", "xb", buffering=0)
        self.bytes_left = STALL_AFTER_BYTES

    def take(self, audio):
        self.file.write(audio)
        if self.bytes_left > 0:
            self.bytes_left -= len(audio)
            if self.bytes_left <= 0:
                time.sleep(STALL_SECONDS)


async def with_websockets():
    import websockets

    async def handle(connection, _path=None):
        recording = Recording()
        async for message in connection:
            recording.take(message)

    async with websockets.serve(handle, sock=listener):
        await asyncio.Future()


async def with_aiohttp():
    from aiohttp import WSMsgType, web

    async def handle(request):
        connection = web.WebSocketResponse()
        await connection.prepare(request)
        recording = Recording()
        async for message in connection:
            if message.type == WSMsgType.BINARY:
                recording.take(message.data)
        return connection

    application = web.Application()
    application.add_routes([web.get("/{path:.*}", handle)])
    runner = web.AppRunner(application)
    await runner.setup()
    await web.SockSite(runner, listener).start()
    await asyncio.Future()


async def with_uvicorn():
    import uvicorn

    async def application(scope, receive, send):
        if scope["type"] != "websocket":
            return
        await receive()
        await send({"type": "websocket.accept"})
        recording = Recording()
        while (message := await receive())["type"] == "websocket.receive":
            recording.take(message["bytes"])

    settings = uvicorn.Config(application, lifespan="off", log_level="error")
    await uvicorn.Server(settings).serve(sockets=[listener])


serve = {"websockets": with_websockets, "aiohttp": with_aiohttp, "uvicorn": with_uvicorn}[kind]
print(f"listening on {listener.getsockname()[1]}", flush=True)
asyncio.run(serve())
