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

  /// The state that the engine reported last; `starting` before. With the table's lock held.
  var state: ForkStateName {
    get { ForkStateName(rawValue: pointee.state) ?? .unknown }
    nonmutating set { pointee.state = newValue.rawValue }
  }
}

/// The forks of this load of the module: the truth that the engine is told.
struct ForkTable {
  private(set) var head: ForkPointer?
  private(set) var count = 0
  /// Forks that have an owner still, and forks being started. After its row is gone a fork may live on in its
  /// channel's datastore. While this is not 0 the module's code and its settings stay.
  private(set) var owned = 0
  /// Commands of forks that have ended, waiting or running; each counts in `owned` too.
  var commands = 0
  /// What the rings take, bytes.
  private var ringBytes: UInt64 = 0
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

  /// One fork, or command, is no more.
  mutating func unreserve() { owned &-= 1 }

  /// Keeps the module for a command of a fork that is there still.
  mutating func addCommand() {
    owned &+= 1
    commands &+= 1
  }

  /// Counts a ring; false where all together would take more than the limit (0: there is none).
  mutating func addRing(_ bytes: UInt64, limit: UInt64) -> Bool {
    guard limit == 0 || ringBytes &+ bytes <= limit else { return false }
    ringBytes &+= bytes
    return true
  }

  mutating func removeRing(_ bytes: UInt64) { ringBytes &-= bytes }

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

  /// The oldest fork's first.
  var ids: [Bytes] {
    var ids = [Bytes]()
    var row = head
    while let fork = row {
      ids.append(bytes(fork.pointee.id))
      row = fork.pointee.next
    }
    return ids.reversed()
  }

  func find(_ id: Bytes) -> ForkPointer? {
    withCString(id) { wanted in first { fork in fork.pointee.id.map { strcmp($0, wanted) == 0 } ?? false } }
  }
}

/// Replaces a string of a fork; where there is no memory the old one stays. With the table's lock held.
func replace(_ place: inout UnsafeMutablePointer<CChar>?, with value: Bytes) {
  guard let copy = duplicate(value) else { return }
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
