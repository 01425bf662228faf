// SPDX-License-Identifier: GPL-2.0-or-later
import AudioForkBytes
import AudioForkLink
import AudioForkSurface
import AudioForkTap
import CAsterisk

extension ModuleState {
  /// Ends a fork for this reason: raises its event, ends its beeps and runs its command, as jobs. Call
  /// `Jobs.wake` afterwards. `isAccounted`: the engine has reported what became of the fork's audio.
  mutating func endFork(_ fork: ForkPointer, reason: Bytes, isAccounted: Bool) {
    forks.markEnded(fork)
    closeAccounts(fork, isAccounted: isAccounted)
    if !hasPrefix(reason, ignoringCase: serverCloseReason) { hangUpIfWanted(fork, reason: reason) }
    fork.state = .ended
    replace(&fork.pointee.reason, with: reason)
    let command = ForkCommand(
      line: bytes(fork.pointee.command), callerNumber: bytes(fork.pointee.caller_number),
      callerName: bytes(fork.pointee.caller_name))
    if !command.line.isEmpty { forks.addCommand() }
    jobs.add(.end(ManagerEvent(.stop, ForkRow(fork, now: af_now_ns())), command: command, beeps: takeBeeps(fork)))
  }

  /// Hangs the call of a failed fork up, once, if `on_failure = hangup`. Does nothing if the call is over or the fork
  /// was stopped.
  mutating func hangUpIfWanted(_ fork: ForkPointer, reason: Bytes) {
    guard fork.pointee.hangs_up != 0, !isClosed(fork) else { return }
    fork.pointee.hangs_up = 0
    jobs.add(.hangUp(ForkRow(fork, now: af_now_ns()), reason: reason))
    Jobs.wake()
  }

  /// Completes the counters of a fork that the engine has not ended itself, or whose ring it could not read. The tap
  /// knows what was captured. What was not confirmed counts as lost, with a gap for each direction.
  private mutating func closeAccounts(_ fork: ForkPointer, isAccounted: Bool) {
    guard let ring = fork.pointee.tap.ring else { return }
    let capturedIn = af_word_load_relaxed(af_ring_captured(ring, 0))
    let capturedOut = af_word_load_relaxed(af_ring_captured(ring, 1))
    let reported = fork.counters.pointee
    guard !isAccounted || reported[.captured] == 0 || reported[.delivered] &+ reported[.lost] != reported[.captured]
    else { return }
    let captured = max(capturedIn &+ capturedOut, reported[.captured])
    fork.counters.pointee[.captured] = captured
    fork.counters.pointee[.lost] = captured &- min(reported[.delivered], captured)
    raiseLastGap(fork, "in", reported[.accountedIn], capturedIn)
    raiseLastGap(fork, "out", reported[.accountedOut], capturedOut)
  }

  private mutating func raiseLastGap(
    _ fork: ForkPointer, _ direction: StaticString, _ accounted: UInt64, _ captured: UInt64
  ) {
    guard captured > accounted else { return }
    fork.counters.pointee[.gaps] &+= 1
    var event = ManagerEvent(.gap, ForkRow(fork, now: af_now_ns()))
    event.gapDirection = Bytes(text: direction)
    event.gapStart = Int(truncatingIfNeeded: accounted)
    event.gapCount = Int(truncatingIfNeeded: captured &- accounted)
    event.gapPosition = Int(truncatingIfNeeded: fork.counters.pointee[.confirmed])
    event.reason = Bytes(text: undeliveredGapReason)
    jobs.add(.raise(event))
  }
}
