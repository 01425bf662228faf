// SPDX-License-Identifier: GPL-2.0-or-later
import AudioForkLink

/// How long the next engine serves at least, before it leaves because it may not open what it needs. It doubles with
/// each engine that leaves soon for that, so that a cause which stays does not have engines started again and again.
/// One that crashes or is killed soon changes nothing.
package struct LeavingAge {
  private static let secondsMax = 600
  /// An engine looks every 5 seconds whether it has to leave.
  private static let slack = 10

  package private(set) var seconds = EngineRules.leavingAgeMin

  package init() {}

  /// An engine ended by itself, so many nanoseconds after it was ready. `isAnnounced`: it had said LEAVING, or is of a
  /// release that does not say it.
  package mutating func engineEnded(after nanoseconds: Int64, isAnnounced: Bool) {
    if nanoseconds >= Int64(2 &* seconds &+ LeavingAge.slack) &* 1_000_000_000 {
      seconds = EngineRules.leavingAgeMin
    } else if isAnnounced {
      seconds = min(2 &* seconds, LeavingAge.secondsMax)
    }
  }
}
