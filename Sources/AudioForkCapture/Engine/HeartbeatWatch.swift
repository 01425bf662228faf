// SPDX-License-Identifier: GPL-2.0-or-later

/// Notices an engine that hangs: one that has forks and sends no heartbeat. Without a clock: `now` is CLOCK_MONOTONIC.
struct HeartbeatWatch {
  /// Since when the engine owes a heartbeat: it has forks, and has been started or has sent one then. 0: it owes none.
  private var owesSince: Int64 = 0
  private var checkedAt: Int64 = 0

  /// Without a heartbeat for so long an engine hangs.
  private static let silenceMax: Int64 = 3_000_000_000
  /// Our thread looks once a second. If it did not for so long, it was held up itself and has not listened.
  private static let deafMax: Int64 = 2_000_000_000

  /// A heartbeat came, or there is nothing to send one for.
  mutating func owesNothing() { owesSince = 0 }

  /// Whether the engine hangs. Call it after everything received has been handled, so that heartbeats that were queued
  /// while we did not listen count.
  mutating func isHanging(_ now: Int64) -> Bool {
    let wasDeaf = now &- checkedAt > HeartbeatWatch.deafMax
    checkedAt = now
    if owesSince == 0 || wasDeaf { owesSince = now }
    return now &- owesSince > HeartbeatWatch.silenceMax
  }

  /// There is no engine, or it has no forks.
  mutating func looked(_ now: Int64) {
    checkedAt = now
    owesSince = 0
  }
}
