# SPDX-License-Identifier: Apache-2.0
"""What Asterisk's prompts say, how much of it was recognized, and when."""

import array
import difflib
import pathlib
import re
import wave
from dataclasses import dataclass, field

# Ten prompts for each of two speakers: one or two sentences whose written text is what is spoken.
SPEAKERS = (
    ("vm-newuser", "queue-youarenext", "agent-alreadyon", "privacy-unident", "vm-tmpexists", "confbridge-pin",
     "vm-mismatch", "ss-noservice", "conf-invalid", "tt-allbusy"),
    ("vm-nobox", "privacy-prompt", "confbridge-lock-no-join", "demo-thanks", "vm-invalid-password", "auth-incorrect",
     "followme/status", "vm-record-prepend", "followme/sorry", "vm-instructions"),
)
NUMBERS = "zero one two three four five six seven eight nine ten".split()


@dataclass
class Prompt:
    """A prompt. Times are seconds since its first sample."""

    name: str
    path: pathlib.Path
    text: str
    samples: bytes  # signed 16-bit little-endian, 8 kHz
    speech_end: float

    @property
    def seconds(self) -> float:
        return len(self.samples) / 16000


def load(folder: pathlib.Path, name: str) -> Prompt:
    """A prompt from the folder that scripts/fetch-prompts prints."""
    lines = (folder / "prompts.txt").read_text(encoding="ascii").splitlines()
    written = next(line.partition(":")[2].strip() for line in lines if line.startswith(f"{name}:"))
    path = folder / f"{name}.wav"
    with wave.open(str(path)) as file:
        if (file.getframerate(), file.getnchannels(), file.getsampwidth()) != (8000, 1, 2):
            raise ValueError(f"{path} is not 16-bit audio at 8 kHz")
        samples = file.readframes(file.getnframes())
    return Prompt(name, path, written, samples, speech_end(samples))


def speech_end(samples: bytes) -> float:
    """Where the last 20 ms end that are not quieter than a hundredth of full scale. In seconds."""
    values = array.array("h", samples)
    blocks = [max(map(abs, values[place:place + 160])) for place in range(0, len(values), 160)]
    return max((number + 1) * 0.02 for number, loudest in enumerate(blocks) if loudest > 327)


def words(text: str) -> list[str]:
    """The words as they are compared: small letters, no punctuation, digits as words."""
    found = re.findall(r"[a-z0-9']+", text.lower().replace("-", " "))
    return [NUMBERS[int(word)] if word.isdecimal() and int(word) < len(NUMBERS) else word for word in found]


@dataclass
class Share:
    """How many of the written words were heard, and how many were heard that nobody said."""

    right: int = 0
    written: int = 0
    added: int = 0

    def add(self, other: "Share") -> None:
        self.right += other.right
        self.written += other.written
        self.added += other.added

    @property
    def percent(self) -> float:
        """Words right less words added, of the written ones."""
        return 100 * max(0, self.right - self.added) / self.written if self.written else 0


def compare(written: str, heard: str) -> Share:
    """Aligns both texts word for word. A word that replaces another counts as wrong, not as added."""
    left, right = words(written), words(heard)
    share = Share(written=len(left))
    for kind, a, b, c, d in difflib.SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
        if kind == "equal":
            share.right += b - a
        else:
            share.added += max(0, (d - c) - (b - a))
    return share


@dataclass
class Spoken:
    """A prompt that was spoken: when it began and when its speech ended, in seconds."""

    prompt: Prompt
    begin: float
    end: float


@dataclass
class Verdict:
    share: Share = field(default_factory=Share)
    latest: float = 0.0  # the longest wait for the last words of a prompt
    remarks: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        share = self.share
        return (f"{share.right} of {share.written} words right, {share.added} added: {share.percent:.1f} %; "
                f"last words at most {self.latest:.2f} s after their end")

    def holds(self, percent: float, seconds: float) -> bool:
        return self.share.percent >= percent and self.latest <= seconds


def judge(spoken: list[Spoken], finals: list[tuple[float, str]]) -> Verdict:
    """Compares what one speaker said with the final words (when they came, text), on the same clock. Words that came
    before the next prompt began belong to this one."""
    verdict = Verdict()
    for number, this in enumerate(spoken):
        since = this.begin if number else 0
        until = spoken[number + 1].begin if number + 1 < len(spoken) else float("inf")
        mine = [each for each in finals if since <= each[0] < until]
        share = compare(this.prompt.text, " ".join(text for _, text in mine))
        verdict.share.add(share)
        # Words that came well before the prompt's end are not its last ones, unless all are there: then the end was
        # noticed late.
        has_last = bool(mine) and (share.right == share.written or mine[-1][0] > this.end - 0.5)
        late = mine[-1][0] - this.end if has_last else float("inf")
        verdict.latest = max(verdict.latest, late)
        if share.right < share.written or share.added:
            verdict.remarks.append(
                f"{this.prompt.name}: {share.right} of {share.written} words, {share.added} added; "
                f"written: {this.prompt.text}")
    return verdict
