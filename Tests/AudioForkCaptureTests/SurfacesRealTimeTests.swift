// SPDX-License-Identifier: Apache-2.0
import AudioForkCapture
import AudioForkLink
import AudioForkSurface
import CAsterisk
import Foundation
import Testing

extension CaptureRealTimeTests {
  /// What the faked Asterisk gives back, freed.
  static func taken(_ text: UnsafeMutablePointer<CChar>?) -> String? {
    guard let text else { return nil }
    defer { free(text) }
    return String(cString: text)
  }

  static func cli(_ line: String) -> String { taken(fake_cli(line)) ?? "no such command" }
  static func action(_ lines: String) -> String { taken(fake_action(lines)) ?? "no such action" }

  /// The headers of each block of an answer.
  static func blocks(_ answer: String) -> [[String: String]] {
    answer.components(separatedBy: "\r\n\r\n").filter { !$0.isEmpty }.map { block in
      var headers: [String: String] = [:]
      for line in block.components(separatedBy: "\r\n") {
        let parts = line.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        headers[String(parts[0])] = parts.count > 1 ? parts[1].trimmingCharacters(in: .whitespaces) : "not a header"
      }
      return headers
    }
  }

  static func completions(_ line: String) -> [String] {
    var words: [String] = []
    while let word = taken(fake_complete(line, Int32(words.count))) { words.append(word) }
    return words
  }

  /// A loaded module with one channel; everything is ended afterwards.
  private func with(_ channelName: String = "PJSIP/100-1", _ body: (OpaquePointer, FakedEngine) throws -> Void) throws {
    let asterisk = try #require(FakedAsterisk.load("buffer=1"))
    let engine = try #require(FakedEngine())
    engine.sayReady()
    let channel = try #require(fake_channel(channelName, 8000))
    try body(channel, engine)
    fake_hangup(channel)
    for line in Self.cli("audiofork list").split(separator: "\n") where line.hasPrefix("af-") {
      engine.sayEnded(String(line.prefix { $0 != " " }))
    }
    #expect(soon { fake_module_references() == 0 })
    engine.die()
    #expect(asterisk.unload())
  }

  private func started(_ channel: OpaquePointer, _ arguments: String = "ws://host/x,i(FORK)") throws -> String {
    _ = af_exec_start(channel, arguments)
    return try #require(FakedAsterisk.variable(channel, "FORK"))
  }

  @Test("AMI starts, lists, mutes and ends forks; WsServer, Options and Command stand apart")
  func actions() throws {
    try with { channel, engine in
      let reply = Self.blocks(
        Self.action(
          "Action: AudioFork\nActionID: 7\nChannel: PJSIP/100-1\nWsServer: ws://u:p@host/x\nOptions: D(in)H(X-A: 1,2)"))
      let id = try #require(reply.first?["AudioForkID"])
      #expect(reply == [["Response": "Success", "ActionID": "7", "AudioForkID": id]])
      #expect(FakedAsterisk.variable(channel, "AUDIOFORK_WSSERVER") == "ws://host/x")
      #expect(fake_hooks(channel) == 1)

      let list = Self.blocks(Self.action("Action: AudioForks\nActionID: 8"))
      #expect(list.count == 3)
      #expect(list.first?["EventList"] == "start" && list.first?["Response"] == "Success")
      #expect(list[1]["Event"] == "AudioForkList" && list[1]["ActionID"] == "8" && list[1]["AudioForkID"] == id)
      #expect(list[1]["WsServer"] == "ws://host/x" && list[1]["Direction"] == "in" && list[1]["Muted"] == "no")
      #expect(Set(list[1].keys) == Set(ForkFact.all.map { "\($0.name)" } + ["Event", "ActionID"]))
      #expect(
        list.last?["Event"] == "AudioForksComplete" && list.last?["ListItems"] == "1"
          && list.last?["EventList"] == "Complete")
      #expect(Self.blocks(Self.action("Action: AudioForks\nChannel: PJSIP/100-1")).count == 3)
      #expect(
        Self.blocks(Self.action("Action: AudioForks\nChannel: PJSIP/999-1")) == [
          ["Response": "Error", "Message": "No such channel"]
        ])

