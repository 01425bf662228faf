// SPDX-License-Identifier: GPL-2.0-or-later
import AudioForkBytes
import AudioForkSurface
import AudioForkTap
import CAsterisk

/// Gives a fork a further ring, a generation: when its rate has risen, so that the ring keeps less than the promised
/// seconds, or when the ring's name was removed, so that another engine would not find it.
///
/// The new ring is made without a lock and swapped in under the table's and the hook's. The engine reads the old one to
/// its end. Belongs to the control thread, which also takes rows out of the table: a fork that it finds there lives on.
enum Generations {
  /// A fork whose ring is too small, or whose ring's name has to be looked for. By the time it is renewed its row may
  /// be gone, so it is looked for by its id.
  private struct Candidate {
    let id: Bytes
    let isTooSmall: Bool
    /// Of the ring that was looked at.
    let generation: UInt32
  }

  /// How long a fork waits after a ring could not be made.
  private static let retryWait: Int64 = 5_000_000_000
  /// A ring's name is looked for in every fourth look, so that a thousand forks cost 250 system calls a second.
  private static let nameLooks: UInt32 = 4
  /// Bytes of rings made at a time; the rest waits for the next turn of the thread, which has an engine to listen to.
  private static let bytesAtOnce: UInt64 = 67_108_864
  nonisolated(unsafe) private static var candidates = [Candidate]()
  nonisolated(unsafe) private static var looks: UInt32 = 0

  /// A look at all rows begins.
  static func beginLooks() { looks &+= 1 }

  /// Decides whether the fork needs another ring, and forgets old ones that the engine is through with. The fork still
  /// captures. With the table's lock held.
  static func look(at fork: ForkPointer, _ now: Int64, _ state: inout ModuleState) {
    let counters = fork.counters.pointee
    while fork.pointee.old_count > 0, fork.oldRings.pointee.captured.0 <= counters[.accountedIn],
      fork.oldRings.pointee.captured.1 <= counters[.accountedOut]
    {
      state.forks.dropOldestRing(of: fork)
    }
    guard now >= fork.pointee.ring_retry_ns else { return }
    let needed =
      bytesPerSecond(&fork.pointee.tap, rateAtStart: fork.pointee.rate_hz) &* UInt64(fork.pointee.buffer_seconds)
    let isTooSmall = fork.pointee.tap.area_mask &+ 1 < needed
    let mustFind = DirectoryWatch.wasRestored || (fork.pointee.id_hash &+ looks) % nameLooks == 0
    guard isTooSmall || mustFind else { return }
    candidates.append(
      Candidate(id: bytes(fork.pointee.id), isTooSmall: isTooSmall, generation: fork.pointee.generation))
  }

  /// Makes the rings that `look` found to be needed. No lock is held.
  static func renew(_ now: Int64, _ settings: Settings) {
    guard !candidates.isEmpty, let instance = Control.instance else { return }
    let found = candidates
    candidates = []
    var made: UInt64 = 0
    for candidate in found {
      guard let fork = capturing(candidate) else { continue }
      let id = candidate.id
      let isNameless = withCString(instance.ringPath(id, candidate.generation)) { af_is_missing($0) } != 0
      guard candidate.isTooSmall || isNameless else { continue }
      guard made < bytesAtOnce else {
        candidates.append(candidate)
        continue
      }
      made &+= renew(fork, id, instance, settings, now, isNameless: isNameless)
    }
    if !candidates.isEmpty { Control.wake() }
  }

  /// Nothing that was found before counts any more.
  static func forgetAll() { candidates = [] }

  /// The candidate's fork, if it still captures into the ring that was looked at. Only this thread takes rows out.
  private static func capturing(_ candidate: Candidate) -> ForkPointer? {
    withState { state in
      guard let fork = state.forks.find(candidate.id), fork.pointee.generation == candidate.generation,
        fork.pointee.ended == 0, !isClosed(fork)
      else { return nil }
      return fork
    }
  }

  /// Returns the bytes of the ring that was made; 0: none.
  private static func renew(
    _ fork: ForkPointer, _ id: Bytes, _ instance: Instance, _ settings: Settings, _ now: Int64, isNameless: Bool
  ) -> UInt64 {
    let (seconds, generation, oldCount) = withState { _ in
      (fork.pointee.buffer_seconds, fork.pointee.generation, fork.pointee.old_count)
    }
    guard oldCount &+ 1 < UInt32(AF_RING_GENERATIONS_ALIVE) else {
      let why = Bytes(text: "it has four rings; it is tried again when the server has taken more audio")
      refused(fork, id, now, isNameless, why)
      return 0
    }
    guard generation < UInt32(AF_RING_GENERATION_MAX) else {
      refused(fork, id, now, isNameless, Bytes(text: "it has used as many rings as a fork may"))
      return 0
    }
    let size = RingSize(
      seconds: seconds,
      rate: max(fork.pointee.rate_hz, highestRate(&fork.pointee.tap, rateAtStart: fork.pointee.rate_hz)))
    let bytesNeeded = RingMemory.bytes(of: size)
    guard RingMemory.add(bytesNeeded, settings) else {
      refused(fork, id, now, isNameless, RingMemory.refusal(bytesNeeded, settings))
      return 0
    }
    let path = instance.ringPath(id, generation &+ 1)
    var next = af_tap()
    let failure = createNextRing(
      &next, path: cString(path), size: size, generation: generation &+ 1, continuing: &fork.pointee.tap)
    guard failure == 0 else {
      withState { $0.forks.memory.remove(bytesNeeded) }
      refused(fork, id, now, isNameless, ringProblem(path, failure, seconds: Int(seconds)))
      return 0
    }
    RingMemory.mapped(&next)
    let isSwapped = withState { swapIn(&next, bytesNeeded, for: fork, &$0) }
    // The old ring, or the new one that is not needed.
    RingMemory.unmap(&next)
    guard isSwapped else {
      _ = withCString(path) { unlink($0) }
      withState { $0.forks.memory.remove(bytesNeeded) }
      return 0
    }
    log(
      AF_LEVEL_VERBOSE, "AudioFork ", .bytes(id), " continues in a new ring of ",
      .number(Int(truncatingIfNeeded: bytesNeeded / 1024)), " KB, because ",
      isNameless ? "the file of the old one was removed" : "the sampling rate has risen")
    return bytesNeeded
  }

