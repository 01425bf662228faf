// SPDX-License-Identifier: GPL-2.0-or-later
import AudioForkBytes
import AudioForkSurface
import AudioForkTap
import CAsterisk

// Asterisk hands audiohooks signed linear, and passes a codec without a translator on as it is. Then it calls no hook,
// and as long as there is a hook it logs a WARNING for each frame. So the hook of a fork that can capture nothing is
// taken off its channel, and put back when there is something to capture.

/// Why a fork captures nothing, or less than it should; empty: it captures all. With the table's lock held.
func codecReason(_ fork: ForkPointer) -> Bytes {
  guard let problem = fork.pointee.codec_problem, fork.pointee.ended == 0, !isClosed(fork) else { return [] }
  return text("codec: ", .bytes(bytes(problem)))
}

/// Whether a live fork can capture nothing at the moment. With the table's lock held.
func capturesNothing(_ fork: ForkPointer) -> Bool {
  fork.pointee.hook_off != 0 && fork.pointee.ended == 0 && !isClosed(fork)
}

/// Log line and beeps that follow a codec change. Carried out after the channel is unlocked.
struct CaptureChange {
  fileprivate var level = AF_LEVEL_VERBOSE
  fileprivate var line = Bytes()
  fileprivate var endedBeeps = Bytes()
  fileprivate var beepSeconds = 0

  /// The channel is referenced and not locked.
  func carryOut(on channel: OpaquePointer, _ id: Bytes) {
    log(level, .bytes(line))
    endBeeps(channel, endedBeeps)
    guard beepSeconds > 0 else { return }
    do throws(CommandError) {
      let beeps = try startBeeps(channel, every: beepSeconds)
      let isLate = withState { state in
        guard let fork = state.forks.find(id), fork.pointee.ended == 0, !isClosed(fork) else { return true }
        fork.pointee.beep_id = duplicate(beeps)
        return false
      }
      if isLate { endBeeps(channel, beeps) }
    } catch {
      log(AF_LEVEL_WARNING, "AudioFork ", .bytes(id), ": ", .bytes(error.message))
    }
  }
}

/// How many changes of what can be captured a fork tells an administrator. The peer chooses codecs, so that it could
/// fill the log; events and `audiofork show fork` tell each change.
private let codecLinesMax: UInt8 = 8

/// Takes the fork's hook off where nothing that it wants can be captured, puts it back where something can, and tells
/// about a change. `untranslated` is that of `formats`. Returns nil where nothing changes.
///
/// The channel is locked and carries the fork. Only the thread that starts the fork and, once the fork is in the table,
/// the jobs thread may call it.
func settle(
  _ fork: ForkPointer, on channel: OpaquePointer, _ formats: RawFormats, _ untranslated: UInt8
) -> CaptureChange? {
  let wanted = UInt8(truncatingIfNeeded: fork.pointee.tap.directions & 3)
  let isNothing = wanted & ~untranslated == 0
  let wasNothing = fork.pointee.hook_off != 0
  if isNothing, !wasNothing { takeOff(fork, channel) }
  if !isNothing, wasNothing, !putBack(fork, channel) { return nil }

  let missing = wanted & untranslated
  let problem = formats.problem(of: missing)
  var change = CaptureChange()
  let isOther = withState { state in
    let before = bytes(fork.pointee.codec_problem)
    let isOther = isNothing != wasNothing || before != problem || fork.pointee.untranslated != untranslated
    fork.pointee.untranslated = untranslated
    if problem.isEmpty {
      free(fork.pointee.codec_problem)
      fork.pointee.codec_problem = nil
    } else {
      replace(&fork.pointee.codec_problem, with: problem)
    }
    guard isOther, fork.pointee.ended == 0 else { return false }
    if isNothing != wasNothing || before != problem {
      state.jobs.add(.raise(ManagerEvent(.state, ForkRow(fork, now: af_now_ns()))))
      // The jobs thread calls this too. Without the wake it would sleep until the next look before it takes this job.
      Jobs.wake()
    }
    if isNothing {
      change.endedBeeps = takeBeeps(fork)
      state.hangUpIfWanted(fork, reason: codecReason(fork))
    } else if fork.pointee.beep_id == nil {
      change.beepSeconds = Int(fork.pointee.beep_seconds)
    }
    if fork.pointee.codec_lines < codecLinesMax {
      fork.pointee.codec_lines &+= 1
      change.level = untranslated == 0 ? AF_LEVEL_NOTICE : AF_LEVEL_WARNING
    }
    return true
  }
  guard isOther else { return nil }
  change.line = text(
    "AudioFork ", .bytes(bytes(fork.pointee.id)), " to ", .bytes(bytes(fork.pointee.url)), " on ",
    .bytes(bytes(ast_channel_name(channel))),
    .bytes(finding(isNothing: isNothing, missing, untranslated, formats.problem(of: untranslated))))
  return change
}

