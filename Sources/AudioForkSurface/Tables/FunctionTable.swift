// SPDX-License-Identifier: MIT
package import AudioForkBytes

/// One key of `AUDIOFORK(id,key)`.
package struct FunctionKey: Sendable {
  package enum Value: Sendable {
    case url, state, direction, format, duration
    case counter(Counter)
    case response, transcript
  }
  package let name: StaticString
  package let value: Value
  /// Whole sentences, no line breaks.
  package let help: StaticString
}

extension FunctionKey {
  /// Every key, in the order of the documentation.
  package static let all: [FunctionKey] =
    [
      FunctionKey(name: "url", value: .url, help: "The URL, without user name, password and other secrets."),
      FunctionKey(name: "filename", value: .url, help: "The same, by its name of old."),
      FunctionKey(
        name: "state", value: .state,
        help:
          """
          starting, connecting, streaming, waiting (for the next attempt), draining or ended; or no-codec: nothing can \
          be captured, because Asterisk has no translator for the channel's codec; or no-engine: no engine runs, or it \
          has said nothing for three seconds.
          """
      ),
      FunctionKey(name: "direction", value: .direction, help: "in, out, both or stereo, as option D."),
      FunctionKey(name: "format", value: .format, help: "The audio format on the wire, as option f."),
      FunctionKey(
        name: "duration", value: .duration,
        help: "Seconds since the fork began, with milliseconds. It stands still when capture has ended."),
    ] + counters + [
      FunctionKey(
        name: "response", value: .response, help: "The server's last text message, as in AUDIOFORK_RESPONSE."),
      FunctionKey(
        name: "transcript", value: .transcript,
        help: "The last final utterance that the server has recognized, as in AUDIOFORK_TRANSCRIPT."),
    ]

  private static var counters: [FunctionKey] {
    Counter.listed.compactMap { counter in
      counter.definition.functionKey.map {
        FunctionKey(name: $0, value: .counter(counter), help: counter.definition.help)
      }
    }
  }

  /// The key with this name, case ignored; nil for another word.
  package static func named(_ name: Bytes) -> FunctionKey? { all.first { equal(name, ignoringCase: $0.name) } }
}

/// The dialplan function `AUDIOFORK(id,key)`.
package enum FunctionDefinition {
  package static let name: StaticString = "AUDIOFORK"
  package static let synopsis: StaticString = "What is to be known about one fork."
  package static let parameters = [
    ParameterDefinition(name: "id", isRequired: true, help: "The fork, as option i of AudioFork has stored it."),
    ParameterDefinition(name: "key", isRequired: true, help: "What to know about it."),
  ]
  package static let description: [StaticString] = [
    """
    Reads one fact about a fork of this or another channel. The numbers are as new as the engine's last word, at most \
    a second old. In state no-engine lag grows with the ring.
    """,
    "An id or a key that does not exist gives an empty value, and a warning in the log.",
  ]
  package static let examples = [
    ExampleDefinition(
      title: "where a fork stands",
      lines: """
        same => n,AudioFork(ws://127.0.0.1:8080/,i(FORK))
        same => n,Verbose(1,${AUDIOFORK(${FORK},state)} after ${AUDIOFORK(${FORK},duration)} s)
        """)
  ]
}
