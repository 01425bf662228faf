// SPDX-License-Identifier: MIT
package import AudioForkBytes

/// Whose words a transcript has.
package enum Speaker: UInt8, CaseIterable, Sendable {
  /// The party's.
  case `in` = 1
  /// Those that the party hears.
  case out = 2
  /// The stream has both, and the server did not say.
  case both = 3
  /// The server's own, in audio that it sends into the call.
  case server = 4

  package var word: StaticString {
    switch self {
    case .in: "in"
    case .out: "out"
    case .both: "both"
    case .server: "server"
    }
  }

  /// The speaker with this word; `both` for another one.
  package init(word: [UInt8]) { self = Self.allCases.first { Bytes(text: $0.word) == word } ?? .both }
}

/// Words that the server has recognized, as TRANSCRIPT carries them.
package struct TranscriptReport: Sendable, Equatable {
  /// Beyond it a number is cut: the milliseconds of ten years.
  package static let millisecondsMax: UInt64 = 315_360_000_000
  /// Confidence of a server that is sure.
  package static let confidenceMax: UInt64 = 1000

  package var speaker: Speaker
  /// False: the words may still change.
  package var isFinal: Bool
  /// The beginning of the text.
  package var text: Bytes
  /// Bytes of the whole text.
  package var length: UInt64
  /// Milliseconds from the fork's start to the first word, 0 to `millisecondsMax`; nil: the server did not say.
  package var start: UInt64?
  /// The same to the end of the last word.
  package var end: UInt64?
  /// Thousandths, 0 to `confidenceMax`; nil: the server did not say.
  package var confidence: UInt64?

  package init(
    _ text: Bytes, length: UInt64, speaker: Speaker, isFinal: Bool, start: UInt64? = nil, end: UInt64? = nil,
    confidence: UInt64? = nil
  ) {
    self.text = text
    self.length = length
    self.speaker = speaker
    self.isFinal = isFinal
    self.start = start.map { min($0, TranscriptReport.millisecondsMax) }
    self.end = end.map { min($0, TranscriptReport.millisecondsMax) }
    self.confidence = confidence.map { min($0, TranscriptReport.confidenceMax) }
  }

  /// Reads a message's fields. A missing text is empty, and without FINAL the words may still change.
  init(_ fields: FieldReader) {
    let text = fields.bytes(.text) ?? []
    self.init(
      text, length: fields.number(.length) ?? UInt64(text.count), speaker: Speaker(word: fields.bytes(.speaker) ?? []),
      isFinal: fields.number(.final) == 1, start: fields.number(.from), end: fields.number(.until),
      confidence: fields.number(.confidence))
  }

  func write(to fields: inout FieldWriter) {
    fields.append(.speaker, speaker.word)
    fields.append(.final, number: isFinal ? 1 : 0)
    fields.append(.text, text)
    fields.append(.length, number: length)
    if let start { fields.append(.from, number: start) }
    if let end { fields.append(.until, number: end) }
    if let confidence { fields.append(.confidence, number: confidence) }
  }
}
