// SPDX-License-Identifier: Apache-2.0

/// Which of a fork's endpoints have ever answered a ping, over all engines. A bit for each; the cursor file keeps them.
package struct PongedEndpoints: Equatable, Sendable {
  /// Bit n: endpoint n. Endpoints from the 64th on share the last bit.
  package private(set) var bits: UInt64

  package init(bits: UInt64 = 0) { self.bits = bits }

  package func contains(_ endpoint: Int) -> Bool { bits & Self.bit(endpoint) != 0 }

  /// Returns whether it was not among them before.
  package mutating func insert(_ endpoint: Int) -> Bool {
    guard !contains(endpoint) else { return false }
    bits |= Self.bit(endpoint)
    return true
  }

  /// Returns whether it was among them before.
  package mutating func remove(_ endpoint: Int) -> Bool {
    guard contains(endpoint) else { return false }
    bits &= ~Self.bit(endpoint)
    return true
  }

  private static func bit(_ endpoint: Int) -> UInt64 { 1 &<< UInt64(min(max(endpoint, 0), 63)) }
}
