// SPDX-License-Identifier: Apache-2.0
import AudioForkBytes
import AudioForkSurface
import Testing

@Suite("Patterns of URLs that forks may go to")
struct AllowPatternTests {
  private func allows(_ pattern: String, _ url: String) throws -> Bool {
    let pattern = try #require(AllowPattern(Bytes(pattern.utf8)), "\(pattern)")
    return pattern.allows(try EndpointURL.parse(Bytes(url.utf8)))
  }

  @Test(
    "What a pattern names is allowed",
    arguments: [
      ("wss://*.example.org/*", "wss://a.example.org/x"),
      ("wss://*.example.org/*", "wss://a.b.example.org/x/y?z=1"),
      ("WSS://*.Example.ORG/*", "wss://A.EXAMPLE.org/x"),
      ("wss://*.example.org/*", "wss://bob:secret@a.example.org/x"),
      ("wss://*.example.org/*", "wss://a.example.org:443/"),
      ("wss://*.example.org", "wss://a.example.org/any/path?and=query"),
      ("ws://host:8080", "ws://host:8080"),
      ("ws://host:*", "ws://host:1/x"),
      ("ws://host:80?0/", "ws://host:8080/"),
      ("*://host/", "ws://host"),
      ("ws*://host", "wss://host"),
      ("ws://10.0.?.*:*", "ws://10.0.3.17:9000/"),
      ("ws://[::1]:8080/in/*", "ws://[::1]:8080/in/x"),
      ("ws://*/a*c", "ws://h/abbbc"),
      ("ws://*/a*b*c", "ws://h/axbxbxc"),
      ("ws://h/x?token=*", "ws://h/x?token=abc"),
      ("ws://h/*", "ws://h/a..b/...c/.d"),
    ])
  func allowed(pattern: String, url: String) throws { #expect(try allows(pattern, url)) }

  @Test(
    "What it does not name is not, whatever the URL pretends",
    arguments: [
      ("wss://*.example.org/*", "wss://evil.com/.example.org/x"),
      ("wss://*.example.org/*", "wss://evil.com?.example.org/x"),
      ("wss://*.example.org/*", "wss://a.example.org@evil.com/x"),
      ("wss://*.example.org/*", "wss://a.example.org:443@evil.com/x"),
      ("wss://*.example.org/*", "wss://u:p@evil.com/@a.example.org/x"),
      ("wss://*.example.org/*", "wss://example.org/x"),
      ("wss://*.example.org/*", "wss://a.example.org.evil.com/x"),
      ("wss://*.example.org/*", "wss://aexample.org/x"),
      ("wss://*.example.org/*", "ws://a.example.org/x"),
      ("wss://*.example.org/*", "wss://a.example.org:8443/x"),
      ("ws://host:8080", "ws://host/"),
      ("ws://host:8080", "ws://host:8081"),
      ("ws://host/in/*", "ws://host/out/x"),
      ("ws://host/in/*", "ws://host/IN/x"),
      ("ws://host/in/*", "ws://host/in/../out"),
      ("ws://host/in/*", "ws://host/in/%2e%2E/out"),
      ("ws://host/in/*", "ws://host/in/..%2fout"),
      ("ws://host/in/*", "ws://host/in/..\\out"),
      ("ws://host/in/*", "ws://host/in/x/.."),
      ("ws://host/in", "ws://host/in/x"),
      ("ws://[::1]", "ws://[::2]"),
    ])
  func refused(pattern: String, url: String) throws { #expect(try !allows(pattern, url)) }

  @Test(
    "What is no pattern is not accepted",
    arguments: [
      "", "*", "host", "host:80", "://host", "ws://", "ws:///path", "http://host", "ws://user@host", "ws://host:",
      "ws://[::1", "ws://[::1]x",
      "ws://a:b:c", "ws://host/a b", "ws://:80/",
    ])
  func malformed(pattern: String) { #expect(AllowPattern(Bytes(pattern.utf8)) == nil) }

  @Test("Many stars take no time")
  func stars() throws {
    let pattern = "ws://h/" + String(repeating: "a*", count: 200) + "b"
    let clock = ContinuousClock()
    let began = clock.now
    #expect(try !allows(pattern, "ws://h/" + String(repeating: "a", count: 4000)))
    #expect(clock.now - began < .seconds(5))
  }
}

@Suite("Events as they are declared")
struct EventTableTests {
  @Test("Every event has help, and no field twice")
  func table() {
    #expect(EventDefinition.all.count == 7)
    for event in EventDefinition.all {
      #expect("\(event.name)".hasPrefix("AudioFork"))
      let names = event.fields.map { "\($0.name)" }
      #expect(Set(names).count == names.count, "\(event.name): \(names)")
      for field in event.fields { #expect("\(field.help)".hasSuffix("."), "\(event.name) \(field.name)") }
      #expect(names.starts(with: ["Channel", "Uniqueid", "Linkedid", "AudioForkID", "WsServer", "Direction"]))
    }
  }

  @Test("Nothing from outside begins a line, and what was escaped can be told apart")
  func escaping() {
    #expect(
      escaped(Bytes("a\r\nEvent: Hangup\\n\t\u{1b}\u{0}\u{7f}ü".utf8))
        == Bytes("a\\r\\nEvent: Hangup\\\\n\\t\\033\\000\\177ü".utf8))
    for byte in UInt8.min...UInt8.max { #expect(!escaped([byte]).contains { $0 < 32 || $0 >= 127 }) }
  }

  @Test("No control character of a terminal's 8-bit set comes through, and every other character does")
  func terminals() {
    // U+009B is CSI, as ESC [ is; a lone byte 9B is the same for a terminal that does not speak UTF-8.
    #expect(escaped(Bytes("a\u{9b}2J\u{85}b\u{a0}".utf8)) == Bytes("a\\302\\2332J\\302\\205b\u{a0}".utf8))
    #expect(escaped([0x61, 0x9B, 0x62]) == Bytes("a\\233b".utf8))
    #expect(printable(Bytes("a\u{9b}2J\u{1b}[\u{7f}ü".utf8)) == Bytes("a?2J?[?ü".utf8))
    var shown = Bytes()
    shown.append(shown: Bytes("\u{9b}31mü".utf8))
    #expect(shown == Bytes("?31mü".utf8))
    // U+06DB, U+65DB, U+1F9DB: 9B as a continuation.
    for good in ["é", "ۛ", "旛", "🧛", "\u{7FF}\u{800}\u{D7FF}\u{E000}\u{FFFF}\u{10000}\u{10FFFF}"] {
      #expect(escaped(Bytes(good.utf8)) == Bytes(good.utf8) && printable(Bytes(good.utf8)) == Bytes(good.utf8))
    }
    // Cut characters, long forms, surrogates, and what is beyond Unicode.
    for bad: Bytes in [
      [0xC2], [0xE2, 0x82], [0xF0, 0x9F, 0x98], [0xC0, 0x9B], [0xC1, 0x9B], [0xE0, 0x82, 0x9B], [0xED, 0xA0, 0x80],
      [0xF0, 0x80, 0x82, 0x9B], [0xF4, 0x90, 0x80, 0x80], [0xFF, 0xFE],
    ] {
      #expect(escaped(bad).allSatisfy { $0 < 127 }, "\(bad)")
      #expect(printable(bad) == Bytes(repeating: UInt8(ascii: "?"), count: bad.count), "\(bad)")
    }
    for scalar in 0x80...0x9F as ClosedRange<UInt32> {
      let text = Bytes(String(String.UnicodeScalarView([Unicode.Scalar(scalar) ?? " "])).utf8)
      #expect(printable(text) == [UInt8(ascii: "?")])
      #expect(escaped(text).allSatisfy { $0 < 127 })
    }
  }

  @Test("A text is cut between characters")
  func cutting() {
    #expect(cut(Bytes("aüb".utf8), to: 4) == Bytes("aüb".utf8))
    #expect(cut(Bytes("aüb".utf8), to: 3) == Bytes("aü".utf8))
    #expect(cut(Bytes("aüb".utf8), to: 2) == Bytes("a".utf8))
    #expect(cut(Bytes("😀".utf8), to: 3) == [])
    #expect(cut([], to: 0) == [])
    // Not UTF-8 at all: it still ends.
    #expect(cut([0x80, 0x80, 0x80], to: 2) == [])
  }
}
