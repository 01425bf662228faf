// SPDX-License-Identifier: Apache-2.0
import AudioForkMedia
import AudioForkEngine
import AudioForkEngineTestKit
import AudioForkLink
import AudioForkTestKit
import AudioForkWireTestKit
import Foundation
import NIOCore
import Testing

/// Outages longer than the buffer, with a spool, over real sockets.
@Suite("The spool over loopback", .serialized)
struct SpoolRealTimeTests {
  private let directory: ScratchFolder
  private let folder: ScratchFolder

  init() throws {
    directory = try ScratchFolder()
    folder = try ScratchFolder()
  }

  /// A port where nobody listens, until a server is started there.
  private func freePort() async throws -> Int {
    let server = try await TestServer.start()
    await server.stop()
    return server.port
  }

  private func call(
    _ port: Int, id: String = "af-test-1", options: String = "D(both)w(audiofork)R(1)", more: [String] = [],
    spools: Bool = true,
    phase: Int64 = 0
  ) throws -> TestCall {
    try TestCall(
      in: directory, id: id, url: "ws://127.0.0.1:\(port)/", options: options,
      settings: ["buffer=1"] + (spools ? ["spool=\(folder.path)"] : []) + more, drainSeconds: 30, phase: phase,
      bufferSeconds: 1)
  }

  @Test(
    "Eight seconds without a server, a buffer of one: nothing is lost, nothing twice, and the file is gone",
    arguments: ["no", "yes"])
  func longOutage(isSynced: String) async throws {
    let port = try await freePort()
    let engine = try await TestEngine(directory)
    let call = try call(port, more: ["spool_sync=\(isSynced)"])
    engine.tell(.fork(id: call.id, isClosed: false))
    try await call.speak(untilMilliseconds: 8000)
    #expect(folder.names == ["af-test-1.spool"])
    #expect(engine.lines().filter { $0.contains("audio is lost") } == [])
    let store = ForkStore()
    let server = try await TestServer.start(port: port, .fork(store))
    try await call.speak(untilMilliseconds: 11_000)
    try await eventually("all is confirmed, and the spool emptied") {
      (engine.reports(call.id).last?.counters.lagMilliseconds ?? .max) < 100
    }
    call.hangUp()
    let end = try await engine.end()
    #expect(end.reason == "done: all audio was delivered")
    #expect(end.counters.lost == 0 && end.counters.gaps == 0)
    #expect(store.now.samples == call.expected)
    #expect(store.now.duplicates == 0 && store.now.holes == 0)
    try await eventually("the file is gone") { folder.names.isEmpty }
    await server.stop()
  }

  @Test(
    "A server that leaves in mid-call misses nothing either, wherever frames lie between the stream's blocks",
    arguments: [0, 7, 13])
  func leavesInMidCall(phase: Int64) async throws {
    let store = ForkStore()
    let first = try await TestServer.start(.fork(store))
    let engine = try await TestEngine(directory)
    let call = try call(first.port, phase: phase * millisecond)
    engine.tell(.fork(id: call.id, isClosed: false))
    try await call.speak(untilMilliseconds: 1500)
    await first.stop()
    try await call.speak(untilMilliseconds: 5500)
    let second = try await TestServer.start(port: first.port, .fork(store))
    try await call.speak(untilMilliseconds: 6500)
    call.hangUp()
    let end = try await engine.end()
    #expect(end.reason == "done: all audio was delivered")
    #expect(end.counters.lost == 0 && end.counters.gaps == 0)
    #expect(store.now.samples.dropFirst(Int(phase) * 8).prefix(call.expected.count).elementsEqual(call.expected))
    #expect(store.now.duplicates == 0 && store.now.holes == 0)
    await second.stop()
  }

