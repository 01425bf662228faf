// SPDX-License-Identifier: Apache-2.0
import AudioForkEngine
import AudioForkEngineTestKit
import AudioForkLink
import AudioForkMedia
import AudioForkTestKit
import AudioForkWireTestKit
import CAudioForkABI
import NIOWebSocket
import Testing

/// Trouble that passes or does not, over real sockets.
@Suite("Trouble over loopback", .serialized)
struct TroubleRealTimeTests {
  @Test(
    "A Close in answer to start means what it means behind audio",
    arguments: [
      (WebSocketErrorCode.normalClosure as WebSocketErrorCode?, "", 1, "server: closed with 1000"),
      (nil, "", 2, "server: closed without a code twice within a minute"),
      (nil, "r(0)", 1, "server: closed without a code, and no attempt to reconnect is left"),
      (.goingAway, "r(1)R(1)", 2, "unreachable: 1 attempt failed, the last one: server: closed with 1001"),
    ])
  func closedEarly(code: WebSocketErrorCode?, options: String, connections: Int, reason: String) async throws {
    let directory = try ScratchFolder()
    let server = try await TestServer.start(.closeOnText(code))
    let engine = try await TestEngine(directory)
    let call = try TestCall(in: directory, url: server.url, options: "w(audiofork)\(options)")
    engine.tell(.fork(id: call.id, isClosed: false))
    let end = try await engine.end()
    #expect(end.reason.withoutTime == reason)
    #expect(server.connections.count == connections)
    await server.stop()
  }

  @Test("An outage ends the fork after its time, also where the engine was replaced in it, twice")
  func replacedEngines() async throws {
    let directory = try ScratchFolder()
    // Nobody listens there any more.
    let server = try await TestServer.start()
    await server.stop()
    let call = try TestCall(in: directory, url: server.url, options: "R(1)", settings: ["outage=3"])
    let began = af_now_ns()
    for _ in 0..<2 {
      let engine = try await TestEngine(directory)
      engine.tell(.fork(id: call.id, isClosed: false))
      try await call.speak(untilMilliseconds: Int64(call.framesWritten) * 20 + 1200)
      #expect(engine.ended(call.id) == nil)
      #expect(try await engine.stop() == .stopped)
    }
    let last = try await TestEngine(directory)
    last.tell(.fork(id: call.id, isClosed: false))
    let end = try await last.end(within: 5)
    #expect(end.reason.contains(#/^unreachable: \d+ attempts failed in [34] s, the last one: connection: refused/#))
    #expect((3000 * millisecond..<4500 * millisecond).contains(af_now_ns() - began))
    #expect(last.lines(.warning).filter { $0.contains("trying again") } == [], "the first engine has told it")
  }
}
