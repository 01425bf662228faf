// SPDX-License-Identifier: Apache-2.0
import AudioForkOptions
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
      "", "*", "host", "host:80", "://host", "ws://", "ws:///path", "http://host", "ws://user@host", "ws://host:", "ws://[::1", "ws://[::1]x",
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
    #expect(EventDefinition.all.count == 6)
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
    #expect(escaped(Bytes("a\r\nEvent: Hangup\\n\t\u{1b}\u{0}\u{7f}ü".utf8)) == Bytes("a\\r\\nEvent: Hangup\\\\n\\t\\033\\000\\177ü".utf8))
    for byte in UInt8.min...UInt8.max { #expect(!escaped([byte]).contains { $0 < 32 || $0 == 127 }) }
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
