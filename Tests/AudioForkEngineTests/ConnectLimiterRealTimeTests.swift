// SPDX-License-Identifier: Apache-2.0
import AudioForkEngine
import AudioForkEngineTestKit
import AudioForkTestKit
import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization
import Testing

/// The upgrade requests that a server got.
private final class RequestLog: Sendable {
  struct State: Sendable {
    /// The forks that asked, in this order.
    var ids: [String] = []
    /// Requests without an answer, now and at most.
    var underWay = 0
    var most = 0
  }

  private let state = Mutex(State())

  var now: State { state.withLock { $0 } }
  var ids: [String] { now.ids }

  func came(_ id: String) {
    state.withLock { state in
      state.ids.append(id)
      state.underWay += 1
      state.most = max(state.most, state.underWay)
    }
  }

  func answered() { state.withLock { $0.underWay -= 1 } }
}

/// Answers an upgrade request after a while, and not with a connection; or never.
private final class RefusingHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer
  private let log: RequestLog
  private let delay: TimeAmount?
  private var text = ""

  init(_ log: RequestLog, _ delay: TimeAmount?) {
    self.log = log
    self.delay = delay
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let isWhole = text.hasSuffix("\r\n\r\n")
    text += String(buffer: Self.unwrapInboundIn(data))
    guard !isWhole, text.hasSuffix("\r\n\r\n") else { return }
    let name = "AudioFork-ID: "
    let line = text.split(separator: "\r\n").first { $0.hasPrefix(name) }
    log.came(line.map { String($0.dropFirst(name.count)) } ?? "?")
    guard let delay else { return }
    let channel = context.channel
    context.eventLoop.scheduleTask(in: delay) { [log] in
      // Before the client can know of it: whom that lets in comes later.
      log.answered()
      let answer = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
      channel.writeAndFlush(ByteBuffer(string: answer), promise: nil)
    }
  }
}

/// A server that refuses each fork after a while, or leaves it without an answer.
private struct RefusingServer {
  let log = RequestLog()
  private let listener: any Channel
  var url: String { "ws://127.0.0.1:\(listener.localAddress?.port ?? 0)/" }

  /// `delay`: nil for a server that never answers.
  init(after delay: TimeAmount?) async throws {
    let requests = log
    listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(RefusingHandler(requests, delay))
        }
      }
      .bind(host: "127.0.0.1", port: 0).get()
  }

  func stop() async { try? await listener.close().get() }
}

/// How many attempts to one host are under way together, through the engine: forks that wait for each other.
@Suite("Admission of attempts", .serialized)
struct AttemptAdmissionRealTimeTests {
  /// As long as something that must not happen is waited for.
  private static let moment: UInt64 = 300_000_000

  private func surroundings(_ attemptsMax: Int) -> EngineSurroundings {
    EngineSurroundings(admission: AttemptAdmission(attemptsMax: attemptsMax))
  }

  /// Begins forks of calls that go on.
  private func begin(
    _ engine: SurroundedEngine, in directory: ScratchFolder, _ ids: [String], to url: String, options: String
  ) throws -> [TestCall] {
    try ids.map { id in
      let call = try TestCall(in: directory, id: id, url: url, options: "D(both)\(options)")
      engine.tell(.fork(id: id, isClosed: false))
      return call
    }
  }

