#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An HTTP server that forbids every upgrade. Prints `listening on PORT` and runs until it is ended."""
import http.server


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_error(403)

    def log_message(self, *_):
        pass


with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
    print(f"listening on {server.server_address[1]}", flush=True)
    server.serve_forever()
