#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A plain recognizer on Python's websockets, as strict as such services are.

Usage: recognizer-server.py SECONDS... Listens on a free port of 127.0.0.1 and prints `listening on PORT`. Closes with
1003 unless the first message is a JSON text with `config`, and with 4031 at audio shorter than 50 ms (s16le at 8 kHz).
Its answer to the text `{"eof":1}` comes SECONDS later: how many seconds of audio it has heard. Then Close 1000.
The first connection takes the first SECONDS and so on; the last SECONDS are for all that follow.
Prints `connection N at POSITION` and `config JSON` for each connection, and `heard BYTES` at the end of audio.
"""
import asyncio
import json
import sys

import websockets

waits = [float(argument) for argument in sys.argv[1:]]


async def serve(connection, path="/"):
    headers = getattr(connection, "request_headers", None) or connection.request.headers
    print(f"connection {headers['AudioFork-Connection']} at {headers['AudioFork-Position']}", flush=True)
    heard = 0
    wait = waits.pop(0) if len(waits) > 1 else waits[0]
    try:
        first = await connection.recv()
        if not isinstance(first, str) or "config" not in json.loads(first):
            return await connection.close(1003, "config expected")
        print("config " + json.dumps(json.loads(first)["config"], sort_keys=True), flush=True)
        async for message in connection:
            if isinstance(message, bytes):
                heard += len(message)
                if len(message) < 800:
                    return await connection.close(4031, "chunk too short")
            elif json.loads(message) == {"eof": 1}:
                print(f"heard {heard}", flush=True)
                await asyncio.sleep(wait)
                await connection.send(json.dumps({"text": f"{heard / 16000:.1f} seconds"}))
                return await connection.close(1000)
    except websockets.ConnectionClosed:
        pass


async def main():
    async with websockets.serve(serve, "127.0.0.1", 0) as server:
        print(f"listening on {server.sockets[0].getsockname()[1]}", flush=True)
        await asyncio.Future()


asyncio.run(main())
