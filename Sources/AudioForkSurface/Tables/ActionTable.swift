// SPDX-License-Identifier: MIT

/// A class of AMI privileges, by Asterisk's name.
package enum Privilege: UInt8, Sendable {
  case system, call, reporting

  /// The word in manager.conf.
  package var word: StaticString {
    switch self {
    case .system: "system"
    case .call: "call"
    case .reporting: "reporting"
    }
  }
}

/// One AMI action. The table drives registration, help and documentation.
package struct ActionDefinition: Sendable {
  package let name: StaticString
  /// An account needs one of them.
  package let privileges: [Privilege]
  package let synopsis: StaticString
  /// Besides ActionID.
  package let parameters: [ParameterDefinition]
  /// Paragraphs, without line breaks.
  package let description: [StaticString]
  /// A request that shows its use.
  package let example: StaticString
}

extension ActionDefinition {
  package static let actionID = ParameterDefinition(
    name: "ActionID", help: "A word of the client's own, repeated in everything that answers this request.")

  package static let start = ActionDefinition(
    name: "AudioFork", privileges: [.system], synopsis: "Copy the audio of a call to a WebSocket server.",
    parameters: [
      ParameterDefinition(name: "Channel", isRequired: true, help: "Name of the channel."),
      ParameterDefinition(
        name: "WsServer", isRequired: true,
        help: "Where the audio goes: a ws:// or wss:// URL, or the name of a profile in audiofork.conf."),
      ParameterDefinition(name: "Options", help: "As the options of the dialplan application AudioFork."),
      ParameterDefinition(
        name: "Command",
        help: "Shell command that is run when the fork has finished, as the application's third argument."),
    ],
    description: [
      "Does what the dialplan application AudioFork does, in mid-call. The reply has the new fork's id in AudioForkID.",
      "It can run a command and therefore needs the privilege system.",
    ],
    example: """
      Action: AudioFork
      ActionID: 1
      Channel: PJSIP/100-00000001
      WsServer: ws://127.0.0.1:8080/calls
      Options: D(both)
      """)

  package static let stop = ActionDefinition(
    name: "StopAudioFork", privileges: [.system, .call], synopsis: "End the audio forks of a channel.",
    parameters: [
      ParameterDefinition(name: "Channel", isRequired: true, help: "Name of the channel."),
      ParameterDefinition(name: "AudioForkID", help: "The fork to end. Without it every fork of the channel ends."),
    ],
    description: [
      """
      Ends one fork, or every fork of the channel. What was captured until now is still delivered. A channel without \
      such a fork is an error.
      """
    ],
    example: """
      Action: StopAudioFork
      ActionID: 6
      Channel: PJSIP/100-00000001
      """)

  package static let mute = ActionDefinition(
    name: "AudioForkMute", privileges: [.system, .call],
    synopsis: "Mute the audio forks of a channel, or let them be heard again.",
    parameters: [
      ParameterDefinition(name: "Channel", isRequired: true, help: "Name of the channel."),
      ParameterDefinition(
        name: "Direction", isRequired: true, help: "read for what the party says, write for what it hears, or both."),
      ParameterDefinition(name: "State", isRequired: true, help: "on or 1 to mute, off or 0 to let it be heard again."),
      ParameterDefinition(
        name: "AudioForkID", help: "The fork to mute. Without it every fork of the channel is muted."),
    ],
    description: [
      "Muted audio is captured as zeros: it never leaves Asterisk's memory. The stream goes on in time.",
      """
      Digits of a muted direction are not captured either. In doubt a digit counts as muted: one whose press began \
      before the mute, and one that ends less than half a second and twice its length after it. A digit that Asterisk \
      keeps for later, because the dialplan is busy, counts when Asterisk delivers it.
      """,
    ],
    example: """
      Action: AudioForkMute
      ActionID: 4
      Channel: PJSIP/100-00000001
      Direction: read
      State: on
      """)

  package static let sendText = ActionDefinition(
    name: "AudioForkSendText", privileges: [.system, .call], synopsis: "Send a text message to a fork's server.",
    parameters: [
      ParameterDefinition(name: "AudioForkID", isRequired: true, help: "The fork."),
      ParameterDefinition(
        name: "Channel", help: "Name of the channel; where it is given, the fork has to be one of its."),
      ParameterDefinition(
        name: "Text", isRequired: true,
        help:
          """
          The text, UTF-8, one line that is not empty. It is sent as it stands: a backslash sequence such as those of \
          events does not become a line end. Asterisk takes lines of at most 1024 bytes from an AMI client.
          """
      ),
    ],
    description: [
      """
      Sends one WebSocket text message on the fork's connection. It is sent now or not at all: a fork that has no \
      connection at the moment is an error. Success means that the text is on its way, not that the server has it.
      """
    ],
    example: """
      Action: AudioForkSendText
      ActionID: 5
      AudioForkID: af-0123456789ab-1
      Text: {"language":"en"}
      """)

  package static let list = ActionDefinition(
    name: "AudioForks", privileges: [.system, .call, .reporting], synopsis: "List the audio forks.",
    parameters: [
      ParameterDefinition(name: "Channel", help: "Name of a channel: only its forks are listed.")
    ],
    description: [
      "Answers with one event AudioForkList for each fork, the oldest first, and AudioForksComplete at the end."
    ],
    example: """
      Action: AudioForks
      ActionID: 3
      """)

  /// Every action, in the order of the documentation.
  package static let all: [ActionDefinition] = [start, stop, mute, sendText, list]

  /// The event for each fork in the answer to AudioForks, and the one at its end.
  package static let listEvent: StaticString = "AudioForkList"
  package static let listEndEvent: StaticString = "AudioForksComplete"
}
