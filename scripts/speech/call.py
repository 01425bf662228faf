#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Usage: call.py --facts FILE --folder FOLDER --in URL --out URL
               [--plain] [--prompts N] [--show-only] [--latest SECONDS]

Places the call of Examples/dialplan/transcribe.conf on the Asterisk that scripts/asterisk-sandbox has started, shows
the words as AMI tells of them, and compares them with what the prompts say. The exit status is 1 where less than 95 %
of a speaker's words are right, the last words of a prompt come later than 1.5 s (or --latest) after their end, or a
fork had more than one connection.

--plain: the servers are plain ones that send texts back. --show-only: nothing is compared.
"""

import argparse
import collections
import pathlib
import shutil
import socket
import sys
import time
from collections.abc import Iterator

from words import SPEAKERS, Prompt, Spoken, judge, load

LEAST_PERCENT = 95.0
LATEST = 1.5
# What a call may take beyond its prompts.
PATIENCE = 30.0
# Seconds that a prompt may begin after its event; an end seen later still is an event that came late.
BEGINS_WITHIN = 0.3
# Seconds in which an event arrives that belongs to a variable's value.
EVENT_WITHIN = 0.5
DIRECTIONS = ("in", "out")
Event = dict[str, str]


class Manager:
    """A connection to AMI."""

    def __init__(self, facts: dict[str, str]):
        self.socket = socket.create_connection(("127.0.0.1", int(facts["ami_port"])), timeout=10)
        self.rest = b""
        self.waiting: collections.deque[Event] = collections.deque()
        self.ask("Login", Username="audiofork", Secret=facts["ami_secret"])

    def ask(self, action: str, **headers: str) -> Event:
        """Sends an action; returns its answer. Events that come first wait for `events`."""
        lines = [f"Action: {action}", "ActionID: call.py", *(f"{name}: {value}" for name, value in headers.items())]
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode())
        while True:
            message = self.read(time.monotonic() + 10)
            if message is None:
                sys.exit(f"demo-transcribe: Asterisk does not answer {action}")
            if message.get("ActionID") == "call.py" and "Response" in message:
                if message["Response"] != "Success":
                    sys.exit(f"demo-transcribe: {action}: {message.get('Message')}")
                return message
            self.waiting.append(message)

    def events(self, until: float) -> Iterator[Event]:
        """Events as they come, up to this time of time.monotonic()."""
        while time.monotonic() < until:
            message = self.waiting.popleft() if self.waiting else self.read(min(until, time.monotonic() + 0.1))
            if message is None:
                # Asterisk may keep an event until the client sends something: docs/reference/ami.md.
                self.socket.sendall(b"Action: Ping\r\n\r\n")
            elif "Event" in message:
                yield message

    def read(self, until: float) -> Event | None:
        while b"\r\n\r\n" not in self.rest:
            left = until - time.monotonic()
            if left <= 0:
                return None
            self.socket.settimeout(left)
            try:
                received = self.socket.recv(65536)
            except TimeoutError:
                return None
            if not received:
                sys.exit("demo-transcribe: Asterisk has closed the connection to AMI")
            self.rest += received
        text, _, self.rest = self.rest.partition(b"\r\n\r\n")
        message = dict(line.split(": ", 1) for line in text.decode(errors="replace").split("\r\n") if ": " in line)
        message["at"] = str(time.monotonic())
        return message


class Screen:
    """Final words in lines of their own; in a terminal the words so far below them."""

    def __init__(self) -> None:
        self.is_terminal = sys.stdout.isatty()
        self.partial: dict[str, str] = {}
        self.drawn = 0

    def final(self, speaker: str, when: str, text: str) -> None:
        self.partial.pop(speaker, None)
        self.clear()
        print(f"{when:>13}  {self.colored(speaker)}  {text}")
        self.draw()

    def so_far(self, speaker: str, text: str) -> None:
        self.partial[speaker] = text
        self.clear()
        self.draw()

    def clear(self) -> None:
        if self.drawn:
            print(f"\033[{self.drawn}A\033[J", end="")
            self.drawn = 0

    def draw(self) -> None:
        if self.is_terminal:
            width = shutil.get_terminal_size().columns - 23
            lines = [(speaker, self.partial[speaker]) for speaker in DIRECTIONS if self.partial.get(speaker)]
            for speaker, text in lines:
                print(f"{'…':>13}  {self.colored(speaker)}  {text[-width:]}")
            self.drawn = len(lines)
        sys.stdout.flush()

    def colored(self, speaker: str) -> str:
        color = {"in": 36, "out": 33}[speaker]
        return f"\033[{color}m{speaker:3}\033[0m" if self.is_terminal else f"{speaker:3}"


class Call:
    def __init__(self, manager: Manager, prompts: dict[str, list[Prompt]], is_plain: bool):
        self.manager, self.prompts, self.is_plain = manager, prompts, is_plain
        self.screen = Screen()
        self.spoken: dict[str, list[Spoken]] = {name: [] for name in DIRECTIONS}
        self.finals: dict[str, list[tuple[float, str]]] = {name: [] for name in DIRECTIONS}
        self.silent: set[str] = set()
        self.began = time.monotonic()
        self.channel = ""

    def run(self, latest: float) -> None:
        """Returns when both have spoken and their last words have come; `latest` seconds after the end without them."""
        seconds = max(sum(prompt.seconds + 2 for prompt in prompts) for prompts in self.prompts.values())
        limit = self.began + seconds + PATIENCE
        for event in self.manager.events(limit):
            self.take(event)
            if len(self.silent) == len(DIRECTIONS):
                break
        else:
            sys.exit("demo-transcribe: the call did not end in time")
        for event in self.manager.events(time.monotonic() + latest):
            self.take(event)
            if all(self.finals[name] and self.finals[name][-1][0] > self.spoken[name][-1].end for name in DIRECTIONS):
                break

    def take(self, event: Event) -> None:
        at, speaker = float(event["at"]), event.get("Speaker", "")
        match event["Event"], event.get("UserEvent"):
            case "UserEvent", "Forked":
                self.channel = event.get("Channel", "")
                if event.get("Status") != "SUCCESS":
                    sys.exit("demo-transcribe: AudioFork failed; Asterisk's log says why")
            case "UserEvent", "PromptBegin":
                prompt = next(each for each in self.prompts[speaker] if each.name == event["Prompt"])
                self.spoken[speaker].append(Spoken(prompt, at, at + prompt.speech_end + BEGINS_WITHIN))
            case "UserEvent", "PromptEnd":
                said = self.spoken[speaker][-1]
                # The file's silent end is no speech.
                said.end = min(said.end, at - (said.prompt.seconds - said.prompt.speech_end))
            case "UserEvent", "AllSaid":
                self.silent.add(speaker)
            case "AudioForkTranscript", _ if not self.is_plain:
                if event.get("Final") == "yes":
                    times = "-".join(f"{float(event[name]):.1f}" for name in ("Start", "End") if event.get(name))
                    self.final(speaker, at, f"{times} s", event.get("Text", ""))
                else:
                    self.screen.so_far(speaker, event.get("Text", ""))
            case "AudioForkResponse", _ if self.is_plain:
                self.final(event["Direction"], at, f"{at - self.began:.1f} s", event["Response"])

    def final(self, speaker: str, at: float, when: str, text: str) -> None:
        self.finals[speaker].append((at, text))
        self.screen.final(speaker, when, text)

    def is_good(self, latest: float) -> bool:
        """Prints what was right and when it came."""
        good = True
        for name in DIRECTIONS:
            verdict = judge(self.spoken[name], self.finals[name])
            good = good and verdict.holds(LEAST_PERCENT, latest)
            print("\n".join(f"{name:3}  {line}" for line in [*verdict.remarks, str(verdict)]))
        return good

    def variables_hold(self) -> bool:
        """Whether the channel's variables have the last final words. Reads them again if final words came meanwhile."""
        names = ["AUDIOFORK_RESPONSE"] if self.is_plain else [
            *(f"AUDIOFORK_TRANSCRIPT_{name.upper()}" for name in DIRECTIONS), "AUDIOFORK_TRANSCRIPT"]
        values: dict[str, str] = {}
        limit = time.monotonic() + PATIENCE
        known = -1
        while known != (known := sum(map(len, self.finals.values()))) and time.monotonic() < limit:
            values = {name: self.manager.ask("Getvar", Channel=self.channel, Variable=name)["Value"] for name in names}
            for event in self.manager.events(time.monotonic() + EVENT_WITHIN):
                self.take(event)
        print("\n".join(f"{name}: {value}" for name, value in values.items()))
        return values == {name: finals[-1][1] if finals else "" for name, finals in self.finals_of(names).items()}

    def finals_of(self, names: list[str]) -> dict[str, list[tuple[float, str]]]:
        """The final words that each of these variables may have had, in their order."""
        everything = sorted(final for finals in self.finals.values() for final in finals)
        return {
            name: next((self.finals[each] for each in DIRECTIONS if name.endswith(f"_{each.upper()}")), everything)
            for name in names
        }

    def end(self) -> bool:
        """Hangs up. Returns whether each fork had one connection and lost nothing."""
        self.manager.ask("Hangup", Channel=self.channel)
        stopped = 0
        good = True
        for event in self.manager.events(time.monotonic() + PATIENCE):
            self.take(event)
            if event["Event"] == "AudioForkStop":
                stopped += 1
                if event["Reconnects"] != "0" or event["Lost"] != "0":
                    good = False
                    print(f"{event['Direction']:3}  {event['Reconnects']} reconnects, {event['Lost']} samples lost: "
                          f"{event['Reason']}")
                if stopped == len(DIRECTIONS):
                    return good
        sys.exit("demo-transcribe: the forks did not end")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--facts", type=pathlib.Path, required=True)
    parser.add_argument("--folder", type=pathlib.Path, required=True)
    for name in DIRECTIONS:
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--show-only", action="store_true")
    parser.add_argument("--prompts", type=int, default=len(SPEAKERS[0]))
    parser.add_argument("--latest", type=float, default=LATEST)
    given = parser.parse_args()
    facts = dict(line.split("=", 1) for line in given.facts.read_text().splitlines())
    names = {name: SPEAKERS[number][:given.prompts] for number, name in enumerate(DIRECTIONS)}
    prompts = {name: [load(given.folder, each) for each in names[name]] for name in DIRECTIONS}

    manager = Manager(facts)
    urls = {name: getattr(given, name) for name in DIRECTIONS}
    settings = {"SPEECH": str(given.folder), "OPTIONS": "" if given.plain else "w(vosk)"}
    for name in DIRECTIONS:
        settings |= {f"SERVER_{name.upper()}": urls[name], f"PROMPTS_{name.upper()}": "&".join(names[name])}
    for name, value in settings.items():
        manager.ask("Setvar", Variable=name, Value=value)
    call = Call(manager, prompts, given.plain)
    manager.ask(
        "Originate", Channel="Local/called@transcribe", Context="transcribe", Exten="calling", Priority="1",
        Async="true")
    call.run(given.latest)
    print()
    good = call.variables_hold() or given.show_only
    good = call.end() and good
    if not given.show_only:
        good = call.is_good(given.latest) and good
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
