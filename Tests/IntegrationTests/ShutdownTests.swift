// SPDX-License-Identifier: Apache-2.0
import AsteriskTestKit
import Foundation
import Testing

extension IntegrationTests {
  /// What `systemctl stop asterisk` does to the processes of its unit with the default KillMode=control-group: SIGTERM
  /// to all of them, and once more to those that are left when Asterisk has ended.
  @Suite("What Asterisk has captured is delivered when it is told to end", .serialized)
  struct ShutdownTests {
    struct Ending: Sendable, CustomTestStringConvertible {
      var release = AsteriskRelease.newest.first ?? .asterisk22
      /// What Asterisk gets; the engine gets SIGTERM.
      var signal = SIGTERM
      /// For how many seconds the dialplan keeps its channels after they were hung up.
      var hangupSeconds = 0

      var testDescription: String { "\(release), signal \(signal), \(hangupSeconds) s to hang up" }
    }

    static let endings =
      AsteriskRelease.tested.map { Ending(release: $0) } + [Ending(signal: SIGKILL), Ending(hangupSeconds: 4)]

    @Test("SIGTERM for Asterisk and its engine while the server is away for 3 s and audio waits", arguments: endings)
    func stopped(ending: Ending) async throws {
      let hangup = ending.hangupSeconds == 0 ? "" : "exten => h,1,System(sleep \(ending.hangupSeconds))"
      try await DeliveryScene.with(
        ending.release, hearing: KnownSignal(seed: 95, seconds: 30), dialplan: hangup
      ) { scene in
        #expect(await scene.isCaptured(16_000))
        #expect(await scene.hasArrived(8000))
        try await scene.server.leave(by: SIGKILL)
        let moment = try scene.moment()
        #expect(await scene.isCaptured((moment.captured.max() ?? 0) + 16_000))
        let engine = try #require(scene.sandbox.engines().first)
        if ending.signal == SIGKILL { #expect(Foundation.kill(engine, SIGTERM) == 0) }
        let ends = try await scene.killAsterisk(
          by: ending.signal, and: ending.signal == SIGKILL ? [] : [engine], since: moment)
        #expect(scene.sandbox.engines() == [engine], "the engine of the call serves on, and there is no other one")
        for (fork, end) in zip(scene.forks, ends) {
          #expect(end - scene.arrived(fork) >= 16_000, "/\(fork.path): nothing was waiting in the ring")
        }
        for _ in 1...2 {
          for left in scene.sandbox.engines() { #expect(Foundation.kill(left, SIGTERM) == 0) }
          try await Task.sleep(for: .milliseconds(300))
        }
        try await scene.server.comeBack()
        for (fork, end) in zip(scene.forks, ends) {
          #expect(await scene.isOver(fork), "/\(fork.path)")
          try scene.expectArrived(fork, upTo: end)
        }
        #expect(await becomesTrue(within: 5) { scene.sandbox.engines().isEmpty })
        #expect(await becomesTrue(within: 2) { scene.sandbox.runFiles().isEmpty }, "\(scene.sandbox.runFiles())")
      }
    }

    @Test(
      "A killed engine is no zombie while the command of a fork runs", .tags(.slow), arguments: AsteriskRelease.newest)
    func noZombie(release: AsteriskRelease) async throws {
      let receiver = try await Receiver()
      let dialplan = """
        [test]
        exten => a,1,Answer()
         same => n,AudioFork(\(receiver.url("x")),D(both),sleep 8)
         same => n,Wait(0.3)
         same => n,StopAudioFork()
         same => n,Wait(30)
        exten => b,1,Answer()
         same => n,Wait(30)
        """
      try await Sandbox.with(release, dialplan: dialplan) { sandbox in
        try await sandbox.call("a", "b")
        #expect(await receiver.ended(1, path: "x", within: 10))
        #expect(await becomesTrue(within: 5) { !processes { $0 == "sleep\08\0" }.isEmpty })
        let engine = try #require(sandbox.engines().first)
        #expect(Foundation.kill(engine, SIGKILL) == 0)
        let isGone = await becomesTrue(within: 3) { !FileManager.default.fileExists(atPath: "/proc/\(engine)") }
        #expect(isGone && !processes { $0 == "sleep\08\0" }.isEmpty)
        #expect(await becomesTrue(within: 3) { sandbox.engines().count == 1 })
      }
      await receiver.remove()
    }

    @Test(
      "SIGTERM for the engine alone: it serves on for two seconds, and the next one goes on", .tags(.slow),
      arguments: AsteriskRelease.newest)
    func engineAlone(release: AsteriskRelease) async throws {
      try await DeliveryScene.with(release, hearing: KnownSignal(seed: 96, seconds: 8)) { scene in
        #expect(await scene.hasArrived(8000))
        let old = try #require(scene.sandbox.engines().first)
        #expect(Foundation.kill(old, SIGTERM) == 0)
        try await Task.sleep(for: .seconds(1))
        #expect(scene.sandbox.engines() == [old])
        let isReplaced = await becomesTrue(within: 5) {
          let engines = scene.sandbox.engines()
          return engines.count == 1 && engines != [old]
        }
        #expect(isReplaced)
        for fork in scene.forks { #expect(try await scene.expectDelivered(fork)["Reconnects"] == "1") }
        #expect(scene.manager.events(named: "AudioForkGap").isEmpty)
      }
    }
  }
}
