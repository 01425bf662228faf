#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The timeline of a fork as a program: media time at capture, decisions on blocks at render. See timeline.md.

Run it: it plays the hard cases and prints, for each, the packets captured and rendered, the audio refused as too far
ahead, the skew (media time against arrival) and shift (place in the stream against media time) of the last packets, the
latency, and the fill. Times are nanoseconds since the fork's epoch. The model has no samples, no conversion and no
files.

Tests/AudioForkMediaTests/TimelineScenarioTests.swift holds the engine to these figures. TimelineModelTests.swift gives
the model calls of its own (`timeline_model.py blocks FILE`, see `play_blocks`) and compares each block. Where they
differ, one of the two has a fault."""
import random
import sys

MS = 1_000_000
BLOCK = 20 * MS
HOLE = 80 * MS            # a packet later than this opens a hole
STALL = 160 * MS          # later than this with unbroken RTP time: Asterisk was late, not the sender
AHEAD_MAX = 2000 * MS     # how far a direction may run ahead of the clock
ALIGN = 160 * MS          # how long a direction waits for the other: `align`, 20 to 500 ms
WAIT_ABSENT = 40 * MS     # the longest wait for a direction that has been silent for ABSENT
ABSENT = 500 * MS
SILENCE = 160 * MS        # all directions silent for longer than this and than `align` + 40 ms: a silence of the call
QUIET = 5 * MS            # nothing has come for the last packet's length and this: nothing more comes now
IDLE_FILL = 2000 * MS     # how far the clock's fill stays behind the clock
IDLE_FILL_ONE = 300 * MS  # the same in a fork of one direction
IDLE_SLACK = 100 * MS     # what a packet may take from its arrival to the engine
NEVER = -10**18


class Capture:
    """One direction as the audiohook's callback sees it (Sources/AudioForkTap/MediaTime.swift)."""

    def __init__(self):
        self.end = None       # end of the last packet
        self.next_ts = None   # RTP time, in ms, that is expected next
        self.stalled = False

    def media_time(self, arrival, duration, ts=None):
        """Where the packet begins on the timeline; None when it is refused as too far ahead."""
        late = 0 if self.end is None else arrival - duration - self.end
        jump = (ts - self.next_ts) * MS if ts is not None and self.next_ts is not None else None
        if ts is not None:
            self.next_ts = ts + duration // MS
        if self.end is None:
            start = max(0, arrival - duration)
        elif jump is not None and 0 < jump <= late + BLOCK:
            start = self.end + jump                 # the sender left something out
        elif jump == 0 and (late > STALL or (self.stalled and late > HOLE)):
            start, self.stalled = self.end, True    # Asterisk was late, not the sender
        elif late > HOLE:
            start = arrival - duration
        elif late < -AHEAD_MAX:
            return None
        else:
            start = self.end
        if ts is None or late <= HOLE:
            self.stalled = False
        self.end = start + duration
        return start


