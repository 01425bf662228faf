// SPDX-License-Identifier: Apache-2.0
import AudioForkBytes
import AudioForkSurface
import Foundation
import Testing

private func bytes(_ text: String) -> Bytes { Bytes(text.utf8) }

/// The text as it goes out, where each `${…}` and each `^{…}` gives `value`.
private func evaluated(_ written: String, _ value: Bytes) -> Bytes {
  ServerText.text(bytes(written), substitute: { _ in value }, evaluate: { _ in value })
}

private func string(_ bytes: Bytes) -> String { String(decoding: bytes, as: UTF8.self) }

@Suite("Texts for the server in a profile")
struct ServerTextTests {
  /// What a caller may choose as his name.
  static let hostile: [Bytes] = [
    bytes(#"","x":""#), bytes(#"\"#), bytes(#"\","x":1}"#), bytes("a\"b"), bytes("line\r\nbreak\tand\u{0}\u{1F}\u{7F}"),
    bytes("^{SHELL(id)}${SHELL(id)}"), bytes("Zoë 電話 😀"), [0x41, 0xFF, 0xC3], [0xED, 0xA0, 0x80], [0xC0, 0xAF],
    bytes("\u{2028}\u{85}"), [], Bytes(repeating: 0x22, count: 20_000), Bytes(repeating: 0xFF, count: 20_000),
  ]

  @Test(
    "A hostile value stays inside of its string of a JSON text, however the profile writes it", arguments: hostile,
    ["^{CALLERID(name)}", "${CALLERID(name)}", "$[1 + 1]"])
  func json(value: Bytes, expression: String) throws {
    for (open, close) in [(#"{"a":{"caller":""#, #"","last":true}}"#), (#" [{"caller":""#, #"","last":true}]"#)] {
      let sent = evaluated(open + expression + close, value)
      #expect(sent.count <= ServerText.lengthMax)
      #expect(String(validating: sent, as: UTF8.self) != nil)
      var options = ForkOptions()
      try options.apply(#require(ProfileKey.named(bytes("first_text"))), sent)
      let parsed = try JSONSerialization.jsonObject(with: Data(sent))
      let object = try #require(
        (parsed as? [[String: Any]])?.first ?? (parsed as? [String: Any])?["a"] as? [String: Any])
      #expect(object.count == 2 && object["last"] as? Bool == true)
      let caller = try #require(object["caller"] as? String)
      // Cut values are the beginning of what was given.
      #expect(String(decoding: value, as: UTF8.self).hasPrefix(caller) || !isUTF8(value))
      if value.count < 1000, isUTF8(value) { #expect(caller == String(decoding: value, as: UTF8.self)) }
      if !isUTF8(value) { #expect(caller.contains("\u{FFFD}")) }
    }
  }

  private func isUTF8(_ value: Bytes) -> Bool { String(validating: value, as: UTF8.self) != nil }

  @Test("A value in another text begins no line and is UTF-8; what is written stays as it is")
  func plain() {
    #expect(string(evaluated("caller ^{X};", bytes("a\r\nEOF\u{1}\"\\"))) == "caller a  EOF \"\\;")
    #expect(string(evaluated("${X}", [0x41, 0xFF, 0x42])) == "A\u{FFFD}B")
    #expect(string(evaluated("a\tb ${X", bytes("v"))) == "a\tb ${X")
    // A text that is a variable is whatever that holds: the dialplan's JSON.
    #expect(string(evaluated("${CONFIG}", bytes(#"{"a":"b"}"#))) == #"{"a":"b"}"#)
    #expect(string(evaluated(#"{"rate":${RATE},"x":"^{N}"}"#, bytes("8000"))) == #"{"rate":8000,"x":"8000"}"#)
  }

  @Test("Values are cut where the text would be too long, at the end of a character and of an escape")
  func cut() {
    for unit in [bytes("é"), bytes("\""), bytes("\n"), [0xFF]] {
      var value = Bytes()
      while value.count < 9000 { value += unit }
      for padding in 0..<7 {
        let frame = String(repeating: "x", count: 8100 + padding)
        let sent = evaluated(#"{"a":"^{X}","b":"\#(frame)"}"#, value)
        #expect(sent.count <= 8192 && sent.count > 8192 - 6)
        #expect(throws: Never.self) { try JSONSerialization.jsonObject(with: Data(sent)) }
      }
    }
    // What is written alone is too long: it is refused, not cut.
    #expect(evaluated(String(repeating: "x", count: 8193) + "^{X}", bytes("v")).count == 8193)
  }

  @Test("UTF-8 is what the standard library takes for it")
  func validity() {
    var generator = SystemRandomNumberGenerator()
    for _ in 0..<20_000 {
      let leads: Bytes = [0x41, 0x80, 0xA0, 0xBF, 0xC0, 0xC2, 0xDF, 0xE0, 0xED, 0xEF, 0xF0, 0xF4, 0xF5, 0x9F, 0x8F]
      let text = (0..<Int.random(in: 0...6, using: &generator)).map { _ in
        leads.randomElement(using: &generator) ?? 0
      }
      #expect(ServerText.isUTF8(text) == isUTF8(text), "\(text)")
    }
  }
}
