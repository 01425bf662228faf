// SPDX-License-Identifier: Apache-2.0
import AudioForkBytes
import AudioForkCapture
import AudioForkLink
import AudioForkSurface
import AudioForkRing
import AudioForkTap
import AudioForkTestKit
import CAsterisk
import Foundation
import Testing

@Suite("Events, variables and commands", .serialized)
struct JobsRealTimeTests {
  @Test("Every event has the fields of its declaration, in order, and states are told when their name changes")
  func wholeLife() throws {
    let module = try LoadedModule()
    let channel = fake_channel("PJSIP/100-1", 8000)
    let id = try #require(module.start(channel, "ws://u:pw@host/x,D(in)x(ANSWER)"))
    let engine = module.engine
    engine.send(.state, id, .text(.state, "connecting"))
    engine.send(.state, id, .text(.state, "streaming"), .counter(.position, 160))
    engine.send(.state, id, .text(.state, "streaming"), .counter(.position, 320))
    engine.send(.state, id, .text(.state, "waiting"), .text(.reason, "close: 1011"))
    engine.send(
      .gap, id, .text(.direction, "in"), .number(.start, 1000), .number(.count, 200),
      .counter(.position, 900), .text(.reason, "overrun"))
    engine.send(
      .text, id, .text(.text, "a\r\nEvent: Forged\r\n\r\n"), .number(.length, 20),
      .counter(.dropped, 3))
    engine.send(.transcript, id, .text(.speaker, "in"), .text(.text, "hello"))
    #expect(soon { events.contains("AudioForkTranscript") })
    #expect(muteForks(channel!, id: nil, MuteDirections(Array("read".utf8))!, isOn: true).count == 1)
    #expect(soon { events.contains("AudioForkMute") })
    fake_hangup(channel)
    engine.send(
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
        "Event: AudioForkGap", "Event: AudioForkResponse", "Event: AudioForkTranscript", "Event: AudioForkMute",
        "Event without channel: AudioForkStop",
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
    #expect(value(7, "MuteDirection") == "read")
    #expect(value(7, "State") == "1")
    #expect(value(8, "Reason") == "done: all sent")
    #expect(value(8, "Bytes") == "960")
    #expect(!events.contains("pw@"))
    module.end([], [])
  }

  @Test("A server's text sets both variables, cut and on one line, and the row shows it")
  func response() throws {
    let module = try LoadedModule()
    let channel = fake_channel("PJSIP/100-1", 8000)
    let id = try #require(module.start(channel, "ws://host/,x(ANSWER)"))
    let long = String(repeating: "x", count: 3999) + "ü and more"
    module.engine.send(.text, id, .text(.text, "{\"a\":\r\n1}"))
    #expect(soon { FakedAsterisk.variable(channel, "ANSWER") == "{\"a\":  1}" })
    #expect(FakedAsterisk.variable(channel, "AUDIOFORK_RESPONSE") == "{\"a\":  1}")
    module.engine.send(.text, id, .text(.text, long))
    #expect(soon { FakedAsterisk.variable(channel, "ANSWER") == String(repeating: "x", count: 3999) })
    #expect(
      forkRows().first.map { String(decoding: $0.response, as: UTF8.self) } == String(repeating: "x", count: 3999))
    #expect(soon { events.contains(long) }, "the event has it whole")
    // After StopAudioFork the server's last words still come.
    _ = af_exec_stop(channel, "")
    module.engine.send(.text, id, .text(.text, "last words"))
    #expect(soon { FakedAsterisk.variable(channel, "ANSWER") == "last words" })
    module.end([channel], [id])
  }