      for (state, direction, muted) in [
        ("on", "read", "read"), ("1", "write", "both"), ("off", "READ", "write"), ("0", "both", "no"),
      ] {
        let answer = Self.action(
          "Action: AudioForkMute\nChannel: PJSIP/100-1\nDirection: \(direction)\nState: \(state)")
        #expect(answer == "Response: Success\r\n\r\n")
        #expect(Self.blocks(Self.action("Action: AudioForks"))[1]["Muted"] == muted)
      }
      #expect(
        Self.action("Action: StopAudioFork\nChannel: PJSIP/100-1\nAudioForkID: \(id)") == "Response: Success\r\n\r\n")
      #expect(fake_hooks(channel) == 0)
    }
  }

  @Test("An AMI request that cannot be met is answered with Error and a sentence")
  func actionErrors() throws {
    try with { channel, _ in
      for (request, message) in [
        ("Action: AudioFork", "No channel specified"),
        ("Action: AudioFork\nChannel: PJSIP/999-1", "No such channel"),
        (
          "Action: AudioFork\nChannel: PJSIP/100-1",
          "No WsServer specified. Must be a ws:// or wss:// URL, or a profile of audiofork.conf"
        ),
        (
          "Action: AudioFork\nChannel: PJSIP/100-1\nWsServer: ws://host/\nOptions: D(up)",
          "Could not start monitoring channel: option D does not accept 'up'; the form is D(in|out|both|stereo)"
        ),
        ("Action: StopAudioFork", "No channel specified"),
        ("Action: StopAudioFork\nChannel: PJSIP/999-1", "No such channel"),
        ("Action: StopAudioFork\nChannel: PJSIP/100-1", "Could not stop monitoring channel: the channel has no fork"),
        (
          "Action: StopAudioFork\nChannel: PJSIP/100-1\nAudioForkID: x",
          "Could not stop monitoring channel: the channel has no fork with the id x"
        ),
        (
          "Action: AudioForkMute\nChannel: PJSIP/100-1\nState: 1", "No direction specified. Must be read, write or both"
        ),
        (
          "Action: AudioForkMute\nChannel: PJSIP/100-1\nDirection: in\nState: 1",
          "Invalid direction specified. Must be read, write or both"
        ),
        ("Action: AudioForkMute\nDirection: both\nState: 1", "No channel specified"),
        ("Action: AudioForkMute\nChannel: PJSIP/100-1\nDirection: both", "No state specified. Must be on or off"),
        (
          "Action: AudioForkMute\nChannel: PJSIP/100-1\nDirection: both\nState: 2",
          "Invalid state specified. Must be on or off"
        ),
        ("Action: AudioForkMute\nChannel: PJSIP/999-1\nDirection: both\nState: 1", "No such channel"),
        (
          "Action: AudioForkMute\nChannel: PJSIP/100-1\nDirection: both\nState: 1",
          "Cannot set mute flag: the channel has no fork"
        ),
        ("Action: AudioForkSendText", "No AudioForkID specified"),
        ("Action: AudioForkSendText\nAudioForkID: x", "No text specified"),
        ("Action: AudioForkSendText\nAudioForkID: x\nText: y", "Could not send text: there is no fork with the id x"),
        ("Action: AudioForkSendText\nAudioForkID: x\nText: y\nChannel: z", "No such channel"),
        (
          "Action: AudioForkSendText\nAudioForkID: x\nText: y\nChannel: PJSIP/100-1",
          "Could not send text: the channel has no fork with the id x"
        ),
      ] {
        #expect(
          Self.blocks(Self.action(request + "\nActionID: 1")) == [
            ["Response": "Error", "ActionID": "1", "Message": message]
          ])
      }
      #expect(fake_hooks(channel) == 0)
    }
  }

  @Test("Nothing from outside adds a line to an AMI answer")
  func injection() throws {
    try with("PJSIP/1\r\nEvent: Forged") { channel, engine in
      let id = try started(channel)
      engine.sayState(id, "streaming\r\nEvent: Forged", reason: "a\r\n\r\nResponse: Forged\u{1}")
      #expect(soon { Self.cli("audiofork list").contains("unknown") }, "a state that is none is not repeated")
      let answer = Self.action("Action: AudioForks\nActionID: 1")
      #expect(!answer.contains("\nEvent: Forged") && !answer.contains("\nResponse: Forged"))
      #expect(answer.contains(#"Channel: PJSIP/1\r\nEvent: Forged"#))
      #expect(answer.contains(#"Reason: a\r\n\r\nResponse: Forged\001"#))
      #expect(Self.cli("audiofork show fork \(id)").contains("State: unknown\nReason: "))
      // HTTP decodes what a line could not hold.
      let refused = Self.action("Action: StopAudioFork\nChannel: PJSIP/1\u{d}")
      #expect(refused.contains("No such channel"))
    }
  }

  @Test("Strings of ten kilobytes and odd bytes are refused with a short line, and nothing is left of them")
  func longInput() throws {
    try with { channel, _ in
      let long = String(repeating: "x", count: 10_240)
      let odd = "\u{1}\u{7f}\t\u{1b}[31m\\%s%n"
      for text in [long, odd, long + "(", "((((" + long, "ws://" + long, "ws://h/" + long] {
        for (url, options) in [
          ("ws://host/", "D(\(text))"), ("ws://host/", text), (text, ""), ("ws://host/", "H(\(text)"),
        ] {
          let answer = Self.action("Action: AudioFork\nChannel: PJSIP/100-1\nWsServer: \(url)\nOptions: \(options)")
          #expect(answer.hasPrefix("Response: Error\r\nMessage: Could not start monitoring channel: "))
          #expect(answer.utf8.count < 700 && answer.components(separatedBy: "\r\n").count == 4, "\(answer)")
          #expect(af_exec_start(channel, "\(url),\(options)") == 0)
          #expect(FakedAsterisk.variable(channel, "AUDIOFORKSTATUS") == "FAILED")
          let line = Self.cli("audiofork start PJSIP/100-1 \(url),\(options)")
          #expect(
            line.hasPrefix("Not started: ") && line.utf8.count < 700 && line.split(separator: "\n").count == 1,
            "\(line)")
        }
        for action in [
          "AudioForkMute\nDirection: \(text)", "AudioForkMute\nDirection: both\nState: \(text)",
          "AudioForkSendText\nText: x",
        ] {
          let answer = Self.action("Action: \(action)\nChannel: PJSIP/100-1\nAudioForkID: \(text)")
          #expect(answer.hasPrefix("Response: Error\r\nMessage: "))
        }
        #expect(fake_function(channel, "\(text),url", 256) == nil)
        #expect(fake_function(channel, "id,\(text)", 256) == nil)
      }
      #expect(FakedAsterisk.log.split(separator: "\n").allSatisfy { $0.utf8.count < 900 })
      #expect(fake_hooks(channel) == 0)
      #expect(soon { fake_references(channel) == 1 })
      #expect(fake_module_references() == 0)
    }
  }

  @Test("Every command and action gives the channel back, also one that fails")
  func references() throws {
    try with { channel, _ in
      let id = try started(channel)
      for line in [
        "start PJSIP/100-1 ws://host/", "start PJSIP/100-1 x", "mute PJSIP/100-1 read on",
        "mute PJSIP/100-1 read on nobody",
        "stop PJSIP/100-1 nobody", "list PJSIP/100-1", "show forks", "show fork \(id)", "stop PJSIP/100-1",
      ] {
        _ = Self.cli("audiofork " + line)
        #expect(soon { fake_references(channel) == 1 }, "\(line)")
      }
      for action in [
        "AudioFork\nWsServer: ws://host/", "AudioFork\nWsServer: x", "AudioFork",
        "AudioForkMute\nDirection: read\nState: 1",
        "AudioForkMute\nDirection: read\nState: 1\nAudioForkID: nobody",
        "AudioForkSendText\nText: x\nAudioForkID: \(id)",
        "AudioForks", "AudioForks\nAudioForkID: x", "StopAudioFork\nAudioForkID: nobody", "StopAudioFork",
        "StopAudioFork",
      ] {
        _ = Self.action("Action: \(action)\nChannel: PJSIP/100-1")
        #expect(soon { fake_references(channel) == 1 }, "\(action)")
      }
    }
  }

  @Test("An action needs the privileges that it had in the original, and running a command needs system")
  func privileges() throws {
    try with { (_: OpaquePointer, _: FakedEngine) in
      let system: Int32 = 1 << 0, call: Int32 = 1 << 1, reporting: Int32 = 1 << 9
      #expect(fake_authority("AudioFork") == system)
      #expect(fake_authority("StopAudioFork") == system | call)
      #expect(fake_authority("AudioForkMute") == system | call)
      #expect(fake_authority("AudioForkSendText") == system | call)
      #expect(fake_authority("AudioForks") == system | call | reporting)
    }
  }

  @Test("A text goes to the engine where the fork has a connection")
  func texts() throws {
    try with { channel, engine in
      let id = try started(channel)
      let request = "Action: AudioForkSendText\nAudioForkID: \(id)\nChannel: PJSIP/100-1\nText: {\"a\":1}"
      #expect(Self.action(request).contains("the fork has no connection at the moment"))
      engine.sayState(id, "streaming")
      #expect(soon { Self.cli("audiofork list").contains("streaming") })
      #expect(Self.action(request) == "Response: Success\r\n\r\n")
      var types: [UInt16] = []
      while let message = engine.next(within: 500) { types.append(message.type) }
      #expect(types.contains(LinkMessageKind.sendText.rawValue))
    }
  }

  @Test("AUDIOFORK() knows every key, also when the fork is over, and cuts at the buffer")
  func function() throws {
    try with { channel, engine in
      let id = try started(channel, "ws://u:p@host/x,i(FORK)D(out)f(ulaw)")
      func value(_ key: String, _ length: Int = 256) -> String? {
        Self.taken(fake_function(channel, "\(id),\(key)", length))
      }
      #expect(value("filename") == "ws://host/x")
      #expect(value("url") == "ws://host/x")
      #expect(value("URL", 6) == "ws://")
      #expect(value("url", 1) == "")
      #expect(value("direction") == "out")
      #expect(value("format") == "ulaw")
      #expect(value("state") == "starting")
      for key in FunctionKey.all {
        #expect(value("\(key.name)") != nil)
        #expect(Self.taken(fake_function_long(channel, "\(id), \(key.name)")) != nil)
      }
      #expect(value("duration")?.wholeMatch(of: /[0-9]+\.[0-9]{3}/) != nil)

      #expect(value("colour") == nil)
      #expect(
        FakedAsterisk.log.contains("'colour' is no key; keys are url, filename, state, direction, format, duration"))
      #expect(fake_function(channel, "nobody,url", 64) == nil)
      #expect(FakedAsterisk.log.contains("there is no fork with the id 'nobody'"))
      #expect(fake_function(channel, "", 64) == nil)
      #expect(fake_function_long(channel, "\(id)") == nil)

      // The engine ends it in mid-call: its row goes, the channel still knows.
      engine.sayState(id, "streaming", position: 4242)
      engine.sayEnded(id)
      #expect(
        soon {
          let silence = [Int16](repeating: 0, count: 160)
          fake_frame(channel, AST_AUDIOHOOK_DIRECTION_WRITE, silence, 160)
          return Self.cli("audiofork list").hasSuffix("\n0 forks\n")
        })
      #expect(value("state") == "ended")
      #expect(value("position") == "4242")
    }
  }

  @Test("A fork that has ended cannot be muted, though its channel has not let go of it yet")
  func mutedTooLate() throws {
    try with { channel, engine in
      let id = try started(channel)
      engine.sayEnded(id)
      #expect(soon { Self.cli("audiofork show fork \(id)").contains("State: ended\n") })
      let action = "Action: AudioForkMute\nChannel: PJSIP/100-1\nDirection: both\nState: on"
      #expect(Self.action(action).hasPrefix("Response: Error\r\n"))
      #expect(Self.cli("audiofork show fork \(id)").contains("Muted: no\n"))
    }
  }

  @Test("What became of a fork that was stopped is known until a hundred others have ended")
  func ended() throws {
    try with { channel, engine in
      func startAndStop() throws -> String {
        let id = try started(channel, "ws://host/x,i(FORK)D(out)")
        engine.sayState(id, "streaming", position: 4242)
        #expect(soon { Self.cli("audiofork list").contains("streaming") })
        _ = af_exec_stop(channel, "")
        engine.sayEnded(id)
        #expect(soon { Self.cli("audiofork list").hasSuffix("\n0 forks\n") })
        return id
      }
      func position(_ id: String) -> String? { Self.taken(fake_function(channel, "\(id),position", 64)) }
      let first = try startAndStop()
      #expect(position(first) == "4242")
      #expect(Self.cli("audiofork show fork \(first)").contains("State: ended\n"))
      for _ in 1...99 { _ = try startAndStop() }
      #expect(position(first) == "4242")
      let last = try startAndStop()
      #expect(position(first) == nil && position(last) == "4242")
    }
  }

  @Test("The CLI's commands say what they did, and show their usage for a line of another form")
  func commands() throws {
    try with { channel, engine in
      #expect(Self.cli("audiofork start PJSIP/100-1 ws://host/a,H(X-Name: a b)i(FORK)").hasPrefix("Started fork af-"))
      let id = try #require(FakedAsterisk.variable(channel, "FORK"))
      #expect(Self.cli("audiofork start PJSIP/100-1 ws://bob:s3cret@host/b").hasPrefix("Started fork af-"))
      #expect(
        Self.cli("audiofork start PJSIP/100-1 http://host/")
          == "Not started: the URL must begin with ws:// or wss:// (given: 'http://host/')\n")
      #expect(
        Self.cli("audiofork start PJSIP/9 ws://host/")
          == "No channel is called PJSIP/9; 'core show channels' lists them.\n")

      let list = Self.cli("audiofork list")
      #expect(list.contains("ws://host/a\n") && list.contains("ws://host/b\n") && list.hasSuffix("2 forks\n"))
      #expect(Self.cli("audiofork list PJSIP/9").hasSuffix("0 forks\n"))
      let forks = Self.cli("audiofork show forks").split(separator: "\n").map {
        $0.split(separator: " ").map(String.init)
      }
      #expect(forks.first == ["Id", "Channel", "URL", "State", "Duration", "Lag", "Reconnects", "Lost"])
      #expect(forks.count == 4)
      #expect(forks[1].prefix(4) == [id, "PJSIP/100-1", "ws://host/a", "starting"])

      #expect(Self.cli("audiofork mute PJSIP/100-1 read on \(id)") == "Muted 1 fork of PJSIP/100-1.\n")
      #expect(Self.cli("audiofork mute PJSIP/100-1 both off") == "Unmuted 2 forks of PJSIP/100-1.\n")
      #expect(Self.cli("audiofork mute PJSIP/100-1 up on") == "'up' is no direction; it is read, write or both.\n")
      #expect(Self.cli("audiofork mute PJSIP/100-1 read maybe") == "'maybe' is neither on nor off.\n")
      #expect(Self.cli("audiofork mute PJSIP/100-1 read on nobody").contains("has no such fork"))

      let lines = Self.cli("audiofork show fork \(id)").split(separator: "\n").map(String.init)
      #expect(lines.map { String($0.prefix { $0 != ":" }) } == ForkFact.all.map { "\($0.name)" })
      // One second at 8 kHz, both directions, in powers of two: 32768 bytes for 32000 in a second.
      #expect(lines.contains("Buffer: 1.0"))
      #expect(lines.contains("Skew: 0"))
      #expect(Self.cli("audiofork show fork nobody").contains("There is no fork with the id nobody"))

      #expect(Self.cli("audiofork stop PJSIP/100-1 nobody").contains("has no such fork"))
      #expect(Self.cli("audiofork stop PJSIP/100-1 \(id)") == "Ended 1 fork of PJSIP/100-1.\n")
      #expect(Self.cli("audiofork stop PJSIP/100-1") == "Ended 1 fork of PJSIP/100-1.\n")
      #expect(!list.contains("s3cret") && !FakedAsterisk.log.contains("s3cret"))

      for line in [
        "audiofork start", "audiofork start PJSIP/100-1", "audiofork stop", "audiofork stop a b c",
        "audiofork list a b", "audiofork mute PJSIP/100-1 read", "audiofork mute a read on b c",
        "audiofork show fork", "audiofork show forks x", "audiofork show engine x",
      ] {
        #expect(Self.cli(line).hasPrefix("Usage: audiofork "), "\(line)")
      }
    }
  }

  @Test("The CLI completes channels, directions and ids")
  func completion() throws {
    try with { channel, _ in
      let id = try started(channel)
      for command in ["start", "stop", "list", "mute"] {
        #expect(Self.completions("audiofork \(command) PJ") == ["PJSIP/100-1"])
      }
      #expect(Self.completions("audiofork stop PJSIP/100-1 ") == [id])
      #expect(Self.completions("audiofork stop PJSIP/999-1 ") == [])
      #expect(Self.completions("audiofork mute PJSIP/100-1 ") == ["read", "write", "both"])
      #expect(Self.completions("audiofork mute PJSIP/100-1 w") == ["write"])
      #expect(Self.completions("audiofork mute PJSIP/100-1 read o") == ["on", "off"])
      #expect(Self.completions("audiofork mute PJSIP/100-1 read on a") == [id])
      #expect(Self.completions("audiofork show fork af-") == [id])
      #expect(Self.completions("audiofork show fork x") == [])
      #expect(Self.completions("audiofork show engine ") == [])
    }
  }

  @Test("The CLI shows the engine, also when there is none")
  func engine() throws {
    let asterisk = try #require(FakedAsterisk.load("buffer=1"))
    #expect(Self.cli("audiofork show engine") == "The engine is not running; 0 forks wait for it.\n")
    var engine = try #require(FakedEngine())
    engine.sayReady(process: getpid())
    #expect(soon { Self.cli("audiofork show engine").contains("Restarts: 0\n") })
    let lines = Self.cli("audiofork show engine").split(separator: "\n").map(String.init)
    #expect(lines.prefix(2) == ["Version: 0.1", "Process: \(getpid())"])
    #expect(lines.contains("Loops: 2"))
    #expect(
      lines.contains { $0.wholeMatch(of: /CPU: [0-9]+\.[0-9] % of a core since its start, [0-9]+\.[0-9]{3} s/) != nil })
    let memory = try #require(lines.compactMap { $0.wholeMatch(of: /Memory: ([0-9]+) kB/).map { String($0.1) } }.first)
    #expect((1000...4_000_000).contains(Int(memory) ?? 0))
    engine.die()
    engine = try #require(FakedEngine())
    engine.sayReady()
    #expect(soon { Self.cli("audiofork show engine").contains("Restarts: 1\n") })
    engine.die()
    #expect(asterisk.unload())
  }

  @Test("What /proc says of a process is read whatever its name is, and refused where it is something else")
  func processUse() throws {
    let stat = "12 (a) b ) c) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 1 0 900"
    let use = try #require(
      ProcessUse(stat: Array(stat.utf8), memory: Array("100 25 3 4\n".utf8), ticksPerSecond: 100, pageBytes: 4096))
    #expect(use.cpuMilliseconds == 2000)
    #expect(use.residentBytes == 25 * 4096)
    for (stat, memory) in [("", "1 2"), ("1 (x", "1 2"), ("1 (x) S 1", "1 2"), (stat, ""), (stat, "1 x")] {
      #expect(
        ProcessUse(stat: Array(stat.utf8), memory: Array(memory.utf8), ticksPerSecond: 100, pageBytes: 4096) == nil)
    }
    #expect(ProcessUse(of: 0) == nil)
  }

  @Test("The module brings its own help where Asterisk has none, and leaves it to Asterisk's XML where it has")
  func help() throws {
    try with { _, _ in
      let start = try #require(Self.taken(fake_help("application", "AudioFork")))
      for option in OptionDefinition.all {
        let form = String(decoding: option.form, as: UTF8.self)
        #expect(start.contains("\n  \(form):"), "\(form)")
      }
      #expect(start.contains("same => n,AudioFork(") && start.split(separator: "\n").allSatisfy { $0.count <= 100 })
      let function = try #require(Self.taken(fake_help("function", "AUDIOFORK")))
      for key in FunctionKey.all { #expect(function.contains("\n  \(key.name): ")) }
      for action in ActionDefinition.all {
        let text = try #require(Self.taken(fake_help("manager", "\(action.name)")))
        #expect(text.contains("Action: \(action.name)"))
        for parameter in action.parameters { #expect(text.contains("\(parameter.name): ")) }
      }
      #expect(try #require(Self.taken(fake_help("application", "StopAudioFork"))).contains("StopAudioFork([id])"))
    }
    fake_documented(1)
    defer { fake_documented(0) }
    try with { (_: OpaquePointer, _: FakedEngine) in
      for (kind, name) in [("application", "AudioFork"), ("function", "AUDIOFORK"), ("manager", "AudioForks")] {
        #expect(fake_help(kind, name) == nil)
      }
    }
  }
}
