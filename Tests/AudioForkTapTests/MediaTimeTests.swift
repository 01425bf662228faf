// SPDX-License-Identifier: Apache-2.0
import AudioForkMedia
import AudioForkRing
import AudioForkRingTestKit
import AudioForkTap
import AudioForkTestKit
import CAudioForkABI
import Testing

/// One direction as placeFrame sees it; arrivals and durations in milliseconds, 8 kHz unless said otherwise.
private struct Line {
  var state = af_direction_state()

  /// Places a frame and moves the line on as the tap does.
  mutating func place(_ arrival: Int64, _ duration: Int64 = 20, ts: Int64? = nil, rate: UInt32 = 8000) -> Place {
    let samples = UInt64(duration) * UInt64(rate) / 1000
    let placement = placeFrame(&state, arrival: arrival * millisecond, samples: samples, rate: rate, ts: ts)
    switch placement {
    case .ahead: return .ahead
    case .continues:
      let start = end
      state.run_samples += samples
      return .continues(start)
    case .startsRun(let start):
      state.run_ns = start
      state.run_samples = samples
      state.rate_hz = rate
      return .run(start / millisecond)
    }
  }

  /// E, in milliseconds.
  var end: Int64 { (state.run_ns + nanoseconds(ofSamples: state.run_samples, rate: state.rate_hz)) / millisecond }
}

/// Where a frame went, in milliseconds since the epoch.
private enum Place: Equatable {
  case continues(Int64)
  case run(Int64)
  case ahead
}

@Suite("Media time: where a frame goes on its direction's timeline")
struct MediaTimeTests {
  /// A line whose first frame covers 0…20 ms and whose next RTP time is 1020.
  private func makeLine(timed: Bool = true) -> Line {
    var line = Line()
    _ = line.place(20, ts: timed ? 1000 : nil)
    return line
  }

  @Test("The first frame starts a run where it was spoken, but never before the epoch")
  func first() {
    var line = Line()
    #expect(line.place(120) == .run(100))
    var early = Line()
    #expect(early.place(5) == .run(0))
  }

  @Test("Frames in time continue, however much they jitter", arguments: [-30, 0, 19, 80] as [Int64])
  func continues(late: Int64) {
    var line = makeLine(timed: false)
    #expect(line.place(40 + late) == .continues(20))
    #expect(line.place(60) == .continues(40))
  }

  @Test("a: a jump of RTP time is what the source left out, as long as the clock agrees within 20 ms")
  func jump() {
    var loss = makeLine()
    #expect(loss.place(60, ts: 1040) == .run(40))
    var pause = makeLine()
    #expect(pause.place(5020, ts: 6000) == .run(5000))
    var early = makeLine()
    #expect(early.place(50, ts: 1050) == .run(50))
    var tooEarly = makeLine()
    #expect(tooEarly.place(50, ts: 1051) == .continues(20))
    var disagrees = makeLine()
    #expect(disagrees.place(240, ts: 1020 + 221) == .run(220))
  }

  @Test("a: also right behind a stall, a jump counts as left out by the source")
  func jumpWhileStalled() {
    var line = makeLine()
    #expect(line.place(1000, ts: 1020) == .continues(20))
    #expect(line.place(1000, ts: 1140) == .run(140))
  }

  @Test("b: unbroken RTP time and more than 160 ms late: the packets queued up here, and all of them continue")
  func stall() {
    var line = makeLine()
    // Fifty packets of one second, all handed over at once.
    for packet in 0..<50 as Range<Int64> {
      #expect(line.place(1020, ts: 1020 + packet * 20) == .continues(20 + packet * 20))
    }
    // The last ones were less than 160 ms late: the stall lasts until 80.
    #expect(line.state.stalled == 0)
  }

