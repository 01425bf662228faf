// SPDX-License-Identifier: Apache-2.0
internal import AudioForkSurface
internal import AudioForkRing
internal import NIOConcurrencyHelpers
internal import NIOCore
internal import NIOPosix

/// Threads for the spool files of all forks, and the limit of the room that the spools take together. Shared by all
/// loops.
///
/// The limit holds for all spools in one folder. When it is reached, the spool of the fork that began to spool first is
/// emptied.
package final class SpoolStore: Sendable {
  private static let threads = 2
  /// Age in seconds from which an unused spool file is removed: twice the maximum time that a fork may continue after
  /// its call.
  package static let leftoverAge = 2 * ForkOptions.spoolSecondsMax

  private struct Stream {
    let folder: String
    /// In the order in which they began to spool.
    let number: UInt64
    var bytes = 0
    let evict: @Sendable () -> Void
  }

  /// What the forks of one folder take together. A write costs the same however many they are.
  private struct Folder {
    var bytes = 0
    /// Forks that have bytes, by their streams' numbers: the oldest stream first. Looked at only where the limit is
    /// reached, and changed only where a fork gets its first byte or loses its last one.
    private var holders: [(number: UInt64, id: String)] = []

    var oldest: String? { holders.first?.id }

    mutating func insert(_ id: String, _ number: UInt64) { holders.insert((number, id), at: place(of: number)) }

    mutating func remove(_ number: UInt64) {
      let place = place(of: number)
      if place < holders.count, holders[place].number == number { holders.remove(at: place) }
    }

    /// Where the stream with this number is, or belongs. Most often at the end: those that begin are the youngest.
    private func place(of number: UInt64) -> Int {
      var (low, high) = (0, holders.count)
      while low < high {
        let middle = (low + high) / 2
        if holders[middle].number < number { low = middle + 1 } else { high = middle }
      }
      return low
    }
  }

  private struct State {
    var streams: [String: Stream] = [:]
    var totals: [String: Folder] = [:]
    /// Folders in which forks have had spools since the engine's start.
    var folders: Set<String> = []
    var numbers: UInt64 = 0
    var isStarted = false

    /// Sets what a stream has in its spool, and keeps its folder's total.
    mutating func set(_ bytes: Int, of id: String) {
      guard let stream = streams[id], stream.bytes != bytes else { return }
      streams[id]?.bytes = bytes
      totals[stream.folder, default: Folder()].bytes += bytes - stream.bytes
      if stream.bytes == 0 { totals[stream.folder]?.insert(id, stream.number) }
      if bytes == 0 { totals[stream.folder]?.remove(stream.number) }
    }
  }

  private let state = NIOLockedValueBox(State())
  private let pool = NIOThreadPool(numberOfThreads: SpoolStore.threads)

  package init() {}

  /// Notes a folder whose leftovers `removeLeftovers` removes.
  package func uses(_ folder: String) { state.withLockedValue { _ = $0.folders.insert(folder) } }

  /// What `removeLeftovers` removed from a folder.
  package struct Leftovers: Equatable, Sendable {
    package var folder: String
    package var files = 0
    package var bytes = 0

    /// For Asterisk's log.
    package var message: String {
      """
      \(files) spool \(files == 1 ? "file" : "files") of \((bytes + 999) / 1000) kB in '\(folder)' belonged to forks \
      that no longer exist (the machine was restarted, or Asterisk was gone for too long): their audio was not \
      delivered, and is now removed
      """
    }
  }

  /// Removes spool files that no engine has open, that were not written for `leftoverAge`, and whose fork has no ring,
  /// from the folders in which forks of this engine had spools. Returns what was removed from each folder. `now`:
  /// CLOCK_REALTIME, seconds. Blocks; never call it on an event loop.
  package func removeLeftovers(now: Int, hasRing: (String) -> Bool) -> [Leftovers] {
    let suffix = ".spool"
    return state.withLockedValue { $0.folders }.sorted().compactMap { folder in
      var found = Leftovers(folder: folder)
      for name in DirectoryContents.names(folder) where name.hasSuffix(suffix) {
        let id = String(name.dropLast(suffix.count))
        guard ForkAdoption.isForkID(id), !hasRing(id),
          let bytes = SpoolFile.removeLeftover("\(folder)/\(name)", writtenBefore: now - Self.leftoverAge)
        else { continue }
        found.files += 1
        found.bytes += bytes
      }
      return found.files > 0 ? found : nil
    }
  }

  /// Does blocking work on one of the threads. The result arrives on `loop`.
  func perform<Value: Sendable>(
    on loop: any EventLoop, _ work: @escaping @Sendable () throws -> Value
  ) -> EventLoopFuture<Value> {
    // Under the lock, so that no other loop uses the pool before it runs.
    state.withLockedValue { state in
      if !state.isStarted { pool.start() }
      state.isStarted = true
    }
    return pool.runIfActive(eventLoop: loop, work)
  }

  /// Reserves room for a fork. Empties older spools if necessary, by calling their `evict` on any thread. Returns false
  /// if this fork's own spool is the oldest one.
  package func reserve(
    _ bytes: Int, for id: String, in folder: String, limit: Int, evict: @escaping @Sendable () -> Void
  ) -> Bool {
    let (isGranted, victims) = state.withLockedValue { state -> (Bool, [@Sendable () -> Void]) in
      if state.streams[id] == nil {
        state.numbers &+= 1
        state.streams[id] = Stream(folder: folder, number: state.numbers, evict: evict)
      }
      let had = state.streams[id]?.bytes ?? 0
      var victims: [@Sendable () -> Void] = []
      while (state.totals[folder]?.bytes ?? 0) + bytes > limit {
        guard let oldest = state.totals[folder]?.oldest, oldest != id, let victim = state.streams[oldest] else {
          return (false, victims)
        }
        state.set(0, of: oldest)
        victims.append(victim.evict)
      }
      state.set(had + bytes, of: id)
      return (true, victims)
    }
    for evict in victims { evict() }
    return isGranted
  }

  /// Returns reserved room that was not used.
  package func giveBack(_ bytes: Int, of id: String) {
    state.withLockedValue { state in
      guard let had = state.streams[id]?.bytes else { return }
      state.set(max(0, had - bytes), of: id)
    }
  }

  /// The fork's spool is empty. `isOver`: it will not be used again.
  package func release(_ id: String, isOver: Bool) {
    state.withLockedValue { state in
      state.set(0, of: id)
      if isOver { state.streams[id] = nil }
    }
  }
}
