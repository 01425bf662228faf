// SPDX-License-Identifier: Apache-2.0
import AudioForkCapture
import AudioForkLink
import AudioForkRing
import CAsterisk
import Foundation
import Testing

/// What strangers can do with text of theirs, as far as the module alone decides it.
@Suite("Text of strangers", .serialized)
struct UntrustedTextRealTimeTests {
  @Test("Each ^{...} is evaluated once, behind the parsing, and the engine is told the values apart")
  func evaluated() throws {
    let module = try LoadedModule()
    let channel = fake_channel("PJSIP/100-1", 8000)
    fake_caller(channel, "1,r(0),id", "x)T(insecure&Evil: 1\t")
    pbx_builtin_setvar_helper(channel, "TWICE", "^{SHELL(id)}")
    let id = try #require(
      module.start(
        channel,
        """
        wss://h/^{CALLERID(num)}?x=^{TWICE:0:3},D(in)\
        H(X-Name: ^{CALLERID(name)}&X-Twice: ^{TWICE})s(n=^{CALLERID(name)})r(2)
        """
      ))
    let facts = try module.ring(id).facts
    #expect(facts.settings.urls.map { String(decoding: $0, as: UTF8.self) } == ["wss://h/1%2Cr%280%29%2Cid?x=%5E%7BS"])
    #expect(facts.settings.options.isEmpty)
    #expect(
      facts.settings.evaluatedOptions.map { String(decoding: $0, as: UTF8.self) } == [
        "Din", "HX-Name: x)T(insecure&Evil: 1", "HX-Twice: ^{SHELL(id)}", "sn=x)T(insecure&Evil: 1\t", "r2",
      ])
    #expect(FakedAsterisk.variable(channel, "AUDIOFORK_WSSERVER") == "wss://h/1%2Cr%280%29%2Cid?x=%5E%7BS")
    module.end([channel], [id])
  }

  @Test("Refused functions count as empty, and the log has one line, however many there are")
  func refused() throws {
    let module = try LoadedModule()
    let channel = fake_channel("PJSIP/100-1", 8000)
    let id = try #require(
      module.start(channel, "ws://h/,H(A: ^{SHELL(id)}^{DB(a/b)}^{FILE(/etc/passwd)}&B: ^{CALLERID(num)})"))
    let evaluated = try module.ring(id).facts.settings.evaluatedOptions.map { String(decoding: $0, as: UTF8.self) }
    #expect(evaluated == ["HA: ", "HB: "])
    let lines = FakedAsterisk.log.split(separator: "\n").filter { $0.contains("count as empty") }
    #expect(
      lines.count == 1
        && lines.first?.contains("PJSIP/100-1: 3 expressions count as empty, the first is '^{SHELL(id)}'") == true)
    module.end([channel], [id])
  }

  @Test("What a profile's line is evaluated to never refuses a fork")
  func profile() throws {
    let module = try LoadedModule(
      """
      buffer=${BUFFER}
      [recorder]
      url=${NOTHING}
      url=ws://h/${NUMBER}/^{NUMBER}
      header=X-Name: ${NAME}
      header=X-Other: ^{NAME}
      header=${NAME}
      drain=${NUMBER}
      format=^{FORMAT}
      """)
    let channel = fake_channel("PJSIP/100-1", 8000)
    pbx_builtin_setvar_helper(channel, "NUMBER", "1 /2#3")
    pbx_builtin_setvar_helper(channel, "NAME", "a\r\nEvil: ^{NUMBER}")
    pbx_builtin_setvar_helper(channel, "FORMAT", "alaw")
    let id = try #require(module.start(channel, "recorder"))
    let facts = try module.ring(id).facts
    #expect(facts.settings.urls.map { String(decoding: $0, as: UTF8.self) } == ["ws://h/1%20/2%233/1%20%2F2%233"])
    #expect(
      facts.settings.lines.map { String(decoding: $0, as: UTF8.self) } == [
        "header=X-Name: a%0D%0AEvil: ^{NUMBER}", "header=X-Other: a%0D%0AEvil: ^{NUMBER}", "format=alaw",
      ])
    for line in [
      "[general]: buffer = ''", "profile recorder: a URL is needed", "profile recorder: drain = '1 /2#3'",
      "profile recorder: header does not",
    ] {
      #expect(
        FakedAsterisk.log.split(separator: "\n").count { $0.contains(line) && $0.contains("the line is left out") }
          == 1, "\(line)")
    }
    module.end([channel], [id])
  }

  @Test(
    "A caller's name stays inside of its string in a text for the server, as ^{...} and as ${...}",
    arguments: [#"","x":""#, #"\"#, "a\"b\\c", "tab\tbreak\r\n", "Zoë", "^{NUMBER}", #"${NUMBER}"#])
  func serverTexts(name: String) throws {
    let module = try LoadedModule(
      """
      [recorder]
      url=ws://h/
      first_text={"caller":"^{NAME}","also":"${NAME}","rate":${RATE}}
      last_text=${EOF}
      """)
    let channel = fake_channel("PJSIP/100-1", 8000)
    pbx_builtin_setvar_helper(channel, "NAME", name)
    pbx_builtin_setvar_helper(channel, "RATE", "8000")
    pbx_builtin_setvar_helper(channel, "EOF", #"{"eof":1}"#)
    let id = try #require(module.start(channel, "recorder"))
    let lines = try module.ring(id).facts.settings.lines.map { String(decoding: $0, as: UTF8.self) }
    #expect(lines.count == 2 && lines.last == #"last_text={"eof":1}"#)
    let text = try #require(lines.first).dropFirst("first_text=".count)
    let object = try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
    #expect(object.count == 3 && object["rate"] as? Int == 8000)
    #expect(object["caller"] as? String == name && object["also"] as? String == name)
    module.end([channel], [id])
  }

  @Test("A long name in a text for the server takes no room from the request, and each text has its own")
  func longTexts() throws {
    let module = try LoadedModule(
      """
      [recorder]
      url=ws://h/
      first_text={"caller":"^{NAME}"}
      last_text=^{NAME}
      header=X-Name: ^{SHORT}
      [full]
      url=ws://h/
      first_text=^{NAME}^{NAME}
      """)
    func count(_ text: String) -> Int { FakedAsterisk.log.components(separatedBy: text).count - 1 }
    let (cut, full) = ("in the request are cut", "has reached its limit of 8192 bytes")
    let before = (cut: count(cut), full: count(full))
    let channel = fake_channel("PJSIP/100-1", 8000)
    let name = String(repeating: "a", count: 6000)
    pbx_builtin_setvar_helper(channel, "NAME", name)
    pbx_builtin_setvar_helper(channel, "SHORT", "Anna")
    let id = try #require(module.start(channel, "recorder"))
    let lines = try module.ring(id).facts.settings.lines.map { String(decoding: $0, as: UTF8.self) }
    #expect(
      Set(lines) == [#"first_text={"caller":"\#(name)"}"#, "last_text=\(name)", "header=X-Name: Anna"],
      "\(lines.map { $0.prefix(40) })")
    #expect(count(cut) == before.cut && count(full) == before.full)
    let other = try #require(module.start(channel, "full"))
    #expect(try module.ring(other).facts.settings.lines.first?.count == "first_text=".count + 8192)
    #expect(count(cut) == before.cut && count(full) == before.full + 1)
    module.end([channel], [id, other])
  }

  @Test("A profile whose URLs all come to nothing is refused, and on_failure evaluated to nonsense is strict")
  func noURL() throws {
    let module = try LoadedModule("[r]\nurl=${NOTHING}\non_failure=${NOTHING}\n")
    let channel = fake_channel("PJSIP/100-1", 8000)
    #expect(af_exec_start(channel, "r") == -1)
    #expect(FakedAsterisk.log.contains("profile r: none of its url lines gave a URL; see the lines above"))
    module.end([channel], [])
  }

  @Test(
    "An evaluated value that contradicts another option is left out with one warning, and written options are refused")
  func contradictions() throws {
    let module = try LoadedModule(
      """
      buffer=1
      buffer_total=5
      allow=ws://h/
      allow=ws://h/*
      allow=wss://h/*
      [recorder]
      url=wss://h/1
      url=ws://h/${PATH}
      url=ws://${PATH}/
      subprotocol=echo
      cert_file=/cert.pem
      key_file=^{NOTHING}
      buffer=^{BUFFER}
      [twice]
      url=ws://h/2
      buffer=^{BUFFER}
      buffer=^{BUFFER}
      """)
    let channel = fake_channel("PJSIP/100-1", 8000)
    for (name, value) in [("TLS", "on"), ("DIALECT", "audiofork"), ("PATH", "x"), ("BUFFER", "600")] {
      pbx_builtin_setvar_helper(channel, name, value)
    }
    func warnings(_ id: String) -> [String] {
      FakedAsterisk.log.split(separator: "\n").filter { $0.contains(id) && $0.contains(" is left out") }.map {
        String($0)
      }
    }
    func texts(_ bytes: [[UInt8]]) -> [String] { bytes.map { String(decoding: $0, as: UTF8.self) } }

    let plain = try #require(module.start(channel, "ws://h/,T(^{TLS})r(2)"))
    #expect(try texts(module.ring(plain).facts.settings.evaluatedOptions) == ["r2"])
    #expect(warnings(plain).count == 1)
    let contradiction = "option T(on) is left out: option T asks for TLS, but the URL begins with ws://"
    #expect(warnings(plain).first?.hasSuffix(contradiction) == true)

    let many = try #require(module.start(channel, "recorder,Tw(^{DIALECT})"))
    let facts = try module.ring(many).facts
    #expect(texts(facts.settings.urls) == ["wss://h/1"])
    #expect(texts(facts.settings.lines) == ["buffer=1", "subprotocol=echo"])
    #expect(texts(facts.settings.evaluatedOptions) == ["T"])
    for line in [
      "profile recorder: key_file = '' is not accepted", "url = 'ws://x/' is left out: the URL ws://x/ is not allowed",
      "url = 'ws://h/x' is left out: option T", "option w(audiofork) is left out: subprotocol",
      "cert_file = '/cert.pem' is left out",
      "buffer = '600' is left out: buffer_total is reached",
    ] {
      #expect(warnings(many).count { $0.contains(line) } == 1, "\(line)")
    }
    #expect(warnings(many).count == 6)

    let twice = try #require(module.start(channel, "twice"))
    #expect(try texts(module.ring(twice).facts.settings.lines) == ["buffer=1"])
    #expect(warnings(twice).count == 2)

    #expect(module.start(channel, "ws://h/,TH(A: ^{TLS})") == nil)
    #expect(FakedAsterisk.log.contains("write wss:// or leave T out (given: 'ws://h/')"))
    #expect(module.start(channel, "ws://x/^{PATH}") == nil)
    #expect(FakedAsterisk.log.contains("the URL ws://x/x is not allowed"))
    module.end([channel], [plain, many, twice])
  }

  @Test("Without a dialplan a command is refused and an expression is text; in a bridge a command is refused")
  func origins() throws {
    let module = try LoadedModule()
    let channel = fake_channel("PJSIP/100-1", 8000)
    fake_caller(channel, "100", nil)
    func refusals() -> Int {
      FakedAsterisk.log.split(separator: "\n").count {
        $0.contains("a command, the third argument, runs only for a dialplan")
      }
    }
    fake_dialplan(channel, 0)
    #expect(module.start(channel, "ws://h/,r(0),id") == nil)
    #expect(refusals() == 1)
    let bare = try #require(module.start(channel, "ws://h/^{CALLERID(num)},H(A: ^{CALLERID(num)})"))
    #expect(try module.ring(bare).facts.settings.options == Array("H(A: ^{CALLERID(num)})".utf8))
    #expect(try module.ring(bare).facts.settings.urls == [Array("ws://h/^{CALLERID(num)}".utf8)])
    fake_dialplan(channel, 1)
    fake_bridge(channel, 1)
    #expect(module.start(channel, "ws://h/,r(0),id") == nil)
    #expect(refusals() == 2)
    let feature = try #require(module.start(channel, "ws://h/^{CALLERID(num)}"))
    #expect(try module.ring(feature).facts.settings.urls == [Array("ws://h/100".utf8)])
    #expect(CaptureRealTimeTests.cli("audiofork start PJSIP/100-1 ws://h/,,id").contains("runs only for a dialplan"))
    module.end([channel], [bare, feature])
  }

  @Test("A command finds what the fork was in its environment, on one line each")
  func environment() throws {
    let module = try LoadedModule()
    let place = FileManager.default.temporaryDirectory.appending(
      path: "af-environment-\(UInt32.random(in: 0...UInt32.max))")
    defer { try? FileManager.default.removeItem(at: place) }
    let channel = fake_channel("PJSIP/100-1", 8000)
    fake_caller(channel, "$(id)", "A\nB'\"; id")
    let id = try #require(module.start(channel, "ws://u:pw@h/?token=1,,env | grep ^AUDIOFORK | sort > \(place.path)"))
    module.end([channel], [id])
    let environment = try String(contentsOf: place, encoding: .utf8)
    #expect(
      environment == """
        AUDIOFORK_CALLERID_NAME=A?B'"; id
        AUDIOFORK_CALLERID_NUM=$(id)
        AUDIOFORK_CHANNEL=PJSIP/100-1
        AUDIOFORK_ID=\(id)
        AUDIOFORK_REASON=done
        AUDIOFORK_URL=ws://h/?token=***

        """)
  }
}
