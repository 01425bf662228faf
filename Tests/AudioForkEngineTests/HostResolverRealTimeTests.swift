// SPDX-License-Identifier: Apache-2.0
import AudioForkEngine
import AudioForkEngineTestKit
import AudioForkLink
import AudioForkTestKit
import AudioForkWireTestKit
import CAudioForkABI
import Glibc
import NIOCore
import NIOHTTP1
import Testing

/// Host names on their way to a connection: faked look-ups below the engine, real sockets above them.
@Suite("Name resolution", .serialized)
struct HostResolverRealTimeTests {
  private static let delivered = "done: all audio was delivered"

  /// A call of half a second that is over already.
  private func finishedCall(
    in directory: ScratchFolder, _ id: String = "af-test-1", to url: String, options: String = "r(0)R(5)"
  ) throws -> TestCall {
    let call = try TestCall(
      in: directory, id: id, url: url, options: "D(both)\(options)", drainSeconds: 30, age: 500 * millisecond)
    call.speak(frames: 25)
    call.hangUp()
    return call
  }

  /// 127.0.0.1, where TestServer listens.
  private func address(_ server: TestServer) throws -> SocketAddress {
    try SocketAddress(ipAddress: "127.0.0.1", port: server.port)
  }

  @Test("Names whose look-up hangs hold up neither the event loop nor another name, and arrive when it is over")
  func hangingNames() async throws {
    let directory = try ScratchFolder()
    let server = try await TestServer.start()
    let names = FakeNames()
    // Both families of each: all threads but two.
    let hanging = (0..<7).map { "hanging-\($0)" }
    for host in hanging {
      names.hold("\(host).test")
      names.answer("\(host).test", with: [try address(server)])
    }
    names.answer("good.test", with: [try address(server)])
    let engine = try await ContextEngine(directory, EngineContext(resolver: names.resolution()))
    var calls: [TestCall] = []
    for host in hanging {
      calls.append(
        try finishedCall(in: directory, host, to: "ws://\(host).test:\(server.port)/", options: "R(20)"))
      engine.tell(.fork(id: host, isClosed: true))
    }
    try await eventually("all of them are looked up") { names.asked.count == 14 }
    let good = try finishedCall(in: directory, "good", to: "ws://good.test:\(server.port)/")
    engine.tell(.fork(id: good.id, isClosed: true))
    #expect(try await engine.finish(good.id).reason == Self.delivered)
    #expect(server.connections.count == 1)
    #expect(server.connections.first?.carries(good.expected) == true)
    #expect(server.connections.first?.head?.headers["Host"] == ["good.test:\(server.port)"])
    #expect(hanging.allSatisfy { engine.ended($0) == nil })
    names.letGo()
    for call in calls { #expect(try await engine.finish(call.id).reason == Self.delivered) }
    #expect(server.connections.count == 8)
    #expect(server.connections.allSatisfy { $0.carries(good.expected) })
    // An event loop that looks up waits for the name server.
    #expect(!names.wasAskedOnLoop)
    #expect(Set(names.asked).count == 16 && names.asked.count == 16, "each name once in each family")
    await server.stop()
  }

  @Test("Nine dead names leave a healthy one to be found within moments")
  func deadZones() async throws {
    let directory = try ScratchFolder()
    let server = try await TestServer.start()
    let names = FakeNames()
    let dead = (0..<9).map { "dead-\($0)" }
    for host in dead { names.hold("\(host).test") }
    for number in 0..<2 { names.answer("good-\(number).test", with: [try address(server)]) }
    let engine = try await ContextEngine(directory, EngineContext(resolver: names.resolution()))
    var calls: [TestCall] = []
    for host in dead {
      calls.append(try finishedCall(in: directory, host, to: "ws://\(host).test:\(server.port)/", options: "r(0)R(30)"))
      engine.tell(.fork(id: host, isClosed: true))
    }
    for number in 0..<2 {
      let asked = af_now_ns()
      let good = try finishedCall(in: directory, "good-\(number)", to: "ws://good-\(number).test:\(server.port)/")
      engine.tell(.fork(id: good.id, isClosed: true))
      #expect(try await engine.finish(good.id).reason == Self.delivered)
      #expect(af_now_ns() - asked < 4000 * millisecond)
    }
    #expect(dead.allSatisfy { engine.ended($0) == nil })
    names.letGo()
    for call in calls { _ = try await engine.finish(call.id) }
    await server.stop()
  }

  @Test("Forks that want the same name at the same time share one look-up, and all of them get its answer")
  func sharedLookUp() async throws {
    let directory = try ScratchFolder()
    let server = try await TestServer.start()
    let names = FakeNames()
    names.hold("shared.test")
    names.answer("shared.test", with: [try address(server)])
    let engine = try await ContextEngine(directory, EngineContext(resolver: names.resolution()))
    let calls = try (0..<20).map {
      try finishedCall(in: directory, "af-\($0)", to: "ws://shared.test:\(server.port)/", options: "r(0)R(20)")
    }
    for call in calls { engine.tell(.fork(id: call.id, isClosed: true)) }
    try await eventually("all attempts have begun") {
      names.asked.count >= 2 && calls.allSatisfy { engine.states($0.id).contains(.connecting) }
    }
    try await Task.sleep(nanoseconds: 300_000_000)
    #expect(names.asked.count == 2)
    names.letGo()
    for call in calls { #expect(try await engine.finish(call.id).reason == Self.delivered) }
    #expect(names.asked("shared.test", AF_INET) == 1)
    #expect(names.asked("shared.test", AF_INET6) == 1)
    #expect(server.connections.count == 20)
    await server.stop()
  }

  @Test("Each attempt looks the name up again: a call follows a name that moves to another server")
  func movingName() async throws {
    let directory = try ScratchFolder()
    let first = try await TestServer.start()
    let names = FakeNames()
    names.answer("moving.test", with: [try address(first)])
    let engine = try await ContextEngine(directory, EngineContext(resolver: names.resolution()))
    let call = try TestCall(in: directory, url: "ws://moving.test:\(first.port)/", options: "D(both)R(1)")
    engine.tell(.fork(id: call.id, isClosed: false))
    try await call.speak(untilMilliseconds: 600)
    try await eventually("connected") { engine.states(call.id).contains(.streaming) }
    #expect(names.asked("moving.test", AF_INET) == 1)
    let second = try await TestServer.start(keeping: first)
    names.answer("moving.test", with: [try address(second)])
    await first.stop()
    try await call.speak(untilMilliseconds: 1600)
    call.hangUp()
    let end = try await engine.finish(call.id)
    #expect(end.reason == Self.delivered)
    #expect(end.counters.reconnects == 1)
    #expect(names.asked("moving.test", AF_INET) == 2)
    #expect(names.asked("moving.test", AF_INET6) == 2)
    let reception = Reception(second.connections, expected: call.expected)
    #expect(second.connections.count == 2)
    #expect(reception.isExact)
    #expect(reception.missing == 0)
    await second.stop()
  }

  @Test("A hanging look-up ends each attempt after R seconds and is not asked twice; its late answer changes nothing")
  func lateAnswer() async throws {
    let directory = try ScratchFolder()
    let server = try await TestServer.start()
    let names = FakeNames()
    names.hold("late.test")
    names.answer("late.test", with: [try address(server)])
    let engine = try await ContextEngine(directory, EngineContext(resolver: names.resolution()))
    let call = try finishedCall(
      in: directory, to: "ws://late.test:\(server.port)/", options: "r(2)R(1)")
    engine.tell(.fork(id: call.id, isClosed: true))
    #expect(
      try await engine.finish(call.id).reason.withoutTime
        == "unreachable: 2 attempts failed, the last one: dns: no answer for 'late.test' within 1 s")
    // Three attempts, and the first one's look-up is still under way.
    #expect(names.asked.count == 2)
    names.letGo()
    try await Task.sleep(nanoseconds: 400_000_000)
    #expect(server.connections.allSatisfy { $0.head == nil }, "nobody wants the address any more")
    #expect(engine.endings(call.id) == 1)
    #expect(directory.names == [])
    // The name is as good as any other now.
    let next = try finishedCall(in: directory, "next", to: "ws://late.test:\(server.port)/")
    engine.tell(.fork(id: next.id, isClosed: true))
    #expect(try await engine.finish(next.id).reason == Self.delivered)
    #expect(names.asked("late.test", AF_INET) == 2)
    #expect(server.connections.last?.carries(next.expected) == true)
    await server.stop()
  }

  @Test("A name without an address is a reason, and the next attempt may find one", arguments: [true, false])
  func noAddress(fails: Bool) async throws {
    let directory = try ScratchFolder()
    let server = try await TestServer.start()
    let names = FakeNames()
    if fails { names.fail("empty.test") }
    names.answer("later.test", with: [], [try address(server)])
    let engine = try await ContextEngine(directory, EngineContext(resolver: names.resolution()))
    let empty = try finishedCall(in: directory, "empty", to: "ws://empty.test:\(server.port)/")
    engine.tell(.fork(id: empty.id, isClosed: true))
    #expect(
      try await engine.finish(empty.id).reason
        == "unreachable: dns: 'empty.test' has no address; no attempts to reconnect are allowed")
    let later = try finishedCall(in: directory, "later", to: "ws://later.test:\(server.port)/", options: "r(1)R(5)")
    engine.tell(.fork(id: later.id, isClosed: true))
    #expect(try await engine.finish(later.id).reason == Self.delivered)
    #expect(names.asked("later.test", AF_INET) == 2)
    #expect(server.connections.count == 1)
    await server.stop()
  }

