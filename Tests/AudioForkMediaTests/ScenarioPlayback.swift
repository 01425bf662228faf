// SPDX-License-Identifier: Apache-2.0
import AudioForkMedia
import AudioForkTestKit

/// What came out of a simulated call, in the words of the timeline's model.
struct ScenarioFigures {
  /// Captured and rendered samples, and samples refused as too far ahead, of in and out.
  var captured: [UInt64] = [0, 0]
  var rendered: [UInt64] = [0, 0]
  var ahead: [UInt64] = [0, 0]
  /// Media time against the clock (arrival − duration) of the last placed frame, milliseconds.
  var skew: [Int64] = [0, 0]
  /// Bounds of the same over the whole call.
  var skewMin: [Int64] = [0, 0]
  var skewMax: [Int64] = [0, 0]
  /// How far the last rendered frame lies behind its media time, milliseconds.
  var shift: [Int64] = [0, 0]
  /// Milliseconds from arrival to rendering, per frame: of its first sample, and of its last one.
  var latencies: [Int64] = []
  var lastLatencies: [Int64] = []
  /// Milliseconds from the end of a block with audio to its rendering.
  var blockLatencies: [Int64] = []
  /// Wire frames without audio.
  var fill: [UInt64] = [0, 0]
  /// What was wrong first, in words; nil if nothing was.
  var failure: String?

  /// The given share of all latencies is not above this.
  func latency(_ share: Double) -> Int64 {
    let sorted = latencies.sorted()
    return sorted.isEmpty ? 0 : sorted[min(Int(Double(sorted.count) * share), sorted.count - 1)]
  }
}

/// Plays frames through capture and renderer as the engine would, with a clock tick every 5 ms, and checks that
/// every sample of the audible direction comes out once, in order and unchanged. The other direction is zeros, so
/// that mixing changes nothing; what is decided does not depend on samples.
struct ScenarioPlayback: ~Copyable {
  private struct Frame {
    var firstSample: UInt64
    var arrival: Int64
    var media: Int64
    var count: Int

    var lastSample: UInt64 { firstSample + UInt64(count) - 1 }
  }

  private let audible: Direction
  private let wireRate: Int
  private var renderer: Renderer<NoConverter>
  private var capture = SimulatedCapture()
  var figures = ScenarioFigures()
  private var samples: [Int16] = []
  private var output: [Int16] = []
  private var nextSample: UInt64 = 0
  private var nextPosition: UInt64 = 0
  private var frames: [Frame] = []
  private var nextFrame = 0
  /// Refused samples, in order.
  private var refused: [Range<UInt64>] = []
  private var nextRefused = 0
  private var measuresLatency = true

  /// Figures of both directions: the call is played once for each. `align`: milliseconds. `silentFor`: milliseconds
  /// between the last frame and the end of capture.
  static func play(
    _ frames: [SimulatedFrame], directions: DirectionSet = .both, rate: Int = 8000, align: Int = 160,
    silentFor silence: Int64 = 0
  ) -> ScenarioFigures {
    var total: ScenarioFigures?
    let configuration = RenderConfiguration(directions: directions, wireRateHertz: rate, alignMilliseconds: align)
    for direction in Direction.allCases where directions.contains(direction) {
      var playback = ScenarioPlayback(audible: direction, configuration)
      playback.run(frames, silentFor: silence)
      let index = Int(direction.rawValue)
      guard var sum = total else {
        total = playback.figures
        continue
      }
      sum.shift[index] = playback.figures.shift[index]
      sum.latencies += playback.figures.latencies
      sum.lastLatencies += playback.figures.lastLatencies
      sum.blockLatencies += playback.figures.blockLatencies
      sum.failure = sum.failure ?? playback.figures.failure
      total = sum
    }
    return total ?? ScenarioFigures()
  }

  private init(audible: Direction, _ configuration: RenderConfiguration) {
    self.audible = audible
    wireRate = configuration.wireRateHertz
    renderer = Renderer(configuration)
  }

