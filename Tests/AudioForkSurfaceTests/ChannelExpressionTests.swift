// SPDX-License-Identifier: Apache-2.0
import AudioForkBytes
import AudioForkSurface
import Testing

/// What a channel with these variables answers; functions answer with their own call.
private struct Channel {
  var variables: [String: String] = [
    "NAME": "Anna", "EVIL": "x)T(insecure", "CALL": "^{SHELL(touch x)}", "LONG": "0123456789",
  ]

  func evaluate(_ call: ChannelCall) -> Bytes {
    guard call.isAllowed() else { return [] }
    let name = String(decoding: call.name, as: UTF8.self)
    guard let arguments = call.arguments else { return Bytes((variables[name] ?? "").utf8) }
    if name == "CALLERID" { return Bytes((variables["NAME"] ?? "").utf8) }
    return Bytes("<\(name)|\(String(decoding: arguments, as: UTF8.self))>".utf8)
  }
}

private func bytes(_ text: String) -> Bytes { Bytes(text.utf8) }
private func string(_ bytes: Bytes) -> String { String(decoding: bytes, as: UTF8.self) }

@Suite("Expressions ^{...}")
struct ChannelExpressionTests {
  @Test(
    "A unit stands for its value",
    arguments: [
      ("^{NAME}", "Anna"), ("a^{NAME}b^{NAME}", "aAnnabAnna"), ("^{NOTHING}", ""), ("^{LONG:3}", "3456789"),
      ("^{LONG:3:2}", "34"), ("^{LONG:-3}", "789"), ("^{LONG:-3:2}", "78"), ("^{LONG:2:-3}", "23456"),
      ("^{LONG:20}", ""), ("^{LONG:-20:2}", "01"), ("^{LONG:0:-20}", ""), ("^{LONG:x}", "0123456789"),
      ("^{LONG:1:x}", "123456789"), ("^{CALLERID(name):1:2}", "nn"), ("^{FILTER(a-z,^{NAME})}", "<FILTER|a-z,Anna>"),
      ("^{LEN(^{QUOTE(^{NAME})})}", "<LEN|<QUOTE|Anna>>"), ("^{LEN(a)b)}", ""), ("^{LEN(a}", ""), ("^{}", ""),
      ("^{NAME", "^{NAME"), ("^ {NAME}", "^ {NAME}"), ("^{NAME}}", "Anna}"),
    ])
  func values(text: String, value: String) {
    #expect(string(ArgumentTemplate(bytes(text)).text(Channel().evaluate)) == value)
  }

  @Test("A value is never scanned again, and a name is literal")
  func onceOnly() {
    let channel = Channel()
    #expect(string(ArgumentTemplate(bytes("^{CALL}")).text(channel.evaluate)) == "^{SHELL(touch x)}")
    #expect(string(ArgumentTemplate(bytes("^{^{NAME}}")).text(channel.evaluate)) == "")
    #expect(string(ArgumentTemplate(bytes("^{^{NAME}(x)}")).text(channel.evaluate)) == "")
    #expect(string(ArgumentTemplate(bytes("^{${NAME}}")).text(channel.evaluate)) == "")
  }

  @Test(
    "Functions that reach beyond the call are refused, by whatever way they are named",
    arguments: [
      "^{SHELL(touch x)}", "^{shell(touch x)}", "^{FILE(/etc/passwd)}", "^{DB(a/b)}", "^{DB_DELETE(a/b)}",
      "^{REALTIME(a,b,c)}", "^{REALTIME_FIELD(a,b,c)}", "^{CURL(http://x)}", "^{EVAL(^{CALL})}", "^{ODBC_X(1)}",
      "^{CUT(SHELL(touch x),-,1)}", "^{FIELDQTY(x,SHELL(touch x))}", "^{CUT(${NAME},-,1)}", "^{FIELDNUM($[1+1],-,1)}",
      "^{CUT(^{CALL},-,1)}", "^{IMPORT(a,b)}", "^{MASTER_CHANNEL(x)}", "^{CUT(SHE\\LL(touch x),-,1)}",
      "^{CUT(\"SHE\"LL(touch x),-,1)}", "^{CUT($\\{X},-,1)}", "^{FIELDQTY(D\\B(a/b),-)}", "^{SET(GLOBAL(TRUNK)=x)}",
      "^{VM_INFO(100,password)}", "^{SHARED(x,y)}", "^{OFFICE_PRESENCE(1)}", "^{UNKNOWN(x)}",
    ])
  func refused(text: String) {
    #expect(string(ArgumentTemplate(bytes(text)).text(Channel().evaluate)) == "")
  }

