// SPDX-License-Identifier: Apache-2.0
import AudioForkCapture
import AudioForkLink
import AudioForkSurface
import AudioForkRing
import AudioForkTap
import CAsterisk
import Foundation
import Testing

extension FakedEngine {
  enum Field {
    case text(LinkField, String)
    case bytes(LinkField, [UInt8])
    case number(LinkField, UInt64)
    case counter(Counter, UInt64)
  }

  /// Sends a message about a fork.
  func tell(_ kind: LinkMessageKind, _ id: String, _ fields: Field...) {
    var message = FieldWriter(kind)
    message.append(.id, Array(id.utf8))
    for field in fields {
      switch field {
      case .text(let key, let value): message.append(key, Array(value.utf8))
      case .bytes(let key, let value): message.append(key, value)
      case .number(let key, let value): message.append(key, number: value)
      case .counter(let counter, let value): message.append(counter, value)
      }
    }
    send(message.message)
  }
}

/// The events that the faked Asterisk was told of, their lines ending as a test's do.
var events: String {
  guard let text = fake_events() else { return "" }
  defer { free(text) }
  return String(decoding: String(cString: text).utf8.filter { $0 != 13 }, as: UTF8.self)
}

/// A loaded module with its engine greeted, and what a test needs of it.
struct LoadedModule {
  let asterisk: FakedAsterisk
  let engine: FakedEngine

  init(_ settings: String = "buffer=1") throws {
    fake_forget_events()
    asterisk = try #require(FakedAsterisk.load(settings))
    engine = try #require(FakedEngine())
    engine.sayReady()
  }

  /// Starts a fork from the dialplan. Returns its id, nil where it failed.
  func start(_ channel: OpaquePointer?, _ arguments: String) -> String? {
    _ = af_exec_start(channel, arguments)
    guard FakedAsterisk.variable(channel, "AUDIOFORKSTATUS") == "SUCCESS" else { return nil }
    return forkFile.map { String($0.dropLast(5)) }
  }

  /// The ring that was made last.
  var forkFile: String? {
    asterisk.forkFiles.filter { $0.hasSuffix(".ring") }
      .max {
        (Int($0.split(separator: "-").last?.dropLast(5) ?? "") ?? 0)
          < (Int($1.split(separator: "-").last?.dropLast(5) ?? "") ?? 0)
      }
      .map { String($0.split(separator: "/").last ?? "") }
  }

  func ring(_ id: String) throws -> RingReader {
    let file = try #require(asterisk.forkFiles.first { $0.hasSuffix("\(id).ring") })
    return try RingReader(path: asterisk.runDirectory + "/" + file)
  }

