// SPDX-License-Identifier: Apache-2.0
internal import AudioForkMedia
internal import AudioForkDialects
internal import AudioForkEngine
internal import AudioForkRing

/// A ring that something has damaged: its reader, what shows it to people, and the stream that is made of it.
func fuzzRing(_ bytes: [UInt8]) {
  var input = Decisions(bytes)
  let file: [UInt8]
  if input.byte() & 7 == 7 {
    file = input.remainder()
  } else {
    var changed = goodRing
    input.damage(&changed, records: 4096, recordBytes: 64)
    file = changed
  }
  let ringPath = path("ring")
  store(file, at: ringPath)
  do {
    readAll(try RingReader(path: ringPath), through: file)
    dump(try RingReader(path: ringPath), showsSamples: input.byte() & 15 == 1)
    stream(try RingReader(path: ringPath), cursor: nil, &input)
  } catch {
    demand(!error.message.isEmpty, "refused without a reason")
  }
}

/// Every answer is one of those that may follow; the samples are those of the file.
private func readAll(_ reader: RingReader, through file: [UInt8]) {
  var samples: [Int16] = []
  var sequence: UInt64 = 0
  for _ in 0..<200 {
    switch reader.read(sequence, into: &samples) {
    case .entry(let entry):
      demand(entry.sequence == sequence && entry.count > 0 && entry.count <= samples.count, "\(entry)")
      sequence += 1
    case .digit(let digit):
      demand(CapturedDigit.digits.contains(digit.digit), "\(digit)")
      sequence += 1
    case .notAudio: sequence += 1
    case .lapped(let oldest):
      demand(oldest > sequence && oldest <= reader.published, "\(oldest) is the oldest, asked for \(sequence)")
      sequence = oldest
    case .notYet:
      demand(sequence >= reader.published, "\(sequence) is published and was not there")
      return
    case .broken(let reason):
      demand(!reason.isEmpty, "broken without a reason")
      return
    }
  }
}

private func dump(_ reader: RingReader, showsSamples: Bool) {
  var dump = RingDump(reader, showsSamples: showsSamples)
  demand(!dump.heading(path: "x", parameters: []).isEmpty, "no heading")
  loop: for _ in 0..<200 {
    switch dump.next() {
    case .lines(let lines):
      demand(!lines.contains { $0.utf8.contains { $0 < 32 || $0 == 127 } }, "a control character in \(lines)")
    case .notYet, .ended, .broken: break loop
    }
  }
  demand(!dump.counters().isEmpty, "no counters")
}

/// An engine that streams it, over connections that come and go, to a server that says what it likes.
func stream(_ reader: RingReader, cursor: CursorFile?, _ input: inout Decisions) {
  let what = input.byte()
  let configuration = RenderConfiguration(
    directions: DirectionSet(rawValue: max(1, what & 3)), wireRateHertz: what & 4 == 0 ? 8000 : 16_000,
    fill: what & 8 == 0,
    isStereo: what & 16 != 0)
  let stream = ForkStream(
    ring: RingGenerations(reader), cursor: cursor, configuration: configuration, collectsMarkers: what & 32 == 0)
  var now = MonotonicTime(nanoseconds: 500_000_000)
  // This fork began when the machine did.
  let epoch = StreamEpoch(monotonic: MonotonicTime(nanoseconds: 0), wall: WallTime(nanoseconds: 0))
  var blocks = 0
  stream.connectionOpened()
  steps: for _ in 0..<40 {
    let step = input.byte()
    let before = stream.confirmedPosition
    switch step & 7 {
    case 0...2:
      now += .milliseconds(Int64(step >> 3) * 40)
      do {
        while blocks < 400, let block = try stream.nextBlock(now: epoch.streamTime(at: now)) {
          blocks += 1
          let frames = stream.samples.count / configuration.channelCount
          demand(frames == block.frameCount && frames > 0, "\(block) has \(frames) frames")
          demand(block.position + UInt64(frames) <= stream.position, "\(block) ends behind \(stream.position)")
        }
      } catch {
        break steps
      }
      stream.recordSent(now: now, offset: UInt64(blocks) * 320, audioBytes: 320, isBarrier: step & 64 != 0)
      for note in stream.takeMarkers() + stream.takeRanges(all: stream.isDrained) { check(note) }
      _ = stream.takeNewGaps()
    case 3:
      // Held to by ForkSession.
      let position = Position(input.number(bytes: step & 8 == 0 ? 2 : 8))
      if position <= stream.position { stream.confirm(position: position) }
    case 4: stream.confirm(now: now, acknowledged: step & 8 == 0 ? nil : input.number(bytes: 4))
    case 5:
      stream.rewind()
      let position = Position(input.number(bytes: step & 8 == 0 ? 2 : 8))
      if stream.canHaveReached(position, now: epoch.streamTime(at: now)) {
        stream.resume(at: step & 16 == 0 ? position : nil)
      }
    case 6: stream.confirmAll()
    default: stream.save()
    }
    demand(stream.confirmedPosition >= before, "confirmed went back: \(before), \(stream.confirmedPosition)")
    demand(stream.confirmedPosition <= stream.position, "confirmed \(stream.confirmedPosition) of \(stream.position)")
    _ = stream.counters(now: epoch.streamTime(at: now))
  }
  for gap in stream.abandonRest() { demand(gap.count > 0, "\(gap)") }
  _ = stream.counters(now: epoch.streamTime(at: now))
  stream.close(isOver: false)
}

private func check(_ note: StreamMarker) {
  switch note {
  case .gap(let gap): demand(gap.count > 0, "\(gap)")
  case .fill(_, _, let frames), .mute(_, _, let frames): demand(frames > 0, "\(note)")
  case .digit(_, _, let digit, _): demand(CapturedDigit.digits.contains(digit), "\(note)")
  }
}
