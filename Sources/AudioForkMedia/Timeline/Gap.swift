// SPDX-License-Identifier: Apache-2.0

/// Captured samples that are not in the stream. Identified by fork, direction and start.
package struct Gap: Sendable, Hashable {
  /// Why they are not.
  package enum Reason: UInt8, Sendable {
    /// Overwritten in the ring before they were read, or unreadable.
    case overrun = 0
    /// Refused at capture: more than two seconds ahead of the clock.
    case ahead = 1
    /// The fork has ended before their delivery was confirmed. Never while it lives.
    case undelivered = 2
    /// Sent before a break, not confirmed, and not sent again: they may have arrived (`replay = none`).
    case unconfirmed = 3
  }
  /// The direction that misses them.
  package var direction: Direction
  /// Index of the first missing sample among the captured samples of its direction (capture rate).
  package var start: UInt64
  /// Missing samples (capture rate).
  package var count: UInt64
  /// Why they are missing.
  package var reason: Reason
  /// Position of the block in which the stream passed over them (wire rate).
  package var position: Position

  package init(direction: Direction, start: UInt64, count: UInt64, reason: Reason, position: Position) {
    self.direction = direction
    self.start = start
    self.count = count
    self.reason = reason
    self.position = position
  }
}
