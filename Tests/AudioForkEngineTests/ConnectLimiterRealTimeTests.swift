// SPDX-License-Identifier: Apache-2.0
import AudioForkEngine
import AudioForkEngineTestKit
import AudioForkLink
import AudioForkTestKit
import AudioForkWebSocket
import AudioForkWireTestKit
import CAudioForkABI
import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization
import Testing

/// TLS that takes so long and encrypts nothing: handshakes that a test can count.
private final class FakeTLS: TLSProvider, PreparedTLS {
  struct State: Sendable {
    var begun = 0
    /// Handshakes under way, now and at most.
    var underWay = 0
    var most = 0
  }

  private final class Handshake: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    private let tls: FakeTLS
    private var isOver = false

    init(_ tls: FakeTLS) { self.tls = tls }

    func handlerAdded(context: ChannelHandlerContext) {
      tls.state.withLock { state in
        state.begun += 1
        state.underWay += 1
        state.most = max(state.most, state.underWay)
      }
      guard let duration = tls.duration else { return }
      context.eventLoop.assumeIsolated().scheduleTask(in: duration) {
        guard !self.isOver else { return }
        self.end()
        context.fireUserInboundEventTriggered(TLSEstablished())
      }
    }

    func handlerRemoved(context: ChannelHandlerContext) { end() }

    private func end() {
      guard !isOver else { return }
      isOver = true
      tls.state.withLock { $0.underWay -= 1 }
    }
  }

  private let state = Mutex(State())
  /// Nil: never over.
  private let duration: TimeAmount?

  init(_ duration: TimeAmount?) { self.duration = duration }

  var now: State { state.withLock { $0 } }

  func prepare(_ settings: TLSSettings, on loop: any EventLoop) -> EventLoopFuture<any PreparedTLS> {
    loop.makeSucceededFuture(self)
  }

  func makeHandlers(host: String, isAddress: Bool) throws(ConnectionFailure) -> [any ChannelHandler] {
    [Handshake(self)]
  }
}

/// How many attempts to one host connect together, through the engine: forks that wait for each other.
@Suite("Connect limiter", .serialized)
struct ConnectLimiterRealTimeTests {
  /// As long as something that must not happen is waited for.
  private static let moment: UInt64 = 300_000_000

  private func context(
    _ attemptsMax: Int, _ tls: FakeTLS? = nil, placeMax: TimeAmount = .seconds(60)
  ) -> EngineContext {
    EngineContext(tls: tls, limiter: ConnectLimiter(attemptsMax: attemptsMax, placeMax: placeMax))
  }

  /// Begins forks of calls that go on.
  private func begin(
    _ engine: ContextEngine, in directory: ScratchFolder, _ ids: [String], to url: String, options: String
  ) throws -> [TestCall] {
    try ids.map { id in
      let call = try TestCall(in: directory, id: id, url: url, options: "D(both)\(options)")
      engine.tell(.fork(id: id, isClosed: false))
      return call
    }
  }

  private func secure(_ server: TestServer) -> String { "wss://127.0.0.1:\(server.port)/" }

