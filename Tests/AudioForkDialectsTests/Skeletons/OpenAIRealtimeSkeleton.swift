// SPDX-License-Identifier: Apache-2.0
import AudioForkDialects
import AudioForkMedia
import AudioForkSurface

/// OpenAI's Realtime API: two gates before any audio, and a server that is told how much of its speech was heard
/// when the caller interrupted it.
struct OpenAIRealtimeSkeleton: DialectSession {
  private enum Gate {
    /// Waits for session.created. Can transition to: `configuring`.
    case connecting
    /// session.update was sent. Can transition to: `open`.
    case configuring
    case open
  }

  /// A piece of the server's speech.
  private struct Speech {
    let item: String
    let contentIndex: UInt64
    /// What has come of it, bytes of µ-law at 8 kHz.
    var bytes: UInt64 = 0
    /// What was heard of it.
    var playedMilliseconds: UInt64 = 0
    /// The caller has interrupted it: nothing more of it is played.
    var isInterrupted = false
  }

  private static let partialBytesMax = 4096

  private let stream: StreamDescription
  private var gate = Gate.connecting
  private var speech: Speech?
  private var partial = ""
  private var hasFinished = false
  private var isOutOfQuota = false

  init(_ connection: ConnectionDescription) { stream = connection.stream }

  static func prepare(_ request: inout DialectRequest, for connection: ConnectionDescription) {
    guard let model = connection.stream.parameter("model") else { return }
    let separator = request.target.contains(UInt8(ascii: "?")) ? "&" : "?"
    request.target += Array("\(separator)model=\(model)".utf8)
  }

  static func meaning(of refusal: UpgradeRefusal) -> UpgradeRefusal.Meaning? {
    switch refusal.status {
    case 401, 403: .final
    // Too many requests for now, or no money: the text says which.
    case 429: refusal.text.contains("insufficient_quota") ? .final : .passing
    default: nil
    }
  }

  var isReady: Bool { gate == .open }

  func meaning(ofClose code: UInt16?, reason: String) -> CloseMeaning? { isOutOfQuota ? .refuses : nil }

  // MARK: - To the server

  /// Nothing: the server speaks first.
  mutating func opened(now: MonotonicTime, into output: inout DialectOutput) {}

