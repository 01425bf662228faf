#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A WebSocket server with trouble that passes, or an end in order, by its mode.

Usage: troubled-server.py MODE FOLDER. Listens on a free port of 127.0.0.1 and prints `listening on PORT`, `refused` for
each request that it refuses with 404, and `connection N` for each that it accepts. Writes the audio of connection N to
FOLDER/N.raw. Answers pings. Runs until it is ended. Modes:

  cut     cuts the first connection after 1 s, refuses for 1.5 s, and is well from then on
  late    refuses for 0.5 s from the first request on, and is well from then on
  empty   closes each connection after 0.7 s, without a code
  normal  closes each connection after 0.7 s, with 1000
  gone    closes the first connection of each path after 0.7 s, without a code, and refuses the path from then on
"""
import base64
import hashlib
import re
import socket
import sys
import threading
import time

mode, folder = sys.argv[1], sys.argv[2]
lock = threading.Lock()
count = 0
well_from = 0.0
gone = set()


def exactly(stream, length):
    data = stream.read(length)
    if len(data) < length:
        raise ConnectionError
    return data


def frame(stream):
    first, second = exactly(stream, 2)
    length = second & 127
    if length > 125:
        length = int.from_bytes(exactly(stream, 2 if length == 126 else 8), "big")
    mask = exactly(stream, 4)
    data = exactly(stream, length)
    key = int.from_bytes((mask * (length // 4 + 1))[:length], "big")
    return first & 15, (int.from_bytes(data, "big") ^ key).to_bytes(length, "big")


def close(connection, payload):
    try:
        connection.sendall(bytes([0x88, len(payload)]) + payload)
    except OSError:
        pass


def serve(connection):
    global count, well_from
    stream = connection.makefile("rb")
    request = b""
    while not request.endswith(b"\r\n\r\n"):
        line = stream.readline()
        if not line:
            return
        request += line
    with lock:
        now = time.monotonic()
        if mode == "late" and well_from == 0:
            well_from = now + 0.5
        path = request.split(b" ", 2)[1]
        is_refused = now < well_from or path in gone
        if mode == "gone":
            gone.add(path)
        if not is_refused:
            count += 1
        number = count
    if is_refused:
        print("refused", flush=True)
        connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        connection.close()
        return
    key = re.search(rb"(?im)^sec-websocket-key: (\S+)", request)[1]
    digest = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    connection.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n")
    print(f"connection {number}", flush=True)
    if mode == "cut" and number == 1:
        def cut():
            global well_from
            well_from = time.monotonic() + 1.5
            connection.shutdown(socket.SHUT_RDWR)

        threading.Timer(1, cut).start()
    if mode in ("empty", "gone", "normal"):
        threading.Timer(0.7, close, (connection, b"\x03\xe8" if mode == "normal" else b"")).start()
    try:
        with open(f"{folder}/{number}.raw", "wb") as file:
            while True:
                opcode, data = frame(stream)
                if opcode == 8:
                    if mode in ("cut", "late"):
                        close(connection, data[:2])
                    break
                if opcode == 9:
                    connection.sendall(bytes([0x8A, len(data)]) + data)
                elif opcode == 2:
                    file.write(data)
    except OSError:
        pass
    connection.close()


with socket.socket() as server:
    server.bind(("127.0.0.1", 0))
    server.listen(64)
    print(f"listening on {server.getsockname()[1]}", flush=True)
    while True:
        connection, _ = server.accept()
        threading.Thread(target=serve, args=(connection,), daemon=True).start()
