// SPDX-License-Identifier: Apache-2.0
import AsteriskTestKit
import AudioForkTestKit
import Foundation
import Testing

extension IntegrationTests {
  /// What callers, and accounts that may only originate, can do with text of theirs: nothing.
  @Suite("Text of strangers", .serialized)
  struct UntrustedTextTests {
    /// Display names that have cost others a call, a header or a shell.
    static let names = [
      "AT&T", "Anna :)", "6\" pipe", "[x", "x)T(insecure", "x)r(0", "x&Authorization: Bearer evil", "x),touch FILE #(",
      "^{SHELL(touch FILE)}", "^{DB(a/b)}", "^{^{A}(b)}", "${SHELL(touch FILE)}", "a\tb",
      "x' ; touch FILE; '$(touch FILE)",
    ]

    private static func string(_ sandbox: Sandbox, _ name: String) -> String? {
      try? String(contentsOf: sandbox.folder.appending(path: name), encoding: .utf8)
    }

    @Test(
      "A caller's name in ^{...} is text and nothing else; in ${...} it can still name no function",
      arguments: AsteriskRelease.tested)
    func names(release: AsteriskRelease) async throws {
      let server = try ChildProcess(
        "/usr/bin/python3", [Checkout.root.appending(path: "Testing/Fixtures/header-server.py").path])
      let line = try #require(await server.line(within: 10) { $0.hasPrefix("listening on ") })
      let url = "ws://127.0.0.1:\(line.dropFirst(13))"
      let dialplan = """
        [test]
        exten => b,1,Answer()
         same => n,Wait(60)
        exten => safe,1,Answer()
         same => n,Set(CALLERID(name)=${NAME})
         same => n,AudioFork(\(url)/^{CALLERID(name)}?n=^{CALLERID(name):0:4},D(in)r(0)\
        H(Authorization: Bearer good)H(X-Name: ^{CALLERID(name)}&X-Last: 1)s(n=^{CALLERID(name)}&m=1),\
        env > ${PLACE}/env-${NUMBER})
         same => n,Verbose(1,safe ${NUMBER}: ${AUDIOFORKSTATUS})
        exten => unsafe,1,Answer()
         same => n,Set(CALLERID(name)=${NAME})
         same => n,AudioFork(\(url)/unsafe,D(in)r(0)H(X-Name: ${CALLERID(name)}))
         same => n,Verbose(1,unsafe ${NUMBER}: ${AUDIOFORKSTATUS})
        """
      let settings = ["options": "live_dangerously = yes\n"]
      try await Sandbox.with(release, dialplan: dialplan, settings: settings) { sandbox in
        let manager = try await ManagerConnection(sandbox)
        let file = sandbox.folder.appending(path: "touched").path
        func set(_ name: String, _ value: String) async throws {
          let answer = try await manager.send("Setvar", [("Variable", "\(name)"), ("Value", "\(value)")])
          #expect(answer["Response"] == "Success")
        }
        func heads() -> [String] {
          server.lines.filter { $0.hasPrefix("request ") }.compactMap { Data(base64Encoded: String($0.dropFirst(8))) }
            .map { String(decoding: $0, as: UTF8.self) }
        }
        try await set("PLACE", sandbox.folder.path)
        for (number, given) in Self.names.enumerated() {
          let name = given.replacing("FILE", with: file)
          try await set("NAME", name)
          try await set("NUMBER", "\(number)")
          try await sandbox.call("safe", "b")
          #expect(await sandbox.logShows("safe \(number): SUCCESS"), "\(name): \(sandbox.logLines())")
          #expect(await becomesTrue(within: 5) { heads().count == number + 1 }, "\(name)")
          let lines = (heads().last ?? "").split(separator: "\r\n").map(String.init)
          #expect(lines.filter { $0.hasPrefix("Authorization: ") } == ["Authorization: Bearer good"], "\(lines)")
          #expect(lines.contains("X-Name: \(name.replacing("\t", with: "%09"))"), "\(lines)")
          #expect(lines.contains("X-Last: 1"))
          func encoded(_ text: some StringProtocol) -> String {
            text.addingPercentEncoding(
              withAllowedCharacters: CharacterSet(
                charactersIn: "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")) ?? ""
          }
          #expect(lines.first == "GET /\(encoded(name))?n=\(encoded(name.prefix(4))) HTTP/1.1")
          #expect(lines.contains("AudioFork-Parameters: n=\(encoded(name))&m=1"), "\(lines)")
          let environment = "AUDIOFORK_CALLERID_NAME=\(name.replacing("\t", with: "?"))\n"
          #expect(
            await becomesTrue(within: 5) { Self.string(sandbox, "env-\(number)")?.contains(environment) == true },
            "\(name)")
        }
        let environment = Self.string(sandbox, "env-0") ?? ""
        for entry in [
          "AUDIOFORK_ID=af-", "AUDIOFORK_URL=\(url)/AT%26T?n=AT%26T\n", "AUDIOFORK_REASON=http: 403",
          "AUDIOFORK_CHANNEL=Local/safe@test-",
        ] {
          #expect(environment.contains(entry), "\(entry): \(environment)")
        }
        // Where the dialplan still uses ${...}, expressions in the name come to nothing, and the fork begins.
        for name in [
          "^{SHELL(touch \(file))}", "^{DB(a/b)}", "^{^{A}(touch \(file))}", "^{CUT(SHELL(touch \(file)),-,1)}",
          "^{CUT(SHE\\LL(touch \(file)),-,1)}",
        ] {
          let before = sandbox.logLines(["WARNING"], containing: "1 expression counts as empty").count
          try await set("NAME", name)
          try await set("NUMBER", "for \(name.count)")
          try await sandbox.call("unsafe", "b")
          #expect(await sandbox.logShows("unsafe for \(name.count): SUCCESS"), "\(name): \(sandbox.logLines())")
          let after = sandbox.logLines(["WARNING"], containing: "1 expression counts as empty").count
          #expect(after == before + 1, "\(name)")
        }
        #expect(await becomesTrue(within: 5) { heads().filter { $0.hasPrefix("GET /unsafe ") }.count == 5 })
        for head in heads() where head.hasPrefix("GET /unsafe ") { #expect(head.contains("X-Name: \r\n"), "\(head)") }

        // In Originate's data an expression is text.
        let count = heads().count
        let answer = try await manager.send(
          "Originate",
          [
            ("Channel", "Local/b@test"), ("Application", "AudioFork"),
            ("Data", "\(url)/o,H(X-Name: ^{SHELL(touch \(file))})"),
          ])
        #expect(answer["Response"] == "Success")
        #expect(await becomesTrue(within: 5) { heads().count == count + 1 })
        #expect(heads().last?.contains("X-Name: ^{SHELL(touch \(file))}\r\n") == true, "\(heads().last ?? "")")
        #expect(!FileManager.default.fileExists(atPath: file))
        manager.end()
      }
      await server.end()
    }