  /// Makes the fork's tap write to `next`'s ring. `next` gets the old ring. Returns false if capture has ended, or if
  /// the hook is just leaving its channel. With the table's lock held: all but the callback end capture under it.
  private static func swapIn(
    _ next: UnsafeMutablePointer<af_tap>, _ bytes: UInt64, for fork: ForkPointer, _ state: inout ModuleState
  ) -> Bool {
    guard fork.pointee.hook_alive != 0, fork.pointee.ended == 0 else { return false }
    af_hook_lock(&fork.pointee.hook)
    defer { af_hook_unlock(&fork.pointee.hook) }
    // The callback ends capture in its last call, without the lock, after Asterisk has set this status with it.
    let isAttached = fork.pointee.hook_off != 0 || fork.pointee.hook.status != AST_AUDIOHOOK_STATUS_DONE
    guard isAttached, af_word_load_acquire(&fork.pointee.tap.closed) == UInt64(AF_TAP_OPEN.rawValue) else {
      return false
    }
    swapRing(&fork.pointee.tap, next)
    fork.oldRings.advanced(by: Int(fork.pointee.old_count)).pointee = af_old_ring(
      bytes: fork.pointee.ring_bytes,
      captured: (
        af_word_load_relaxed(af_ring_captured(next.pointee.ring, 0)),
        af_word_load_relaxed(af_ring_captured(next.pointee.ring, 1))
      ))
    fork.pointee.old_count &+= 1
    fork.pointee.ring_bytes = bytes
    fork.pointee.generation &+= 1
    fork.pointee.ring_complained = 0
    state.forks.mustSend(fork)
    return true
  }

  /// The old ring stays. The log says so once.
  private static func refused(_ fork: ForkPointer, _ id: Bytes, _ now: Int64, _ isNameless: Bool, _ why: Bytes) {
    let row = withState { _ in
      fork.pointee.ring_retry_ns = now &+ retryWait
      let isFirst = fork.pointee.ring_complained == 0
      fork.pointee.ring_complained = 1
      return isFirst ? ForkRow(fork, now: now) : nil
    }
    guard let row else { return }
    let what =
      isNameless
      ? text(
        " has lost its ring's file, and no new one can be made; ",
        "if the engine restarts now, its undelivered audio is lost: ")
      : text(
        " keeps only ", .bytes(tenths(row.ringMilliseconds)), " seconds, because the sampling rate has risen: ")
    log(AF_LEVEL_WARNING, "AudioFork ", .bytes(id), " to ", .bytes(row.url), .bytes(what), .bytes(why))
  }
}

extension ForkTable {
  /// The engine needs the fork's oldest ring no more.
  mutating func dropOldestRing(of fork: ForkPointer) {
    guard fork.pointee.old_count > 0 else { return }
    memory.remove(fork.oldRings.pointee.bytes)
    var place = 1
    while place < Int(fork.pointee.old_count) {
      fork.oldRings.advanced(by: place &- 1).pointee = fork.oldRings.advanced(by: place).pointee
      place &+= 1
    }
    fork.pointee.old_count &-= 1
  }
}

/// Notices the removal of the instance's directory. Belongs to the control thread.
enum DirectoryWatch {
  private static let interval: Int64 = 1_000_000_000
  nonisolated(unsafe) private static var last: Int64 = 0
  nonisolated(unsafe) private static var isThere = true
  /// The directory was made again: each ring's name is looked for in the next look at all rows.
  nonisolated(unsafe) private(set) static var wasRestored = false
  nonisolated(unsafe) private static var restored = 0

  /// Makes the directory again if it was removed: looks once a second, and before an engine is started. Returns whether
  /// it is there.
  static func restoreIfDue(_ now: Int64, hasEngine: Bool) -> Bool {
    wasRestored = false
    guard !hasEngine || now &- last >= interval, let instance = Control.instance else { return isThere }
    last = now
    isThere = instance.restore()
    // A thread that starts a fork may have made it again too.
    let count = Instance.restoredCount
    if count != restored {
      restored = count
      wasRestored = true
      withState { $0.forks.mustLookAtAll() }
    }
    return isThere
  }
}
