// SPDX-License-Identifier: Apache-2.0
import AudioForkDialects
import AudioForkEngine
import AudioForkMedia
import AudioForkSurface
import AudioForkWebSocket
import NIOCore
import NIOEmbedded
import NIOHTTP1
import Testing

/// A dialect whose servers say with 402 that the account is empty.
private struct PaidDialect: Dialect {
  private let raw = RawDialect()
  var finalAnswers: [Int] { [402] }
  var subprotocols: [String] { raw.subprotocols }
  var needsSubprotocol: Bool { raw.needsSubprotocol }
  var awaitsResume: Bool { raw.awaitsResume }
  var sendsMarkers: Bool { raw.sendsMarkers }
  var audioHeaderBytes: Int { raw.audioHeaderBytes }
  func requestHeaders(_ stream: StreamDescription) -> [DialectHeader] { raw.requestHeaders(stream) }
  func opening(_ stream: StreamDescription, position: Position) -> [DialectMessage] { [] }
  func encode(_ samples: [Int16], at position: Position, into message: inout [UInt8]) {
    raw.encode(samples, at: position, into: &message)
  }
  func message(for marker: StreamMarker) -> DialectMessage? { nil }
  func message(text: String) -> DialectMessage { raw.message(text: text) }
  func understand(_ text: String) -> ServerMessage { raw.understand(text) }
  func ending(_ stream: StreamDescription, position: Position, reason: String) -> [DialectMessage] { [] }
}

@Suite("Answers that a dialect calls final")
struct FinalAnswerTests {
  /// What a server's status means for a new fork, and for one that the endpoint has accepted.
  private func verdicts(_ dialect: any Dialect, status: Int) -> (new: FailureVerdict, accepted: FailureVerdict) {
    var request = UpgradeRequest(host: Array("x".utf8), target: Array("/".utf8))
    request.describe(
      StreamDescription(forkID: "af-1", channel: "c", uniqueID: "1", linkedID: "1", direction: .both), in: dialect)
    let check = UpgradeCheck(
      key: "", subprotocolsOffered: request.subprotocols, finalAnswers: request.finalAnswers)
    let head = HTTPResponseHead(version: .http1_1, status: HTTPResponseStatus(statusCode: status))
    let failure = check.refusal(head, body: [])
    let now = MonotonicTime(nanoseconds: 5_000_000_000)
    var new = EndpointRotation(count: 1)
    var accepted = EndpointRotation(count: 1, hasConnected: true)
    return (new.attemptFailed(failure.kind, now: now), accepted.attemptFailed(failure.kind, now: now))
  }

  @Test("One of them ends a new fork at once, and is an outage for one that had a connection")
  func once() {
    #expect(verdicts(PaidDialect(), status: 402) == (.hopeless, .refused))
    #expect(verdicts(PaidDialect(), status: 403) == (.refused, .refused))
    #expect(verdicts(PaidDialect(), status: 503) == (.passing, .passing))
  }

  @Test("The dialects that there are have none")
  func none() {
    for dialect in [RawDialect(), AudioForkDialect()] as [any Dialect] {
      #expect(dialect.finalAnswers == [])
      #expect(verdicts(dialect, status: 402).new == .refused)
    }
  }
}
