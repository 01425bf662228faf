#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A server that sends its clients elsewhere, and an HTTP proxy on the same port.

Usage: redirecting-server.py LOCATION. Listens on a free port of 127.0.0.1, prints `listening on PORT`, and until it is
ended a line for each request:

  connect AUTHORITY CREDENTIALS    CONNECT: answers 200 and connects to that port of 127.0.0.1
  request PATH TOKEN KEY           anything else, with the headers Authorization and X-Key: answers 307 to LOCATION
"""
import re
import socket
import sys
import threading

location = sys.argv[1].encode()


def header(request, name):
    found = re.search(rb"(?im)^%s: ([^\r]*)" % name, request)
    return found[1].decode().replace(" ", "_") if found else "-"


def pump(source, target):
    try:
        while piece := source.recv(65536):
            target.sendall(piece)
    except OSError:
        pass
    for end in (source, target):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def serve(connection):
    request = b""
    while b"\r\n\r\n" not in request:
        piece = connection.recv(4096)
        if not piece:
            return
        request += piece
    method, target = request.split(b" ")[:2]
    if method == b"CONNECT":
        print("connect", target.decode(), header(request, b"proxy-authorization"), flush=True)
        other = socket.create_connection(("127.0.0.1", int(target.rsplit(b":", 1)[1])))
        connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        threading.Thread(target=pump, args=(other, connection), daemon=True).start()
        pump(connection, other)
        return
    print("request", target.decode(), header(request, b"authorization"), header(request, b"x-key"), flush=True)
    connection.sendall(b"HTTP/1.1 307 Temporary Redirect\r\nLocation: " + location + b"\r\nContent-Length: 0\r\n\r\n")


with socket.socket() as server:
    server.bind(("127.0.0.1", 0))
    server.listen(64)
    print(f"listening on {server.getsockname()[1]}", flush=True)
    while True:
        connection, _ = server.accept()
        threading.Thread(target=serve, args=(connection,), daemon=True).start()