  @Test("A transcript is an event; a final one sets the variables of its speaker, and the row shows it")
  func transcript() throws {
    let module = try LoadedModule()
    let channel = fake_channel("PJSIP/100-1", 8000)
    let id = try #require(module.start(channel, "ws://host/,x(ANSWER)"))
    func variable(_ suffix: String = "") -> String? {
      FakedAsterisk.variable(channel, "AUDIOFORK_TRANSCRIPT\(suffix)")
    }
    /// The transcripts' events without the headers that all events have, and the rest that the last one lacks.
    func told() -> [String] {
      events.components(separatedBy: "\n\n").filter { $0.contains("AudioForkTranscript\n") }
        .map { $0.split(separator: "\n").dropFirst(7).joined(separator: "|") }
    }
    module.engine.send(.transcript, id, .text(.speaker, "in"), .number(.final, 0), .text(.text, "hello"))
    #expect(soon { told().count == 1 })
    #expect(told() == ["Speaker: in|Text: hello|Length: 5|Final: no|Start: |End: |Confidence: |Dropped: 0"])
    #expect(variable() == nil, "a partial result is only an event")
    module.engine.send(
      .transcript, id, .text(.speaker, "in"), .number(.final, 1), .text(.text, "héllo\r\nEvent: Forged\u{1}"),
      .number(.length, 70_000), .number(.from, 1005), .number(.until, 61_040), .number(.confidence, 966),
      .counter(.dropped, 3))
    #expect(soon { told().count == 2 })
    #expect(
      told().last == #"Speaker: in|Text: héllo\r\nEvent: Forged\001|Length: 70000|Final: yes|Start: 1.005|End: 61.040"#
        + "|Confidence: 0.97|Dropped: 3")
    #expect(variable() == "héllo  Event: Forged " && variable("_IN") == variable() && variable("_OUT") == nil)
    module.engine.send(.transcript, id, .text(.speaker, "out"), .number(.final, 1), .text(.text, "two"))
    #expect(soon { variable("_OUT") == "two" })
    #expect(variable() == "two" && variable("_IN") == "héllo  Event: Forged ")
    #expect(forkRows().first?.transcript == Array("two".utf8))
    #expect(CaptureRealTimeTests.taken(fake_function(channel, "\(id),transcript", 64)) == "two")
    #expect(CaptureRealTimeTests.cli("audiofork show fork \(id)").contains("Transcript: two\n"))
    // What the server says beside it is another thing.
    #expect(FakedAsterisk.variable(channel, "AUDIOFORK_RESPONSE") == nil)
    #expect(FakedAsterisk.variable(channel, "ANSWER") == nil && forkRows().first?.response.isEmpty == true)
    // Of no speaker alone; as long as a variable may be, and whole in the event.
    let long = String(repeating: "x", count: 3999) + "ü and more"
    module.engine.send(
      .transcript, id, .text(.speaker, "both"), .number(.final, 1), .text(.text, long), .number(.confidence, 5000))
    #expect(soon { variable() == String(repeating: "x", count: 3999) })
    #expect(variable("_IN") == "héllo  Event: Forged " && variable("_OUT") == "two")
    #expect(soon { told().count == 4 && told().last?.contains("Text: \(long)|") == true })
    #expect(told().last?.contains("|Confidence: 1.00|") == true)
    #expect(!events.contains("\nEvent: Forged"))
    module.end([channel], [id])
  }

  @Test("A transcript's event is the one that docs/reference/ami.md shows")
  func transcriptPage() throws {
    let page = try documentPage("docs/reference/ami.md").split(separator: "\n", omittingEmptySubsequences: false)
    let shown = page.drop { $0 != "    Event: AudioForkTranscript" }.prefix { $0.hasPrefix("    ") }.map {
      String($0.dropFirst(4))
    }
    func value(_ header: String) throws -> String {
      let line = try #require(shown.first { $0.hasPrefix("\(header): ") })
      return String(line.dropFirst(header.count + 2))
    }
    let module = try LoadedModule()
    let channel = fake_channel(try value("Channel"), 8000)
    let id = try #require(module.start(channel, "\(try value("WsServer")),D(in)"))
    module.engine.send(
      .transcript, id, .text(.speaker, "in"), .number(.final, 1), .text(.text, try value("Text")),
      .number(.from, 3420), .number(.until, 4620), .number(.confidence, 970))
    #expect(soon { events.contains("AudioForkTranscript") })
    let told = events.components(separatedBy: "\n\n").first { $0.contains("AudioForkTranscript") } ?? ""
    let changing = ["Uniqueid", "Linkedid", "AudioForkID"]
    func constant(_ lines: [String]) -> [String] {
      lines.map { line in changing.first { line.hasPrefix("\($0): ") } ?? line }
    }
    #expect(constant(told.components(separatedBy: "\n")) == constant(shown))
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
        ws://host/,D(in),echo ^{WHO} '${WHO} ^{TEXT}' >> \(place.path); \
        while [ ! -e \(place.path).go ]; do sleep 0.02; done
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

  @Test("400 forks that end at once make no threads; at most 64 of their commands run at a time, and all do")
  func commandsWait() throws {
    let module = try LoadedModule()
    let place = FileManager.default.temporaryDirectory.appending(
      path: "af-commands-\(UInt32.random(in: 0...UInt32.max))")
    defer { try? FileManager.default.removeItem(at: place) }
    let channel = fake_channel("PJSIP/100-1", 8000)
    // A command writes a line when it begins and one when it ends.
    let command = "echo begins >> \(place.path); sleep 0.2; echo ends >> \(place.path)"
    var ids = [String]()
    for _ in 0..<400 { ids.append(try #require(module.start(channel, "ws://host/,D(in),\(command)"))) }
    func threads() -> Int { (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/task").count) ?? 0 }
    func lines() -> [Substring] { ((try? String(contentsOf: place, encoding: .utf8)) ?? "").split(separator: "\n") }
    let before = threads()
    fake_hangup(channel)
    for id in ids { module.engine.sayEnded(id) }
    var most = 0
    #expect(
      eventually(within: 60) {
        most = max(most, threads())
        return lines().filter { $0 == "ends" }.count == 400
      }, "\(lines().count) lines")
    // The test's own pool of threads may grow by a few.
    #expect(most <= before + 4, "\(before) threads, then \(most)")
    var running = 0
    var runningMost = 0
    for line in lines() {
      running += line == "begins" ? 1 : -1
      runningMost = max(runningMost, running)
    }
    #expect(running == 0)
    #expect(runningMost <= 64 && runningMost > 32, "\(runningMost) at once")
    #expect(FakedAsterisk.log.contains("64 commands of forks that have ended run; "))
    #expect(soon { fake_module_references() == 0 })
    module.engine.die()
    #expect(module.asterisk.unload())
  }

  private func eventually(within seconds: Int, _ condition: () -> Bool) -> Bool {
    let end = ContinuousClock.now + .seconds(seconds)
    while ContinuousClock.now < end {
      if condition() { return true }
      usleep(5000)
    }
    return condition()
  }
}