    /// Where an application may be executed: the name of the file that its command makes, and whether it may.
    static let places: [(name: String, isDialplan: Bool)] = [
      ("called", true), ("predial-called", true), ("predial-caller", true), ("queue", true), ("agi", true),
      ("async", true), ("local", true), ("self", false), ("peer", false), ("manager", false), ("console", false),
    ]

    private static func dialplan(_ folder: String) -> String {
      """
      [sub]
      exten => s,1,AudioFork(ws://127.0.0.1:9/,r(0),touch \(folder)/${ARG1})
       same => n,Return()
      [subqueue]
      exten => s,1,Gosub(sub,s,1(queue))
       same => n,Return()
      [test]
      exten => b,1,Answer()
       same => n,Wait(60)
      exten => local,1,Answer()
       same => n,Gosub(sub,s,1(local))
       same => n,Wait(60)
      exten => handler,1,Set(CHANNEL(hangup_handler_push)=sub,s,1(handler))
       same => n,Hangup()
      exten => dial,1,Dial(Local/b@test,5,U(sub^called)b(sub^s^1(predial-called))B(sub^s^1(predial-caller))S(1))
      exten => queue,1,Answer()
       same => n,Queue(q,,,,5)
      exten => agi,1,Answer()
       same => n,AGI(fork.sh)
       same => n,Wait(60)
      exten => async,1,Answer()
       same => n,AGI(agi:async)
      exten => features,1,Set(__DYNAMIC_FEATURES=forkself#forkpeer)
       same => n,Dial(Local/b@test,20)
      exten => digits,1,Answer()
       same => n,Wait(1)
       same => n,SendDTMF(*8)
       same => n,Wait(1)
       same => n,SendDTMF(*9)
       same => n,Wait(60)
      """
    }

