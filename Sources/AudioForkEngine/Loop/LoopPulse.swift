// SPDX-License-Identifier: Apache-2.0
internal import Synchronization

/// Counts the jobs of one event loop: a fork's files opened, its turn in a tick, a read from a connection. Written by
/// that loop, read by the one that judges it (`HangWatch`).
final class LoopPulse: Sendable {
  private let count = Atomic<UInt64>(0)

  var jobs: UInt64 { count.load(ordering: .relaxed) }

  /// Counts a job that begins. On the loop alone, so that it needs no atomic addition.
  func beginJob() { count.store(count.load(ordering: .relaxed) &+ 1, ordering: .relaxed) }
}
