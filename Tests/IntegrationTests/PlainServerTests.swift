// SPDX-License-Identifier: Apache-2.0
import AsteriskTestKit
import AudioForkTestKit
import Foundation
import Testing

extension IntegrationTests {
  @Suite("Plain servers", .serialized)
  struct PlainServerTests {
    /// What a caller calls himself.
    private static let name = #"","admin":"yes\"#

    @Test(
      "A recognizer is configured, hears whole messages, and answers after the end; the page's dialplan waits for that",
      arguments: AsteriskRelease.tested)
    func recognizer(release: AsteriskRelease) async throws {
      let (server, port) = try await OriginalFaultTests.fixture("recognizer-server.py", ["1.5", "5"])
      let profile = """

        [recognizer]
        url = ws://127.0.0.1:\(port)/
        direction = in
        first_text = {"config":{"sample_rate":8000,"caller":"^{CALLERID(name)}","again":"${CALLERID(name)}"}}
        last_text = {"eof":1}
        linger = 10
        message = 200
        """
      let page = try DocumentExample.all(in: "../sending/plain-servers.md", language: "dialplan")
      let example = try #require(page.first).text.replacing("exten => s,", with: "exten => a,")
        .replacing("(recognizer,", with: "(recognizer,x(ANSWER)").replacing(
          "Answer()", with: "Set(CALLERID(name)=${NAME})")
      let plan = """
        [test]
        \(example)
         same => n,Verbose(0,answered <${ANSWER}>)
         same => n,Wait(60)
        exten => c,1,Set(CALLERID(name)=${NAME})
         same => n,AudioFork(recognizer,,logger -t fork over)
         same => n,Wait(1)
         same => n,StopAudioFork()
         same => n,Verbose(0,stopped)
        exten => b,1,Answer()
         same => n,Milliwatt()
        """
      try await Sandbox.with(release, dialplan: plan) { sandbox in
        let manager = try await ManagerConnection(sandbox)
        try ModuleFeatureTests.append(profile, of: sandbox)
        try await sandbox.cli("module reload app_audiofork.so")
        _ = try await manager.reply(to: "Setvar", [("Variable", "NAME"), ("Value", Self.name)])
        try await sandbox.call("a", "b")
        #expect(await sandbox.logShows("answered <", within: 20))
        let said = sandbox.logLines(["VERBOSE"], containing: "app_verbose.c")
        #expect(said.contains { $0.contains(#/answered <\{"text": "[0-9.]+ seconds"\}>/#) }, "\(said)")
        #expect(await becomesTrue(within: 5) { manager.events(named: "AudioForkStop").count == 1 })
        let names = manager.messages().compactMap { $0.fields["Event"] }
          .filter { ["AudioForkResponse", "AudioForkStop"].contains($0) }
        #expect(names == ["AudioForkResponse", "AudioForkStop"])
        #expect(manager.events(named: "AudioForkStop").first?["Reason"] == "done: all audio was delivered")
        // A hang-up does not wait: the channel is gone while the server still thinks.
        try await sandbox.call("c", "b")
        #expect(await sandbox.logShows("stopped", within: 10))
        #expect(await becomesTrue(within: 4) { server.lines.filter { $0.hasPrefix("heard ") }.count == 2 })
        #expect(manager.events(named: "AudioForkStop").count == 1)
        #expect(await becomesTrue(within: 15) { manager.events(named: "AudioForkStop").count == 2 })
        #expect(sandbox.logLines() == [])
      }
      let configurations = server.lines.filter { $0.hasPrefix("config ") }.map { $0.dropFirst("config ".count) }
      #expect(configurations.count == 2)
      for line in configurations {
        let config = try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
        #expect(config.count == 3 && config["caller"] as? String == Self.name)
        #expect(config["again"] as? String == Self.name && config["sample_rate"] as? Int == 8000)
      }
      #expect(server.lines.filter { $0.hasPrefix("connection ") } == ["connection 1 at 0", "connection 1 at 0"])
      let heard = server.lines.compactMap { $0.hasPrefix("heard ") ? Int($0.dropFirst(6)) : nil }
      #expect(heard.count == 2 && heard.allSatisfy { $0 > 0 && $0.isMultiple(of: 3200) }, "\(heard)")
    }
  }
}
