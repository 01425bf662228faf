// SPDX-License-Identifier: MIT

/// One header of the event AudioForkList, which is also a line of the CLI's `audiofork show fork`.
package struct ForkFact: Sendable {
  package enum Value: Sendable {
    case channel, uniqueID, linkedID, id, url, endpoint, direction, format, state, reason, muted, duration, buffer
    case counter(Counter)
    case confirmation, response, transcript
  }
  package let name: StaticString
  package let value: Value
  package let help: StaticString
}

extension ForkFact {
  /// Every fact, in its order.
  package static let all: [ForkFact] =
    facts + counters + [
      ForkFact(name: "Response", value: .response, help: "The server's last text message, at most 4000 bytes of it."),
      ForkFact(
        name: "Transcript", value: .transcript,
        help: "The last final utterance that the server has recognized, at most 4000 bytes of it."),
    ]

  /// The counters, and behind the confirmed position what it is based on.
  private static var counters: [ForkFact] {
    var facts = [ForkFact]()
    for counter in Counter.listed {
      let definition = counter.definition
      facts.append(ForkFact(name: definition.name, value: .counter(counter), help: definition.help))
      if counter == .confirmed { facts.append(confirmation) }
    }
    return facts
  }

  private static let confirmation = ForkFact(
    name: "Confirmation", value: .confirmation,
    help:
      """
      What Confirmed is based on: tcp (the kernel of the server's machine), pong (the server's WebSocket stack), app \
      (the server's word, dialect audiofork), or none before the first connection.
      """
  )

  private static let facts: [ForkFact] = [
    ForkFact(name: "Channel", value: .channel, help: "Name of the channel."),
    ForkFact(name: "Uniqueid", value: .uniqueID, help: "The channel's unique id."),
    ForkFact(
      name: "Linkedid", value: .linkedID, help: "The unique id of the oldest channel that this one is linked with."),
    ForkFact(name: "AudioForkID", value: .id, help: "The fork's id."),
    ForkFact(name: "WsServer", value: .url, help: "The URL, without user name, password and other secrets."),
    ForkFact(
      name: "Endpoint", value: .endpoint,
      help: "The URL in use: of several, the one that was tried last; after a redirect, where it led."),
    ForkFact(name: "Direction", value: .direction, help: "in, out, both or stereo."),
    ForkFact(name: "Format", value: .format, help: "The audio format on the wire."),
    ForkFact(
      name: "State", value: .state,
      help:
        """
        starting, connecting, streaming, waiting, draining or ended; or no-codec: nothing can be captured, because \
        Asterisk has no translator for the channel's codec; or no-engine: no engine runs, or it has said nothing for \
        three seconds. Captured, Lag and Undelivered are then computed from the ring; all other numbers are the \
        engine's last report.
        """
    ),
    ForkFact(
      name: "Reason", value: .reason,
      help:
        """
        Why it is waiting, or has ended, or has no engine; or which translator is missing, for both directions or for \
        one that is not captured.
        """
    ),
    ForkFact(name: "Muted", value: .muted, help: "no, read, write or both."),
    ForkFact(name: "Duration", value: .duration, help: "Seconds since the fork began, with milliseconds."),
    ForkFact(
      name: "Buffer", value: .buffer,
      help:
        """
        Seconds of audio that the fork's ring holds at the rate that is captured now, with frames of 20 ms: what the \
        settings ask for or more, unless there was no room for a larger ring when the rate rose.
        """
    ),
  ]
}