  @Test("In a setting what stands inside of ${...} is Asterisk's")
  func settings() {
    let template = ArgumentTemplate(setting: bytes("a${IF($[\"^{X}\" = \"\"]?b:c)}d^{NAME}e$[1+^{Y}]"))
    let mapped = template.mapText { bytes("[\(string($0))^{NAME}]") }
    #expect(
      string(mapped.text(Channel().evaluate))
        == "[a${IF($[\"^{X}\" = \"\"]?b:c)}d^{NAME}]Anna[e$[1+^{Y}]^{NAME}]")
  }

  @Test("Nesting has a limit, and what lies beyond it costs nothing")
  func depth() {
    let nested = String(repeating: "^{LEN(", count: 100) + "x" + String(repeating: ")}", count: 100)
    #expect(string(ArgumentTemplate(bytes(nested)).text(Channel().evaluate)).hasPrefix("<LEN|<LEN|"))
    let open = String(repeating: "^{LEN(", count: 2000)
    #expect(string(ArgumentTemplate(bytes(open)).text(Channel().evaluate)) == open)
    let long = String(repeating: "^{LEN(", count: 1000) + String(repeating: ")}", count: 1000)
    let text = string(ArgumentTemplate(bytes(long)).text(Channel().evaluate))
    #expect(text.hasPrefix("^{LEN(^{LEN("), "longer than a unit may be")
  }

  @Test("An administrator may allow further functions, but none that reaches beyond the call")
  func more() {
    let call = { (name: String, arguments: String) in
      ChannelCall(source: [], name: bytes(name), arguments: bytes(arguments))
    }
    #expect(call("CRM_NAME", "5").isAllowed([bytes("crm_name")]))
    #expect(!call("CRM_NAME", "$(x)").isAllowed([bytes("crm_name")]))
    #expect(!call("CRM_NAME", "5").isAllowed())
    #expect(!call("SHELL", "id").isAllowed([bytes("SHELL")]))
    #expect(!ChannelCall.mayBeAllowed(bytes("ODBC_X")) && ChannelCall.mayBeAllowed(bytes("CRM_NAME")))
    #expect(!call("LEN", String(repeating: "x", count: 8193)).isAllowed())
  }
}

@Suite("Arguments of AudioFork()")
struct ForkArgumentsTests {
  @Test(
    "They are separated as Asterisk separates them",
    arguments: [
      ("ws://h/,D(in),touch x", "ws://h/", "D(in)", "touch x"),
      (" ws://h/ ,D(in)H(A: b,c),echo \"a,b\" \\, c", "ws://h/", "D(in)H(A: b,c)", "echo \"a,b\" \\, c"),
      ("\"ws://h/a,b\",n", "ws://h/a,b", "n", ""), ("ws://h/a\\,b,n", "ws://h/a,b", "n", ""),
      ("ws://h/[a,b],n", "ws://h/[a,b]", "n", ""), ("ws://h/,s(a={\"b\":1})", "ws://h/", "s(a={b:1})", ""),
      ("ws://h/)),n", "ws://h/))", "n", ""), ("ws://h/,", "ws://h/", "", ""), ("", "", "", ""),
      ("ws://h/\\", "ws://h/", "", ""), ("ws://h/,n,", "ws://h/", "n", ""),
    ])
  func separated(text: String, url: String, options: String, command: String) {
    let arguments = ForkArguments(separating: bytes(text))
    #expect(string(arguments.url) == url)
    #expect(string(arguments.options) == options)
    #expect(string(arguments.command) == command)
  }

