// SPDX-License-Identifier: Apache-2.0
internal import Synchronization

/// Channels that a fault may do something to.
final class LiveChannels: Sendable {
  private let names = Mutex<[String]>([])
  func add(_ name: String) { names.withLock { $0.append(name) } }
  func remove(_ name: String) { names.withLock { $0.removeAll { $0 == name } } }
  func some(_ count: Int, _ random: inout some RandomNumberGenerator) -> [String] {
    Array(names.withLock { $0 }.sorted().shuffled(using: &random).prefix(count))
  }
}
