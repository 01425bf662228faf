// SPDX-License-Identifier: Apache-2.0
package import AudioForkMedia
internal import AudioForkSurface

/// `w(vosk)`: vosk-server, and recognizers that speak like it. A configuration text, binary messages of samples, and
/// one text in answer to each of them: a partial result, or a whole utterance. So the answers acknowledge the audio. At
/// the end the server is told so, and gives its last words.
///
/// Source: websocket/asr_server.py of vosk-server.
package struct VoskDialect: DialectSession {
  /// What the server compares with, to the byte; without the blanks it fails.
  private static let endOfFile = #"{"eof" : 1}"#
  private static let reset = #"{"reset" : 1}"#
  /// Longest answer whose words are read, bytes: an utterance has some hundred words of 70 bytes.
  private static let detailedBytesMax = 65_536
  /// More answers than audio in flight can wait for.
  private static let unansweredMax = 300

  private let connection: ConnectionDescription
  private let rate: SampleRate
  /// Where each binary message ends that the server has not answered, in order. As much as may be in flight.
  private var unanswered = Fifo<Position>()
  /// The end of what was sent.
  private var sent: Position
  private var hasFinished = false

  package init(_ connection: ConnectionDescription) {
    self.connection = connection
    rate = SampleRate(hertz: connection.stream.rateHertz)
    sent = connection.position
  }

  package static func prepare(_ request: inout DialectRequest, for connection: ConnectionDescription) {
    RawDialect.prepare(&request, for: connection)
    request.subprotocols = []
  }

  package mutating func opened(now: MonotonicTime, into output: inout DialectOutput) {
    output.text(#"{"config":{"sample_rate":\#(rate.hertz)}}"#)
  }

  package mutating func audio(_ block: AudioBlock, now: MonotonicTime, into output: inout DialectOutput) {
    sent = block.end
    unanswered.storage.append(sent)
    output.binary(audioBytes: block.samples.count &* 2) { message in
      SampleEncoding.linear.append(block.samples, to: &message)
    }
  }

  /// The server takes every text that it does not know for audio, and fails.
  package mutating func text(_ text: String, into output: inout DialectOutput) {
    guard !hasFinished else { return output.act(.notSent("the recognizer was told that the stream has ended")) }
    if text == VoskDialect.reset {
      guard unanswered.count < VoskDialect.unansweredMax else {
        return output.act(.notSent("the recognizer does not keep up"))
      }
      // Answered like a message, and acknowledges nothing new.
      unanswered.storage.append(sent)
    } else {
      guard let value = try? JSONValue(parsing: text), value["config"] != nil else {
        return output.act(.notSent(#"a recognizer takes {"config":{...}} and {"reset" : 1} only"#))
      }
    }
    output.text(text)
  }

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
    guard let outer = try? JSONValue.members(of: text, named: ["text", "partial"]) else { return nil }
    if let partial = outer["partial"]?.text { return partial.isEmpty ? nil : Transcript(partial, isFinal: false) }
    // Silence; with max_alternatives there is no text beside them.
    if outer["text"]?.text == "" { return nil }
    let value = text.utf8.count <= VoskDialect.detailedBytesMax ? (try? JSONValue(parsing: text)) ?? outer : outer
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
