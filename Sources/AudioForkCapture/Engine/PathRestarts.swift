// SPDX-License-Identifier: GPL-2.0-or-later

/// When the engine is replaced because forks need paths that it was not told of: at once, but seldom. A fork that
/// cannot wait for long has it replaced sooner, though not within 3 seconds of the last time. Without a clock: `now` is
/// CLOCK_MONOTONIC.
package struct PathRestarts {
  private static let interval: Int64 = 10_000_000_000
  /// Between two times, however short a fork can wait.
  private static let intervalMin: Int64 = 3_000_000_000

  /// When the engine is to be replaced; nil: it is not.
  private var dueAt: Int64?
  private var lastAt: Int64?
  /// The log has said that forks have named too many paths.
  var hasSaidLimit = false

  package init() {}

  /// A fork waits for an engine that is told of its paths: for so many nanoseconds at most.
  package mutating func ask(_ now: Int64, within wait: Int64) {
    let usual = lastAt.map { max(now, min($0 &+ PathRestarts.interval, now &+ PathRestarts.interval)) } ?? now
    let earliest = lastAt.map { min($0, now) &+ PathRestarts.intervalMin } ?? now
    let due = max(min(usual, now &+ wait), earliest)
    dueAt = min(dueAt ?? due, due)
  }

  /// Whether the engine is to be replaced now.
  package mutating func take(_ now: Int64) -> Bool {
    guard let dueAt, now >= dueAt else { return false }
    self.dueAt = nil
    lastAt = now
    return true
  }

  /// The engine that is started now is told of all paths.
  package mutating func engineIsTold() { dueAt = nil }

  /// Milliseconds until the engine is to be replaced; nil: it is not.
  package func millisecondsToAct(_ now: Int64) -> CInt? {
    guard let dueAt else { return nil }
    return CInt(truncatingIfNeeded: (max(0, min(PathRestarts.interval, dueAt &- now)) &+ 999_999) / 1_000_000)
  }
}
