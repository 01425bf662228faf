#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A strict server on Python's `websockets`; says and does what strict-server.js does.

Usage: strict-server.py FOLDER
"""
import asyncio
import os
import signal
import sys

import websockets

folder = sys.argv[1]
numbers = {}
TEXT = ['{"said":', '"κό', 'σμε"}']
# What our side closes with when its parser refuses what came.
REFUSALS = {1002, 1003, 1007, 1009, 1010, 1011}


class Stream:
    def __init__(self, connection, name, number):
        self.connection, self.name, self.number = connection, name, number
        self.code = int(name.partition("-")[2] or 0) if number == 1 else 0
        self.errors = self.pings = self.pongs = self.texts = self.said = self.bytes = 0
        self.own_code = self.closing = None

    async def ping(self, length):
        # The library wants payloads that differ while they wait.
        payload = self.pings.to_bytes(4, "big") + bytes(length - 4)
        self.pings += 1
        (await self.connection.ping(payload)).add_done_callback(self.ponged)

    def ponged(self, waiter):
        if not waiter.cancelled() and waiter.exception() is None:
            self.pongs += 1

    async def fragments(self):
        for number, piece in enumerate(TEXT):
            yield piece
            await self.ping(125 if number == 0 else 8)
            if number == 1:
                await self.connection.pong(bytes(125))
            await asyncio.sleep(0.04)

    async def talk(self):
        try:
            # Ends between two messages: the library has no way to give up a fragmented one.
            while self.own_code is None:
                await self.connection.send(self.fragments())
                self.said += 1
                await self.ping(4)
                await asyncio.sleep(0.04)
        except websockets.ConnectionClosed:
            pass

    async def listen(self, file):
        async for message in self.connection:
            if isinstance(message, str):
                self.texts += 1
                continue
            file.write(message)
            self.bytes += len(message)
            if self.code and self.bytes >= 8000 and self.own_code is None:
                self.own_code = self.code
                self.closing = asyncio.ensure_future(self.close())

    async def close(self):
        await asyncio.wait([self.talking])
        await self.connection.close(self.own_code, "enough")

    async def run(self):
        self.talking = asyncio.ensure_future(self.talk())
        with open(os.path.join(folder, f"{self.name}.{self.number}"), "xb") as file:
            try:
                await self.listen(file)
            except websockets.ConnectionClosed as closed:
                sent = None if closed.sent is None else closed.sent.code
                if closed.rcvd is None or (sent in REFUSALS and sent != self.own_code):
                    self.errors += 1
                    print(f"{self.name}.{self.number} error {closed}", flush=True)
        await asyncio.wait([task for task in (self.talking, self.closing) if task is not None])
        print(
            f"{self.name}.{self.number} closed {self.connection.close_code} errors {self.errors}"
            f" pongs {self.pongs} of {self.pings} texts {self.texts} said {self.said}",
            flush=True,
        )


async def serve(connection):
    # In the interface of websockets 14 and later, or in the one before.
    request = getattr(connection, "request", None)
    name = (request.path if request is not None else connection.path)[1:]
    numbers[name] = numbers.get(name, 0) + 1
    await Stream(connection, name, numbers[name]).run()


async def main():
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: os._exit(0))
    async with websockets.serve(serve, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
        print(f"listening on {server.sockets[0].getsockname()[1]}", flush=True)
        await asyncio.sleep(60)


asyncio.run(main())
