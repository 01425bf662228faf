// SPDX-License-Identifier: Apache-2.0
internal import Synchronization

/// Bytes of clients that all connections hold together: frames and messages that have not come in full, and audio that
/// waits for the disk. Any thread.
final class MemoryBudget: Sendable {
  /// What a connection may always hold, however full the budget is: ordinary streams of short messages go on.
  static let shareMin = 64 * 1024

  private let held = Atomic(0)
  private let bytesMax: Int

  init(bytesMax: Int) { self.bytesMax = bytesMax }

  /// A connection holds so many bytes more, or fewer.
  func add(_ bytes: Int) { held.add(bytes, ordering: .relaxed) }

  var isExceeded: Bool { held.load(ordering: .relaxed) > bytesMax }
}
