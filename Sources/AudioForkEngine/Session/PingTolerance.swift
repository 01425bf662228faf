// SPDX-License-Identifier: Apache-2.0
package import AudioForkMedia

/// Finds out whether a server that answers pings ends its connections because there are too many: some services count
/// control frames. Of one endpoint, over all its connections; no I/O and no clock.
///
/// A Close with 1008 (policy violation) twice in a row proves it. Any other end proves it only when three connections
/// in a row ended at the same count of pings, and not at a small one: chance does not do that.
package struct PingTolerance: Sendable {
  /// Between two pings for a server that cannot stand more: less than the two seconds that may be in flight.
  package static let sparseInterval = Nanoseconds.milliseconds(1500)
  /// The code of RFC 6455 section 7.4.1.
  package static let policyViolation: UInt16 = 1008
  /// Breaks further apart have nothing to do with each other.
  package static let window = Nanoseconds.seconds(120)
  /// Fewer pings than this on a connection say nothing.
  package static let countMin = 20
  private static let policyBreaksMax = 2
  private static let equalBreaksMax = 3

  private struct Break {
    var pings: Int
    var isPolicy: Bool
    var at: MonotonicTime
    /// Breaks in a row that are like it, itself included.
    var row: Int
  }

  private var last: Break?
  /// Whether this server gets a ping every `sparseInterval` only. Stays.
  package private(set) var isSparse = false

  package init() {}

  /// A connection ended on which the server has ponged. `pings`: how many it was sent; `isPolicy`: by the server's
  /// Close with
  /// 1008. Returns whether that makes it sparse from now on, which is so once.
  package mutating func connectionEnded(pings: Int, isPolicy: Bool, now: MonotonicTime) -> Bool {
    guard !isSparse else { return false }
    var next = Break(pings: pings, isPolicy: isPolicy, at: now, row: 1)
    if let last, now - last.at <= PingTolerance.window, isAlike(last, next) { next.row = last.row + 1 }
    last = next
    isSparse = next.row >= (isPolicy ? PingTolerance.policyBreaksMax : PingTolerance.equalBreaksMax)
    return isSparse
  }

  private func isAlike(_ one: Break, _ other: Break) -> Bool {
    if one.isPolicy || other.isPolicy { return one.isPolicy && other.isPolicy }
    let (fewer, more) = (min(one.pings, other.pings), max(one.pings, other.pings))
    return fewer >= PingTolerance.countMin && more - fewer <= 1
  }
}
