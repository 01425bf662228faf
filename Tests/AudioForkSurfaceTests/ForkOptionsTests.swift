// SPDX-License-Identifier: Apache-2.0
import AudioForkBytes
import AudioForkSurface
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
    #expect(options.reconnectAttempts == nil && options.outageSeconds == 300)
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
      ("D", "option D needs an argument; the form is D(in|out|both|stereo)"),
      ("D()", "option D does not accept ''; the form is D(in|out|both|stereo)"),
      ("D(left)", "option D does not accept 'left'; the form is D(in|out|both|stereo)"),
      ("D(in", "option D has no closing parenthesis; the form is D(in|out|both|stereo)"),
      ("n(x)", "option n does not accept 'x'; the form is n"),
      ("i()", "option i does not accept ''; the form is i(variable)"),
      ("x(FILE(/etc/x))", "option x does not accept 'FILE(...)'; the form is x(variable)"),
      ("D(in H(A: s3cret))", "option D does not accept 'in H(...)'; the form is D(in|out|both|stereo)"),
      ("R(0)", "option R does not accept '0'; the form is R(seconds), 1 to 3600"),
      ("R(ten)", "option R does not accept 'ten'; the form is R(seconds), 1 to 3600"),
      (
        "r(99999999999999999999)",
        "option r does not accept '99999999999999999999'; the form is r(attempts), 0 to 1000000"
      ),
      ("r(-1)", "option r does not accept '-1'; the form is r(attempts), 0 to 1000000"),
      ("q", "unknown option 'q'; known are b B p P v V W i D f m n S a T R r w H s x"),
      ("D(i\nn)", "option D does not accept 'i?n'; the form is D(in|out|both|stereo)"),
      (")", "unknown option ')'; known are b B p P v V W i D f m n S a T R r w H s x"),
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
      switch definition.argument {
      case .none, .ignored: #expect(throws: Never.self) { try ForkOptions.parse([definition.letter]) }
      case .value(let kind):
        #expect(throws: Never.self) { try ForkOptions.parse([definition.letter] + bytes("(\(example(kind)))")) }
      case .optional(let kind):
        #expect(throws: Never.self) { try ForkOptions.parse([definition.letter]) }
        #expect(throws: Never.self) { try ForkOptions.parse([definition.letter] + bytes("(\(example(kind)))")) }
      }
      #expect(definition.help.count > 10)
    }
  }

  @Test("Every option of the original is taken, together and as the seed writes them")
  func original() throws {
    let options = try ForkOptions.parse(bytes("abB(20)pPv(-4)V(+4)S(0)i(FORK)D(stereo)T(on)R(10)r(5)"))
    #expect(options.onlyBridged && options.beepsAtStart && options.beepsAtStop)
    #expect(options.beepSeconds == 20)
    #expect((options.gainIn, options.gainOut) == (-4, 4))
    #expect(options.direction == .stereo)
    #expect(options.tls == .on && options.verifies)
    #expect(options.reconnectWaitSeconds == 10 && options.reconnectAttempts == 5)
    #expect(options.warnings == [])
    let both = try ForkOptions.parse(bytes("W(2)"))
    #expect((both.gainIn, both.gainOut) == (2, 2))
    #expect(try ForkOptions.parse(bytes("R(9)")).reconnectAttempts == nil)
    #expect(try ForkOptions.parse(bytes("r(9)")).reconnectWaitSeconds == 5)
  }

  @Test("Another word for T verifies all the same, with a warning; insecure does not")
  func tls() throws {
    let other = try ForkOptions.parse(bytes("T(certificate.pem)"))
    #expect(other.tls == .on && other.verifies)
    #expect(other.warnings.map(text) == ["option T: 'certificate.pem' counts as on; the form is T(on|insecure)"])
    #expect(try ForkOptions.parse(bytes("T")).warnings == [])
    let insecure = try ForkOptions.parse(bytes("T(insecure)"))
    #expect(insecure.tls == .insecure && !insecure.verifies)
  }

  @Test("T with ws:// is an error that says so; without T wss:// verifies by itself")
  func tlsAndURL() throws {
    var options = try ForkOptions.parse(bytes("T(on)"))
    options.endpoints = [try EndpointURL.parse(bytes("wss://a/")), try EndpointURL.parse(bytes("ws://b:1/"))]
    let error = #expect(throws: OptionError.self) { try options.check() }
    #expect(
      error.map { text($0.message) }
        == "option T asks for TLS, but the URL begins with ws://; write wss:// or leave T out (given: 'ws://b:1/')")
    options.endpoints.removeLast()
    #expect(throws: Never.self) { try options.check() }
  }

  @Test("Beeps come every five seconds at most, every fifteen without a number")
  func beeps() throws {
    #expect(try ForkOptions.parse(bytes("B")).beepSeconds == 15)
    #expect(try ForkOptions.parse(bytes("B()")).beepSeconds == 15)
    let fast = try ForkOptions.parse(bytes("B(2)"))
    #expect(fast.beepSeconds == 5)
    #expect(fast.warnings.count == 1)
    #expect(try ForkOptions.parse(bytes("p")).beepSeconds == nil)
  }

  @Test("Formats carry rate and encoding")
  func formats() throws {
    for format in WireFormat.all {
      let parsed = try ForkOptions.parse(bytes("f(\(format.name))")).format
      #expect(parsed == format)
      #expect(parsed.rateHertz % 50 == 0)
    }
    #expect(try ForkOptions.parse(bytes("f(ULAW)")).format.encoding == .muLaw)
    #expect(ForkOptions().format == .slin)
  }

  @Test("Headers and parameters are taken apart; the later one of a name counts")
  func fields() throws {
    let options = try ForkOptions.parse(
      bytes("H(Authorization: Bearer a.b=&X-Call:  7 )s(lang=de&text=a%26b%2Cc&lang=en)"))
    #expect(options.headers.map { text($0.name) } == ["Authorization", "X-Call"])
    #expect(options.headers.map { text($0.value) } == ["Bearer a.b=", "7"])
    #expect(options.parameters.map { text($0.name) } == ["text", "lang"])
    #expect(options.parameters.map { text($0.value) } == ["a&b,c", "en"])
    #expect(try ForkOptions.parse(bytes("H(X-A: 1)H(x-a: 2)")).headers.map { text($0.value) } == ["2"])
  }

  @Test(
    "What would break the request or is AudioFork's own is no header, and a refused one is not shown",
    arguments: [
      "H()", "H(X)", "H(: v)", "H(X Y: v)", "H(X: a\nY: b)", "H(Host: s3cret)", "H(Sec-WebSocket-Key: s3cret)",
      "H(AudioFork-ID: s3cret)", "H(Content-Length: 5)", "H(X: 1&)", "s()", "s(=s3cret)", "s(s3cret)", "s(a b=1)",
    ])
  func badFields(given: String) {
    let error = #expect(throws: OptionError.self) { try ForkOptions.parse(bytes(given)) }
    #expect(error.map { text($0.message).contains("does not accept what it was given; the form is") } == true)
    #expect(error.map { !text($0.message).contains("s3cret") } == true)
  }

  @Test("Options are shown without what may be a secret")
  func shown() {
    #expect(text(ForkOptions.shown(options: bytes("D(in)H(A: s3cret(x))nr(5)s(k=s3cret"))) == "D(in)H(...)nr(5)s(...)")
    #expect(text(ForkOptions.shown(options: bytes("r(5 H(A: s3cret))n"))) == "r(5 H(...))n")
    #expect(text(ForkOptions.shown(options: bytes("r(5"))) == "r(5")
    // By a parenthesis of its own the secret was cut in two; its other half reads like options for a while.
    #expect(text(ForkOptions.shown(options: bytes("H(A: s3)cret)D(in)"))) == "H(...)...")
    #expect(text(ForkOptions.shown(options: bytes("D(in) s(k=a)b*cret"))) == "D(in) s(...)b...")
    #expect(text(ForkOptions.shown(setting: bytes("header=A: s3cret"))) == "header=...")
    #expect(text(ForkOptions.shown(setting: bytes("format=ulaw"))) == "format=ulaw")
    #expect(text(ForkOptions.shown(setting: bytes("later=s3cret"))) == "later=...")
  }

  @Test("Random bytes are parsed or refused, never a trap")
  func randomBytes() {
    var generator = SystemRandomNumberGenerator()
    for _ in 0..<20_000 {
      let length = Int.random(in: 0...24, using: &generator)
      let alphabet = Bytes("abBpPvVWiDfnSaTRrwHsx()&:=%-+bot0123456789 \u{0}\u{1}\u{7f}".utf8) + [0xff, 0x80]
      let given = (0..<length).map { _ in alphabet.randomElement(using: &generator) ?? 0 }
      _ = try? ForkOptions.parse(given)
      _ = try? EndpointURL.parse(bytes("ws://") + given)
      _ = try? EndpointURL.parse(given)
    }
  }
}

