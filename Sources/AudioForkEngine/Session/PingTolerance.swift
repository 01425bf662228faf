// SPDX-License-Identifier: Apache-2.0
package import AudioForkMedia

/// Detects that an endpoint ends its connections after many pings: some services count control frames. Covers all
/// connections of the endpoint. No I/O and no clock.
///
/// Two connections in a row that the server closed with 1008 (policy violation) prove it. So do three in a row that
/// ended in another way after the same number of pings, if that was at least `countMin`.
package struct PingTolerance: Sendable {
  /// Time between two pings for a server that closes after many: less than the two seconds of audio in flight.
  package static let sparseInterval = Nanoseconds.milliseconds(1500)
  /// Close code of RFC 6455 section 7.4.1.
  package static let policyViolation: UInt16 = 1008
  /// Two ends further apart than this are not related.
  package static let window = Nanoseconds.seconds(120)
  /// A connection that ended after fewer pings proves nothing, unless it was closed with 1008.
  package static let countMin = 20
  private static let policyEndsMax = 2
  private static let equalEndsMax = 3

  private struct ConnectionEnd {
    var pings: Int
    var isPolicy: Bool
    var at: MonotonicTime
    /// Number of similar ends in a row, this one included.
    var countInARow: Int
  }

  private var last: ConnectionEnd?
  /// Whether the server is pinged only every `sparseInterval`. Never becomes false again.
  package private(set) var isSparse = false

  package init() {}

  /// A connection ended on which the server had answered a ping. Returns true once, when this makes the server sparse.
  /// `pings`: number of pings sent on the connection. `isPolicy`: the server closed with 1008.
  package mutating func connectionEnded(pings: Int, isPolicy: Bool, now: MonotonicTime) -> Bool {
    guard !isSparse else { return false }
    var next = ConnectionEnd(pings: pings, isPolicy: isPolicy, at: now, countInARow: 1)
    if let last, now - last.at <= PingTolerance.window, isSimilar(last, next) {
      next.countInARow = last.countInARow + 1
    }
    last = next
    isSparse = next.countInARow >= (isPolicy ? PingTolerance.policyEndsMax : PingTolerance.equalEndsMax)
    return isSparse
  }

  private func isSimilar(_ first: ConnectionEnd, _ second: ConnectionEnd) -> Bool {
    if first.isPolicy || second.isPolicy { return first.isPolicy && second.isPolicy }
    let (fewer, more) = (min(first.pings, second.pings), max(first.pings, second.pings))
    return fewer >= PingTolerance.countMin && more - fewer <= 1
  }
}
