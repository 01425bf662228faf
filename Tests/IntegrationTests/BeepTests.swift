// SPDX-License-Identifier: Apache-2.0
import AsteriskTestKit
import Foundation
import Testing

extension IntegrationTests {
  @Suite("Beeps on a real Asterisk", .serialized)
  struct BeepTests {
    /// Samples that are no silence.
    /// How many samples are louder than silence.
    static func loud(_ samples: some Sequence<Int16>) -> Int { samples.filter { abs(Int($0)) > 200 }.count }

    @Test("p and P are heard on the channel, whoever starts and stops the fork", arguments: AsteriskRelease.tested)
    func beeps(release: AsteriskRelease) async throws {
      let receiver = try await Receiver()
      try await Sandbox.with(release, dialplan: Self.beeping(receiver)) { sandbox in
        for (number, name) in ["p", "stop", "cli", "ami", "bridged"].enumerated() {
          try await sandbox.call(name, "b")
          #expect(await receiver.started(1, path: "hears-\(name)", within: 5))
          if number >= 2 {
            let pattern = #/stop (af-[-0-9a-f]+) of (Local/[^\n]+)/#
            let match = try #require(
              await eventually(within: 5) {
                sandbox.log.matches(of: pattern).last.flatMap { $0.2.contains("Local/\(name)@") ? $0 : nil }
              })
            if name == "bridged" {
              #expect(try await ModuleFeatureTests.cli(sandbox, "bridge show all") { $0.contains("simple_bridge") })
            }
            if name == "ami" {
              try await stopOverAMI(sandbox, channel: String(match.2), fork: String(match.1))
            } else {
              #expect(try await sandbox.cli("audiofork stop \(match.2) \(match.1)").contains("Ended 1 fork"))
            }
            try await Task.sleep(for: .seconds(1))
            try await sandbox.cli("channel request hangup all")
          }
          #expect(await receiver.ended(1, path: "hears-\(name)", within: 10))
          let heard = try receiver.recording(path: "hears-\(name)")
          #expect(Self.loud(heard) >= 800, "\(name): no beep in \(heard.count) samples")
        }
        #expect(sandbox.logLines() == [])
      }
      await receiver.remove()
    }

    /// A call for each way in which a fork with a beep at its start (p) or its end (P) is stopped, and a second fork
    /// that hears it.
    private static func beeping(_ receiver: Receiver) -> String {
      func call(_ name: String, _ options: String, _ end: String) -> String {
        """
        exten => \(name),1,Answer()
         same => n,AudioFork(\(receiver.url("hears-\(name)")),D(out))
         same => n,AudioFork(\(receiver.url("x")),D(in)\(options))
        \(end)

        """
      }
      let said = " same => n,Verbose(0,stop ${ID} of ${CHANNEL(name)})\n"
      let soon = " same => n,Wait(0.5)\n same => n,Hangup()"
      return "[test]\n" + call("p", "p", soon) + call("stop", "Pi(ID)", " same => n,StopAudioFork(${ID})\n" + soon)
        + call("cli", "Pi(ID)", said + " same => n,Wait(60)") + call("ami", "Pi(ID)", said + " same => n,Wait(60)")
        + call("bridged", "Pi(ID)", said + " same => n,Dial(Local/b@test/n)") + ModuleFeatureTests.waiting
    }

    /// Stops the fork over AMI. Who needs the channel's lock while it beeps has it at once.
    private func stopOverAMI(_ sandbox: Sandbox, channel: String, fork: String) async throws {
      let (manager, observer) = try await (ManagerConnection(sandbox), ManagerConnection(sandbox))
      async let stopped = manager.send("StopAudioFork", [("Channel", channel), ("AudioForkID", fork)])
      let deadline = ContinuousClock.now + .seconds(0.4)
      var answers = 0
      while ContinuousClock.now < deadline {
        let name = try await observer.send("Getvar", [("Channel", channel), ("Variable", "CHANNEL(name)")])
        if name["Value"] == channel { answers += 1 }
      }
      #expect(answers >= 5, "\(answers) answers while the channel beeped")
      #expect(try await stopped["Response"] == "Success")
    }

