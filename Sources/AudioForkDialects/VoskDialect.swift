// SPDX-License-Identifier: Apache-2.0
package import AudioForkMedia
internal import AudioForkSurface

/// `w(vosk)`: vosk-server, and recognizers that speak like it. A configuration text, binary messages of samples, and one
/// text in answer to each of them: a partial result, or a whole utterance. So the answers acknowledge the audio. At the
/// end the server is told so, and gives its last words.
///
/// Source: websocket/asr_server.py of vosk-server.
package struct VoskDialect: DialectSession {
  /// What the server compares with, to the byte; without the blanks it fails.
  private static let endOfFile = #"{"eof" : 1}"#
  /// Longest answer whose words are read, bytes: an utterance has some hundred words of 70 bytes.
  private static let detailedBytesMax = 262_144

  private let connection: ConnectionDescription
  private let rate: SampleRate
  /// Where each binary message ends that the server has not answered, in order. As much as may be in flight.
  private var unanswered = Fifo<Position>()
  private var hasFinished = false

  package init(_ connection: ConnectionDescription) {
    self.connection = connection
    rate = SampleRate(hertz: connection.stream.rateHertz)
  }

  package static func prepare(_ request: inout DialectRequest, for connection: ConnectionDescription) {
    RawDialect.prepare(&request, for: connection)
    request.subprotocols = []
  }

  package mutating func opened(now: MonotonicTime, into output: inout DialectOutput) {
    output.text(#"{"config":{"sample_rate":\#(rate.hertz)}}"#)
  }

  package mutating func audio(_ block: AudioBlock, now: MonotonicTime, into output: inout DialectOutput) {
    unanswered.storage.append(block.end)
    output.binary(audioBytes: block.samples.count &* 2) { message in
      SampleEncoding.linear.append(block.samples, to: &message)
    }
  }

  package mutating func text(_ text: String, into output: inout DialectOutput) { output.text(text) }

  package mutating func received(_ message: ServerMessage, now: MonotonicTime, into output: inout DialectOutput) {
    guard case .text(let text) = message else { return }
    if let transcript = transcript(text) { output.act(.transcript(transcript)) }
    // Any answer says that the audio has come: what is in it is of no importance for that.
    if let end = unanswered.first {
      unanswered.dropFirst(1)
      output.act(.acknowledged(end, .received))
    } else if hasFinished {
      output.act(.finished)
    }
  }

  package mutating func finish(
    at position: Position, reason: String, now: MonotonicTime, into output: inout DialectOutput
  ) {
    hasFinished = true
    output.text(VoskDialect.endOfFile)
  }

  // MARK: - Answers

  /// The words of an answer; nil where there are none.
  private func transcript(_ text: String) -> Transcript? {
    let value =
      text.utf8.count <= VoskDialect.detailedBytesMax
      ? try? JSONValue(parsing: text) : try? JSONValue.members(of: text, named: ["text", "partial"])
    guard let value else { return nil }
    if let partial = value["partial"]?.text { return partial.isEmpty ? nil : Transcript(partial, isFinal: false) }
    // With max_alternatives the server gives several; the first one is the likeliest.
    var utterance = value
    if case .array(let alternatives)? = value["alternatives"], let first = alternatives.first { utterance = first }
    guard let said = utterance["text"]?.text, !said.isEmpty else { return nil }
    var transcript = Transcript(said, isFinal: true)
    guard case .array(let words)? = utterance["result"] else { return transcript }
    transcript.start = words.first?["start"]?.number.flatMap { position(atSeconds: $0) }
    transcript.end = words.last?["end"]?.number.flatMap { position(atSeconds: $0) }
    let confidences = words.compactMap { $0["conf"]?.number }
    if !confidences.isEmpty {
      transcript.confidence = min(max(confidences.reduce(0, +) / Double(confidences.count), 0), 1)
    }
    return transcript
  }

  /// Seconds since this connection's first sample, as a place in the stream.
  private func position(atSeconds seconds: Double) -> Position? {
    let frames = (seconds * Double(rate.hertz)).rounded()
    guard let frames = UInt64(exactly: frames), frames < 1 << 48 else { return nil }
    return connection.position + frames
  }
}
