// SPDX-License-Identifier: Apache-2.0
import AsteriskTestKit
import AudioForkTestKit
import Foundation
import Testing

extension IntegrationTests {
  @Suite("Rings that are continued, removed or left", .serialized)
  struct RingGenerationTests {
    private static let conference = """
      [test]
      exten => a,1,Answer()
       same => n,AudioFork(${SERVER},D(both))
       same => n,Set(CONFBRIDGE(bridge,internal_sample_rate)=48000)
       same => n,Set(CONFBRIDGE(user,quiet)=yes)
       same => n,ConfBridge(room)
      exten => b,1,Answer()
       same => n,Playback(${SOUNDS}/heard)
       same => n,Wait(60)
      exten => quiet,1,Answer()
       same => n,Wait(60)
      exten => member,1,Answer()
       same => n,Set(CONFBRIDGE(user,quiet)=yes)
       same => n,ConfBridge(room)

      """

    @Test(
      "A call that joins a ConfBridge at 48 kHz loses nothing while its server is away for 8 of the buffer's 10 seconds",
      arguments: AsteriskRelease.tested)
    func wideConference(release: AsteriskRelease) async throws {
      let server = try await RecurringServer()
      try await Sandbox.with(release, dialplan: Self.conference) { sandbox in
        _ = try sandbox.sound("heard", KnownSignal(seed: 93, seconds: 30).samples)
        try await sandbox.cli("dialplan set global SOUNDS \(sandbox.folder.path)")
        try await sandbox.cli("dialplan set global SERVER \(server.url("call"))")
        let manager = try await ManagerConnection(sandbox)
        try await sandbox.call("a", "quiet")
        try await sandbox.call("member", "b")
        let start = try #require(await manager.event(named: "AudioForkStart", within: 10))
        let id = try #require(start["AudioForkID"])
        #expect(await becomesTrue(within: 10) { sandbox.runFiles().contains { $0.hasSuffix("/\(id).1.ring") } })
        // The engine has let the first ring go.
        #expect(await becomesTrue(within: 10) { sandbox.runFiles().allSatisfy { !$0.hasSuffix("/\(id).ring") } })
        try await server.leave(by: SIGKILL)
        try await Task.sleep(nanoseconds: 8_000_000_000)
        let shown = try await sandbox.cli("audiofork show fork \(id)")
        let buffer = shown.split(separator: "\n").first { $0.hasPrefix("Buffer:") }?.dropFirst(7)
        #expect((buffer.flatMap { Double($0.trimmingCharacters(in: .whitespaces)) } ?? 0) >= 10, "\(shown)")
        try await server.comeBack()
        try await Task.sleep(nanoseconds: 2_000_000_000)
        try await sandbox.cli("channel request hangup all")
        let stop = try #require(
          await manager.event(named: "AudioForkStop", within: 20) { $0["AudioForkID"] == id }, "it has not ended")
        for name in ["Gaps", "Lost", "Undelivered"] { #expect(stop[name] == "0", "\(stop)") }
        #expect((Int(stop["Captured"] ?? "") ?? 0) > 8 * 48000, "\(stop)")
        #expect(await becomesTrue(within: 5) { sandbox.runFiles().allSatisfy { !$0.contains(".") } })
        #expect(sandbox.logLines(["WARNING"], containing: "keeps only") == [])
        manager.end()
      }
      await server.remove()
    }

    @Test(
      "The run directory is removed in mid-call: the fork goes on over an engine's death, and other calls are forked",
      arguments: AsteriskRelease.tested)
    func removedRunDirectory(release: AsteriskRelease) async throws {
      try await DeliveryScene.with(release, hearing: KnownSignal(seed: 94, seconds: 12)) { scene in
        let sandbox = scene.sandbox
        #expect(await scene.hasArrived(8000))
        // As logind does it: all that is in it, and the directory.
        try FileManager.default.removeItem(atPath: sandbox.runDirectory)
        try await sandbox.call("a", "b")
        let isRemade = await becomesTrue(within: 10) {
          scene.forks.allSatisfy { fork in sandbox.runFiles().contains { $0.hasSuffix("/\(fork.id).1.ring") } }
        }
        #expect(isRemade, "\(sandbox.runFiles())")
        #expect(sandbox.logLines(["WARNING"], containing: "was removed while the module runs").count == 1)
        #expect(try await sandbox.forks().count == 4)
        #expect(
          await becomesTrue(within: 5) {
            scene.forks.allSatisfy { fork in sandbox.runFiles().contains { $0.hasSuffix("/\(fork.id).cursor") } }
          }, "the engine saves where it is in the new directory: \(sandbox.runFiles())")
        // By then all that was in the ring without a name is confirmed.
        try await Task.sleep(nanoseconds: 2_000_000_000)
        let engine = try #require(sandbox.engines().first)
        #expect(engine > 1 && kill(engine, SIGKILL) == 0)
        for fork in scene.forks { try await scene.expectDelivered(fork) }
        #expect(sandbox.logLines(["ERROR"]) == [])
        try await sandbox.cli("channel request hangup all")
        #expect(await becomesTrue(within: 20) { sandbox.runFiles().allSatisfy { !$0.contains(".") } })
      }
    }

    @Test(
      "A fork that the server has ended leaves a channel without audio at once", arguments: AsteriskRelease.tested)
    func endedWithoutAudio(release: AsteriskRelease) async throws {
      let (server, port) = try await OriginalFaultTests.fixture("closing-server.py", ["1000", "0.5"])
      let dialplan = """
        [test]
        exten => a,1,Answer()
         same => n,AudioFork(ws://127.0.0.1:\(port)/,D(both))
         same => n,Wait(60)
        exten => b,1,Answer()
         same => n,Wait(60)

        """
      try await Sandbox.with(release, dialplan: dialplan) { sandbox in
        try await sandbox.call("a", "b")
        #expect(await sandbox.logShows(" ended: server: ", within: 15))
        #expect(try await holds(within: 5) { try await sandbox.forks().isEmpty })
        #expect(await becomesTrue(within: 2) { sandbox.runFiles().allSatisfy { !$0.contains(".") } })
        #expect(try await sandbox.channels().count > 1, "the call goes on")
        let maps = processFile("/proc/\(sandbox.processIdentifier)/maps")
        #expect(!maps.contains(".ring"))
      }
      await server.end()
    }
  }
}
