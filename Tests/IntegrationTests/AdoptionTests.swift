// SPDX-License-Identifier: Apache-2.0
import AsteriskTestKit
import Foundation
import Testing

extension IntegrationTests {
  @Suite("What a dead Asterisk has captured is delivered", .serialized)
  struct AdoptionTests {
    @Test(
      "Asterisk is killed in mid-call: its engine delivers all that was captured, clears up and goes",
      arguments: AsteriskRelease.tested)
    func asteriskDies(release: AsteriskRelease) async throws {
      try await DeliveryScene.with(release, hearing: KnownSignal(seed: 91, seconds: 30)) { scene in
        #expect(await scene.isCaptured(8000))
        let moment = try scene.moment()
        #expect(await scene.isCaptured(32_000))
        #expect(await scene.hasArrived(16_000))
        let ends = try await scene.killAsterisk(since: moment)
        for (fork, end) in zip(scene.forks, ends) {
          #expect(await scene.isOver(fork), "/\(fork.path)")
          try scene.expectArrived(fork, upTo: end)
          // It was the engine of the call that did it, over the connection that it had.
          #expect(scene.server.events("started", path: fork.path).count == 1, "/\(fork.path)")
        }
        #expect(await becomesTrue(within: 5) { scene.sandbox.engines().isEmpty })
        #expect(await becomesTrue(within: 2) { scene.sandbox.runFiles().isEmpty }, "\(scene.sandbox.runFiles())")
      }
    }

    @Test(
      "Asterisk and its engine are killed while the server is away: the next Asterisk's engine delivers the rest",
      arguments: AsteriskRelease.tested)
    func bothDie(release: AsteriskRelease) async throws {
      try await DeliveryScene.with(release, hearing: KnownSignal(seed: 92, seconds: 40)) { scene in
        #expect(await scene.isCaptured(16_000))
        #expect(await scene.hasArrived(8000))
        try await scene.server.leave(by: SIGKILL)
        let moment = try scene.moment()
        // Four seconds, of the ten that the buffer holds.
        #expect(await scene.isCaptured((moment.captured.max() ?? 0) + 32_000))
        let engine = try #require(scene.sandbox.engines().first)
        let ends = try await scene.killAsterisk(and: [engine], since: moment)
        #expect(await becomesTrue(within: 5) { scene.sandbox.engines().isEmpty })
        let left = scene.sandbox.runFiles()
        for (fork, end) in zip(scene.forks, ends) {
          #expect(left.contains { $0.hasSuffix("/\(fork.id).ring") }, "\(left)")
          #expect(left.contains { $0.hasSuffix("/\(fork.id).cursor") }, "\(left)")
          #expect(end - scene.arrived(fork) >= 24_000, "/\(fork.path): nothing was waiting in the ring")
        }

        try await scene.server.comeBack()
        let next = try await scene.sandbox.startAgain()
        for (fork, end) in zip(scene.forks, ends) {
          #expect(await scene.isOver(fork), "/\(fork.path)")
          try scene.expectArrived(fork, upTo: end)
          let finished = "what an Asterisk that died left of it is finished: done: all audio was delivered"
          let isTold = await becomesTrue(within: 5) {
            next.logLines(["NOTICE"], containing: finished).contains {
              $0.contains("AudioFork \(fork.id) ") && $0.contains(" 0 samples lost in 0 gaps")
            }
          }
          #expect(isTold, "\(next.logLines(["NOTICE"], containing: fork.id))")
        }
        // Nothing is there but the new load's own directory, without a fork in it.
        let isCleared = await becomesTrue(within: 5) {
          let files = next.runFiles()
          return !files.isEmpty && files.allSatisfy { !$0.contains(".") && !left.contains($0) }
        }
        #expect(isCleared, "\(next.runFiles())")
        #expect(next.engines().count == 1)
        #expect(try await next.forks() == [])
        #expect(next.logLines(["ERROR"], containing: "udio") == [])
      }
    }
  }
}
