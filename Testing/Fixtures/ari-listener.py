#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An ARI application on Python's websockets that hears of every channel.

Usage: ari-listener.py PORT USER PASSWORD. Prints `connected`, then each event of type ChannelUserevent as one line of
JSON, until it is ended.
"""
import asyncio
import json
import sys

import websockets

port, user, password = sys.argv[1:]


async def main():
    url = f"ws://127.0.0.1:{port}/ari/events?app=audiofork&api_key={user}:{password}&subscribeAll=true"
    async with websockets.connect(url) as connection:
        print("connected", flush=True)
        async for message in connection:
            event = json.loads(message)
            if event["type"] == "ChannelUserevent":
                print(json.dumps(event), flush=True)


asyncio.run(main())
