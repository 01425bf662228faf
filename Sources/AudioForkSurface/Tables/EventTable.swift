// SPDX-License-Identifier: MIT
internal import AudioForkBytes

/// What a field of an event carries.
package enum EventFieldKind: Sendable, Equatable {
  case channel, uniqueID, linkedID, forkID, server, direction
  case format, verification
  case state, reason
  case counter(Counter)
  case duration
  case gapDirection, gapStart, gapCount, gapPosition
  case response, responseLength
  case speaker, transcript, transcriptLength, isFinal, transcriptStart, transcriptEnd, confidence
  case muteDirection, muteState
}

/// One field of an event.
package struct EventField: Sendable {
  package let name: StaticString
  package let kind: EventFieldKind
  /// Help: whole sentences, no line breaks.
  package let help: StaticString
}

/// One AMI event (class `call`). The table drives what is raised, help and documentation.
package struct EventDefinition: Sendable {
  package let name: StaticString
  package let help: StaticString
  /// All of its fields, in the order in which they are sent.
  package let fields: [EventField]
}

extension EventDefinition {
  /// Every event, in the order of the documentation.
  package static let all: [EventDefinition] = [start, state, response, transcript, gap, mute, stop]

  package static let start = EventDefinition(
    name: "AudioForkStart", help: "A fork has been started.",
    fields: common + [
      EventField(name: "Format", kind: .format, help: "Audio format on the wire, by Asterisk's name."),
      EventField(
        name: "Verification", kind: .verification,
        help: "none: no URL has TLS. verified: the server's certificate and name are. insecure: they are not."),
    ])

  package static let state = EventDefinition(
    name: "AudioForkState",
    help: "The fork's delivery has come into another state, or what it can capture has changed.",
    fields: common + [
      EventField(
        name: "State", kind: .state,
        help:
          """
          connecting, streaming, waiting or draining; or no-codec: nothing can be captured, because Asterisk has no \
          translator for the channel's codec.
          """
      ),
      EventField(
        name: "Reason", kind: .reason,
        help: "Why it is waiting, or which translator is missing: a word, a colon, an explanation. Else empty."),
    ] + counters(.state))

  package static let response = EventDefinition(
    name: "AudioForkResponse", help: "The server has sent a text message.",
    fields: common + [
      EventField(
        name: "Response", kind: .response,
        help:
          """
          The text, at most 64 KiB of it. A backslash is written \\\\, a carriage return \\r, a line feed \\n, a tab \
          \\t, another control character as a backslash and three octal digits.
          """
      ),
      EventField(name: "Length", kind: .responseLength, help: "Bytes of the whole text as the server sent it."),
    ] + counters(.response))

  package static let transcript = EventDefinition(
    name: "AudioForkTranscript",
    help: "The server has recognized words. Raised where the fork's dialect carries transcripts.",
    fields: common + [
      EventField(
        name: "Speaker", kind: .speaker,
        help:
          """
          in: the party. out: whom the party hears. both: the server hears both and does not tell them apart. server: \
          the server itself.
          """
      ),
      EventField(
        name: "Text", kind: .transcript,
        help: "The words, at most 64 KiB of them, with control characters as in Response of AudioForkResponse."),
      EventField(name: "Length", kind: .transcriptLength, help: "Bytes of the whole text."),
      EventField(
        name: "Final", kind: .isFinal,
        help:
          """
          yes: the words no longer change. no: the speaker's next event replaces them. Such events are left out first \
          when the server sends too many.
          """
      ),
      EventField(
        name: "Start", kind: .transcriptStart,
        help:
          """
          Where the first word begins, in seconds of the stream with milliseconds. With fill these are seconds since \
          the fork began. Empty: the server does not say.
          """
      ),
      EventField(name: "End", kind: .transcriptEnd, help: "Where the last word ends, counted as Start."),
      EventField(
        name: "Confidence", kind: .confidence,
        help: "How sure the server is, 0.00 to 1.00. Empty: the server does not say."),
    ] + counters(.transcript))

  package static let gap = EventDefinition(
    name: "AudioForkGap", help: "Captured samples will be missing from the stream.",
    fields: common + [
      EventField(name: "GapDirection", kind: .gapDirection, help: "in or out."),
      EventField(
        name: "Start", kind: .gapStart,
        help: "Index of the first missing sample among the captured ones of its direction."),
      EventField(name: "Count", kind: .gapCount, help: "How many samples are missing."),
      EventField(name: "Position", kind: .gapPosition, help: "Where in the stream, in sample frames at the wire rate."),
      EventField(
        name: "Reason", kind: .reason,
        help:
          """
          overrun: the buffer was full, the server away or slow for too long. ahead: the audio was more than two \
          seconds ahead of its time. undelivered: the fork has ended before their delivery was confirmed. unconfirmed: \
          they were sent before a break, and are not sent again (replay = none); they may have arrived.
          """
      ),
    ])

  package static let mute = EventDefinition(
    name: "AudioForkMute", help: "A direction of the fork has been muted or is heard again.",
    fields: common + [
      EventField(
        name: "MuteDirection", kind: .muteDirection, help: "read: what the party says. write: what it hears. Or both."),
      EventField(name: "State", kind: .muteState, help: "1: muted. 0: heard again."),
    ])

  package static let stop = EventDefinition(
    name: "AudioForkStop", help: "The fork has ended; nothing more will be delivered.",
    fields: common + [
      EventField(
        name: "Reason", kind: .reason,
        help:
          "Why: a word (done, server, unreachable, http, drain, forgotten, engine and others), a colon, an explanation."
      )
    ] + counters(.stop) + [
      EventField(name: "Duration", kind: .duration, help: "Whole seconds from the fork's start to the end of capture.")
    ])

  private static let common: [EventField] = [
    EventField(name: "Channel", kind: .channel, help: "The channel's name."),
    EventField(name: "Uniqueid", kind: .uniqueID, help: "The channel's unique id."),
    EventField(name: "Linkedid", kind: .linkedID, help: "The channel's linked id."),
    EventField(name: "AudioForkID", kind: .forkID, help: "The fork's id."),
    EventField(name: "WsServer", kind: .server, help: "The first URL, without user information and other secrets."),
    EventField(name: "Direction", kind: .direction, help: "in, out, both or stereo."),
  ]

  private static func counters(_ event: CounterEvents) -> [EventField] {
    Counter.carried(by: event).map { counter in
      EventField(name: counter.definition.name, kind: .counter(counter), help: counter.definition.help)
    }
  }
}
