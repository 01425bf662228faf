// SPDX-License-Identifier: Apache-2.0
import AudioForkDialects
import AudioForkMedia
import AudioForkSurface

/// The protocol of Asterisk's channel driver chan_websocket: binary audio both ways, and control messages that are
/// JSON or plain words (`s(control=plain)`).
struct ChanWebSocketSkeleton: DialectSession {
  private static let levels = (low: 800, high: 900)
  private static let frameMilliseconds: UInt64 = 20

  private let stream: StreamDescription
  private let isPlain: Bool
  private var isBuffering = false
  private var isFull = false
  private var direction = ForkDirection.both

  init(_ connection: ConnectionDescription) {
    stream = connection.stream
    isPlain = connection.stream.parameter("control") == "plain"
  }

  static var takesBinary: Bool { true }

  static func prepare(_ request: inout DialectRequest, for connection: ConnectionDescription) {
    request.subprotocols = ["media"]
    request.needsSubprotocol = true
  }

  // MARK: - To the server

  mutating func opened(now: MonotonicTime, into output: inout DialectOutput) {
    let bytes = stream.rateHertz / 50 * stream.encoding.bytesPerSample * stream.channelCount
    guard !isPlain else {
      return output.text(
        "MEDIA_START connection_id:\(stream.forkID) channel:\(stream.channel) channel_id:\(stream.uniqueID) "
          + "format:\(stream.format) optimal_frame_size:\(bytes) ptime:20")
    }
    var message = JSONObject()
    message.add("event", "MEDIA_START")
    message.add("connection_id", stream.forkID)
    message.add("channel", stream.channel)
    message.add("channel_id", stream.uniqueID)
    message.add("format", stream.format)
    message.add("optimal_frame_size", bytes)
    message.add("ptime", 20)
    message.add("channel_variables", stream.parameterObject(leavingOut: ["control"]))
    output.text(message.encoded)
  }

  mutating func audio(_ block: AudioBlock, now: MonotonicTime, into output: inout DialectOutput) {
    // The server wants to speak only.
    guard direction != .out else { return }
    let bytes = stream.encoding.bytes(of: block.samples)
    output.binary(audioBytes: bytes.count) { $0.append(contentsOf: bytes) }
  }

  mutating func marker(_ marker: StreamMarker, into output: inout DialectOutput) {
    guard case .digit(_, _, let digit, _) = marker else { return }
    let text = String(Character(Unicode.Scalar(digit)))
    if isPlain { return output.text("DTMF_END digit:\(text) channel_id:\(stream.uniqueID)") }
    send("DTMF_END", into: &output) { $0.add("digit", text) }
  }

  mutating func text(_ text: String, into output: inout DialectOutput) { output.text(text) }

  mutating func playback(_ report: PlaybackReport, into output: inout DialectOutput) {
    switch report {
    case .high:
      isFull = true
      send("MEDIA_XOFF", into: &output)
    case .low:
      isFull = false
      send("MEDIA_XON", into: &output)
    case .drained: send("QUEUE_DRAINED", into: &output)
    case .markPlayed(let mark):
      let event = mark.hasPrefix(Self.bulk) ? "MEDIA_BUFFERING_COMPLETED" : "MEDIA_MARK_PROCESSED"
      let name = String(mark.dropFirst(Self.bulk.utf8.count))
      if isPlain { return output.text(name.isEmpty ? event : "\(event) \(name)") }
      send(event, into: &output) { $0.add("correlation_id", name) }
    case .status(let milliseconds, let isPaused): status(milliseconds, isPaused, into: &output)
    // A flush is not answered.
    case .markCleared, .cleared, .played: break
    }
  }

