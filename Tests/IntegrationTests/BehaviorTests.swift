// SPDX-License-Identifier: Apache-2.0
import AsteriskTestKit
import AudioForkTestKit
import Foundation
import Testing

extension IntegrationTests {
  /// The sentences of docs/reference/behavior.md, each quoted where it is tested. `BehaviorPageTests` compares.
  @Suite("What Asterisk does around a fork", .serialized)
  struct BehaviorTests {
    private typealias Scene = LifetimeScene

    /// Whether the newest recording of a path comes to an end with the signal, awaited for eight seconds.
    private static func hears(_ scene: LifetimeScene, _ path: String, _ signal: KnownSignal) async -> Bool {
      await becomesTrue(within: 8) { ends((try? scene.receiver.recordings(path: path).last) ?? [], with: signal) }
    }

    /// The event with which the fork to this path ended.
    private static func stop(_ scene: LifetimeScene, _ path: String) async throws -> [String: String] {
      let event = await scene.manager.event(named: "AudioForkStop") { $0["WsServer"]?.hasSuffix("/\(path)") == true }
      return try #require(event, "/\(path) did not end")
    }

    /// Lets *2 begin an attended transfer.
    private static func allowTransfers(_ scene: LifetimeScene) async throws {
      try await scene.configure(
        "features.conf", "[general]\n[featuremap]\natxfer=*2\n", reload: "module reload features")
    }

    /// Whether the last samples of a recording are a piece of the signal.
    private static func ends(_ recording: [Int16], with signal: KnownSignal) -> Bool {
      let tail = recording.filter { $0 != 0 }.suffix(400)
      guard tail.count == 400, let first = tail.first else { return false }
      return signal.samples.indices.contains { signal.samples[$0] == first && signal.samples[$0...].starts(with: tail) }
    }

    // behavior whisper: What ChanSpy whispers to a channel is in the audio `out` of that channel's fork: its party
    // hears it.
    // behavior whisper-other: No option leaves it out, but the fork of the other party's channel does not hold it,
    // whose `in` and `out` are the other way around.
    // behavior whisper-mixmonitor: MixMonitor's recording of the same channel does not hold the whisper.
    @Test("A whisper is in the fork of the party that hears it, and nowhere else", arguments: AsteriskRelease.tested)
    func whisper(release: AsteriskRelease) async throws {
      try await Scene.with(
        release,
        dialplan: { receiver in
          """
          exten => a,1,Answer()
          \(Scene.forks(receiver))
           same => n,MixMonitor(${SOUNDS}/mix.wav,r(${SOUNDS}/read.wav)t(${SOUNDS}/write.wav))
           same => n,Dial(Local/still@test,30,b(test^leg^1))
          exten => leg,1,AudioFork(\(receiver.url("leg")),D(stereo))
           same => n,Return()
          exten => still,1,Answer()
           same => n,Playback(${SOUNDS}/second)
           same => n,Playback(${SOUNDS}/still)
           same => n,Wait(60)
          exten => spy,1,Answer()
           same => n,ChanSpy(${SPIED},wqS)
          exten => coach,1,Answer()
           same => n,Wait(0.5)
           same => n,Playback(${SOUNDS}/first)
           same => n,Wait(60)

          """
        }
      ) { scene in
        _ = try scene.sandbox.sound("still", [Int16](repeating: 1, count: 8000 * 20))
        try await scene.sandbox.call("a", "quiet")
        #expect(await scene.hears(Scene.second))
        try await scene.sandbox.cli("dialplan set global SPIED \(scene.channel("Local/a@test"))")
        try await scene.sandbox.call("spy", "coach")
        let hasHeard = await becomesTrue(within: 10) {
          IntegrationTests.loudSamples((try? scene.receiver.recording(path: "out"))?.dropFirst(9000) ?? []) > 12_000
        }
        #expect(hasHeard)
        try await scene.sandbox.cli("channel request hangup all")
        await scene.expectOneConnectionEach(["in", "out", "leg"])
        // It is the coach's words, sample for sample, mixed into the other party's stillness.
        let heard = try scene.receiver.recording(path: "out").filter { $0 != 0 && $0 != 1 }
        let words = heard[8000..<12_000].map { $0 - 1 }
        let begin = Scene.first.samples.indices.first { Scene.first.samples[$0...].starts(with: words.prefix(16)) }
        #expect(begin != nil, "none of the coach's words")
        #expect(try IntegrationTests.loudSamples(scene.receiver.recording(path: "in")) == 0)
        // The other channel has all that its party says, and nothing else.
        let leg = try [0, 1].map { try scene.receiver.recording(path: "leg", channel: $0).filter { $0 != 1 } }
        #expect(try pieces(of: leg[0], [Scene.second]) == [Scene.second.samples.indices])
        #expect(IntegrationTests.loudSamples(leg[1]) == 0)
        // MixMonitor has the other party's words and nothing else.
        let file = scene.sandbox.folder.appending(path: "write.wav").path
        #expect(await becomesTrue(within: 5) { ((try? wavSamples(file))?.count ?? 0) > 16_000 })
        let recorded = try IntegrationTests.loudSamples(wavSamples(file))
        #expect((4000...Scene.second.samples.count).contains(recorded), "\(recorded)")
      }
    }

