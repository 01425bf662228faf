// SPDX-License-Identifier: MIT

/// What a field of an event carries.
package enum EventFieldKind: Sendable, Equatable {
  case channel, uniqueID, linkedID, forkID, server, direction
  case format, verification
  case state, reason
  case position, confirmed, captured, delivered, fill, gaps, lost, reconnects, bytes, lag, undelivered, duration
  case gapDirection, gapStart, gapCount, gapPosition
  case response, responseLength, responseDropped
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
  package static let all: [EventDefinition] = [start, state, response, gap, mute, stop]

  package static let start = EventDefinition(
    name: "AudioForkStart", help: "A fork has been started.",
    fields: common + [
      EventField(name: "Format", kind: .format, help: "Audio format on the wire, by Asterisk's name."),
      EventField(
        name: "Verification", kind: .verification,
        help: "none: no URL has TLS. verified: the server's certificate and name are. insecure: they are not."),
    ])

  package static let state = EventDefinition(
    name: "AudioForkState", help: "The fork's delivery has come into another state, or what it can capture has changed.",
    fields: common + [
      EventField(name: "State", kind: .state, help: "connecting, streaming, waiting or draining; or no-codec: nothing can be captured, because Asterisk has no translator for the channel's codec."),
      EventField(
        name: "Reason", kind: .reason,
        help: "Why it is waiting, or which translator is missing: a word, a colon, an explanation. Else empty."),
    ] + counters + [
      EventField(name: "Lag", kind: .lag, help: "Milliseconds of captured audio not yet sent.")
    ])

  package static let response = EventDefinition(
    name: "AudioForkResponse", help: "The server has sent a text message.",
    fields: common + [
      EventField(
        name: "Response", kind: .response,
        help: "The text, at most 64 KiB of it. A backslash is written \\\\, a carriage return \\r, a line feed \\n, a tab \\t, another control character as a backslash and three octal digits."
      ),
      EventField(name: "Length", kind: .responseLength, help: "Bytes of the whole text as the server sent it."),
      EventField(
        name: "Dropped", kind: .responseDropped,
        help: "Texts of this fork's server that were dropped so far, because more than 50 came in a second, or more than 500 from all servers together."),
    ])

  package static let gap = EventDefinition(
    name: "AudioForkGap", help: "Captured samples will be missing from the stream.",
    fields: common + [
      EventField(name: "GapDirection", kind: .gapDirection, help: "in or out."),
      EventField(
        name: "Start", kind: .gapStart, help: "Index of the first missing sample among the captured ones of its direction."),
      EventField(name: "Count", kind: .gapCount, help: "How many samples are missing."),
      EventField(name: "Position", kind: .gapPosition, help: "Where in the stream, in sample frames at the wire rate."),
      EventField(
        name: "Reason", kind: .reason,
        help: "overrun: the buffer was full, the server away or slow for too long. ahead: the audio was more than two seconds ahead of its time. undelivered: the fork has ended before their delivery was confirmed. unconfirmed: they were sent before a break, and are not sent again (replay = none); they may have arrived."
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
        help: "Why: a word (done, server, unreachable, http, drain, forgotten, engine and others), a colon, an explanation.")
    ] + counters + [
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

  private static let counters: [EventField] = [
    EventField(name: "Position", kind: .position, help: "Sample frames sent at the wire rate, fill included."),
    EventField(name: "Confirmed", kind: .confirmed, help: "Position up to which delivery is confirmed."),
    EventField(name: "Captured", kind: .captured, help: "Captured samples, summed over the directions."),
    EventField(
      name: "Delivered", kind: .delivered,
      help: "Of these, the samples whose delivery is confirmed. In AudioForkStop, Delivered and Lost together are Captured."),
    EventField(name: "Fill", kind: .fill, help: "Samples of fill, summed over the directions: with two directions up to twice the position."),
    EventField(name: "Gaps", kind: .gaps, help: "How many gaps there are."),
    EventField(name: "Lost", kind: .lost, help: "Captured samples in gaps."),
    EventField(name: "Reconnects", kind: .reconnects, help: "Connections after the first."),
    EventField(name: "Bytes", kind: .bytes, help: "Audio bytes written to sockets, repeats included."),
    EventField(name: "Undelivered", kind: .undelivered, help: "Milliseconds of captured audio that are not confirmed."),
  ]
}

/// Text from outside as it stands in an event and on the CLI: nothing in it can begin a new line or steer a terminal. A
/// backslash is doubled; control characters, also C1 ones, and bytes that are no UTF-8 are written as in C, in octal
/// where C has no letter for them.
package func escaped(_ text: Bytes) -> Bytes {
  var escaped = Bytes()
  escaped.reserveCapacity(text.count)
  var index = 0
  while index < text.count {
    let (count, isPrintable) = character(in: text, at: index)
    for byte in slice(text, index, index &+ count) {
      switch byte {
      case UInt8(ascii: "\\"): escaped.append("\\\\")
      case 9: escaped.append("\\t")
      case 10: escaped.append("\\n")
      case 13: escaped.append("\\r")
      case _ where !isPrintable:
        escaped.append(UInt8(ascii: "\\"))
        escaped.append(48 &+ byte &>> 6)
        escaped.append(48 &+ (byte &>> 3 & 7))
        escaped.append(48 &+ (byte & 7))
      default: escaped.append(byte)
      }
    }
    index &+= count
  }
  return escaped
}

/// The text's beginning of at most `limit` bytes that does not end inside a UTF-8 character.
package func cut(_ text: Bytes, to limit: Int) -> Bytes {
  guard text.count > limit else { return text }
  var end = max(limit, 0)
  while end > 0, text[end] & 0xC0 == 0x80 { end &-= 1 }
  return slice(text, 0, end)
}
