// SPDX-License-Identifier: Apache-2.0
import AsteriskTestKit
import AudioForkTestKit
import Foundation
import Testing

extension IntegrationTests {
  @Suite("Nothing is lost when something breaks", .serialized)
  struct FaultTests {
    /// At most this much is sent again after a break: a second between two pings, and the time of a pong, at 8 kHz.
    static let repeatMax = 12_000

    /// A call whose party hears the signal, forked in direction out to the URL.
    static func dialplan(_ url: String) -> String {
      """
      [test]
      exten => a,1,Answer()
       same => n,AudioFork(\(url),D(out))
       same => n,Playback(${SOUNDS}/heard)
       same => n,Wait(0.5)
       same => n,StopAudioFork()
       same => n,Wait(60)
      exten => b,1,Answer()
       same => n,Wait(120)
      """
    }

    static func withCall<Result>(
      _ release: AsteriskRelease, to url: String, hearing signal: KnownSignal,
      _ body: (Sandbox) async throws -> Result
    ) async throws -> Result {
      try await Sandbox.with(release, dialplan: dialplan(url)) { sandbox in
        _ = try sandbox.sound("heard", signal.samples)
        try await sandbox.cli("dialplan set global SOUNDS \(sandbox.folder.path)")
        try await sandbox.call("a", "b")
        return try await body(sandbox)
      }
    }

    /// The recordings, one after the other, hold the whole signal, with bounded repeats and nothing out of order.
    static func expectWhole(_ recordings: [[Int16]], _ signal: KnownSignal) throws {
      var end = 0
      for (number, recording) in recordings.enumerated() {
        let range = try #require(signal.range(in: recording), "connection \(number) holds foreign samples")
        if range.isEmpty { continue }
        #expect(range.lowerBound <= end, "\(range.lowerBound - end) samples are missing before connection \(number)")
        #expect(end - range.lowerBound <= repeatMax, "connection \(number) repeats \(end - range.lowerBound) samples")
        end = max(end, range.upperBound)
      }
      #expect(end == signal.samples.count)
    }

    @Test("Twenty kills of the engine during one call lose nothing", .tags(.slow), arguments: AsteriskRelease.tested)
    func engineKills(release: AsteriskRelease) async throws {
      let signal = KnownSignal(seed: 3, seconds: 24)
      let receiver = try await Receiver()
      try await Self.withCall(release, to: receiver.url("kill"), hearing: signal) { sandbox in
        for kill in 1...20 {
          #expect(await receiver.started(kill, path: "kill", within: 3), "connection \(kill) never came")
          try await Task.sleep(for: .milliseconds(.random(in: 250...800)))
          let old = try #require(sandbox.engines().first)
          #expect(Foundation.kill(old, SIGKILL) == 0)
          let isBack = await becomesTrue(within: 0.5) { sandbox.engines().contains { $0 != old } }
          #expect(isBack, "no engine within 500 ms of kill \(kill)")
        }
        #expect(try await sandbox.channels().count == 2)
        #expect(await receiver.ended(21, path: "kill", within: 30))
        try Self.expectWhole(receiver.recordings(path: "kill"), signal)
        #expect(sandbox.engines().count == 1)
        #expect(sandbox.logLines(["ERROR"]) == [])
      }
      await receiver.remove()
    }

    @Test("A server that comes up two seconds late gets the audio from the start", arguments: AsteriskRelease.newest)
    func lateServer(release: AsteriskRelease) async throws {
      let signal = KnownSignal(seed: 4, seconds: 4)
      let first = try await Receiver()
      let port = first.port
      await first.remove()
      try await Self.withCall(release, to: first.url("late"), hearing: signal) { sandbox in
        try await Task.sleep(for: .seconds(2))
        let receiver = try await Receiver(port: port)
        #expect(await receiver.ended(1, path: "late", within: 15))
        try Self.expectWhole(receiver.recordings(path: "late"), signal)
        // One line when the outage begins and one when it is over; not one for each attempt.
        #expect(sandbox.logLines(["WARNING", "ERROR", "NOTICE"], containing: "af-").count <= 2)
        #expect(sandbox.logLines(["WARNING"], containing: "refused").count == 1)
        await receiver.remove()
      }
    }

    @Test("A server killed and started again in mid-call misses nothing", arguments: AsteriskRelease.newest)
    func serverRestart(release: AsteriskRelease) async throws {
      let signal = KnownSignal(seed: 5, seconds: 6)
      let first = try await Receiver()
      try await Self.withCall(release, to: first.url("again"), hearing: signal) { _ in
        #expect(await first.started(1, path: "again", within: 5))
        try await Task.sleep(for: .seconds(2))
        first.signal(SIGKILL)
        #expect(await first.ended())
        try await Task.sleep(for: .seconds(1))
        let second = try await Receiver(port: first.port)
        #expect(await second.ended(1, path: "again", within: 15))
        try Self.expectWhole(first.recordings(path: "again") + second.recordings(path: "again"), signal)
        await second.remove()
      }
      await first.remove()
    }

    @Test("A server that never answers anything gets the whole call", arguments: AsteriskRelease.newest)
    func deafServer(release: AsteriskRelease) async throws {
      let signal = KnownSignal(seed: 6, seconds: 4)
      let file = "/tmp/af-deaf-\(UInt32.random(in: 0...UInt32.max))"
      let script = Checkout.root.appending(path: "Testing/Fixtures/deaf-server.py").path
      let server = try ChildProcess("/usr/bin/python3", [script, file])
      let line = try #require(await server.line(within: 5) { $0.hasPrefix("listening on ") })
      let port = try #require(line.split(separator: " ").last)
      try await Self.withCall(release, to: "ws://127.0.0.1:\(port)/", hearing: signal) { sandbox in
        #expect(await server.exitStatus(within: 15) == 0)
        let bytes = try #require(FileManager.default.contents(atPath: file))
        let samples = bytes.withUnsafeBytes { Array($0.bindMemory(to: Int16.self)) }
        #expect(signal.range(in: samples) == 0..<signal.samples.count)
        #expect(await becomesTrue(within: 5) { sandbox.runFiles().allSatisfy { !$0.contains(".") } })
      }
      await server.end()
      try? FileManager.default.removeItem(atPath: file)
    }

    @Test("Fifty calls at once arrive whole", .tags(.slow), arguments: AsteriskRelease.tested)
    func fiftyCalls(release: AsteriskRelease) async throws {
      let signal = KnownSignal(seed: 7, seconds: 6)
      let receiver = try await Receiver()
      try await Sandbox.with(release, dialplan: Self.dialplan(receiver.url("many"))) { sandbox in
        _ = try sandbox.sound("heard", signal.samples)
        try await sandbox.cli("dialplan set global SOUNDS \(sandbox.folder.path)")
        for _ in 1...50 { try await sandbox.call("a", "b") }
        #expect(await receiver.ended(50, path: "many", within: 40))
        let recordings = try receiver.recordings(path: "many")
        #expect(recordings.count == 50)
        #expect(recordings.filter { signal.range(in: $0) != 0..<signal.samples.count }.isEmpty)
        #expect(Set(receiver.events("started").map(\.id)).count == 50)
        #expect(try await sandbox.channels().count == 100)
        #expect(sandbox.engines().count == 1)
        #expect(sandbox.logLines() == [])
      }
      await receiver.remove()
    }
  }
}
