// SPDX-License-Identifier: GPL-2.0-or-later
import AudioForkBytes
import AudioForkLink
import AudioForkSurface
import AudioForkTap
import CAsterisk

/// When the control thread looks at all rows, and not only at those that something has happened to.
enum RowLooks {
  /// The hook makes no system call, so it cannot wake this thread when it marks the end of capture.
  private static let interval: Int64 = 1_000_000_000
  nonisolated(unsafe) private static var last: Int64 = 0

  /// How often the thread looks whether a rate has changed: a buffer that is too small loses audio by the second.
  private static let rateMilliseconds: CInt = 200

  static func isDue(_ now: Int64) -> Bool {
    let hasRateChanged = af_word_load_acquire(af_rates_changed()) != 0
    guard hasRateChanged || now &- last >= interval else { return false }
    af_word_store_relaxed(af_rates_changed(), 0)
    last = now
    return true
  }

  static func millisecondsLeft(_ now: Int64) -> CInt {
    CInt(truncatingIfNeeded: max(0, min((last &+ interval &- now) / 1_000_000 &+ 1, Int64(rateMilliseconds))))
  }
}

/// A row that was taken out of the table.
private struct GoneRow {
  let fork: ForkPointer
  /// The engine had ended the fork.
  let isFinished: Bool
}

/// Looks at the rows that something has happened to, and once a second at all of them.
func lookAtRows(_ now: Int64) {
  var gone = [GoneRow]()
  withState { state in
    if RowLooks.isDue(now) {
      state.forks.mustLookAtAll()
      Generations.beginLooks()
    }
    while let fork = state.forks.takeLook() {
      if let row = look(at: fork, now, &state) { gone.append(row) }
    }
  }
  for row in gone { letGo(row) }
  if !gone.isEmpty { Jobs.wake() }
}

/// Notes the end of capture, and takes the row out of the table if its fork has ended or its time is over. With the
/// table's lock held.
private func look(at fork: ForkPointer, _ now: Int64, _ state: inout ModuleState) -> GoneRow? {
  // Asterisk does not call a hook that is off, so it cannot mark the end of capture.
  if fork.pointee.ended != 0, fork.pointee.hook_off != 0 { closeTap(&fork.pointee.tap, now: now) }
  let isClosed = isTapClosed(&fork.pointee.tap)
  if isClosed, fork.pointee.closed_at_ns == 0 {
    fork.pointee.closed_at_ns = now
    state.forks.mustSend(fork)
  }
  if fork.pointee.ended != 0, !isClosed {
    // The engine has ended it while the call continues: the hook leaves at the channel's next frame.
    if fork.pointee.hook_alive != 0, fork.pointee.hook_ending == 0 {
      fork.pointee.hook_ending = 1
      ast_audiohook_update_status(&fork.pointee.hook, AST_AUDIOHOOK_STATUS_SHUTDOWN)
    }
    // There may be no next frame. Only a thread that may wait for the channel's lock can take the hook off. Each look
    // asks again, because a masquerade briefly leaves no channel with this name.
    if fork.pointee.leave_asked == 0 {
      fork.pointee.leave_asked = 1
      state.jobs.add(.leave(ForkRow(fork, now: now)))
      Jobs.wake()
    }
    return nil
  }
  if !isClosed { Generations.look(at: fork, now, &state) }
  checkPolicy(fork, now, &state)
  guard isClosed, fork.pointee.ended != 0 || isOverdue(fork, now) else { return nil }
  let isFinished = fork.pointee.ended != 0
  if !isFinished {
    state.endFork(
      fork, reason: text("engine: it did not finish the fork within ", .number(sweepSeconds(fork)), " seconds"),
      isAccounted: false)
  }
  state.forks.remove(fork)
  state.endedForks.append(ForkRow(fork, now: now))
  return GoneRow(fork: fork, isFinished: isFinished)
}

/// Whether an engine has had the time for the end of the fork, whose capture has ended. With the table's lock held.
private func isOverdue(_ fork: ForkPointer, _ now: Int64) -> Bool {
  guard fork.pointee.is_held == 0 else { return false }
  let since = max(fork.pointee.closed_at_ns, fork.pointee.released_at_ns)
  return now &- since > Int64(sweepSeconds(fork)) &* 1_000_000_000
}

/// Removes what a row's fork had, and gives the table's part of it up.
private func letGo(_ row: GoneRow) {
  let fork = row.fork
  if !row.isFinished {
    log(
      AF_LEVEL_WARNING, "AudioFork ", .bytes(bytes(fork.pointee.id)), " to ", .bytes(bytes(fork.pointee.url)),
      ": the engine did not finish it within ", .number(sweepSeconds(fork)),
      " seconds of the call's end; what it had not sent is lost")
  }
  if let instance = Control.instance {
    let id = bytes(fork.pointee.id)
    engine.forget(id)
    for generation in 0...fork.pointee.generation {
      _ = withCString(instance.ringPath(id, generation)) { unlink($0) }
    }
    _ = withCString(instance.path(id, ".cursor")) { unlink($0) }
    _ = withCString(instance.path(id, ".crashes")) { unlink($0) }
  }
  // Now and not with the channel's datastore, which may go hours later.
  unmap(fork)
  release(fork)
}

/// Applies on_failure = hangup if the engine is silent: not heard from for the length of the ring, or it has not
/// started this fork within that time. With the table's lock held.
private func checkPolicy(_ fork: ForkPointer, _ now: Int64, _ state: inout ModuleState) {
  guard fork.pointee.hangs_up != 0, fork.pointee.is_held == 0 else { return }
  let begun = max(fork.pointee.tap.epoch_ns, fork.pointee.released_at_ns)
  let heard = bytes(fork.pointee.endpoint).isEmpty ? begun : max(begun, engine.heardAt)
  guard now &- heard > Int64(fork.pointee.buffer_seconds) &* 1_000_000_000 else { return }
  state.hangUpIfWanted(
    fork,
    reason: text("engine: no report for ", .number(Int(fork.pointee.buffer_seconds)), " seconds"))
}

/// How long a fork may take from the end of capture to its own end.
private func sweepSeconds(_ fork: ForkPointer) -> Int { Int(fork.pointee.drain_seconds) &+ 5 }
