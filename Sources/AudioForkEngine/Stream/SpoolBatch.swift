// SPDX-License-Identifier: Apache-2.0
package import AudioForkMedia
package import AudioForkRing

/// Entries that are written to a spool file together, encoded as its records.
package struct SpoolBatch: Sendable {
  /// Number of bytes from which a batch is written at once, and how long a smaller batch waits.
  package static let bytesMin = 65_536
  package static let waitMax = Nanoseconds.milliseconds(250)
  /// No entry is added beyond it.
  package static let bytesMax = 2 * bytesMin

  package private(set) var bytes: [UInt8] = []
  /// One place for each record; offsets from the batch's beginning.
  package private(set) var places: [SpoolFile.Place] = []
  private var began = StreamTime.zero

  package init() {}

  package var isEmpty: Bool { bytes.isEmpty }
  package var isFull: Bool { bytes.count >= Self.bytesMax }
  /// The first entry's number.
  package var oldest: UInt64? { places.first?.sequence }
  /// The last entry's number.
  package var newest: UInt64? { places.last?.sequence }

  /// Adds audio with the first `entry.count` of `samples`.
  package mutating func append(_ entry: CapturedEntry, samples: [Int16], now: StreamTime) {
    begin(entry.sequence, now)
    SpoolRecord.append(entry, samples: samples, to: &bytes)
  }

  /// Adds a digit.
  package mutating func append(_ digit: CapturedDigit, sequence: UInt64, now: StreamTime) {
    begin(sequence, now)
    SpoolRecord.append(digit, sequence: sequence, to: &bytes)
  }

  private mutating func begin(_ sequence: UInt64, _ now: StreamTime) {
    assert(newest.map { $0 < sequence } ?? true, "entries are added in order")
    if isEmpty { began = now }
    places.append(SpoolFile.Place(sequence: sequence, offset: bytes.count))
  }

  /// Whether there is enough to write, or it has waited long enough.
  package func isDue(now: StreamTime) -> Bool {
    !isEmpty && (bytes.count >= Self.bytesMin || now - began >= Self.waitMax)
  }
}
