// SPDX-License-Identifier: GPL-2.0-or-later
import AudioForkBytes
import AudioForkLink
import AudioForkSurface
import AudioForkTap
import CAsterisk

package typealias ForkPointer = UnsafeMutablePointer<af_fork>

extension ForkPointer {
  /// The counters as the engine reported them last. With the table's lock held.
  var counters: UnsafeMutablePointer<Counters> {
    UnsafeMutableRawPointer(self).advanced(by: Int(AF_FORK_COUNTERS_OFFSET.rawValue))
      .assumingMemoryBound(to: Counters.self)
  }

  /// The rings that another one has continued, room for AF_RING_GENERATIONS_ALIVE - 1. With the table's lock held.
  var oldRings: UnsafeMutablePointer<af_old_ring> {
    UnsafeMutableRawPointer(self).advanced(by: Int(AF_FORK_OLD_RINGS_OFFSET.rawValue))
      .assumingMemoryBound(to: af_old_ring.self)
  }

  /// The state that the engine reported last; `starting` before. With the table's lock held.
  var state: ForkStateName {
    get { ForkStateName(rawValue: pointee.state) ?? .unknown }
    nonmutating set { pointee.state = newValue.rawValue }
  }
}

/// The forks of this load of the module: the truth that the engine is told.
///
/// A fork is found by a hash of its id, and what changes a row puts it in a list, so that no report and no wake-up of
/// the control thread costs more where there are more forks.
package struct ForkTable {
  /// All rows, the oldest fork's first.
  private(set) var rows = ForkList(AF_LIST_ROWS)
  /// Rows that the engine does not know in their present state.
  private(set) var unsent = ForkList(AF_LIST_UNSENT)
  /// Rows that the control thread is to look at when it wakes up.
  private var looks = ForkList(AF_LIST_LOOKS)
  private var index = ForkIndex()
  private(set) var count = 0
  /// Forks that the engine has not ended.
  private(set) var atWork = 0
  /// Of these, the forks that the running engine is not told of.
  private var held = 0
  /// Forks at work that the running engine is told of.
  var inEngine: Int { atWork &- held }
  /// Number of the engine that runs, or of the next one where none does.
  private(set) var engineNumber: UInt32 = 0
  /// The engine that serves has said that it may open everything.
  private(set) var isEngineUnconfined = false
  /// Forks that have an owner still, and forks being started. After its row is gone a fork may live on in its
  /// channel's datastore. While this is not 0 the module's code and its settings stay.
  private(set) var owned = 0
  /// Commands of forks that have ended, waiting or running; each counts in `owned` too.
  var commands = 0
  /// What the rings take.
  var memory = RingMemory()
  /// The module is being unloaded: no fork begins any more.
  var isClosing = false
  private var started = 0

  package init() {}

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

  /// One fork, or command, is no more.
  mutating func unreserve() { owned &-= 1 }

  /// Keeps the module for a command of a fork that is there still.
  mutating func addCommand() {
    owned &+= 1
    commands &+= 1
  }

  /// Adds a fork that the engine has to be told of: this engine, or a later one if this one may not open its files.
  package mutating func insert(_ fork: ForkPointer) {
    rows.append(fork)
    index.insert(fork)
    count &+= 1
    atWork &+= 1
    if fork.pointee.first_engine > engineNumber, !isEngineUnconfined {
      fork.pointee.is_held = 1
      held &+= 1
    }
    mustSend(fork)
  }

  /// The engine has ended, or could not be started: the next one may open what all forks need. `now`: CLOCK_MONOTONIC.
  package mutating func engineEnded(_ now: Int64) {
    engineNumber &+= 1
    isEngineUnconfined = false
    release(now) { _ in }
  }

  /// The engine that is ready may open everything, so it is told of the forks that were held. `now`: CLOCK_MONOTONIC.
  package mutating func engineIsUnconfined(_ now: Int64) {
    isEngineUnconfined = true
    var released: [ForkPointer] = []
    release(now) { released.append($0) }
    for fork in released { mustSend(fork) }
  }

  /// No fork is held any more.
  private mutating func release(_ now: Int64, _ body: (ForkPointer) -> Void) {
    guard held > 0 else { return }
    forEach { fork in
      guard fork.pointee.is_held != 0 else { return }
      fork.pointee.is_held = 0
      fork.pointee.released_at_ns = now
      body(fork)
    }
    held = 0
  }

  /// The fork is not at work any more.
  private mutating func leaveWork(_ fork: ForkPointer) {
    atWork &-= 1
    guard fork.pointee.is_held != 0 else { return }
    fork.pointee.is_held = 0
    held &-= 1
  }

  package mutating func remove(_ fork: ForkPointer) {
    guard rows.contains(fork) else { return }
    rows.remove(fork)
    unsent.remove(fork)
    looks.remove(fork)
    index.remove(fork)
    count &-= 1
    if fork.pointee.ended == 0 { leaveWork(fork) }
  }

  /// Marks a row whose fork the engine, or the control thread in its place, has ended.
  mutating func markEnded(_ fork: ForkPointer) {
    guard fork.pointee.ended == 0 else { return }
    fork.pointee.ended = 1
    unsent.remove(fork)
    guard rows.contains(fork) else { return }
    leaveWork(fork)
    looks.append(fork)
  }

  /// The engine has to be told of the row, for the first time or again.
  package mutating func mustSend(_ fork: ForkPointer) {
    if fork.pointee.ended == 0, fork.pointee.is_held == 0, rows.contains(fork) { unsent.append(fork) }
  }

  /// The engine has been told of the row.
  mutating func isSent(_ fork: ForkPointer) { unsent.remove(fork) }

  /// A new engine has to be told of all rows.
  package mutating func mustSendAll() {
    var row = rows.first
    while let fork = row {
      row = rows.next(fork)
      mustSend(fork)
    }
  }

  /// Has the control thread look at the row when it wakes up next.
  mutating func mustLook(_ fork: ForkPointer) {
    if rows.contains(fork) { looks.append(fork) }
  }

  /// As `mustLook`, for all rows.
  mutating func mustLookAtAll() {
    var row = rows.first
    while let fork = row {
      row = rows.next(fork)
      looks.append(fork)
    }
  }

  /// Takes a row that has to be looked at.
  mutating func takeLook() -> ForkPointer? {
    guard let fork = looks.first else { return nil }
    looks.remove(fork)
    return fork
  }

  /// Calls `body` with each row, the oldest fork's first.
  func forEach(_ body: (ForkPointer) -> Void) {
    var row = rows.first
    while let fork = row {
      row = rows.next(fork)
      body(fork)
    }
  }

  /// The oldest fork's first.
  package var ids: [Bytes] {
    var ids = [Bytes]()
    forEach { ids.append(bytes($0.pointee.id)) }
    return ids
  }

  /// The fork with this id; nil: there is none in the table.
  package func find(_ id: Bytes) -> ForkPointer? { index.find(id) }
}

/// Replaces a string of a fork; where there is no memory the old one stays. With the table's lock held.
func replace(_ place: inout UnsafeMutablePointer<CChar>?, with value: Bytes) {
  guard !isSame(place, value), let copy = duplicate(value) else { return }
  free(place)
  place = copy
}

/// What became of the last forks that have ended.
struct EndedForks {
  /// The oldest first, at most `countMax`.
  private(set) var rows = [ForkRow]()

  private static let countMax = 100

  mutating func append(_ row: ForkRow) {
    if rows.count >= EndedForks.countMax { rows.removeFirst() }
    rows.append(row)
  }

  mutating func removeAll() { rows = [] }
}
