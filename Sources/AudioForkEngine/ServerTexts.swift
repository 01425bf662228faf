// SPDX-License-Identifier: Apache-2.0

/// What of a server's text messages reaches the module: so many in a second, each up to a length. A server that talks
/// more must not become Asterisk's load.
package struct ServerTexts: Sendable {
  /// Messages in a second, and at once after a pause.
  package static let perSecond: Int64 = 50
  /// Longest text that is passed on, bytes; the rest is cut at a character's boundary.
  package static let bytesMax = 65_536
  /// A spell of dropping is told once; it is over after so long without one.
  package static let spellNanoseconds: Int64 = 10_000_000_000

  private static let costNanoseconds = 1_000_000_000 / perSecond
  private static let creditMax = costNanoseconds * perSecond

  /// Messages dropped so far, over the fork's life.
  package private(set) var dropped: UInt64
  private var credit = creditMax
  private var creditAt: Int64?
  private var droppedAt: Int64?

  package init(dropped: UInt64) { self.dropped = dropped }

  /// Whether a message that came at `now` (nanoseconds of a clock that never goes back) may be passed on.
  package mutating func admit(now: Int64) -> Bool {
    let since = creditAt.map { now > $0 ? now &- $0 : 0 } ?? 0
    credit = min(ServerTexts.creditMax, credit + min(max(since, 0), ServerTexts.creditMax))
    creditAt = now
    guard credit >= ServerTexts.costNanoseconds else { return false }
    credit -= ServerTexts.costNanoseconds
    return true
  }

  /// Counts a message that was dropped. True where that begins a spell, so that it is worth a line in the log.
  package mutating func drop(now: Int64) -> Bool {
    dropped &+= 1
    defer { droppedAt = now }
    guard let last = droppedAt else { return true }
    return now &- last >= ServerTexts.spellNanoseconds
  }

  /// The beginning of a text that fits, ending with a whole character.
  package static func cut(_ text: [UInt8], to bytesMax: Int = ServerTexts.bytesMax) -> [UInt8] {
    guard text.count > bytesMax else { return text }
    var end = bytesMax
    // A byte 10xxxxxx goes on with the character before it.
    while end > 0, text[end] & 0xC0 == 0x80 { end -= 1 }
    return Array(text[..<end])
  }
}
