// SPDX-License-Identifier: Apache-2.0
import AsteriskTestKit
import AudioForkTestKit
import Foundation
import Testing

extension IntegrationTests {
  @Suite("Trouble passes", .serialized)
  struct TroubleTests {
    /// Runs the fixture troubled-server.py with a folder for what it receives.
    private static func with(_ mode: String, _ body: (ChildProcess, Int, ScratchFolder) async throws -> Void)
      async throws
    {
      let folder = try ScratchFolder()
      let (server, port) = try await OriginalFaultTests.fixture("troubled-server.py", [mode, folder.path])
      try await body(server, try #require(Int(port)), folder)
      await server.end()
    }

    private static func connections(_ server: ChildProcess) -> Int {
      server.lines.count { $0.hasPrefix("connection ") }
    }

    private static func recordings(_ server: ChildProcess, _ folder: ScratchFolder) throws -> [[Int16]] {
      try (1...max(connections(server), 1)).map { number in
        try #require(FileManager.default.contents(atPath: "\(folder.path)/\(number).raw"))
          .withUnsafeBytes { Array($0.bindMemory(to: Int16.self)) }
      }
    }

    @Test(
      "A 404 in mid-call or at the beginning passes, and the fork has lost nothing",
      arguments: ["cut", "late"])
    func refusalPasses(mode: String) async throws {
      let release = try #require(AsteriskRelease.newest.first)
      let signal = KnownSignal(seed: 71, seconds: 4)
      try await Self.with(mode) { server, port, folder in
        try await FaultTests.withCall(release, to: "ws://127.0.0.1:\(port)/", hearing: signal) { sandbox in
          #expect(await sandbox.logShows(" ended: done: all audio was delivered", within: 15), "\(sandbox.logLines())")
          #expect(server.lines.contains("refused"))
          #expect(Self.connections(server) == (mode == "cut" ? 2 : 1), "\(server.lines)")
          #expect(sandbox.logLines(["ERROR"]) == [])
          #expect(sandbox.logLines(["WARNING"], containing: "trying again").count == 1)
          let remedy = mode == "late" ? ": the fork ends if it is refused so for 3 s." : " for up to 300 s."
          #expect(sandbox.logLines(["WARNING"], containing: "trying again\(remedy)").count == 1)
        }
        try FaultTests.expectWhole(try Self.recordings(server, folder), signal)
      }
    }

    @Test(
      "A server that closes without a code twice, or once and then refuses, ends the fork in order, not the call",
      arguments: [("empty", 4, "twice within a minute"), ("gone", 2, "then refused: http: 404 Not Found")])
    func emptyClose(mode: String, connections: Int, words: String) async throws {
      let release = try #require(AsteriskRelease.newest.first)
      try await Self.with(mode) { server, port, _ in
        try await PolicyTests.with(release, PolicyTests.profiles(port)) { sandbox in
          try await PolicyTests.callBoth(sandbox)
          let isOver = await becomesTrue(within: 15) {
            sandbox.logLines(["NOTICE"], containing: "server: closed without a code").count == 2
          }
          #expect(isOver, "\(sandbox.logLines())")
          #expect(sandbox.logLines(["NOTICE"], containing: words).count >= 1, "\(sandbox.logLines())")
          #expect(try await holds(within: 3) { try await sandbox.forks() == [] })
          #expect(Self.connections(server) <= connections, "\(server.lines)")
          for policy in ["hangup", "continue"] {
            #expect(try await sandbox.channels().contains { $0.contains("a@\(policy)") })
          }
          #expect(sandbox.logLines(containing: "hung up") == [])
          #expect(sandbox.logLines(["ERROR"]) == [])
        }
      }
    }

    @Test(
      "With on_close = reconnect the fork goes on behind a Close with 1000 and without a code",
      arguments: ["normal", "empty"])
    func reconnects(mode: String) async throws {
      let release = try #require(AsteriskRelease.newest.first)
      try await Self.with(mode) { server, port, _ in
        try await PolicyTests.with(release, PolicyTests.profiles(port, "on_close = reconnect")) { sandbox in
          try await PolicyTests.callBoth(sandbox)
          #expect(await becomesTrue(within: 15) { Self.connections(server) >= 7 }, "\(server.lines)")
          #expect(try await sandbox.forks().count == 2)
          #expect(sandbox.logLines(containing: "hung up") == [])
        }
      }
    }

    @Test("An outage ends the fork after its time; with on_failure = hangup the call too")
    func outage() async throws {
      let release = try #require(AsteriskRelease.newest.first)
      let gone = try await Receiver()
      let port = gone.port
      await gone.remove()
      try await PolicyTests.with(release, PolicyTests.profiles(port, "outage = 3")) { sandbox in
        let began = ContinuousClock.now
        try await PolicyTests.callBoth(sandbox)
        try await PolicyTests.expectOneEnded(sandbox, within: 10, because: "unreachable: ")
        #expect(ContinuousClock.now - began >= .seconds(3))
        let words = #/unreachable: \d+ attempts failed in [34] s, the last one: connection: refused/#
        #expect(await becomesTrue(within: 5) { sandbox.logLines(["ERROR"]).count { $0.contains(words) } == 2 })
        #expect(sandbox.logLines(["WARNING"], containing: "trying again for up to 3 s.").count == 2)
      }
    }
  }
}
