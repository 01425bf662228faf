// SPDX-License-Identifier: Apache-2.0
internal import NIOConcurrencyHelpers
internal import NIOCore
internal import NIOPosix

/// The spools of all forks: threads for their files, and what they take of the disk together. Shared by all loops.
///
/// The limit holds for all forks' spools of one folder. Beyond it the fork that began to spool first loses what it has
/// there: the oldest stream goes first.
package final class SpoolStore: Sendable {
  private static let threads = 2

  private struct Stream {
    let folder: String
    /// In the order in which they began to spool.
    let number: UInt64
    var bytes = 0
    let evict: @Sendable () -> Void
  }

  private struct State {
    var streams: [String: Stream] = [:]
    var numbers: UInt64 = 0
    var isStarted = false
  }

  private let state = NIOLockedValueBox(State())
  private let pool = NIOThreadPool(numberOfThreads: SpoolStore.threads)

  package init() {}

  /// Does blocking work on one of the threads; the answer comes on `loop`.
  func perform<Value: Sendable>(
    on loop: any EventLoop, _ work: @escaping @Sendable () throws -> Value
  ) -> EventLoopFuture<Value> {
    // Under the lock: another loop's work would meet a pool that does not run yet.
    state.withLockedValue { state in
      if !state.isStarted { pool.start() }
      state.isStarted = true
    }
    return pool.runIfActive(eventLoop: loop, work)
  }

  /// Whether the fork may have so many bytes more. Where that needs another fork's, `evict` of that one is called, on
  /// any thread. False: it would be this fork itself that has to go.
  func reserve(
    _ bytes: Int, for id: String, in folder: String, limit: Int, evict: @escaping @Sendable () -> Void
  ) -> Bool {
    let (isGranted, victims) = state.withLockedValue { state -> (Bool, [@Sendable () -> Void]) in
      if state.streams[id] == nil {
        state.numbers &+= 1
        state.streams[id] = Stream(folder: folder, number: state.numbers, evict: evict)
      }
      var total = bytes + state.streams.values.reduce(0) { $1.folder == folder ? $0 + $1.bytes : $0 }
      var victims: [@Sendable () -> Void] = []
      while total > limit {
        let full = state.streams.filter { $0.value.folder == folder && $0.value.bytes > 0 }
        guard let oldest = full.min(by: { $0.value.number < $1.value.number }), oldest.key != id else {
          return (false, victims)
        }
        total -= oldest.value.bytes
        state.streams[oldest.key]?.bytes = 0
        victims.append(oldest.value.evict)
      }
      state.streams[id]?.bytes += bytes
      return (true, victims)
    }
    for evict in victims { evict() }
    return isGranted
  }

  /// What was reserved was not written after all.
  func giveBack(_ bytes: Int, of id: String) {
    state.withLockedValue { state in
      guard let had = state.streams[id]?.bytes else { return }
      state.streams[id]?.bytes = max(0, had - bytes)
    }
  }

  /// The fork has nothing in its spool any more. `isOver`: it will not have again.
  func release(_ id: String, isOver: Bool) {
    state.withLockedValue { state in
      state.streams[id]?.bytes = 0
      if isOver { state.streams[id] = nil }
    }
  }
}