  mutating func audio(_ block: AudioBlock, now: MonotonicTime, into output: inout DialectOutput) {
    let bytes = SampleEncoding.muLaw.bytes(of: block.samples)
    output.text(audioBytes: bytes.count) {
      $0.append(contentsOf: #"{"type":"input_audio_buffer.append","audio":"\#(base64Text(bytes))"}"#.utf8)
    }
  }

  /// A text is something that the caller has written, and that the server answers.
  mutating func text(_ text: String, into output: inout DialectOutput) {
    var said = ""
    JSONValue.quote(text, into: &said)
    output.text(
      #"{"type":"conversation.item.create","item":{"type":"message","role":"user","#
        + #""content":[{"type":"input_text","text":\#(said)}]}}"#)
    output.text(#"{"type":"response.create"}"#)
  }

  mutating func playback(_ report: PlaybackReport, into output: inout DialectOutput) {
    switch report {
    case .played(let item, let milliseconds):
      guard var current = speech, current.item == item else { return }
      // Never more than has come: the server refuses that.
      current.playedMilliseconds = min(milliseconds, current.bytes / 8)
      speech = current
    case .cleared:
      guard let current = speech, current.isInterrupted else { return }
      var message = JSONObject(type: "conversation.item.truncate")
      message.add("item_id", current.item)
      message.add("content_index", current.contentIndex)
      message.add("audio_end_ms", current.playedMilliseconds)
      output.text(message.encoded)
    default: break
    }
  }

  /// The rest of the audio is to be recognized, although the speaker does not fall silent.
  mutating func finish(at position: Position, reason: String, now: MonotonicTime, into output: inout DialectOutput) {
    hasFinished = true
    output.text(#"{"type":"input_audio_buffer.commit"}"#)
  }

  private func configure(_ output: inout DialectOutput) {
    func object(_ type: String) -> JSONObject { JSONObject(type: type) }
    var transcription = JSONObject()
    transcription.add("model", "gpt-transcribe")
    var input = JSONObject()
    input.add("format", object("audio/pcmu"))
    input.add("turn_detection", object("server_vad"))
    input.add("transcription", transcription)
    var speech = JSONObject()
    speech.add("format", object("audio/pcmu"))
    speech.add("voice", stream.parameter("voice") ?? "marin")
    var audio = JSONObject()
    audio.add("input", input)
    audio.add("output", speech)
    var session = object("realtime")
    session.add("output_modalities", ["audio"])
    session.add("instructions", stream.parameter("instructions") ?? "")
    session.add("audio", audio)
    var message = object("session.update")
    message.add("session", session)
    output.text(message.encoded)
  }

  // MARK: - From the server

  mutating func received(_ message: ServerMessage, now: MonotonicTime, into output: inout DialectOutput) {
    guard case .text(let text) = message, let value = try? JSONValue(parsing: text) else { return }
    switch value["type"]?.text {
    case "session.created":
      guard case .connecting = gate else { return }
      gate = .configuring
      configure(&output)
    case "session.updated": if case .configuring = gate { gate = .open }
    case "response.output_audio.delta": play(value, into: &output)
    case "input_audio_buffer.speech_started": interrupt(into: &output)
    case "conversation.item.input_audio_transcription.delta": recognize(partial: value, into: &output)
    case "conversation.item.input_audio_transcription.completed":
      partial = ""
      if let text = value["transcript"]?.text {
        output.act(.transcript(Transcript(text, speaker: stream.speaker(), isFinal: true)))
      }
      if hasFinished { output.act(.finished) }
    case "response.output_audio_transcript.done":
      if let text = value["transcript"]?.text {
        output.act(.transcript(Transcript(text, speaker: .server, isFinal: true)))
      }
    case "response.function_call_arguments.done": output.act(.call(.toolCall(text)))
    case "error":
      output.act(.complaint(value["error", "message"]?.text ?? "an error without a message"))
      if value["error", "code"]?.text == "insufficient_quota" { isOutOfQuota = true }
      // Nothing was left to recognize.
      if hasFinished, value["error", "code"]?.text == "input_audio_buffer_commit_empty" { output.act(.finished) }
    default: break
    }
  }

  private mutating func play(_ value: JSONValue, into output: inout DialectOutput) {
    guard let item = value["item_id"]?.text, let bytes = value["delta"]?.text.flatMap(base64Bytes), !bytes.isEmpty
    else { return }
    let fresh = Speech(item: item, contentIndex: value["content_index"]?.wholeNumber ?? 0)
    var current = speech?.item == item ? speech ?? fresh : fresh
    if !current.isInterrupted {
      current.bytes += UInt64(bytes.count)
      output.act(.playback(.play(PlaybackAudio(bytes, encoding: .muLaw, rateHertz: 8000, item: item))))
    }
    speech = current
  }

  /// The caller speaks: what was not heard of the server's speech will not be heard.
  private mutating func interrupt(into output: inout DialectOutput) {
    // What was heard to its end is not interrupted.
    guard let current = speech, !current.isInterrupted, current.playedMilliseconds < current.bytes / 8 else { return }
    speech?.isInterrupted = true
    output.act(.playback(.clear(keepsMarks: false)))
  }

  private mutating func recognize(partial value: JSONValue, into output: inout DialectOutput) {
    guard let delta = value["delta"]?.text, partial.utf8.count + delta.utf8.count <= Self.partialBytesMax else {
      return
    }
    partial += delta
    output.act(.transcript(Transcript(partial, speaker: stream.speaker(), isFinal: false)))
  }
}