    // behavior volume-before: VOLUME() that is first set before AudioFork() is in the fork, with every later change of
    // it.
    // behavior volume-after: VOLUME() that is first set after AudioFork() is not in the fork.
    // behavior volume-mixmonitor: MixMonitor's recording never holds it.
    @Test("The order of VOLUME() and AudioFork() decides", arguments: AsteriskRelease.tested)
    func volume(release: AsteriskRelease) async throws {
      try await Scene.with(
        release,
        dialplan: { receiver in
          """
          exten => a,1,Answer()
           same => n,MixMonitor(${SOUNDS}/mix.wav,r(${SOUNDS}/read.wav))
           same => n,AudioFork(\(receiver.url("in")),D(in))
           same => n,Set(VOLUME(RX)=2)
           same => n,AudioFork(\(receiver.url("late")),D(in))
           same => n,Wait(3)
           same => n,Set(VOLUME(RX)=3)
           same => n,Wait(2)
           same => n,Hangup()

          """
        }
      ) { scene in
        try await scene.sandbox.call("a", "talk")
        await scene.expectOneConnectionEach(["in", "late"])
        let plain = try scene.receiver.recording(path: "in").filter { $0 != 0 }
        #expect(plain.count > 24_000)
        #expect(difference(plain, Array(Scene.said.samples.prefix(plain.count))) == nil)
        let late = try scene.receiver.recording(path: "late").filter { $0 != 0 }
        #expect(late.count > 24_000)
        func factor(_ index: Int) -> Int? {
          [2, 3].first { Int16(clamping: Int(Scene.said.samples[index]) * $0) == late[index] }
        }
        let change = try #require(late.indices.first { factor($0) != 2 })
        #expect((8000...23_000).contains(change), "\(change)")
        #expect(late.indices[change...].allSatisfy { factor($0) == 3 })
        let file = scene.sandbox.folder.appending(path: "read.wav").path
        #expect(await becomesTrue(within: 5) { ((try? wavSamples(file))?.count ?? 0) > 24_000 })
        let recorded = try wavSamples(file).filter { $0 != 0 }
        #expect(recorded.count > 16_000 && Scene.said.range(in: recorded) != nil, "\(recorded.count) samples")
      }
    }

