// SPDX-License-Identifier: Apache-2.0

/// Where the captured samples of one direction went. Capture-rate samples, but for `fill`.
package struct DirectionCounters: Sendable, Equatable {
  /// Samples that are in the stream.
  package var rendered: UInt64 = 0
  /// Samples in gaps with reason overrun.
  package var overrun: UInt64 = 0
  /// Samples in gaps with reason ahead.
  package var ahead: UInt64 = 0
  /// Wire-rate sample frames of the stream in which this direction had no audio.
  package var fill: UInt64 = 0
  package init() {}
  /// Captured samples the stream has passed: every one is rendered or in a gap.
  package var accounted: UInt64 { rendered &+ overrun &+ ahead }
}

/// Totals since the fork's start, as of the current block boundary. Part of the checkpoint: they survive a resume.
package struct RenderCounters: Sendable, Equatable {
  /// Sample frames in the stream so far; the position of the next block.
  package var position = Position.zero
  /// What the party says, and what it hears.
  package var `in` = DirectionCounters()
  package var out = DirectionCounters()
  /// Entries that made no sense and were treated as lost.
  package var refused: UInt64 = 0
  package init() {}
  /// Sample frames without audio, summed over the directions.
  package var fill: UInt64 { `in`.fill &+ out.fill }
  /// Captured samples that are in the stream, both directions.
  package var rendered: UInt64 { `in`.rendered &+ out.rendered }
  /// Captured samples in gaps, both directions.
  package var lost: UInt64 { `in`.overrun &+ `in`.ahead &+ out.overrun &+ out.ahead }

  /// The counters of one direction.
  package subscript(direction: Direction) -> DirectionCounters {
    get { direction == .in ? `in` : out }
    set {
      switch direction {
      case .in: self.in = newValue
      case .out: out = newValue
      }
    }
  }
}
