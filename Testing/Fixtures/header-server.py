#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A server that prints the head of each request, a line `request BASE64`, and forbids the upgrade. Prints `listening on
PORT` first and runs until it is ended. Its own reading of sockets, so that no library tidies a header up."""
import base64
import socket

with socket.create_server(("127.0.0.1", 0)) as listener:
    print(f"listening on {listener.getsockname()[1]}", flush=True)
    while True:
        connection, _ = listener.accept()
        with connection:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                piece = connection.recv(65536)
                if not piece:
                    break
                head += piece
            print("request", base64.b64encode(head).decode(), flush=True)
            connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
