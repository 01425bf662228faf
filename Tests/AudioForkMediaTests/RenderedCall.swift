// SPDX-License-Identifier: Apache-2.0
import AudioForkMedia
import AudioForkTestKit

/// A renderer under test with what it gave so far, and entries made by hand.
struct RenderedCall<Converter: SampleRateConverter>: ~Copyable {
  var renderer: Renderer<Converter>
  var blocks: [RenderedBlock] = []
  var stream: [Int16] = []
  var gaps: [Gap] = []
  private var output: [Int16] = []
  private var captured: [UInt64] = [0, 0]

  init(
    _ directions: DirectionSet, rate: Int = 8000, fill: Bool = true, isStereo: Bool = false, gainIn: Int = 0,
    gainOut: Int = 0, align: Int = 160
  ) {
    renderer = Renderer(
      RenderConfiguration(
        directions: directions, wireRateHertz: rate, fill: fill, isStereo: isStereo, gainIn: Gain(gainIn),
        gainOut: Gain(gainOut), alignMilliseconds: align))
  }

  /// Consumes the next entry: `samples` of a run that began at `run` milliseconds, arriving when they end, and
  /// `late` milliseconds after that. `lost` samples are left out before it.
  mutating func capture(
    _ direction: Direction, _ samples: [Int16], rate: Int = 8000, run: Int64 = 0, index: UInt64? = nil,
    late: Int64 = 0, lost: UInt64 = 0, isAhead: Bool = false
  ) {
    let captured = captured[Int(direction.rawValue)] + lost
    let runIndex = index ?? captured
    let end = run * 1_000_000 + Int64(runIndex + UInt64(samples.count)) * 1_000_000_000 / Int64(rate)
    consume(
      CapturedEntry(
        sequence: renderer.nextSequence, direction: direction, rateHertz: rate, count: samples.count,
        runStart: StreamTime(nanoseconds: run * 1_000_000), runIndex: runIndex,
        arrival: StreamTime(nanoseconds: end + late * 1_000_000),
        captured: captured, isAhead: isAhead), samples)
    self.captured[Int(direction.rawValue)] = captured + UInt64(samples.count)
  }

  mutating func consume(_ entry: CapturedEntry, _ samples: [Int16]) {
    renderer.consume(entry, samples: samples)
    takeBlocks()
  }

  mutating func clock(milliseconds: Int64) {
    renderer.clock(now: at(milliseconds * 1_000_000))
    takeBlocks()
  }

  /// Ends capture, with so many samples that were never seen.
  mutating func finish(lostIn: UInt64 = 0, lostOut: UInt64 = 0) {
    renderer.finish(capturedIn: captured[0] + lostIn, capturedOut: captured[1] + lostOut)
    takeBlocks()
  }

  mutating func takeBlocks() {
    while let block = renderer.nextBlock(into: &output) {
      blocks.append(block)
      stream += output
    }
    gaps += renderer.takeGaps()
  }
}

/// So many samples that tell their direction and place.
func audibleSamples(_ direction: Direction, _ range: Range<UInt64>) -> [Int16] {
  range.map { audibleSample(direction, $0) }
}
