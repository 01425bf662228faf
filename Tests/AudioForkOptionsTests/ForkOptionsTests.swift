// SPDX-License-Identifier: Apache-2.0
import AudioForkOptions
import Testing

private func bytes(_ text: String) -> Bytes { Bytes(text.utf8) }
private func text(_ bytes: Bytes) -> String { String(decoding: bytes, as: UTF8.self) }

@Suite("Options of AudioFork()")
struct ForkOptionsTests {
  @Test("Without options both directions are sent, with fill")
  func defaults() throws {
    #expect(try ForkOptions.parse([]) == ForkOptions())
    let options = try ForkOptions.parse([])
    #expect(options.direction == .both)
    #expect(options.fill)
    #expect(options.reconnectAttempts == 20)
    #expect(options.reconnectWaitSeconds == 5)
  }

  @Test("The letters may stand in any order", arguments: ["D(in)i(FORK)nR(10)r(5)", "r(5) n R(10) i(FORK) D(IN)"])
  func letters(given: String) throws {
    let options = try ForkOptions.parse(bytes(given))
    #expect(options.direction == .in)
    #expect(!options.fill)
    #expect(text(options.idVariable) == "FORK")
    #expect(options.reconnectWaitSeconds == 10)
    #expect(options.reconnectAttempts == 5)
  }

  @Test(
    "A bad option is refused by name, value and accepted form",
    arguments: [
      ("D", "option D needs an argument; the form is D(in|out|both)"),
      ("D()", "option D does not accept ''; the form is D(in|out|both)"),
      ("D(left)", "option D does not accept 'left'; the form is D(in|out|both)"),
      ("D(in", "option D has no closing parenthesis; the form is D(in|out|both)"),
      ("n(x)", "option n does not accept 'x'; the form is n"),
      ("i()", "option i does not accept ''; the form is i(variable)"),
      ("R(0)", "option R does not accept '0'; the form is R(seconds), 1 to 3600"),
      ("R(ten)", "option R does not accept 'ten'; the form is R(seconds), 1 to 3600"),
      ("r(99999999999999999999)", "option r does not accept '99999999999999999999'; the form is r(attempts), 0 to 1000000"),
      ("r(-1)", "option r does not accept '-1'; the form is r(attempts), 0 to 1000000"),
      ("q", "unknown option 'q'; known are D i n R r"),
      ("D(i\nn)", "option D does not accept 'i?n'; the form is D(in|out|both)"),
      (")", "unknown option ')'; known are D i n R r"),
    ])
  func refused(given: String, message: String) {
    let error = #expect(throws: OptionError.self) { try ForkOptions.parse(bytes(given)) }
    #expect(error.map { text($0.message) } == message)
  }

  @Test("Ten thousand characters are refused with their number")
  func long() {
    let error = #expect(throws: OptionError.self) { try ForkOptions.parse(Bytes(repeating: 110, count: 10_000)) }
    #expect(error.map { text($0.message) } == "options are 10000 characters long; at most 8192 are accepted")
  }

  @Test("Every option in the table parses in a form that its help shows, and has help")
  func table() throws {
    for definition in OptionDefinition.all {
      var given = Bytes([definition.letter])
      switch definition.argument {
      case .none: break
      case .direction: given += bytes("(out)")
      case .variable: given += bytes("(X)")
      case .seconds(let range), .count(let range): given += bytes("(\(range.upperBound))")
      }
      #expect(throws: Never.self) { try ForkOptions.parse(given) }
      #expect(definition.help.utf8CodeUnitCount > 10)
    }
  }

  @Test("Random bytes are parsed or refused, never a trap")
  func randomBytes() {
    var generator = SystemRandomNumberGenerator()
    for _ in 0..<20_000 {
      let length = Int.random(in: 0...24, using: &generator)
      let alphabet = Bytes("DinRr()bot0123456789 \u{0}\u{1}\u{7f}".utf8) + [0xff, 0x80]
      let given = (0..<length).map { _ in alphabet.randomElement(using: &generator) ?? 0 }
      _ = try? ForkOptions.parse(given)
      _ = try? EndpointURL.parse(bytes("ws://") + given)
      _ = try? EndpointURL.parse(given)
    }
  }
}

@Suite("The URL of AudioFork()")
struct EndpointURLTests {
  @Test(
    "A good URL is taken apart",
    arguments: [
      ("ws://localhost:8080/", "localhost", 8080, "/", "localhost:8080"),
      ("ws://example.org", "example.org", 80, "/", "example.org"),
      ("WS://example.org:80/in?call=1&x=%20", "example.org", 80, "/in?call=1&x=%20", "example.org"),
      ("ws://example.org?call=1", "example.org", 80, "/?call=1", "example.org"),
      ("ws://[::1]:9000/a/b", "::1", 9000, "/a/b", "[::1]:9000"),
      ("ws://[2001:db8::1]", "2001:db8::1", 80, "/", "[2001:db8::1]"),
      ("ws://bob:s3cret@example.org/x", "example.org", 80, "/x", "example.org"),
      ("ws://bob:p@ss@example.org/x@y", "example.org", 80, "/x@y", "example.org"),
    ])
  func good(given: String, host: String, port: Int, target: String, header: String) throws {
    let url = try EndpointURL.parse(bytes(given))
    #expect(text(url.host) == host)
    #expect(url.port == port)
    #expect(text(url.target) == target)
    #expect(text(url.hostHeader) == header)
  }

  @Test("User information never shows")
  func userInformation() throws {
    let url = try EndpointURL.parse(bytes("ws://bob:s3cret@example.org:81/x?y=1"))
    #expect(text(url.userInformation) == "bob:s3cret")
    #expect(text(url.shown) == "ws://example.org:81/x?y=1")
    let error = #expect(throws: OptionError.self) { try EndpointURL.parse(bytes("ws://bob:s3cret@example.org:99999/")) }
    #expect(error.map { !text($0.message).contains("s3cret") } == true)
  }

  @Test(
    "A bad URL is refused",
    arguments: [
      "", "8080", "example.org/x", "http://example.org/", "wss://example.org/", "ws://", "ws:///x", "ws://:80/",
      "ws://host:0/", "ws://host:70000/", "ws://host:x/", "ws://host:/", "ws://ho st/", "ws://host/\n", "ws://[::1/",
      "ws://[]/", "ws://[::1]x/", "ws://[zz]/", "ws://a/#f", "ws://ho$t/", "ws://\u{e4}.example/",
    ])
  func bad(given: String) {
    #expect(throws: OptionError.self) { try EndpointURL.parse(bytes(given)) }
  }
}
