// SPDX-License-Identifier: Apache-2.0
import AsteriskTestKit
import AudioForkTestKit
import Foundation
import Testing

extension IntegrationTests {
  @Suite("Rings that are removed or left", .serialized)
  struct RingGenerationTests {
    @Test(
      "The run directory is removed in mid-call: the fork goes on over an engine's death, and other calls are forked",
      arguments: AsteriskRelease.tested)
    func removedRunDirectory(release: AsteriskRelease) async throws {
      try await DeliveryScene.with(release, hearing: KnownSignal(seed: 94, seconds: 12)) { scene in
        let sandbox = scene.sandbox
        #expect(await scene.hasArrived(8000))
        // As logind does it: all that is in it, and the directory.
        try FileManager.default.removeItem(atPath: sandbox.runDirectory)
        let channel = try #require(
          try await sandbox.channels().first { $0.hasPrefix("Local/a@test") && $0.hasSuffix(";2") })
        let answer = try await sandbox.cli("audiofork start \(channel) \(scene.server.url("other")),D(out)")
        #expect(answer.hasPrefix("Started fork \(scene.forks[0].id.dropLast())3 on "), "\(answer)")
        let isRemade = await becomesTrue(within: 10) {
          scene.forks.allSatisfy { fork in sandbox.runFiles().contains { $0.hasSuffix("/\(fork.id).1.ring") } }
        }
        #expect(isRemade, "\(sandbox.runFiles())")
        #expect(sandbox.logLines(["WARNING"], containing: "was removed and has been made again").count == 1)
        #expect(try await sandbox.forks().count == 3)
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
      "The rate rises to 48 kHz under a fork whose server stands still for 8 s: nothing is lost", .tags(.slow),
      arguments: AsteriskRelease.tested)
    func conference(release: AsteriskRelease) async throws {
      let receiver = try await Receiver()
      let signal = KnownSignal(seed: 95, seconds: 30)
      let dialplan = """
        [test]
        exten => a,1,Answer()
         same => n,AudioFork(\(receiver.url("a")),D(both)w(audiofork))
         same => n,Goto(conference,1)
        exten => conference,1,Answer()
         same => n,Set(CONFBRIDGE(bridge,internal_sample_rate)=48000)
         same => n,Set(CONFBRIDGE(user,quiet)=yes)
         same => n,ConfBridge(room)
        exten => talk,1,Answer()
         same => n,Playback(${SOUNDS}/talk)
         same => n,Wait(60)

        """
      try await Sandbox.with(release, dialplan: dialplan) { sandbox in
        _ = try sandbox.sound("talk", signal.samples)
        try await sandbox.cli("dialplan set global SOUNDS \(sandbox.folder.path)")
        try await sandbox.call("a", "talk")
        try await sandbox.call("conference", "talk")
        #expect(await sandbox.logShows("in a new ring of", within: 5))
        let id = try #require(try await sandbox.forks().first?.split(separator: " ").first.map(String.init))
        try await Task.sleep(for: .seconds(2))
        receiver.signal(SIGSTOP)
        try await Task.sleep(for: .seconds(8))
        receiver.signal(SIGCONT)
        try await Task.sleep(for: .seconds(1))
        try await sandbox.cli("channel request hangup all")
        #expect(await sandbox.logShows(" ended: done: all audio was delivered", within: 15), "\(sandbox.logLines())")
        let facts = try await sandbox.cli("audiofork show fork \(id)")
        func number(_ name: String) -> Int? {
          facts.split(separator: "\n").first { $0.trimmingPrefix(while: { $0 == " " }).hasPrefix("\(name):") }
            .flatMap { Int($0.split(separator: ":")[1].trimmingCharacters(in: .whitespaces)) }
        }
        // Ten seconds at 48 kHz, of which some pass before the first frame of the conference.
        #expect(number("Captured").map { $0 > 400_000 } == true, "\(facts)")
        #expect(number("Gaps") == 0 && number("Lost") == 0 && number("Reconnects") == 0, "\(facts)")
        #expect(sandbox.logLines() == [])
      }
      await receiver.end()
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
