// SPDX-License-Identifier: Apache-2.0
import AsteriskTestKit
import Foundation
import Testing

extension IntegrationTests {
  @Suite("Profiles, commands, limits and b on a real Asterisk", .serialized)
  struct ModuleFeatureTests {
    /// Appends to the sandbox's audiofork.conf, or to another file of its configuration.
    static func append(_ text: String, to name: String = "audiofork.conf", of sandbox: Sandbox) throws {
      let file = sandbox.folder.appending(path: "etc/\(name)")
      try FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
      let before = (try? String(contentsOf: file, encoding: .utf8)) ?? ""
      try (before + text).write(to: file, atomically: true, encoding: .utf8)
    }

    static func reload(_ sandbox: Sandbox) async throws -> String {
      try await sandbox.cli("module reload app_audiofork.so")
    }

    /// Runs a CLI command again and again until its answer fulfils the condition, for five seconds.
    static func cli(_ sandbox: Sandbox, _ command: String, until isRight: (String) -> Bool) async throws -> Bool {
      for _ in 0..<50 {
        if isRight(try await sandbox.cli(command)) { return true }
        try await Task.sleep(for: .milliseconds(100))
      }
      return false
    }

    static let waiting = "exten => b,1,Answer()\n same => n,Wait(60)\n"

    @Test(
      "A profile out of templates and an included file is used, its variables evaluated; a bad reload changes nothing",
      arguments: AsteriskRelease.tested)
    func profiles(release: AsteriskRelease) async throws {
      let receiver = try await Receiver()
      let dialplan = """
        [test]
        exten => a,1,Answer()
         same => n,Set(WHERE=one)
         same => n,AudioFork(Recorder)
         same => n,Verbose(0,first ${AUDIOFORKSTATUS} ${AUDIOFORK_WSSERVER})
         same => n,AudioFork(nobody)
         same => n,Verbose(0,second ${AUDIOFORKSTATUS})
         same => n,Wait(60)
        \(Self.waiting)
        """
      try await Sandbox.with(release, dialplan: dialplan) { sandbox in
        let place = sandbox.folder.appending(path: "etc/profiles.d/name")
        try Self.append("two\n", to: "profiles.d/name", of: sandbox)
        try Self.append(
          "[recorder](common)\nurl = \(receiver.url("${WHERE}-${FILE(\(place.path),0,3)}"))?token=s3cret\n",
          to: "profiles.d/recorder.conf", of: sandbox)
        try Self.append(
          "drain = 7\n[common](!)\ndirection = in\nheader = X-Secret: h1dden\n#include \"profiles.d/recorder.conf\"\n",
          of: sandbox)
        _ = try await Self.reload(sandbox)
        try await sandbox.call("a", "b")
        #expect(await sandbox.logShows("first SUCCESS \(receiver.url("one-two"))?token=***"))
        #expect(await sandbox.logShows("second FAILED"))
        #expect(await receiver.started(1, path: "one-two", within: 5))
        #expect(
          sandbox.logLines(["WARNING"], containing: "'nobody' is neither a URL nor a profile").first?
            .contains("audiofork.conf has the profiles recorder") == true)
        #expect(try await sandbox.forks().first?.contains(" in ") == true)

        // A mistake in the included file: nothing changes, and the line says where it is.
        try Self.append("drain = never\nheader = no colon\n", to: "profiles.d/recorder.conf", of: sandbox)
        _ = try await Self.reload(sandbox)
        #expect(await sandbox.logShows("audiofork.conf was not reloaded: the settings from before stay in force"))
        let errors = sandbox.logLines(["ERROR"], containing: "recorder.conf, [recorder]: ")
        #expect(errors.count == 2, "\(errors)")
        #expect(errors.first?.contains("drain = 'never' is not accepted; it takes a whole number of seconds") == true)
        #expect(errors.last?.contains("header does not accept what it was given") == true)
        try await sandbox.call("a", "b")
        #expect(await receiver.started(2, path: "one-two", within: 5))
        for secret in ["h1dden", "no colon"] { #expect(!sandbox.log.contains(secret)) }
        // The dialplan's own trace aside, the value of a parameter that speaks of a token is nowhere.
        #expect(!sandbox.log.contains("s3cret"))
      }
      await receiver.remove()
    }

    @Test("Only allowed URLs are forked to, and buffer_total caps them", arguments: AsteriskRelease.tested)
    func limits(release: AsteriskRelease) async throws {
      let receiver = try await Receiver()
      let dialplan = """
        [test]
        exten => a,1,Answer()
         same => n,AudioFork(ws://localhost:\(receiver.port)/in/x)
         same => n,Verbose(0,first ${AUDIOFORKSTATUS})
         same => n,AudioFork(\(receiver.url("out")))
         same => n,Verbose(0,second ${AUDIOFORKSTATUS})
         same => n,AudioFork(\(receiver.url("in/x")))
         same => n,Verbose(0,third ${AUDIOFORKSTATUS})
         same => n,AudioFork(\(receiver.url("in/y")))
         same => n,Verbose(0,fourth ${AUDIOFORKSTATUS})
         same => n,Wait(60)
        \(Self.waiting)
        """
      try await Sandbox.with(release, dialplan: dialplan) { sandbox in
        try Self.append("allow = ws://127.0.0.1:*/in/*\nbuffer_total = 1\nbuffer = 15\n", of: sandbox)
        _ = try await Self.reload(sandbox)
        try await sandbox.call("a", "b")
        for line in ["first FAILED", "second FAILED", "third SUCCESS", "fourth FAILED"] {
          #expect(await sandbox.logShows(line))
        }
        #expect(sandbox.logLines(["WARNING"], containing: "is not allowed; a line allow in [general]").count == 2)
        #expect(sandbox.logLines(["WARNING"], containing: "all buffers may take 1 MB").count == 1)
        #expect(try await sandbox.forks().count == 1)
      }
      await receiver.remove()
    }

