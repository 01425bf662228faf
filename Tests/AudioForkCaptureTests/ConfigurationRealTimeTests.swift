// SPDX-License-Identifier: Apache-2.0
import AudioForkBytes
import AudioForkCapture
import AudioForkLink
import AudioForkSurface
import AudioForkRing
import AudioForkTap
import CAsterisk
import Foundation
import Testing

@Suite("audiofork.conf and what a fork is made from", .serialized)
struct ConfigurationRealTimeTests {
  @Test("A profile's lines, evaluated, and the defaults of [general] are what the ring tells the engine")
  func profile() throws {
    let token = FileManager.default.temporaryDirectory.appending(path: "af-token-\(UInt32.random(in: 0...UInt32.max))")
    try "s3cret\n".write(to: token, atomically: true, encoding: .utf8)
    defer { try? FileManager.default.removeItem(at: token) }
    let module = try LoadedModule(
      """
      buffer=2
      drain=7
      reconnect_attempts=3
      [Recorder]
      url=ws://bob:pw@a.example:81/${CALL}?token=abc
      url=ws://b.example/
      header=Authorization: Bearer ${FILE(\(token.path))}
      direction=in
      drain=9
      align=60
      """)
    let channel = fake_channel("PJSIP/100-1", 8000)
    pbx_builtin_setvar_helper(channel, "CALL", "x1")
    let id = try #require(module.start(channel, "recorder,i(FORK)r(5)"))
    #expect(FakedAsterisk.variable(channel, "FORK") == id)
    #expect(FakedAsterisk.variable(channel, "AUDIOFORK_WSSERVER") == "ws://a.example:81/x1?token=***")
    let facts = try module.ring(id).facts
    #expect(facts.settings.urls == ["ws://bob:pw@a.example:81/x1?token=abc", "ws://b.example/"].map { Array($0.utf8) })
    let settings = facts.settings.lines.map { String(decoding: $0, as: UTF8.self) }
    #expect(
      settings == [
        "buffer=2", "drain=7", "reconnect_attempts=3", "header=Authorization: Bearer s3cret", "direction=in", "drain=9",
        "align=60",
      ])
    #expect(facts.settings.options == Array("i(FORK)r(5)".utf8))
    #expect(facts.drainSeconds == 9)
    #expect(facts.alignMilliseconds == 60)
    #expect(!FakedAsterisk.log.contains("s3cret"))
    module.end([channel], [id])
  }

  @Test("What a profile lacks or a fork may not do fails it with a line that says what to do")
  func failures() throws {
    let module = try LoadedModule(
      """
      allow=ws://good.example
      allow=ws://*.good.example/in/*
      [recorder]
      url=ws://good.example/
      header=X-Name: ${NAME}
      [other]
      url=ws://good.example/
      url=ws://bad.example/
      [tls]
      url=wss://good.example/
      """)
    let channel = fake_channel("PJSIP/100-1", 8000)
    for (arguments, line) in [
      (
        "nobody",
        """
        'nobody' is neither a URL nor a profile: the URL must begin with ws:// or wss://, and audiofork.conf has the \
        profiles recorder, other, tls
        """
      ),
      (
        "ws://u:pw@bad.example/x?token=1",
        "the URL ws://bad.example/x?token=*** is not allowed; a line allow in [general]"
      ),
      ("ws://a.good.example/out/x", "the URL ws://a.good.example/out/x is not allowed"),
      ("other", "the URL ws://bad.example/ is not allowed"),
      ("tls", "the URL wss://good.example/ is not allowed"),
      ("recorder,T(on)", "option T asks for TLS, but the URL begins with ws://"),
      ("recorder,Z", "unknown option 'Z'"),
    ] {
      #expect(module.start(channel, arguments) == nil, "\(arguments)")
      #expect(FakedAsterisk.log.contains(line), "\(arguments): \(line)")
    }
    pbx_builtin_setvar_helper(channel, "NAME", "fine")
    let first = try #require(module.start(channel, "RECORDER"))
    let second = try #require(module.start(channel, "ws://a.good.example/in/x"))
    module.end([channel], [first, second])
  }

  @Test(
    "A file with a mistake is refused by file, section, key and accepted form",
    arguments: [
      (
        "buffer=0",
        "audiofork.conf, [general]: buffer = '0' is not accepted; it takes a whole number of seconds from 1 to 600"
      ),
      ("drain=x", "[general]: drain = 'x' is not accepted"),
      ("buffer_total=-1", "[general]: buffer_total = '-1' is not accepted; it takes a whole number of megabytes"),
      ("stasis=maybe", "[general]: stasis = 'maybe' is not accepted; it takes yes or no"),
      ("allow=example.org", "[general]: allow = 'example.org' is not accepted; it takes ws[s]://host"),
      ("[a]\nformat=slin", "[a]: a profile needs a url"),
      ("[a]\nurl=http://x", "[a]: url: the URL must begin with ws:// or wss://"),
      ("[a]\nurl=ws://x\nformat=mp3", "[a]: format = 'mp3' is not accepted; it takes slin, slin12"),
      ("[a]\nurl=ws://x\nheader=secret", "[a]: header does not accept what it was given; it takes Name: value"),
      ("[a]\nurl=wss://x\ncert_file=/c.pem", "[a]: cert_file and key_file belong together"),
      ("[a]\nurl=ws://x\n[a]\nurl=ws://y", "[a]: there are two sections of this name"),
      ("[ws://x]\nurl=ws://x", "[ws://x]: a profile's name contains no '://'"),
      ("[a]\nurl=ws://x/${PATH}\ndrain=0", "[a]: drain = '0' is not accepted"),
      ("[a]\nurl=ws://^{HOST}/", "[a]: url: ^{...} may stand in the path and the query of a URL only"),
      (
        "functions=CRM_NAME,SHELL",
        "[general]: functions = 'CRM_NAME,SHELL' is not accepted; it takes names of dialplan functions"
      ),
      ("redirects=maybe", "[general]: redirects = 'maybe' is not accepted; it takes no, same-host or yes"),
      (
        "proxy=http://u:secret@p",
        "[general]: proxy does not accept what it was given; it takes http://[user:password@]host:port, or nothing"
      ),
      ("no_proxy=host:80", "[general]: no_proxy = 'host:80' is not accepted; it takes *, names, .names, addresses"),
      (
        "[a]\nurl=ws://x\ntoken_file=/etc/tokens/^{CALLERID(num)}",
        "[a]: token_file must not contain ^{...}, because a caller would choose its value; it takes an absolute path"
      ),
      ("[a]\nurl=ws://x\nheader_file=/etc/../x", "[a]: header_file = '/etc/../x' is not accepted"),
      ("commands=maybe", "[general]: commands = 'maybe' is not accepted; it takes dialplan, yes or no"),
      ("confine=maybe", "[general]: confine = 'maybe' is not accepted; it takes yes or no"),
    ])
  func mistakes(settings: String, line: String) throws {
    #expect(FakedAsterisk.load(settings) == nil)
    #expect(FakedAsterisk.log.contains(line), "\(line)")
    #expect(!FakedAsterisk.log.contains("'secret'") && !FakedAsterisk.log.contains("u:secret"))
    // At a reload everything stays as it was.
    let module = try LoadedModule("buffer=1\n[b]\nurl=ws://b.example/")
    fake_configuration("engine=/bin/true\nrun_dir=\(module.asterisk.runDirectory)\n\(settings)")
    #expect(af_reload() != 0)
    let channel = fake_channel("PJSIP/100-1", 8000)
    let id = try #require(module.start(channel, "b"))
    module.end([channel], [id])
  }

  @Test("Unknown keys are named together with the known ones, and a good reload counts for new forks")
  func reload() throws {
    let module = try LoadedModule("nonsense=1\n[a]\nurl=ws://a.example/\ncolour=blue")
    #expect(
      FakedAsterisk.log.contains(
        """
        [general]: unknown key 'nonsense' is ignored; known are engine, run_dir, allow, buffer_total, stasis, \
        commands, functions, confine, align, linger, ping, replay, catch_up, digits, on_close, reconnect_attempts, \
        outage
        """
      ))
    #expect(
      FakedAsterisk.log.contains(
        "[a]: unknown key 'colour' is ignored; known are url, header, token_file, header_file, ca_file"))
    let channel = fake_channel("PJSIP/100-1", 8000)
    let before = try #require(module.start(channel, "a"))
    fake_configuration("engine=/bin/true\nrun_dir=\(module.asterisk.runDirectory)\n[b]\nurl=ws://b.example/")
    #expect(af_reload() == 0)
    #expect(module.start(channel, "a") == nil)
    let after = try #require(module.start(channel, "b"))
    #expect(try module.ring(before).facts.settings.urls == [Array("ws://a.example/".utf8)])
    #expect(try module.ring(before).facts.alignMilliseconds == 160, "written although it is the default")
    module.end([channel], [before, after])
  }

  @Test("buffer_total caps all rings together, and a fork that has ended gives its share back")
  func bufferTotal() throws {
    // A ring of one second at 8 kHz takes 32 KB of samples and 16 KB of entries.
    let module = try LoadedModule("buffer=15\nbuffer_total=1")
    let channel = fake_channel("PJSIP/100-1", 8000)
    let first = try #require(module.start(channel, "ws://host/"))
    #expect(module.start(channel, "ws://host/") == nil)
    #expect(
      FakedAsterisk.log.contains(
        "buffer_total is reached: all buffers may take 1 MB, and this one needs 768 KB more"))
    _ = af_exec_stop(channel, "")
    module.engine.sayEnded(first)
    #expect(soon { fake_module_references() == 0 })
    let second = try #require(module.start(channel, "ws://host/"))
    module.end([channel], [second])
  }

  @Test("The start event says whether the certificate is verified")
  func verification() throws {
    let module = try LoadedModule("buffer=1\n[lax]\nurl=wss://a.example/\nverify=no")
    let channel = fake_channel("PJSIP/100-1", 8000)
    var ids = [String]()
    for (arguments, verification) in [
      ("ws://a.example/", "none"), ("wss://a.example/", "verified"), ("wss://a.example/,T(insecure)", "insecure"),
      ("lax", "insecure"), ("lax,T(on)", "verified"),
    ] {
      let id = try #require(module.start(channel, arguments))
      ids.append(id)
      #expect(soon { events.contains("AudioForkID: \(id)\n") })
      let event = try #require(events.components(separatedBy: "Event: AudioForkStart").last)
      #expect(event.contains("Verification: \(verification)\n"), "\(arguments)")
    }
    let warned = try #require(module.start(channel, "wss://a.example/,T(yes)B(1)"))
    #expect(FakedAsterisk.log.contains("AudioFork \(warned): option T: 'yes' counts as on"))
    module.end([channel], ids + [warned])
  }
}
