// SPDX-License-Identifier: Apache-2.0
import AudioForkMedia
import AudioForkEngine
import AudioForkEngineTestKit
import AudioForkLink
import AudioForkTestKit
import Testing

@Suite("docs/internals/control-link.md")
struct ControlLinkDocumentTests {
  private func page() throws -> String { try documentPage("docs/internals/control-link.md") }

  /// `tableEnd` as the page writes it: TABLE_END.
  private func shown(_ name: String) -> String {
    name.map { $0.isUppercase ? "_\($0)" : $0.uppercased() }.joined()
  }

  @Test("The page has every message with its number")
  func messages() throws {
    let page = try page()
    for kind in LinkMessageKind.allCases {
      #expect(page.contains("| \(shown("\(kind)")) | \(kind.rawValue) |"), "\(kind)")
    }
    #expect(page.contains("(4 … \(LinkProtocol.messageBytesMax))"))
    #expect(page.contains("Version \(LinkProtocol.version)."))
  }

  @Test("The page has every field of messages with its key; ring-layout.md has those of a ring alone")
  func fields() throws {
    let page = try page()
    let ofRings: [LinkField] = [.options, .channel, .uniqueID, .linkedID, .rate, .drain, .align, .option]
    let names: [LinkField: String] = [.protocolVersion: "PROTOCOL", .processID: "PID"]
    for field in LinkField.allCases where !ofRings.contains(field) {
      let name = names[field] ?? shown("\(field)")
      #expect(page.contains("| \(name) | \(field.rawValue) |"), "\(name)")
    }
  }

  @Test("The page says how often marks are taken and how old they have to be")
  func delivery() throws {
    let page = try page()
    #expect(page.contains("every \(DeliveryWindow<Int>.spacing.count / millisecond) ms,"))
    #expect(page.contains("at least \(DeliveryWindow<Int>.age.count / millisecond) ms old"))
  }
}