    @Test(
      "The command runs when the fork has ended, with the values of its start, and unloading waits for it",
      arguments: AsteriskRelease.tested)
    func commands(release: AsteriskRelease) async throws {
      let receiver = try await Receiver()
      let dialplan = """
        [test]
        exten => a,1,Answer()
         same => n,Set(WHO=then)
         same => n,AudioFork(\(receiver.url("a")),D(in),echo ^{WHO} '^{CHANNEL(name)} $HOME' > ${PLACE}/a)
         same => n,AudioFork(\(receiver.url("s")),D(in),exec > ${PLACE}/s && ls -m /proc/$$/fd && grep \
        SigBlk /proc/$$/status)
         same => n,Set(WHO=later)
         same => n,Wait(0.5)
         same => n,Hangup()
        exten => c,1,Answer()
         same => n,Wait(60)
        \(Self.waiting)
        """
      try await Sandbox.with(release, dialplan: dialplan) { sandbox in
        try await sandbox.cli("dialplan set global PLACE \(sandbox.folder.path)")
        func result(_ name: String) -> String? {
          try? String(contentsOf: sandbox.folder.appending(path: name), encoding: .utf8)
        }
        try await sandbox.call("a", "b")
        #expect(
          await becomesTrue(within: 10) { result("a")?.hasPrefix("then Local/a@test-") == true },
          "\(result("a") ?? "nothing")")
        #expect(result("a")?.hasSuffix(" $HOME\n") == true)
        // Nothing of Asterisk's is open in a command, and no signal is blocked.
        let open = "0, 1, 2\nSigBlk:\t0000000000000000\n"
        #expect(await becomesTrue(within: 10) { result("s") == open }, "\(result("s") ?? "nothing")")
        #expect(await becomesTrue(within: 10) { receiver.events("ended").count == 2 })

        // From the CLI too, where commands = yes; and a long one keeps the module.
        try Self.append("commands = yes\n", of: sandbox)
        _ = try await Self.reload(sandbox)
        try await sandbox.call("c", "b")
        #expect(try await Self.cli(sandbox, "core show channels concise") { $0.contains("Local/c@test") })
        let channel = try #require(
          try await sandbox.channels().first { $0.hasPrefix("Local/c@test") && $0.hasSuffix(";2") })
        let started = try await sandbox.cli(
          """
          audiofork start \(channel) \"\(receiver.url("c")),D(in),touch \(sandbox.folder.path)/began\\; \
          while [ ! -e \(sandbox.folder.path)/go ]\\; do sleep 0.05\\; done\"
          """
        )
        #expect(started.contains("Started fork"), "\(started)")
        try await sandbox.cli("channel request hangup all")
        #expect(await becomesTrue(within: 10) { result("began") != nil })
        #expect(await becomesTrue(within: 5) { sandbox.runFiles().allSatisfy { !$0.contains(".ring") } })
        for _ in 0..<100 where try await !sandbox.channels().isEmpty { try await Task.sleep(for: .milliseconds(20)) }
        // Refused for the channel at first, which goes a moment after its fork.
        #expect(
          try await Self.cli(sandbox, "module unload -f app_audiofork.so") { _ in
            sandbox.log.contains("1 command of a fork that has ended still runs")
          })
        #expect(FileManager.default.createFile(atPath: sandbox.folder.path + "/go", contents: nil))
        // The command looks for that every 50 ms; until it has, unloading is refused.
        #expect(try await Self.cli(sandbox, "module unload app_audiofork.so") { $0.contains("Unloaded") })
      }
      await receiver.remove()
    }

    @Test(
      "With b only what the channel hears in a bridge is sent; the rest is fill, or left out with n",
      arguments: AsteriskRelease.tested)
    func onlyBridged(release: AsteriskRelease) async throws {
      let receiver = try await Receiver()
      let alone = KnownSignal(seed: 31, seconds: 1)
      let bridged = KnownSignal(seed: 32, seconds: 1)
      let dialplan = """
        [test]
        exten => a,1,Answer()
         same => n,AudioFork(\(receiver.url("fill")),D(out)b)
         same => n,AudioFork(\(receiver.url("nofill")),D(out)bn)
         same => n,Playback(${SOUNDS}/alone)
         same => n,Dial(Local/x@test/n,,g)
         same => n,Playback(${SOUNDS}/alone)
         same => n,Hangup()
        exten => x,1,Answer()
         same => n,Wait(0.3)
         same => n,Playback(${SOUNDS}/bridged)
         same => n,Hangup()
        \(Self.waiting)
        """
      try await Sandbox.with(release, dialplan: dialplan) { sandbox in
        _ = try sandbox.sound("alone", alone.samples)
        _ = try sandbox.sound("bridged", bridged.samples)
        try await sandbox.cli("dialplan set global SOUNDS \(sandbox.folder.path)")
        try await sandbox.call("a", "b")
        #expect(await receiver.ended(2, within: 15))
        let filled = try receiver.recording(path: "fill")
        let packed = try receiver.recording(path: "nofill")
        for recording in [filled, packed] {
          let range = try #require(
            bridged.range(in: recording), "something that was played outside of the bridge, or nothing whole")
          // The bridge may come up a moment later, and break up a moment before the last packet.
          #expect(range.lowerBound == 0)
          #expect(range.count >= 7600)
        }
        // A second before, a second after: fill keeps the stream's time.
        let first = try #require(filled.firstIndex { $0 != 0 })
        #expect(first >= 8000, "\(first)")
        #expect(packed.count <= 8000 + 320)
        #expect(sandbox.logLines() == [])
      }
      await receiver.remove()
    }

    @Test("Forks on one channel have ids of their own, in their variables too", arguments: AsteriskRelease.tested)
    func ids(release: AsteriskRelease) async throws {
      let receiver = try await Receiver()
      let dialplan = """
        [test]
        exten => a,1,Answer()
         same => n,AudioFork(\(receiver.url("1")),i(ONE))
         same => n,AudioFork(\(receiver.url("2")),D(in)i(TWO))
         same => n,AudioFork(\(receiver.url("3")),D(out)i(THREE))
         same => n,Verbose(0,ids are ${ONE} ${TWO} ${THREE}.)
         same => n,StopAudioFork(${TWO})
         same => n,Wait(60)
        \(Self.waiting)
        """
      try await Sandbox.with(release, dialplan: dialplan) { sandbox in
        try await sandbox.call("a", "b")
        let match = try #require(
          await eventually(within: 5) { sandbox.log.firstMatch(of: #/ids are (\S+) (\S+) (\S+)\./#) })
        let ids = [match.1, match.2, match.3].map(String.init)
        #expect(Set(ids).count == 3)
        #expect(await receiver.started(3, within: 5))
        #expect(Set(receiver.events("started").compactMap(\.id)) == Set(ids))
        #expect(await receiver.ended(1, path: "2", within: 5))
        #expect(try await Self.cli(sandbox, "audiofork list") { $0.contains("2 forks") })
        let rows = try await sandbox.forks().joined()
        #expect(rows.contains(ids[0]) && rows.contains(ids[2]) && !rows.contains(ids[1]))
      }
      await receiver.remove()
    }

    @Test(
      "A fork on a channel that is picked up goes on with the picker, under its name", arguments: AsteriskRelease.tested
    )
    func pickup(release: AsteriskRelease) async throws {
      let receiver = try await Receiver()
      let signal = KnownSignal(seed: 41, seconds: 2)
      let dialplan = """
        [test]
        exten => a,1,Answer()
         same => n,Dial(Local/ring@test/n)
        exten => ring,1,Ringing()
         same => n,Wait(60)
        exten => picker,1,Answer()
         same => n,PickupChan(Local/ring@test,p)
         same => n,Verbose(0,nothing was picked up)
         same => n,Wait(60)
        exten => speaker,1,Answer()
         same => n,Playback(${SOUNDS}/said)
         same => n,Wait(60)
        \(Self.waiting)
        """
      try await Sandbox.with(release, dialplan: dialplan) { sandbox in
        _ = try sandbox.sound("said", signal.samples)
        try await sandbox.cli("dialplan set global SOUNDS \(sandbox.folder.path)")
        try await sandbox.call("a", "b")
        #expect(try await Self.cli(sandbox, "core show channels concise") { $0.contains("Local/ring@test") })
        let ringing = try #require(
          try await sandbox.channels().first { $0.hasPrefix("Local/ring@test") && $0.hasSuffix(";1") })
        #expect(try await sandbox.cli("audiofork start \(ringing) \(receiver.url("x")),D(in)").contains("Started fork"))
        #expect(try await sandbox.forks().first?.contains(ringing) == true)
        // What the picker's other half plays is what the picker says.
        try await sandbox.call("picker", "speaker")
        #expect(
          try await Self.cli(sandbox, "audiofork list") { $0.contains("Local/picker@test") && $0.contains("1 fork") })
        #expect(try await Self.cli(sandbox, "core show channels concise") { !$0.contains("\(ringing)!") })
        try await Task.sleep(for: .seconds(1))
        try await sandbox.cli("channel request hangup all")
        #expect(await receiver.ended(1, within: 10))
        #expect(BeepTests.loud(try receiver.recording(path: "x")) >= 4000)
        #expect(!sandbox.log.contains("nothing was picked up"))
      }
      await receiver.remove()
    }
  }
}