  private mutating func run(_ frames: [SimulatedFrame], silentFor silence: Int64) {
    let tick: Int64 = 5_000_000
    var clock: Int64 = 0
    for frame in frames {
      while clock + tick < frame.arrival {
        clock += tick
        renderer.clock(now: at(clock))
        takeBlocks(now: clock)
      }
      take(frame)
    }
    for _ in 0..<(silence / 5) {
      clock += tick
      renderer.clock(now: at(clock))
      takeBlocks(now: clock)
    }
    renderer.finish(capturedIn: capture.captured(.in), capturedOut: capture.captured(.out))
    // What the end of capture makes due says nothing about latency.
    measuresLatency = false
    takeBlocks(now: clock)
    for direction in Direction.allCases {
      let index = Int(direction.rawValue)
      let counters = renderer.counters[direction]
      figures.captured[index] = capture.captured(direction)
      figures.ahead[index] = capture.ahead(direction)
      figures.rendered[index] = counters.rendered
      figures.fill[index] = counters.fill
      if counters.ahead != capture.ahead(direction) || counters.overrun != 0
        || counters.rendered + counters.ahead != capture.captured(direction)
      {
        fail("\(direction): rendered and gaps are not what was captured: \(counters)")
      }
    }
    let lost = capture.ahead(audible)
    let heard = nextSample - refused[0..<nextRefused].reduce(0) { $0 + UInt64($1.count) }
    if heard + lost != capture.captured(audible) {
      fail("\(audible): heard \(heard) of \(capture.captured(audible))")
    }
  }

  private mutating func take(_ frame: SimulatedFrame) {
    let index = Int(frame.direction.rawValue)
    let duration = Int64(frame.count) * 1_000_000_000 / Int64(frame.rateHertz)
    let entries = capture.capture(frame)
    if let first = entries.first, frame.direction == audible {
      if first.isAhead {
        refused.append(first.captured..<(first.captured + UInt64(frame.count)))
      } else {
        frames.append(
          Frame(
            firstSample: first.captured, arrival: frame.arrival, media: first.mediaNanoseconds, count: frame.count))
      }
    }
    if let first = entries.first, !first.isAhead {
      let skew = floorDivide(first.mediaNanoseconds - (frame.arrival - duration), 1_000_000)
      figures.skew[index] = skew
      figures.skewMin[index] = min(figures.skewMin[index], skew)
      figures.skewMax[index] = max(figures.skewMax[index], skew)
    }
    for entry in entries {
      samples.removeAll(keepingCapacity: true)
      for offset in 0..<UInt64(entry.count) {
        samples.append(frame.direction == audible ? audibleSample(audible, entry.captured + offset) : 0)
      }
      if entry.sequence != renderer.nextSequence { fail("entry \(entry.sequence) was not asked for") }
      renderer.consume(entry, samples: samples)
      takeBlocks(now: frame.arrival)
    }
  }

  private mutating func takeBlocks(now: Int64) {
    while let block = renderer.nextBlock(into: &output) {
      if output.count != wireRate / 50 || output.count != block.frameCount || block.position.frames != nextPosition {
        fail("block \(block) with \(output.count) frames at \(nextPosition)")
      }
      nextPosition += UInt64(output.count)
      if measuresLatency, output.contains(where: { $0 != 0 }) {
        let end = Int64(nextPosition) * 1_000_000_000 / Int64(wireRate)
        figures.blockLatencies.append(floorDivide(now - end, 1_000_000))
      }
      for index in 0..<output.count where output[index] != 0 {
        hear(output[index], position: block.position.frames + UInt64(index), now: now)
      }
    }
    for gap in renderer.takeGaps() where gap.reason != .ahead { fail("\(gap)") }
  }

  private mutating func hear(_ sample: Int16, position: UInt64, now: Int64) {
    while nextRefused < refused.count, nextSample == refused[nextRefused].lowerBound {
      nextSample = refused[nextRefused].upperBound
      nextRefused += 1
    }
    if sample != audibleSample(audible, nextSample) {
      fail("\(audible): another sample at \(position) where \(nextSample) belongs")
    }
    if nextFrame < frames.count, frames[nextFrame].firstSample == nextSample {
      let frame = frames[nextFrame]
      if measuresLatency { figures.latencies.append(floorDivide(now - frame.arrival, 1_000_000)) }
      let time = Int64(position) * 1_000_000_000 / Int64(wireRate)
      figures.shift[Int(audible.rawValue)] = (time - frame.media + 500_000) / 1_000_000
      nextFrame += 1
    }
    if nextFrame > 0, frames[nextFrame - 1].lastSample == nextSample, measuresLatency {
      figures.lastLatencies.append(floorDivide(now - frames[nextFrame - 1].arrival, 1_000_000))
    }
    nextSample += 1
  }

  private mutating func fail(_ message: String) {
    if figures.failure == nil { figures.failure = message }
  }
}

/// Division that rounds down, as the model's.
func floorDivide(_ value: Int64, _ divisor: Int64) -> Int64 {
  value >= 0 ? value / divisor : -((-value + divisor - 1) / divisor)
}