/// A value of this kind.
private func example(_ kind: SettingKind) -> String {
  switch kind {
  case .url: "wss://example.org/x"
  case .header, .headers: "X-Name: value"
  case .parameters: "key=value"
  case .direction: "stereo"
  case .format: "slin16"
  case .dialect: "audiofork"
  case .subprotocol: "one, two"
  case .gainIn, .gainOut, .gainBoth: "-2"
  case .beepInterval: "30"
  case .idVariable, .textVariable: "NAME"
  case .tls: "insecure"
  case .verify, .ping, .digits: "no"
  case .acknowledge: "persisted"
  case .replay: "none"
  case .onFailure: "hangup"
  case .spool: "/var/spool/some"
  case .spoolTime, .spoolLimit: "60"
  case .spoolSync: "yes"
  case .caFile, .certificateFile, .keyFile: "/etc/ssl/some.pem"
  case .reconnectMaxWait, .connectTimeout, .silence, .buffer, .drain: "30"
  case .reconnectAttempts, .outage: "7"
  case .onClose: "reconnect"
  case .tokenFile, .headerFile: "/run/secrets/some"
  case .align: "60"
  case .redirects: "yes"
  case .proxy: "http://user:password@proxy.example.org:3128"
  case .noProxy: ".example.org, 10.0.0.0/8"
  case .message: "200"
  case .catchUp: "1.5x"
  case .firstText, .lastText: #"{"eof":1}"#
  case .linger: "5"
  }
}