  @Test("b: the stall begins beyond 160 ms and ends at 80")
  func stallBounds() {
    var at160 = makeLine()
    #expect(at160.place(200, ts: 1020) == .run(180))
    var at161 = makeLine()
    #expect(at161.place(201, ts: 1020) == .continues(20))
    #expect(at161.state.stalled == 1)
    #expect(at161.place(60 + 81, ts: 1040) == .continues(40))
    #expect(at161.place(80 + 80, ts: 1060) == .continues(60))
    // Over: 81 ms late again is a hole again.
    #expect(at161.state.stalled == 0)
    #expect(at161.place(100 + 81, ts: 1080) == .run(161))
  }

  @Test("b: a stall across a change of rate starts a run where the last one ended")
  func stallWithRate() {
    var line = makeLine()
    #expect(line.place(1000, ts: 1020, rate: 16000) == .run(20))
    #expect(line.place(1000, ts: 1040, rate: 16000) == .continues(40))
  }

  @Test("b: without RTP time nobody knows that the source did not pause")
  func stallWithoutTiming() {
    var line = makeLine(timed: false)
    #expect(line.place(1020) == .run(1000))
  }

  @Test("c: more than 80 ms late is a hole, and the run starts when it was spoken")
  func hole() {
    var at80 = makeLine(timed: false)
    #expect(at80.place(40 + 80) == .continues(20))
    var at81 = makeLine(timed: false)
    #expect(at81.place(40 + 81) == .run(101))
  }

  @Test("c: RTP time that goes back or leaps an hour says nothing", arguments: [1019, 0, -5000, 1020 + 3_600_001])
  func senseless(ts: Int64) {
    var line = makeLine()
    #expect(line.place(2020, ts: ts) == .run(2000))
    // From the new expectation it is trusted again.
    #expect(line.place(2060, ts: ts + 40) == .run(2040))
  }

  @Test("d: more than two seconds ahead of the clock is refused, and the timeline stays where it was")
  func ahead() {
    var line = makeLine(timed: false)
    for frame in 1...101 as ClosedRange<Int64> { #expect(line.place(40) == .continues(frame * 20)) }
    // E is 2040, the frame arrives at 39: 2.021 s ahead.
    #expect(line.place(39) == .ahead)
    #expect(line.end == 2040)
    #expect(line.place(39, rate: 16000) == .ahead)
    #expect(line.state.rate_hz == 8000)
    // Exactly two seconds is not too much.
    #expect(line.place(60) == .continues(2040))
  }

  @Test("e: a change of rate starts a run where the last one ended, at once")
  func rateChange() {
    var line = makeLine(timed: false)
    #expect(line.place(40, rate: 16000) == .run(20))
    #expect(line.place(60, rate: 16000) == .continues(40))
    #expect(line.place(80, rate: 8000) == .run(60))
  }

  @Test("A frame without RTP time leaves the expectation standing")
  func untimedBetween() {
    var line = makeLine()
    #expect(line.place(40) == .continues(20))
    // 1020 was expected; 1040 is a jump of 20 that the clock agrees with.
    #expect(line.place(60, ts: 1040) == .run(60))
  }

  @Test("Inside a run nothing adds up: an hour at 44.1 kHz ends on the nanosecond")
  func noDrift() {
    var state = af_direction_state()
    for frame in 0..<180_000 as Range<Int64> {
      let placement = placeFrame(&state, arrival: (frame + 1) * 20 * millisecond, samples: 882, rate: 44100, ts: nil)
      if case .startsRun(let start) = placement {
        #expect(frame == 0)
        state.run_ns = start
        state.rate_hz = 44100
      }
      state.run_samples += 882
    }
    #expect(state.run_ns + nanoseconds(ofSamples: state.run_samples, rate: 44100) == 3_600_000_000_000)
  }

  @Test(
    "Samples become the nanoseconds that a division gives, at every rate",
    arguments: [1, 3, 7999, 8000, 11_025, 12_000, 16_000, 24_000, 32_000, 44_100, 48_000, 96_000, 192_000, .max])
  func nanosecondsOfSamples(rate: UInt32) {
    let divisor = UInt64(rate)
    // A multiple of the rate, its neighbors, and both ends.
    let multiples = [1, 2, 3, 1001, UInt64.max / divisor / 2, UInt64.max / divisor].map { $0 &* divisor }
    for samples in multiples.flatMap({ [$0 &- 1, $0, $0 &+ 1] }) + [0, 160, 882, .max] {
      let expected = samples / divisor &* 1_000_000_000 &+ samples % divisor &* 1_000_000_000 / divisor
      #expect(nanoseconds(ofSamples: samples, rate: rate) == Int64(truncatingIfNeeded: expected), "\(samples)")
    }
    #expect(nanoseconds(ofSamples: 160, rate: 0) == 0)
  }

  @Test("Whatever comes in, nothing traps")
  func extremes() {
    let values: [Int64] = [.min, .min + 1, -1, 0, 1, 1 << 40, .max - 1, .max]
    for arrival in values {
      for ts in values {
        var state = af_direction_state()
        for rate in [8000, 192_000, UInt32.max, 0] {
          _ = placeFrame(&state, arrival: arrival, samples: .max, rate: rate, ts: ts)
          state.run_ns = arrival
          state.run_samples = .max
          state.rate_hz = 8000
          state.stalled = 1
        }
      }
    }
  }
}

/// The rule of docs/internals/timeline.md, written down a second time and with plain arithmetic.
private struct ReferenceRule {
  var end: Int64?
  var nextTS: Int64?
  var stalled = false

