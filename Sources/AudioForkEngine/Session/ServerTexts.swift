// SPDX-License-Identifier: Apache-2.0
package import AudioForkMedia

/// Limits the text messages of one server that reach the module, so that a server cannot load Asterisk with them.
package struct ServerTexts: Sendable {
  /// Maximum messages per second. After a pause this many may come at once.
  package static let perSecond: Int64 = 50
  /// Maximum length of a text, bytes. A longer one is cut at a character's boundary.
  package static let bytesMax = 65_536
  /// A dropped message is logged only if none was dropped for this long before it.
  package static let dropLogPause = Nanoseconds.seconds(10)

  /// Amount of `credit` that one text takes. Credit grows by one second per second.
  private static let cost = Nanoseconds.seconds(1) / perSecond
  private static let creditMax = cost * perSecond
  /// What a partial result leaves for final ones and other texts.
  private static let partialReserve = creditMax / 2

  /// Messages dropped since the fork began.
  package private(set) var dropped: UInt64
  private var credit = creditMax
  private var creditAt: MonotonicTime?
  private var droppedAt: MonotonicTime?
  /// Texts in the second that began at `secondAt`, and in the second before it.
  private var counts: (now: Int64, before: Int64) = (0, 0)
  private var secondAt: MonotonicTime?
  /// Approximate number of texts in the last second before the last call of `admit`, dropped ones included.
  package private(set) var recent: Int64 = 0

  package init(dropped: UInt64) { self.dropped = dropped }

  /// Counts a message received at `now`. Returns whether it may go to the module. `isPartial`: another one will
  /// replace it, so that it may use only the upper half of the credit.
  package mutating func admit(now: MonotonicTime, isPartial: Bool = false) -> Bool {
    let since = creditAt.map { now > $0 ? now - $0 : .zero } ?? .zero
    credit = min(ServerTexts.creditMax, credit + min(max(since, .zero), ServerTexts.creditMax))
    creditAt = now
    count(now)
    guard credit >= ServerTexts.cost + (isPartial ? ServerTexts.partialReserve : .zero) else { return false }
    credit -= ServerTexts.cost
    return true
  }

  private mutating func count(_ now: MonotonicTime) {
    let second = Nanoseconds.seconds(1)
    let began = secondAt ?? now
    let elapsed = max(.zero, now - began)
    if elapsed >= second || secondAt == nil {
      counts = (0, elapsed < second * 2 ? counts.now : 0)
      secondAt = secondAt == nil ? now : began + second * (elapsed / second)
    }
    counts.now += 1
    let share = second - min(max(.zero, now - (secondAt ?? now)), second)
    recent = counts.now + counts.before * share.wholeMilliseconds / 1000
  }

  /// Counts a dropped message. Returns true if it should be logged: none was dropped for `dropLogPause`.
  package mutating func countDrop(now: MonotonicTime) -> Bool {
    dropped &+= 1
    defer { droppedAt = now }
    guard let last = droppedAt else { return true }
    return now - last >= ServerTexts.dropLogPause
  }
}
