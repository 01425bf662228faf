// SPDX-License-Identifier: Apache-2.0
import AsteriskTestKit
import AudioForkTestKit
import Foundation
import Testing

extension IntegrationTests {
  @Suite("A spool keeps what the buffer cannot", .serialized)
  struct SpoolTests {
    @Test(
      "The server is away for six buffers, and the engine dies meanwhile: all of the call arrives",
      arguments: AsteriskRelease.newest)
    func outage(release: AsteriskRelease) async throws {
      let folder = try ScratchFolder()
      let settings = "buffer = 2\nspool = \(folder.path)\n"
      try await DeliveryScene.with(release, hearing: KnownSignal(seed: 98, seconds: 16), general: settings) { scene in
        let sandbox = scene.sandbox
        func kept(_ fork: DeliveryScene.Fork) -> Int {
          FileManager.default.contents(atPath: folder.file("\(fork.id).spool"))?.count ?? 0
        }
        #expect(await scene.isCaptured(16_000))
        #expect(await scene.hasArrived(8000))
        try await scene.server.leave(by: SIGKILL)
        #expect(await scene.isCaptured(64_000))
        // Six seconds of samples are 96 kB; the newest of them may not be there yet.
        for fork in scene.forks {
          #expect(await becomesTrue(within: 2) { kept(fork) >= 64_000 }, "/\(fork.path): \(folder.names)")
        }
        let old = try #require(sandbox.engines().first)
        #expect(Foundation.kill(old, SIGKILL) == 0)
        let isBack = await becomesTrue(within: 1) { sandbox.engines().contains { $0 != old } }
        #expect(isBack, "no engine within a second of the kill")
        #expect(await scene.isCaptured(112_000))
        for fork in scene.forks {
          #expect(kept(fork) >= 128_000, "/\(fork.path): the new engine keeps nothing")
          #expect(scene.arrived(fork) < 32_000, "/\(fork.path): the server was not away")
        }
        try await scene.server.comeBack()
        for fork in scene.forks { try await scene.expectDelivered(fork) }
        #expect(scene.manager.events(named: "AudioForkGap").isEmpty)
        #expect(await becomesTrue(within: 5) { folder.names.isEmpty }, "\(folder.names)")
        #expect(await becomesTrue(within: 5) { sandbox.runFiles().allSatisfy { !$0.contains(".") } })
        #expect(sandbox.logLines(["WARNING"], containing: "audio is lost") == [])
        #expect(sandbox.logLines(["ERROR"]) == [])
      }
    }
  }
}