    @Test("A command runs where the channel executes a dialplan, and nowhere else", arguments: AsteriskRelease.tested)
    func commands(release: AsteriskRelease) async throws {
      let folder = URL(fileURLWithPath: "/tmp/af-commands-\(UInt32.random(in: 0...UInt32.max))")
      try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
      defer { try? FileManager.default.removeItem(at: folder) }
      func ran(_ name: String) -> Bool { FileManager.default.fileExists(atPath: folder.appending(path: name).path) }
      try await Sandbox.with(release, dialplan: Self.dialplan(folder.path)) { sandbox in
        let fork = { (name: String) in "ws://127.0.0.1:9/,r(0),touch \(folder.path)/\(name)" }
        try ModuleFeatureTests.append(
          "[applicationmap]\nforkself => *8,self,AudioFork,\"\(fork("self"))\"\n"
            + "forkpeer => *9,peer,AudioFork,\"\(fork("peer"))\"\n",
          to: "features.conf", of: sandbox)
        try ModuleFeatureTests.append(
          "[q]\nstrategy = ringall\nmember => Local/b@test\nmembergosub = subqueue\n", to: "queues.conf", of: sandbox)
        let script = sandbox.folder.appending(path: "lib/agi-bin/fork.sh")
        try """
        #!/bin/sh
        while read line && [ -n "$line" ]; do :; done
        echo 'EXEC AudioFork "\(fork("agi"))"'
        read answer
        """.write(to: script, atomically: true, encoding: .utf8)
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: script.path)
        for command in [
          "module load res_speech.so", "module load res_agi.so", "module reload features", "module reload app_queue.so",
        ] {
          try await sandbox.cli(command)
        }
        let manager = try await ManagerConnection(sandbox)
        for name in ["dial", "queue", "agi", "async", "local", "handler"] { try await sandbox.call(name, "b") }
        try await sandbox.call("features", "digits")
        try await sandbox.cli("channel originate Local/b@test application AudioFork \"\(fork("console"))\"")
        _ = try await manager.send(
          "Originate", [("Channel", "Local/b@test"), ("Application", "AudioFork"), ("Data", fork("manager"))])
        let channel = try #require(
          try await sandbox.channels().first { $0.hasPrefix("Local/async@test") && $0.hasSuffix(";2") })
        let isTaken = try await becomesTrue(within: 10) {
          try await manager.send("AGI", [("Channel", channel), ("Command", "EXEC AudioFork \"\(fork("async"))\"")])[
            "Response"] == "Success"
        }
        #expect(isTaken)
        for (name, isDialplan) in Self.places where isDialplan {
          #expect(await becomesTrue(within: 15) { ran(name) }, "\(name): \(sandbox.logLines())")
        }
        let refusal = "was not started: a command, the third argument, runs only"
        #expect(
          await becomesTrue(within: 15) { sandbox.logLines(["WARNING"], containing: refusal).count == 4 },
          "\(sandbox.logLines())")
        // A hangup handler is dialplan too, but its channel cannot be forked any more.
        #expect(sandbox.logLines(["WARNING"], containing: "Local/handler@test-").count == 1)
        #expect(sandbox.logLines(["WARNING"], containing: "was not started: the channel is hanging up").count == 1)
        try await Task.sleep(for: .milliseconds(300))
        for (name, isDialplan) in Self.places where !isDialplan { #expect(!ran(name), "\(name)") }

        // From the CLI neither; by the action AudioFork it does.
        let said = try await sandbox.cli("audiofork start \(channel) \"\(fork("cli"))\"")
        #expect(said.contains("a command, the third argument, runs only"), "\(said)")
        let started = try await manager.send(
          "AudioFork",
          [
            ("Channel", "\(channel)"), ("WsServer", "ws://127.0.0.1:9/"), ("Options", "r(0)"),
            ("Command", "touch \(folder.path)/action"),
          ])
        #expect(started["Response"] == "Success", "\(started)")
        #expect(await becomesTrue(within: 5) { ran("action") })

        try ModuleFeatureTests.append("commands = yes\n", of: sandbox)
        try await sandbox.cli("module reload app_audiofork.so")
        try await sandbox.cli("audiofork start \(channel) \"\(fork("cli"))\"")
        try await sandbox.cli("channel originate Local/b@test application AudioFork \"\(fork("console"))\"")
        #expect(await becomesTrue(within: 5) { ran("cli") && ran("console") })

        try ModuleFeatureTests.append("commands = no\n", of: sandbox)
        try await sandbox.cli("module reload app_audiofork.so")
        let refused = try await manager.send(
          "AudioFork",
          [("Channel", "\(channel)"), ("WsServer", "ws://127.0.0.1:9/"), ("Command", "touch \(folder.path)/never")])
        #expect(refused["Message"]?.contains("commands = no in audiofork.conf") == true, "\(refused)")
        #expect(!ran("never"))
        manager.end()
      }
    }

    @Test("Options behind a comma, and a comma in a URL, are told from what they are not")
    func commas() async throws {
      let dialplan = """
        [test]
        exten => b,1,Answer()
         same => n,Wait(60)
        exten => a,1,Answer()
         same => n,AudioFork(ws://127.0.0.1:9/,D(in),f(slin16))
         same => n,Verbose(1,first ${AUDIOFORKSTATUS})
         same => n,AudioFork(ws://127.0.0.1:9/?langs=en,de)
         same => n,Verbose(1,second ${AUDIOFORKSTATUS})
         same => n,AudioFork(ws://^{HOST}/)
         same => n,Verbose(1,third ${AUDIOFORKSTATUS})
        """
      try await Sandbox.with(.asterisk22, dialplan: dialplan) { sandbox in
        try await sandbox.call("a", "b")
        for line in ["first FAILED", "second FAILED", "third FAILED"] { #expect(await sandbox.logShows(line)) }
        for line in [
          "'f(slin16)' looks like options; write all options in the second argument",
          "unknown option 'd'", "write %2C for one in the query",
          "^{...} may stand in the path and the query of a URL only",
        ] {
          #expect(sandbox.logLines(["WARNING"], containing: line).count == 1, "\(line)")
        }
        #expect(sandbox.logLines().count == 3, "\(sandbox.logLines())")
      }
    }
  }
}
