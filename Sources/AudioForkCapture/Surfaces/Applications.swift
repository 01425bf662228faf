// SPDX-License-Identifier: GPL-2.0-or-later
import AudioForkBytes
import AudioForkSurface
import CAsterisk

/// `AudioFork(url or profile[,options[,command]])`. Runs in the channel's thread, never waits for the network. Returns
/// 0, or -1, which hangs up, where the fork cannot begin and its profile says on_failure = hangup.
@c(af_exec_start)
func execStart(_ channel: OpaquePointer?, _ arguments: UnsafePointer<CChar>?) -> CInt {
  guard let channel else { return 0 }
  var status: StaticString = "SUCCESS"
  var result: CInt = 0
  let given = ForkArguments(separating: bytes(arguments))
  do {
    let id = try startFork(channel, given, from: ForkOrigin(executingOn: channel))
    log(AF_LEVEL_VERBOSE, "AudioFork ", .bytes(id), " started on ", .bytes(bytes(ast_channel_name(channel))))
  } catch {
    status = "FAILED"
    if hangsUp(without: given, on: channel) { result = -1 }
    log(
      AF_LEVEL_WARNING, "AudioFork on ", .bytes(bytes(ast_channel_name(channel))), " was not started: ",
      .bytes(error.message), result == 0 ? "" : "; the call is hung up (on_failure = hangup)")
  }
  setVariable(channel, Bytes(text: "AUDIOFORKSTATUS"), Bytes(text: status))
  return result
}

/// `StopAudioFork([id])`: ends the fork with this id, or every fork of the channel. Returns 0.
@c(af_exec_stop)
func execStop(_ channel: OpaquePointer?, _ arguments: UnsafePointer<CChar>?) -> CInt {
  guard let channel else { return 0 }
  let id = ForkArguments(separating: bytes(arguments)).url
  if stopForks(channel, id: id.isEmpty ? nil : id, from: .channel) == 0 {
    let name = bytes(ast_channel_name(channel))
    if id.isEmpty {
      log(AF_LEVEL_WARNING, "StopAudioFork: ", .bytes(name), " has no fork to stop")
    } else {
      log(
        AF_LEVEL_WARNING, "StopAudioFork: ", .bytes(name), " has no fork with the id ", .bytes(id),
        "; 'audiofork list ", .bytes(name), "' shows those it has")
    }
  }
  return 0
}
