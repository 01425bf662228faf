// SPDX-License-Identifier: Apache-2.0
import AsteriskTestKit
import AudioForkTestKit
import Foundation
import Testing

extension IntegrationTests {
  /// Sentences of docs/reference/behavior.md, each quoted where it is tested. `BehaviorPageTests` compares.
  @Suite("What AMI accounts and administrators see of a fork", .serialized)
  struct VisibilityTests {
    private typealias Scene = LifetimeScene

    /// A server that prints the heads of requests, a dialplan that waits, and the page's profile.
    private static func withHeaderServer(
      _ release: AsteriskRelease, _ body: (Sandbox, ChildProcess, Substring) async throws -> Void
    ) async throws {
      let (server, port) = try await OriginalFaultTests.fixture("header-server.py", [])
      try await Sandbox.with(release, dialplan: "[test]\nexten => b,1,Answer()\n same => n,Wait(60)\n") { sandbox in
        try ModuleFeatureTests.append("\n" + BehaviorPage().example("[long]")(try #require(Int(port))), of: sandbox)
        try await sandbox.cli("module reload app_audiofork.so")
        try await sandbox.call("b", "b")
        try await body(sandbox, server, port)
      }
      await server.end()
    }

    /// The requests that the server has had.
    private static func requests(_ server: ChildProcess) -> [String] {
      server.lines.filter { $0.hasPrefix("request ") }
        .compactMap { Data(base64Encoded: String($0.dropFirst(8))) }.map { String(decoding: $0, as: UTF8.self) }
    }

    // behavior ami-line: Asterisk takes lines of at most 1024 bytes from an AMI client, with the header's name and the
    // line end.
    // behavior ami-too-long: With a longer line the whole action fails, and no fork is started.
    // behavior ami-long-value: A longer header, a token for instance, comes from a profile: its value is made of
    // variables that Setvar sets in pieces.
    @Test("Long values through AMI", arguments: AsteriskRelease.tested)
    func longLines(release: AsteriskRelease) async throws {
      try await Self.withHeaderServer(release) { sandbox, server, port in
        let manager = try await ManagerConnection(sandbox)
        let channel = try #require(try await sandbox.channels().first { $0.hasSuffix(";2") })
        for length in [1000, 1021, 1022, 1023, 1024, 1025, 2000, 3000] {
          let url = "ws://127.0.0.1:\(port)/x?"
          let line = "WsServer: \(url)"
          let value = url + String(repeating: "x", count: length - line.count)
          let reply = try await manager.send(
            "AudioFork", [("Channel", channel), ("WsServer", value), ("Options", "r(0)")])
          let isTaken = length <= 1022
          #expect(reply["Response"] == (isTaken ? "Success" : "Error"), "\(length): \(reply)")
          #expect((reply["AudioForkID"] != nil) == isTaken)
          if length > 1023 { #expect(reply["Message"] == "Failed to parse message: line too long") }
        }
        #expect(await becomesTrue(within: 5) { Self.requests(server).count == 3 })
        #expect(manager.events(named: "AudioForkStart").count == 3)
        let token = (0..<1500).map { String($0 * $0 % 36, radix: 36) }.joined()
        for (name, part) in [("TOKEN_1", token.prefix(750)), ("TOKEN_2", token.suffix(750))] {
          let reply = try await manager.send(
            "Setvar", [("Channel", channel), ("Variable", name), ("Value", String(part))])
          #expect(reply["Response"] == "Success")
        }
        let reply = try await manager.send("AudioFork", [("Channel", channel), ("WsServer", "long")])
        #expect(reply["Response"] == "Success", "\(reply)")
        let hasToken = await becomesTrue(within: 5) {
          Self.requests(server).contains { $0.contains("\r\nAuthorization: Bearer \(token)\r\n") }
        }
        #expect(hasToken)
      }
    }

    // behavior texts-list: An AMI account with `call` or `reporting` reads a server's last text in the list of
    // AudioForks.
    // behavior texts-variable: The same accounts read it with Getvar in AUDIOFORK_RESPONSE, as every channel variable.
    // behavior texts-event: Of these only an account with `call` gets the event AudioForkResponse.
    // behavior texts-filter: `eventfilter = !Event: AudioForkResponse` in an account of manager.conf keeps that event
    // away.
    @Test("What a server says, and accounts with few privileges", arguments: AsteriskRelease.tested)
    func texts(release: AsteriskRelease) async throws {
      let folder = FileManager.default.temporaryDirectory
        .appending(path: "af-texts-\(UInt32.random(in: 0...UInt32.max))")
      try #"["", "the caller says his number"]"#.write(to: folder, atomically: true, encoding: .utf8)
      defer { try? FileManager.default.removeItem(at: folder) }
      let (server, port) = try await OriginalFaultTests.fixture("talking-server.py", [folder.path])
      let dialplan = """
        [test]
        exten => a,1,Answer()
         same => n,AudioFork(ws://127.0.0.1:\(port)/,D(in))
         same => n,Wait(60)
        exten => b,1,Answer()
         same => n,Milliwatt()
        """
      try await Sandbox.with(release, dialplan: dialplan) { sandbox in
        let accounts = [
          ("caller", "read = call\nwrite = call"), ("reporter", "read = reporting\nwrite = reporting"),
          ("filtered", "read = call\nwrite = call\neventfilter = !Event: AudioForkResponse"),
          ("other", "read = dtmf,user,log\nwrite = originate,user"),
        ]
        let sections = accounts.map { "\n[\($0.0)]\nsecret = x\n\($0.1)\n" }.joined()
        try ModuleFeatureTests.append(sections, to: "manager.conf", of: sandbox)
        try await sandbox.cli("manager reload")
        var connections: [String: ManagerConnection] = [:]
        for (name, _) in accounts { connections[name] = try await ManagerConnection(sandbox, account: (name, "x")) }
        try await sandbox.call("a", "b")
        let event = await connections["caller"]?.event(named: "AudioForkResponse", within: 8) { $0["Response"] != "" }
        #expect(event?["Response"] == "the caller says his number")
        let channel = try #require(try await sandbox.channels().first { $0.hasSuffix(";2") })
        for (name, _) in accounts {
          let manager = try #require(connections[name])
          let list = try await manager.list("AudioForks")
          let variable = try await manager.send("Getvar", [("Channel", channel), ("Variable", "AUDIOFORK_RESPONSE")])
          if name == "other" {
            #expect(list.reply["Message"] == "Permission denied" && variable["Message"] == "Permission denied")
          } else {
            #expect(list.items.first?["Response"] == "the caller says his number", "\(name)")
            #expect(variable["Value"] == "the caller says his number", "\(name)")
          }
          #expect(manager.events(named: "AudioForkResponse").isEmpty == (name != "caller"), "\(name)")
          #expect(manager.events(named: "AudioForkStart").isEmpty == !["caller", "filtered"].contains(name), "\(name)")
        }
      }
      await server.end()
    }

    // behavior secrets-arguments: Asterisk shows the arguments of AudioFork(), with passwords in a URL and headers of
    // option `H`, as those of every application.
    // behavior secrets-places: They are in the verbose log, in the AMI event Newexten, and in the application data of
    // CDR and CEL.
    // behavior secrets-profile: A profile's `url` and `header`, and what variables and functions in them stand for, are
    // in none of these.
    @Test("Where secrets are seen, and where not", arguments: AsteriskRelease.tested)
    func secrets(release: AsteriskRelease) async throws {
      let receiver = try await Receiver()
      let dialplan = """
        [test]
        exten => profile,1,Answer()
         same => n,AudioFork(secret)
         same => n,Wait(1)
         same => n,Hangup()
        exten => inline,1,Answer()
         same => n,AudioFork(ws://me:pass-inline@127.0.0.1:\(receiver.port)/inline,H(X-Key: key-inline))
         same => n,Wait(1)
         same => n,Hangup()
        exten => last-profile,1,Answer()
         same => n,Wait(0.2)
         same => n,AudioFork(secret)
        exten => last-inline,1,Answer()
         same => n,Wait(0.2)
         same => n,AudioFork(ws://me:pass-inline@127.0.0.1:\(receiver.port)/inline,H(X-Key: key-inline))
        exten => b,1,Answer()
         same => n,Wait(60)
        """
      try await Sandbox.with(release, dialplan: dialplan) { sandbox in
        let token = sandbox.folder.appending(path: "token")
        try "key-file".write(to: token, atomically: true, encoding: .utf8)
        let profile = """

          [secret]
          url = ws://me:pass-profile@127.0.0.1:\(receiver.port)/profile?token=query-profile
          header = X-Key: key-profile
          header = X-File: ${FILE(\(token.path))}

          """
        try ModuleFeatureTests.append(profile, of: sandbox)
        try "[general]\nenable = yes\napps = audiofork\nevents = ALL\n[manager]\nenabled = yes\n".write(
          to: sandbox.folder.appending(path: "etc/cel.conf"), atomically: true, encoding: .utf8)
        try "[general]\nenable = yes\nunanswered = yes\n".write(
          to: sandbox.folder.appending(path: "etc/cdr.conf"), atomically: true, encoding: .utf8)
        try "[general]\nenabled = yes\n".write(
          to: sandbox.folder.appending(path: "etc/cdr_manager.conf"), atomically: true, encoding: .utf8)
        for command in [
          "module reload app_audiofork.so", "module reload cel", "module reload cdr", "module load func_env.so",
          "module load cel_manager.so", "module load cdr_manager.so",
        ] { try await sandbox.cli(command) }
        let manager = try await ManagerConnection(sandbox)
        for name in ["inline", "profile", "last-inline", "last-profile"] { try await sandbox.call(name, "b") }
        #expect(await receiver.ended(1, path: "inline", within: 8))
        let isSent = await becomesTrue(within: 8) {
          receiver.events("ended").contains { $0.path?.hasPrefix("/profile") == true }
        }
        #expect(isSent, "\(receiver.lines)")
        try await sandbox.cli("channel request hangup all")
        let places: [(String, () -> String)] = [
          ("verbose log", { sandbox.log }),
          ("Newexten", { manager.messages().filter { $0["Event"] == "Newexten" }.map(\.text).joined() }),
          ("CDR", { manager.messages().filter { $0["Event"] == "Cdr" }.map(\.text).joined() }),
          ("CEL", { manager.messages().filter { $0["Event"] == "CEL" }.map(\.text).joined() }),
        ]
        for (what, text) in places {
          let isSeen = await becomesTrue(within: 5) {
            ["pass-inline", "key-inline"].allSatisfy { text().contains($0) }
          }
          #expect(isSeen, "\(what) does not show what this test looks for: \(text().prefix(3000))")
        }
        let seen =
          sandbox.log + manager.messages().map(\.text).joined()
          + (try await sandbox.cli("audiofork show forks")) + (try await sandbox.cli("core show channels verbose"))
        for secret in ["pass-profile", "query-profile", "key-profile", "key-file"] {
          #expect(!seen.contains(secret), "\(secret)")
        }
      }
      await receiver.remove()
    }
  }
}