  @Test("An expression is one unit")
  func units() {
    let arguments = ForkArguments(separating: bytes("ws://h/^{F(a,b)},H(A: ^{F(\"x\\,),y)}),id"))
    #expect(string(arguments.url) == "ws://h/^{F(a,b)}")
    #expect(string(arguments.options) == "H(A: ^{F(\"x\\,),y)})")
    #expect(string(arguments.command) == "id")
    #expect(string(ForkArguments(separating: bytes("ws://h/^{A,B},n")).options) == "n")
  }

  @Test(
    "Options behind a second comma are noticed",
    arguments: [
      ("f(slin16)", true), ("D(in)", true), ("n", true), ("D(in)f(slin16)n", true), ("f(slin16),n", true),
      ("n,b", true), ("ps", false), ("id", false), ("touch x", false), ("echo (n)", false), ("", false),
      ("/bin/n", false), ("nb", false),
    ])
  func lookalikes(command: String, isOptions: Bool) {
    #expect(ForkArguments(command: bytes(command)).commandLooksLikeOptions == isOptions)
  }
}

@Suite("Options with expressions")
struct EvaluatedOptionTests {
  private func apply(
    _ text: String, _ channel: Channel = Channel()
  ) throws -> (options: ForkOptions, again: ForkOptions) {
    var options = ForkOptions()
    let evaluated = try options.apply(options: bytes(text), evaluating: channel.evaluate)
    var again = ForkOptions()
    for option in evaluated {
      let isTaken = again.apply(evaluated: option)
      #expect(isTaken, "\(string(option.argument))")
    }
    return (options, again)
  }

  @Test(
    "A stranger's name changes no option, no other header, and costs no fork",
    arguments: [
      "AT&T", "Anna :)", "6\" pipe", "[x", "x)T(insecure", "x)r(0", "x&Authorization: Bearer evil", "x),touch y #(",
      "a\tb\r\nEvil: yes", "^{SHELL(touch x)}", "%41", String(repeating: "x", count: 9000),
    ])
  func names(name: String) throws {
    let channel = Channel(variables: ["NAME": name])
    let (options, again) = try apply(
      "D(in)H(Authorization: good)H(X-Name: ^{CALLERID(name)}&B: c)s(n=^{NAME}&m=1)r(3)", channel)
    #expect(options.headers.map { string($0.name) } == ["Authorization", "X-Name", "B"])
    #expect(string(options.headers[0].value) == "good")
    let expected = name.replacing("\t", with: "%09").replacing("\r\n", with: "%0D%0A").prefix(8192)
    #expect(string(options.headers[1].value) == expected)
    #expect(string(options.parameters[0].value) == name.prefix(8192))
    #expect(string(options.parameters[1].value) == "1")
    #expect(options.direction == .in && options.tls == .none && options.reconnectAttempts == 3)
    #expect(options.warnings.isEmpty)
    #expect(again.headers == options.headers && again.parameters == options.parameters)
    #expect(again.direction == .in && again.reconnectAttempts == 3)
  }

  @Test("What was written in a parameter is decoded, what was evaluated is not")
  func parameters() throws {
    let (options, again) = try apply("s(a=%26^{NAME}%3D)", Channel(variables: ["NAME": "%41&=,"]))
    #expect(string(options.parameters[0].value) == "&%41&=,=")
    #expect(again.parameters == options.parameters)
  }

