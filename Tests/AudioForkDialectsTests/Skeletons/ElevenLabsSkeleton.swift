// SPDX-License-Identifier: Apache-2.0
import AudioForkDialects
import AudioForkMedia
import AudioForkResampling
import AudioForkSurface

/// ElevenLabs' agents: a first text, a gate at which the server decides both formats, pings in JSON that are to be
/// answered at once, and audio with event ids, of which an interruption makes the older ones void.
struct ElevenLabsSkeleton: DialectSession {
  /// A format by the server's name for it, `ulaw_8000` or `pcm_16000`.
  private struct Format {
    let encoding: SampleEncoding
    let rateHertz: Int

    init?(_ name: String?) {
      let parts = (name ?? "").split(separator: "_")
      guard parts.count == 2, let rate = Int(parts[1]), (8000...48_000).contains(rate) else { return nil }
      switch parts[0] {
      case "ulaw": encoding = .muLaw
      case "pcm": encoding = .linear
      default: return nil
      }
      rateHertz = rate
    }
  }

  private let stream: StreamDescription
  private var formats: (input: Format, output: Format)?
  /// Makes the stream's rate the server's; nil where they are the same.
  private var converter: SpeexConverter?
  /// Audio up to this event is void.
  private var interruptedEvent: UInt64 = 0

  init(_ connection: ConnectionDescription) { stream = connection.stream }

  static func prepare(_ request: inout DialectRequest, for connection: ConnectionDescription) {
    guard let agent = connection.stream.parameter("agent_id") else { return }
    request.target += Array("?agent_id=\(agent)".utf8)
  }

  var isReady: Bool { formats != nil }

  // MARK: - To the server

  mutating func opened(now: MonotonicTime, into output: inout DialectOutput) {
    var message = JSONObject(type: "conversation_initiation_client_data")
    message.add("dynamic_variables", stream.parameterObject(leavingOut: ["agent_id"]))
    output.text(message.encoded)
  }

  mutating func audio(_ block: AudioBlock, now: MonotonicTime, into output: inout DialectOutput) {
    guard let format = formats?.input else { return }
    var samples = block.samples
    if var converter {
      samples = []
      converter.convert(block.samples, count: block.samples.count, into: &samples)
      self.converter = converter
    }
    let bytes = format.encoding.bytes(of: samples)
    output.text(audioBytes: bytes.count) {
      $0.append(contentsOf: #"{"user_audio_chunk":"\#(base64Text(bytes))"}"#.utf8)
    }
  }

  mutating func text(_ text: String, into output: inout DialectOutput) {
    var message = JSONObject(type: "user_message")
    message.add("text", text)
    output.text(message.encoded)
  }

  // MARK: - From the server

  mutating func received(_ message: ServerMessage, now: MonotonicTime, into output: inout DialectOutput) {
    guard case .text(let text) = message, let value = try? JSONValue(parsing: text) else { return }
    switch value["type"]?.text {
    case "conversation_initiation_metadata":
      if let facts = value["conversation_initiation_metadata_event"] { agree(on: facts, into: &output) }
    case "audio": play(value["audio_event"], into: &output)
    case "interruption":
      interruptedEvent = max(interruptedEvent, value["interruption_event", "event_id"]?.looseNumber ?? 0)
      output.act(.playback(.clear(keepsMarks: false)))
    case "ping":
      guard let event = value["ping_event", "event_id"]?.wholeNumber else { return }
      var pong = JSONObject(type: "pong")
      pong.add("event_id", event)
      output.text(pong.encoded)
    case "user_transcript":
      guard let text = value["user_transcription_event", "user_transcript"]?.text else { return }
      output.act(.transcript(Transcript(text, speaker: stream.speaker(), isFinal: true)))
    case "agent_response":
      guard let text = value["agent_response_event", "agent_response"]?.text else { return }
      output.act(.transcript(Transcript(text, speaker: .server, isFinal: false)))
    case "agent_response_correction":
      guard let text = value["agent_response_correction_event", "corrected_agent_response"]?.text else { return }
      output.act(.transcript(Transcript(text, speaker: .server, isFinal: true)))
    case "client_tool_call": output.act(.call(.toolCall(text)))
    default: break
    }
  }

  /// The server says in which formats it hears and speaks.
  private mutating func agree(on facts: JSONValue, into output: inout DialectOutput) {
    guard formats == nil else { return }
    guard let input = Format(facts["user_input_audio_format"]?.text),
      let speech = Format(facts["agent_output_audio_format"]?.text)
    else { return output.act(.violation("audio formats that are not known")) }
    if input.rateHertz != stream.rateHertz {
      converter = SpeexConverter(from: stream.rateHertz, to: input.rateHertz)
      guard converter != nil else { return output.act(.violation("a rate to which audio cannot be converted")) }
    }
    formats = (input, speech)
  }

  private func play(_ event: JSONValue?, into output: inout DialectOutput) {
    guard let format = formats?.output, let id = event?["event_id"]?.looseNumber, id > interruptedEvent,
      let bytes = event?["audio_base_64"]?.text.flatMap(base64Bytes), !bytes.isEmpty
    else { return }
    output.act(
      .playback(
        .play(PlaybackAudio(bytes, encoding: format.encoding, rateHertz: format.rateHertz, item: String(id)))))
  }
}
