// SPDX-License-Identifier: Apache-2.0

/// Blocks that the clock decided, because no direction delivered: the one thing that a replay cannot find in the ring.
package struct ClockDecision: Sendable, Equatable {
  /// The entry that was needed next when the clock spoke.
  package var sequence: UInt64
  /// First block decided.
  package var from: Int64
  /// First block not decided by it.
  package var to: Int64

  package init(sequence: UInt64, from: Int64, to: Int64) {
    self.sequence = sequence
    self.from = from
    self.to = to
  }
}

/// A renderer's state at a block boundary: enough to render everything behind it again, byte for byte.
///
/// Audio that is consumed but not yet rendered is not in it: it is read from the ring again, from `oldestSequence`.
/// Only what the ring may have lost by then is kept: the few samples before the boundary that a rate converter needs.
package struct Checkpoint: Sendable, Equatable {
  /// Stands for a time before all times.
  package static let never = StreamTime(nanoseconds: -1_000_000_000_000_000_000)

  /// One direction's share.
  package struct Part: Sendable, Equatable {
    /// First entry that the stream has not passed entirely.
    package var firstSequence: UInt64
    /// Wire-rate frames of it that the stream has passed.
    package var renderedOfFirst: Int
    /// Newest arrival of its audio.
    package var lastArrival: StreamTime
    /// Where its run goes on behind `history`; nil where nothing was converted.
    package var historyEnd: RunPoint?
    /// Captured samples before `historyEnd`.
    package var history: [Int16]
  }

  /// What the stream is made of; positions mean nothing in another one.
  package var configuration: RenderConfiguration
  /// The first entry that decisions did not know yet.
  package var sequence: UInt64
  /// The next block.
  package var block: Int64
  /// Newest arrival consumed.
  package var newestArrival: StreamTime
  /// Arrival that ended the last silence of all directions.
  package var resumedArrival: StreamTime
  /// Totals up to the block boundary.
  package var counters: RenderCounters
  /// The direction in.
  package var `in`: Part
  /// The direction out.
  package var out: Part
  /// What the clock decided behind the boundary, as far as known.
  package var clockDecisions: [ClockDecision]

  /// Position of the next sample frame of the stream.
  package var position: Position { counters.position }

  /// The oldest ring entry that a stream resumed here needs.
  package var oldestSequence: UInt64 {
    var oldest = sequence
    if configuration.directions.contains(.in) { oldest = min(oldest, `in`.firstSequence) }
    if configuration.directions.contains(.out) { oldest = min(oldest, out.firstSequence) }
    return oldest
  }

  /// This checkpoint with what the clock has decided since. `decisions` are those of the renderer, or of its newest
  /// checkpoint.
  package func withClockDecisions(_ decisions: [ClockDecision]) -> Checkpoint {
    var copy = self
    copy.clockDecisions = decisions.filter { $0.to > block }
    return copy
  }

  /// One direction's share.
  package subscript(direction: Direction) -> Part { direction == .in ? `in` : out }
}
