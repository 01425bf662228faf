// SPDX-License-Identifier: Apache-2.0
package import AudioForkLink
package import AudioForkMedia
internal import AudioForkRing

/// How far the stream has come, and the fork's totals.
extension ForkStream {
  /// Capture places audio at most two seconds ahead of the clock. One more second for rounding.
  private static let aheadMax = Nanoseconds.seconds(3)

  /// Position up to which the stream was sent to the server, on this connection or an earlier one.
  package var sentPosition: Position { max(position, reader.serverPosition) }

  /// Whether the stream can have reached `position` by now: capture places no audio more than `aheadMax` in the future.
  package func canHaveReached(_ position: Position, now: StreamTime) -> Bool {
    let sinceStart = max(now, .zero) - .zero + ForkStream.aheadMax
    let seconds = UInt64(clamping: sinceStart.wholeSeconds)
    return position <= max(Position(reader.configuration.wireRate.frames(inSeconds: seconds)), self.position)
  }

  /// Captured samples of a direction that the fork carries; 0 for the other one.
  func captured(_ direction: Direction) -> UInt64 {
    reader.configuration.directions.contains(direction) ? reader.ring.captured(direction) : 0
  }

  /// Whether audio that was not taken is being overwritten. The exact gap is known once the stream has passed it.
  package var isLosing: Bool {
    reader.ring.isOverwritten(reader.nextSequence) && spool?.holds(reader.nextSequence) != true
  }

  /// Totals as of the block taken last.
  package func counters(now: StreamTime) -> ForkCounters {
    var counters = deliveryLog.counters(rendered: reader.counters)
    counters.captured = captured(.in) &+ captured(.out)
    counters.lagMilliseconds = UInt64(clamping: lagMilliseconds(now: now))
    counters.undeliveredMilliseconds = UInt64(clamping: undeliveredMilliseconds(now: now))
    counters.skewMilliseconds = reader.skewMilliseconds
    counters.isLosing = isLosing
    return counters
  }

  /// Milliseconds of captured time that have not been taken yet.
  private func lagMilliseconds(now: StreamTime) -> Int64 {
    guard !isDrained, reader.ring.published > reader.nextSequence else { return 0 }
    return max(.zero, (reader.ring.closedAt ?? now) - completedAt).wholeMilliseconds
  }

  /// Milliseconds of captured time whose delivery is not confirmed; 0 only if every captured sample is accounted for.
  package func undeliveredMilliseconds(now: StreamTime) -> Int64 {
    let confirmed = deliveryLog.confirmed
    let accounted = confirmed.checkpoint.counters
    let isComplete = captured(.in) <= accounted.in.accounted && captured(.out) <= accounted.out.accounted
    guard !isComplete else { return 0 }
    // Rounded up, and at least 1: something is missing.
    return max(1, ((reader.ring.closedAt ?? now) - confirmed.completedAt).millisecondsRoundedUp)
  }
}