  /// Ends what is left of the forks and the module.
  func end(_ channels: [OpaquePointer?], _ ids: [String]) {
    for channel in channels { fake_hangup(channel) }
    for id in ids { engine.sayEnded(id) }
    #expect(soon { fake_module_references() == 0 })
    engine.die()
    #expect(asterisk.unload())
  }
}

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
      ])
    #expect(facts.settings.options == Array("i(FORK)r(5)".utf8))
    #expect(facts.drainSeconds == 9)
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
      ("commands=maybe", "[general]: commands = 'maybe' is not accepted; it takes dialplan, yes or no"),
    ])
  func mistakes(settings: String, line: String) throws {
    #expect(FakedAsterisk.load(settings) == nil)
    #expect(FakedAsterisk.log.contains(line), "\(line)")
    #expect(!FakedAsterisk.log.contains("'secret'"))
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
        commands, functions, ping, replay, digits, reconnect_attempts
        """
      ))
    #expect(FakedAsterisk.log.contains("[a]: unknown key 'colour' is ignored; known are url, header, ca_file"))
    let channel = fake_channel("PJSIP/100-1", 8000)
    let before = try #require(module.start(channel, "a"))
    fake_configuration("engine=/bin/true\nrun_dir=\(module.asterisk.runDirectory)\n[b]\nurl=ws://b.example/")
    #expect(af_reload() == 0)
    #expect(module.start(channel, "a") == nil)
    let after = try #require(module.start(channel, "b"))
    #expect(try module.ring(before).facts.settings.urls == [Array("ws://a.example/".utf8)])
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
        "all buffers together may take buffer_total = 1 MB, and this one's 768 KB are too many"))
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

@Suite("Events, variables and commands", .serialized)
struct JobsRealTimeTests {
  @Test("Every event has the fields of its declaration, in order, and states are told when their name changes")
  func wholeLife() throws {
    let module = try LoadedModule()
    let channel = fake_channel("PJSIP/100-1", 8000)
    let id = try #require(module.start(channel, "ws://u:pw@host/x,D(in)x(ANSWER)"))
    let engine = module.engine
    engine.tell(.state, id, .text(.state, "connecting"))
    engine.tell(.state, id, .text(.state, "streaming"), .counter(.position, 160))
    engine.tell(.state, id, .text(.state, "streaming"), .counter(.position, 320))
    engine.tell(.state, id, .text(.state, "waiting"), .text(.reason, "close: 1011"))
    engine.tell(
      .gap, id, .text(.direction, "in"), .number(.start, 1000), .number(.count, 200),
      .counter(.position, 900), .text(.reason, "overrun"))
    engine.tell(
      .text, id, .text(.text, "a\r\nEvent: Forged\r\n\r\n"), .number(.length, 20),
      .counter(.dropped, 3))
    #expect(soon { events.contains("AudioForkResponse") })
    #expect(muteForks(channel!, id: nil, MuteDirections(Array("read".utf8))!, isOn: true).count == 1)
    #expect(soon { events.contains("AudioForkMute") })
    fake_hangup(channel)
    engine.tell(
      .ended, id, .text(.reason, "done: all sent"), .counter(.position, 480), .counter(.confirmed, 480),
      .counter(.bytes, 960))
    #expect(soon { events.contains("AudioForkStop") })
    let told = events.components(separatedBy: "\n\n").filter { $0.contains("Event") }.map { event in
      let lines = event.split(separator: "\n").map(String.init)
      return (name: lines[0], fields: lines.dropFirst().map { $0.components(separatedBy: ": ") })
    }
    #expect(
      told.map(\.name) == [
        "Event: AudioForkStart", "Event: AudioForkState", "Event: AudioForkState", "Event: AudioForkState",
        "Event: AudioForkGap",
        "Event: AudioForkResponse", "Event: AudioForkMute", "Event without channel: AudioForkStop",
      ])
    for event in told {
      let definition = try #require(EventDefinition.all.first { event.name.hasSuffix("\($0.name)") })
      #expect(event.fields.map { $0[0] } == definition.fields.map { "\($0.name)" }, "\(event)")
    }
    func value(_ event: Int, _ name: String) -> String? {
      told[event].fields.first { $0[0] == name }?.dropFirst().joined(separator: ": ")
    }
    #expect(value(0, "WsServer") == "ws://host/x")
    #expect(value(0, "Channel") == "PJSIP/100-1")
    #expect(value(0, "Direction") == "in")
    #expect(value(2, "State") == "streaming")
    #expect(value(2, "Position") == "160")
    #expect(value(3, "Reason") == "close: 1011")
    #expect(value(4, "Count") == "200")
    #expect(value(5, "Response") == "a\\r\\nEvent: Forged\\r\\n\\r\\n")
    #expect(value(5, "Length") == "20")
    #expect(value(5, "Dropped") == "3")
    #expect(value(6, "MuteDirection") == "read")
    #expect(value(6, "State") == "1")
    #expect(value(7, "Reason") == "done: all sent")
    #expect(value(7, "Bytes") == "960")
    #expect(!events.contains("pw@"))
    module.end([], [])
  }

  @Test("A server's text sets both variables, cut and on one line, and the row shows it")
  func response() throws {
    let module = try LoadedModule()
    let channel = fake_channel("PJSIP/100-1", 8000)
    let id = try #require(module.start(channel, "ws://host/,x(ANSWER)"))
    let long = String(repeating: "x", count: 3999) + "ü and more"
    module.engine.tell(.text, id, .text(.text, "{\"a\":\r\n1}"))
    #expect(soon { FakedAsterisk.variable(channel, "ANSWER") == "{\"a\":  1}" })
    #expect(FakedAsterisk.variable(channel, "AUDIOFORK_RESPONSE") == "{\"a\":  1}")
    module.engine.tell(.text, id, .text(.text, long))
    #expect(soon { FakedAsterisk.variable(channel, "ANSWER") == String(repeating: "x", count: 3999) })
    #expect(
      forkRows().first.map { String(decoding: $0.response, as: UTF8.self) } == String(repeating: "x", count: 3999))
    #expect(soon { events.contains(long) }, "the event has it whole")
    // After StopAudioFork the server's last words still come.
    _ = af_exec_stop(channel, "")
    module.engine.tell(.text, id, .text(.text, "last words"))
    #expect(soon { FakedAsterisk.variable(channel, "ANSWER") == "last words" })
    module.end([channel], [id])
  }

  @Test("With stasis on, the events are user events too, the last one from a snapshot when the channel is gone")
  func stasis() throws {
    let module = try LoadedModule("buffer=1\nstasis=yes")
    let channel = fake_channel("PJSIP/100-1", 8000)
    let id = try #require(module.start(channel, "ws://host/"))
    #expect(soon { events.contains("UserEvent: AudioForkStart\nChannel: PJSIP/100-1\n") })
    fake_hangup(channel)
    module.engine.sayEnded(id)
    #expect(soon { events.contains("UserEvent from snapshot: AudioForkStop\nChannel: PJSIP/100-1\n") })
    module.end([], [])
  }

  @Test("The command is evaluated at the start and run once at the end; unloading waits for it")
  func command() throws {
    let module = try LoadedModule()
    let place = FileManager.default.temporaryDirectory.appending(
      path: "af-command-\(UInt32.random(in: 0...UInt32.max))")
    defer { try? FileManager.default.removeItem(at: place) }
    let channel = fake_channel("PJSIP/100-1", 8000)
    pbx_builtin_setvar_helper(channel, "WHO", "then")
    pbx_builtin_setvar_helper(channel, "TEXT", "${WHO}")
    let id = try #require(
      module.start(
        channel,
        """
        ws://host/,D(in),echo ^{WHO} '${WHO} ^{TEXT}' >> \(place.path); while [ ! -e \(place.path).go ]; do sleep \
        0.02; done
        """
      ))
    pbx_builtin_setvar_helper(channel, "WHO", "later")
    fake_hangup(channel)
    usleep(100_000)
    #expect(!FileManager.default.fileExists(atPath: place.path), "not before the fork has ended")
    module.engine.sayEnded(id)
    module.engine.sayEnded(id)
    // ^{} is evaluated once; what stood in the text already, or came out of a variable, is not.
    #expect(soon { (try? String(contentsOf: place, encoding: .utf8)) == "then ${WHO} ${WHO}\n" })
    #expect(soon { fake_module_references() == 0 })
    #expect(af_unload() != 0)
    #expect(FakedAsterisk.log.contains("1 command of a fork that has ended still runs"))
    #expect(FileManager.default.createFile(atPath: place.path + ".go", contents: nil))
    defer { try? FileManager.default.removeItem(atPath: place.path + ".go") }
    module.engine.die()
    #expect(module.asterisk.unload())
    #expect(try String(contentsOf: place, encoding: .utf8) == "then ${WHO} ${WHO}\n")
  }

  @Test("A command that fails is one line; fifty at once all end before unloading")
  func manyCommands() throws {
    let module = try LoadedModule()
    let channel = fake_channel("PJSIP/100-1", 8000)
    var ids = [String]()
    for _ in 0..<50 { ids.append(try #require(module.start(channel, "ws://host/,,exit 3"))) }
    module.end([channel], ids)
    for id in ids { #expect(FakedAsterisk.log.contains("AudioFork \(id): its command ended with status"), "\(id)") }
  }
}

@Suite("A fork on its channel", .serialized)
struct ChannelRealTimeTests {
  static let samples = [Int16](repeating: 7, count: 160)

  @Test(
    "Where the engine cannot read a ring, what it had not confirmed is a gap with its place, and the accounts agree")
  func lastGap() throws {
    let module = try LoadedModule()
    let channel = fake_channel("PJSIP/100-1", 8000)
    let id = try #require(module.start(channel, "ws://x/"))
    for _ in 0..<3 {
      fake_frame(channel, AST_AUDIOHOOK_DIRECTION_READ, Self.samples, 160)
      fake_frame(channel, AST_AUDIOHOOK_DIRECTION_WRITE, Self.samples, 160)
    }
    module.engine.tell(
      .state, id, .text(.state, "streaming"), .counter(.captured, 960), .counter(.delivered, 480),
      .counter(.accountedIn, 320), .counter(.accountedOut, 160), .counter(.confirmed, 320))
    fake_hangup(channel)
    // No counters: they stay what they were, although more has been captured since.
    module.engine.tell(.ended, id, .text(.reason, "engine: it has crashed 3 times over this fork"))
    #expect(soon { events.contains("AudioForkStop") })
    for (direction, start, count) in [("in", 320, 160), ("out", 160, 320)] {
      let gap = events.components(separatedBy: "\n\n").first { $0.contains("GapDirection: \(direction)\n") } ?? ""
      #expect(gap.contains("Start: \(start)\n") && gap.contains("Count: \(count)\n"), "\(events)")
      #expect(gap.hasSuffix("Reason: undelivered"))
    }
    #expect(events.contains("Captured: 960\n") && events.contains("Delivered: 480\n") && events.contains("Lost: 480\n"))
    module.end([], [])
  }

  @Test("An engine owes no heartbeat while it has no fork, however long that is, nor for one that it has ended")
  func idleEngine() throws {
    let module = try LoadedModule()
    let first = fake_channel("PJSIP/100-1", 8000)
    let id = try #require(module.start(first, "ws://x/"))
    module.engine.send(FieldWriter(.heartbeat).message)
    fake_hangup(first)
    module.engine.sayEnded(id)
    #expect(soon { fake_module_references() == 0 })
    // Longer than a heartbeat may take.
    usleep(3_300_000)
    let second = fake_channel("PJSIP/100-2", 8000)
    let other = try #require(module.start(second, "ws://x/"))
    // The server wants no more, and the channel brings no frame with which the hook would leave.
    module.engine.sayEnded(other)
    #expect(!module.engine.isClosed(within: 3300))
    #expect(!FakedAsterisk.log.contains("has not given a sign of life"))
    module.end([second], [])
  }

  @Test("An engine is not blamed for what the module did not listen to, and one that stays silent is")
  func deafModule() throws {
    let module = try LoadedModule()
    let channel = fake_channel("PJSIP/100-1", 8000)
    let id = try #require(module.start(channel, "ws://x/"))
    let heartbeat = FieldWriter(.heartbeat).message
    module.engine.send(heartbeat)
    usleep(200_000)
    // Whatever held the control thread up: it cannot listen.
    af_table_lock()
    usleep(3_300_000)
    af_table_unlock()
    // It looks twice before the heartbeat comes.
    usleep(100_000)
    let second = fake_channel("PJSIP/100-2", 8000)
    let other = try #require(module.start(second, "ws://x/"))
    usleep(300_000)
    module.engine.send(heartbeat)
    #expect(!FakedAsterisk.log.contains("has not given a sign of life"))
    // It listens, and hears nothing.
    while module.engine.next(within: 100) != nil {}
    #expect(module.engine.isClosed(within: 5500))
    #expect(FakedAsterisk.log.contains("has not given a sign of life for 3 seconds"))
    let next = try #require(FakedEngine())
    fake_hangup(channel)
    fake_hangup(second)
    next.sayReady()
    next.sayEnded(id)
    next.sayEnded(other)
    #expect(soon { fake_module_references() == 0 })
    next.die()
    #expect(module.asterisk.unload())
  }

  @Test("Texts that wait hold up no other fork's end, and come before the end of their own")
  func textsBehind() throws {
    let module = try LoadedModule()
    let first = fake_channel("PJSIP/100-1", 8000)
    let second = fake_channel("PJSIP/200-2", 8000)
    let talker = try #require(module.start(first, "ws://x/"))
    let other = try #require(module.start(second, "ws://y/"))
    #expect(soon { events.components(separatedBy: "AudioForkStart").count == 3 })
    fake_forget_events()
    // Texts are done under the channel's lock: this holds the thread up.
    af_channel_lock(first)
    for number in 0..<40 { module.engine.tell(.text, talker, .text(.text, "talk \(number)")) }
    for number in 0..<2 { module.engine.tell(.text, other, .text(.text, "last \(number)")) }
    fake_hangup(second)
    module.engine.sayEnded(other)
    #expect(soon { forkRows().allSatisfy { $0.id != Array(other.utf8) } })
    af_channel_unlock(first)
    #expect(soon { events.contains("Response: talk 39") && events.contains("AudioForkStop") })
    let told = events
    func place(_ text: String) throws -> String.Index { try #require(told.range(of: text)).lowerBound }
    let stop = try place("AudioForkStop\n")
    #expect(try place("Response: last 0\n") < place("Response: last 1\n"))
    #expect(try place("Response: last 1\n") < stop)
    #expect(try stop < place("Response: talk 12\n"))
    for number in 1..<40 { #expect(try place("Response: talk \(number - 1)\n") < place("Response: talk \(number)\n")) }
    module.end([first], [talker])
  }

  @Test("With b nothing is captured while the channel is not bridged")
  func onlyBridged() throws {
    let module = try LoadedModule()
    let channel = fake_channel("PJSIP/100-1", 8000)
    let id = try #require(module.start(channel, "ws://host/,b"))
    let reader = try module.ring(id)
    func frames(_ count: Int) {
      for _ in 0..<count {
        fake_frame(channel, AST_AUDIOHOOK_DIRECTION_READ, Self.samples, 160)
        fake_frame(channel, AST_AUDIOHOOK_DIRECTION_WRITE, Self.samples, 160)
      }
    }
    frames(3)
    #expect(reader.published == 0)
    fake_bridge(channel, 1)
    frames(2)
    #expect(reader.published == 4)
    fake_bridge(channel, 0)
    frames(3)
    #expect(reader.published == 4)
    fake_bridge(channel, 1)
    frames(1)
    #expect(reader.published == 6)
    module.end([channel], [id])
  }

  @Test("Beeps are played by whom they can be played, and never with the channel's lock held")
  func beeps() throws {
    let module = try LoadedModule()
    let channel = fake_channel("PJSIP/100-1", 8000)
    let first = try #require(module.start(channel, "ws://host/,p"))
    #expect(events.contains("Beep: played"))
    _ = af_exec_stop(channel, "")
    let second = try #require(module.start(channel, "ws://host/,P"))
    fake_forget_events()
    _ = af_exec_stop(channel, "")
    #expect(events.contains("Beep: played"))
    let third = try #require(module.start(channel, "ws://host/,P"))
    fake_forget_events()
    #expect(stopForks(channel!, id: nil) == 1)
    #expect(events.contains("Beep: queued"))
    let fourth = try #require(module.start(channel, "ws://host/,P"))
    fake_busy(channel, 1)
    #expect(stopForks(channel!, id: nil) == 1)
    #expect(FakedAsterisk.log.contains("AudioFork: no beep on PJSIP/100-1, something else is being played to it"))
    #expect(!events.contains("with the lock"))
    module.end([channel], [first, second, third, fourth])
  }

  @Test("B needs its module; its beeps end with the fork, however that ends")
  func periodicBeeps() throws {
    let module = try LoadedModule()
    let channel = fake_channel("PJSIP/100-1", 8000)
    fake_beep_module(0)
    #expect(module.start(channel, "ws://host/,B(5)") == nil)
    #expect(FakedAsterisk.log.contains("option B needs func_periodic_hook.so; load it"))
    fake_beep_module(1)
    let stopped = try #require(module.start(channel, "ws://host/,B(20)"))
    #expect(events.contains("Beep: each 20"))
    _ = af_exec_stop(channel, "")
    #expect(events.contains("Beep: no more"))
    fake_forget_events()
    let ended = try #require(module.start(channel, "ws://host/,B"))
    #expect(events.contains("Beep: each 15"))
    module.engine.sayEnded(ended)
    #expect(soon { events.contains("Beep: no more") })
    fake_forget_events()
    module.engine.sayEnded(stopped)
    module.end([channel], [])
    #expect(!events.contains("Beep"), "once each")
  }

  @Test("Rows and events follow a masquerade in both directions, and a rename")
  func names() throws {
    let module = try LoadedModule()
    let first = fake_channel("PJSIP/100-1", 8000)
    let second = fake_channel("PJSIP/200-2", 8000)
    let id = try #require(module.start(first, "ws://host/,x(ANSWER)"))
    let other = try #require(module.start(second, "ws://host/"))
    func row(_ id: String) -> ForkRow? { forkRows().first { $0.id == Array(id.utf8) } }
    func name(_ id: String) -> String? { row(id).map { String(decoding: $0.channel, as: UTF8.self) } }
    let uniqueID = row(id)?.uniqueID
    // The first one's technology goes into the second channel, and both forks live there from then on.
    fake_masquerade(first, second)
    #expect(name(id) == "PJSIP/100-1")
    #expect(name(other) == "PJSIP/100-1")
    #expect(row(other)?.uniqueID == uniqueID)
    #expect(String(cString: ast_channel_name(second)) == "PJSIP/100-1")
    fake_rename(second, "PJSIP/300-3")
    #expect(name(id) == "PJSIP/300-3")
    // Somebody else takes the old name.
    fake_rename(first, "PJSIP/100-1")
    #expect(name(id) == "PJSIP/300-3")
    module.engine.tell(.text, id, .text(.text, "hello"))
    #expect(soon { FakedAsterisk.variable(second, "ANSWER") == "hello" })
    #expect(FakedAsterisk.variable(first, "ANSWER") == nil)
    #expect(events.contains("Event: AudioForkResponse\nChannel: PJSIP/300-3\n"))
    module.end([first, second], [id, other])
  }
}
