// SPDX-License-Identifier: Apache-2.0
import AsteriskTestKit
import AudioForkTestKit
import Foundation
import Testing

extension IntegrationTests {
  @Suite("A fork follows its channel wherever that goes", .serialized)
  struct LifetimeTests {
    private typealias Scene = LifetimeScene

    /// A call whose forked channel is connected with a party that says the first signal.
    private static func connected(_ receiver: Receiver, options: String = "") -> String {
      """
      exten => a,1,Answer()
      \(LifetimeScene.forks(receiver))
       same => n,Dial(Local/first@test,20,b(test^leg^1)\(options))
      exten => leg,1,AudioFork(\(receiver.url("leg")),D(in))
       same => n,Return()
      """
    }

    /// The pieces of what the forked channel heard.
    private func heard(_ scene: LifetimeScene, _ signals: [KnownSignal]) throws -> [Range<Int>] {
      try pieces(of: scene.receiver.recording(path: "out"), signals)
    }

    // behavior transfer-blind: After a blind transfer, too, the fork of the transferred party goes on.
    @Test(
      "Blind transfer: the transferred channel keeps its fork, the transferer's ends", arguments: AsteriskRelease.tested
    )
    func blindTransfer(release: AsteriskRelease) async throws {
      try await Scene.with(release, dialplan: { Self.connected($0) }) { scene in
        try await scene.sandbox.call("a", "talk")
        #expect(await scene.hears(Scene.first))
        let place = try scene.saidSoFar()
        try await scene.act(
          "BlindTransfer",
          [("Channel", scene.channel("Local/first@test", ";1")), ("Exten", "second"), ("Context", "test")])
        await scene.expectOneConnectionEach(["leg"])
        #expect(await scene.hears(Scene.second, 8000))
        #expect(try await scene.sandbox.forks().count == 2)
        try await scene.sandbox.cli("channel request hangup all")
        await scene.expectOneConnectionEach()
        let parts = try heard(scene, [Scene.first, Scene.second])
        #expect(parts[0].lowerBound == 0)
        #expect(parts[1] == Scene.second.samples.indices)
        try scene.expectSaid(past: place)
        #expect(try pieces(of: scene.receiver.recording(path: "leg"), [Scene.first])[0].lowerBound == 0)
      }
    }

    @Test(
      "Attended transfer: music on hold and the new party are heard in the same stream",
      arguments: AsteriskRelease.tested)
    func attendedTransfer(release: AsteriskRelease) async throws {
      try await Scene.with(
        release,
        dialplan: { receiver in
          """
          exten => a,1,Answer()
          \(Scene.forks(receiver))
           same => n,Dial(Local/brief@test,20,t)
          exten => brief,1,Answer()
           same => n,Playback(${SOUNDS}/second)
           same => n,Wait(60)
          exten => 73,1,Answer()
           same => n,Playback(${SOUNDS}/first)
           same => n,Wait(60)
          """
        }
      ) { scene in
        try await scene.configure(
          "features.conf", "[general]\n[featuremap]\natxfer=*2\n", reload: "module reload features")
        try await scene.sandbox.call("a", "talk")
        #expect(await scene.hears(Scene.second, 8000))
        let place = try scene.saidSoFar()
        let transferer = try await scene.channel("Local/brief@test", ";1")
        try await scene.act("Atxfer", [("Channel", transferer), ("Exten", "73"), ("Context", "test")])
        #expect(await scene.hears(Scene.held, 4000))
        // The one to whom it goes has answered by now or does so soon: its second half runs the extension.
        _ = try await scene.channel("Local/73@test")
        try await Task.sleep(for: .seconds(1))
        try await scene.sandbox.cli("channel request hangup \(transferer)")
        #expect(await becomesTrue(within: 8) { (try? self.heardOfTransfer(scene))?.last?.count ?? 0 > 8000 })
        try await scene.sandbox.cli("channel request hangup all")
        await scene.expectOneConnectionEach()
        #expect(try heardOfTransfer(scene)[0] == Scene.second.samples.indices)
        try scene.expectSaid(past: place)
      }
    }

