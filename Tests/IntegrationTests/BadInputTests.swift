// SPDX-License-Identifier: Apache-2.0
import AsteriskTestKit
import AudioForkTestKit
import Foundation
import Testing

extension IntegrationTests {
  @Suite("What is wrong is said once, and the call goes on", .serialized)
  struct BadInputTests {
    /// Arguments of AudioFork() and what the log says about them.
    static let refused: [(arguments: String, message: String)] = [
      ("", "a URL is needed: ws://host[:port][/path]"),
      ("localhost:8080", "the URL must begin with ws:// or wss://"),
      ("http://localhost/", "the URL must begin with ws:// or wss://"),
      ("ws://localhost/,T(on)", "option T asks for TLS, but the URL begins with ws://"),
      ("ws://", "the URL names no host"),
      ("ws://host:70000/", "the port must be a number from 1 to 65535"),
      ("ws://host:0/", "the port must be a number from 1 to 65535"),
      ("ws://[::1/", "an IPv6 address stands in brackets"),
      ("ws://bob:s3cret@host:x/", "the port must be a number from 1 to 65535"),
      ("ws://localhost/,q", "unknown option 'q'; known are b B p P v V W i D f m n S a T R r w H s x"),
      ("ws://localhost/,D(sideways)", "option D does not accept 'sideways'; the form is D(in|out|both|stereo)"),
      ("ws://localhost/,D", "option D needs an argument; the form is D(in|out|both|stereo)"),
      ("ws://localhost/,D(in", "option D has no closing parenthesis"),
      ("ws://localhost/,r(many)", "option r does not accept 'many'"),
      ("ws://localhost/,i()", "option i does not accept ''"),
    ]

    @Test("Bad arguments: FAILED, one line, no fork, and the dialplan goes on", arguments: AsteriskRelease.tested)
    func arguments(release: AsteriskRelease) async throws {
      var dialplan = "[test]\nexten => b,1,Answer()\n same => n,Wait(60)\nexten => a,1,Answer()\n"
      for (number, row) in Self.refused.enumerated() {
        dialplan += " same => n,Set(AUDIOFORKSTATUS=)\n same => n,AudioFork(\(row.arguments))\n"
        dialplan += " same => n,Verbose(0,row \(number) is ${AUDIOFORKSTATUS})\n"
      }
      dialplan += " same => n,StopAudioFork(nosuch)\n same => n,StopAudioFork()\n same => n,Verbose(0,all done)\n"
      try await Sandbox.with(release, dialplan: dialplan + " same => n,Wait(60)\n") { sandbox in
        try await sandbox.call("a", "b")
        #expect(await sandbox.logShows("all done"))
        for (number, row) in Self.refused.enumerated() {
          #expect(sandbox.log.contains("row \(number) is FAILED"), "\(row.arguments)")
          #expect(!sandbox.logLines(["WARNING"], containing: row.message).isEmpty, "\(row.arguments)")
        }
        let lines = sandbox.logLines()
        #expect(lines.count == Self.refused.count + 2, "one line each: \(lines)")
        #expect(lines.allSatisfy { $0.contains("Local/a@test-") })
        #expect(!lines.joined().contains("s3cret"))
        #expect(lines.contains { $0.contains("has no fork with the id nosuch") })
        #expect(try await sandbox.forks() == [])
        #expect(sandbox.runFiles().allSatisfy { !$0.contains(".") })
        #expect(try await sandbox.channels().count == 2)
      }
    }

    /// A call with one fork that has no audio to send and goes on for a minute.
    static func dialplan(_ arguments: String) -> String {
      """
      [test]
      exten => a,1,Answer()
       same => n,AudioFork(\(arguments))
       same => n,Verbose(0,status is ${AUDIOFORKSTATUS})
       same => n,Wait(60)
      exten => b,1,Answer()
       same => n,Wait(60)
      """
    }

