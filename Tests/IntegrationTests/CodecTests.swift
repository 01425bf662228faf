// SPDX-License-Identifier: Apache-2.0
import AsteriskTestKit
import Foundation
import Testing

extension IntegrationTests {
  @Suite("Calls in a codec that Asterisk only passes through", .serialized)
  struct CodecTests {
    private static let problem = "no translator from g729 to slin: load codec_g729.so"

    /// Twenty bytes for each packet of 20 ms. What they stand for, nobody here knows.
    private func speech(_ packets: Int) -> [UInt8] { (0..<packets * 20).map { UInt8(truncatingIfNeeded: $0 &* 37) } }

    /// Runs the body with a phone that has called in G.729. Its channel is forked, and echoes what it says.
    private func with(
      _ release: AsteriskRelease, _ body: (Sandbox, Receiver, ManagerConnection, SIPCaller, String) async throws -> Void
    ) async throws {
      let receiver = try await Receiver()
      let dialplan = """
        [phones]
        exten => echo,1,Answer()
         same => n,AudioFork(\(receiver.url("call")),D(stereo)i(FORK))
         same => n,Verbose(0,the fork is ${FORK} ${AUDIOFORKSTATUS}.)
         same => n,Echo()

        """
      try await Sandbox.with(release, dialplan: dialplan) { sandbox in
        let manager = try await ManagerConnection(sandbox)
        let port = try await SIPScene.takePhones(sandbox, codecs: ["ulaw", "g729"])
        let phone = try await SIPCaller(calls: "echo", at: port, codec: .g729, in: sandbox.folder)
        #expect(await sandbox.logShows(" SUCCESS."))
        let found = sandbox.log.firstMatch(of: /the\ fork\ is\ (af-[0-9a-f]+-[0-9]+)/)
        let id = try #require(found).1
        try await body(sandbox, receiver, manager, phone, String(id))
        try await phone.hangUp()
        #expect(try await holds(within: 5) { try await sandbox.forks().isEmpty })
        #expect(await becomesTrue(within: 5) { sandbox.runFiles().allSatisfy { !$0.contains(".") } })
        manager.end()
      }
      await receiver.remove()
    }

    private func fact(_ sandbox: Sandbox, _ id: String, _ name: String) async throws -> String {
      let lines = try await sandbox.cli("audiofork show fork \(id)").split(separator: "\n")
      return lines.first { $0.hasPrefix("\(name): ") }.map { String($0.dropFirst(name.count + 2)) } ?? ""
    }

