#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A server on Python's websockets that sends text.

Usage: talking-server.py FILE. Listens on a free port of 127.0.0.1 and prints `listening on PORT`. FILE is a list in
JSON: each client is sent its strings as text messages, half a second apart. `text ` and a JSON string are printed for
each text that a client sends; the text `break UTF-8` is answered with a text message that is no UTF-8. `closed CODE` is
printed for how a connection ended: the code in the client's Close, 1006 without one.
"""
import asyncio
import json
import sys

import websockets

texts = json.load(open(sys.argv[1]))


async def say(connection):
    for text in texts:
        await connection.send(text)
        await asyncio.sleep(0.5)


async def serve(connection, path="/"):
    saying = asyncio.create_task(say(connection))
    try:
        async for message in connection:
            if isinstance(message, str):
                print("text " + json.dumps(message), flush=True)
                if message == "break UTF-8":
                    connection.transport.write(b"\x81\x04ab\xff\xfe")
    except websockets.ConnectionClosed:
        pass
    saying.cancel()
    print(f"closed {connection.close_code}", flush=True)


async def main():
    async with websockets.serve(serve, "127.0.0.1", 0) as server:
        print(f"listening on {server.sockets[0].getsockname()[1]}", flush=True)
        await asyncio.Future()


asyncio.run(main())
