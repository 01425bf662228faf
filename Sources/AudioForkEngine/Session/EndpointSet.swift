// SPDX-License-Identifier: Apache-2.0

/// Endpoints of a fork that have done something, over all engines: answered a ping, or accepted the fork. The cursor
/// file keeps them.
package struct EndpointSet: Equatable, Sendable {
  /// Maximum number of words in the cursor file, where the number has one byte.
  package static let wordsMax = 255
  /// Endpoints from this index on are not remembered: the next engine has to learn again what they do.
  package static let endpointsMax = wordsMax * 64

  /// Bit n of word w: endpoint 64 × w + n. The last word is not 0.
  package private(set) var words: [UInt64] = []

  package init() {}

  /// As in the cursor file; zeros at the end are dropped. Words beyond `wordsMax` are ignored.
  package init(words: [UInt64]) {
    self.words = Array(words.prefix(Self.wordsMax))
    dropZeros()
  }

  /// Returns whether the endpoint is in the set.
  package func contains(_ endpoint: Int) -> Bool {
    guard endpoint >= 0, endpoint / 64 < words.count else { return false }
    return words[endpoint / 64] & Self.bit(endpoint) != 0
  }

  /// Adds an endpoint. Returns whether that changed anything.
  package mutating func insert(_ endpoint: Int) -> Bool {
    guard (0..<Self.endpointsMax).contains(endpoint), !contains(endpoint) else { return false }
    while words.count <= endpoint / 64 { words.append(0) }
    words[endpoint / 64] |= Self.bit(endpoint)
    return true
  }

  /// Removes an endpoint. Returns whether that changed anything.
  package mutating func remove(_ endpoint: Int) -> Bool {
    guard contains(endpoint) else { return false }
    words[endpoint / 64] &= ~Self.bit(endpoint)
    dropZeros()
    return true
  }

  private mutating func dropZeros() {
    while words.last == 0 { words.removeLast() }
  }

  private static func bit(_ endpoint: Int) -> UInt64 { 1 &<< UInt64(endpoint % 64) }
}