  private func status(_ milliseconds: UInt64, _ isPaused: Bool, into output: inout DialectOutput) {
    let fields: [(String, String)] = [
      ("queue_length", "\(milliseconds / Self.frameMilliseconds)"), ("xon_level", "\(Self.levels.low)"),
      ("xoff_level", "\(Self.levels.high)"), ("queue_full", "\(isFull)"), ("bulk_media", "\(isBuffering)"),
      ("media_paused", "\(isPaused)"),
    ]
    if isPlain { return output.text("STATUS " + fields.map { "\($0.0):\($0.1)" }.joined(separator: " ")) }
    // Numbers and truth values, which JSONObject does not write as such.
    let members = fields.map { #","\#($0.0)":\#($0.1)"# }.joined()
    output.text(#"{"event":"STATUS","channel_id":"\#(stream.uniqueID)"\#(members)}"#)
  }

  private func send(
    _ event: String, into output: inout DialectOutput, _ add: (inout JSONObject) -> Void = { _ in }
  ) {
    guard !isPlain else { return output.text(event) }
    var message = JSONObject()
    message.add("event", event)
    message.add("channel_id", stream.uniqueID)
    add(&message)
    output.text(message.encoded)
  }

  private func refuse(_ text: String, into output: inout DialectOutput) {
    if isPlain { return output.text("ERROR \(text)") }
    send("ERROR", into: &output) { $0.add("error_text", text) }
  }

  // MARK: - From the server

  /// In front of a mark's name, so that the two events that a mark may cause are told apart.
  private static let bulk = "b "
  private static let plainMark = "m "

  mutating func received(_ message: ServerMessage, now: MonotonicTime, into output: inout DialectOutput) {
    switch message {
    case .binary(let bytes):
      guard direction != .in else { return }
      output.act(.playback(.play(PlaybackAudio(bytes, encoding: stream.encoding, rateHertz: stream.rateHertz))))
    case .text(let text):
      guard let (command, argument) = command(text) else { return refuse("the command is no JSON", into: &output) }
      obey(command, argument, into: &output)
    }
  }

  /// The command and its argument; both forms are taken, whatever `control` says.
  private func command(_ text: String) -> (String, String)? {
    guard text.hasPrefix("{") else {
      let words = text.split(separator: " ", maxSplits: 1).map(String.init)
      return (words.first ?? "", words.count > 1 ? words[1] : "")
    }
    let found = try? JSONValue.members(of: text, named: ["command", "correlation_id", "direction"])
    guard let value = found.flatMap({ $0 }), let command = value["command"]?.text else { return nil }
    return (command, (value["correlation_id"] ?? value["direction"])?.text ?? "")
  }

  private mutating func obey(_ command: String, _ argument: String, into output: inout DialectOutput) {
    let commandsOfQueue = [
      "START_MEDIA_BUFFERING", "STOP_MEDIA_BUFFERING", "MARK_MEDIA", "FLUSH_MEDIA", "PAUSE_MEDIA", "CONTINUE_MEDIA",
      "REPORT_QUEUE_DRAINED",
    ]
    if direction == .in, commandsOfQueue.contains(command) {
      return refuse("\(command) not supported while media direction is 'in'", into: &output)
    }
    switch command {
    case "ANSWER": break
    case "HANGUP": output.act(.close)
    case "START_MEDIA_BUFFERING": isBuffering = true
    case "STOP_MEDIA_BUFFERING":
      isBuffering = false
      output.act(.playback(.mark(Self.bulk + argument)))
    case "MARK_MEDIA": output.act(.playback(.mark(Self.plainMark + argument)))
    case "FLUSH_MEDIA":
      isBuffering = false
      output.act(.playback(.clear(keepsMarks: false)))
      output.act(.playback(.proceed))
    case "PAUSE_MEDIA": output.act(.playback(.pause))
    case "CONTINUE_MEDIA": output.act(.playback(.proceed))
    case "GET_STATUS": output.act(.playback(.reportStatus))
    case "REPORT_QUEUE_DRAINED": output.act(.playback(.reportDrained))
    case "SET_MEDIA_DIRECTION":
      guard let wanted = [ForkDirection.in, .out, .both].first(where: { $0.word.description == argument }) else {
        return refuse("no direction '\(argument)'", into: &output)
      }
      direction = wanted
      output.act(.playback(.setDirection(wanted)))
    default: refuse("unknown command", into: &output)
    }
  }
}
