// SPDX-License-Identifier: GPL-2.0-or-later
import CAsterisk

#if canImport(AudioForkOptions)
import AudioForkOptions
#endif
#if canImport(AudioForkTap)
import AudioForkTap
#endif

typealias ForkPointer = UnsafeMutablePointer<af_fork>

/// The forks of this load of the module: the truth that the engine is told. Everything in it is guarded by
/// af_table_lock(), which is a leaf: whoever holds it locks no channel.
struct ForkTable {
  private(set) var head: ForkPointer?
  private(set) var count = 0
  /// Forks that have an owner still, and forks being started. After its row is gone a fork may live on in its
  /// channel's datastore. While this is not 0 the module's code and its settings stay.
  private(set) var owned = 0
  /// The module is being unloaded: no fork begins any more.
  var isClosing = false
  private var started = 0

  mutating func nextNumber() -> Int {
    started &+= 1
    return started
  }

  /// Reserves the module for one fork; false while it is being unloaded.
  mutating func reserve() -> Bool {
    guard !isClosing else { return false }
    owned &+= 1
    return true
  }

  /// One fork is no more.
  mutating func unreserve() { owned &-= 1 }

  mutating func insert(_ fork: ForkPointer) {
    fork.pointee.next = head
    head = fork
    count &+= 1
  }

  mutating func remove(_ fork: ForkPointer) {
    if head == fork {
      head = fork.pointee.next
    } else {
      var previous = head
      while let row = previous, row.pointee.next != fork { previous = row.pointee.next }
      guard let previous else { return }
      previous.pointee.next = fork.pointee.next
    }
    fork.pointee.next = nil
    count &-= 1
  }

  func first(where matches: (ForkPointer) -> Bool) -> ForkPointer? {
    var row = head
    while let fork = row {
      if matches(fork) { return fork }
      row = fork.pointee.next
    }
    return nil
  }

  func find(_ id: Bytes) -> ForkPointer? { first { bytes($0.pointee.id) == id } }
}

/// Replaces a string of a fork; where there is no memory the old one stays. With the table's lock held.
func replace(_ place: inout UnsafeMutablePointer<CChar>?, with value: Bytes) {
  guard let copy = duplicate(value) else { return }
  free(place)
  place = copy
}

/// Guarded by af_table_lock().
nonisolated(unsafe) var forkTable = ForkTable()

/// Runs `body` with the table's lock held.
func withTable<Result>(_ body: () -> Result) -> Result {
  af_table_lock()
  let result = body()
  af_table_unlock()
  return result
}

/// Gives up one of a fork's two owners; the last one frees it. Not with the table's lock held.
func release(_ fork: ForkPointer) {
  let isLast = withTable {
    fork.pointee.owners &-= 1
    return fork.pointee.owners == 0
  }
  if isLast { destroy(fork) }
  af_module_release()
  // Last: from here on the module may be unloaded.
  if isLast { withTable { forkTable.unreserve() } }
}

/// Frees a fork that nobody owns.
func destroy(_ fork: ForkPointer) {
  unmapRing(&fork.pointee.tap)
  free(fork.pointee.id)
  free(fork.pointee.url)
  free(fork.pointee.direction)
  free(fork.pointee.format)
  free(fork.pointee.channel)
  free(fork.pointee.uniqueid)
  free(fork.pointee.linkedid)
  free(fork.pointee.endpoint)
  free(fork.pointee.state)
  free(fork.pointee.reason)
  free(fork.pointee.response)
  free(fork)
}

/// The datastore goes: by StopAudioFork, or with the channel, which may be long after the call's end.
@c(af_datastore_destroyed)
func datastoreDestroyed(_ pointer: UnsafeMutableRawPointer?) {
  guard let pointer else { return }
  let fork = pointer.assumingMemoryBound(to: af_fork.self)
  closeTap(&fork.pointee.tap, now: af_now_ns())
  withTable { fork.pointee.hook_alive = 0 }
  ast_audiohook_destroy(&fork.pointee.hook)
  Control.wake()
  release(fork)
}