    // behavior transfer-called: Dial()'s option `b(context^exten^1)` runs AudioFork() on the channel of the called
    // party.
    // behavior transfer-ends: The fork of the party that transfers the call ends when that party's channel hangs up.
    // behavior transfer-delivered: Its audio is delivered all the same, and its reason is `done`.
    // behavior transfer-goes-on: The fork of the transferred party goes on: music on hold and the new party are in the
    // same stream.
    // behavior transfer-restart: `audiofork engine restart` during a transfer loses nothing: the fork connects again.
    @Test("Attended transfer of the other party", arguments: AsteriskRelease.tested, [false, true])
    func transfer(release: AsteriskRelease, restarts: Bool) async throws {
      try await Scene.with(
        release, expecting: restarts ? ["connected again", "engine"] : [],
        dialplan: { receiver in
          """
          exten => a,1,Answer()
          \(Scene.forks(receiver))
           same => n,Dial(Local/b@test,20,Tb(test^leg^1))
          exten => leg,1,AudioFork(\(receiver.url("leg")),D(out))
           same => n,Return()
          exten => b,1,Answer()
           same => n,Wait(60)
          exten => 73,1,Answer()
           same => n,Playback(${SOUNDS}/first)
           same => n,Wait(60)

          """
        }
      ) { scene in
        try await Self.allowTransfers(scene)
        try await scene.sandbox.call("a", "talk")
        #expect(await scene.hears(Scene.said, path: "leg"))
        let transferer = try await scene.channel("Local/a@test")
        try await scene.act("Atxfer", [("Channel", transferer), ("Exten", "73"), ("Context", "test")])
        #expect(await scene.hears(Scene.held, 4000, path: "leg"))
        if restarts {
          let before = scene.sandbox.engines()
          try await scene.sandbox.cli("audiofork engine restart")
          #expect(await becomesTrue(within: 5) { scene.sandbox.engines().first.map { !before.contains($0) } ?? false })
        }
        _ = try await scene.channel("Local/73@test")
        #expect(await Self.hears(scene, "out", Scene.first))
        try await scene.sandbox.cli("channel request hangup \(transferer)")
        for path in ["in", "out"] {
          let stop = try await Self.stop(scene, path)
          #expect(stop["Reason"]?.hasPrefix("done") == true && stop["Lost"] == "0", "\(stop)")
          #expect(stop["Captured"] == stop["Delivered"])
        }
        #expect(await Self.hears(scene, "leg", Scene.first), "the transferred party's fork does not hear the new one")
        #expect(try await scene.sandbox.forks().count == 1)
        try await scene.sandbox.cli("channel request hangup all")
        let stop = try await Self.stop(scene, "leg")
        #expect(stop["Reason"]?.hasPrefix("done") == true && stop["Lost"] == "0", "\(stop)")
        #expect(stop["Captured"] == stop["Delivered"])
        #expect(scene.receiver.events("started", path: "leg").count == (restarts ? 2 : 1))
        #expect(scene.manager.events(named: "AudioForkGap").isEmpty)
      }
    }

    // behavior transfer-returns: A party that gets the call back after a failed transfer keeps its fork, in the same
    // stream.
    @Test("A transfer to a party that is busy", arguments: AsteriskRelease.tested)
    func failedTransfer(release: AsteriskRelease) async throws {
      try await Scene.with(
        release, expecting: ["Playback failed on"],
        dialplan: { receiver in
          """
          exten => a,1,Answer()
          \(Scene.forks(receiver))
           same => n,Dial(Local/b@test,20,T)
          exten => b,1,Answer()
           same => n,Playback(${SOUNDS}/first&${SOUNDS}/first&${SOUNDS}/first&${SOUNDS}/first&${SOUNDS}/first)
           same => n,Wait(60)
          exten => 74,1,Busy(1)

          """
        }
      ) { scene in
        try await Self.allowTransfers(scene)
        // Not one that speaks: Asterisk 22 may hand the busy signal on to it, which ends Playback() and with it the
        // call.
        try await scene.sandbox.call("a", "quiet")
        #expect(await scene.hears(Scene.first))
        let transferer = try await scene.channel("Local/a@test")
        try await scene.act("Atxfer", [("Channel", transferer), ("Exten", "74"), ("Context", "test")])
        let enters = await becomesTrue(within: 15) {
          scene.manager.events(named: "BridgeEnter").filter { $0["Channel"] == transferer }.count >= 2
        }
        #expect(enters, "the call did not come back")
        let place = try scene.receiver.recording(path: "out").count
        let isBack = await becomesTrue(within: 20) {
          let out = (try? scene.receiver.recording(path: "out")) ?? []
          return out.count > place + 16_000 && Self.ends(out, with: Scene.first)
        }
        let arrived = try scene.receiver.recording(path: "out").count
        #expect(isBack, "\(arrived) samples, \(place) of them before the return")
        try await scene.sandbox.cli("channel request hangup all")
        await scene.expectOneConnectionEach()
      }
    }
  }
}
