// SPDX-License-Identifier: Apache-2.0
import AudioForkBytes
import AsteriskTestKit
import AudioForkSurface
import AudioForkTestKit
import Foundation
import Testing

extension IntegrationTests {
  @Suite("What manager clients and ARI applications hear of a fork", .serialized)
  struct EventTests {
    private typealias Scene = LifetimeScene

    /// The event has the headers of its declaration, in their order, for the clients with the privilege `call`.
    private func expectDeclared(_ message: ManagerMessage, as definition: EventDefinition) {
      #expect(
        message.headers.map(\.name) == ["Event", "Privilege"] + definition.fields.map { "\($0.name)" }, "\(message)")
      #expect(message["Event"] == "\(definition.name)")
      #expect(message["Privilege"] == "call,all")
    }

    /// The events of one fork, the oldest first.
    private func events(of id: String, _ manager: ManagerConnection) -> [ManagerMessage] {
      manager.messages().filter { $0["AudioForkID"] == id && $0["Event"]?.hasPrefix("AudioFork") == true }
    }

    @Test("A call's life: start, states and the end with counters that add up", arguments: AsteriskRelease.tested)
    func life(release: AsteriskRelease) async throws {
      try await Scene.with(
        release,
        dialplan: { receiver in
          """
          exten => a,1,Answer()
           same => n,AudioFork(ws://bob:s3cret@127.0.0.1:\(receiver.port)/whole,D(out)f(slin16))
           same => n,Playback(${SOUNDS}/second)
           same => n,Hangup()
          """
        }
      ) { scene in
        try await scene.sandbox.call("a", "quiet")
        let stop = try #require(await scene.manager.event(named: "AudioForkStop", within: 10))
        let id = try #require(stop["AudioForkID"])
        let all = events(of: id, scene.manager)
        let start = try #require(all.first)
        expectDeclared(start, as: .start)
        expectDeclared(try #require(all.last), as: .stop)
        let states = all.dropFirst().dropLast()
        for state in states { expectDeclared(state, as: .state) }
        #expect(states.compactMap { $0["State"] }.starts(with: ["connecting", "streaming"]))
        for (one, next) in zip(states, states.dropFirst()) { #expect(one["State"] != next["State"]) }

        let channel = try #require(
          await scene.manager.event(named: "Newchannel") { $0["Channel"]?.hasSuffix(";2") == true })
        for event in all {
          for name in ["Channel", "Uniqueid"] { #expect(event[name] == channel[name], "\(event)") }
          #expect(event["Linkedid"]?.isEmpty == false)
          #expect(event["WsServer"] == "ws://127.0.0.1:\(scene.receiver.port)/whole")
          #expect(event["Direction"] == "out")
        }
        #expect(start["Format"] == "slin16")
        #expect(start["Verification"] == "none")

        let arrived = try scene.receiver.recording(path: "whole").count
        #expect(stop["Reason"]?.hasPrefix("done: ") == true)
        #expect(stop["Position"] == "\(arrived)")
        #expect(stop["Confirmed"] == stop["Position"])
        #expect(stop["Bytes"] == "\(arrived * 2)")
        let numbers = ["Captured", "Fill"].compactMap { Int(stop[$0] ?? "") }
        #expect(numbers.count == 2)
        // Captured at 8 kHz; what the renderer makes of it has twice as many.
        #expect(numbers[0] >= Scene.second.samples.count)
        #expect(numbers[0] * 2 + numbers[1] == arrived, "\(stop)")
        for name in ["Gaps", "Lost", "Reconnects", "Undelivered"] { #expect(stop[name] == "0", "\(name)") }
        #expect(["1", "2", "3"].contains(stop["Duration"]))
        #expect(
          !scene.manager.messages().contains {
            $0["Event"]?.hasPrefix("AudioFork") == true && $0.text.contains("s3cret")
          })
      }
    }

    @Test("AUDIOFORK() tells of a fork that is over what its last event told", arguments: AsteriskRelease.tested)
    func function(release: AsteriskRelease) async throws {
      let keys = FunctionKey.all.map { "\($0.name)" }
      try await Scene.with(
        release,
        dialplan: { receiver in
          """
          exten => a,1,Answer()
           same => n,AudioFork(ws://bob:s3cret@127.0.0.1:\(receiver.port)/keys,D(stereo)f(ulaw)i(ID))
           same => n,Playback(${SOUNDS}/second)
           same => n,Playback(${SOUNDS}/second)
           same => n,Verbose(0,live ${AUDIOFORK(${ID},state)} ${AUDIOFORK(${ID},POSITION)})
           same => n,StopAudioFork(${ID})
           same => n,Wait(2)

          """ + keys.map { " same => n,Verbose(0,key \($0)=${AUDIOFORK(${ID},\($0))}=)\n" }.joined()
            + " same => n,Wait(60)\n"
        }
      ) { scene in
        try await scene.sandbox.call("a", "quiet")
        #expect(await scene.sandbox.logShows("key \(keys[keys.count - 1])=", within: 15))
        let stop = try #require(await scene.manager.event(named: "AudioForkStop", within: 10))
        let live = try #require(scene.sandbox.log.firstMatch(of: /live (\w+) ([0-9]+)/))
        #expect(live.1 == "streaming" && (160...20_000).contains(Int(live.2) ?? 0))
        var values: [String: String] = [:]
        for match in scene.sandbox.log.matches(of: /key (\w+)=(.*)=\n/) { values[String(match.1)] = String(match.2) }
        #expect(values.count == keys.count)
        for (key, header) in [
          ("position", "Position"), ("confirmed", "Confirmed"), ("bytes", "Bytes"), ("fill", "Fill"),
          ("gaps", "Gaps"), ("lost", "Lost"), ("reconnects", "Reconnects"), ("url", "WsServer"),
          ("filename", "WsServer"), ("direction", "Direction"),
        ] { #expect(values[key] == stop[header], "\(key)") }
        #expect(values["url"] == "ws://127.0.0.1:\(scene.receiver.port)/keys")
        #expect(values["direction"] == "stereo" && values["format"] == "ulaw" && values["state"] == "ended")
        #expect(values["lag"] == "0" && values["response"] == "")
        #expect((1.9...3.5).contains(Double(values["duration"] ?? "") ?? 0), "\(values)")
        #expect(values["position"] == "\(try scene.receiver.recording(path: "keys", channel: 0).count)")
        #expect(scene.sandbox.log.matches(of: /s3cret/).count == 1, "the dialplan's own trace has it, nothing else")
      }
    }

    @Test(
      "Muted samples are zeros in the stream, in their time, and never in the ring", arguments: AsteriskRelease.tested)
    func mute(release: AsteriskRelease) async throws {
      try await Scene.with(
        release,
        dialplan: { receiver in
          """
          exten => a,1,Answer()
           same => n,AudioFork(\(receiver.url("stereo")),D(stereo)i(ID))
          \(Scene.forks(receiver))
           same => n,Playback(${SOUNDS}/first)
           same => n,Wait(60)
          """
        }
      ) { scene in
        let manager = scene.manager
        try await scene.sandbox.call("a", "talk")
        #expect(await scene.hears(Scene.said, 6000, path: "in"))
        let stereo = try #require(manager.events(named: "AudioForkStart").first { $0["Direction"] == "stereo" })
        let (channel, id) = try (#require(stereo["Channel"]), #require(stereo["AudioForkID"]))
        func mute(_ direction: String, _ state: String, only id: String? = nil) async throws {
          try await scene.act(
            "AudioForkMute",
            [("Channel", channel), ("Direction", direction), ("State", state)]
              + (id.map { [("AudioForkID", $0)] } ?? []))
        }
        try await mute("read", "on", only: id)
        try await Task.sleep(for: .seconds(1))
        let files = try scene.sandbox.runFiles().filter { $0.hasSuffix(".ring") }.map { name in
          (name: name, bytes: try Data(contentsOf: URL(fileURLWithPath: "\(scene.sandbox.runDirectory)/\(name)")))
        }
        try await mute("read", "off", only: id)
        try await Task.sleep(for: .seconds(0.7))
        try await mute("both", "1")
        try await Task.sleep(for: .seconds(0.7))
        try await mute("both", "0")
        try await Task.sleep(for: .seconds(0.7))
        try await scene.sandbox.cli("channel request hangup all")
        await scene.expectOneConnectionEach(["stereo", "in", "out"])

        func holes(_ recording: [Int16], _ signal: KnownSignal) throws -> [Range<Int>] {
          let parts = try runs(of: recording, signal)
          return zip(parts, parts.dropFirst()).compactMap { part, next in
            let hole = part.range.upperBound..<next.range.lowerBound
            // Zeros without a hole are fill: a busy machine was late.
            guard !hole.isEmpty else { return nil }
            #expect(hole.count % 160 == 0 && hole.count >= 3200, "\(hole)")
            #expect(part.zeros >= hole.count && part.zeros < hole.count + 1600, "\(hole), but \(part.zeros) zeros")
            return hole
          }
        }
        let read = try holes(scene.receiver.recording(path: "stereo", channel: 0), Scene.said)
        let write = try holes(scene.receiver.recording(path: "stereo", channel: 1), Scene.first)
        #expect(read.count == 2 && write.count == 1)
        #expect(try holes(scene.receiver.recording(path: "in"), Scene.said).count == 1)
        #expect(try holes(scene.receiver.recording(path: "out"), Scene.first).count == 1)
        // What was muted is in the memory of the other fork alone; what was not is in both.
        func holding(_ at: Int) -> [String] {
          let wanted = Scene.said.samples[at..<(at + 16)].withUnsafeBytes { Data($0) }
          return files.filter { $0.bytes.range(of: wanted) != nil }.map(\.name)
        }
        let (heard, muted) = (holding(read[0].lowerBound - 400), holding(read[0].lowerBound + 400))
        #expect(heard.count == 2 && heard.contains { $0.contains(id) }, "\(heard)")
        #expect(muted == heard.filter { !$0.contains(id) }, "\(muted)")

        let told = manager.messages().filter { $0["Event"] == "AudioForkMute" }
        for event in told { expectDeclared(event, as: .mute) }
        #expect(told.count == 8)
        let firstTwo = told.prefix(2).map { [$0["AudioForkID"], $0["MuteDirection"], $0["State"]] }
        #expect(firstTwo == [[id, "read", "1"], [id, "read", "0"]])
        #expect(told.dropFirst(2).allSatisfy { $0["MuteDirection"] == "both" })
        #expect(told.dropFirst(2).map { $0["State"] } == ["1", "1", "1", "0", "0", "0"])
      }
    }

    @Test(
      "Audio that the buffer could not hold: each gap is told with place and length, and they add up",
      arguments: AsteriskRelease.tested)
    func gap(release: AsteriskRelease) async throws {
      let receiver = try await Receiver()
      let heard = KnownSignal(seed: 65, seconds: 10)
      let plan = """
        [test]
        exten => a,1,Answer()
         same => n,AudioFork(\(receiver.url("gap")),D(out)R(1)r(100))
         same => n,Playback(${SOUNDS}/heard)
         same => n,Hangup()
        exten => b,1,Answer()
         same => n,Wait(60)
        """
      try await Sandbox.with(release, dialplan: plan) { sandbox in
        _ = try sandbox.sound("heard", heard.samples)
        try await sandbox.cli("dialplan set global SOUNDS \(sandbox.folder.path)")
        try ModuleFeatureTests.append("buffer = 1\n", of: sandbox)
        _ = try await ModuleFeatureTests.reload(sandbox)
        let manager = try await ManagerConnection(sandbox)
        try await sandbox.call("a", "b")
        #expect(await becomesTrue(within: 8) { (try? receiver.recording(path: "gap").count) ?? 0 > 12_000 })
        await receiver.end()
        try await Task.sleep(for: .seconds(4))
        let again = try await Receiver(port: receiver.port, folder: receiver.folder)
        let stop = try #require(await manager.event(named: "AudioForkStop", within: 20))
        let gaps = manager.messages().filter { $0["Event"] == "AudioForkGap" }
        #expect(!gaps.isEmpty)
        for gap in gaps {
          expectDeclared(gap, as: .gap)
          #expect(gap["GapDirection"] == "out")
          #expect(gap["Reason"]?.hasPrefix("overrun") == true)
        }
        let spans = gaps.compactMap { gap in
          Int(gap["Start"] ?? "").flatMap { start in Int(gap["Count"] ?? "").map { start..<(start + $0) } }
        }
        #expect(spans.count == gaps.count)
        #expect(spans.reduce(0) { $0 + $1.count } == Int(stop["Lost"] ?? ""), "\(spans), \(stop)")
        // Together they are what is missing between the two recordings: nothing else is lost.
        let before = try #require(heard.range(in: receiver.recording(path: "gap")))
        let first = try #require(spans.min { $0.lowerBound < $1.lowerBound })
        #expect(before.lowerBound == 0)
        #expect(first.lowerBound <= before.upperBound)
        // While it catches up with a full buffer, a busy machine may lose some more, which is told as well.
        let kept = heard.samples.indices.dropFirst(first.upperBound).filter { place in
          !spans.contains { $0.contains(place) }
        }
        let further = spans.reduce(0) { $0 + $1.count } - first.count
        #expect(further <= 8000, "a second at most: \(spans)")
        let recording = try again.recording(path: "gap")
        let after = recording.filter { $0 != 0 }
        let sound = try #require(recording.firstIndex { $0 != 0 })...(try #require(recording.lastIndex { $0 != 0 }))
        #expect(
          recording[sound].count { $0 == 0 } <= further + 160,
          "silence stands only for what is missing, a block at most beside it")
        #expect(difference(after, kept.map { heard.samples[$0] }) == nil, "\(spans)")
        #expect(stop["Reason"]?.hasPrefix("done: ") == true)
        #expect((Int(stop["Reconnects"] ?? "") ?? 0) >= 1)
        await again.end()
      }
      await receiver.remove()
    }

    @Test(
      "With stasis = yes an ARI application hears the same events as manager clients", arguments: AsteriskRelease.tested
    )
    func stasis(release: AsteriskRelease) async throws {
      try await Scene.with(
        release, expecting: ["Web socket closed abruptly", "WebSocket read error"],
        dialplan: {
          "exten => a,1,Answer()\n same => n,AudioFork(\($0.url("ari")),D(in))\n"
            + " same => n,Wait(1)\n same => n,Hangup()\n"
        }
      ) { scene in
        try await scene.configure(
          "ari.conf", "[general]\nenabled = yes\n[tester]\ntype = user\npassword = ariword\n",
          reload: "core show uptime")
        try await scene.configure("websocket_client.conf", "", reload: "core show uptime")
        let modules = ["res_stasis", "res_ari_model", "res_ari", "res_ari_events"]
        for name in release == .asterisk22 ? ["res_websocket_client"] + modules : modules {
          #expect(try await scene.sandbox.cli("module load \(name).so").contains("Loaded"), "\(name)")
        }
        try ModuleFeatureTests.append("stasis = yes\n", of: scene.sandbox)
        _ = try await ModuleFeatureTests.reload(scene.sandbox)
        let script = Checkout.root.appending(path: "Testing/Fixtures/ari-listener.py").path
        let listener = try ChildProcess(
          "/usr/bin/python3", [script, try #require(scene.sandbox.facts["http_port"]), "tester", "ariword"])
        #expect(await listener.line(within: 10) { $0 == "connected" } != nil, "\(listener.lines)")
        try await scene.sandbox.call("a", "quiet")
        let stop = try #require(await scene.manager.event(named: "AudioForkStop", within: 10))
        let id = try #require(stop["AudioForkID"])
        #expect(await listener.line(within: 5) { $0.contains("\"AudioForkStop\"") } != nil, "\(listener.lines)")
        let told = try listener.lines.filter { $0.hasPrefix("{") }.map {
          try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
        }
        let said = events(of: id, scene.manager)
        #expect(told.map { $0["eventname"] as? String } == said.map { $0["Event"] })
        for (event, message) in zip(told, said) {
          let fields = try #require(event["userevent"] as? [String: Any])
          for header in message.headers.dropFirst(2) {
            #expect(fields[header.name] as? String == header.value, "\(header.name) of \(message["Event"] ?? "")")
          }
          #expect((event["channel"] as? [String: Any])?["name"] as? String == stop["Channel"])
        }
        await listener.end()
      }
    }
  }
}
