// SPDX-License-Identifier: GPL-2.0-or-later
import AudioForkLink
import AudioForkOptions
import AudioForkTap
import CAsterisk

package typealias ForkPointer = UnsafeMutablePointer<af_fork>

extension ForkPointer {
  /// The counters as the engine reported them last. With the table's lock held.
  var counters: UnsafeMutablePointer<Counters> {
    UnsafeMutableRawPointer(self).advanced(by: Int(AF_FORK_COUNTERS_OFFSET.rawValue)).assumingMemoryBound(to: Counters.self)
  }

  /// The state that the engine reported last; `starting` before. With the table's lock held.
  var state: ForkStateName {
    get { ForkStateName(rawValue: pointee.state) ?? .unknown }
    nonmutating set { pointee.state = newValue.rawValue }
  }
}

/// The forks of this load of the module: the truth that the engine is told. Everything in it is guarded by
/// af_table_lock(), which is a leaf: whoever holds it locks no channel.
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

/// Whether nobody writes to the fork's ring any more.
func isClosed(_ fork: ForkPointer) -> Bool { isTapClosed(&fork.pointee.tap) }

/// Takes the ring's mapping away. Not with the table's lock held.
func unmap(_ fork: ForkPointer) {
  unmapRing(&fork.pointee.tap)
  withTable {
    forkTable.removeRing(fork.pointee.ring_bytes)
    fork.pointee.ring_bytes = 0
  }
}

/// The fork has ended, for this reason: that is told, its beeps end, its command is run. With the table's lock held;
/// `Jobs.wake` follows. `isAccounted`: the engine has said what became of its audio.
func endFork(_ fork: ForkPointer, reason: Bytes, isAccounted: Bool) {
  fork.pointee.ended = 1
  closeAccounts(fork, isAccounted: isAccounted)
  hangUpIfWanted(fork, reason: reason)
  fork.state = .ended
  replace(&fork.pointee.reason, with: reason)
  let command = ForkCommand(
    line: bytes(fork.pointee.command), callerNumber: bytes(fork.pointee.caller_number),
    callerName: bytes(fork.pointee.caller_name))
  if !command.line.isEmpty { forkTable.addCommand() }
  Jobs.add(.end(ManagerEvent(.stop, ForkRow(fork, now: af_now_ns())), command: command, beeps: takeBeeps(fork)))
}

/// on_failure = hangup: the call of a fork that fails is ended, once; a call that is over, or whose fork was stopped, is
/// not concerned. With the table's lock held.
func hangUpIfWanted(_ fork: ForkPointer, reason: Bytes) {
  guard fork.pointee.hangs_up != 0, !isClosed(fork) else { return }
  fork.pointee.hangs_up = 0
  Jobs.add(.hangUp(ForkRow(fork, now: af_now_ns()), reason: reason))
  Jobs.wake()
}

/// Where the engine has not ended the fork itself, or could not read its ring, the tap has the last word on what was
/// captured, and what is not known to be delivered is lost: a gap for each direction.
private func closeAccounts(_ fork: ForkPointer, isAccounted: Bool) {
  guard let ring = fork.pointee.tap.ring else { return }
  let capturedIn = af_word_load_relaxed(af_ring_captured(ring, 0))
  let capturedOut = af_word_load_relaxed(af_ring_captured(ring, 1))
  let reported = fork.counters.pointee
  guard !isAccounted || reported[.captured] == 0 || reported[.delivered] &+ reported[.lost] != reported[.captured] else { return }
  let captured = max(capturedIn &+ capturedOut, reported[.captured])
  fork.counters.pointee[.captured] = captured
  fork.counters.pointee[.lost] = captured &- min(reported[.delivered], captured)
  raiseLastGap(fork, "in", reported[.accountedIn], capturedIn)
  raiseLastGap(fork, "out", reported[.accountedOut], capturedOut)
}

private func raiseLastGap(_ fork: ForkPointer, _ direction: StaticString, _ accounted: UInt64, _ captured: UInt64) {
  guard captured > accounted else { return }
  fork.counters.pointee[.gaps] &+= 1
  var event = ManagerEvent(.gap, ForkRow(fork, now: af_now_ns()))
  event.gapDirection = Bytes(text: direction)
  event.gapStart = Int(truncatingIfNeeded: accounted)
  event.gapCount = Int(truncatingIfNeeded: captured &- accounted)
  event.gapPosition = Int(truncatingIfNeeded: fork.counters.pointee[.confirmed])
  event.reason = Bytes(text: "undelivered")
  Jobs.add(.raise(event))
}

/// Frees a fork that nobody owns.
func destroy(_ fork: ForkPointer) {
  unmap(fork)
  free(fork.pointee.id)
  free(fork.pointee.url)
  free(fork.pointee.direction)
  free(fork.pointee.format)
  free(fork.pointee.verification)
  free(fork.pointee.text_variable)
  free(fork.pointee.command)
  free(fork.pointee.caller_number)
  free(fork.pointee.caller_name)
  free(fork.pointee.beep_id)
  free(fork.pointee.channel)
  free(fork.pointee.uniqueid)
  free(fork.pointee.linkedid)
  free(fork.pointee.endpoint)
  free(fork.pointee.reason)
  free(fork.pointee.codec_problem)
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

/// A masquerade: the fork's channel goes on as `to`. Both channels are locked.
@c(af_datastore_moved)
func datastoreMoved(_ pointer: UnsafeMutableRawPointer?, _ from: OpaquePointer?, _ to: OpaquePointer?) {
  guard let pointer, let to else { return }
  let fork = pointer.assumingMemoryBound(to: af_fork.self)
  let name = bytes(ast_channel_name(to))
  let uniqueID = bytes(ast_channel_uniqueid(to))
  let linkedID = bytes(ast_channel_linkedid(to))
  withTable {
    replace(&fork.pointee.channel, with: name)
    replace(&fork.pointee.uniqueid, with: uniqueID)
    replace(&fork.pointee.linkedid, with: linkedID)
  }
}
