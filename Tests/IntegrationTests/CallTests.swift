// SPDX-License-Identifier: Apache-2.0
import AsteriskTestKit
import Foundation
import Testing

extension IntegrationTests {
  @Suite("A fork begins and ends with its call, or before", .serialized)
  struct CallTests {
    static func dialplan(_ receiver: Receiver) -> String {
      """
      [test]
      exten => long,1,Answer()
       same => n,AudioFork(\(receiver.url("long")),D(out))
       same => n,Playback(${SOUNDS}/heard)
       same => n,Wait(60)
      exten => short,1,Answer()
       same => n,AudioFork(\(receiver.url("short")),D(out))
       same => n,Playback(${SOUNDS}/heard)
       same => n,Hangup()
      exten => stop,1,Answer()
       same => n,AudioFork(\(receiver.url("one")),D(out)i(ONE))
       same => n,AudioFork(\(receiver.url("two")),D(out)i(TWO))
       same => n,AudioFork(\(receiver.url("three")),D(out))
       same => n,Playback(${SOUNDS}/heard)
       same => n,StopAudioFork(${TWO})
       same => n,Playback(${SOUNDS}/heard)
       same => n,StopAudioFork()
       same => n,Playback(${SOUNDS}/heard)
       same => n,Wait(60)
      exten => plain,1,Answer()
       same => n,Playback(${SOUNDS}/heard)
       same => n,Wait(60)
      exten => quiet,1,Answer()
       same => n,AudioFork(\(receiver.url("fill")),D(out))
       same => n,AudioFork(\(receiver.url("nofill")),D(out)n)
       same => n,Playback(${SOUNDS}/heard)
       same => n,Wait(2)
       same => n,Playback(${SOUNDS}/heard)
       same => n,Hangup()
      exten => wait,1,Answer()
       same => n,Wait(60)
      exten => leave,1,Answer()
       same => n,Wait(1.5)
       same => n,Hangup()
      """
    }

    static func with(
      _ release: AsteriskRelease, hearing signal: KnownSignal, _ body: (Sandbox, Receiver) async throws -> Void
    ) async throws {
      let receiver = try await Receiver()
      try await Sandbox.with(release, dialplan: dialplan(receiver)) { sandbox in
        _ = try sandbox.sound("heard", signal.samples)
        try await sandbox.cli("dialplan set global SOUNDS \(sandbox.folder.path)")
        try await body(sandbox, receiver)
        #expect(sandbox.logLines() == [])
        #expect(await becomesTrue(within: 5) { sandbox.runFiles().allSatisfy { !$0.contains(".") } })
      }
      await receiver.remove()
    }

    @Test("The other party hangs up", arguments: AsteriskRelease.tested)
    func otherHangsUp(release: AsteriskRelease) async throws {
      let signal = KnownSignal(seed: 11, seconds: 10)
      try await Self.with(release, hearing: signal) { sandbox, receiver in
        try await sandbox.call("long", "leave")
        #expect(await receiver.ended(1, path: "long", within: 8))
        #expect(receiver.events("ended").first?.code == 1000)
        let range = try #require(try signal.range(in: receiver.recording(path: "long")))
        #expect(range.lowerBound == 0)
        #expect((8000...20_000).contains(range.upperBound))
        #expect(try await sandbox.forks() == [])
      }
    }

    @Test("The forked party hangs up", arguments: AsteriskRelease.tested)
    func ownHangsUp(release: AsteriskRelease) async throws {
      let signal = KnownSignal(seed: 12, seconds: 2)
      try await Self.with(release, hearing: signal) { sandbox, receiver in
        try await sandbox.call("short", "wait")
        #expect(await receiver.ended(1, path: "short", within: 8))
        #expect(receiver.events("ended").first?.code == 1000)
        #expect(try signal.range(in: receiver.recording(path: "short")) == 0..<signal.samples.count)
      }
    }

