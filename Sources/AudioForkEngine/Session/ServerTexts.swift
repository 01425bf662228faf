// SPDX-License-Identifier: Apache-2.0
package import AudioForkMedia

/// What of a server's text messages reaches the module: so many in a second, each up to a length. A server that talks
/// more must not become Asterisk's load.
package struct ServerTexts: Sendable {
  /// Messages in a second, and at once after a pause.
  package static let perSecond: Int64 = 50
  /// Longest text that is passed on, bytes; the rest is cut at a character's boundary.
  package static let bytesMax = 65_536
  /// A spell of dropping is told once; it is over after so long without one.
  package static let spell = Nanoseconds.seconds(10)

  /// What a text costs of `credit`, which grows with time.
  private static let cost = Nanoseconds.seconds(1) / perSecond
  private static let creditMax = cost * perSecond

  /// Messages dropped so far, over the fork's life.
  package private(set) var dropped: UInt64
  private var credit = creditMax
  private var creditAt: MonotonicTime?
  private var droppedAt: MonotonicTime?
  /// Texts in the second that began at `secondAt`, and in the one before it.
  private var counts: (now: Int64, before: Int64) = (0, 0)
  private var secondAt: MonotonicTime?
  /// Texts in the second before the last call of `admit`, about: those that were dropped too.
  package private(set) var recent: Int64 = 0

  package init(dropped: UInt64) { self.dropped = dropped }

  /// Whether a message that came at `now` may be passed on.
  package mutating func admit(now: MonotonicTime) -> Bool {
    let since = creditAt.map { now > $0 ? now - $0 : .zero } ?? .zero
    credit = min(ServerTexts.creditMax, credit + min(max(since, .zero), ServerTexts.creditMax))
    creditAt = now
    count(now)
    guard credit >= ServerTexts.cost else { return false }
    credit -= ServerTexts.cost
    return true
  }

  private mutating func count(_ now: MonotonicTime) {
    let second = Nanoseconds.seconds(1)
    let began = secondAt ?? now
    let passed = max(.zero, now - began)
    if passed >= second || secondAt == nil {
      counts = (0, passed < second * 2 ? counts.now : 0)
      secondAt = secondAt == nil ? now : began + second * (passed / second)
    }
    counts.now += 1
    let share = second - min(max(.zero, now - (secondAt ?? now)), second)
    recent = counts.now + counts.before * share.wholeMilliseconds / 1000
  }

  /// Counts a message that was dropped. True where that begins a spell, so that it is worth a line in the log.
  package mutating func drop(now: MonotonicTime) -> Bool {
    dropped &+= 1
    defer { droppedAt = now }
    guard let last = droppedAt else { return true }
    return now - last >= ServerTexts.spell
  }
}
