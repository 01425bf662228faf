// SPDX-License-Identifier: Apache-2.0
import AudioForkMedia
import AudioForkEngine
import AudioForkEngineTestKit
import AudioForkFaultKit
import AudioForkLink
import AudioForkTestKit
import NIOHTTP1
import Testing

/// Many forks at once, on two event loops, while connections and engines come and go: for the sanitizers above all
/// (`make tsan`, `make asan`), which see here how the engine's threads meet.
@Suite("Engine under load", .serialized)
struct EngineLoadRealTimeTests {
  private static let raw = 40
  private static let speaking = 6

  @Test("Forty-six forks through resets, a stall and three engines: everything arrives, and the accounts agree")
  func load() async throws {
    let directory = try ScratchFolder()
    let server = try await TestServer.start()
    let proxy = try await FaultProxy.start(to: server.port)
    let stores = (0..<Self.speaking).map { _ in ForkStore() }
    var servers: [TestServer] = []
    for store in stores { servers.append(try await TestServer.start(.fork(store))) }
    let calls = try Self.calls(in: directory, proxy: proxy.port, servers: servers)
    func engine() async throws -> TestEngine {
      let engine = try await TestEngine(directory)
      for call in calls { engine.tell(.fork(id: call.id, isClosed: false)) }
      engine.tell(.tableEnd)
      return engine
    }
    func speak(until end: Int64) async throws {
      for moment in stride(from: Int64(calls[0].framesWritten) * 20 + 20, through: end, by: 20) {
        for call in calls { try await call.speak(untilMilliseconds: moment) }
      }
    }

    var current = try await engine()
    try await speak(until: 1000)
    try await proxy.strike(.reset)
    try await speak(until: 1600)
    #expect(try await current.stop() == .stopped)
    current = try await engine()
    try await speak(until: 2200)
    server.dropConnections()
    for own in servers { own.dropConnections() }
    try await speak(until: 2800)
    try await proxy.strike(.stall)
    try await speak(until: 3400)
    try await proxy.strike(.none)
    #expect(try await current.stop() == .stopped)
    current = try await engine()
    try await speak(until: 4000)
    for call in calls { call.hangUp() }

    for call in calls {
      let end = try await current.end(of: call.id, within: 150)
      #expect(end.reason == "done: all audio was delivered", "\(call.id)")
      #expect(end.counters.lost == 0)
    }
    expectArrived(calls, server.connections, stores)
    #expect(directory.names == [])
    try await proxy.stop()
    await server.stop()
    for own in servers { await own.stop() }
  }

  /// Calls through the proxy to a plain server, and behind them one to each of `servers`.
  private static func calls(in directory: ScratchFolder, proxy: Int, servers: [TestServer]) throws -> [TestCall] {
    // One direction, without fill: a sanitizer makes the callers late, and what the clock decides for them meanwhile
    // (fill, and one direction without the other) would be in the way.
    let options = "D(in)nR(1)r(1000)"
    let plain = try (0..<raw).map { number in
      try TestCall(
        in: directory, id: "af-raw-\(number)", url: "ws://127.0.0.1:\(proxy)/\(number)", options: options,
        directions: .in, drainSeconds: 120)
    }
    let others = try servers.enumerated().map { number, server in
      try TestCall(
        in: directory, id: "af-v1-\(number)", url: server.url, options: options + "w(audiofork)", directions: .in,
        drainSeconds: 120)
    }
    return plain + others
  }

  /// Plain servers may have got audio again, the others everything once.
  private func expectArrived(_ calls: [TestCall], _ connections: [TestServer.Connection], _ stores: [ForkStore]) {
    for (number, call) in calls.prefix(Self.raw).enumerated() {
      let reception = Reception(connections.filter { $0.head?.uri == "/\(number)" }, expected: call.expected)
      #expect(reception.isExact && reception.missing == 0, "\(call.id): \(reception)")
    }
    for (store, call) in zip(stores, calls.dropFirst(Self.raw)) {
      #expect(store.now.samples == call.expected, "\(call.id)")
      #expect(store.now.duplicates == 0)
    }
  }
}
