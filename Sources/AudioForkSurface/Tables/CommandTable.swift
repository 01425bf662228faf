// SPDX-License-Identifier: MIT
package import AudioForkBytes

/// One command of Asterisk's CLI. The table drives registration, usage texts and documentation.
package struct CommandDefinition: Sendable {
  /// The words that Asterisk finds it by.
  package let words: StaticString
  /// What follows them.
  package let arguments: StaticString
  /// One line, at most 60 characters.
  package let summary: StaticString
  /// Whole sentences, no line breaks.
  package let help: StaticString
}

extension CommandDefinition {
  package static let start = CommandDefinition(
    words: "audiofork start", arguments: "<channel> <url>[,options[,command]]",
    summary: "Fork a channel's audio to a WebSocket server",
    help:
      """
      Does what the dialplan application AudioFork does, in mid-call, and prints the new fork's id. The rest of the \
      line is the application's arguments, blanks included. It takes a command only with commands = yes in \
      audiofork.conf.
      """
  )
  package static let stop = CommandDefinition(
    words: "audiofork stop", arguments: "<channel> [id]", summary: "End a channel's audio forks",
    help: "Ends the fork with this id, or every fork of the channel. What was captured until now is still delivered.")
  package static let list = CommandDefinition(
    words: "audiofork list", arguments: "[channel]", summary: "List audio forks",
    help: "Lists the forks of the channel, or all of them: id, channel, direction, state, URL.")
  package static let mute = CommandDefinition(
    words: "audiofork mute", arguments: "<channel> read|write|both on|off [id]",
    summary: "Mute a channel's audio forks",
    help:
      """
      Mutes the fork with this id, or every fork of the channel, or lets it be heard again: read is what the party \
      says, write what it hears. Muted audio is captured as zeros, muted digits not at all.
      """
  )
  package static let showForks = CommandDefinition(
    words: "audiofork show forks", arguments: "", summary: "Show how the audio forks are doing",
    help:
      """
      One line for each fork: id, channel, URL, state, duration in seconds, lag in milliseconds, reconnects, lost \
      samples. State no-engine: no engine runs, or it has said nothing for three seconds; lag grows meanwhile.
      """
  )
  package static let showFork = CommandDefinition(
    words: "audiofork show fork", arguments: "<id>", summary: "Show all about one audio fork",
    help:
      """
      Everything that is known about one fork, a line for each fact. The last 100 forks that have ended are still \
      known. Lag may exceed Buffer without a loss, where one direction is silent; Lost tells what was lost.
      """
  )
  package static let showEngine = CommandDefinition(
    words: "audiofork show engine", arguments: "", summary: "Show how the audio forks' engine is doing",
    help:
      """
      The process that talks to the servers: version, process id, uptime, restarts, event loops, CPU, memory, forks; \
      how many of the forks' rings are locked into memory; and what it may still do.
      """
  )
  package static let restartEngine = CommandDefinition(
    words: "audiofork engine restart", arguments: "", summary: "Replace the audio forks' engine",
    help:
      """
      Replaces the engine, for an upgrade for instance: the old one saves its place, and the new one continues from \
      there without a gap. Calls are not touched. An engine that does not leave within three seconds is killed. The \
      command waits for the new engine and prints its process, or why there is none.
      """
  )

  /// Every command, in the order of the documentation.
  package static let all = [start, stop, list, mute, showForks, showFork, showEngine, restartEngine]

  /// The usage text as Asterisk wants it.
  package var usage: Bytes {
    var text = Bytes(text: "Usage: ")
    text.append(words)
    if arguments.utf8CodeUnitCount > 0 { text.append(" ") }
    text.append(arguments)
    text.append("\n")
    text.append(wrapped: Bytes(text: help), indent: 7)
    return text
  }
}
