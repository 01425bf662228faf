#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Usage: client.py URL PROMPTS-FOLDER [--prompts N] [--rate 8000|16000] [--check]

Speaks Asterisk's prompts to a server of the Vosk protocol as AudioFork does: two connections at once, 200 ms in
each message, in real time. Prints the words, when they came, and their share that is right. With --check the exit
status is 1 where less than 95 % is right or final words came later than 1.5 s. --prompts: of each speaker; with 1 only
the first speaker speaks.
"""

import argparse
import array
import asyncio
import json
import pathlib
import sys
import time

import websockets

from words import SPEAKERS, Prompt, Spoken, Verdict, judge, load

MESSAGE = 0.2
PAUSE = 1.5
# Messages without an answer. Behind more a server that does not keep up would not see our pongs, and would close.
MOST_UNANSWERED = 16
LEAST_PERCENT = 95.0
LATEST = 1.5


class Speaker:
    """One connection: prompts with pauses between them, and what was heard of each."""

    def __init__(self, name: str, prompts: list[Prompt], rate: int):
        self.name, self.prompts, self.rate = name, prompts, rate
        self.verdict = Verdict()
        self.window = asyncio.Semaphore(MOST_UNANSWERED)

    def audio(self) -> tuple[bytes, list[Spoken]]:
        """All samples, and the prompts in them."""
        samples = bytearray(16000)
        spoken = []
        for prompt in self.prompts:
            begin = len(samples) / 16000
            spoken.append(Spoken(prompt, begin, begin + prompt.speech_end))
            samples += prompt.samples + bytes(int(PAUSE * 16000))
        if self.rate == 16000:
            values = array.array("h", samples)
            doubled = array.array("h", bytes(4 * len(values)))
            doubled[::2] = values
            doubled[1::2] = array.array("h", [(a + b) // 2 for a, b in zip(values, values[1:])]) + values[-1:]
            return doubled.tobytes(), spoken
        return bytes(samples), spoken

    async def talk(self, url: str) -> None:
        samples, spoken = self.audio()
        size = int(MESSAGE * self.rate) * 2
        messages = [samples[place:place + size] for place in range(0, len(samples), size)]
        finals: list[tuple[float, str]] = []
        async with websockets.connect(url, compression=None) as connection:
            await connection.send(json.dumps({"config": {"sample_rate": self.rate}}))
            began = time.monotonic()
            receiving = asyncio.create_task(self.receive(connection, len(messages), began, finals))
            for number, message in enumerate(messages):
                # A message leaves when its last sample has been spoken.
                await asyncio.sleep(began + (number + 1) * MESSAGE - time.monotonic())
                await self.window.acquire()
                await connection.send(message)
            await connection.send('{"eof" : 1}')
            await receiving
            more = [message async for message in connection]
            if more or connection.close_code != 1000:
                sys.exit(f"{self.name}: {len(more)} answers too many, closed with {connection.close_code}, not 1000")
        self.verdict = judge(spoken, finals)

    async def receive(self, connection, messages: int, began: float, finals: list[tuple[float, str]]) -> None:
        shown = ""
        for _ in range(messages + 1):
            answer = json.loads(await connection.recv())
            now = time.monotonic() - began
            self.window.release()
            if answer.get("text"):
                finals.append((now, answer["text"]))
                times = f"{answer['result'][0]['start']}-{answer['result'][-1]['end']}"
                print(f"{now:6.1f}  {self.name}: {answer['text']}  [{times}]", flush=True)
            elif answer.get("partial", shown) != shown:
                shown = answer["partial"]
                print(f"{now:6.1f}  {self.name}: … {shown}", flush=True)


async def main() -> int:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("url")
    arguments.add_argument("folder", type=pathlib.Path)
    arguments.add_argument("--prompts", type=int, default=len(SPEAKERS[0]))
    arguments.add_argument("--rate", type=int, default=8000)
    arguments.add_argument("--check", action="store_true")
    given = arguments.parse_args()
    names = SPEAKERS[:1] if given.prompts == 1 else SPEAKERS
    speakers = [
        Speaker(f"speaker {number + 1}", [load(given.folder, each) for each in prompts[:given.prompts]], given.rate)
        for number, prompts in enumerate(names)
    ]
    await asyncio.gather(*(speaker.talk(given.url) for speaker in speakers))
    for speaker in speakers:
        print("\n".join(f"{speaker.name}: {line}" for line in [*speaker.verdict.remarks, str(speaker.verdict)]))
    good = all(speaker.verdict.holds(LEAST_PERCENT, LATEST) for speaker in speakers)
    return 0 if good or not given.check else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
