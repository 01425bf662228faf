// SPDX-License-Identifier: Apache-2.0
import AudioForkDialects
import AudioForkSurface

/// Bytes and actions as lines of a golden transcript have them.
enum TranscriptWords {
  /// Hexadecimal; `ff*160` for a byte that comes four times or more.
  static func shown(_ bytes: [UInt8]) -> String {
    var words: [String] = []
    var at = 0
    while at < bytes.count {
      let run = bytes[at...].prefix { $0 == bytes[at] }.count
      let digits = String(bytes[at], radix: 16)
      let word = digits.utf8.count < 2 ? "0\(digits)" : digits
      if run >= 4 { words.append("\(word)*\(run)") } else { words += [String](repeating: word, count: run) }
      at += run
    }
    return words.joined(separator: " ")
  }

  /// The bytes that `shown` shows.
  static func bytes(_ text: String) throws -> [UInt8] {
    var bytes: [UInt8] = []
    for word in text.split(separator: " ") {
      let parts = word.split(separator: "*")
      guard let byte = UInt8(parts[0], radix: 16), let count = parts.count > 1 ? Int(parts[1]) : 1 else {
        throw TranscriptPlayer.Malformed(description: "'\(word)' is no byte")
      }
      bytes += [UInt8](repeating: byte, count: count)
    }
    return bytes
  }

  static func shown(_ action: ServerAction) -> String {
    switch action {
    case .resume(let position): "resume at \(position)"
    case .acknowledged(let position, let level): "acknowledged \(position) \(level.rawValue)"
    case .text(let text): "text \(text)"
    case .transcript(let transcript): shown(transcript)
    case .finished: "finished"
    case .close: "close"
    case .complaint(let text): "complaint \(text)"
    case .violation(let text): "violation: \(text)"
    case .call(let action): shown(action)
    case .playback(let action): shown(action)
    }
  }

  private static func shown(_ transcript: Transcript) -> String {
    var words = [transcript.isFinal ? "final" : "partial", "transcript"]
    if let speaker = transcript.speaker { words.append("of \(speaker.rawValue)") }
    if let start = transcript.start { words.append("from \(start)") }
    if let end = transcript.end { words.append("to \(end)") }
    if let confidence = transcript.confidence { words.append("sure \(fixed(confidence, places: 2))") }
    return words.joined(separator: " ") + ": \(transcript.text)"
  }

  private static func shown(_ action: CallAction) -> String {
    switch action {
    case .hangUp: "hang up"
    case .sendDigits(let digits): "send digits \(digits)"
    case .redirect(let place): "redirect to \(place)"
    case .toolCall(let text): "tool call \(text)"
    }
  }

  private static func shown(_ action: PlaybackAction) -> String {
    switch action {
    case .play(let audio):
      "play \(audio.encoding) \(audio.rateHertz) Hz\(audio.item.isEmpty ? "" : " of \(audio.item)"): \(shown(audio.bytes))"
    case .mark(let name): "mark \(name)"
    case .clear(let keepsMarks): keepsMarks ? "clear, reporting marks" : "clear with marks"
    case .forgetMarks: "forget marks"
    case .pause: "pause"
    case .proceed: "proceed"
    case .setDirection(let direction): "direction \(direction.word)"
    case .reportStatus: "report status"
    case .reportDrained: "report when drained"
    }
  }
}
