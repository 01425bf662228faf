// SPDX-License-Identifier: Apache-2.0
import AsteriskTestKit
import Foundation
import Testing

extension IntegrationTests {
  @Suite("on_failure", .serialized)
  struct PolicyTests {
    /// Profiles for a server at this port, one for each policy.
    static func profiles(_ port: Int, _ more: String = "") -> String {
      ["hangup", "continue"].map {
        "\n[\($0)]\nurl = ws://127.0.0.1:\(port)/\($0)\non_failure = \($0)\n\(more)\n"
      }.joined()
    }

    static let dialplan =
      ["hangup", "continue"].map {
        "[\($0)]\nexten => a,1,Answer()\n same => n,AudioFork(\($0))\n same => n,Milliwatt()\n"
          + "exten => stop,1,Answer()\n same => n,AudioFork(\($0))\n same => n,Wait(1)\n same => n,StopAudioFork()\n"
          + " same => n,Milliwatt()\n"
          + "exten => h,1,Verbose(1,\($0): cause ${HANGUPCAUSE})\n"
      }.joined() + "[test]\nexten => b,1,Answer()\n same => n,Wait(120)\n"

    static func with<Result>(
      _ release: AsteriskRelease, _ profiles: String, _ body: (Sandbox) async throws -> Result
    ) async throws -> Result {
      try await Sandbox.with(release, dialplan: dialplan) { sandbox in
        try ModuleFeatureTests.append(profiles, of: sandbox)
        try await sandbox.cli("module reload app_audiofork.so")
        return try await body(sandbox)
      }
    }

    /// A call in each of the contexts.
    static func callBoth(_ sandbox: Sandbox, _ extension: String = "a") async throws {
      for policy in ["hangup", "continue"] {
        try await sandbox.cli("channel originate Local/\(`extension`)@\(policy) extension b@test")
      }
    }

    /// The call with the policy hangup ends for this reason, the other one goes on.
    static func expectOneEnded(_ sandbox: Sandbox, within seconds: Double, because reason: String) async throws {
      let isOver = try await becomesTrue(within: seconds) {
        let channels = try await sandbox.channels()
        return !channels.contains { $0.contains("a@hangup") }
      }
      #expect(isOver, "\(sandbox.logLines())")
      #expect(try await sandbox.channels().contains { $0.contains("a@continue") })
      let lines = sandbox.logLines(["WARNING"], containing: "the call is hung up (on_failure = hangup)")
      #expect(lines.count == 1 && lines.first?.contains(reason) == true, "\(sandbox.logLines())")
      #expect(sandbox.log.contains("hangup: cause 38"))
    }

    @Test(
      "A fork that ends while its call lives takes the call with it; with continue it does not",
      arguments: AsteriskRelease.tested)
    func ends(release: AsteriskRelease) async throws {
      let gone = try await Receiver()
      let port = gone.port
      await gone.remove()
      try await Self.with(release, Self.profiles(port, "reconnect_attempts = 0")) { sandbox in
        try await Self.callBoth(sandbox)
        try await Self.expectOneEnded(sandbox, within: 10, because: "unreachable: ")
      }
    }

    @Test("So does the loss of audio, when the buffer is full", arguments: AsteriskRelease.tested)
    func loses(release: AsteriskRelease) async throws {
      let gone = try await Receiver()
      let port = gone.port
      await gone.remove()
      try await Self.with(release, Self.profiles(port, "buffer = 1")) { sandbox in
        try await Self.callBoth(sandbox)
        try await Self.expectOneEnded(sandbox, within: 15, because: "overrun: the buffer is full")
        // Whoever does not hang up is told, too.
        #expect(sandbox.logLines(["WARNING"], containing: "from now on audio is lost").count >= 1)
      }
    }

    @Test("So does an engine that stays away for longer than the buffer lasts", arguments: AsteriskRelease.tested)
    func engineGone(release: AsteriskRelease) async throws {
      let receiver = try await Receiver()
      try await Self.with(release, Self.profiles(receiver.port, "buffer = 3")) { sandbox in
        try await Self.callBoth(sandbox)
        #expect(await receiver.started(2, within: 5))
        let engine = sandbox.folder.appending(path: "etc/audiofork.conf")
        let configuration = try String(contentsOf: engine, encoding: .utf8)
        try configuration.replacing(/(?m)^engine *=.*$/, with: "engine = /bin/false").write(
          to: engine, atomically: true, encoding: .utf8)
        try await sandbox.cli("module reload app_audiofork.so")
        #expect(Foundation.kill(try #require(sandbox.engines().first), SIGKILL) == 0)
        try await Self.expectOneEnded(
          sandbox, within: 15, because: "engine: no report for 3 seconds")
      }
      await receiver.remove()
    }

    @Test("A fork that cannot begin: AudioFork hangs up, or goes on", arguments: AsteriskRelease.tested)
    func begins(release: AsteriskRelease) async throws {
      try await Self.with(release, Self.profiles(9) + "[general](+)\nallow = ws://allowed.example\n") { sandbox in
        try await Self.callBoth(sandbox)
        let isOver = try await becomesTrue(within: 10) {
          let channels = try await sandbox.channels()
          return !channels.contains { $0.contains("a@hangup") } && channels.contains { $0.contains("a@continue") }
        }
        #expect(isOver)
        #expect(await sandbox.logShows("was not started"))
        #expect(sandbox.logLines(["WARNING"], containing: "the call is hung up (on_failure = hangup)").count == 1)
      }
    }

    @Test("A fork that was stopped, or whose audio arrives, ends no call", arguments: AsteriskRelease.tested)
    func stops(release: AsteriskRelease) async throws {
      let receiver = try await Receiver()
      try await Self.with(release, Self.profiles(receiver.port)) { sandbox in
        try await Self.callBoth(sandbox, "stop")
        #expect(await receiver.ended(2, within: 10))
        try await Task.sleep(for: .seconds(1))
        #expect(try await sandbox.channels().filter { $0.contains("stop@") }.count == 4)
        #expect(sandbox.logLines(["WARNING"], containing: "hung up") == [])
      }
      await receiver.remove()
    }
  }
}
