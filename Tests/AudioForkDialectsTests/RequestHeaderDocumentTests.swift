// SPDX-License-Identifier: Apache-2.0
import AudioForkDialects
import AudioForkSurface
import AudioForkTestKit
import Testing

@Suite("Request headers in docs/reference/dialplan.md")
struct RequestHeaderDocumentTests {
  @Test("The page names every header that the dialect raw sends, and no other")
  func complete() throws {
    let page = try documentPage("docs/reference/dialplan.md")
    var stream = StreamDescription(forkID: "af-1", channel: "c", uniqueID: "1", linkedID: "1", direction: .both)
    stream.parameters = [RequestField(name: Array("k".utf8), value: Array("v".utf8))]
    var request = DialectRequest(url: "ws://h/", target: [])
    RawDialect.prepare(&request, for: ConnectionDescription(stream))
    let sent = request.headers.map(\.name)
    // What stands between backticks in the first column.
    let rows = page.split(separator: "\n").filter { $0.hasPrefix("| `AudioFork-") }
    let named = rows.compactMap { $0.split(separator: "|").first }.flatMap { cell in
      cell.split(separator: "`").map(String.init).filter { $0.hasPrefix("AudioFork-") }
    }
    #expect(Set(named) == Set(sent))
    #expect(named.count == sent.count)
  }
}
