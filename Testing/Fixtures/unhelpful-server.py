#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A server that misbehaves in one way.

Usage: unhelpful-server.py MODE. Listens on a free port of 127.0.0.1, prints `listening on PORT`, and a line
`connection N` for each connection, until it is ended. Modes:

  silent    takes connections and never answers the upgrade request
  stalled   answers the upgrade and then never reads
  dropping  answers the upgrade and drops the connection after half a second
"""
import base64
import hashlib
import socket
import sys
import threading
import time

mode = sys.argv[1]
kept = []


def upgrade(connection):
    request = b""
    while b"\r\n\r\n" not in request:
        piece = connection.recv(4096)
        if not piece:
            return
        request += piece
    key = next(
        line.split(b":", 1)[1].strip() for line in request.split(b"\r\n")
        if line.lower().startswith(b"sec-websocket-key:"))
    digest = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    connection.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
        + base64.b64encode(digest) + b"\r\n\r\n")


def serve(connection):
    if mode == "silent":
        return
    upgrade(connection)
    if mode == "dropping":
        time.sleep(0.5)
        connection.close()


with socket.socket() as server:
    # Taken over by each connection: what a peer that does not read can hold is little.
    server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    server.bind(("127.0.0.1", 0))
    server.listen(64)
    print(f"listening on {server.getsockname()[1]}", flush=True)
    while True:
        connection, _ = server.accept()
        kept.append(connection)
        print(f"connection {len(kept)}", flush=True)
        threading.Thread(target=serve, args=(connection,), daemon=True).start()
