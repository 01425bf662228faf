#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A server whose answers to the upgrade request are odd, by the request's path.

Usage: answering-server.py. Listens on a free port of 127.0.0.1, prints `listening on PORT`, and for each connection
that has ended a line `PATH N`, with N bytes read behind the request, until it is ended. Paths:

  /accept    blanks behind the value of Sec-WebSocket-Accept
  /protocol  blanks and a tab around the value of Sec-WebSocket-Protocol
  /fold      a folded header line
  /many      110 header lines
  /lf        lines that end with a line feed alone
  /closed    accepts, and closes the connection at once
  /reason    refuses with 400 and a reason in the body, with control characters and the request's Authorization in it
  /moved     refuses with 302 and a Location that has user information and a query
"""
import base64
import hashlib
import re
import socket
import threading


def answer(path, request):
    key = re.search(rb"(?im)^sec-websocket-key: (\S+)", request)[1]
    digest = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    if path == b"/reason":
        secret = re.search(rb"(?im)^authorization: ([^\r]+)", request)
        body = b"no \x1b[31mroom\xc2\x9b for " + (secret[1] if secret else b"you") + b"\nsecond line\n"
        return b"HTTP/1.1 400 Bad Request\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    if path == b"/moved":
        return (
            b"HTTP/1.1 302 Found\r\nLocation: ws://user:secret@127.0.0.1:9/there?token=secret\r\n"
            b"Content-Length: 0\r\n\r\n")
    head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
    head += base64.b64encode(digest)
    head += {
        b"/accept": b"  ",
        b"/protocol": b"\r\nSec-WebSocket-Protocol:  echo \t",
        b"/fold": b"\r\nX-A: b\r\n c",
        b"/many": b"".join(b"\r\nX-%d: v" % number for number in range(106)),
    }.get(path, b"") + b"\r\n\r\n"
    return head.replace(b"\r\n", b"\n") if path == b"/lf" else head


def serve(connection):
    request = b""
    while b"\r\n\r\n" not in request:
        piece = connection.recv(4096)
        if not piece:
            return
        request += piece
    path = request.split()[1]
    connection.sendall(answer(path, request))
    count = 0
    try:
        while path != b"/closed":
            piece = connection.recv(65536)
            if not piece:
                break
            count += len(piece)
    except ConnectionError:
        pass
    connection.close()
    print(f"{path.decode()} {count}", flush=True)


with socket.socket() as server:
    server.bind(("127.0.0.1", 0))
    server.listen(64)
    print(f"listening on {server.getsockname()[1]}", flush=True)
    while True:
        connection, _ = server.accept()
        threading.Thread(target=serve, args=(connection,), daemon=True).start()