  @Test("No more TLS handshakes than allowed are under way, on however many loops, and every fork has its turn")
  func limit() async throws {
    let directory = try ScratchFolder()
    let server = try await TestServer.start(.answer("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"))
    let tls = FakeTLS(.milliseconds(100))
    let engine = try await ContextEngine(
      directory, context(3, tls), loops: Array(MultiThreadedEventLoopGroup.singleton.makeIterator().prefix(2)))
    let ids = (10..<30).map { "af-\($0)" }
    let calls = try begin(engine, in: directory, ids, to: secure(server), options: "r(0)R(10)")
    for call in calls {
      #expect(
        try await engine.finish(call.id).reason
          == "unreachable: http: 503 Service Unavailable; no attempts to reconnect are allowed")
    }
    #expect(tls.now.most == 3, "all places are used, and no others")
    #expect(tls.now.underWay == 0)
    #expect(tls.now.begun == ids.count)
    await server.stop()
  }

  @Test("Those who wait begin in the order in which they asked, and an open connection takes no place")
  func firstComeFirstServed() async throws {
    let directory = try ScratchFolder()
    let server = try await TestServer.start()
    let engine = try await ContextEngine(directory, context(1, FakeTLS(.milliseconds(20))))
    let ids = ["f", "b", "e", "a", "d", "c", "g", "h"]
    let calls = try begin(engine, in: directory, ids, to: secure(server), options: "r(0)R(5)")
    try await eventually("all stream at the same time") {
      calls.allSatisfy { engine.states($0.id).last == .streaming }
    }
    #expect(server.connections.compactMap { $0.head?.headers.first(name: "AudioFork-ID") } == ids)
    #expect(ids.allSatisfy { engine.ended($0) == nil })
    #expect(server.connections.count == ids.count)
    for call in calls { engine.tell(.forget(id: call.id)) }
    for call in calls { #expect(try await engine.finish(call.id).reason.hasPrefix("forgotten:")) }
    await server.stop()
  }

  @Test("A path that never answers holds up no fork to another path of the same host, however many ask for it")
  func silentPath() async throws {
    let directory = try ScratchFolder()
    let server = try await PathServer.start(silent: "/bad")
    let engine = try await ContextEngine(directory, EngineContext())
    let bad = try begin(
      engine, in: directory, (0..<200).map { "bad-\($0)" }, to: "ws://127.0.0.1:\(server.port)/bad",
      options: "r(0)R(30)")
    let began = af_now_ns()
    let good = try begin(
      engine, in: directory, ["good"], to: "ws://127.0.0.1:\(server.port)/good", options: "r(0)R(30)")
    try await eventually("it streams") { engine.states("good").last == .streaming }
    #expect(af_now_ns() - began < 3000 * millisecond)
    #expect(bad.allSatisfy { engine.ended($0.id) == nil && engine.states($0.id).last == .connecting })
    for call in bad + good { engine.tell(.forget(id: call.id)) }
    for call in bad + good { #expect(try await engine.finish(call.id).reason.hasPrefix("forgotten:")) }
    await server.stop()
  }

  @Test(
    """
    A host that does not finish its handshake holds up no other one, and its next attempt begins when the first is \
    over
    """
  )
  func hosts() async throws {
    let directory = try ScratchFolder()
    let silent = try await TestServer.start(.silent)
    let server = try await TestServer.start()
    let tls = FakeTLS(nil)
    let engine = try await ContextEngine(directory, context(1, tls))
    let waiting = try begin(engine, in: directory, ["one", "two"], to: secure(silent), options: "r(0)R(4)")
    try await eventually("the first has begun") { tls.now.begun == 1 }
    let other = try TestCall(in: directory, id: "other", url: server.url, age: 400 * millisecond)
    other.speak(frames: 20)
    other.hangUp()
    engine.tell(.fork(id: other.id, isClosed: true))
    #expect(try await engine.finish(other.id).reason == "done: all audio was delivered")
    #expect(server.connections.first?.carries(other.expected) == true)
    #expect(tls.now.begun == 1)
    #expect(engine.ended("one") == nil)
    // The second one's time limit begins with its attempt: else it would be over together with the first one's.
    try await eventually("the second has its turn") { tls.now.begun == 2 }
    #expect(engine.ended("two") == nil)
    for call in waiting {
      #expect(
        try await engine.finish(call.id).reason.hasPrefix("unreachable: tls: no answer to the handshake within 4 s"))
    }
    await silent.stop()
    await server.stop()
  }

  @Test("An attempt that gets no answer gives its place up after a while, and goes on")
  func placeMax() async throws {
    let directory = try ScratchFolder()
    let silent = try await TestServer.start(.silent)
    let tls = FakeTLS(nil)
    let engine = try await ContextEngine(directory, context(1, tls, placeMax: .milliseconds(200)))
    let calls = try begin(engine, in: directory, (0..<5).map { "af-\($0)" }, to: secure(silent), options: "r(0)R(30)")
    try await eventually("all of them are under way") { tls.now.underWay == 5 }
    #expect(calls.allSatisfy { engine.ended($0.id) == nil })
    for call in calls { engine.tell(.forget(id: call.id)) }
    for call in calls { #expect(try await engine.finish(call.id).reason.hasPrefix("forgotten:")) }
    await silent.stop()
  }

  @Test("A fork that goes while it waits frees nothing and is passed over; one that goes under way frees one place")
  func forgotten() async throws {
    let directory = try ScratchFolder()
    let silent = try await TestServer.start(.silent)
    let tls = FakeTLS(nil)
    let engine = try await ContextEngine(directory, context(1, tls))
    let calls = try begin(engine, in: directory, ["a", "b", "c", "d", "e"], to: secure(silent), options: "r(0)R(30)")
    try await eventually("the first has begun") { tls.now.begun == 1 }
    engine.tell(.forget(id: "b"))
    #expect(try await engine.finish("b").reason.hasPrefix("forgotten:"))
    try await Task.sleep(nanoseconds: Self.moment)
    #expect(tls.now.begun == 1)
    for (number, id) in ["a", "c"].enumerated() {
      engine.tell(.forget(id: id))
      try await eventually("the place is free") { tls.now.begun == number + 2 }
      try await Task.sleep(nanoseconds: Self.moment)
      #expect(tls.now.begun == number + 2)
    }
    engine.tell(.forget(id: "e"))
    engine.tell(.forget(id: "d"))
    for call in calls { #expect(try await engine.finish(call.id).reason.hasPrefix("forgotten:")) }
    // Nobody is left: the next one begins at once.
    let last = try begin(engine, in: directory, ["f"], to: secure(silent), options: "r(0)R(30)")
    try await eventually("it is let in") { tls.now.begun == 4 }
    engine.tell(.forget(id: "f"))
    for call in last { #expect(try await engine.finish(call.id).reason.hasPrefix("forgotten:")) }
    #expect(tls.now.begun == 4)
    #expect(directory.names == [])
    await silent.stop()
  }
}

/// A server that upgrades connections but for those to one path, which it leaves without an answer.
private struct PathServer {
  private final class Handler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    private let silent: String
    private var text = ""
    private var isOpen = false

    init(_ silent: String) { self.silent = silent }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      guard !isOpen else { return }
      text += String(buffer: Self.unwrapInboundIn(data))
      guard text.hasSuffix("\r\n\r\n"), !text.hasPrefix("GET \(silent)") else { return }
      isOpen = true
      let name = "Sec-WebSocket-Key: "
      let key = text.split(separator: "\r\n").first { $0.hasPrefix(name) }?.dropFirst(name.count) ?? ""
      let answer =
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        + "Sec-WebSocket-Accept: \(acceptValue(String(key)))\r\n\r\n"
      context.channel.writeAndFlush(ByteBuffer(string: answer), promise: nil)
    }
  }

  private let listener: any Channel
  var port: Int { listener.localAddress?.port ?? 0 }

  static func start(silent: String) async throws -> PathServer {
    let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(Handler(silent)) }
      }
      .bind(host: "127.0.0.1", port: 0).get()
    return PathServer(listener: listener)
  }

  func stop() async { try? await listener.close().get() }
}