@Suite("Profiles of audiofork.conf")
struct ProfileTests {
  @Test("Every key takes a value of its kind and changes something; options override it")
  func keys() throws {
    for key in ProfileKey.all {
      var options = ForkOptions()
      try options.apply(key, bytes(example(key.kind)))
      #expect(options != ForkOptions(), "\(key.name)")
    }
    #expect(ProfileKey.all.allSatisfy { $0.help.count > 10 })
    for (value, milliseconds) in [("19", nil), ("20", 20), ("500", 500), ("501", nil), ("60 ms", nil), ("", nil)] {
      var options = ForkOptions()
      try? options.apply(#require(ProfileKey.named(bytes("align"))), bytes(value))
      #expect(options.alignMillisecondsGiven == milliseconds, "\(value)")
      #expect(options.alignMilliseconds == milliseconds ?? 160, "the dialect's own")
    }
    var options = ForkOptions()
    try options.apply(#require(ProfileKey.named(bytes("FORMAT"))), bytes("ulaw"))
    try options.apply(#require(ProfileKey.named(bytes("reconnect_max_wait"))), bytes("9"))
    try options.apply(options: bytes("f(alaw)"))
    #expect(options.format.encoding == .aLaw)
    #expect(options.attemptSeconds == 9)
    try options.apply(#require(ProfileKey.named(bytes("connect_timeout"))), bytes("2"))
    #expect(options.attemptSeconds == 2)
  }

  @Test("An outage is limited by time unless attempts are counted or there is a spool; what is given always holds")
  func outage() throws {
    func seconds(_ lines: [(String, String)]) throws -> Int? {
      var options = ForkOptions()
      for (name, value) in lines { try options.apply(#require(ProfileKey.named(bytes(name))), bytes(value)) }
      return options.outageSeconds
    }
    #expect(try seconds([]) == 300)
    #expect(try seconds([("reconnect_attempts", "20")]) == nil)
    #expect(try seconds([("spool", "/var/spool/some")]) == nil)
    #expect(try seconds([("outage", "0")]) == nil)
    #expect(try seconds([("outage", "86400"), ("spool", "/var/spool/some")]) == 86_400)
    #expect(try seconds([("outage", "7"), ("reconnect_attempts", "20")]) == 7)
    for value in ["-1", "86401", "5m", ""] {
      #expect(throws: OptionError.self) { try seconds([("outage", value)]) }
    }
  }

  @Test("URLs keep their order, sub-protocols may be none")
  func lists() throws {
    var options = ForkOptions()
    for url in ["ws://a/", "wss://b/"] { try options.apply(#require(ProfileKey.named(bytes("url"))), bytes(url)) }
    #expect(options.endpoints.map { text($0.shown) } == ["ws://a/", "wss://b/"])
    try options.apply(#require(ProfileKey.named(bytes("subprotocol"))), bytes(""))
    #expect(options.subprotocols == [])
  }

  @Test(
    "A bad value is refused by key, value and accepted form",
    arguments: [
      ("buffer", "0", "buffer = '0' is not accepted; it takes a whole number of seconds from 1 to 600"),
      ("verify", "maybe", "verify = 'maybe' is not accepted; it takes yes or no"),
      ("ca_file", "ca.pem", "ca_file = 'ca.pem' is not accepted; it takes an absolute path"),
      ("header", "s3cret", "header does not accept what it was given; it takes Name: value"),
      (
        "format", "mp3",
        "format = 'mp3' is not accepted; it takes slin, slin12, slin16, slin24, slin32, slin44, slin48, ulaw or alaw"
      ),
      (
        "message", "30",
        "message = '30' is not accepted; it takes a number of milliseconds from 20 to 1000 in steps of 20"
      ),
      ("linger", "61", "linger = '61' is not accepted; it takes a whole number of seconds from 0 to 60"),
      (
        "catch_up", "0.99",
        "catch_up = '0.99' is not accepted; it takes a number from 1 to 100 with at most two decimals, or nothing"
      ),
      (
        "first_text", "s3cret \u{1}" + String(repeating: "x", count: 8192),
        "first_text does not accept what it was given; it takes a text of at most 8192 bytes in UTF-8, or nothing"
      ),
      ("subprotocol", "a,,b", "subprotocol = 'a,,b' is not accepted; it takes names separated by commas, or nothing"),
    ])
  func refused(key: String, value: String, message: String) throws {
    var options = ForkOptions()
    let found = try #require(ProfileKey.named(bytes(key)))
    let error = #expect(throws: OptionError.self) { try options.apply(found, bytes(value)) }
    #expect(error.map { text($0.message) } == message)
  }

  @Test("A message is 20 to 1000 ms long, in steps of 20, by the option or the key")
  func messages() throws {
    #expect(ForkOptions().messageMilliseconds == 20)
    for length in [20, 40, 200, 1000] {
      #expect(try ForkOptions.parse(bytes("m(\(length))w(audiofork)")).messageMilliseconds == length)
    }
    for value in ["", "0", "19", "30", "1001", "1020", "-20", "20ms"] {
      let error = #expect(throws: OptionError.self) { try ForkOptions.parse(bytes("m(\(value))")) }
      #expect(
        error.map { text($0.message) }
          == "option m does not accept '\(value)'; the form is m(milliseconds), 20 to 1000 in steps of 20")
    }
  }

  @Test("The pace of a replay has at most two decimals")
  func catchUp() throws {
    let key = try #require(ProfileKey.named(bytes("catch_up")))
    func hundredths(_ value: String) throws -> Int? {
      var options = ForkOptions()
      try options.apply(key, bytes("3"))
      try options.apply(key, bytes(value))
      return options.catchUpHundredths
    }
    for (value, expected) in [
      ("1", 100), ("1.0", 100), ("1.25", 125), ("1.5x", 150), ("2X", 200), ("1.05", 105), ("100", 10_000),
    ] {
      #expect(try hundredths(value) == expected, "\(value)")
    }
    #expect(try hundredths("") == nil)
    for value in ["0", "0.99", "100.01", "1.255", "1.", ".5", "x", "1.x", "1,5", "-2", "2 x", "1e1", "99999999999"] {
      #expect(throws: OptionError.self, "\(value)") { try hundredths(value) }
    }
  }

  @Test("Texts and linger are for a dialect that does not say itself how a stream ends")
  func serverTexts() throws {
    func options(_ lines: [(String, String)], _ options: String = "") throws -> ForkOptions {
      var result = ForkOptions()
      for (name, value) in lines { try result.apply(#require(ProfileKey.named(bytes(name))), bytes(value)) }
      try result.apply(options: bytes(options))
      try result.check()
      return result
    }
    let given = try options([("first_text", "{}"), ("last_text", "eof"), ("linger", "60")])
    #expect(given.firstText == bytes("{}") && given.lastText == bytes("eof") && given.lingerSeconds == 60)
    #expect(try options([("first_text", "{}"), ("first_text", "")], "w(audiofork)").firstText.isEmpty)
    #expect(try options([("linger", "60")], "w(audiofork)").lingerSeconds == 0)
    for name in ["first_text", "last_text"] {
      let error = #expect(throws: OptionError.self) { try options([(name, "x")], "w(audiofork)") }
      #expect(
        error.map { text($0.message) }
          == "\(name) cannot be given with dialect audiofork, which says itself how a stream begins and ends; "
          + "leave it out")
      var result = ForkOptions()
      #expect(throws: OptionError.self) { try result.apply(#require(ProfileKey.named(bytes(name))), [0x41, 0xFF]) }
      #expect(text(ForkOptions.shown(setting: bytes("\(name)=s3cret"))) == "\(name)=...")
    }
  }

  @Test("Digits are told unless a profile says no, in any of Asterisk's words")
  func digits() throws {
    let key = try #require(ProfileKey.named(bytes("digits")))
    #expect(ForkOptions().sendsDigits)
    for (word, isOn) in [("no", false), ("off", false), ("0", false), ("yes", true), ("TRUE", true)] {
      var options = ForkOptions()
      try options.apply(key, bytes(word))
      #expect(options.sendsDigits == isOn, "\(word)")
    }
    var options = ForkOptions()
    let error = #expect(throws: OptionError.self) { try options.apply(key, bytes("none")) }
    #expect(error.map { text($0.message) } == "digits = 'none' is not accepted; it takes yes or no")
  }

  @Test("A certificate without its key is refused, and the reverse")
  func keyPair() throws {
    for name in ["cert_file", "key_file"] {
      var options = ForkOptions()
      try options.apply(#require(ProfileKey.named(bytes(name))), bytes("/x.pem"))
      #expect(throws: OptionError.self) { try options.check() }
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
      ("wss://example.org/in", "example.org", 443, "/in", "example.org"),
      ("wss://example.org:443", "example.org", 443, "/", "example.org"),
      ("wss://example.org:80", "example.org", 80, "/", "example.org:80"),
      ("ws://example.org:443", "example.org", 443, "/", "example.org:443"),
      ("ws://bob:p@ss@example.org/x@y", "example.org", 80, "/x@y", "example.org"),
    ])
  func good(given: String, host: String, port: Int, target: String, header: String) throws {
    let url = try EndpointURL.parse(bytes(given))
    #expect(text(url.host) == host)
    #expect(url.port == port)
    #expect(text(url.target) == target)
    #expect(text(url.hostHeader) == header)
    #expect(url.isSecure == (port == 443 && !given.hasPrefix("ws:") || given.hasPrefix("wss:")))
  }

  @Test("Query values that are likely secrets are not shown, and travel all the same")
  func querySecrets() throws {
    let url = try EndpointURL.parse(
      bytes("wss://h/x?token=s3cret&call=7&Access_Token=s3cret&k%65y=s3cret&api-key=s3cret&monkey=1&flag&sig=s3cret"))
    #expect(
      text(url.shown) == "wss://h/x?token=***&call=7&Access_Token=***&k%65y=***&api-key=***&monkey=1&flag&sig=***")
    #expect(text(url.target).contains("token=s3cret"))
    let error = #expect(throws: OptionError.self) { try EndpointURL.parse(bytes("ws://h:0/?token=s3cret")) }
    #expect(error.map { !text($0.message).contains("s3cret") } == true)
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
      "", "8080", "example.org/x", "http://example.org/", "https://example.org/", "wss://", "ws://", "ws:///x",
      "ws://:80/", "ws://host:0/", "ws://host:70000/", "ws://host:x/", "ws://host:/", "ws://ho st/", "ws://host/\n",
      "ws://[::1/", "ws://[]/", "ws://[::1]x/", "ws://[zz]/", "ws://a/#f", "ws://ho$t/", "ws://\u{e4}.example/",
    ])
  func bad(given: String) {
    #expect(throws: OptionError.self) { try EndpointURL.parse(bytes(given)) }
  }
}
