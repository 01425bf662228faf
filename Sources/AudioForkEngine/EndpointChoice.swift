// SPDX-License-Identifier: Apache-2.0

/// Which of a fork's endpoints the next attempt goes to: in order, and after a good connection from the first again.
package struct EndpointChoice: Sendable {
  private let count: Int
  /// The endpoint of the current or next attempt.
  package private(set) var index = 0
  /// Endpoints that refused for good, one after the other.
  private var refusals = 0

  /// `count` is at least 1.
  package init(count: Int) { self.count = max(count, 1) }

  /// An attempt failed. True where that ends all hope: every endpoint in turn has refused for good.
  package mutating func attemptFailed(isPermanent: Bool) -> Bool {
    refusals = isPermanent ? refusals + 1 : 0
    index = (index + 1) % count
    return refusals >= count
  }

  package mutating func connected() { refusals = 0 }

  /// The connection broke. One that held was a good one: its outage begins with the first endpoint.
  package mutating func connectionLost(wasStable: Bool) {
    index = wasStable ? 0 : (index + 1) % count
  }
}
