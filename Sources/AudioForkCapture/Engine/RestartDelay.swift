// SPDX-License-Identifier: GPL-2.0-or-later

/// Decides when the next engine is started. Without a clock: `now` is CLOCK_MONOTONIC.
struct RestartDelay {
  /// When the next engine is due.
  private(set) var spawnAt: Int64 = 0
  private var deathsBeforeReady = 0
  /// Engines in a row that died soon after they were ready.
  private var quickDeaths = 0

  private static let delay: Int64 = 20_000_000
  private static let delayMax: Int64 = 10_000_000_000
  /// An engine that dies so soon after it was ready may do so again. From the sixth in a row on, the wait for the next
  /// one doubles, up to a limit that no call notices.
  private static let quickDeath: Int64 = 2_000_000_000
  private static let quickDeathsFree = 5
  private static let quickDelayMax: Int64 = 250_000_000
  /// Between two looks whether Asterisk is still shutting down.
  private static let shutdownLook: Int64 = 1_000_000_000

  /// The engine left because it was asked to.
  mutating func leftAsAsked(_ now: Int64) { spawnAt = now }

  /// Asterisk is shutting down, which may be cancelled.
  mutating func shutdown(_ now: Int64) { spawnAt = now &+ RestartDelay.shutdownLook }

  /// An engine is ready.
  mutating func isReady() { deathsBeforeReady = 0 }

  /// An engine died that was ready at `readyAt`.
  mutating func died(_ now: Int64, readyAt: Int64) {
    quickDeaths = now &- readyAt < RestartDelay.quickDeath ? quickDeaths &+ 1 : 0
    spawnAt =
      now &+ RestartDelay.doubled(quickDeaths &- RestartDelay.quickDeathsFree, limit: RestartDelay.quickDelayMax)
  }

  /// An engine could not be started, or died before it was ready.
  mutating func failed(_ now: Int64) {
    spawnAt = now &+ RestartDelay.doubled(deathsBeforeReady, limit: RestartDelay.delayMax)
    deathsBeforeReady &+= 1
  }

  private static func doubled(_ times: Int, limit: Int64) -> Int64 {
    var delay = RestartDelay.delay
    var times = times
    while times > 0, delay < limit {
      delay &*= 2
      times &-= 1
    }
    return min(delay, limit)
  }
}