  @Test("The system's own look-up says which name is not known, and the next URL is tried")
  func unknownName() async throws {
    let directory = try ScratchFolder()
    let server = try await TestServer.start()
    let engine = try await ContextEngine(directory, EngineContext())
    let unknown = try finishedCall(in: directory, "unknown", to: "ws://no-such-host.invalid:\(server.port)/")
    engine.tell(.fork(id: unknown.id, isClosed: true))
    #expect(
      try await engine.finish(unknown.id).reason
        == "unreachable: dns: the host name 'no-such-host.invalid' is not known; no attempts to reconnect are allowed")
    let call = try TestCall(
      in: directory, id: "second", url: "ws://no-such-host.invalid/", furtherURLs: [server.url],
      options: "D(both)r(1)R(5)", age: 500 * millisecond)
    call.speak(frames: 25)
    call.hangUp()
    engine.tell(.fork(id: call.id, isClosed: true))
    #expect(try await engine.finish(call.id).reason == Self.delivered)
    #expect(server.connections.first?.carries(call.expected) == true)
    await server.stop()
  }

  // MARK: - Happy Eyeballs

  @Test("A call to 'localhost' arrives whole at a server that listens on 127.0.0.1 only, in the first attempt")
  func localhost() async throws {
    let directory = try ScratchFolder()
    let server = try await TestServer.start()
    let engine = try await ContextEngine(directory, EngineContext())
    let call = try finishedCall(in: directory, to: "ws://localhost:\(server.port)/test")
    engine.tell(.fork(id: call.id, isClosed: true))
    let end = try await engine.finish(call.id)
    #expect(end.reason == Self.delivered)
    #expect(end.counters.reconnects == 0)
    #expect(server.connections.count == 1)
    #expect(server.connections.first?.carries(call.expected) == true)
    #expect(server.connections.first?.head?.headers["Host"] == ["localhost:\(server.port)"])
    await server.stop()
  }

  @Test("Addresses where nothing listens, of either family, are passed over within one attempt")
  func deadAddresses() async throws {
    let directory = try ScratchFolder()
    let server = try await TestServer.start()
    let names = FakeNames()
    // As on a machine whose 'localhost' is ::1 too, whatever this one's is.
    names.answer("both.test", AF_INET6, with: [try SocketAddress(ipAddress: "::1", port: server.port)])
    names.answer("both.test", with: [try SocketAddress(ipAddress: "127.0.0.1", port: 1), try address(server)])
    let engine = try await ContextEngine(directory, EngineContext(resolver: names.resolution()))
    let call = try finishedCall(in: directory, to: "ws://both.test:\(server.port)/")
    engine.tell(.fork(id: call.id, isClosed: true))
    #expect(try await engine.finish(call.id).reason == Self.delivered)
    #expect(names.asked.count == 2, "one attempt")
    #expect(server.connections.count == 1)
    #expect(server.connections.first?.carries(call.expected) == true)
    await server.stop()
  }

  @Test("A family that gets no answer does not hold up the other one's address")
  func silentFamily() async throws {
    let directory = try ScratchFolder()
    let server = try await TestServer.start()
    let names = FakeNames()
    names.hold("half.test", [AF_INET6])
    names.answer("half.test", with: [try address(server)])
    let engine = try await ContextEngine(directory, EngineContext(resolver: names.resolution()))
    let call = try finishedCall(in: directory, to: "ws://half.test:\(server.port)/")
    engine.tell(.fork(id: call.id, isClosed: true))
    let end = try await engine.finish(call.id)
    #expect(end.reason == Self.delivered)
    #expect(server.connections.first?.carries(call.expected) == true)
    // Late, and of no interest.
    names.answer("half.test", AF_INET6, with: [try SocketAddress(ipAddress: "::1", port: server.port)])
    names.letGo()
    try await Task.sleep(nanoseconds: 200_000_000)
    #expect(server.connections.count == 1)
    #expect(engine.endings(call.id) == 1)
    await server.stop()
  }

  @Test("An IPv6 address where nothing listens does not end the attempt while the IPv4 one is still looked up")
  func slowFamily() async throws {
    let directory = try ScratchFolder()
    let server = try await TestServer.start()
    let names = FakeNames()
    names.answer("slow.test", AF_INET6, with: [try SocketAddress(ipAddress: "::1", port: server.port)])
    names.hold("slow.test", [AF_INET])
    names.answer("slow.test", with: [try address(server)])
    let engine = try await ContextEngine(directory, EngineContext(resolver: names.resolution()))
    let call = try finishedCall(in: directory, to: "ws://slow.test:\(server.port)/", options: "r(0)R(10)")
    engine.tell(.fork(id: call.id, isClosed: true))
    try await eventually("both families are looked up") { names.asked.count == 2 }
    try await Task.sleep(nanoseconds: 500_000_000)
    #expect(engine.ended(call.id) == nil)
    names.letGo()
    #expect(try await engine.finish(call.id).reason == Self.delivered)
    #expect(names.asked.count == 2)
    #expect(server.connections.first?.carries(call.expected) == true)
    await server.stop()
  }
}
