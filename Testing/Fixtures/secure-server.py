#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Takes TLS connections and nothing more.

Usage: secure-server.py CERTIFICATE KEY. Listens on a free port of 127.0.0.1, prints `listening on PORT`, a line
`connection N` for each connection, and `handshake N` where its handshake succeeded, until it is ended.
"""
import socket
import ssl
import sys
import threading

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])


def serve(connection, number):
    try:
        secure = context.wrap_socket(connection, server_side=True)
        # With TLS 1.3 a client that refuses us says so after our handshake is over.
        if secure.recv(1):
            print(f"handshake {number}", flush=True)
    except (ssl.SSLError, OSError):
        pass


with socket.socket() as server:
    server.bind(("127.0.0.1", 0))
    server.listen(64)
    print(f"listening on {server.getsockname()[1]}", flush=True)
    count = 0
    while True:
        connection, _ = server.accept()
        count += 1
        print(f"connection {count}", flush=True)
        threading.Thread(target=serve, args=(connection, count), daemon=True).start()
