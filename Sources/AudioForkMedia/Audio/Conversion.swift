// SPDX-License-Identifier: Apache-2.0

/// A point in a run of captured audio: the sample with this index, of the run that began at this media time.
package struct RunPoint: Sendable, Equatable {
  package var rateHertz: Int
  package var runStart: StreamTime
  package var runIndex: UInt64

  package init(rateHertz: Int, runStart: StreamTime, runIndex: UInt64) {
    self.rateHertz = rateHertz
    self.runStart = runStart
    self.runIndex = runIndex
  }

  init(_ entry: CapturedEntry) {
    self.init(rateHertz: entry.rateHertz, runStart: entry.runStart, runIndex: entry.runIndex)
  }

  func advanced(by count: Int) -> RunPoint {
    var next = self
    next.runIndex &+= UInt64(clamping: count)
    return next
  }
}

/// One direction's conversion and the place in the run that it has reached.
struct Conversion {
  private(set) var next: RunPoint
  private var converter: any SampleRateConverter
  private let wireRateHertz: Int

  var historySamples: Int { converter.historySamples }

  /// A conversion that starts clean at `point`: silence stands before it.
  init?(at point: RunPoint, wireRateHertz: Int, by kind: any SampleRateConverter.Type) {
    guard let converter = kind.init(from: point.rateHertz, to: wireRateHertz) else { return nil }
    self.converter = converter
    self.wireRateHertz = wireRateHertz
    next = point
    align(to: point)
  }

  /// Makes `conversion` one that goes on at `point`: as it is where it has come that far in the same run, else clean.
  /// False when this rate cannot be converted.
  static func bring(
    _ conversion: inout Conversion?, to point: RunPoint, wireRateHertz: Int, by kind: any SampleRateConverter.Type
  ) -> Bool {
    if conversion?.next == point { return true }
    if conversion?.next.rateHertz == point.rateHertz {
      conversion?.restart(at: point)
    } else {
      conversion = Conversion(at: point, wireRateHertz: wireRateHertz, by: kind)
    }
    return conversion != nil
  }

  /// Starts clean at another run of the same rate.
  private mutating func restart(at point: RunPoint) {
    converter.reset()
    next = point
    align(to: point)
  }

  /// Converts the first `count` samples; appends exactly `frames` to `output`.
  mutating func convert(_ samples: [Int16], count: Int, frames: Int, into output: inout [Int16]) {
    let before = output.count
    converter.convert(samples, count: count, into: &output)
    next = next.advanced(by: count)
    // A converter that miscounts must not shift everything behind it.
    let excess = output.count - before - frames
    if excess > 0 { output.removeLast(excess) }
    if excess < 0 { output.append(contentsOf: repeatElement(0, count: -excess)) }
  }

  /// Takes samples that were rendered before a break, for their effect on the next output.
  mutating func prime(_ history: [Int16]) {
    var discarded: [Int16] = []
    converter.convert(history, count: history.count, into: &discarded)
    next = next.advanced(by: history.count)
  }

  /// Phase 0 lies only at multiples of from / gcd: silence up to `point` brings the phase that it has.
  private mutating func align(to point: RunPoint) {
    let period = point.rateHertz / greatestCommonDivisor(point.rateHertz, wireRateHertz)
    let silence = Int(point.runIndex % UInt64(period))
    guard silence > 0 else { return }
    var discarded: [Int16] = []
    converter.convert([Int16](repeating: 0, count: silence), count: silence, into: &discarded)
  }
}