    @Test("StopAudioFork ends the fork it names, or all", arguments: AsteriskRelease.tested)
    func stop(release: AsteriskRelease) async throws {
      let signal = KnownSignal(seed: 13, seconds: 1)
      let twice = signal.samples + signal.samples
      try await Self.with(release, hearing: signal) { sandbox, receiver in
        try await sandbox.call("stop", "wait")
        #expect(await receiver.ended(1, path: "two", within: 8))
        #expect(receiver.events("ended", path: "one").isEmpty)
        #expect(await receiver.ended(1, path: "one", within: 8))
        #expect(await receiver.ended(1, path: "three", within: 8))
        #expect(try receiver.recording(path: "two").filter { $0 != 0 } == signal.samples)
        #expect(try receiver.recording(path: "one").filter { $0 != 0 } == twice)
        #expect(try receiver.recording(path: "three").filter { $0 != 0 } == twice)
        #expect(try await sandbox.channels().count == 2)
        #expect(try await sandbox.forks() == [])
        let request = try #require(receiver.events("started", path: "one").first)
        #expect(request.channel?.hasPrefix("Local/stop@test-") == true)
        #expect(request.id?.hasPrefix("af-") == true)
      }
    }

    @Test("The CLI starts, lists and stops a fork in mid-call", arguments: AsteriskRelease.tested)
    func commandLine(release: AsteriskRelease) async throws {
      let signal = KnownSignal(seed: 14, seconds: 8)
      try await Self.with(release, hearing: signal) { sandbox, receiver in
        try await sandbox.call("plain", "wait")
        try await Task.sleep(for: .seconds(1))
        let channel = try #require(await sandbox.channels().first { $0.hasSuffix(";2") })
        let started = try await sandbox.cli("audiofork start \(channel) \(receiver.url("cli")),D(out)")
        #expect(started.contains("Started fork af-"))
        #expect(await receiver.started(1, path: "cli", within: 5))
        try await Task.sleep(for: .seconds(2))
        let rows = try await sandbox.forks()
        #expect(rows.count == 1)
        #expect(rows.first?.contains("\(channel) ") == true)
        #expect(rows.first?.contains("out       streaming   \(receiver.url("cli"))") == true)
        #expect(try await sandbox.cli("audiofork list Local/nobody").contains("0 forks"))
        #expect(try await sandbox.cli("audiofork stop \(channel)").contains("Ended 1 fork of"))
        #expect(await receiver.ended(1, path: "cli", within: 5))
        let range = try #require(try signal.range(in: receiver.recording(path: "cli")))
        #expect((4000...16_000).contains(range.lowerBound))
        #expect((12_000...26_000).contains(range.count))
        #expect(try await sandbox.cli("audiofork stop \(channel)").contains("has no such fork"))
        #expect(try await sandbox.cli("audiofork start Nobody/1 ws://x/").contains("No channel is called Nobody/1"))
        #expect(try await sandbox.cli("audiofork start \(channel) ws://x/,D(up)").contains("D(in|out|both|stereo)"))
        #expect(try await sandbox.cli("audiofork start").contains("Usage: audiofork start"))
        #expect(try await sandbox.channels().count == 2)
      }
    }

    @Test("Fill keeps the stream in real time; n leaves it out", arguments: AsteriskRelease.tested)
    func fill(release: AsteriskRelease) async throws {
      let signal = KnownSignal(seed: 15, seconds: 1)
      let twice = signal.samples + signal.samples
      try await Self.with(release, hearing: signal) { sandbox, receiver in
        try await sandbox.call("quiet", "wait")
        #expect(await receiver.ended(1, path: "fill", within: 12))
        #expect(await receiver.ended(1, path: "nofill", within: 5))
        let filled = try receiver.recording(path: "fill")
        #expect(filled.filter { $0 != 0 } == twice)
        // Two seconds of Wait() between the prompts, give or take what Playback() takes to start.
        #expect((31_000...35_000).contains(filled.count))
        #expect(try receiver.recording(path: "nofill") == twice)
      }
    }
  }
}
