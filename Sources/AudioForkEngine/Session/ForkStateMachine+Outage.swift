// SPDX-License-Identifier: Apache-2.0
package import AudioForkMedia

/// Outages, and how they go on in the next engine.
extension ForkStateMachine {
  /// A time without a stable connection.
  package struct Outage: Hashable, Sendable {
    /// Attempts started in it.
    package var attempts = 0
    package var reason: String
    /// When it began, moved on by the time that connections in it held.
    package var began: MonotonicTime
    /// When the server last closed without a code, within the last minute.
    package var emptyCloseAt: MonotonicTime?
    /// It was reported as over. It continues if the connection breaks again before it was stable.
    package var wasReportedOver = false
    /// Connections that have broken in it.
    package var breaks = 0
    /// When the last of them was reported.
    package var toldAt: MonotonicTime?
  }

  /// The outage as the next engine has to know it; nil: there is none.
  package var savedOutage: SavedOutage? {
    let (outage, since): (Outage?, MonotonicTime?) =
      switch state {
      case .created: (inherited, nil)
      case .active(.streaming(let outage, let since), _), .lingering(let outage, let since, _),
        .closing(let outage, let since, _):
        (outage, since)
      case .active(let link, _): (link.outage, nil)
      case .ended: (nil, nil)
      }
    return outage.map {
      SavedOutage(
        attempts: $0.attempts, began: $0.began, emptyCloseAt: $0.emptyCloseAt, connectedSince: since)
    }
  }
}

extension ForkStateMachine.Outage {
  /// The outage that another engine left. A connection that it had held until `now`, as far as is known.
  init(_ saved: SavedOutage, _ limits: ForkLimits, _ now: MonotonicTime) {
    attempts = saved.attempts
    reason = "engine: replaced in an outage"
    began = min(saved.began, now)
    emptyCloseAt = saved.emptyCloseAt.flatMap { $0 <= now ? $0 : nil }
    guard let since = saved.connectedSince else { return }
    let held = max(now - since, .zero)
    // Its end was reported, and a stable connection ended it.
    wasReportedOver = true
    breaks = 1
    let isOver = held.duration >= limits.stableAfter
    if isOver { attempts = 0 }
    began = isOver ? now : min(began + held, now)
  }
}