private func finding(isNothing: Bool, _ missing: UInt8, _ untranslated: UInt8, _ problem: Bytes) -> Bytes {
  if untranslated == 0 {
    return Bytes(text: " captures audio again: the channel has a codec that can be translated")
  }
  if isNothing {
    return text(
      " captures nothing: ", .bytes(problem),
      ". Capture begins once that is loaded or the channel uses another codec")
  }
  return text(
    missing == 0
      ? " captures what it should, but Asterisk cannot translate direction " : " does not capture direction ",
    untranslated & 1 != 0 ? "in" : "out", ": ", .bytes(problem),
    ". Asterisk logs a warning for each frame of that direction")
}

/// Takes the hook out of the channel's list. The channel is locked.
private func takeOff(_ fork: ForkPointer, _ channel: OpaquePointer) {
  // No callback runs now, and none comes any more.
  ast_audiohook_remove(channel, &fork.pointee.hook)
  withState { _ in
    fork.pointee.hook_off = 1
    fork.pointee.looks_missed = 0
  }
}

/// Takes the hook of a fork that has ended off its channel, and has the control thread end the capture. The channel is
/// not locked. Only the jobs thread may call it.
func takeOffEnded(_ id: Bytes, _ channel: OpaquePointer) {
  af_channel_lock(channel)
  // As long as the channel is locked, a fork that it carries lives.
  if let datastore = withCString(id, { ast_channel_datastore_find(channel, af_datastore_type(), $0) }),
    let fork = datastore.pointee.data?.assumingMemoryBound(to: af_fork.self)
  {
    // With a frame that came first, the hook has left by itself.
    let isOn = withState { _ in fork.pointee.ended != 0 && fork.pointee.hook_off == 0 && !isClosed(fork) }
    if isOn { takeOff(fork, channel) }
    withState { $0.forks.mustLook(fork) }
  }
  af_channel_unlock(channel)
  Control.wake()
}

/// Puts the hook back at the end of the channel's list. Returns false where the fork or the call is over. The channel
/// is locked.
private func putBack(_ fork: ForkPointer, _ channel: OpaquePointer) -> Bool {
  let mayReturn = withState { _ in
    // The control thread closes the tap of a fork that has ended while its hook is off: then nothing may be captured.
    guard fork.pointee.ended == 0, !isClosed(fork) else { return false }
    fork.pointee.hook_off = 0
    // A removed hook has status DONE, which ast_audiohook_update_status, and so attach, leaves alone: reset it.
    fork.pointee.hook.status = AST_AUDIOHOOK_STATUS_NEW
    return true
  }
  guard mayReturn else { return false }
  forgetTiming(&fork.pointee.tap)
  guard ast_audiohook_attach(channel, &fork.pointee.hook) == 0 else {
    withState { _ in fork.pointee.hook_off = 1 }
    return false
  }
  withState { _ in
    // If the fork ended meanwhile, attach has set the hook to running: shut it down.
    if fork.pointee.hook_ending != 0 {
      ast_audiohook_update_status(&fork.pointee.hook, AST_AUDIOHOOK_STATUS_SHUTDOWN)
    }
  }
  return true
}
