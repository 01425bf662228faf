// SPDX-License-Identifier: Apache-2.0
package import AudioForkMedia
internal import NIOConcurrencyHelpers

/// Limits the texts of all servers together: Asterisk's variables and events for them are one thread's work. Servers
/// that say little go first, so that a hundred that say much do not keep them from being heard.
package struct TextLimit: Sendable {
  /// Texts in a second, and at once after a pause.
  package static let perSecond: Int64 = 500

  /// What a text costs of `credit`, which grows with time.
  private static let cost = Nanoseconds.seconds(1) / perSecond
  private static let creditMax = cost * perSecond
  private var credit = creditMax
  private var creditAt: MonotonicTime?

  package init() {}

  /// Whether a text at `now` may pass. `recent`: texts that the same server
  /// has said within a second. The more, the more must be left for the others.
  package mutating func admit(now: MonotonicTime, recent: Int64) -> Bool {
    let since = creditAt.map { now > $0 ? now - $0 : .zero } ?? .zero
    credit = min(TextLimit.creditMax, credit + min(since, TextLimit.creditMax))
    creditAt = max(now, creditAt ?? now)
    // A server that says all it may can use half of what there is.
    let left = TextLimit.creditMax / 2 / ServerTexts.perSecond * min(max(recent, 0), ServerTexts.perSecond)
    guard credit >= max(TextLimit.cost, left) else { return false }
    credit -= TextLimit.cost
    return true
  }
}

/// The limit as all loops share it. Asked for no more than 50 texts a second and fork.
package final class ModuleTexts: Sendable {
  private let limit = NIOLockedValueBox(TextLimit())

  package init() {}

  package func admit(now: MonotonicTime, recent: Int64) -> Bool {
    limit.withLockedValue { $0.admit(now: now, recent: recent) }
  }
}
