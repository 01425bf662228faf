// SPDX-License-Identifier: Apache-2.0
import AudioForkDialects
import AudioForkMedia
import AudioForkSurface

/// Deepgram's live recognition: a query that describes the audio, a text that keeps a silent connection alive, and
/// last words behind the end of the audio.
struct DeepgramSkeleton: DialectSession {
  /// The server closes after 10 s without anything.
  private static let silenceMax = Nanoseconds.seconds(4)

  private let stream: StreamDescription
  private let base: Position
  private var sentAt: MonotonicTime?
  private var hasFinished = false

  init(_ connection: ConnectionDescription) {
    stream = connection.stream
    base = connection.position
  }

  static func prepare(_ request: inout DialectRequest, for connection: ConnectionDescription) {
    let stream = connection.stream
    let encoding = ["ulaw": "mulaw", "alaw": "alaw"][stream.format] ?? "linear16"
    var query = "?encoding=\(encoding)&sample_rate=\(stream.rateHertz)&channels=\(stream.channelCount)"
    if stream.channelCount > 1 { query += "&multichannel=true" }
    request.target += Array(query.utf8)
    if let key = stream.parameter("api_key") { request.headers = [DialectHeader("Authorization", "Token \(key)")] }
  }

  /// A key that is wrong stays wrong.
  static func meaning(of refusal: UpgradeRefusal) -> UpgradeRefusal.Meaning? {
    refusal.status == 401 || refusal.status == 402 ? .final : nil
  }

  /// Nothing is sent behind the end.
  var deadline: MonotonicTime? { hasFinished ? nil : sentAt.map { $0 + Self.silenceMax } }

  mutating func opened(now: MonotonicTime, into output: inout DialectOutput) { sentAt = now }

  mutating func audio(_ block: AudioBlock, now: MonotonicTime, into output: inout DialectOutput) {
    sentAt = now
    let bytes = stream.encoding.bytes(of: block.samples)
    output.binary(audioBytes: bytes.count) { $0.append(contentsOf: bytes) }
  }

  mutating func text(_ text: String, into output: inout DialectOutput) { output.text(text) }

  mutating func timeout(now: MonotonicTime, into output: inout DialectOutput) {
    sentAt = now
    output.text(#"{"type":"KeepAlive"}"#)
  }

  mutating func finish(at position: Position, reason: String, now: MonotonicTime, into output: inout DialectOutput) {
    hasFinished = true
    output.text(#"{"type":"CloseStream"}"#)
  }

  func meaning(ofClose code: UInt16?, reason: String) -> CloseMeaning? {
    // "NET-0001": the server has heard nothing for too long, and takes a new connection.
    code == 1011 && reason.hasPrefix("NET-0001") ? .breaks : nil
  }

  mutating func received(_ message: ServerMessage, now: MonotonicTime, into output: inout DialectOutput) {
    guard case .text(let text) = message, let value = try? JSONValue(parsing: text) else { return }
    switch value["type"]?.text {
    case "Results": result(value, into: &output)
    case "Metadata": if hasFinished { output.act(.finished) }
    case "Error", "Warning":
      output.act(.complaint(value["description"]?.text ?? "an error without a description"))
    default: break
    }
  }

  private func result(_ value: JSONValue, into output: inout DialectOutput) {
    guard case .array(let alternatives)? = value["channel", "alternatives"], let best = alternatives.first,
      let text = best["transcript"]?.text, !text.isEmpty
    else { return }
    var channel = 0
    if case .array(let place)? = value["channel_index"] { channel = Int(clamping: place.first?.wholeNumber ?? 0) }
    let start = value["start"]?.decimal.flatMap(position)
    let end = value["duration"]?.decimal.flatMap { length in
      value["start"]?.decimal.flatMap { position(seconds: $0 + length) }
    }
    output.act(
      .transcript(
        Transcript(
          text, speaker: stream.speaker(channel: channel), isFinal: value["is_final"]?.isTrue == true, start: start,
          end: end, confidence: best["confidence"]?.decimal)))
  }

  /// Where in the stream so many seconds of the connection are; nil for a number that no server means.
  private func position(seconds: Double) -> Position? {
    UInt64(exactly: (seconds * Double(stream.rateHertz)).rounded()).map { base + $0 }
  }
}
