// SPDX-License-Identifier: Apache-2.0
import AsteriskTestKit
import AudioForkTestKit
import Foundation
import Testing

extension IntegrationTests {
  @Suite("The engine confines itself", .serialized)
  struct ConfinementTests {
    private static func line(_ sandbox: Sandbox) -> String? {
      sandbox.logLines(["VERBOSE"], containing: "the AudioFork engine is ").last
    }

    @Test(
      "It says so, a reload that names a spool in mid-call gives it that folder, and the call loses nothing",
      arguments: AsteriskRelease.newest)
    func reload(release: AsteriskRelease) async throws {
      let folder = NSTemporaryDirectory() + "audiofork-spool-\(UInt32.random(in: 0...UInt32.max))"
      try FileManager.default.createDirectory(
        atPath: folder, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o700])
      defer { try? FileManager.default.removeItem(atPath: folder) }
      try await DeliveryScene.with(release, hearing: KnownSignal(seed: 118, seconds: 8)) { scene in
        let sandbox = scene.sandbox
        let first = try #require(Self.line(sandbox))
        #expect(first.contains("confined (Landlock ") || first.contains("not confined: the kernel has no Landlock"))
        #expect(await scene.isCaptured(16_000))
        let old = try #require(sandbox.engines().first)
        try ModuleFeatureTests.append("spool = \(folder)\n", of: sandbox)
        _ = try await ModuleFeatureTests.reload(sandbox)
        let isReplaced = await becomesTrue(within: 5) {
          let engines = sandbox.engines()
          return engines.count == 1 && engines != [old]
        }
        #expect(isReplaced, "\(sandbox.engines())")
        #expect(await becomesTrue(within: 5) { Self.line(sandbox) != first })
        if first.contains("confined (Landlock") { #expect(Self.line(sandbox)?.contains(folder) == true) }
        for fork in scene.forks {
          let stop = try await scene.expectDelivered(fork)
          #expect(stop["Reconnects"] == "1", "/\(fork.path)")
        }
        #expect(scene.manager.events(named: "AudioForkGap").isEmpty)
        #expect(sandbox.logLines() == [])
        // What is named is known: no other engine.
        let next = sandbox.engines()
        _ = try await ModuleFeatureTests.reload(sandbox)
        try await Task.sleep(for: .seconds(1))
        #expect(sandbox.engines() == next)
      }
    }
  }
}
