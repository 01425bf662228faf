// SPDX-License-Identifier: Apache-2.0

/// Which of a fork's endpoints the next attempt goes to: in order, and after a good connection from the first again.
package struct EndpointChoice: Sendable {
  private let count: Int
  /// The endpoint of the current or next attempt.
  package private(set) var index = 0
  /// Endpoints that refused for good, with nothing else in between.
  private var refusals: Set<Int> = []
  /// Before when an endpoint does not want to be asked again, nanoseconds.
  private var notBefore: [Int: Int64] = [:]

  /// `count` is at least 1.
  package init(count: Int) { self.count = max(count, 1) }

  /// An attempt failed. True where that ends all hope: every endpoint in turn has refused for good. `retryAt`: before
  /// when this endpoint does not want to be asked again.
  package mutating func attemptFailed(isPermanent: Bool, retryAt: Int64? = nil, now: Int64 = 0) -> Bool {
    if isPermanent { refusals.insert(index) } else { refusals = [] }
    notBefore[index] = retryAt
    let next = (1...count).map { (index + $0) % count }
    // In order, but for those that want to be left alone; where all do, the one whose time comes first.
    index =
      next.first { notBefore[$0, default: .min] <= now }
      ?? next.min { notBefore[$0, default: .min] < notBefore[$1, default: .min] } ?? 0
    return refusals.count == count
  }

  /// The next one in order, without a word against this one.
  package mutating func passOver(now: Int64) {
    index = (1...count).map { (index + $0) % count }.first { notBefore[$0, default: .min] <= now } ?? index
  }

  /// How long the next attempt's endpoint wants to be left alone, nanoseconds.
  package func wait(now: Int64) -> Int64 { max(0, notBefore[index, default: now] &- now) }

  package mutating func connected() { refusals = [] }

  /// The connection broke. One that held was a good one: its outage begins with the first endpoint.
  package mutating func connectionLost(wasStable: Bool) {
    index = wasStable ? 0 : (index + 1) % count
  }
}
