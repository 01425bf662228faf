# SPDX-License-Identifier: Apache-2.0
"""Vosk behind the rules of its own server program, websocket/asr_server.py of alphacep/vosk-server: for machines that
cannot fetch that one. As there, the environment has VOSK_SERVER_INTERFACE and VOSK_SERVER_PORT, and the only argument
is the model's folder.

As there, commands are compared as strings: {"eof":1} without its spaces is audio to this server, and an error.
"""

import asyncio
import json
import os
import sys

import vosk
import websockets


def answer(recognizer: vosk.KaldiRecognizer, message: str | bytes) -> str:
    if message in ('{"eof" : 1}', '{"reset" : 1}'):
        return recognizer.FinalResult()
    return recognizer.Result() if recognizer.AcceptWaveform(message) else recognizer.PartialResult()


async def converse(connection: websockets.WebSocketServerProtocol, _: str) -> None:
    rate = 8000.0
    recognizer = None
    async for message in connection:
        if isinstance(message, str) and "config" in message:
            rate = float(json.loads(message)["config"].get("sample_rate", rate))
            continue
        if recognizer is None:
            recognizer = vosk.KaldiRecognizer(model, rate)
            recognizer.SetWords(True)
        await connection.send(await asyncio.to_thread(answer, recognizer, message))
        if message == '{"eof" : 1}':
            return


async def main() -> None:
    interface, port = os.environ["VOSK_SERVER_INTERFACE"], int(os.environ["VOSK_SERVER_PORT"])
    async with websockets.serve(converse, interface, port):
        await asyncio.Future()


model = vosk.Model(sys.argv[1])
asyncio.run(main())
