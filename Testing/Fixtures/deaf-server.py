#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A WebSocket server that takes audio and says nothing at all: no pong, no close, not a word.

Usage: deaf-server.py FILE. Listens on a free port of 127.0.0.1, prints `listening on PORT`, appends the payload of
every binary message of the first connection to FILE, ends when that connection does.
"""
import base64
import hashlib
import socket
import struct
import sys


def take(stream, count):
    taken = b""
    while len(taken) < count:
        piece = stream.read(count - len(taken))
        if not piece:
            raise EOFError
        taken += piece
    return taken


with socket.create_server(("127.0.0.1", 0)) as server, open(sys.argv[1], "wb", buffering=0) as target:
    print(f"listening on {server.getsockname()[1]}", flush=True)
    connection, _ = server.accept()
    stream = connection.makefile("rb")
    key = ""
    while (line := stream.readline().strip()):
        name, _, value = line.decode().partition(":")
        if name.lower() == "sec-websocket-key":
            key = value.strip()
    digest = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
    connection.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
        + base64.b64encode(digest) + b"\r\n\r\n")
    try:
        while True:
            first, second = take(stream, 2)
            length = second & 127
            if length == 126:
                length = struct.unpack("!H", take(stream, 2))[0]
            elif length == 127:
                length = struct.unpack("!Q", take(stream, 8))[0]
            mask = take(stream, 4)
            payload = take(stream, length)
            if first & 15 == 2:
                target.write(bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload)))
    except EOFError:
        pass
