// SPDX-License-Identifier: Apache-2.0
import AsteriskTestKit
import AudioForkSurface
import Foundation
import Testing

extension IntegrationTests {
  @Suite("Bad input through the dialplan, the CLI and AMI", .serialized)
  struct BadInputSurfaceTests {
    /// A URL and options that start no fork, and what the one line about them says.
    struct Refused {
      let url: String
      let options: String
      let parts: [String]
    }

    /// For each option that takes a value: values that it does not take.
    static let badValues: [Character: [String]] = [
      "b": ["x"], "B": ["0", "3601", "-5", "ten", "5s", "99999999999999999999"], "p": ["x"], "P": ["beep"],
      "v": ["", "5", "-5", "two", "1.5"], "V": ["", "5", "-5", "two"], "W": ["", "5", "-5", "two"],
      "i": ["", "a b"], "D": ["", "sideways", "in out"], "f": ["", "mp3", "slin99"], "n": ["x"],
      "R": ["", "0", "3601", "soon"], "r": ["", "-1", "1000001", "many"], "w": ["", "morse"],
      "H": ["", "no colon", ": x", "Host: s3cret", "X-Key: s3cret\u{1}", "Sec-WebSocket-Key: s3cret"],
      "s": ["", "novalue", "=s3cret", "key=s3cret\u{1}"], "x": ["", "a b"],
    ]

    static var refused: [Refused] {
      let url = "ws://127.0.0.1:9/"
      var cases: [Refused] = []
      for definition in OptionDefinition.all {
        let letter = Character(UnicodeScalar(definition.letter))
        let form = "the form is \(String(decoding: definition.form, as: UTF8.self))"
        for value in badValues[letter] ?? [] {
          let isSecret = "Hs".contains(letter)
          cases.append(
            Refused(
              url: url, options: "\(letter)(\(value))",
              parts: ["option \(letter) does not accept ", form] + (isSecret ? [] : ["'\(value)'"])))
        }
        cases.append(
          Refused(url: url, options: "\(letter)(x", parts: ["option \(letter) has no closing parenthesis", form]))
      }
      for options in ["q", "n\u{1}p", "é"] {
        cases.append(Refused(url: url, options: options, parts: ["unknown option '", "known are b B p P"]))
      }
      cases.append(Refused(url: url, options: "T(on)", parts: ["option T asks for TLS", "wss://"]))
      for (url, part) in [
        ("http://host/", "the URL must begin with ws:// or wss:// (given: 'http://host/')"),
        ("ftp://bob:s3cret@host/", "the URL must begin with ws:// or wss:// (given: '...@host/')"),
        ("ws://", "the URL names no host"), ("ws://:80/", "the URL names no host"),
        ("ws://host:0/", "the port must be a number from 1 to 65535 (given: 'ws://host:0/')"),
        ("ws://host:70000/", "the port must be a number from 1 to 65535 (given: 'ws://host:70000/')"),
        ("ws://bob:s3cret@host:x/", "the port must be a number from 1 to 65535 (given: '...@host:x/')"),
        ("ws://[::1/", "an IPv6 address stands in brackets"),
        ("ws://[::g]/", "what stands in the brackets is not an IPv6 address"),
        ("ws://[::1]80/", "only a colon and a port may follow the bracket"),
        ("ws://ho\u{1}st/", "a URL contains no blanks or control characters"),
        ("ws://host/#s", "a WebSocket URL has no fragment"),
        ("ws://host/?token=s3cret#", "a WebSocket URL has no fragment"),
        ("ws://ho$t/", "the host name has a character that host names don't have"),
        ("ws://host:99999/?token=a@s3cret", "the port must be a number from 1 to 65535 (given: '...')"),
        ("bob:s3cret@host:8080/x?key=s3cret", "'...@host:8080/x?...' is neither a URL nor a profile"),
        ("nosuchprofile", "nosuchprofile"),
      ] {
        cases.append(Refused(url: url, options: "", parts: [part]))
      }
      return cases
    }

    static func dialplan(_ receiver: Receiver) -> String {
      var dialplan = "[test]\nexten => b,1,Answer()\n same => n,Wait(120)\nexten => a,1,Answer()\n"
      dialplan += " same => n,AudioFork(\(receiver.url("good")),i(GOOD))\n"
      for (number, row) in refused.enumerated() where !row.options.contains("é") {
        dialplan += " same => n,Set(AUDIOFORKSTATUS=)\n"
        dialplan += " same => n,AudioFork(\(row.url)\(row.options.isEmpty ? "" : ",")\(row.options))\n"
        dialplan += " same => n,Verbose(0,row \(number) is ${AUDIOFORKSTATUS})\n"
      }
      let long = String(repeating: "x", count: 5000)
      dialplan += " same => n,AudioFork(ws://host/\(long))\n same => n,AudioFork(ws://host/,i(\(long)))\n"
      // Longer than a line of a configuration file can be.
      dialplan += " same => n,Set(K=\(String(repeating: "x", count: 1000)))\n"
      dialplan += " same => n,AudioFork(ws://host/\(String(repeating: "${K}", count: 10)))\n"
      dialplan += " same => n,Set(EMPTY=${AUDIOFORK(${GOOD},colour)}${AUDIOFORK(nobody,url)})\n"
      return dialplan + " same => n,Verbose(0,all done)\n same => n,Wait(120)\n"
    }

