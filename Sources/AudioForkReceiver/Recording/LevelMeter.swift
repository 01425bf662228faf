// SPDX-License-Identifier: Apache-2.0
internal import Glibc

/// Level of 16-bit samples: root mean square and peak, in dBFS, where 0 dBFS is a full-scale square wave.
package struct LevelMeter: Equatable, Sendable {
  /// Samples measured, all channels together.
  package private(set) var count = 0
  private var sumOfSquares = 0.0
  private var peak = 0

  /// A meter that has measured nothing.
  package init() {}

  /// Measures samples.
  package mutating func add(_ samples: some Sequence<Int16>) {
    var sum: UInt64 = 0 // 2^30 a sample at most: room for 2^34 samples, more than memory holds.
    var highest = peak
    var added = 0
    for sample in samples {
      let magnitude = Int(sample.magnitude)
      sum &+= UInt64(magnitude &* magnitude)
      if magnitude > highest { highest = magnitude }
      added &+= 1
    }
    sumOfSquares += Double(sum)
    peak = highest
    count += added
  }

  /// Adds what another meter has measured.
  package mutating func add(_ other: LevelMeter) {
    count += other.count
    sumOfSquares += other.sumOfSquares
    peak = max(peak, other.peak)
  }

  /// Root mean square in dBFS; nil for digital silence and for no samples.
  package var rootMeanSquare: Double? {
    count > 0 && sumOfSquares > 0 ? 10 * log10(sumOfSquares / Double(count) / (32768 * 32768)) : nil
  }

  /// Highest magnitude in dBFS; nil for digital silence and for no samples.
  package var peakLevel: Double? {
    peak > 0 ? 20 * log10(Double(peak) / 32768) : nil
  }
}