    @Test(
      "A G.729 call without codec_g729 is left alone, without a line for each frame; µ-law brings audio, in its place",
      arguments: AsteriskRelease.tested)
    func passedThrough(release: AsteriskRelease) async throws {
      let said = KnownSignal(seed: 121, seconds: 2).throughMuLaw
      try await with(release) { sandbox, receiver, manager, phone, id in
        let clock = ContinuousClock()
        #expect(await receiver.started(1, path: "call", within: 10))
        let began = clock.now
        await phone.rtp.send(speech(100), .g729)
        // The call: what the phone said came back, as it was.
        let echoed = phone.rtp.received.filter { $0.payloadType == RTPCodec.g729.rawValue }
        #expect(echoed.count > 90 && echoed.allSatisfy { $0.payload.count == 20 }, "\(echoed.count)")
        // The fork: one line in a log that would have had 200 by now. Echo() itself makes Asterisk 16 warn once.
        let lines = sandbox.logLines().filter { !$0.contains("No translator path") }
        #expect(lines.count == 1, "\(lines.count) lines: \(lines.prefix(3))")
        #expect(lines.first?.contains(" captures nothing: \(Self.problem). Capture begins once") == true)
        #expect(sandbox.logLines(containing: "No translat").count == (release == .asterisk16 ? 1 : 0))
        #expect(try await fact(sandbox, id, "State") == "no-codec")
        #expect(try await fact(sandbox, id, "Reason") == "codec: \(Self.problem)")
        let event = try #require(await manager.event(named: "AudioForkState") { $0["State"] == "no-codec" })
        #expect(event["AudioForkID"] == id && event["Reason"] == "codec: \(Self.problem)")

        let agreed = try await phone.reoffer(.muLaw).payloadType
        #expect(agreed == RTPCodec.muLaw.rawValue)
        #expect(try await holds(within: 3) { try await fact(sandbox, id, "State") == "streaming" })
        let before = clock.now - began
        await phone.rtp.send(said.payload(.muLaw), .muLaw)
        #expect(
          await becomesTrue(within: 10) {
            (try? receiver.recording(path: "call", channel: 1).count { $0 != 0 }) ?? 0 >= said.samples.count
          })
        for channel in [0, 1] {
          let recording = try receiver.recording(path: "call", channel: channel)
          #expect(difference(recording.filter { $0 != 0 }, said.samples) == nil, "channel \(channel)")
          #expect(soundings(recording).count == 1, "channel \(channel)")
          // On the fork's timeline, the time without a hook is fill.
          let begin = Double(try #require(recording.firstIndex { $0 != 0 })) / 8000
          let due = Double(before.components.seconds) + Double(before.components.attoseconds) / 1e18
          #expect(abs(begin - due) < 0.5, "channel \(channel) begins at \(begin) s and not at \(due)")
        }
        // The engine reports it once a second.
        #expect(
          try await becomesTrue(within: 5) { try await fact(sandbox, id, "Captured") == "\(2 * said.samples.count)" })
        #expect(sandbox.logLines(["WARNING", "ERROR", "NOTICE"], containing: "captures audio again").count == 1)

        // Back to G.729 in mid-call: Asterisk warns until the next look, and no longer.
        try await phone.reoffer(.g729)
        await phone.rtp.send(speech(75), .g729)
        #expect(try await fact(sandbox, id, "State") == "no-codec")
        let warnings = sandbox.logLines(containing: "No translat").count
        #expect(warnings <= 110, "\(warnings)")
        await phone.rtp.send(speech(50), .g729)
        #expect(sandbox.logLines(containing: "No translat").count == warnings)
        #expect(sandbox.logLines(containing: "AudioFork ").count == 2)
      }
    }

    @Test(
      "A called party that has not answered may still agree on a codec that can be translated",
      arguments: AsteriskRelease.newest)
    func unanswered(release: AsteriskRelease) async throws {
      let receiver = try await Receiver()
      // Nobody answers: nothing is there.
      let port = try freeUDPPort()
      let dialplan = ["mixed", "only"].map { name in
        """
        [\(name)]
        exten => dial,1,Dial(PJSIP/\(name)/sip:x@127.0.0.1:\(port),20,b(\(name)^fork^1))
        exten => fork,1,AudioFork(\(receiver.url(name)))
         same => n,Return()

        """
      }
      try await Sandbox.with(release, dialplan: dialplan.joined()) { sandbox in
        let endpoints = [("mixed", "g729,ulaw"), ("only", "g729")].map {
          "[\($0)]\ntype=endpoint\ncontext=none\ndisallow=all\nallow=\($1)\n"
        }
        let file = sandbox.folder.appending(path: "etc/pjsip-test.conf")
        try endpoints.joined().write(to: file, atomically: true, encoding: .utf8)
        try await sandbox.cli("module reload res_pjsip.so")
        for name in ["mixed", "only"] {
          try await sandbox.cli("channel originate Local/dial@\(name) application Wait 10")
          #expect(await receiver.started(1, path: name, within: 10), "\(name)")
        }
        let lines = sandbox.logLines(containing: " captures nothing: \(Self.problem)")
        #expect(lines.count == 1 && lines.first?.contains("/only on PJSIP/only-") == true, "\(lines)")
        #expect(sandbox.logLines(containing: "No translat").isEmpty)
        try await sandbox.cli("channel request hangup all")
        #expect(try await holds(within: 5) { try await sandbox.forks().isEmpty })
      }
      await receiver.remove()
    }
  }
}
