// SPDX-License-Identifier: GPL-2.0-or-later
import CAsterisk

#if canImport(AudioForkOptions)
import AudioForkOptions
#endif

/// `AudioFork(url or profile[,options[,command]])`. Runs in the channel's thread, never waits for the network, returns 0.
@c(af_exec_start)
func execStart(_ channel: OpaquePointer?, _ arguments: UnsafePointer<CChar>?) -> CInt {
  guard let channel else { return 0 }
  var status: StaticString = "SUCCESS"
  do {
    let id = try startFork(channel, ForkArguments(arguments), from: .channel)
    log(AF_LEVEL_VERBOSE, "AudioFork ", .bytes(id), " started on ", .bytes(bytes(ast_channel_name(channel))))
  } catch {
    status = "FAILED"
    log(
      AF_LEVEL_WARNING, "AudioFork on ", .bytes(bytes(ast_channel_name(channel))), " was not started: ",
      .bytes(error.message))
  }
  setVariable(channel, Bytes(text: "AUDIOFORKSTATUS"), Bytes(text: status))
  return 0
}

/// `StopAudioFork([id])`: ends the fork with this id, or every fork of the channel. Returns 0.
@c(af_exec_stop)
func execStop(_ channel: OpaquePointer?, _ arguments: UnsafePointer<CChar>?) -> CInt {
  guard let channel else { return 0 }
  let id = ForkArguments(arguments).url
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

/// Names, synopses and descriptions of the applications.
enum Applications {
  static let start: StaticString = "AudioFork"
  static let stop: StaticString = "StopAudioFork"
  static let startSynopsis: StaticString = "Copy the audio of this call to a WebSocket server."
  static let stopSynopsis: StaticString = "End the audio forks of this channel."
  static let stopDescription: StaticString =
    "StopAudioFork([id])\n\nEnds the fork with this id, or every fork of the channel.\n"

  /// The description of AudioFork, its options taken from the grammar's table.
  static func startDescription() -> Bytes {
    var text = Bytes(
      text: """
        AudioFork(url[,options])

        Copies the channel's audio to the WebSocket server at url (ws://host[:port][/path])
        while the call goes on. It never waits for the network. AUDIOFORKSTATUS is set to
        SUCCESS, or to FAILED where arguments or resources are wrong; AUDIOFORK_WSSERVER
        to the URL.

        Options:

        """)
    for definition in OptionDefinition.all {
      text.append("  ")
      text.append(definition.form)
      text.append(": ")
      text.append(definition.help)
      text.append("\n")
    }
    text.append("\nExample: AudioFork(ws://127.0.0.1:8080/,D(both))\n")
    return text
  }
}
