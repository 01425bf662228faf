// SPDX-License-Identifier: GPL-2.0-or-later
import AudioForkBytes
import AudioForkSurface
import CAsterisk

/// Plays one beep on the channel, which must not be locked. In the channel's thread it is over when this returns.
func beep(_ channel: OpaquePointer, from thread: CallingThread) {
  switch thread {
  case .channel: _ = ast_stream_and_wait(channel, beepSound.utf8Pointer, noDigits.utf8Pointer)
  case .other:
    guard af_beep(channel) != 0 else { return }
    af_channel_lock(channel)
    let name = bytes(ast_channel_name(channel))
    af_channel_unlock(channel)
    log(
      AF_LEVEL_NOTICE, "AudioFork: no beep on ", .bytes(name), ", something else is being played to it")
  }
}

/// Starts the beeps of option B. Returns their id.
func startBeeps(_ channel: OpaquePointer, every seconds: Int) throws(CommandError) -> Bytes {
  guard ast_module_check(beepModule.utf8Pointer) != 0 else {
    throw CommandError(
      message: Bytes(
        text: "option B needs func_periodic_hook.so; load it with 'module load func_periodic_hook.so' or leave B out"))
  }
  let id = withUnsafeTemporaryAllocation(of: CChar.self, capacity: 64) { buffer -> Bytes? in
    guard let base = buffer.baseAddress,
      af_beeps_start(channel, UInt32(truncatingIfNeeded: seconds), base, buffer.count) == 0
    else { return nil }
    return bytes(base)
  }
  guard let id else {
    throw CommandError(message: Bytes(text: "func_periodic_hook.so refused to play the beeps of option B"))
  }
  return id
}

/// Ends the beeps with this id; none where it is empty. The channel must not be locked.
func endBeeps(_ channel: OpaquePointer, _ id: Bytes) {
  if !id.isEmpty { withCString(id) { _ = af_beeps_stop(channel, $0) } }
}

/// Takes the id of the fork's beeps, so that they are ended once. With the table's lock held.
func takeBeeps(_ fork: ForkPointer) -> Bytes {
  let id = bytes(fork.pointee.beep_id)
  free(fork.pointee.beep_id)
  fork.pointee.beep_id = nil
  return id
}

private let beepSound: StaticString = "beep"
private let noDigits: StaticString = ""
private let beepModule: StaticString = "func_periodic_hook.so"
