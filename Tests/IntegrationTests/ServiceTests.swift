// SPDX-License-Identifier: Apache-2.0
import AsteriskTestKit
import Foundation
import Testing

extension IntegrationTests {
  @Suite("A fork goes through conferences, queues, reloads and the end", .serialized)
  struct ServiceTests {
    private typealias Scene = LifetimeScene

    @Test("Joining a ConfBridge and leaving it", arguments: AsteriskRelease.tested)
    func conference(release: AsteriskRelease) async throws {
      try await Scene.with(
        release,
        dialplan: { receiver in
          """
          exten => a,1,Answer()
          \(Scene.forks(receiver))
           same => n,Playback(${SOUNDS}/second)
           same => n,Set(CONFBRIDGE(user,quiet)=yes)
           same => n,ConfBridge(room)
           same => n,Playback(${SOUNDS}/second)
           same => n,Wait(60)
          exten => member,1,Answer()
           same => n,Set(CONFBRIDGE(user,quiet)=yes)
           same => n,ConfBridge(room)
          """
        }
      ) { scene in
        try await scene.sandbox.call("a", "talk")
        #expect(await scene.hears(Scene.second, 8000))
        let place = try scene.saidSoFar()
        try await scene.sandbox.call("member", "first")
        #expect(await scene.hears(Scene.first, 8000))
        try await scene.act(
          "ConfbridgeKick", [("Conference", "room"), ("Channel", try await scene.channel("Local/a@test"))])
        let heard = {
          try pieces(of: scene.receiver.recording(path: "out"), [Scene.second, Scene.first, Scene.second])
        }
        #expect(await becomesTrue(within: 8) { (try? heard())?[2].count == 8000 })
        try await scene.sandbox.cli("channel request hangup all")
        await scene.expectOneConnectionEach()
        #expect(try heard()[1].count >= 8000)
        try scene.expectSaid(past: place)
      }
    }

    @Test("Waiting in a queue with music, then its member", arguments: AsteriskRelease.tested)
    func queue(release: AsteriskRelease) async throws {
      try await Scene.with(
        release,
        dialplan: { receiver in
          """
          exten => a,1,Answer()
          \(Scene.forks(receiver))
           same => n,Queue(line)
           same => n,Playback(${SOUNDS}/second)
           same => n,Wait(60)
          exten => member,1,Wait(1)
           same => n,Answer()
           same => n,Playback(${SOUNDS}/first)
           same => n,Wait(60)
          """
        }
      ) { scene in
        try await scene.configure(
          "queues.conf", "[line]\nstrategy=ringall\nmember=>Local/member@test/n\n", reload: "queue reload all")
        try await scene.sandbox.call("a", "talk")
        #expect(await scene.hears(Scene.held, 4000))
        #expect(await scene.hears(Scene.first))
        let place = try scene.saidSoFar()
        try await scene.sandbox.cli("channel request hangup \(try await scene.channel("Local/member@test", ";1"))")
        // The queue ends the call with its member's, so the caller hears nothing more.
        await scene.expectOneConnectionEach()
        let parts = try pieces(of: scene.receiver.recording(path: "out"), [Scene.held, Scene.first])
        #expect(parts[0].lowerBound == 0)
        #expect(parts[0].count >= 4000)
        #expect(
          try pieces(of: scene.receiver.recording(path: "in"), [Scene.said])[0] == 0..<max(place, scene.saidSoFar()))
      }
    }

    @Test("A hangup handler stops the fork, and the h extension cannot start one", arguments: AsteriskRelease.tested)
    func hangup(release: AsteriskRelease) async throws {
      try await Scene.with(
        release, expecting: ["was not started: the channel is hanging up"],
        dialplan: { receiver in
          """
          exten => a,1,Answer()
           same => n,Set(CHANNEL(hangup_handler_push)=handler,s,1)
          \(Scene.forks(receiver))
           same => n,Playback(${SOUNDS}/second)
           same => n,Hangup()
          exten => h,1,AudioFork(\(receiver.url("late")),D(in))
           same => n,Verbose(0,in h the status is ${AUDIOFORKSTATUS})
          [handler]
          exten => s,1,StopAudioFork()
           same => n,Verbose(0,the handler stopped)
           same => n,AudioFork(\(receiver.url("later")),D(in))
           same => n,Verbose(0,in the handler the status is ${AUDIOFORKSTATUS})
           same => n,System(sleep 2)
           same => n,Verbose(0,the handler is over)
           same => n,Return()
          [test]
          """
        }
      ) { scene in
        try await scene.sandbox.call("a", "quiet")
        #expect(await scene.sandbox.logShows("in h the status is FAILED", within: 10))
        #expect(await scene.sandbox.logShows("in the handler the status is FAILED"))
        // It was the handler that stopped them: they are over while the channel still lives.
        await scene.expectOneConnectionEach()
        #expect(!scene.sandbox.log.contains("the handler is over"))
        #expect(try pieces(of: scene.receiver.recording(path: "out"), [Scene.second]) == [Scene.second.samples.indices])
        #expect(await scene.sandbox.logShows("the handler is over"))
        #expect(!scene.sandbox.log.contains("has no fork to stop"))
        #expect(scene.receiver.events("started").count == 2)
      }
    }

