// SPDX-License-Identifier: Apache-2.0
package import AudioForkMedia
internal import NIOConcurrencyHelpers

/// Limits the texts of all servers together, because one thread of Asterisk handles them all. Servers that send few
/// texts have priority, so that many busy servers cannot crowd them out.
package struct TextLimit: Sendable {
  /// Maximum texts per second. After a pause this many may come at once.
  package static let perSecond: Int64 = 500

  /// Amount of `credit` that one text takes. Credit grows by one second per second.
  private static let cost = Nanoseconds.seconds(1) / perSecond
  private static let creditMax = cost * perSecond
  private var credit = creditMax
  private var creditAt: MonotonicTime?

  package init() {}

  /// Returns whether a text received at `now` may go to the module, and takes its cost from the credit if so.
  ///
  /// `recent`: number of texts from the same server within the last second. The higher it is, the more credit must be
  /// left for other servers.
  package mutating func admit(now: MonotonicTime, recent: Int64) -> Bool {
    let since = creditAt.map { now > $0 ? now - $0 : .zero } ?? .zero
    credit = min(TextLimit.creditMax, credit + min(since, TextLimit.creditMax))
    creditAt = max(now, creditAt ?? now)
    // A server at its own limit may use only the upper half of the credit.
    let reserved = TextLimit.creditMax / 2 / ServerTexts.perSecond * min(max(recent, 0), ServerTexts.perSecond)
    guard credit >= max(TextLimit.cost, reserved) else { return false }
    credit -= TextLimit.cost
    return true
  }
}

/// One `TextLimit` for all event loops. Each fork asks at most `ServerTexts.perSecond` times per second.
package final class SharedTextLimit: Sendable {
  private let limit = NIOLockedValueBox(TextLimit())

  package init() {}

  /// See `TextLimit.admit`.
  package func admit(now: MonotonicTime, recent: Int64) -> Bool {
    limit.withLockedValue { $0.admit(now: now, recent: recent) }
  }
}
