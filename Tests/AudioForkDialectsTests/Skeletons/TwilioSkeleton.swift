// SPDX-License-Identifier: Apache-2.0
import AudioForkDialects
import AudioForkMedia
import AudioForkSurface

/// Twilio Media Streams: base64 µ-law in JSON, a message for each track, and counters that are strings.
struct TwilioSkeleton: DialectSession {
  private static let tokenParameter = "auth_token"

  private let stream: StreamDescription
  /// Timestamps count from here: to the server, a new connection is a new stream.
  private let base: Position
  private let tracks: [Direction]
  private var sequence: UInt64 = 0
  private var chunks: [UInt64]
  private let ids: (account: String, call: String, stream: String)

  init(_ connection: ConnectionDescription) {
    stream = connection.stream
    base = connection.position
    tracks =
      switch connection.stream.direction {
      case .in, .both: [.in]
      case .out: [.out]
      case .stereo: [.in, .out]
      }
    chunks = [UInt64](repeating: 0, count: tracks.count)
    // The same on each connection of the fork.
    ids = (
      "AC\(Self.digits(of: "account"))", "CA\(Self.digits(of: stream.uniqueID))", "MZ\(Self.digits(of: stream.forkID))"
    )
  }

  /// 32 hexadecimal digits out of a text (FNV-1a, twice).
  private static func digits(of text: String) -> String {
    [UInt64(0xCBF2_9CE4_8422_2325), 0x8422_2325_CBF2_9CE4].map { basis in
      let hash = text.utf8.reduce(basis) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
      let digits = String(hash, radix: 16)
      return String(repeating: "0", count: 16 - digits.utf8.count) + digits
    }.joined()
  }

  static func prepare(_ request: inout DialectRequest, for connection: ConnectionDescription) {
    guard let token = connection.stream.parameter(tokenParameter) else { return }
    request.headers = [DialectHeader("X-Twilio-Signature", TwilioSignature.of(request.url, token: token))]
  }

  // MARK: - To the server

  mutating func opened(now: MonotonicTime, into output: inout DialectOutput) {
    output.text(#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#)
    var format = JSONObject()
    format.add("encoding", "audio/x-mulaw")
    format.add("sampleRate", stream.rateHertz)
    format.add("channels", 1)
    var start = JSONObject()
    start.add("accountSid", ids.account)
    start.add("streamSid", ids.stream)
    start.add("callSid", ids.call)
    start.add("tracks", tracks.map(\.track))
    start.add("mediaFormat", format)
    start.add("customParameters", stream.parameterObject(leavingOut: [Self.tokenParameter]))
    var message = message("start")
    message.add("start", start)
    message.add("streamSid", ids.stream)
    output.text(message.encoded)
  }

  mutating func audio(_ block: AudioBlock, now: MonotonicTime, into output: inout DialectOutput) {
    let milliseconds = (block.position - base) * 1000 / UInt64(stream.rateHertz)
    for (index, track) in tracks.enumerated() {
      let bytes = SampleEncoding.muLaw.bytes(of: block.track(index))
      chunks[index] += 1
      var media = JSONObject()
      media.add("track", track.track)
      media.add("chunk", String(chunks[index]))
      media.add("timestamp", String(milliseconds))
      media.add("payload", base64Text(bytes))
      var message = message("media")
      message.add("media", media)
      message.add("streamSid", ids.stream)
      output.text(audioBytes: bytes.count) { $0.append(contentsOf: message.encoded.utf8) }
    }
  }

  mutating func marker(_ marker: StreamMarker, into output: inout DialectOutput) {
    // What is missing shows in the timestamps, and there is no word for the rest.
    guard case .digit(let direction, _, let digit, _) = marker else { return }
    var pressed = JSONObject()
    pressed.add("track", "\(direction.track)_track")
    pressed.add("digit", String(Character(Unicode.Scalar(digit))))
    send("dtmf", pressed, into: &output)
  }

  mutating func text(_ text: String, into output: inout DialectOutput) { output.text(text) }

  mutating func playback(_ report: PlaybackReport, into output: inout DialectOutput) {
    switch report {
    // Twilio sends the marks of what was cleared too.
    case .markPlayed(let name), .markCleared(let name):
      var mark = JSONObject()
      mark.add("name", name)
      send("mark", mark, into: &output)
    default: break
    }
  }

  mutating func finish(at position: Position, reason: String, now: MonotonicTime, into output: inout DialectOutput) {
    var stop = JSONObject()
    stop.add("accountSid", ids.account)
    stop.add("callSid", ids.call)
    send("stop", stop, into: &output)
  }

  private mutating func send(_ event: String, _ object: JSONObject, into output: inout DialectOutput) {
    var message = message(event)
    message.add("streamSid", ids.stream)
    message.add(event, object)
    output.text(message.encoded)
  }

  private mutating func message(_ event: String) -> JSONObject {
    sequence += 1
    var message = JSONObject()
    message.add("event", event)
    message.add("sequenceNumber", String(sequence))
    return message
  }

  // MARK: - From the server

  mutating func received(_ message: ServerMessage, now: MonotonicTime, into output: inout DialectOutput) {
    guard case .text(let text) = message, let value = try? JSONValue(parsing: text) else { return }
    switch value["event"]?.text {
    case "media":
      guard let bytes = value["media", "payload"]?.text.flatMap(base64Bytes), !bytes.isEmpty else { return }
      output.act(.playback(.play(PlaybackAudio(bytes, encoding: .muLaw, rateHertz: 8000))))
    case "mark":
      if let name = value["mark", "name"]?.text { output.act(.playback(.mark(name))) }
    case "clear": output.act(.playback(.clear(keepsMarks: true)))
    default: break
    }
  }
}