    @Test(
      "No beep goes into a prompt that is being played: the prompt is heard to its end",
      arguments: AsteriskRelease.tested)
    func noBeep(release: AsteriskRelease) async throws {
      let receiver = try await Receiver()
      let prompt = KnownSignal(seed: 33, seconds: 3)
      let dialplan = """
        [test]
        exten => a,1,Answer()
         same => n,AudioFork(\(receiver.url("hears")),D(out))
         same => n,Playback(${SOUNDS}/prompt)
         same => n,Hangup()
        \(ModuleFeatureTests.waiting)
        """
      try await Sandbox.with(release, dialplan: dialplan) { sandbox in
        _ = try sandbox.sound("prompt", prompt.samples)
        try await sandbox.cli("dialplan set global SOUNDS \(sandbox.folder.path)")
        try await sandbox.call("a", "b")
        #expect(await becomesTrue(within: 5) { (try? receiver.recording(path: "hears").count) ?? 0 > 4000 })
        let channel = try #require(try await sandbox.channels().first { $0.hasSuffix(";2") })
        let started = try await sandbox.cli("audiofork start \(channel) \(receiver.url("x")),D(in)p")
        #expect(started.contains("Started fork"), "\(started)")
        #expect(await receiver.ended(1, path: "hears", within: 10))
        #expect(try prompt.range(in: receiver.recording(path: "hears")) == prompt.samples.indices)
        #expect(
          sandbox.logLines(["NOTICE"], containing: "no beep on \(channel), something else is being played").count == 1)
      }
      await receiver.remove()
    }

    @Test(
      "B beeps into the call until the fork ends; without its module there is no fork and a line says why",
      .tags(.slow),
      arguments: AsteriskRelease.tested)
    func periodicBeeps(release: AsteriskRelease) async throws {
      let receiver = try await Receiver()
      let dialplan = """
        [test]
        exten => a,1,Answer()
         same => n,AudioFork(\(receiver.url("hears")),D(out))
         same => n,AudioFork(\(receiver.url("x")),D(in)B(5)i(ID))
         same => n,Playback(${SOUNDS}/quiet)
         same => n,StopAudioFork(${ID})
         same => n,Playback(${SOUNDS}/quiet)
         same => n,Hangup()
        exten => none,1,Answer()
         same => n,AudioFork(\(receiver.url("x")),B)
         same => n,Verbose(0,status is ${AUDIOFORKSTATUS})
         same => n,Wait(60)
        \(ModuleFeatureTests.waiting)
        """
      try await Sandbox.with(release, dialplan: dialplan) { sandbox in
        _ = try sandbox.sound("quiet", [Int16](repeating: 1, count: 8000 * 7))
        try await sandbox.cli("dialplan set global SOUNDS \(sandbox.folder.path)")
        try await sandbox.call("a", "b")
        #expect(await receiver.ended(1, path: "hears", within: 25))
        let heard = try receiver.recording(path: "hears")
        // One with the first frame, the next five seconds later, none when the fork has ended.
        #expect(Self.loud(heard.prefix(8000 * 3)) >= 400, "no first beep")
        #expect(Self.loud(heard[(8000 * 4)..<(8000 * 8)]) >= 400, "no second beep")
        #expect(Self.loud(heard.dropFirst(8000 * 9)) == 0, "a beep after the fork's end")
        #expect(try await ModuleTests.unloadWhenIdle(sandbox))
        // MixMonitor beeps with it too.
        #expect(try await sandbox.cli("module unload app_mixmonitor.so").contains("Unloaded"))
        #expect(try await sandbox.cli("module unload func_periodic_hook.so").contains("Unloaded"))
        #expect(try await sandbox.cli("module load app_audiofork.so").contains("Loaded"))
        try await sandbox.call("none", "b")
        #expect(await sandbox.logShows("status is FAILED"))
        #expect(
          sandbox.logLines(["WARNING"], containing: "option B needs func_periodic_hook.so; load it with").count == 1)
      }
      await receiver.remove()
    }
  }
}
