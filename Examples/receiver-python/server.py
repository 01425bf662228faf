#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Receives audio forks with Python's `websockets` (10.4 or newer) and writes each to a WAV file of its own.

    python3 server.py [HOST [PORT [FOLDER]]]        (127.0.0.1 8080 .)
"""

import asyncio
import itertools
import os
import signal
import sys
import wave

import websockets

numbers = itertools.count(1)


def request_headers(connection):
    """The headers of the upgrade request, in the interface of websockets 14 and later or in the one before."""
    request = getattr(connection, "request", None)
    return request.headers if request is not None else connection.request_headers


def whole_number(headers, name, otherwise):
    text = headers.get(name, "")
    return int(text) if text.isdecimal() and int(text) > 0 else otherwise


async def receive(connection, folder):
    number = next(numbers)
    headers = request_headers(connection)
    rate = whole_number(headers, "AudioFork-Rate", 8000)
    channels = whole_number(headers, "AudioFork-Channels", 1)
    path = os.path.join(folder, f"{os.getpid()}-{number}.wav")
    received = told = 0
    print(f"stream {number}: started -> {path}", flush=True)
    # "xb" refuses to overwrite. The header gets its lengths when the file is closed.
    with open(path, "xb") as file, wave.open(file, "wb") as recording:
        recording.setnchannels(channels)
        recording.setsampwidth(2)
        recording.setframerate(rate)
        try:
            async for message in connection:
                if isinstance(message, str):
                    print(f"stream {number}: text {message!r}", flush=True)
                    continue
                recording.writeframesraw(message)
                received += len(message)
                if received - told >= 2 * channels * rate:
                    told = received
                    print(f"stream {number}: {received / 2 / channels / rate:.2f} s", flush=True)
        except websockets.ConnectionClosed:
            pass  # Without a Close, or with an error code: what came is kept all the same.
    seconds = received / 2 / channels / rate
    print(f"stream {number}: ended {seconds:.2f} s, closed with {connection.close_code}", flush=True)


async def main(host="127.0.0.1", port="8080", folder="."):
    stop = asyncio.get_running_loop().create_future()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, lambda: stop.done() or stop.set_result(None))
    # compression: audio hardly shrinks, and every connection would cost memory.
    async with websockets.serve(
        lambda connection: receive(connection, folder), host, int(port), compression=None
    ) as server:
        print(f"listening on {server.sockets[0].getsockname()[1]}", flush=True)
        await stop
    # Leaving the block has closed every connection with 1001 and waited for its file.


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))
