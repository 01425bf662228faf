#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Usage: test_server.py URL PROMPTS-FOLDER

What Examples/transcribe-python answers to silence, to noise, to audio faster than real time, and to what is no message
of the Vosk protocol; and how much of the audio it keeps.
"""

import array
import asyncio
import json
import pathlib
import random
import sys
import time
import unittest
import unittest.mock

import websockets
from websockets.asyncio.client import ClientConnection

from words import compare, load

sys.path.append(str(pathlib.Path(__file__).parents[2] / "Examples/transcribe-python"))
import server  # noqa: E402

MESSAGE = 3200


class Server(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self) -> None:
        self.connection: ClientConnection = await websockets.connect(url, compression=None)

    async def asyncTearDown(self) -> None:
        await self.connection.close()

    async def heard(self, audio: bytes, size: int = MESSAGE) -> str:
        """Sends messages, each after the answer to the one before. Returns all final words up to the Close."""
        texts = []
        for place in range(0, len(audio), size):
            await self.connection.send(audio[place:place + size])
            texts.append(json.loads(await self.connection.recv()).get("text"))
        await self.connection.send('{"eof" : 1}')
        texts += [json.loads(answer)["text"] async for answer in self.connection]
        self.assertEqual(self.connection.close_code, 1000)
        return " ".join(text for text in texts if text)

    async def refused(self, text: str, code: int) -> None:
        await self.connection.send(text)
        with self.assertRaises(websockets.ConnectionClosed):
            await asyncio.wait_for(self.connection.recv(), 30)
        self.assertEqual(self.connection.close_code, code)

    async def test_nothing(self) -> None:
        self.assertEqual(await self.heard(b""), "")

    async def test_silence(self) -> None:
        self.assertEqual(await self.heard(bytes(160_000)), "")

    async def test_noise(self) -> None:
        noise = random.Random(1)
        samples = array.array("h", [int(noise.gauss(0, 1000)) for _ in range(80_000)])
        self.assertEqual(await self.heard(samples.tobytes()), "")

    async def test_faster_than_real_time(self) -> None:
        prompts = [load(folder, name) for name in ("vm-newuser", "queue-youarenext", "ss-noservice")]
        audio = b"".join(prompt.samples + bytes(16_000) for prompt in prompts)
        share = compare(" ".join(prompt.text for prompt in prompts), await self.heard(audio, size=1001))
        self.assertGreaterEqual(share.percent, 95)

    async def test_reset(self) -> None:
        prompt = load(folder, "conf-invalid")
        await self.connection.send(prompt.samples)
        await self.connection.recv()
        await self.connection.send('{"reset" : 1}')
        first = json.loads(await self.connection.recv())
        self.assertEqual(compare(prompt.text, first["text"]).percent, 100)
        ends = [word["end"] for word in first["result"]]
        self.assertEqual(ends, sorted(ends))
        self.assertLess(ends[-1], prompt.seconds + 0.1)
        self.assertTrue(all(0 <= word["conf"] <= 1 for word in first["result"]))
        self.assertEqual(await self.heard(bytes(16_000)), "")

    async def test_refusals(self) -> None:
        await self.refused('{"config": {"sample_rate": 44100}}', 1008)

    async def test_message_too_long(self) -> None:
        await self.connection.send(bytes(64_000))
        self.assertEqual(json.loads(await self.connection.recv()), {"partial": ""})
        await self.connection.send(bytes(64_002))
        with self.assertRaises(websockets.ConnectionClosed):
            await asyncio.wait_for(self.connection.recv(), 30)
        self.assertEqual(self.connection.close_code, 1009)

    async def test_no_message_of_the_protocol(self) -> None:
        rates = [f'{{"config": {{"sample_rate": {rate}}}}}' for rate in ('"fast"', "1e999", "NaN", "null", "9" * 5000)]
        for text in ("hello", "[1]", "7", "{}", '{"config": 1}', *rates, "[" * 50_000):
            with self.subTest(text[:40]):
                await self.refused(text, 1007)
                self.connection = await websockets.connect(url, compression=None)


class Memory(unittest.IsolatedAsyncioTestCase):
    """The server's part without a network and a model: each utterance is one word, its number."""

    async def test_many_utterances_in_each_message(self) -> None:
        prompt = load(folder, "conf-invalid")
        utterance = prompt.samples[:16 * 800] + bytes(16 * 800)
        audio = utterance * 150
        stream = server.Stream(None, 8000)
        heard, most = [], 0.0
        with unittest.mock.patch.object(server, "recognize", self.recognize):
            for place in range(0, len(audio), 64_000):
                stream.accept(audio[place:place + 64_000])
                answer = await stream.answer()
                heard += [word["start"] for word in answer.get("result", [])]
                kept = sum(len(each.audio) for each in stream.closed) / 16_000
                most = max(most, kept)
                self.assertFalse(stream.closed and stream.is_recognized(stream.closed[0]), "an answer has left words")
            heard += [word["start"] for word in (await stream.finish()).get("result", [])]
        print(f"{len(audio) / 16_000:.0f} s of audio, {len(heard)} words; kept at most {most:.1f} s")
        # With one message more than the limit, and what it found open.
        self.assertLess(most, server.LONGEST_BACKLOG + 4)
        self.assertEqual(heard, sorted(set(heard)))
        self.assertAlmostEqual(len(heard), 150, delta=15)

    @staticmethod
    def recognize(model: None, audio: bytes, rate: int, start: float) -> list[server.Word]:
        time.sleep(0.005)
        return [{"word": f"{start:.2f}", "start": start, "end": start, "conf": 1.0}] if audio else []


url, folder = sys.argv[1], pathlib.Path(sys.argv[2])
unittest.main(argv=sys.argv[:1])