    /// Other commands with words that they don't take, and what they answer. CHANNEL is the call's.
    static let otherCommands: [(line: String, answer: String)] = [
      ("audiofork mute CHANNEL up on", "'up' is no direction; it is read, write or both."),
      ("audiofork mute CHANNEL read maybe", "'maybe' is neither on nor off."),
      ("audiofork mute CHANNEL read on nobody", "has no such fork; 'audiofork list CHANNEL' shows them."),
      ("audiofork stop CHANNEL nobody", "has no such fork; 'audiofork list CHANNEL' shows them."),
      ("audiofork stop SIP/nobody", "No channel is called SIP/nobody; 'core show channels' lists them."),
      ("audiofork show fork nobody", "There is no fork with the id nobody"),
      ("audiofork start CHANNEL", "Usage: audiofork start <channel> <url>"),
    ]
    static let otherActions: [(lines: String, message: String)] = [
      ("Action: AudioFork", "No channel specified"),
      ("Action: AudioFork\nChannel: SIP/nobody\nWsServer: ws://h/", "No such channel"),
      ("Action: AudioFork\nChannel: CHANNEL", "No WsServer specified"),
      ("Action: StopAudioFork\nChannel: CHANNEL\nAudioForkID: nobody", "no fork with the id nobody"),
      (
        "Action: AudioForkMute\nChannel: CHANNEL\nDirection: up\nState: on",
        "Invalid direction specified. Must be read, write or both"
      ),
      (
        "Action: AudioForkMute\nChannel: CHANNEL\nDirection: both\nState: 7",
        "Invalid state specified. Must be on or off"
      ),
      ("Action: AudioForkSendText\nAudioForkID: nobody\nText: x", "there is no fork with the id nobody"),
      ("Action: AudioForkSendText\nAudioForkID: nobody", "No text specified"),
      ("Action: AudioForks\nChannel: SIP/nobody", "No such channel"),
    ]

    /// The number of users that Asterisk counts for the module.
    static func useCount(_ manager: ManagerConnection) async throws -> Int? {
      let line = try await manager.cli("module show like app_audiofork").split(separator: "\n").first {
        $0.hasPrefix("app_audiofork.so")
      }
      return line?.firstMatch(of: /\s([0-9]+)\s+Running/).flatMap { Int($0.1) }
    }

    private func checkDialplan(_ sandbox: Sandbox) async {
      #expect(await sandbox.logShows("all done", within: 15))
      for (number, row) in Self.refused.enumerated() where !row.options.contains("é") {
        #expect(sandbox.log.contains("row \(number) is FAILED"), "\(row.url) \(row.options)")
      }
      // One line for each, in their order: rows, the three long ones, the function's two.
      let lines = sandbox.logLines()
      let rows = Self.refused.filter { !$0.options.contains("é") }
      #expect(lines.count == rows.count + 5)
      for (line, row) in zip(lines, rows) {
        for part in row.parts {
          #expect(line.contains(part.replacing("\u{1}", with: "?")), "\(row.url) \(row.options): \(line)")
        }
      }
      let tooLong = lines.joined(separator: "\n").split(
        separator: "the URL is longer than 4096 characters (given: ", omittingEmptySubsequences: false)
      #expect(tooLong.count == 3 && tooLong.dropFirst().allSatisfy { $0.prefix { $0 != ")" }.count < 200 })
      #expect(lines.contains { $0.contains("option i does not accept 'xxx") && $0.count < 600 })
      #expect(lines.contains { $0.contains("'colour' is no key; keys are url, filename") })
      #expect(!lines.joined().contains("s3cret"))
    }

    private func checkCommands(_ manager: ManagerConnection, _ channel: String) async throws {
      for row in Self.refused where !row.url.contains("\u{1}") && !row.url.contains("#") {
        let options = row.options.isEmpty ? "" : "," + row.options
        let output = try await manager.cli("audiofork start \(channel) \(row.url)\(options)")
        #expect(output.hasPrefix("Not started: ") && !output.contains("\n"), "\(row.url) \(row.options): \(output)")
        for part in row.parts {
          #expect(output.contains(part.replacing("\u{1}", with: "?")), "\(row.url) \(row.options): \(output)")
        }
        #expect(!output.contains("s3cret"))
      }
      for row in Self.otherCommands {
        let output = try await manager.cli(row.line.replacing("CHANNEL", with: channel))
        #expect(output.contains(row.answer.replacing("CHANNEL", with: channel)), "\(row.line): \(output)")
      }
    }

