// SPDX-License-Identifier: Apache-2.0
import AudioForkMedia
import AudioForkTestKit
import Testing

private let second: Int64 = 1000

/// In, one minute of 20 ms frames with RTP time.
private let inSender = SimulatedSender(.in, from: 0, to: 60 * second)
private let jitteryIn = inSender.with { $0.jitterMilliseconds = 5 }.frames()

private func outFrames(_ start: Int64, _ stop: Int64) -> [SimulatedFrame] {
  SimulatedSender(.out, from: start, to: stop).with { $0.hasTiming = false }.frames()
}

/// What docs/internals/timeline_model.py prints for a case. Latency: p50, p99, max.
private struct ModelFigures {
  var frames: [UInt64]
  var rendered: [UInt64]
  var aheadMilliseconds: [UInt64] = [0, 0]
  var skew: [Int64]
  var shift: [Int64] = [0, 0]
  var latency: [Int64]
  /// By how much late frames at the end, which the model lets wait and we do not, raise its p99.
  var tail: Int64 = 1
}

/// The hard cases of docs/internals/timeline_model.py, held to the figures that it prints for the same frames. Every
/// playback also checks that each sample comes out once, unchanged and in order.
struct TimelineScenarioTests {
  private func expect(
    _ figures: ScenarioFigures, _ model: ModelFigures, frameSamples: [UInt64] = [160, 160],
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    #expect(figures.failure == nil, sourceLocation: sourceLocation)
    for index in 0...1 {
      #expect(figures.captured[index] == model.frames[index] * frameSamples[index], sourceLocation: sourceLocation)
      #expect(figures.rendered[index] == model.rendered[index] * frameSamples[index], sourceLocation: sourceLocation)
      #expect(figures.ahead[index] == model.aheadMilliseconds[index] * 8, sourceLocation: sourceLocation)
      #expect(abs(figures.shift[index] - model.shift[index]) <= 1, sourceLocation: sourceLocation)
    }
    #expect(figures.skew == model.skew, sourceLocation: sourceLocation)
    // The model lets the rest wait at the end of the call, which adds some late frames to its figures.
    #expect(figures.latency(0.5) <= model.latency[0] + 1, sourceLocation: sourceLocation)
    #expect(figures.latency(0.5) >= model.latency[0] - 20, sourceLocation: sourceLocation)
    #expect(figures.latency(0.99) <= model.latency[1], sourceLocation: sourceLocation)
    #expect(figures.latency(0.99) >= model.latency[1] - model.tail, sourceLocation: sourceLocation)
    #expect(figures.latency(1) <= model.latency[2], sourceLocation: sourceLocation)
  }

  @Test("A clean call of jittering senders is rendered within 4 ms")
  func clean() {
    let out = SimulatedSender(.out, from: 3, to: 60 * second).with {
      $0.jitterMilliseconds = 2
      $0.hasTiming = false
    }
    let figures = ScenarioPlayback.play(
      mergedFrames(inSender.with { $0.jitterMilliseconds = 10 }.frames(), out.frames()))
    expect(figures, ModelFigures(frames: [3000, 3000], rendered: [3000, 3000], skew: [-3, -1], latency: [0, 4, 4]))
    // Only what lies before the first frame of each, and behind the last, is fill.
    #expect(figures.fill.allSatisfy { $0 <= 160 })
  }

  /// In arrives in one burst when the stall ends; out is not captured meanwhile.
  private func stall(_ milliseconds: Int64, withTiming: Bool, align: Int = 160) -> ScenarioFigures {
    let from = 20 * second * 1_000_000
    let to = from + milliseconds * 1_000_000
    let late = jitteryIn.map { frame in
      var frame = frame
      if frame.arrival >= from, frame.arrival < to { frame.arrival = to + 1 }
      if !withTiming { frame.timestamp = nil }
      return frame
    }
    let out = outFrames(0, 60 * second).filter { $0.arrival < from || $0.arrival >= to }
    return ScenarioPlayback.play(mergedFrames(late, out), align: align)
  }

  @Test("A stall of 0.3 s with RTP time shifts in by the rest of the block that the clock did not wait for")
  func shortStallWithTiming() {
    expect(
      stall(300, withTiming: true),
      ModelFigures(
        frames: [3000, 2985], rendered: [3000, 2985], skew: [-2, 0], shift: [19, 0], latency: [0, 19, 178]))
  }

  @Test("A stall of 0.3 s without RTP time leaves in ahead by the stall")
  func shortStallWithoutTiming() {
    expect(
      stall(300, withTiming: false),
      ModelFigures(frames: [3000, 2985], rendered: [3000, 2985], skew: [298, 0], latency: [0, 299, 459]))
  }

