// SPDX-License-Identifier: Apache-2.0
package import AudioForkCore
package import AudioForkOptions

/// `w(audiofork)`: the sub-protocol `audiofork.v1`, in which the server says how far it has come, so that nothing is
/// lost and nothing repeated. Specified in docs/receiving/audiofork-v1.md.
package struct AudioForkDialect: Dialect {
  /// The sub-protocol's name.
  package static let subprotocol = "audiofork.v1"
  /// Bytes in front of the samples of a binary message: the position, most significant byte first.
  package static let positionBytes = 8

  private let encoding: WireEncoding

  package init(encoding: WireEncoding = .linear) { self.encoding = encoding }

  package var subprotocols: [String] { [AudioForkDialect.subprotocol] }
  package var needsSubprotocol: Bool { true }
  package var awaitsResume: Bool { true }
  package var sendsMarkers: Bool { true }
  package var audioHeaderBytes: Int { AudioForkDialect.positionBytes }

  package func requestHeaders(_ stream: StreamDescription) -> [DialectHeader] {
    RawDialect(encoding: encoding).requestHeaders(stream)
  }

  package func opening(_ stream: StreamDescription, position: Position) -> [DialectMessage] {
    let parameters = stream.parameters.map { field in
      (name: String(decoding: field.name, as: UTF8.self), value: JSONValue.string(String(decoding: field.value, as: UTF8.self)))
    }
    var members: [(name: String, value: JSONValue)] = [
      ("type", "start"), ("version", JSONValue(1)), ("id", .string(stream.forkID)),
      ("epoch", JSONValue(stream.epochMilliseconds)), ("channel", .string(stream.channel)),
      ("uniqueid", .string(stream.uniqueID)), ("linkedid", .string(stream.linkedID)),
      ("direction", .string(stream.direction.word.description)), ("format", .string(stream.format)),
      ("rate", JSONValue(stream.rateHertz)), ("channels", JSONValue(stream.channelCount)),
      ("parameters", .object(parameters)), ("acknowledge", .string(stream.acknowledgement.rawValue)),
      ("position", JSONValue(position.frames)),
    ]
    if !stream.secret.isEmpty { members.append(("secret", .string(stream.secret))) }
    return [.text(JSONValue.object(members).encoded)]
  }

  package func encode(_ samples: [Int16], at position: Position, into message: inout [UInt8]) {
    message.removeAll(keepingCapacity: true)
    message.reserveCapacity(AudioForkDialect.positionBytes + samples.count * encoding.bytesPerSample)
    var shift: UInt64 = 64
    while shift > 0 {
      shift &-= 8
      message.append(UInt8(truncatingIfNeeded: position.frames &>> shift))
    }
    encoding.append(samples, to: &message)
  }

  package func message(for marker: StreamMarker) -> DialectMessage? {
    let value: JSONValue
    switch marker {
    case .gap(let gap):
      value = [
        "type": "gap", "direction": AudioForkDialect.word(gap.direction), "position": JSONValue(gap.position.frames),
        "start": JSONValue(gap.start), "samples": JSONValue(gap.count), "reason": .string(gap.reason.word),
      ]
    case .fill(let direction, let position, let frames):
      value = [
        "type": "fill", "direction": AudioForkDialect.word(direction), "position": JSONValue(position.frames),
        "frames": JSONValue(frames),
      ]
    case .mute(let direction, let position, let frames):
      value = [
        "type": "mute", "direction": AudioForkDialect.word(direction), "position": JSONValue(position.frames),
        "frames": JSONValue(frames),
      ]
    case .digit(let direction, let position, let digit, let milliseconds):
      value = [
        "type": "dtmf", "direction": AudioForkDialect.word(direction), "position": JSONValue(position.frames),
        "digit": .string(String(Character(Unicode.Scalar(digit)))), "milliseconds": JSONValue(milliseconds),
      ]
    }
    return .text(value.encoded)
  }

  private static func word(_ direction: Direction) -> JSONValue { direction == .in ? "in" : "out" }

  package func message(text: String) -> DialectMessage {
    let value: JSONValue = ["type": "text", "text": .string(text)]
    return .text(value.encoded)
  }

  package func understand(_ text: String) -> ServerMessage {
    let found: JSONValue?
    do {
      found = try JSONValue.members(of: text, named: ["type", "position", "level", "text"])
    } catch {
      return .violation("a text message that is not JSON")
    }
    guard let value = found, let type = value["type"]?.text else {
      return .violation("a text message that is no object with a type")
    }
    switch type {
    case "resume":
      guard let position = value["position"]?.wholeNumber else { return .violation("a resume without a position") }
      return .resume(Position(position))
    case "ack":
      guard let position = value["position"]?.wholeNumber else { return .violation("an ack without a position") }
      // A level of a later version says at least that it was received.
      let level = value["level"]?.text.flatMap { AcknowledgementLevel(rawValue: $0) } ?? .received
      return .acknowledged(Position(position), level)
    case "text":
      guard let text = value["text"]?.text else { return .violation("a text without text") }
      return .text(text)
    default: return .ignored
    }
  }

  package func ending(_ stream: StreamDescription, position: Position, reason: String) -> [DialectMessage] {
    let stop: JSONValue = ["type": "stop", "position": JSONValue(position.frames), "reason": .string(reason)]
    return [.text(stop.encoded)]
  }
}

extension Gap.Reason {
  /// The word on the wire, in events and in the log.
  package var word: String {
    switch self {
    case .overrun: "overrun"
    case .ahead: "ahead"
    case .undelivered: "undelivered"
    case .unconfirmed: "unconfirmed"
    }
  }
}
