// SPDX-License-Identifier: Apache-2.0
import AsteriskTestKit
import AudioForkTestKit
import Foundation
import Testing

extension IntegrationTests {
  /// What the C module did wrong when it was measured, fault by fault. Faults that other suites hold:
  ///  1  TLS and a server that comes back, 9 TLS that never worked: `TLSTests`
  ///  3  unloading by force: `ModuleTests`
  ///  8  a server that is down at the start: `FaultTests`
  ///  11 `r` and `R` are two options: also `ForkOptionsTests`; `a` and `S`: `DocumentExampleTests`; `b`, and the
  ///     command through AMI: `ModuleFeatureTests`, and 2 here
  ///  12 URLs and unknown ids: `BadInputTests`, `BadInputSurfaceTests`; the list without a channel: `CallTests`
  ///  13 `P` and the channel's lock: `BeepTests`; help: `HelpTests`
  @Suite("What the original did wrong", .serialized)
  struct OriginalFaultTests {
    static func dialplan(_ arguments: String) -> String {
      """
      [test]
      exten => a,1,Answer()
       same => n,AudioFork(\(arguments))
       same => n,Verbose(0,status is ${AUDIOFORKSTATUS})
       same => n,MusicOnHold(default,60)
      exten => silent,1,Answer()
       same => n,AudioFork(\(arguments))
       same => n,Wait(60)
      exten => words,1,Answer()
       same => n,AudioFork(\(arguments))
       same => n,Playback(${SOUNDS}/heard)
       same => n,Wait(60)
      exten => b,1,Answer()
       same => n,Wait(60)
      exten => many,1,Answer()
       same => n,Set(COUNT=0)
       same => n,While($[${COUNT} < 30])
       same => n,AudioFork(\(arguments))
       same => n,Wait(0.05)
       same => n,StopAudioFork()
       same => n,AudioFork(ws://127.0.0.1:9/,r(0)R(1))
       same => n,Wait(0.05)
       same => n,StopAudioFork()
       same => n,Set(COUNT=$[${COUNT} + 1])
       same => n,EndWhile()
       same => n,Verbose(0,all done ${ROUND})
       same => n,Wait(60)
      """
    }

    /// Starts a fixture; gives it and the port that it listens on.
    static func fixture(_ name: String, _ arguments: [String]) async throws -> (server: ChildProcess, port: Substring) {
      let script = Checkout.root.appending(path: "Testing/Fixtures/\(name)").path
      let server = try ChildProcess("/usr/bin/python3", [script] + arguments)
      let line = try #require(await server.line(within: 10) { $0.hasPrefix("listening on ") }, "\(server.lines)")
      return (server, try #require(line.split(separator: " ").last))
    }

    /// Processor time that a process has used, seconds.
    static func processorSeconds(_ process: Int32) -> Double {
      let stat = (try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8)) ?? ""
      // The name before the last parenthesis may hold anything.
      let fields = stat.split(separator: ")").last?.split(separator: " ") ?? []
      guard fields.count > 12, let user = Double(fields[11]), let system = Double(fields[12]) else { return 0 }
      return (user + system) / Double(sysconf(Int32(_SC_CLK_TCK)))
    }

    @Test(
      "2: hundreds of starts and stops through AMI, one fork or all of them, harm nothing", .tags(.slow),
      arguments: AsteriskRelease.tested)
    func managerCycles(release: AsteriskRelease) async throws {
      let receiver = try await Receiver()
      let plan = "[test]\nexten => b,1,Answer()\n same => n,Wait(120)\n"
      try await Sandbox.with(release, dialplan: plan) { sandbox in
        try await sandbox.call("b", "b")
        let manager = try await ManagerConnection(sandbox)
        let channel = try #require(try await sandbox.channels().first { $0.hasSuffix(";2") })
        func start() async throws -> String {
          let reply = try await manager.send(
            "AudioFork",
            [
              ("Channel", channel), ("WsServer", receiver.url("cycle")), ("Options", "D(in)"),
              ("Command", "echo >> \(sandbox.folder.path)/commands"),
            ])
          return try #require(reply["AudioForkID"], "\(reply)")
        }
        func stop(_ id: String?) async throws -> String? {
          let which = id.map { [("AudioForkID", $0)] } ?? []
          return try await manager.send("StopAudioFork", [("Channel", channel)] + which)["Response"]
        }
        func cycles(_ count: Int) async throws {
          for _ in 0..<count {
            let (first, second) = try await (start(), start())
            #expect(try await stop(first) == "Success")
            // It has gone or goes; the other lives.
            #expect(try await sandbox.isForked(second, manager))
            #expect(try await stop(nil) == "Success")
            #expect(try await stop(second) == "Error")
          }
        }
        func idle() async throws -> ModuleTests.Holdings {
          #expect(await becomesTrue(within: 20) { sandbox.runFiles().allSatisfy { !$0.contains(".") } })
          try await Task.sleep(for: .seconds(1))
          return try ModuleTests.Holdings(of: sandbox.processIdentifier)
        }
        try await cycles(30)
        let before = try await idle()
        try await cycles(150)
        let after = try await idle()
        #expect(after.descriptors <= before.descriptors, "\(before) \(after)")
        #expect(after.residentKilobytes - before.residentKilobytes < 2048, "\(before) \(after)")
        // Every one was told of once, and its command was run once.
        #expect(await becomesTrue(within: 10) { manager.events(named: "AudioForkStop").count == 360 })
        #expect(Set(manager.events(named: "AudioForkStart").compactMap { $0["AudioForkID"] }).count == 360)
        let commands = { (try? Data(contentsOf: sandbox.folder.appending(path: "commands")).count) ?? 0 }
        #expect(await becomesTrue(within: 10) { commands() == 360 }, "\(commands())")
        #expect(try await sandbox.channels().count == 2)
        #expect(sandbox.logLines() == [])
      }
      await receiver.remove()
    }