  @Test("A stall of 1.5 s with RTP time costs no more")
  func stallWithTiming() {
    expect(
      stall(1500, withTiming: true),
      ModelFigures(
        frames: [3000, 2925], rendered: [3000, 2925], skew: [-2, 0], shift: [19, 0], latency: [0, 19, 178]))
  }

  @Test("A stall of 1.5 s without RTP time leaves in ahead by the stall")
  func stallWithoutTiming() {
    expect(
      stall(1500, withTiming: false),
      ModelFigures(
        frames: [3000, 2925], rendered: [3000, 2925], skew: [1498, 0], latency: [0, 1537, 1659], tail: 40))
  }

  @Test("A stall that is shorter than align with RTP time leaves no trace")
  func stallWithinAlign() {
    expect(
      stall(300, withTiming: true, align: 500),
      ModelFigures(frames: [3000, 2985], rendered: [3000, 2985], skew: [-2, 0], latency: [0, 4, 4]))
  }

  @Test("A stall of 5 s with RTP time shifts in by what the clock had filled and loses nothing")
  func longStallWithTiming() {
    expect(
      stall(5000, withTiming: true),
      ModelFigures(
        frames: [3000, 2750], rendered: [3000, 2750], skew: [-2, 0], shift: [2899, 0], latency: [0, 2938, 3059],
        tail: 40))
  }

  @Test("A stall of 5 s without RTP time reports what is more than 2 s ahead as a gap")
  func longStallWithoutTiming() {
    expect(
      stall(5000, withTiming: false),
      ModelFigures(
        frames: [3000, 2750], rendered: [2850, 2750], aheadMilliseconds: [3000, 0], skew: [1998, 0],
        latency: [0, 2037, 2159], tail: 40))
  }

  @Test("A lost frame in a hundred is fill and nothing else moves")
  func loss() {
    let lossy = inSender.with {
      $0.jitterMilliseconds = 10
      $0.loss = 0.01
    }
    let figures = ScenarioPlayback.play(mergedFrames(lossy.frames(), outFrames(0, 60 * second)))
    expect(figures, ModelFigures(frames: [2965, 3000], rendered: [2965, 3000], skew: [-3, 0], latency: [0, 9, 43]))
    #expect(figures.fill[0] >= 35 * 160 && figures.fill[0] <= 36 * 160)
    #expect(figures.fill[1] <= 160)
  }

  @Test("Frames of 60 ms with 40 ms of jitter are rendered within 59 ms")
  func longFrames() {
    let sender = inSender.with {
      $0.frameMilliseconds = 60
      $0.jitterMilliseconds = 40
    }
    expect(
      ScenarioPlayback.play(mergedFrames(sender.frames(), outFrames(0, 60 * second))),
      ModelFigures(
        frames: [1000, 3000], rendered: [1000, 3000], skew: [-34, 0], shift: [14, 0], latency: [10, 58, 59]),
      frameSamples: [480, 160])
  }

  @Test("A direction that begins after half a minute is in place with its first frame")
  func absentThenSpeaking() {
    let figures = ScenarioPlayback.play(mergedFrames(jitteryIn, outFrames(30 * second, 60 * second)))
    expect(figures, ModelFigures(frames: [3000, 1500], rendered: [3000, 1500], skew: [-2, 0], latency: [2, 43, 44]))
    #expect(figures.fill[1] >= 30 * 8000 && figures.fill[1] <= 30 * 8000 + 320)
  }

  @Test("A direction that speaks in spurts is in place in each of them")
  func spurts() {
    let spurts = [10, 20, 40].flatMap { outFrames($0 * second, ($0 + 2) * second) }
    expect(
      ScenarioPlayback.play(mergedFrames(jitteryIn, spurts)),
      ModelFigures(frames: [3000, 300], rendered: [3000, 300], skew: [-2, 0], latency: [39, 159, 164]))
  }

  @Test("Silence suppression at the sender is fill where the sender was silent")
  func discontinuousTransmission() {
    let talks = (0..<18).flatMap { index -> [SimulatedFrame] in
      let start = Int64(index) * 3 * second
      return SimulatedSender(.in, from: start, to: start + second).with {
        $0.jitterMilliseconds = 5
        $0.firstTimestamp = 1000 + start
      }.frames()
    }
    let figures = ScenarioPlayback.play(mergedFrames(talks, outFrames(0, 54 * second)))
    expect(
      figures, ModelFigures(frames: [900, 2700], rendered: [900, 2700], skew: [-3, 0], latency: [20, 160, 160]))
    #expect(figures.fill[0] >= 18 * 2 * 8000 - 320 && figures.fill[0] <= 18 * 2 * 8000 + 320)
  }