class Renderer:
    """Takes entries in the ring's order and decides blocks (Sources/AudioForkMedia/Timeline/BlockDecisions.swift)."""

    def __init__(self, directions, align=ALIGN):
        self.align = align
        self.wait = align // BLOCK * BLOCK               # what arrivals count of it
        self.wait_absent = min(WAIT_ABSENT, self.wait)
        self.idle = (IDLE_FILL if len(directions) > 1 else IDLE_FILL_ONE) + IDLE_SLACK
        self.frontier = 0                                # everything before it has been decided
        self.end = {d: 0 for d in directions}            # how far each direction's audio reaches
        self.queue = {d: [] for d in directions}
        self.last_arrival = {d: NEVER for d in directions}
        self.newest = 0                                  # newest arrival taken
        self.newest_duration = 0                         # how long that packet is
        self.resumed = NEVER                             # arrival that ended the last silence of the call
        self.fill = {d: 0 for d in directions}
        self.played = []                                 # (direction, packet number, shift)
        self.latency = []
        self.blocks = []                                 # (time, block, fill of each direction)

    def entry(self, d, media, duration, arrival, number):
        if arrival - self.newest > max(SILENCE, self.align + 2 * BLOCK):
            self.resumed = arrival
        start = max(media, self.end[d], self.frontier)   # late audio is shifted, never lost
        self.queue[d].append((start, start + duration, arrival, number, start - media))
        self.end[d] = start + duration
        self.last_arrival[d] = arrival
        self.newest = max(self.newest, arrival)
        self.newest_duration = duration
        self.decide(arrival)

    def missing(self):
        """Directions that do not reach the end of the next block."""
        return [d for d in self.end if self.end[d] < self.frontier + BLOCK]

    def decide(self, now):
        """Emits blocks that the entries taken so far decide."""
        while True:
            missing = self.missing()
            if missing:
                if len(missing) == len(self.end):
                    return
                absent = [self.newest - self.last_arrival[d] >= ABSENT for d in missing]
                wait = max(self.wait_absent if is_absent else self.wait for is_absent in absent)
                # After a silence both directions may come back first.
                settled = self.frontier >= self.resumed or self.newest >= self.resumed + self.wait
                if self.newest < self.frontier + BLOCK + wait or not settled:
                    return
            self.emit(now)

    def clock(self, now):
        """Emits blocks for which only the clock speaks: with audio after `align`, without any after the idle time."""
        reach = max(self.end.values())
        audio_end = -(-reach // BLOCK) * BLOCK           # the end of the last block with audio
        self.emit_until(min((now - self.align) // BLOCK * BLOCK, audio_end) if self.is_due(now, reach) else 0, now)
        silent = now - self.newest > SILENCE
        missing = self.missing()
        if len(missing) == len(self.end) or (missing and silent):
            self.emit_until((now - self.idle) // BLOCK * BLOCK, now)
        self.decide(now)

    def is_due(self, now, reach):
        """Whether the next block has audio that has waited for `align`, and nothing more comes now."""
        if reach <= self.frontier:
            return False
        due = self.frontier + BLOCK
        if self.frontier < self.resumed:
            due = max(due, self.resumed)                 # after a silence both directions may come back first
        quiet = min(max(BLOCK, self.newest_duration) + QUIET, SILENCE)
        return now >= due + self.align and now - self.newest >= quiet

    def emit_until(self, end, now):
        while self.frontier < end:
            self.emit(now)

    def finish(self, now):
        """Capture has ended: emits what is left."""
        self.emit_until(max(self.end.values()), now)

    def emit(self, now):
        t = self.frontier
        fill = {}
        for d, q in self.queue.items():
            covered = 0
            while q and q[0][0] < t + BLOCK:
                a, b, arrival, number, shift = q[0]
                covered += min(b, t + BLOCK) - max(a, t)
                if a >= t:
                    self.played.append((d, number, shift))
                    self.latency.append((now - arrival) // MS)
                if b > t + BLOCK:
                    break
                q.pop(0)
            fill[d] = BLOCK - covered
            self.fill[d] += fill[d]
        self.blocks.append((now, t // BLOCK, *(fill.get(d, 0) for d in ('in', 'out'))))
        self.frontier += BLOCK


def stream(d, start, stop, duration=20 * MS, ppm=0, jitter=0, loss=0.0, rtp=True, ts=1000, seed=1):
    """Packets of a sender: (arrival, direction, duration, RTP time or None)."""
    r, out, t, last = random.Random(seed), [], start, 0
    while t < stop:
        last = max(last, int(t + duration + r.random() * jitter))
        if r.random() >= loss:
            out.append((last, d, duration, ts if rtp else None))
        ts += duration // MS
        t += duration * (1 - ppm / 1e6)
    return out


def play(name, *streams, hangup=True, align=ALIGN):
    """Plays a call. `hangup`: at its end what waits is decided at once; without, the clock has to do it."""
    packets = sorted(sum(streams, []), key=lambda f: (f[0], f[3] or 0))
    captures, renderer = {d: Capture() for d in ('in', 'out')}, Renderer(('in', 'out'), align)
    count, ahead, skew, clock = {'in': 0, 'out': 0}, {'in': 0, 'out': 0}, {}, 0
    for arrival, d, duration, ts in packets:
        while clock + 5 * MS < arrival:
            clock += 5 * MS
            renderer.clock(clock)
        media = captures[d].media_time(arrival, duration, ts)
        count[d] += 1
        if media is None:
            ahead[d] += duration
            continue
        skew[d] = media - (arrival - duration)
        renderer.entry(d, media, duration, arrival, count[d])
    for _ in range(2000):
        clock += 5 * MS
        if hangup:
            renderer.newest = clock
            renderer.decide(clock)
        renderer.clock(clock)
    played = {d: [n for x, n, _ in renderer.played if x == d] for d in count}
    assert all(p == sorted(p) for p in played.values()), 'order'
    assert all(len(played[d]) >= count[d] - (1 if hangup else 0) for d in count if not ahead[d]), 'loss'
    shift = {d: next((s // MS for x, _, s in reversed(renderer.played) if x == d), 0) for d in count}
    latency = sorted(renderer.latency)
    print(
        f"{name:32} captured {count['in']:6}/{count['out']:6}  rendered {len(played['in']):6}/{len(played['out']):6}"
        f"  refused ms {ahead['in'] // MS}/{ahead['out'] // MS}"
        f"  skew ms {skew.get('in', 0) // MS}/{skew.get('out', 0) // MS}  shift ms {shift['in']}/{shift['out']}"
        f"  latency ms p50 {latency[len(latency) // 2]} p99 {latency[len(latency) * 99 // 100]} max {latency[-1]}"
        f"  fill ms {renderer.fill['in'] // MS}/{renderer.fill['out'] // MS}")


def play_blocks(lines):
    """Plays the calls that the lines have and prints each block: when, its number, and the fill of in and out in ns.

    `call DIRECTIONS ALIGN` begins a call (DIRECTIONS: in, out or in,out), `packet ARRIVAL DIRECTION DURATION RTP` is a
    packet (RTP time in ms, or -), `clock NOW` a look at the clock, `end NOW` the end of capture. Times are ns."""
    for word, *values in (line.split() for line in lines):
        if word == 'call':
            directions = values[0].split(',')
            captures, renderer = {d: Capture() for d in directions}, Renderer(directions, int(values[1]))
        elif word == 'packet':
            arrival, d, duration = int(values[0]), values[1], int(values[2])
            media = captures[d].media_time(arrival, duration, None if values[3] == '-' else int(values[3]))
            if media is not None:
                renderer.entry(d, media, duration, arrival, 0)
        elif word == 'clock':
            renderer.clock(int(values[0]))
        elif word == 'end':
            renderer.finish(int(values[0]))
            for block in renderer.blocks:
                print(*block)
            print('end')


def cases():
    S = 1000 * MS

    play('clean', stream('in', 0, 60 * S, jitter=10 * MS), stream('out', 3 * MS, 60 * S, jitter=2 * MS, rtp=False))
    for seconds in (0.3, 1.5, 5):
        a, b = 20 * S, int((20 + seconds) * S)
        late = [(b + 1, *f[1:]) if a <= f[0] < b else f for f in stream('in', 0, 60 * S, jitter=5 * MS)]
        out = [f for f in stream('out', 0, 60 * S, rtp=False) if not a <= f[0] < b]
        play(f'stall {seconds} s, burst with RTP time', late, out)
        play(f'stall {seconds} s, burst without', [(*f[:3], None) for f in late], out)
    play('1 % loss', stream('in', 0, 60 * S, jitter=10 * MS, loss=.01), stream('out', 0, 60 * S, rtp=False))
    play('+50 ppm, 1 h', stream('in', 0, 3600 * S, ppm=50), stream('out', 0, 3600 * S, rtp=False))
    play('-50 ppm, 1 h', stream('in', 0, 3600 * S, ppm=-50), stream('out', 0, 3600 * S, rtp=False))
    play('60 ms ptime, 40 ms jitter', stream('in', 0, 60 * S, duration=60 * MS, jitter=40 * MS),
         stream('out', 0, 60 * S, rtp=False))
    play('out silent, then talks', stream('in', 0, 60 * S, jitter=5 * MS), stream('out', 30 * S, 60 * S, rtp=False))
    play('out in spurts', stream('in', 0, 60 * S, jitter=5 * MS),
         *[stream('out', k * S, (k + 2) * S, rtp=False) for k in (10, 20, 40)])
    play('in with DTX', *[stream('in', k * 3 * S, k * 3 * S + S, jitter=5 * MS, ts=1000 + k * 3000) for k in range(18)],
         stream('out', 0, 54 * S, rtp=False))
    # Both fall silent, and one reaches further than the other: the clock renders what is left.
    play('both silent, one reaches further', stream('in', 0, 10 * S), stream('out', 0, 10 * S - 100 * MS, rtp=False),
         hangup=False)
    for align in (20, 60, 160, 500):
        play(f'one alone, align {align}', stream('in', 0, 10 * S), hangup=False, align=align * MS)
        # Out ends first and in says the last words: less than half a second later, and more.
        play(f'last words, align {align}', stream('in', 0, 2 * S), stream('out', 0, 1700 * MS, rtp=False),
             stream('in', 6 * S, 8 * S, ts=7000), stream('out', 6 * S, 7 * S, rtp=False),
             hangup=False, align=align * MS)
    play('spikes of 100 ms', spikes(stream('in', 0, 30 * S)), stream('out', 0, 30 * S, rtp=False))
    play('spikes of 100 ms in both', spikes(stream('in', 0, 30 * S)),
         spikes(stream('out', 0, 30 * S, rtp=False), phase=460 * MS))


def spikes(packets, phase=0):
    """The same packets; once a second those of 100 ms arrive at once."""
    def late(arrival):
        since = (arrival - phase) % (1000 * MS)
        return arrival - since + 100 * MS if 0 < since < 100 * MS else arrival
    return [(late(f[0]), *f[1:]) for f in packets]


if __name__ == '__main__':
    if sys.argv[1:2] == ['blocks']:
        with open(sys.argv[2], encoding='ascii') as calls:
            play_blocks(calls)
    else:
        cases()
