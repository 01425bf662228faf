// SPDX-License-Identifier: Apache-2.0
package import AudioForkMedia
internal import AudioForkSurface

/// `w(audiofork)`: the sub-protocol `audiofork.v1`, in which the server says how far it has come, so that nothing is
/// lost and nothing repeated. Specified in docs/receiving/audiofork-v1.md.
package struct AudioForkDialect: DialectSession {
  /// The sub-protocol's name.
  package static let subprotocol = "audiofork.v1"
  /// Bytes in front of the samples of a binary message: the position, most significant byte first.
  package static let positionBytes = 8

  private let connection: ConnectionDescription
  private let encoding: SampleEncoding
  /// The server has said how far it has come.
  package private(set) var isReady = false

  package init(_ connection: ConnectionDescription) {
    self.connection = connection
    encoding = connection.stream.encoding
  }

  package static func prepare(_ request: inout DialectRequest, for connection: ConnectionDescription) {
    request.subprotocols = [subprotocol]
    request.needsSubprotocol = true
    request.headers = RawDialect.describe(connection.stream)
  }

  package mutating func opened(now: MonotonicTime, into output: inout DialectOutput) {
    let stream = connection.stream
    var parameters = JSONObject()
    for field in stream.parameters {
      parameters.add(String(decoding: field.name, as: UTF8.self), String(decoding: field.value, as: UTF8.self))
    }
    var start = JSONObject(type: "start")
    start.add("version", 1)
    start.add("id", stream.forkID)
    start.add("epoch", stream.epochMilliseconds)
    start.add("channel", stream.channel)
    start.add("uniqueid", stream.uniqueID)
    start.add("linkedid", stream.linkedID)
    start.add("direction", stream.direction.word.description)
    start.add("format", stream.format)
    start.add("rate", stream.rateHertz)
    start.add("channels", stream.channelCount)
    start.add("parameters", parameters)
    start.add("acknowledge", stream.acknowledgement.rawValue)
    start.add("position", connection.position.frames)
    if !stream.secret.isEmpty { start.add("secret", stream.secret) }
    output.text(start.encoded)
  }

  package mutating func audio(_ block: AudioBlock, now: MonotonicTime, into output: inout DialectOutput) {
    let bytes = block.samples.count &* encoding.bytesPerSample
    output.binary(audioBytes: bytes) { message in
      message.reserveCapacity(AudioForkDialect.positionBytes &+ bytes)
      var shift: UInt64 = 64
      while shift > 0 {
        shift &-= 8
        message.append(UInt8(truncatingIfNeeded: block.position.frames &>> shift))
      }
      encoding.append(block.samples, to: &message)
    }
  }

  package mutating func marker(_ marker: StreamMarker, into output: inout DialectOutput) {
    output.text(AudioForkDialect.message(for: marker).encoded)
  }

  private static func message(for marker: StreamMarker) -> JSONObject {
    switch marker {
    case .gap(let gap):
      var message = AudioForkDialect.marker("gap", gap.direction, gap.position)
      message.add("start", gap.start)
      message.add("samples", gap.count)
      message.add("reason", gap.reason.word)
      return message
    case .fill(let direction, let position, let frames):
      var message = AudioForkDialect.marker("fill", direction, position)
      message.add("frames", frames)
      return message
    case .mute(let direction, let position, let frames):
      var message = AudioForkDialect.marker("mute", direction, position)
      message.add("frames", frames)
      return message
    case .digit(let direction, let position, let digit, let milliseconds):
      var message = AudioForkDialect.marker("dtmf", direction, position)
      message.add("digit", String(Character(Unicode.Scalar(digit))))
      message.add("milliseconds", milliseconds)
      return message
    }
  }

  /// The members that every marker begins with.
  private static func marker(_ type: String, _ direction: Direction, _ position: Position) -> JSONObject {
    var message = JSONObject(type: type)
    message.add("direction", direction == .in ? "in" : "out")
    message.add("position", position.frames)
    return message
  }

  package mutating func text(_ text: String, into output: inout DialectOutput) {
    var message = JSONObject(type: "text")
    message.add("text", text)
    output.text(message.encoded)
  }

  package mutating func received(_ message: ServerMessage, now: MonotonicTime, into output: inout DialectOutput) {
    guard case .text(let text) = message, let action = understand(text) else { return }
    output.act(action)
  }

  /// What a text of the server asks for; nil: nothing, it is of a later version.
  private mutating func understand(_ text: String) -> ServerAction? {
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
      guard !isReady else { return .violation("a second resume") }
      isReady = true
      return .resume(Position(position))
    case "ack":
      guard let position = value["position"]?.wholeNumber else { return .violation("an ack without a position") }
      // A level of a later version says at least that it was received.
      let level = value["level"]?.text.flatMap { AcknowledgementLevel(rawValue: $0) } ?? .received
      return .acknowledged(Position(position), level)
    case "text":
      guard let text = value["text"]?.text else { return .violation("a text without text") }
      return .text(text)
    default: return nil
    }
  }

  package mutating func finish(
    at position: Position, reason: String, now: MonotonicTime, into output: inout DialectOutput
  ) {
    var stop = JSONObject(type: "stop")
    stop.add("position", position.frames)
    stop.add("reason", reason)
    output.text(stop.encoded)
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
