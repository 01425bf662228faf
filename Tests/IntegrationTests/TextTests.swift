// SPDX-License-Identifier: Apache-2.0
import AsteriskTestKit
import AudioForkTestKit
import Foundation
import Testing

extension IntegrationTests {
  @Suite("Text from the server and to it", .serialized)
  struct TextTests {
    /// What the server says: harmless, dangerous for AMI, long, and last something that the dialplan waits for.
    static let texts = [
      "{\"partial\":\"hällo\"}", "evil\r\nEvent: Forged\r\n\r\nResponse: Success\r\nActionID: kit-1\r\n\r\n",
      "tab\there \\ \u{1}",
      String(repeating: "ä", count: 35_000), "the last\nword",
    ]

    private static func dialplan(_ port: Substring) -> String {
      """
      [test]
      exten => a,1,Answer()
       same => n,AudioFork(ws://127.0.0.1:\(port)/,D(in)i(ID)x(ANSWER))
       same => n(again),Wait(0.1)
       same => n,GotoIf($[${LEN(${AUDIOFORK_RESPONSE})} > 3000]?long)
       same => n,Goto(again)
       same => n(long),Verbose(0,length ${LEN(${AUDIOFORK_RESPONSE})})
       same => n(last),Wait(0.1)
       same => n,GotoIf($["${AUDIOFORK_RESPONSE:0:8}" != "the last"]?last)
       same => n,Verbose(0,heard <${AUDIOFORK_RESPONSE}> <${ANSWER}> <${AUDIOFORK(${ID},response)}>)
       same => n,Wait(60)
      exten => b,1,Answer()
       same => n,Wait(60)
      """
    }

    @Test(
      "Each text becomes an event and variables, whole, cut where it is long, and nothing in it reaches AMI as a line",
      arguments: AsteriskRelease.tested)
    func responses(release: AsteriskRelease) async throws {
      let folder = ScratchFile()
      defer { folder.remove() }
      try JSONSerialization.data(withJSONObject: Self.texts).write(to: folder.url)
      let (server, port) = try await OriginalFaultTests.fixture("talking-server.py", [folder.url.path])
      try await Sandbox.with(release, dialplan: Self.dialplan(port)) { sandbox in
        let manager = try await ManagerConnection(sandbox)
        try await sandbox.call("a", "b")
        #expect(await sandbox.logShows("heard <", within: 15))
        // Bytes: a character is two, and none is cut in half.
        let said = sandbox.logLines(["VERBOSE"], containing: "app_verbose.c")
        #expect(said.contains { $0.hasSuffix("length 4000") }, "\(said)")
        #expect(said.contains { $0.hasSuffix("heard <the last word> <the last word> <the last word>") }, "\(said)")
        #expect(await becomesTrue(within: 5) { manager.events(named: "AudioForkResponse").count == Self.texts.count })
        let events = manager.events(named: "AudioForkResponse")
        #expect(events.compactMap { $0["Length"] } == Self.texts.map { "\($0.utf8.count)" })
        let responses = events.map { $0["Response"] ?? "" }
        #expect(responses[0] == Self.texts[0])
        #expect(responses[1] == "evil\\r\\nEvent: Forged\\r\\n\\r\\nResponse: Success\\r\\nActionID: kit-1\\r\\n\\r\\n")
        #expect(responses[2] == "tab\\there \\\\ \\001")
        #expect(responses[3] == String(repeating: "ä", count: 32_768))
        #expect(responses[4] == "the last\\nword")
        #expect(events.allSatisfy { $0["Dropped"] == "0" })
        #expect(manager.events(named: "Forged").isEmpty)
        // What Asterisk itself says of the variables has no line of the server's in it either.
        let channel = try #require(events.first?["Channel"])
        let get = try await manager.reply(to: "Getvar", [("Channel", channel), ("Variable", "AUDIOFORK_RESPONSE")])
        #expect(get["Value"] == "the last word")
        let sets = manager.events(named: "VarSet").filter { $0["Variable"] == "ANSWER" }
        #expect(sets.count == Self.texts.count)
        #expect(sets[1]["Value"]?.hasPrefix("evil  Event: Forged") == true)
        #expect(sandbox.logLines() == [])

        // The other way.
        let id = try #require(events.first?["AudioForkID"])
        for text in ["{\"language\":\"d\u{e9}\"}", "break UTF-8"] {
          let reply = try await manager.send("AudioForkSendText", [("AudioForkID", id), ("Text", text)])
          #expect(reply["Response"] == "Success", "\(reply)")
        }
        #expect(
          await server.line(within: 5) { $0 == "text \"{\\\"language\\\":\\\"d\\u00e9\\\"}\"" } != nil,
          "\(server.lines)")
        // What is no UTF-8 fails the connection with the code of RFC 6455, 8.1, and no event is made of it.
        #expect(await server.line(within: 5) { $0 == "closed 1007" } != nil, "\(server.lines)")
        #expect(
          await becomesTrue(within: 10) { manager.events(named: "AudioForkResponse").count == 2 * Self.texts.count })
        #expect(
          manager.events(named: "AudioForkResponse").dropFirst(Self.texts.count).map { $0["Response"] ?? "" }
            == responses)
        // One line for the break, one for its end.
        let lines = sandbox.logLines()
        #expect(lines.count == 2 && lines[0].contains("protocol: the server sent text that is not UTF-8"), "\(lines)")
        #expect(try await sandbox.channels().count == 2)
      }
      await server.end()
    }
  }
}

/// A file of one test.
struct ScratchFile {
  let url = URL(fileURLWithPath: "/tmp/af-file-\(UInt32.random(in: 0...UInt32.max))")
  func remove() { try? FileManager.default.removeItem(at: url) }
}
