// SPDX-License-Identifier: Apache-2.0
package import AudioForkMedia
package import AudioForkDialects
package import AudioForkLink
internal import AudioForkBytes
internal import AudioForkSurface

/// A message of the module, as the engine receives it.
package typealias ModuleMessage = MessageFromModule<String>

/// A message of the engine.
package typealias EngineMessage = MessageFromEngine<String>

extension MessageFromEngine where Text == String {
  /// A gap of the stream as GAP carries it.
  package static func gap(id: String, _ gap: Gap) -> EngineMessage {
    .gap(
      id: id,
      GapReport(
        direction: gap.direction == .in ? "in" : "out", start: gap.start, count: gap.count,
        position: gap.position.frames,
        reason: gap.reason.word))
  }
}

extension TranscriptReport {
  /// A transcript of a stream as TRANSCRIPT carries it, its text cut to `ServerTexts.bytesMax`. Times that are not in
  /// order, and a confidence that is no number, count as unknown: they are the server's word.
  package init(_ transcript: Transcript, of stream: StreamDescription) {
    let bytes = Array(transcript.text.utf8)
    let rate = SampleRate(hertz: stream.rateHertz)
    let isOrdered = (transcript.start ?? .zero) <= (transcript.end ?? Position(.max))
    func milliseconds(_ position: Position?) -> UInt64? {
      isOrdered ? position.map { rate.milliseconds(ofFrames: $0.frames) } : nil
    }
    self.init(
      cut(bytes, to: ServerTexts.bytesMax), length: UInt64(bytes.count),
      speaker: Speaker(transcript.speaker, of: stream.direction), isFinal: transcript.isFinal,
      start: milliseconds(transcript.start), end: milliseconds(transcript.end),
      confidence: transcript.confidence.flatMap(TranscriptReport.thousandths))
  }

  private static func thousandths(_ confidence: Double) -> UInt64? {
    guard !confidence.isNaN else { return nil }
    return UInt64((min(max(confidence, 0), 1) * 1000).rounded())
  }
}

extension Speaker {
  /// Who speaks: whom the server names, or else what the stream has.
  fileprivate init(_ named: Transcript.Speaker?, of stream: ForkDirection) {
    switch (named, stream) {
    case (.server, _): self = .server
    case (.in, _), (nil, .in): self = .in
    case (.out, _), (nil, .out): self = .out
    case (nil, .both), (nil, .stereo): self = .both
    }
  }
}

extension Gap {
  /// The gap that a report describes; one with an unknown reason counts as an overrun.
  package init(_ report: GapReport<String>) {
    let reasons: [Reason] = [.overrun, .ahead, .undelivered, .unconfirmed]
    self.init(
      direction: report.direction == "in" ? .in : .out, start: report.start, count: report.count,
      reason: reasons.first { $0.word == report.reason } ?? .overrun, position: Position(report.position))
  }
}

extension LinkError: CustomStringConvertible {
  package var description: String {
    switch self {
    case .length(let length): "a message of \(length) bytes; 4 to \(LinkProtocol.messageBytesMax) are possible"
    case .fields(let kind): "a message of type \(kind) with broken fields"
    case .id: "a message about a fork without a usable id"
    }
  }
}
