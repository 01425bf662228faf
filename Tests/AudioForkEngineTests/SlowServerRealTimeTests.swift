// SPDX-License-Identifier: Apache-2.0
import AudioForkEngine
import AudioForkEngineTestKit
import AudioForkFaultKit
import AudioForkLink
import AudioForkTestKit
import AudioForkWireTestKit
import NIOCore
import Testing

/// Servers that are busy for a while, and servers that are dead behind something that still acknowledges.
@Suite("Slow servers over loopback", .serialized)
struct SlowServerRealTimeTests {
  /// As a recognizer does that loads its model at the first second of audio.
  private static let pause = TestServer.Pause(afterBytes: 16_000, time: .seconds(8))

  @Test("A server that reads nothing for 8 s once in each connection loses nothing with defaults, on one connection")
  func stall() async throws {
    let directory = try ScratchFolder()
    let plain = try await TestServer.start(pausing: Self.pause)
    let store = ForkStore()
    let acknowledging = try await TestServer.start(.fork(store), pausing: Self.pause)
    // Audio for 8 s exceeds what the sockets hold: the window is closed, and no ping can be sent.
    let closed = try await TestServer.start(pausing: Self.pause, receiveBufferBytes: 4096)
    let silent = try await TestServer.start(pausing: Self.pause, answersPings: false, receiveBufferBytes: 4096)
    let engine = try await TestEngine(directory)
    let settings = [(plain, "D(both)"), (acknowledging, "w(audiofork)"), (closed, "f(slin48)"), (silent, "f(slin48)")]
    let calls = try settings.enumerated().map { index, setting in
      try TestCall(
        in: directory, id: "af-test-\(index)", url: setting.0.url, options: setting.1, drainSeconds: 10)
    }
    for call in calls { engine.tell(.fork(id: call.id, isClosed: false)) }
    while let first = calls.first, first.framesWritten < 11_500 / 20 {
      for call in calls { call.speakDue() }
      try await Task.sleep(for: .milliseconds(5))
    }
    for call in calls { call.hangUp() }
    for call in calls {
      let end = try await engine.end(of: call.id)
      #expect(end.reason == "done: all audio was delivered")
      #expect(end.counters.reconnects == 0 && end.counters.lost == 0, "\(call.id)")
    }
    for server in settings.map(\.0) { #expect(server.connections.count == 1) }
    #expect(plain.connections.first?.carries(calls[0].expected) == true)
    #expect(store.now.samples == calls[1].expected && store.now.duplicates == 0)
    for (server, call) in [(closed, calls[2]), (silent, calls[3])] {
      #expect(server.connections.first?.samples.count == 6 * call.expected.count)
    }
    #expect(engine.lines(.notice) == [])
    for server in settings.map(\.0) { await server.stop() }
  }

  @Test("Each connection in a row on which a server does not answer is given twice the time, and each is told")
  func silence() async throws {
    let directory = try ScratchFolder()
    let server = try await TestServer.start()
    let proxy = try await FaultProxy.start(to: server.port)
    let engine = try await TestEngine(directory)
    let call = try TestCall(
      in: directory, url: "ws://127.0.0.1:\(proxy.port)/", options: "D(both)R(1)", settings: ["silence=1"])
    engine.tell(.fork(id: call.id, isClosed: false))
    for number in 1...2 {
      // The second ping follows the first pong: the server is known to answer. After that the proxy acknowledges.
      let pings = number == 1 ? 2 : 0
      try await eventually("connection \(number) has audio") {
        call.speakDue()
        guard server.connections.count == number, let connection = server.connections.last else { return false }
        return !connection.audio.isEmpty && connection.pings.count >= pings
      }
      try await proxy.strike(.blackhole)
    }
    try await eventually("the third connection has audio") {
      call.speakDue()
      return server.connections.count == 3 && server.connections.last?.audio.isEmpty == false
    }
    call.hangUp()
    let end = try await engine.end()
    #expect(end.reason == "done: all audio was delivered")
    #expect(end.counters.reconnects == 2 && end.counters.lost == 0)
    let reception = Reception(server.connections, expected: call.expected)
    #expect(reception.isExact && reception.missing == 0)
    let told = engine.lines().filter { $0.contains("the server has not answered for") }
    #expect(told.count == 2, "\(told)")
    for (line, seconds) in zip(told, [1, 2]) {
      #expect(line.contains("has not answered for \(seconds) s; "), "\(line)")
      #expect(line.hasSuffix("On its next connection the server may take \(seconds * 2) s to answer"), "\(line)")
    }
    #expect(engine.lines().count { $0.contains("connected again") } == 2)
    try await proxy.stop()
    await server.stop()
  }

  @Test("An engine that takes over gives a server as much time as the one before would have")
  func silenceAcrossEngines() async throws {
    let directory = try ScratchFolder()
    let server = try await TestServer.start()
    let proxy = try await FaultProxy.start(to: server.port)
    let call = try TestCall(
      in: directory, url: "ws://127.0.0.1:\(proxy.port)/", options: "D(both)R(1)", settings: ["silence=1"])
    /// The connection with this number carries audio.
    func reaches(_ number: Int, pings: Int = 0) async throws {
      try await eventually("connection \(number) has audio") {
        call.speakDue()
        guard server.connections.count == number, let connection = server.connections.last else { return false }
        return !connection.audio.isEmpty && connection.pings.count >= pings
      }
    }
    let first = try await TestEngine(directory)
    first.tell(.fork(id: call.id, isClosed: false))
    try await reaches(1, pings: 2)
    try await proxy.strike(.blackhole)
    try await reaches(2)
    #expect(try await first.stop() == .stopped)
    let second = try await TestEngine(directory)
    second.tell(.fork(id: call.id, isClosed: false))
    try await reaches(3)
    try await proxy.strike(.blackhole)
    try await reaches(4)
    call.hangUp()
    let end = try await second.end()
    #expect(end.reason == "done: all audio was delivered" && end.counters.lost == 0)
    let told = second.lines().filter { $0.contains("the server has not answered for") }
    #expect(told.count == 1 && told.first?.contains("has not answered for 2 s; ") == true, "\(told)")
    try await proxy.stop()
    await server.stop()
  }

  @Test("Pings a second apart hold nothing back where a pong takes most of a second")
  func longPath() async throws {
    let directory = try ScratchFolder()
    let server = try await TestServer.start()
    let proxy = try await FaultProxy.start(to: server.port)
    let engine = try await TestEngine(directory)
    let call = try TestCall(in: directory, url: "ws://127.0.0.1:\(proxy.port)/")
    engine.tell(.fork(id: call.id, isClosed: false))
    try await call.speak(untilMilliseconds: 300)
    try await proxy.strike(.latency(milliseconds: 400, jitter: 0))
    for end: Int64 in stride(from: 1500, through: 4500, by: 250) {
      try await call.speak(untilMilliseconds: end)
      // What is on its way, and half a second for a busy machine.
      let behind = call.framesWritten * TestCall.frameSamples - (server.connections.first?.samples.count ?? 0)
      #expect(behind < 8 * (400 + 500), "after \(end) ms")
    }
    call.hangUp()
    let end = try await engine.end()
    #expect(end.reason == "done: all audio was delivered" && end.counters.confirmation == .pong)
    try await proxy.stop()
    await server.stop()
  }
}