  @Test("No more handshakes than allowed are under way, on however many loops, and every fork has its turn")
  func limit() async throws {
    let directory = try ScratchFolder()
    let server = try await RefusingServer(after: .milliseconds(100))
    let engine = try await SurroundedEngine(
      directory, surroundings(3), loops: Array(MultiThreadedEventLoopGroup.singleton.makeIterator().prefix(2)))
    let ids = (10..<30).map { "af-\($0)" }
    let calls = try begin(engine, in: directory, ids, to: server.url, options: "r(0)R(10)")
    for call in calls {
      #expect(
        try await engine.finish(call.id).reason
          == "unreachable: http: 503 Service Unavailable; no attempts to reconnect are allowed")
    }
    #expect(server.log.now.most == 3, "all places are used, and no others")
    #expect(server.log.now.underWay == 0)
    #expect(server.log.ids.sorted() == ids)
    await server.stop()
  }

  @Test("Those who wait begin in the order in which they asked, and an open connection takes no place")
  func firstComeFirstServed() async throws {
    let directory = try ScratchFolder()
    let server = try await TestServer.start()
    let engine = try await SurroundedEngine(directory, surroundings(1))
    let ids = ["f", "b", "e", "a", "d", "c", "g", "h"]
    let calls = try begin(engine, in: directory, ids, to: server.url, options: "r(0)R(5)")
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

  @Test("A host that does not answer holds up no other one, and its next attempt begins when the first is over")
  func hosts() async throws {
    let directory = try ScratchFolder()
    let silent = try await RefusingServer(after: nil)
    let server = try await TestServer.start()
    let engine = try await SurroundedEngine(directory, surroundings(1))
    let waiting = try begin(engine, in: directory, ["one", "two"], to: silent.url, options: "r(0)R(4)")
    try await eventually("the first has asked") { silent.log.ids == ["one"] }
    let other = try TestCall(in: directory, id: "other", url: server.url, age: 400 * millisecond)
    other.speak(frames: 20)
    other.hangUp()
    engine.tell(.fork(id: other.id, isClosed: true))
    #expect(try await engine.finish(other.id).reason == "done: all audio was delivered")
    #expect(server.connections.first?.carries(other.expected) == true)
    #expect(silent.log.ids == ["one"])
    #expect(engine.ended("one") == nil)
    // The second one's time limit begins with its attempt: else it would be over together with the first one's.
    try await eventually("the second has its turn") { silent.log.ids == ["one", "two"] }
    #expect(engine.ended("two") == nil)
    for call in waiting {
      #expect(
        try await engine.finish(call.id).reason
          == "unreachable: http: no answer to the upgrade request within 4 s; no attempts to reconnect are allowed")
    }
    await silent.stop()
    await server.stop()
  }

  @Test("A fork that goes while it waits frees nothing and is passed over; one that goes under way frees one place")
  func forgotten() async throws {
    let directory = try ScratchFolder()
    let silent = try await RefusingServer(after: nil)
    let engine = try await SurroundedEngine(directory, surroundings(1))
    let calls = try begin(
      engine, in: directory, ["a", "b", "c", "d", "e"], to: silent.url, options: "r(0)R(30)")
    try await eventually("the first has asked") { silent.log.ids == ["a"] }
    engine.tell(.forget(id: "b"))
    #expect(try await engine.finish("b").reason.hasPrefix("forgotten:"))
    try await Task.sleep(nanoseconds: Self.moment)
    #expect(silent.log.ids == ["a"])
    engine.tell(.forget(id: "a"))
    try await eventually("the place is free") { silent.log.ids.count > 1 }
    try await Task.sleep(nanoseconds: Self.moment)
    #expect(silent.log.ids == ["a", "c"])
    engine.tell(.forget(id: "c"))
    try await eventually("the place is free again") { silent.log.ids.count > 2 }
    try await Task.sleep(nanoseconds: Self.moment)
    #expect(silent.log.ids == ["a", "c", "d"])
    engine.tell(.forget(id: "e"))
    engine.tell(.forget(id: "d"))
    for call in calls { #expect(try await engine.finish(call.id).reason.hasPrefix("forgotten:")) }
    // Nobody is left: the next one begins at once.
    let last = try begin(engine, in: directory, ["f"], to: silent.url, options: "r(0)R(30)")
    try await eventually("it is let in") { silent.log.ids.last == "f" }
    engine.tell(.forget(id: "f"))
    for call in last { #expect(try await engine.finish(call.id).reason.hasPrefix("forgotten:")) }
    #expect(silent.log.ids == ["a", "c", "d", "f"])
    #expect(directory.names == [])
    await silent.stop()
  }
}
