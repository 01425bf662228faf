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
private struct PaidDialect: DialectSession {
  static func prepare(_ request: inout DialectRequest, for connection: ConnectionDescription) {}
  static func meaning(of refusal: UpgradeRefusal) -> UpgradeRefusal.Meaning? {
    switch (refusal.status, refusal.text) {
    case (402, _): .final
    case (400, "try again"): .passing
    default: nil
    }
  }
  init(_ connection: ConnectionDescription) {}
  mutating func audio(_ block: AudioBlock, now: MonotonicTime, into output: inout DialectOutput) {}
  mutating func text(_ text: String, into output: inout DialectOutput) {}
  mutating func received(_ message: ServerMessage, now: MonotonicTime, into output: inout DialectOutput) {}
}

@Suite("Answers that a dialect calls final")
struct FinalAnswerTests {
  /// What a server's status means for a new fork, and for one that the endpoint has accepted.
  private func verdicts(
    _ dialect: any DialectSession.Type, status: Int, body: String = ""
  ) -> (new: FailureVerdict, accepted: FailureVerdict) {
    let check = UpgradeCheck(key: "", subprotocolsOffered: [])
    let head = HTTPResponseHead(version: .http1_1, status: HTTPResponseStatus(statusCode: status))
    let failure = check.refusal(head, body: Array(body.utf8)).judged(by: dialect)
    let now = MonotonicTime(nanoseconds: 5_000_000_000)
    var new = EndpointRotation(count: 1)
    var accepted = EndpointRotation(count: 1, hasConnected: true)
    return (new.attemptFailed(failure.kind, now: now), accepted.attemptFailed(failure.kind, now: now))
  }

  @Test("One of them ends a new fork at once, and is an outage for one that had a connection")
  func once() {
    #expect(verdicts(PaidDialect.self, status: 402) == (.hopeless, .refused))
    #expect(verdicts(PaidDialect.self, status: 403) == (.refused, .refused))
    #expect(verdicts(PaidDialect.self, status: 503) == (.passing, .passing))
  }

  @Test("The first line of the body may make a difference")
  func words() {
    #expect(verdicts(PaidDialect.self, status: 400, body: "try again\n").new == .passing)
    #expect(verdicts(PaidDialect.self, status: 400, body: "no").new == .refused)
  }

  @Test("The dialects that there are have none")
  func none() {
    for dialect in DialectName.allCases.map(DialectRegistry.session(of:)) {
      #expect(verdicts(dialect, status: 402).new == .refused)
    }
  }
}