    @Test("A reload of the module leaves live forks alone", arguments: AsteriskRelease.tested)
    func reload(release: AsteriskRelease) async throws {
      try await Scene.with(
        release,
        dialplan: { receiver in
          """
          exten => a,1,Answer()
          \(Scene.forks(receiver))
           same => n,Playback(${SOUNDS}/second)
           same => n,Playback(${SOUNDS}/second)
           same => n,Playback(${SOUNDS}/second)
           same => n,Hangup()
          """
        }
      ) { scene in
        try await scene.sandbox.call("a", "talk")
        #expect(await scene.hears(Scene.second, 2000))
        let engine = scene.sandbox.engines()
        for _ in 1...5 {
          try await scene.sandbox.cli("module reload app_audiofork.so")
          #expect(try await scene.sandbox.forks().count == 2)
        }
        await scene.expectOneConnectionEach()
        let thrice = [Scene.second, Scene.second, Scene.second]
        #expect(try pieces(of: scene.receiver.recording(path: "out"), thrice) == thrice.map(\.samples.indices))
        #expect(scene.sandbox.engines() == engine)
      }
    }

    private static func untilHungUp(_ receiver: Receiver) -> String {
      "exten => a,1,Answer()\n\(LifetimeScene.forks(receiver))\n"
        + " same => n,Playback(${SOUNDS}/first)\n same => n,Wait(60)\n"
    }

    @Test("core stop gracefully waits for the call, and then nothing is left", arguments: AsteriskRelease.tested)
    func stopGracefully(release: AsteriskRelease) async throws {
      let receiver = try await Receiver()
      let plan =
        "[test]\n" + Self.untilHungUp(receiver) + "exten => leave,1,Answer()\n same => n,Wait(4)\n same => n,Hangup()\n"
      try await Sandbox.with(release, dialplan: plan) { sandbox in
        _ = try sandbox.sound("first", Scene.first.samples)
        try await sandbox.cli("dialplan set global SOUNDS \(sandbox.folder.path)")
        try await sandbox.call("a", "leave")
        let heard = { try pieces(of: receiver.recording(path: "out"), [Scene.first])[0] }
        #expect(await becomesTrue(within: 8) { (try? heard().count) ?? 0 > 4000 })
        let engine = try #require(sandbox.engines().first)
        let manager = try await ManagerConnection(sandbox)
        // The command returns when Asterisk ends. Meanwhile nothing else that is asked of it is done.
        async let stopping = sandbox.cli("core stop gracefully")
        let isPending = try await holds(within: 5) {
          let another = [("Channel", "Local/leave@test"), ("Application", "Hangup")]
          return try await manager.send("Originate", another)["Response"] == "Error"
        }
        #expect(isPending)
        let before = try heard().upperBound
        // The call goes on, and so does its fork.
        #expect(await becomesTrue(within: 8) { (try? heard().upperBound) ?? 0 > before + 4000 })
        #expect(Foundation.kill(sandbox.processIdentifier, 0) == 0)
        _ = try await stopping
        #expect(await receiver.ended(2, within: 8))
        #expect(receiver.events("ended").allSatisfy { $0.code == 1000 })
        #expect(
          await becomesTrue(within: 10) {
            processes { $0.contains("\(sandbox.folder.path)/etc/asterisk.conf") }.isEmpty
          })
        #expect(await becomesTrue(within: 5) { Foundation.kill(engine, 0) != 0 && sandbox.engines().isEmpty })
        #expect(await becomesTrue(within: 2) { sandbox.runFiles().isEmpty }, "\(sandbox.runFiles())")
        #expect(try heard().lowerBound == 0)
        #expect(sandbox.logLines(containing: "udio").isEmpty)
      }
      await receiver.remove()
    }

    @Test(
      "core restart now with a live fork: the module works afterwards, and nothing of before is left",
      arguments: AsteriskRelease.tested)
    func restartNow(release: AsteriskRelease) async throws {
      let receiver = try await Receiver()
      let plan = "[test]\n" + Self.untilHungUp(receiver) + "exten => quiet,1,Answer()\n same => n,Wait(60)\n"
      try await Sandbox.with(release, dialplan: plan) { sandbox in
        _ = try sandbox.sound("first", Scene.first.samples)
        try await sandbox.cli("dialplan set global SOUNDS \(sandbox.folder.path)")
        try await sandbox.call("a", "quiet")
        let heard = { number in
          let recordings = try receiver.recordings(path: "out")
          return try pieces(of: number < recordings.count ? recordings[number] : [], [Scene.first])[0]
        }
        #expect(await becomesTrue(within: 8) { (try? heard(0).count) ?? 0 > 4000 })
        let engine = try #require(sandbox.engines().first)
        let files = sandbox.runFiles()
        #expect(files.contains { $0.hasSuffix(".ring") })
        try await sandbox.cli("core restart now")
        // What was said until then is delivered, and the old engine ends.
        #expect(await receiver.ended(2, within: 15))
        // By its command line: Asterisk, which is another program by then, may collect its exit status much later.
        #expect(await becomesTrue(within: 15) { !sandbox.engines().contains(engine) })
        #expect(try heard(0).lowerBound == 0)
        let isBack = try await holds(within: 20) {
          try await sandbox.cli("core waitfullybooted").contains("fully booted")
        }
        #expect(isBack)
        #expect(try await holds(within: 5) { try await sandbox.cli("audiofork list").contains("0 forks") })
        #expect(await becomesTrue(within: 5) { files.allSatisfy { !sandbox.runFiles().contains($0) } })
        try await sandbox.cli("dialplan set global SOUNDS \(sandbox.folder.path)")
        try await sandbox.call("a", "quiet")
        #expect(await becomesTrue(within: 8) { (try? heard(1).count) ?? 0 > 4000 })
        try await sandbox.cli("channel request hangup all")
        #expect(await receiver.ended(4, within: 8))
        #expect(sandbox.engines().count == 1)
        #expect(Foundation.kill(sandbox.processIdentifier, 0) == 0)
      }
      await receiver.remove()
    }
  }
}
