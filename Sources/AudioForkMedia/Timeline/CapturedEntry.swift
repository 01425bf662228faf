// SPDX-License-Identifier: Apache-2.0

/// One entry of a ring without its samples: what capture knew when it wrote it. Fields are those of
/// `struct af_ring_entry`.
package struct CapturedEntry: Sendable, Equatable {
  /// Number of the entry in its ring, from 0.
  package var sequence: UInt64
  package var direction: Direction
  package var rateHertz: Int
  /// Samples in this entry, at `rateHertz`.
  package var count: Int
  /// Media time of its run's first sample.
  package var runStart: StreamTime
  /// Index in the run of this entry's first sample.
  package var runIndex: UInt64
  package var arrival: StreamTime
  /// Samples of its direction captured before it.
  package var captured: UInt64
  package var startsRun: Bool
  package var isMuted: Bool
  /// More than two seconds ahead of the clock: counted, not rendered.
  package var isAhead: Bool
  /// A further piece of the same frame follows.
  package var hasMore: Bool

  package init(
    sequence: UInt64, direction: Direction, rateHertz: Int, count: Int, runStart: StreamTime, runIndex: UInt64,
    arrival: StreamTime, captured: UInt64, startsRun: Bool = false, isMuted: Bool = false,
    isAhead: Bool = false, hasMore: Bool = false
  ) {
    self.sequence = sequence
    self.direction = direction
    self.rateHertz = rateHertz
    self.count = count
    self.runStart = runStart
    self.runIndex = runIndex
    self.arrival = arrival
    self.captured = captured
    self.startsRun = startsRun
    self.isMuted = isMuted
    self.isAhead = isAhead
    self.hasMore = hasMore
  }
}

/// A DTMF digit of a ring: pressed by the party (in) or sent to it (out).
package struct CapturedDigit: Sendable, Equatable {
  /// What can be pressed, as ASCII.
  package static let digits = Array("0123456789*#ABCD".utf8)

  package var direction: Direction
  /// One of `digits`.
  package var digit: UInt8
  /// How long it was pressed; 0: unknown.
  package var milliseconds: UInt64

  package init(direction: Direction, digit: UInt8, milliseconds: UInt64) {
    self.direction = direction
    self.digit = digit
    self.milliseconds = milliseconds
  }
}
