// SPDX-License-Identifier: MIT

/// A parameter of an application, function or action, or a header of an event.
package struct ParameterDefinition: Sendable {
  package let name: StaticString
  package let isRequired: Bool
  /// Whole sentences, no line breaks.
  package let help: StaticString

  package init(name: StaticString, isRequired: Bool = false, help: StaticString) {
    self.name = name
    self.isRequired = isRequired
    self.help = help
  }
}

/// Dialplan lines that show how something is used.
package struct ExampleDefinition: Sendable {
  /// What it shows, without a full stop.
  package let title: StaticString
  package let lines: StaticString

  package init(title: StaticString, lines: StaticString) {
    self.title = title
    self.lines = lines
  }
}

/// One dialplan application. The tables of this file and its neighbors drive the module's own help texts, the XML that
/// Asterisk shows, and the reference pages.
package struct ApplicationDefinition: Sendable {
  package let name: StaticString
  package let synopsis: StaticString
  package let parameters: [ParameterDefinition]
  /// Whether it takes the options of `OptionDefinition`.
  package var takesOptions = false
  /// Paragraphs, without line breaks.
  package let description: [StaticString]
  /// Channel variables that it sets.
  package var variables = [ParameterDefinition]()
  package let examples: [ExampleDefinition]
}

extension ApplicationDefinition {
  package static let start = ApplicationDefinition(
    name: "AudioFork", synopsis: "Copy the audio of this call to a WebSocket server.",
    parameters: [
      ParameterDefinition(
        name: "url", isRequired: true,
        help:
          """
          Where the audio goes: ws://host[:port][/path] or wss://host[:port][/path], or the name of a profile in \
          audiofork.conf.
          """
      ),
      ParameterDefinition(name: "options", help: "Letters, each with its argument in parentheses where it takes one."),
      ParameterDefinition(
        name: "command",
        help:
          """
          Shell command that is run when the fork has finished. ^{X} becomes ${X}; variables are evaluated when the \
          fork starts. No caller's words may stand in it, not by ^{X} either: it finds them in its environment, as \
          AUDIOFORK_CALLERID_NUM and AUDIOFORK_CALLERID_NAME. Whether a command is accepted says commands in \
          audiofork.conf.
          """
      ),
    ],
    takesOptions: true,
    description: [
      """
      Copies the audio of the channel to a WebSocket server while the call goes on: for live transcription, voice \
      bots, analytics, compliance.
      """,
      """
      It returns at once and never waits for the network. A server that is away, slow or restarting gets what it \
      missed from a buffer, in order. What did not fit is counted and reported. The fork ends with the call, by \
      StopAudioFork, or when the server closes the connection with 1000.
      """,
      "A channel may have several forks; each has its own id.",
      """
      A caller's words in ${...} are unsafe in any argument: Asterisk substitutes them before AudioFork reads its \
      arguments, so they can become an option, a header or a shell command. ^{NAME}, ^{NAME:offset:length} and \
      ^{FUNC(args)} are evaluated after the arguments have been parsed, and their values are only text. They are safe \
      in the first two arguments, and in no shell command.
      """,
    ],
    variables: [
      ParameterDefinition(
        name: "AUDIOFORKSTATUS",
        help:
          """
          SUCCESS; or FAILED where arguments or resources are wrong, and then the log says what and what to do. \
          Network trouble is not a failure.
          """
      ),
      ParameterDefinition(name: "AUDIOFORK_WSSERVER", help: "The URL."),
      ParameterDefinition(
        name: "AUDIOFORK_RESPONSE",
        help:
          """
          The last text message of the server: at most 4000 bytes of it, control characters as blanks. A server's \
          words are a stranger's: keep them out of System, of Exec, ExecIf and Eval, and of another AudioFork's \
          arguments.
          """
      ),
      ParameterDefinition(
        name: "AUDIOFORK_TRANSCRIPT",
        help:
          """
          The last final utterance that a server has recognized, of either speaker, where the fork's dialect carries \
          transcripts. As long and as untrusted as AUDIOFORK_RESPONSE, which stays as it is.
          """
      ),
      ParameterDefinition(
        name: "AUDIOFORK_TRANSCRIPT_IN", help: "As AUDIOFORK_TRANSCRIPT, only what the party says."),
      ParameterDefinition(
        name: "AUDIOFORK_TRANSCRIPT_OUT", help: "As AUDIOFORK_TRANSCRIPT, only what the party hears."),
    ],
    examples: [
      ExampleDefinition(
        title: "both directions of a call",
        lines: "same => n,AudioFork(ws://127.0.0.1:8080/calls/${UNIQUEID},D(both))"),
      ExampleDefinition(
        title: "what the party says, at 16 kHz, the fork's id in FORK",
        lines: "same => n,AudioFork(ws://127.0.0.1:8080/in,D(in)f(slin16)i(FORK))"),
    ])

  package static let stop = ApplicationDefinition(
    name: "StopAudioFork", synopsis: "End the audio forks of this channel.",
    parameters: [
      ParameterDefinition(
        name: "id", help: "The fork to end, as option i has stored it. Without it every fork of the channel ends.")
    ],
    description: [
      "Ends the fork with this id, or every fork of the channel. What was captured until now is still delivered."
    ],
    examples: [
      ExampleDefinition(title: "one of several forks", lines: "same => n,StopAudioFork(${FORK})"),
      ExampleDefinition(title: "every fork of the channel", lines: "same => n,StopAudioFork()"),
    ])

  package static let all = [start, stop]
}

/// Longest value of AUDIOFORK_RESPONSE, AUDIOFORK_TRANSCRIPT and the variable of option x, bytes. The help says the
/// number too.
/// Asterisk evaluates an expression in 4096 bytes, whose beginning may be a function's name.
package let responseVariableMax = 4000

/// One variable in the environment of a fork's command.
package struct CommandVariable: Sendable {
  package let name: StaticString
  /// Whole sentences, no line breaks.
  package let help: StaticString

  /// Every one, in the order in which the module sets them.
  package static let all: [CommandVariable] = [
    CommandVariable(name: "AUDIOFORK_ID", help: "The fork's id."),
    CommandVariable(name: "AUDIOFORK_URL", help: "The first URL, without user name, password and other secrets."),
    CommandVariable(name: "AUDIOFORK_REASON", help: "Why the fork ended. It may repeat a server's words."),
    CommandVariable(name: "AUDIOFORK_CHANNEL", help: "The channel's name, as last seen."),
    CommandVariable(
      name: "AUDIOFORK_CALLERID_NUM",
      help: "The caller's number when the fork began, empty where unknown. A caller chooses it."),
    CommandVariable(
      name: "AUDIOFORK_CALLERID_NAME",
      help: "The caller's name when the fork began, empty where unknown. A caller chooses it."),
  ]
}