    /// What the transferred channel heard: the transferer, music, and the one to whom it went. That one joins the
    /// bridge before Asterisk plays it the `xfersound`, and is not read while that lasts: a frame of it may be heard
    /// before.
    private func heardOfTransfer(_ scene: LifetimeScene) throws -> [Range<Int>] {
      let whole = [Scene.second, Scene.held, Scene.first]
      if let parts = try? heard(scene, whole) { return parts }
      let parts = try heard(scene, whole + [Scene.first])
      guard parts[2].count <= 800, parts[2].upperBound <= parts[3].lowerBound else {
        throw TestKitError("of the new party \(parts[3]) follows \(parts[2])")
      }
      return parts
    }

    @Test("Parked and fetched again: one stream", arguments: AsteriskRelease.tested)
    func park(release: AsteriskRelease) async throws {
      try await Scene.with(
        release, dialplan: { Self.connected($0) + "\nexten => fetch,1,Answer()\n same => n,ParkedCall(default,701)\n" }
      ) { scene in
        try await scene.sandbox.call("a", "talk")
        #expect(await scene.hears(Scene.first))
        let place = try scene.saidSoFar()
        try await scene.act("Park", [("Channel", scene.channel("Local/a@test")), ("Parkinglot", "default")])
        #expect(await scene.hears(Scene.held, 4000))
        await scene.expectOneConnectionEach(["leg"])
        try await scene.sandbox.call("fetch", "second")
        #expect(await scene.hears(Scene.second, 8000))
        try await scene.sandbox.cli("channel request hangup all")
        await scene.expectOneConnectionEach()
        _ = try heard(scene, [Scene.first, Scene.held, Scene.second])
        try scene.expectSaid(past: place)
      }
    }

    @Test("Redirected out of an application and out of a bridge", arguments: AsteriskRelease.tested)
    func redirect(release: AsteriskRelease) async throws {
      try await Scene.with(
        release,
        dialplan: { receiver in
          """
          exten => a,1,Answer()
          \(Scene.forks(receiver))
           same => n,Playback(${SOUNDS}/first)
          exten => bridge,1,Dial(Local/second@test,20)
          """
        }
      ) { scene in
        try await scene.sandbox.call("a", "talk")
        #expect(await scene.hears(Scene.first))
        let place = try scene.saidSoFar()
        let channel = try await scene.channel("Local/a@test")
        for exten in ["bridge", "first"] {
          try await scene.act(
            "Redirect", [("Channel", channel), ("Context", "test"), ("Exten", exten), ("Priority", "1")])
          if exten == "bridge" { #expect(await scene.hears(Scene.second, 8000)) }
        }
        #expect(
          await becomesTrue(within: 8) {
            (try? self.heard(scene, [Scene.first, Scene.second, Scene.first]))?[2].count ?? 0 > 8000
          })
        try await scene.sandbox.cli("channel request hangup all")
        await scene.expectOneConnectionEach()
        let parts = try heard(scene, [Scene.first, Scene.second, Scene.first])
        #expect(parts[1] == Scene.second.samples.indices)
        #expect(parts[2].lowerBound == 0)
        try scene.expectSaid(past: place)
      }
    }