    @Test(
      "4: sixty forks leave no descriptor and no memory behind, in either process", arguments: AsteriskRelease.tested)
    func leaks(release: AsteriskRelease) async throws {
      let receiver = try await Receiver()
      try await Sandbox.with(release, dialplan: Self.dialplan(receiver.url("leak") + ",D(both)")) { sandbox in
        func round(_ number: Int) async throws -> (ModuleTests.Holdings, ModuleTests.Holdings) {
          try await sandbox.cli("dialplan set global ROUND \(number)")
          try await sandbox.call("many", "b")
          #expect(await sandbox.logShows("all done \(number)", within: 30))
          try await sandbox.cli("channel request hangup all")
          #expect(await becomesTrue(within: 15) { sandbox.runFiles().allSatisfy { !$0.contains(".") } })
          #expect(await receiver.ended(30 * number, path: "leak", within: 10))
          try await Task.sleep(for: .seconds(1))
          let engine = try #require(sandbox.engines().first)
          return (try ModuleTests.Holdings(of: sandbox.processIdentifier), try ModuleTests.Holdings(of: engine))
        }
        let warm = try await round(1)
        let end = try await round(2)
        for (before, after) in [(warm.0, end.0), (warm.1, end.1)] {
          #expect(after.descriptors <= before.descriptors, "before: \(before); after: \(after)")
          #expect(after.residentKilobytes - before.residentKilobytes < 1024, "before: \(before); after: \(after)")
        }
      }
      await receiver.remove()
    }

    @Test(
      "5: twenty forks without a server cost next to nothing, and their calls end at once",
      arguments: AsteriskRelease.tested)
    func outage(release: AsteriskRelease) async throws {
      try await Sandbox.with(release, dialplan: Self.dialplan("ws://127.0.0.1:9/,D(both)R(1)r(1000)")) { sandbox in
        for _ in 1...20 { try await sandbox.call("silent", "b") }
        #expect(await becomesTrue(within: 5) { sandbox.engines().count == 1 })
        try await Task.sleep(for: .seconds(1))
        let engine = try #require(sandbox.engines().first)
        let before = Self.processorSeconds(engine) + Self.processorSeconds(sandbox.processIdentifier)
        try await Task.sleep(for: .seconds(4))
        let used = Self.processorSeconds(engine) + Self.processorSeconds(sandbox.processIdentifier) - before
        // The original used eight seconds here, both cores. Twenty calls that wait use some themselves.
        #expect(used < 1.2, "\(used) s of processor time in 4 s")
        try await sandbox.cli("channel request hangup all")
        try await Task.sleep(for: .seconds(1))
        #expect(try await sandbox.channels() == [])
      }
    }

    @Test(
      "6: a server that stops reading blocks nobody, and what it did not take is told", .tags(.slow),
      arguments: AsteriskRelease.tested)
    func stalledServer(release: AsteriskRelease) async throws {
      let (server, port) = try await Self.fixture("unhelpful-server.py", ["stalled"])
      let signal = KnownSignal(seed: 61, seconds: 12)
      let plan = """
        [test]
        exten => a,1,Answer()
         same => n,AudioFork(ws://127.0.0.1:\(port)/,D(out))
         same => n,Playback(${SOUNDS}/heard)
        exten => b,1,Answer()
         same => n,Wait(60)
        """
      try await Sandbox.with(release, dialplan: plan) { sandbox in
        _ = try sandbox.sound("heard", signal.samples)
        try await sandbox.cli("dialplan set global SOUNDS \(sandbox.folder.path)")
        try await sandbox.call("a", "b")
        try await Task.sleep(for: .seconds(9))
        try await sandbox.cli("channel request hangup all")
        try await Task.sleep(for: .seconds(1))
        #expect(try await sandbox.channels() == [])
        #expect(await sandbox.logShows(" ended: ", within: 20))
        let ends = sandbox.logLines(["VERBOSE"], containing: " ended: ")
        let tells = ends.contains { $0.contains(/ended: (drain|unreachable): .*[1-9][0-9]* ms/) }
        #expect(tells, "\(ends)")
        #expect(try await sandbox.forks() == [])
        #expect(sandbox.runFiles().allSatisfy { !$0.contains(".") })
      }
      await server.end()
    }