  @Test("Silence is no outage: what is said after it touches no disk")
  func silence() async throws {
    let server = try await TestServer.start()
    let engine = try await TestEngine(directory)
    let call = try call(server.port, options: "D(both)nR(1)")
    engine.tell(.fork(id: call.id, isClosed: false))
    try await call.speak(untilMilliseconds: 500)
    // Twice what makes a fork spool; the frames that follow are as late as their silence was long.
    try await Task.sleep(nanoseconds: 1_000_000_000)
    call.pause(milliseconds: 1000)
    var touched: Set<String> = []
    for moment in stride(from: 1500 as Int64, through: 2000, by: 20) {
      try await call.speak(untilMilliseconds: moment)
      touched.formUnion(folder.names)
    }
    call.hangUp()
    _ = try await engine.end()
    #expect(touched == [])
    await server.stop()
  }

  @Test("Without a spool the same outage loses audio, and says so while it does")
  func withoutSpool() async throws {
    let port = try await freePort()
    let engine = try await TestEngine(directory)
    let call = try call(port, options: "D(both)w(audiofork)R(1)r(1000)", spools: false)
    engine.tell(.fork(id: call.id, isClosed: false))
    try await call.speak(untilMilliseconds: 5500)
    #expect(engine.lines().filter { $0.contains("the buffer is full: from now on audio is lost") }.count == 1)
    let server = try await TestServer.start(port: port, .fork(ForkStore()))
    try await eventually("it is connected") { engine.states(call.id).last == .streaming }
    call.hangUp()
    let end = try await engine.end()
    #expect(end.counters.lost > 2 * 2 * 8000)
    await server.stop()
  }

  @Test("An engine that goes on where another one stopped finds its spool")
  func engineRestart() async throws {
    let port = try await freePort()
    let call = try call(port)
    for end: Int64 in [4000, 8000] {
      let engine = try await TestEngine(directory)
      engine.tell(.fork(id: call.id, isClosed: false))
      try await call.speak(untilMilliseconds: end)
      _ = try await engine.stop()
    }
    #expect(folder.names == ["af-test-1.spool"])
    let store = ForkStore()
    let server = try await TestServer.start(port: port, .fork(store))
    let engine = try await TestEngine(directory)
    engine.tell(.fork(id: call.id, isClosed: false))
    try await call.speak(untilMilliseconds: 9000)
    call.hangUp()
    let end = try await engine.end()
    #expect(end.counters.lost == 0)
    #expect(store.now.samples == call.expected)
    #expect(store.now.duplicates == 0)
    try await eventually("the file is gone") { folder.names.isEmpty }
    await server.stop()
  }

  @Test("A server that goes away again while it is sent the spool gets the rest later, with raw too")
  func breaks() async throws {
    let port = try await freePort()
    let engine = try await TestEngine(directory)
    let call = try call(port, options: "D(both)R(1)")
    engine.tell(.fork(id: call.id, isClosed: false))
    try await call.speak(untilMilliseconds: 7000)
    let first = try await TestServer.start(port: port)
    try await eventually("some of it has come") { (first.connections.first?.audio.count ?? 0) > 16_000 }
    await first.stop()
    try await call.speak(untilMilliseconds: 10_000)
    let second = try await TestServer.start(port: port, keeping: first)
    call.hangUp()
    let end = try await engine.end()
    #expect(end.counters.lost == 0)
    let reception = Reception(second.connections, expected: call.expected)
    #expect(reception.isExact && reception.missing == 0, "\(reception)")
    await second.stop()
  }

  @Test("A folder that is not there: one line, and the fork does without")
  func noFolder() async throws {
    let port = try await freePort()
    let engine = try await TestEngine(directory)
    let call = try TestCall(
      in: directory, url: "ws://127.0.0.1:\(port)/", options: "D(both)w(audiofork)R(1)",
      settings: ["buffer=1", "spool=\(folder.path)/nowhere"], drainSeconds: 10, bufferSeconds: 1)
    engine.tell(.fork(id: call.id, isClosed: false))
    try await call.speak(untilMilliseconds: 4000)
    #expect(engine.lines().filter { $0.contains("is missing: create it, or give another one as spool") }.count == 1)
    let server = try await TestServer.start(port: port, .fork(ForkStore()))
    call.hangUp()
    let end = try await engine.end()
    #expect(end.counters.lost > 0)
    await server.stop()
  }

