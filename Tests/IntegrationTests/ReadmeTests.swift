// SPDX-License-Identifier: Apache-2.0
import AsteriskTestKit
import Foundation
import Testing

extension IntegrationTests {
  @Suite("The README's dialplan", .serialized)
  struct ReadmeTests {
    @Test("The dialplan in the README does what it says", arguments: AsteriskRelease.tested)
    func dialplan(release: AsteriskRelease) async throws {
      let readme = try String(contentsOf: Checkout.root.appending(path: "README.md"), encoding: .utf8)
      let blocks = readme.components(separatedBy: "```\n")
      let shown = try #require(blocks.first { $0.hasPrefix("[incoming]") })
      let receiver = try await Receiver()
      let here = shown.replacing("127.0.0.1:8080", with: "127.0.0.1:\(receiver.port)")
      #expect(here != shown)
      let dialplan = here + "\n[test]\nexten => b,1,Answer()\n same => n,Wait(30)\n"
      try await Sandbox.with(release, dialplan: dialplan) { sandbox in
        try await sandbox.cli("channel originate Local/1000@incoming extension b@test")
        #expect(await receiver.ended(1, within: 15))
        let event = try #require(receiver.events("ended").first)
        #expect(event.path?.hasPrefix("/calls/") == true)
        #expect(event.code == 1000)
        // The prompt is 1.4 s long.
        #expect(try #require(event.seconds) > 1.3)
        #expect(sandbox.logLines() == [])
      }
      await receiver.remove()
    }
  }
}
