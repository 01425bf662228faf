// SPDX-License-Identifier: Apache-2.0
import AudioForkMedia
import AudioForkEngine
import AudioForkEngineTestKit
import AudioForkLink
import AudioForkTLS
import AudioForkTestKit
import AudioForkWireTestKit
import NIOConcurrencyHelpers
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import Testing

/// wss:// over real sockets: what arrives where connections and servers fail.
@Suite("Delivery over TLS", .serialized)
struct TLSDeliveryRealTimeTests {
  private let scene: TLSScene

  init() throws { scene = try TLSScene() }

  @Test("Fault 9: a server without TLS behind wss:// is found out in time, whether it answers or not")
  func plainServer() async throws {
    for (behavior, reason) in [
      (TestServer.Behavior.silent, "tls: no answer to the handshake within 1 s"),
      (.answer("HTTP/1.1 400 Bad Request\r\n\r\n"), "tls: what the server answered is not TLS"),
      (.record, "tls: "),
    ] {
      let server = try await TestServer.start(behavior)
      let end = try await scene.deliver(to: server.secureURL, options: "r(1)R(1)", settings: [scene.trusting])
      #expect(
        end.reason.withoutTime.hasPrefix("unreachable: 1 attempt failed, the last one: \(reason)"), "\(end.reason)")
      #expect(end.reason.contains("ws://"), "\(end.reason)")
      #expect(server.connections.allSatisfy { $0.head == nil })
      await server.stop()
    }
  }

  @Test("Fault 1: twenty drops in a row over TLS lose nothing and repeat little")
  func twentyDrops() async throws {
    let good = try scene.certificates.issued("good")
    let server = try await TestServer.start(security: try scene.security(good))
    let directory = try ScratchFolder()
    let engine = try await TestEngine(directory, tls: TLSClientProvider())
    let call = try TestCall(
      in: directory, url: server.secureURL, options: "D(both)R(1)r(1000)", settings: [scene.trusting], bufferSeconds: 30
    )
    engine.tell(.fork(id: call.id, isClosed: false))
    let speaking = Task { [call = UncheckedCall(call)] in try await call.value.speak(untilMilliseconds: 60_000) }
    for drop in 1...20 {
      try await eventually("connection \(drop) brings audio") {
        server.connections.count >= drop && server.connections.last?.audio.isEmpty == false
      }
      try await Task.sleep(nanoseconds: UInt64.random(in: 50...400) * 1_000_000)
      server.dropConnections()
      try await eventually("connection \(drop) is over") { server.connections[drop - 1].isOver }
    }
    try await eventually("the last connection") { server.connections.last?.isOver == false }
    speaking.cancel()
    _ = await speaking.result
    call.hangUp()
    let end = try await engine.end(within: 20)
    #expect(end.reason == "done: all audio was delivered")
    #expect(end.counters.reconnects == 20)
    let reception = Reception(server.connections, expected: call.expected)
    #expect(reception.isExact)
    #expect(reception.missing == 0)
    await server.stop()
  }

  @Test("Fault 1: a server over TLS that is killed and comes back misses nothing, and gets little again")
  func killedServer() async throws {
    let good = try scene.certificates.issued("good")
    var server = try await TestServer.start(security: try scene.security(good))
    let directory = try ScratchFolder()
    let engine = try await TestEngine(directory, tls: TLSClientProvider())
    let call = try TestCall(
      in: directory, url: server.secureURL, options: "D(both)R(1)", settings: [scene.trusting], bufferSeconds: 30)
    engine.tell(.fork(id: call.id, isClosed: false))
    for kill in 1...2 {
      try await call.speak(untilMilliseconds: Int64(kill) * 1500)
      server.dropConnections()
      await server.stop()
      try await call.speak(untilMilliseconds: Int64(kill) * 1500 + 300)
      server = try await TestServer.start(port: server.port, keeping: server, security: try scene.security(good))
    }
    try await call.speak(untilMilliseconds: 4000)
    call.hangUp()
    let end = try await engine.end()
    #expect(end.reason == "done: all audio was delivered")
    #expect(end.counters.reconnects == 2)
    #expect(end.counters.lost == 0)
    let reception = Reception(server.connections, expected: call.expected)
    #expect(reception.isExact)
    #expect(reception.missing == 0)
    #expect(reception.repeats.count == 2)
    #expect(reception.repeats.allSatisfy { $0 <= 12_000 }, "\(reception.repeats)")
    await server.stop()
  }

  @Test("A server over TLS that stalls and reads on gets everything once and in order")
  func stalls() async throws {
    let directory = try ScratchFolder()
    let identity = try scene.certificates.issued("server")
    let server = try await TestServer.start(.stall, receiveBufferBytes: 4096, security: try scene.security(identity))
    let engine = try await TestEngine(directory, tls: TLSClientProvider())
    // More waits already than fits into the sockets; it is sent when it has shown that this server does not pong.
    let call = try TestCall(
      in: directory, url: server.secureURL, settings: [scene.trusting], drainSeconds: 10, age: 24_000 * millisecond,
      bufferSeconds: 40)
    call.speak(frames: 1200)
    engine.tell(.fork(id: call.id, isClosed: false))
    try await eventually("it is connected") { server.connections.first?.head != nil }
    try await call.speak(untilMilliseconds: 26_500)
    let sent = engine.reports(call.id).last?.counters.position ?? 0
    #expect((40_000..<180_000).contains(sent), "\(sent) sample frames fitted into the sockets")
    server.resume()
    try await call.speak(untilMilliseconds: 27_500)
    call.hangUp()
    let end = try await engine.end()
    #expect(end.reason == "done: all audio was delivered")
    #expect(server.connections.count == 1 && server.connections.first?.carries(call.expected) == true)
    #expect(server.connections.first?.errors == [])
    await server.stop()
  }

  @Test("An end without close_notify is an end like TCP's, and our own ends have one")
  func closeNotify() async throws {
    let good = try scene.certificates.issued("good")
    let rude = try await TestServer.start(.dropOnClose, security: try scene.security(good))
    let end = try await scene.deliver(to: rude.secureURL, settings: [scene.trusting])
    #expect(end.reason == "done: all audio was delivered")
    #expect(end.lines == [])
    #expect(rude.connections.last?.carries(end.expected) == true)
    await rude.stop()

    let server = try await TestServer.start(security: try scene.security(good))
    let directory = try ScratchFolder()
    let engine = try await TestEngine(directory, tls: TLSClientProvider())
    let call = try TestCall(in: directory, url: server.secureURL, settings: [scene.trusting])
    engine.tell(.fork(id: call.id, isClosed: false))
    try await call.speak(untilMilliseconds: 300)
    server.dropConnections()
    try await call.speak(untilMilliseconds: 900)
    // The reason for the break is the one that a connection without TLS gives.
    #expect(engine.lines().first?.contains("connection: closed by the server without a Close frame") == true)
    #expect(try await engine.stop() == .stopped)
    try await eventually("all is over") { server.connections.allSatisfy(\.isOver) }
    #expect(server.connections.count == 2)
    #expect(server.connections.last?.closeCode == 1001)
    #expect(server.connections.last?.errors == [])
    await server.stop()
  }

  @Test("Many forks over TLS at once all arrive whole")
  func manyForks() async throws {
    let server = try await TestServer.start(security: try scene.security(try scene.certificates.issued("good")))
    let directory = try ScratchFolder()
    let engine = try await TestEngine(directory, tls: TLSClientProvider())
    let calls = try (0..<30).map {
      try TestCall(
        in: directory, id: "af-\($0)", url: server.secureURL, settings: [scene.trusting], age: 1000 * millisecond,
        bufferSeconds: 2)
    }
    for call in calls {
      call.speak(frames: 50)
      call.hangUp()
      engine.tell(.fork(id: call.id, isClosed: false))
    }
    for call in calls { #expect(try await engine.end(of: call.id, within: 30).reason.hasPrefix("done:")) }
    let expected = TestCall.expected(frames: 50)
    #expect(server.connections.filter { $0.carries(expected) && $0.closeCode == 1000 }.count == 30)
    #expect(directory.names == [])
    await server.stop()
  }
}

/// A call that another task speaks, while this one only waits for it.
private struct UncheckedCall: @unchecked Sendable {
  let value: TestCall
  init(_ value: TestCall) { self.value = value }
}
