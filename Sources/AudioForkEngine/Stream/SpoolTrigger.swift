// SPDX-License-Identifier: Apache-2.0
package import AudioForkMedia

/// Decides when a fork's spool copies the ring. No I/O; the time is an argument.
///
/// Copying begins when the oldest unconfirmed audio is older than a third of the buffer, and pauses when it is younger
/// than a sixth: a short break never touches the disk.
package struct SpoolTrigger: Sendable {
  private let age: Nanoseconds
  private var isCopying = false
  /// When no audio was last waiting to be confirmed. At first the fork's start.
  private var waitsSince = StreamTime.zero

  package init(bufferSeconds: Int) { age = Nanoseconds.seconds(Int64(bufferSeconds)) / 3 }

  /// Returns whether to copy now. `confirmedAt`: when the newest confirmed audio was captured. `isWaiting`: the ring
  /// has entries that are not confirmed. `isClosed`: capture has ended, so that the ring overwrites nothing any more.
  package mutating func update(
    now: StreamTime, confirmedAt: StreamTime, isWaiting: Bool, isClosed: Bool
  ) -> Bool {
    // After a silence the confirmed audio is old, but nothing waited.
    if !isWaiting { waitsSince = now }
    let waited = isWaiting && !isClosed ? now - max(confirmedAt, waitsSince) : .zero
    if waited > age { isCopying = true } else if waited < age / 2 { isCopying = false }
    return isCopying
  }
}
