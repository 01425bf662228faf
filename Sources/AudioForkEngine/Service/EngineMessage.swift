// SPDX-License-Identifier: Apache-2.0
package import AudioForkMedia
internal import AudioForkDialects
package import AudioForkLink
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
