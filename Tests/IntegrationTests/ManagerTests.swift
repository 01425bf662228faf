// SPDX-License-Identifier: Apache-2.0
import AsteriskTestKit
import AudioForkTestKit
import Testing

extension IntegrationTests {
  @Suite("The manager interface answers the tests", .serialized)
  struct ManagerTests {
    @Test("Replies, lists, raw text and events reach whoever waits for them", arguments: AsteriskRelease.tested)
    func exchange(release: AsteriskRelease) async throws {
      try await Sandbox.with(release, dialplan: "[test]\nexten => wait,1,Answer()\n same => n,Wait(60)\n") { sandbox in
        let manager = try await ManagerConnection(sandbox)
        #expect(try await manager.send("Ping")["Ping"] == "Pong")
        #expect(try await manager.send("Nonsense")["Response"] == "Error")
        let uptime = try await manager.send("Command", [("Command", "core show uptime")])
        #expect(uptime["Output"]?.contains("System uptime") == true)
        #expect(try await manager.reply(to: "Ping").text.hasPrefix("Response: Success\r\n"))
        let place = manager.eventCount
        try await manager.send(
          "Originate",
          [
            ("Channel", "Local/wait@test"), ("Context", "test"), ("Exten", "wait"), ("Priority", "1"),
            ("Async", "true"),
          ])
        let answer = try #require(await manager.event(named: "OriginateResponse", from: place))
        #expect(answer["Response"] == "Success")
        let channels = try await manager.list("CoreShowChannels")
        #expect(channels.reply["EventList"] == "start")
        #expect(channels.items.count == 2)
        #expect(channels.items.allSatisfy { $0["Channel"]?.hasPrefix("Local/wait@test-") == true })
        #expect(channels.end["ListItems"] == "2")
        // A refused action has no list.
        #expect(try await manager.list("CoreShowNonsense").items.isEmpty)
        #expect(await manager.event(named: "OriginateResponse", from: manager.eventCount, within: 0.1) == nil)
        manager.end()
        await #expect(throws: TestKitError.self) { try await manager.send("Ping", within: 2) }
      }
    }
  }
}