  @Test("A sender's clock 50 ppm off costs nothing but its drift in four hours", arguments: [50.0, -50.0])
  func drift(partsPerMillion: Double) {
    let hours = 4 * 3600 * second
    let sender = SimulatedSender(.in, from: 0, to: hours).with { $0.partsPerMillion = partsPerMillion }
    let figures = ScenarioPlayback.play(mergedFrames(sender.frames(), outFrames(0, hours)))
    #expect(figures.failure == nil)
    #expect(figures.ahead == [0, 0])
    #expect(figures.rendered == figures.captured)
    #expect(figures.shift == [0, 0])
    if partsPerMillion > 0 {
      // A fast sender runs ahead by 180 ms an hour.
      #expect(figures.skewMax[0] == 720)
      #expect(figures.latency(0.99) <= 720)
      #expect(figures.latency(0.5) <= 1)
    } else {
      // A slow one falls behind to 80 ms, then a hole puts it right: nine times.
      #expect(figures.skewMin[0] == -80)
      #expect(figures.latency(1) <= 81)
      #expect(figures.fill[0] >= 8 * 640 && figures.fill[0] <= 10 * 640)
    }
    #expect(figures.skewMin[1] == 0 && figures.skewMax[1] == 0)
  }

  /// Ten seconds of frames that arrive in both directions when their last sample has been spoken.
  private func steadyFrames(count: Int) -> [SimulatedFrame] {
    (1...(80_000 / count)).flatMap { index -> [SimulatedFrame] in
      let arrival = Int64(index * count) * 125_000
      return [
        SimulatedFrame(arrival: arrival, direction: .in, count: count, rateHertz: 8000),
        SimulatedFrame(arrival: arrival + 1, direction: .out, count: count, rateHertz: 8000),
      ]
    }
  }

  @Test("Frames of any size are rendered sample by sample", arguments: [1, 7, 33, 80, 161, 240, 479])
  func oddFrames(count: Int) {
    let figures = ScenarioPlayback.play(steadyFrames(count: count))
    #expect(figures.failure == nil)
    #expect(figures.rendered == figures.captured)
    #expect(figures.shift == [0, 0])
    #expect(figures.latency(1) <= 20 + Int64(count) / 8)
    #expect(figures.fill.allSatisfy { $0 < 160 })
  }

  @Test("Frames that are stored in pieces are rendered whole", arguments: [481, 1000, 4000, 20_000])
  func splitFrames(count: Int) {
    let figures = ScenarioPlayback.play(steadyFrames(count: count))
    #expect(figures.failure == nil)
    #expect(figures.rendered == figures.captured)
  }

  @Test("Frames of 10 and 30 ms in the two directions line up", arguments: [8000, 16_000, 48_000])
  func mixedFrameLengths(rate: Int) {
    let short = SimulatedSender(.in, from: 0, to: 20 * second).with {
      $0.frameMilliseconds = 10
      $0.rateHertz = rate
    }
    let long = SimulatedSender(.out, from: 0, to: 20 * second).with {
      $0.frameMilliseconds = 30
      $0.rateHertz = rate
      $0.hasTiming = false
    }
    let figures = ScenarioPlayback.play(mergedFrames(short.frames(), long.frames()), rate: rate)
    #expect(figures.failure == nil)
    #expect(figures.rendered == figures.captured)
    #expect(figures.shift == [0, 0])
    #expect(figures.latency(1) <= 30)
    // 20 s are no multiple of 30 ms: out ends 10 ms later than in, and the last block is filled up.
    #expect(figures.fill[0] <= UInt64(rate / 50) && figures.fill[1] <= UInt64(rate / 50))
  }

  @Test("A fork of one direction is rendered as it comes, with fill 0.4 s behind the clock")
  func oneDirection() {
    let before = SimulatedSender(.in, from: 0, to: 10 * second).frames()
    let after = SimulatedSender(.in, from: 15 * second, to: 20 * second).frames()
    let figures = ScenarioPlayback.play(mergedFrames(before, after), directions: .in)
    #expect(figures.failure == nil)
    #expect(figures.latency(1) == 0)
    #expect(figures.shift[0] == 0)
    #expect(figures.fill[0] == 5 * 8000)
  }

  @Test("After a silence of both, both come back in place")
  func bothIdle() {
    let first = mergedFrames(SimulatedSender(.in, from: 0, to: 5 * second).frames(), outFrames(0, 5 * second))
    // Out comes back 100 ms after in.
    let again = mergedFrames(
      SimulatedSender(.in, from: 12 * second, to: 15 * second).frames(), outFrames(12 * second + 100, 15 * second))
    let figures = ScenarioPlayback.play(first + again)
    #expect(figures.failure == nil)
    #expect(figures.shift == [0, 0])
    #expect(figures.rendered == figures.captured)
    #expect(figures.latency(1) <= 162)
  }
}