    private func checkActions(_ manager: ManagerConnection, _ channel: String) async throws {
      for row in Self.refused {
        let answer = try await manager.exchange(
          "Action: AudioFork\nChannel: \(channel)\nWsServer: \(row.url)\nOptions: \(row.options)")
        let message = answer.first?["Message"] ?? ""
        #expect(answer.count == 1 && answer.first?["Response"] == "Error", "\(row.url) \(row.options): \(answer)")
        #expect(message.hasPrefix("Could not start monitoring channel: "))
        for part in row.parts {
          #expect(message.contains(part.replacing("\u{1}", with: "?")), "\(row.url) \(row.options): \(message)")
        }
        #expect(!"\(answer)".contains("s3cret"))
      }
      for row in Self.otherActions {
        let answer = try await manager.exchange(row.lines.replacing("CHANNEL", with: channel))
        #expect(answer.first?["Response"] == "Error")
        #expect(answer.first?["Message"]?.contains(row.message) == true, "\(row.lines): \(answer)")
      }
    }

    @Test("One clear line for each, the call goes on, and nothing is left", arguments: AsteriskRelease.tested)
    func surfaces(release: AsteriskRelease) async throws {
      let receiver = try await Receiver()
      try await Sandbox.with(release, dialplan: Self.dialplan(receiver)) { sandbox in
        try await sandbox.call("a", "b")
        await checkDialplan(sandbox)
        let warnings = sandbox.logLines().count
        let manager = try await ManagerConnection(sandbox)
        let channel = try #require(try await sandbox.channels().first { $0.hasSuffix(";2") })
        #expect(await receiver.started(1, path: "good", within: 10))
        // Once before counting: what Asterisk keeps from a first time is no leak.
        try await checkCommands(manager, channel)
        try await checkActions(manager, channel)
        let files = sandbox.runFiles()
        #expect(files.filter { $0.hasSuffix(".ring") }.count == 1)
        let before = try ModuleTests.Holdings(of: sandbox.processIdentifier)
        let uses = try #require(try await Self.useCount(manager))
        for _ in 0..<3 {
          try await checkCommands(manager, channel)
          try await checkActions(manager, channel)
        }
        #expect(try await Self.useCount(manager) == uses)
        #expect(sandbox.runFiles() == files)
        let after = await eventually(within: 3) { () -> Int? in
          let now = try? ModuleTests.Holdings(of: sandbox.processIdentifier).descriptors
          return now.map { $0 <= before.descriptors } == true ? now : nil
        }
        #expect(after != nil, "\(before)")
        // CLI and AMI have said it where they were asked; the log has nothing new.
        #expect(sandbox.logLines().count == warnings)
        #expect(try await sandbox.channels().count == 2)
        #expect(try await sandbox.forks().count == 1)

        // Ten kilobytes are too much for Asterisk itself: the CLI drops them, AMI answers for itself and reads on.
        let long = "ws://127.0.0.1:9/" + String(repeating: "x", count: 10_000)
        try await sandbox.cli("audiofork start \(channel) \(long)")
        _ = try? await manager.send("AudioFork", [("Channel", channel), ("WsServer", long)], within: 1)
        #expect(try await manager.send("Ping")["Response"] == "Success")
        #expect(try await sandbox.forks().count == 1)

        // URLs with user information and IPv6 literals are accepted, and the secret is nowhere to be seen.
        for url in [
          "ws://bob:s3cret@127.0.0.1:\(receiver.port)/user", "ws://[::1]:9/v6",
          "ws://127.0.0.1:\(receiver.port)/key?token=s3cret",
        ] {
          let answer = try await manager.exchange(
            "Action: AudioFork\nChannel: \(channel)\nWsServer: \(url)\nOptions: r(0)")
          #expect(answer.first?["Response"] == "Success", "\(url): \(answer)")
        }
        let shown =
          try await manager.cli("audiofork show forks") + "\(manager.exchange("Action: AudioForks"))"
          + manager.cli("audiofork list")
        #expect(shown.contains("/user") && !shown.contains("s3cret"))

        // A reference to the channel that was not given back would keep its datastores, and the module.
        try await sandbox.cli("channel request hangup all")
        let isUnused = try await becomesTrue(within: 20) { try await Self.useCount(manager) == 0 }
        #expect(isUnused)
        #expect(try await ModuleTests.unloadWhenIdle(sandbox))
        #expect(!sandbox.logLines().joined().contains("s3cret"))
      }
      await receiver.remove()
    }
  }
}