  @Test("Beyond spool_limit the stream that began first loses what it has, the other one nothing")
  func limit() async throws {
    let ports = [try await freePort(), try await freePort()]
    let engine = try await TestEngine(directory)
    // Two directions of a minute take 2.3 MB: in 40 s one fork needs more than the limit by itself.
    let calls = try ports.enumerated().map { index, port in
      try TestCall(
        in: directory, id: "af-test-\(index + 1)", url: "ws://127.0.0.1:\(port)/", options: "D(both)w(audiofork)R(1)",
        settings: ["buffer=1", "spool=\(folder.path)", "spool_limit=1"], drainSeconds: 30, bufferSeconds: 30)
    }
    engine.tell(.fork(id: calls[0].id, isClosed: false))
    // Faster than real time, and slower than the disk.
    for _ in 0..<110 {
      calls[0].speak(frames: 10)
      try await Task.sleep(nanoseconds: 10_000_000)
    }
    engine.tell(.fork(id: calls[1].id, isClosed: false))
    for _ in 0..<110 {
      calls[1].speak(frames: 10)
      try await Task.sleep(nanoseconds: 10_000_000)
    }
    try await eventually("the first one's is gone") {
      engine.lines().contains { $0.contains("af-test-1") && $0.contains("the oldest stream goes first") }
    }
    #expect(!engine.lines().contains { $0.contains("af-test-2") && $0.contains("spool_limit") })
    _ = try await engine.stop()
  }

  @Test("What another stream had emptied is in the spool again as far as the buffer has it, and is delivered")
  func copiedAgain() async throws {
    let ports = [try await freePort(), try await freePort()]
    let engine = try await TestEngine(directory)
    // As above: 6 s of the first one take 0.2 MB, 22 s of the other one 0.8.
    let calls = try ports.enumerated().map { index, port in
      try TestCall(
        in: directory, id: "af-test-\(index + 1)", url: "ws://127.0.0.1:\(port)/", options: "D(both)w(audiofork)R(1)",
        settings: ["buffer=1", "spool=\(folder.path)", "spool_limit=1"], drainSeconds: 30,
        bufferSeconds: index == 0 ? 10 : 30)
    }
    func speak(_ call: TestCall, seconds: Int) async throws {
      for _ in 0..<(5 * seconds) {
        call.speak(frames: 10)
        try await Task.sleep(nanoseconds: 10_000_000)
      }
    }
    engine.tell(.fork(id: calls[0].id, isClosed: false))
    try await speak(calls[0], seconds: 6)
    engine.tell(.fork(id: calls[1].id, isClosed: false))
    try await eventually("the first one's is gone") {
      calls[1].speak(frames: 5)
      return engine.lines().contains { $0.contains("af-test-1") && $0.contains("the oldest stream goes first") }
    }
    engine.tell(.forget(id: calls[1].id))
    try await eventually("it is there again") {
      ((try? FileManager.default.attributesOfItem(atPath: "\(folder.path)/af-test-1.spool")[.size]) as? Int ?? 0)
        > 200_000
    }
    // Now the buffer has nothing of it any more.
    try await speak(calls[0], seconds: 12)
    let store = ForkStore()
    let server = try await TestServer.start(port: ports[0], .fork(store))
    calls[0].hangUp()
    let end = try await engine.end(of: calls[0].id)
    #expect(end.reason == "done: all audio was delivered")
    #expect(end.counters.lost == 0 && end.counters.gaps == 0)
    #expect(store.now.samples == calls[0].expected && store.now.duplicates == 0)
    await server.stop()
  }
}
