// SPDX-License-Identifier: Apache-2.0
package import AudioForkMedia
internal import AudioForkTestKit

/// What one party of a call says: every sample is a hash of its index, so that it proves its place. No sample is zero,
/// so that a zero in a recording is fill.
package struct SourceSignal: Sendable {
  package let samples: [Int16]
  /// Where each run of four samples begins: a search that does not depend on the signal's length.
  private let places: [UInt64: Int32]

  package init(seed: UInt64, direction: Direction, seconds: Int) {
    self.init(
      (0..<(seconds * 8000)).map { index in
        let sample = hashedSample(seed: seed, direction: direction, index: UInt64(index))
        return sample == 0 ? 1 : sample
      })
  }

  package init(_ samples: [Int16]) {
    self.samples = samples
    var places: [UInt64: Int32] = [:]
    places.reserveCapacity(samples.count)
    for index in samples.indices.dropLast(3) { places[SourceSignal.key(samples[index..<(index + 4)])] = Int32(index) }
    self.places = places
  }

  private static func key(_ four: ArraySlice<Int16>) -> UInt64 {
    four.reduce(0) { $0 << 16 | UInt64(UInt16(bitPattern: $1)) }
  }

  /// Where these four samples stand in the signal.
  func place(of four: ArraySlice<Int16>) -> Int? {
    four.count == 4 ? places[Self.key(four)].map(Int.init) : nil
  }
}