    @Test("A missing engine fails the fork and says where it is looked for", arguments: AsteriskRelease.tested)
    func missingEngine(release: AsteriskRelease) async throws {
      for (engine, reason) in [
        ("/nowhere/audiofork", "No such file or directory"), ("/etc/passwd", "Permission denied"),
      ] {
        try await Sandbox.with(release, dialplan: Self.dialplan("ws://127.0.0.1:9/"), engine: engine) { sandbox in
          try await sandbox.call("a", "b")
          #expect(await sandbox.logShows("status is FAILED"))
          #expect(
            sandbox.logLines(["ERROR"], containing: "the engine \(engine) cannot be started: \(reason)").count == 1)
          let lines = sandbox.logLines(["WARNING"], containing: "the engine \(engine) cannot be run: \(reason)")
          #expect(lines.count == 1)
          #expect(lines.first?.contains("install it or set engine in audiofork.conf") == true)
          #expect(try await sandbox.channels().count == 2)
          #expect(sandbox.runFiles().allSatisfy { !$0.contains(".") })
        }
      }
    }

    @Test("A ring that does not fit fails the fork and leaves nothing", arguments: AsteriskRelease.tested)
    func fullRunDirectory(release: AsteriskRelease) async throws {
      let place = "/tmp/af-small-\(UInt32.random(in: 0...UInt32.max))"
      try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: true)
      let mounted = try await ChildProcess.run(
        "/bin/mount", ["-t", "tmpfs", "-o", "size=256k,mode=0700", "tmpfs", place])
      // Without the right to mount there is no small file system; the ring's unit tests cover the error then.
      guard mounted.status == 0 else { return }
      try await Sandbox.with(
        release, dialplan: Self.dialplan("ws://127.0.0.1:9/"), settings: ["run_dir": place]
      ) { sandbox in
        // The cap that is there by default is half of what is free.
        try await sandbox.call("a", "b")
        #expect(await sandbox.logShows("status is FAILED"))
        #expect(
          sandbox.logLines(["WARNING"], containing: "buffer_total is reached: all buffers may take 0 MB").count == 1)
        try await sandbox.cli("channel request hangup all")
        #expect(try await holds(within: 3) { try await sandbox.channels().isEmpty })
        try ModuleFeatureTests.append("buffer_total = 0\n", of: sandbox)
        _ = try await ModuleFeatureTests.reload(sandbox)
        try await sandbox.call("a", "b")
        let isRefused = await becomesTrue(within: 5) {
          sandbox.logLines(["WARNING"], containing: "cannot allocate the ring").count == 1
        }
        #expect(isRefused, "\(sandbox.logLines())")
        let lines = sandbox.logLines(["WARNING"], containing: "cannot allocate the ring")
        #expect(lines.count == 1)
        #expect(lines.first?.contains("No space left on device; make room in run_dir or lower buffer") == true)
        #expect(sandbox.runFiles().allSatisfy { !$0.contains(".") })
        #expect(try await sandbox.channels().count == 2)
      }
      _ = try await ChildProcess.run("/bin/umount", [place])
      try? FileManager.default.removeItem(atPath: place)
    }

    @Test(
      "Network trouble ends the fork with its reason, after the attempts it was given",
      arguments: AsteriskRelease.newest)
    func unreachable(release: AsteriskRelease) async throws {
      let refuser = try ChildProcess(
        "/usr/bin/python3",
        [Checkout.root.appending(path: "Testing/Fixtures/refusing-server.py").path])
      let line = try #require(await refuser.line(within: 5) { $0.hasPrefix("listening on ") })
      let port = try #require(line.split(separator: " ").last)
      for (url, reason) in [
        ("ws://127.0.0.1:9/,r(1)R(1)", "refused"),
        ("ws://no-such-host.invalid/,r(1)R(1)", "no-such-host.invalid"),
        ("ws://127.0.0.1:\(port)/,r(1)R(1)", "403"),
      ] {
        try await Sandbox.with(release, dialplan: Self.dialplan(url)) { sandbox in
          try await sandbox.call("a", "b")
          #expect(await sandbox.logShows("status is SUCCESS"))
          #expect(await sandbox.logShows(" ended: ", within: 15), "\(url)")
          let lines = sandbox.logLines(containing: "af-")
          #expect((1...2).contains(lines.count), "\(lines)")
          #expect(lines.joined().contains(reason), "\(lines)")
          #expect(try await sandbox.channels().count == 2)
          #expect(await becomesTrue(within: 3) { sandbox.runFiles().allSatisfy { !$0.contains(".") } })
        }
      }
      await refuser.end()
    }
  }
}