    @Test(
      "7: a server that never answers the upgrade is given up in time, and the channel goes when it hangs up",
      arguments: AsteriskRelease.newest)
    func silentServer(release: AsteriskRelease) async throws {
      let (server, port) = try await Self.fixture("unhelpful-server.py", ["silent"])
      try await Sandbox.with(release, dialplan: Self.dialplan("ws://127.0.0.1:\(port)/,R(1)r(2)")) { sandbox in
        try await sandbox.call("a", "b")
        #expect(await sandbox.logShows(" ended: ", within: 10))
        #expect(sandbox.log.contains("no answer to the upgrade request within 1 s"))
        #expect(server.lines.filter { $0.hasPrefix("connection ") }.count == 3)
        try await sandbox.call("a", "b")
        let heard = await server.line(within: 5) { $0 == "connection 4" }
        #expect(heard != nil)
        try await sandbox.cli("channel request hangup all")
        try await Task.sleep(for: .milliseconds(500))
        #expect(try await sandbox.channels() == [])
      }
      await server.end()
    }

    @Test("10: pings are answered, a server's 1000 ends the fork, its 1001 does not", arguments: AsteriskRelease.newest)
    func closes(release: AsteriskRelease) async throws {
      for (code, seconds) in [(1000, 2.5), (1001, 1.5)] {
        let (server, port) = try await Self.fixture("closing-server.py", [String(code), String(seconds)])
        try await Sandbox.with(release, dialplan: Self.dialplan("ws://127.0.0.1:\(port)/,D(both)")) { sandbox in
          try await sandbox.call("a", "b")
          let heard = await server.line(within: 10) { $0 == "closed \(code)" }
          #expect(heard != nil, "\(server.lines)")
          let messages = server.lines.first { $0.hasPrefix("messages ") }.flatMap { Int($0.dropFirst(9)) }
          #expect(try #require(messages) > Int(seconds * 30), "the server did not last: \(server.lines)")
          if code == 1000 {
            #expect(await sandbox.logShows(" ended: server: closed with 1000"))
            // The hook leaves at the channel's next frame, the row when the control thread sees it.
            #expect(try await holds(within: 3) { try await sandbox.forks() == [] })
          } else {
            #expect(await becomesTrue(within: 10) { server.lines.filter { $0 == "closed 1001" }.count >= 2 })
            #expect(try await sandbox.forks().count == 1)
          }
          #expect(try await sandbox.channels().count == 2)
        }
        await server.end()
      }
    }

    @Test(
      "11: r counts the attempts, whatever R is, and the reason says how many there were",
      arguments: AsteriskRelease.newest)
    func attempts(release: AsteriskRelease) async throws {
      for (options, attempts) in [("r(3)", 3), ("r(0)", 0), ("R(1)r(2)", 2)] {
        let (server, port) = try await Self.fixture("unhelpful-server.py", ["dropping"])
        let dialplan = Self.dialplan("ws://127.0.0.1:\(port)/,D(both)\(options)")
        try await Sandbox.with(release, dialplan: dialplan) { sandbox in
          try await sandbox.call("a", "b")
          #expect(await sandbox.logShows(" ended: unreachable: ", within: 20))
          let said =
            attempts == 0
            ? "no attempts to reconnect are allowed" : "\(attempts) attempt\(attempts == 1 ? "" : "s") failed"
          #expect(sandbox.log.contains(said), "\(options)")
          #expect(server.lines.filter { $0.hasPrefix("connection ") }.count == attempts + 1, "\(options)")
        }
        await server.end()
      }
    }

    /// `words` are 1.4 s of one direction, then nobody says anything; the fill of two directions follows 2.1 s behind.
    @Test("14: while nobody speaks the stream goes on", .tags(.slow), arguments: AsteriskRelease.tested)
    func silence(release: AsteriskRelease) async throws {
      let receiver = try await Receiver()
      let calls = [
        ("silent", "in", 8000), ("silent", "out", 8000), ("silent", "both", 8000), ("words", "both", 18_000),
      ]
      for (call, direction, least) in calls {
        let path = call + direction
        try await Sandbox.with(release, dialplan: Self.dialplan(receiver.url(path) + ",D(\(direction))")) { sandbox in
          _ = try sandbox.sound("heard", KnownSignal(seed: 14, seconds: 1.4).samples)
          try await sandbox.cli("dialplan set global SOUNDS \(sandbox.folder.path)")
          try await sandbox.call(call, "b")
          #expect(await receiver.started(1, path: path, within: 5))
          try await Task.sleep(for: .seconds(call == "words" ? 5 : 4))
          try await sandbox.cli("channel request hangup all")
          #expect(await receiver.ended(1, path: path, within: 5))
          #expect(try receiver.recording(path: path).count > least, "\(path)")
        }
      }
      await receiver.remove()
    }
  }
}

extension Sandbox {
  /// Whether AMI lists the fork as one that has not ended.
  func isForked(_ id: String, _ manager: ManagerConnection) async throws -> Bool {
    try await manager.list("AudioForks").items.contains { $0["AudioForkID"] == id && $0["State"] != "ended" }
  }
}
