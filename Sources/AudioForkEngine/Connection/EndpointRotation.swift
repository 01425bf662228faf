// SPDX-License-Identifier: Apache-2.0
package import AudioForkMedia

/// Which of a fork's endpoints the next attempt goes to: in order, and after a good connection from the first again.
package struct EndpointRotation: Sendable {
  private let count: Int
  /// The endpoint of the current or next attempt.
  package private(set) var index = 0
  /// Endpoints that refused for good, with nothing else in between.
  private var refusals: Set<Int> = []
  /// Before when an endpoint does not want to be asked again.
  private var notBefore: [Int: MonotonicTime] = [:]

  /// `count` is at least 1.
  package init(count: Int) { self.count = max(count, 1) }

  /// An attempt failed. True where that ends all hope: every endpoint in turn has refused for good. `retryAt`: before
  /// when this endpoint does not want to be asked again.
  package mutating func attemptFailed(isPermanent: Bool, retryAt: MonotonicTime? = nil, now: MonotonicTime) -> Bool {
    if isPermanent { refusals.insert(index) } else { refusals = [] }
    notBefore[index] = retryAt
    let next = (1...count).map { (index + $0) % count }
    // In order, but for those that want to be left alone; where all do, the one whose time comes first.
    index =
      next.first { isOpen($0, now) }
      ?? next.min { opening($0) < opening($1) } ?? 0
    return refusals.count == count
  }

  private func opening(_ endpoint: Int) -> MonotonicTime { notBefore[endpoint] ?? MonotonicTime(nanoseconds: .min) }

  private func isOpen(_ endpoint: Int, _ now: MonotonicTime) -> Bool { opening(endpoint) <= now }

  /// The next one in order, without a word against this one.
  package mutating func skipCurrent(now: MonotonicTime) {
    index = (1...count).map { (index + $0) % count }.first { isOpen($0, now) } ?? index
  }

  /// How long the next attempt's endpoint wants to be left alone.
  package func wait(now: MonotonicTime) -> Nanoseconds { max(.zero, notBefore[index, default: now] - now) }

  package mutating func connected() { refusals = [] }

  /// The connection broke. One that held was a good one: its outage begins with the first endpoint.
  package mutating func connectionLost(wasStable: Bool) {
    index = wasStable ? 0 : (index + 1) % count
  }
}
