// SPDX-License-Identifier: Apache-2.0
import AudioForkEngine
import AudioForkEngineTestKit
import AudioForkLink
import AudioForkMedia
import AudioForkTestKit
import AudioForkWireTestKit
import CAudioForkABI
import Testing

/// How soon captured audio is at the server where one party is silent, or both are.
@Suite("How long a direction waits for the other, over loopback", .serialized)
struct AlignRealTimeTests {
  /// The ring says how long; a key of the profile alone, as in rings of earlier modules, does too.
  private enum Source: CaseIterable { case ring, profile }

  @Test("Words of one party leave within align and a block, and so do the last ones before a silence of both")
  func latency() async throws {
    for (source, align) in [(Source.ring, 60), (.ring, 300), (.profile, 60)] {
      let directory = try ScratchFolder()
      let server = try await TestServer.start()
      let engine = try await TestEngine(directory)
      let call = try TestCall(
        in: directory, url: server.url, settings: source == .profile ? ["align=\(align)"] : [],
        alignMilliseconds: source == .ring ? UInt64(align) : nil)
      engine.tell(.fork(id: call.id, isClosed: false))
      var lags: [Int64] = []
      for _ in 0..<3 {
        try await call.speak(untilMilliseconds: Int64(call.framesWritten * 20) + 200)
        // Out is silent. What in says alone waits for it, until nobody says anything.
        try await call.speak(.in, untilMilliseconds: Int64(call.framesWritten * 20) + 40)
        let end = af_now_ns()
        try await eventually("the last words leave") {
          server.connections.first?.audio.count ?? 0 >= call.framesWritten * 320
        }
        lags.append((af_now_ns() - end) / 1_000_000)
        call.pause(milliseconds: align + 100)
      }
      // A look every 5 ms, a poll every 5 ms, a block of 20 ms, and a busy machine: the median counts.
      let median = lags.sorted()[1]
      #expect(median >= Int64(align) - 20 && median <= Int64(align) + 100, "\(source), \(align): \(lags)")
      call.hangUp()
      let last = try await engine.end()
      #expect(last.reason == "done: all audio was delivered")
      await server.stop()
    }
  }
}