    @Test(
      "Pulled out of applications into a bridge, and redirected without a dialplan: masquerades",
      arguments: AsteriskRelease.tested)
    func masquerade(release: AsteriskRelease) async throws {
      try await Scene.with(
        release,
        dialplan: { receiver in
          """
          exten => a,1,Answer()
          \(Scene.forks(receiver))
           same => n,Playback(${SOUNDS}/first)
          """
        }
      ) { scene in
        try await scene.sandbox.call("a", "talk")
        #expect(await scene.hears(Scene.first))
        try await scene.sandbox.call("quiet", "second")
        let place = try scene.saidSoFar()
        let (one, two) = try await (scene.channel("Local/a@test"), scene.channel("Local/quiet@test"))
        try await scene.act("Bridge", [("Channel1", one), ("Channel2", two), ("Tone", "no")])
        #expect(await scene.hears(Scene.second, 8000))
        // In the bridge it has no dialplan of its own.
        try await scene.act(
          "Redirect", [("Channel", one), ("Context", "test"), ("Exten", "first"), ("Priority", "1")])
        #expect(
          await becomesTrue(within: 8) {
            (try? self.heard(scene, [Scene.first, Scene.second, Scene.first]))?[2].count ?? 0 > 8000
          })
        try await scene.sandbox.cli("channel request hangup all")
        await scene.expectOneConnectionEach()
        _ = try heard(scene, [Scene.first, Scene.second, Scene.first])
        try scene.expectSaid(past: place)
      }
    }

    /// A party calls one that rings; a third, which has a fork, picks that up. The ringing channel has one as well.
    private static func pickup(_ receiver: Receiver) -> String {
      """
      exten => caller,1,Answer()
       same => n,Dial(Local/ring@test,20,b(test^leg^1))
      exten => leg,1,AudioFork(\(receiver.url("leg")),D(out))
       same => n,Return()
      exten => ring,1,Ringing()
       same => n,Wait(30)
      exten => pick,1,Answer()
      \(LifetimeScene.forks(receiver))
       same => n,Playback(${SOUNDS}/second)
       same => n,PickupChan(Local/ring@test,p)
      exten => sing,1,Answer()
       same => n,Wait(1)
       same => n,Playback(${SOUNDS}/first)
       same => n,Wait(60)
      """
    }

    @Test("Pickup: the forks of who picks up and of who rang go on, on one channel", arguments: AsteriskRelease.tested)
    func pickup(release: AsteriskRelease) async throws {
      try await Scene.with(release, dialplan: { Self.pickup($0) }) { scene in
        try await scene.sandbox.call("caller", "talk")
        #expect(await scene.receiver.started(1, path: "leg", within: 5))
        try await scene.sandbox.call("pick", "sing")
        #expect(await scene.hears(Scene.second, 8000))
        let place = try scene.saidSoFar()
        #expect(
          await becomesTrue(within: 8) { (try? self.heard(scene, [Scene.second, Scene.said]))?[1].count ?? 0 > 8000 })
        #expect(try await scene.sandbox.forks().count == 3)
        #expect(try await scene.sandbox.channels().count == 4)
        try await scene.sandbox.cli("channel request hangup all")
        await scene.expectOneConnectionEach(["in", "out", "leg"])
        let parts = try heard(scene, [Scene.second, Scene.said])
        #expect(parts[0] == Scene.second.samples.indices)
        try scene.expectSaid(past: place, by: Scene.first)
        // The channel that rang hears the caller, through the device of who picked it up.
        let rang = try pieces(of: scene.receiver.recording(path: "leg"), [Scene.said])
        #expect(rang[0].upperBound == parts[1].upperBound)
      }
    }

    @Test("After a masquerade the list shows the name that the channel has now", arguments: AsteriskRelease.tested)
    func newName(release: AsteriskRelease) async throws {
      try await Scene.with(release, dialplan: { Self.pickup($0) }) { scene in
        try await scene.sandbox.call("caller", "talk")
        #expect(await scene.receiver.started(1, path: "leg", within: 5))
        try await scene.sandbox.call("pick", "sing")
        #expect(
          try await scene.sandbox.forks().filter { $0.contains("/leg") && $0.contains("Local/ring@test") }.count == 1)
        #expect(await scene.hears(Scene.second, 8000))
        let name = try await scene.channel("Local/pick@test")
        let showsIt = try await holds(within: 5) {
          let rows = try await scene.sandbox.forks()
          return rows.count == 3 && rows.allSatisfy { $0.contains(name + " ") }
        }
        let shown = try await scene.sandbox.cli("audiofork list")
        #expect(showsIt, "\(shown), but the channel is \(name)")
      }
    }
  }
}