  @Test("Other options take values too; one that does not fit is left out with a warning")
  func others() throws {
    let (options, again) = try apply("D(^{NAME})f(^{F})r(2)", Channel(variables: ["NAME": "stereo", "F": "mp3"]))
    #expect(options.direction == .stereo && options.format == .slin)
    #expect(
      options.warnings.map(string) == [
        """
        option f is left out: its value 'mp3' is not accepted; the form is \
        f(slin|slin12|slin16|slin24|slin32|slin44|slin48|ulaw|alaw)
        """
      ])
    #expect(again.direction == .stereo && again.reconnectAttempts == 2)
  }

  @Test("The last one counts, whichever of them are evaluated")
  func order() throws {
    #expect(try apply("D(^{NAME})D(in)", Channel(variables: ["NAME": "out"])).again.direction == .in)
    #expect(try apply("D(in)D(^{NAME})", Channel(variables: ["NAME": "out"])).again.direction == .out)
  }

  @Test(
    "What is wrong as it was written is still refused",
    arguments: ["H(^{NAME}: x)", "H(^{NAME})", "s(^{NAME}=x)", "s(^{NAME})", "q^{NAME}", "D(^{NAME}"])
  func wrong(text: String) {
    #expect(throws: OptionError.self) { try apply(text) }
  }

  @Test("Where nothing is evaluated a unit is text")
  func text() throws {
    let options = try ForkOptions.parse(bytes("H(A: ^{F(a&b)}&B: c)s(x=^{Y=(})"))
    #expect(options.headers.map { string($0.value) } == ["^{F(a&b)}", "c"])
    #expect(options.parameters.map { string($0.value) } == ["^{Y=(}"])
  }
}

@Suite("URLs with expressions")
struct EvaluatedURLTests {
  @Test(
    "A value is a part of one segment or parameter",
    arguments: [
      ("ws://h/calls/^{NAME}", "1,r(0),id", "ws://h/calls/1%2Cr%280%29%2Cid"),
      ("ws://h/calls/^{NAME}?x=^{NAME}", "a/../b?c#d", "ws://h/calls/a%2F..%2Fb%3Fc%23d?x=a%2F..%2Fb%3Fc%23d"),
      ("ws://h?x=^{NAME}", "a&b=c d", "ws://h?x=a%26b%3Dc%20d"), ("wss://h/^{NAME}", "-._~aZ9", "wss://h/-._~aZ9"),
      ("ws://h/^{NAME}", "é\t", "ws://h/%C3%A9%09"), ("ws://h/", "x", "ws://h/"),
      ("ws://h/calls/^{NAME}", "..", "ws://h/calls/__"), ("ws://h/^{NAME}/audio?x=^{NAME}", ".", "ws://h/_/audio?x=."),
      ("ws://h/.^{NAME}/audio", ".", "ws://h/__/audio"), ("ws://h/%2e^{NAME}", ".", "ws://h/__"),
      ("ws://h/^{NAME}", "..a", "ws://h/..a"),
    ])
  func values(url: String, value: String, result: String) throws {
    let channel = Channel(variables: ["NAME": value])
    let text = try EndpointURL.text(ArgumentTemplate(bytes(url)), evaluating: channel.evaluate)
    #expect(string(text) == result)
    _ = try EndpointURL.parse(text)
  }

  @Test(
    "It stands in path and query only",
    arguments: [
      "ws://^{NAME}/", "ws://h:^{NAME}/", "ws://^{NAME}@h/", "^{NAME}", "^{NAME}://h/", "ws://h^{NAME}", "rec^{NAME}",
    ])
  func places(url: String) {
    #expect(throws: OptionError.self) {
      try EndpointURL.text(ArgumentTemplate(bytes(url)), evaluating: Channel().evaluate)
    }
  }

  @Test("A long value is cut, and the URL is still one")
  func long() throws {
    let channel = Channel(variables: ["NAME": String(repeating: "/", count: 8000)])
    let text = try EndpointURL.text(ArgumentTemplate(bytes("ws://h/^{NAME}?x=1")), evaluating: channel.evaluate)
    #expect(text.count <= EndpointURL.lengthMax && text.suffix(4) == [0x3F, 0x78, 0x3D, 0x31][...])
    _ = try EndpointURL.parse(text)
  }
}