  mutating func start(arrival: Int64, duration: Int64, ts: Int64?) -> Int64? {
    var jump: Int64?
    if let ts, let nextTS { jump = ts - nextTS }
    if let ts { nextTS = ts + duration }
    guard let end else {
      self.end = max(0, arrival - duration) + duration
      return max(0, arrival - duration)
    }
    let late = arrival - duration - end
    let isOver = ts == nil || late <= 80
    defer { if isOver { stalled = false } }
    let start: Int64
    if let jump, jump > 0, jump <= late + 20 {
      start = end + jump
    } else if jump == 0, late > 160 || stalled && late > 80 {
      start = end
      stalled = true
    } else if late > 80 {
      start = arrival - duration
    } else if late < -2000 {
      return nil
    } else {
      start = end
    }
    self.end = start + duration
    return start
  }
}

@Suite("Media time against the rule written twice")
struct MediaTimeReferenceTests {
  @Test("Random talkers are placed as the reference places them", arguments: 1...40)
  func random(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    var line = Line()
    var reference = ReferenceRule()
    var arrival: Int64 = 0
    var ts: Int64 = 1000
    var pending: Int64 = 0
    for step in 0..<3000 {
      let duration: Int64 = [10, 20, 20, 20, 40, 60].randomElement(using: &random) ?? 20
      switch Int.random(in: 0..<100, using: &random) {
      case 0: arrival += Int64.random(in: 100...4000, using: &random) // a silence
      case 1: ts += Int64.random(in: -3000...5000, using: &random) // a loss, a pause, another source
      case 2: pending = Int64.random(in: 0...120, using: &random) // a burst: that many frames at once
      case 3: arrival += Int64.random(in: 70...170, using: &random)
      default: break
      }
      if pending > 0 { pending -= 1 } else { arrival += duration + Int64.random(in: -3...3, using: &random) }
      let given = Int.random(in: 0..<50, using: &random) == 0 ? nil : ts
      ts += duration
      let current = line.state.rate_hz == 0 ? 8000 : line.state.rate_hz
      let rate = Int.random(in: 0..<200, using: &random) == 0 ? 24000 - current : current
      let expected = reference.start(arrival: arrival, duration: duration, ts: given)
      let found: Int64?
      switch line.place(arrival, duration, ts: given, rate: rate) {
      case .continues(let start), .run(let start): found = start
      case .ahead: found = nil
      }
      #expect(found == expected, "seed \(seed), step \(step)")
      if found != expected { return }
    }
  }
}
