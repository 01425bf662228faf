#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A server on Python's websockets that pings often and closes when it likes.

Usage: closing-server.py CODE SECONDS. Listens on a free port of 127.0.0.1, prints `listening on PORT`, pings every
0.3 s and gives up on a client that does not answer within 0.5 s. Closes each connection with CODE after SECONDS;
prints `closed CODE` for how each connection ended, as the library saw it, and `messages N` before that.
"""
import asyncio
import sys

import websockets

code, seconds = int(sys.argv[1]), float(sys.argv[2])


async def serve(connection, path="/"):
    messages = 0
    deadline = asyncio.get_running_loop().time() + seconds
    try:
        while (left := deadline - asyncio.get_running_loop().time()) > 0:
            try:
                await asyncio.wait_for(connection.recv(), left)
                messages += 1
            except asyncio.TimeoutError:
                break
        await connection.close(code, "enough")
    except websockets.ConnectionClosed:
        pass
    print(f"messages {messages}", flush=True)
    print(f"closed {connection.close_code}", flush=True)


async def main():
    async with websockets.serve(serve, "127.0.0.1", 0, ping_interval=0.3, ping_timeout=0.5) as server:
        print(f"listening on {server.sockets[0].getsockname()[1]}", flush=True)
        await asyncio.Future()


asyncio.run(main())
