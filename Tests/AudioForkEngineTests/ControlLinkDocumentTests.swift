// SPDX-License-Identifier: Apache-2.0
import AudioForkCore
import AudioForkEngine
import AudioForkEngineTestKit
import CAudioForkABI
import Testing

@Suite("docs/internals/control-link.md")
struct ControlLinkDocumentTests {
  private func page() throws -> String { try documentPage("docs/internals/control-link.md") }

  @Test("The page has every message with its number")
  func messages() throws {
    let page = try page()
    let messages: [(String, af_link_type)] = [
      ("HELLO", AF_LINK_HELLO), ("FORK", AF_LINK_FORK), ("TABLE_END", AF_LINK_TABLE_END), ("FORGET", AF_LINK_FORGET),
      ("READY", AF_LINK_READY), ("STATE", AF_LINK_STATE), ("ENDED", AF_LINK_ENDED), ("LOG", AF_LINK_LOG),
      ("SEND_TEXT", AF_LINK_SEND_TEXT), ("GAP", AF_LINK_GAP), ("TEXT", AF_LINK_TEXT),
      ("HEARTBEAT", AF_LINK_HEARTBEAT),
    ]
    for (name, type) in messages { #expect(page.contains("| \(name) | \(type.rawValue) |"), "\(name)") }
    #expect(page.contains("(4 … \(AF_LINK_MESSAGE_BYTES_MAX))"))
    #expect(page.contains("Version \(AF_LINK_VERSION);"))
  }

  @Test("The page has every field of messages with its key")
  func fields() throws {
    let page = try page()
    let fields: [(String, af_field)] = [
      ("ID", AF_FIELD_ID), ("VERSION", AF_FIELD_VERSION), ("PROTOCOL", AF_FIELD_PROTOCOL), ("PID", AF_FIELD_PID),
      ("STATE", AF_FIELD_STATE), ("REASON", AF_FIELD_REASON), ("LEVEL", AF_FIELD_LEVEL), ("TEXT", AF_FIELD_TEXT),
      ("POSITION", AF_FIELD_POSITION), ("FILL", AF_FIELD_FILL), ("LOST", AF_FIELD_LOST), ("GAPS", AF_FIELD_GAPS),
      ("RECONNECTS", AF_FIELD_RECONNECTS), ("BYTES", AF_FIELD_BYTES), ("LAG", AF_FIELD_LAG), ("URL", AF_FIELD_URL),
      ("CONFIRMED", AF_FIELD_CONFIRMED), ("CAPTURED", AF_FIELD_CAPTURED), ("UNDELIVERED", AF_FIELD_UNDELIVERED),
      ("SKEW", AF_FIELD_SKEW), ("DROPPED", AF_FIELD_DROPPED), ("LENGTH", AF_FIELD_LENGTH),
      ("DIRECTION", AF_FIELD_DIRECTION), ("START", AF_FIELD_START), ("COUNT", AF_FIELD_COUNT), ("LOOPS", AF_FIELD_LOOPS),
      ("CONFIRMATION", AF_FIELD_CONFIRMATION),
    ]
    for (name, key) in fields { #expect(page.contains("| \(name) | \(key.rawValue) |"), "\(name)") }
  }

  @Test("The page says how often marks are taken and how old they have to be")
  func delivery() throws {
    let page = try page()
    #expect(page.contains("every \(DeliveryWindow<Int>.spacing.count / millisecond) ms,"))
    #expect(page.contains("at least \(DeliveryWindow<Int>.age.count / millisecond) ms old"))
  }
}
