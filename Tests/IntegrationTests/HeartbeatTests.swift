// SPDX-License-Identifier: Apache-2.0
import AsteriskTestKit
import AudioForkTestKit
import Foundation
import Testing

extension IntegrationTests {
  @Suite("An engine is replaced in mid-call", .serialized)
  struct HeartbeatTests {
    @Test(
      "One that hangs is killed within seconds, and the next one goes on", .tags(.slow),
      arguments: AsteriskRelease.tested)
    func hang(release: AsteriskRelease) async throws {
      try await hang(release)
    }

    @Test(
      "So it is where the kernel has no pidfds, which the log says once", .tags(.slow),
      arguments: AsteriskRelease.newest)
    func hangWithoutPidfd(release: AsteriskRelease) async throws {
      let library = FileManager.default.temporaryDirectory.appending(path: "no-pidfd-\(getpid()).so").path
      let source = Checkout.root.appending(path: "Testing/Fixtures/no-pidfd.c").path
      let built = try await ChildProcess.run(
        "/usr/bin/env", ["cc", "-shared", "-fPIC", "-O1", "-o", library, source])
      #expect(built.status == 0, "\(built.output)")
      defer { try? FileManager.default.removeItem(atPath: library) }
      try await hang(release, settings: ["preload": library]) { scene in
        let lines = scene.sandbox.logLines(["NOTICE"], containing: "cannot get a pidfd (pidfd_open: ")
        #expect(lines.count == 1, "\(lines)")
      }
    }

    private func hang(
      _ release: AsteriskRelease, settings: [String: String] = [:],
      _ further: (DeliveryScene) async throws -> Void = { _ in }
    ) async throws {
      try await DeliveryScene.with(
        release, hearing: KnownSignal(seed: 93, seconds: 14), settings: settings
      ) { scene in
        #expect(await scene.isCaptured(16_000))
        #expect(await scene.hasArrived(8000))
        let old = try #require(scene.sandbox.engines().first)
        #expect(Foundation.kill(old, SIGSTOP) == 0)
        // The last heartbeat may be a second old; three without one are too many, and it is looked for once a second.
        let isReplaced = await becomesTrue(within: 6) {
          let engines = scene.sandbox.engines()
          return engines.count == 1 && engines != [old]
        }
        #expect(isReplaced, "\(scene.sandbox.engines()), of which \(old) hangs")
        if !isReplaced { _ = Foundation.kill(old, SIGKILL) }
        #expect(try await scene.sandbox.channels().count == 2)
        for fork in scene.forks { try await scene.expectDelivered(fork) }
        let errors = scene.sandbox.logLines(["ERROR"])
        #expect(errors.count == 1, "\(errors)")
        #expect(errors.first?.contains("the AudioFork engine has not given a sign of life for 3 seconds") == true)
        #expect(scene.manager.events(named: "AudioForkGap").isEmpty)
        #expect(try await scene.sandbox.channels().count == 2)
        #expect(scene.sandbox.engines().count == 1)
        #expect(await becomesTrue(within: 5) { scene.sandbox.runFiles().allSatisfy { !$0.contains(".") } })
        #expect(try await scene.sandbox.cli("audiofork engine restart").contains("A new engine serves: process "))
        #expect(await becomesTrue(within: 2) { scene.sandbox.engines().count == 1 })
        try await further(scene)
      }
    }

    @Test(
      "audiofork engine restart, three times in one call, costs nothing", .tags(.slow),
      arguments: AsteriskRelease.tested)
    func restart(release: AsteriskRelease) async throws {
      try await DeliveryScene.with(release, hearing: KnownSignal(seed: 94, seconds: 14)) { scene in
        for round in 1...3 {
          #expect(await scene.isCaptured(round * 24_000))
          let old = try #require(scene.sandbox.engines().first)
          #expect(try await scene.sandbox.cli("audiofork engine restart").contains("A new engine serves"))
          let isReplaced = await becomesTrue(within: 5) {
            let engines = scene.sandbox.engines()
            return engines.count == 1 && engines != [old]
          }
          #expect(isReplaced, "round \(round)")
          for fork in scene.forks {
            let isBack = await becomesTrue(within: 5) {
              scene.server.events("started", path: fork.path).count == round + 1
            }
            #expect(isBack, "/\(fork.path), round \(round)")
          }
        }
        for fork in scene.forks {
          let stop = try await scene.expectDelivered(fork)
          #expect(stop["Reconnects"] == "3", "/\(fork.path)")
          guard fork.dialect == .v1 else { continue }
          let recording = try #require(scene.server.recordings(fork.path).first)
          #expect(stop["Position"] == "\(recording.count)")
        }
        let handovers = scene.sandbox.logLines(["NOTICE"], containing: "engine has left as it was asked to")
        #expect(handovers.count == 3, "\(handovers)")
        #expect(scene.manager.events(named: "AudioForkGap").isEmpty)
        #expect(scene.sandbox.logLines() == [])
      }
    }
  }
}
