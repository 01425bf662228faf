// SPDX-License-Identifier: Apache-2.0
import AudioForkTestKit
import AudioForkWebSocket
import NIOCore
import Testing

@Suite("docs/internals/websocket-conformance.md")
struct ConformanceDocumentTests {
  private func page() throws -> String { try documentPage("docs/internals/websocket-conformance.md") }

  @Test("The page has every case, and no other", arguments: ConformanceGroup.allCases)
  func cases(group: ConformanceGroup) throws {
    let page = try page()
    #expect(page.contains("### \(group.rawValue) \(group.title)\n"))
    let rows = page.split(separator: "\n").filter { $0.hasPrefix("| \(group.rawValue).") }.map(String.init)
    let expected = group.cases.map(row)
    #expect(rows == expected, "this is what belongs there:\n\(expected.joined(separator: "\n"))")
  }

  @Test("The page names the limits")
  func limits() throws {
    let page = try page()
    #expect(messageBytesMax == WebSocketFrameRules.messageBytesMax)
    #expect(page.contains("\(WebSocketFrameRules.messageBytesMax) bytes"))
    #expect(page.contains("\(WebSocketSession.closeWait.nanoseconds / 1_000_000) ms"))
  }

  private func row(_ one: ConformanceCase) -> String {
    "| \(one.name) | \(one.what) | \(done(one)) | \(one.section) |"
  }

  /// What the client has to do.
  private func done(_ one: ConformanceCase) -> String {
    var parts: [String] = []
    if !one.texts.isEmpty {
      parts.append(one.texts.count == 1 ? "delivers the text" : "delivers \(one.texts.count) texts")
    }
    if !one.pongs.isEmpty {
      parts.append(one.pongs.count == 1 ? "answers the ping" : "answers \(one.pongs.count) pings")
    }
    switch one.outcome {
    case .goesOn: parts.append("goes on")
    case .answersClose(let code): parts.append(code.map { "answers with \($0)" } ?? "answers without a code")
    case .fails(let code): parts.append("closes with \(code)")
    case .closesFirst: parts.append("closes with 1000, once")
    case .refuses(let reason): parts.append("no connection: `\(reason)`")
    }
    return parts.joined(separator: ", ")
  }
}
