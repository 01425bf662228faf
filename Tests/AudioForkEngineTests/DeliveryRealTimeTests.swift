// SPDX-License-Identifier: Apache-2.0
import AudioForkMedia
import AudioForkEngine
import AudioForkEngineTestKit
import AudioForkLink
import AudioForkRing
import AudioForkTestKit
import AudioForkWireTestKit
import CAudioForkABI
import Glibc
import NIOCore
import NIOPosix
import NIOWebSocket
import Synchronization
import Testing

/// What the engine says about delivery and when it lets a fork go, over real sockets.
@Suite("Delivery over loopback", .serialized)
struct DeliveryRealTimeTests {
  /// A call of four seconds that is over: its audio fits what the sockets take without anybody reading.
  private func finishedCall(
    in directory: ScratchFolder, url: String, options: String = "D(both)", drainSeconds: UInt64 = 10
  ) throws -> TestCall {
    let call = try TestCall(
      in: directory, url: url, options: options, drainSeconds: drainSeconds, age: 4000 * millisecond)
    call.speak(frames: 200)
    call.hangUp()
    return call
  }

  @Test("Audio that only our kernel took was not delivered: a server that reads nothing ends in how much it was")
  func stopsReading() async throws {
    let directory = try ScratchFolder()
    let server = try await TestServer.start(.stall, receiveBufferBytes: 4096)
    let engine = try await TestEngine(directory)
    let call = try finishedCall(in: directory, url: server.url, drainSeconds: 2)
    engine.tell(.fork(id: call.id, isClosed: true))
    let end = try await engine.end()
    #expect(end.counters.position == 32_000, "all was sent")
    #expect(end.counters.undeliveredMilliseconds > 1000)
    #expect(end.reason == "drain: \(end.counters.undeliveredMilliseconds) ms undelivered")
    #expect(end.counters.confirmed < 32_000)
    #expect(directory.names == [])
    await server.stop()
  }

  @Test("A connection reset before the end was acknowledged is opened again, and the rest is sent again")
  func resetAtTheEnd() async throws {
    let directory = try ScratchFolder()
    let stalled = try await TestServer.start(.stall, receiveBufferBytes: 4096)
    let engine = try await TestEngine(directory)
    let call = try finishedCall(in: directory, url: stalled.url, options: "D(both)R(1)")
    engine.tell(.fork(id: call.id, isClosed: true))
    try await eventually("all was given to the kernel") { engine.reports(call.id).last?.counters.position == 32_000 }
    // With bytes unread in its buffer this is a reset.
    await stalled.stop()
    let server = try await TestServer.start(port: stalled.port)
    let end = try await engine.end()
    #expect(end.reason == "done: all audio was delivered")
    #expect(end.counters.reconnects == 1)
    #expect(end.counters.position == 32_000)
    #expect(end.counters.confirmed == 32_000)
    let arrived = try #require(server.connections.last).samples
    #expect(arrived.count > 16_000, "what the dead server's kernel had acknowledged is not sent again")
    #expect(call.expected.suffix(arrived.count).elementsEqual(arrived))
    await server.stop()
  }

  @Test("With replay = none nothing is sent twice: what was on its way when the connection broke is a gap")
  func noReplay() async throws {
    let directory = try ScratchFolder()
    let server = try await TestServer.start(.closeAfter(bytes: 16_000, code: .goingAway))
    let engine = try await TestEngine(directory)
    let call = try TestCall(in: directory, url: server.url, options: "D(both)R(1)", settings: ["replay=none"])
    engine.tell(.fork(id: call.id, isClosed: false))
    try await call.speak(untilMilliseconds: 2500)
    call.hangUp()
    let end = try await engine.end()
    #expect(end.reason == "done: all audio was delivered")
    #expect(end.counters.reconnects >= 1)
    let gaps = engine.gaps(call.id)
    #expect(!gaps.isEmpty && gaps.allSatisfy { $0.reason == .unconfirmed })
    #expect(end.counters.lost == gaps.reduce(0) { $0 + $1.count })
    let reception = Reception(server.connections, expected: call.expected)
    #expect(reception.isExact)
    #expect(reception.repeats.allSatisfy { $0 == 0 })
    // What is missing at the server was told; what was told may have arrived.
    #expect(UInt64(reception.missing) <= end.counters.lost / 2)
    await server.stop()
  }

  @Test(
    "A server that has all of it and drops the connection, or never answers our Close, got it delivered",
    arguments: [true, false])
  func noAnswer(drops: Bool) async throws {
    let directory = try ScratchFolder()
    let server = try await TestServer.start(drops ? .dropOnClose : .ignoreClose)
    let engine = try await TestEngine(directory)
    let call = try finishedCall(in: directory, url: server.url)
    engine.tell(.fork(id: call.id, isClosed: true))
    let end = try await engine.end()
    #expect(end.reason == "done: all audio was delivered")
    #expect(end.counters.confirmed == 32_000)
    #expect(server.connections.count == 1)
    #expect(server.connections.first?.carries(call.expected) == true)
    #expect(engine.lines() == [])
    await server.stop()
  }

  @Test("The answers to a server that pings all the time are not waited for at the end")
  func pinging() async throws {
    let directory = try ScratchFolder()
    let server = try await TestServer.start(pingEvery: .milliseconds(8))
    let engine = try await TestEngine(directory)
    let call = try TestCall(in: directory, url: server.url, drainSeconds: 2)
    engine.tell(.fork(id: call.id, isClosed: false))
    try await call.speak(untilMilliseconds: 500)
    call.hangUp()
    let end = try await engine.end()
    #expect(end.reason == "done: all audio was delivered")
    #expect(server.connections.count == 1)
    #expect(server.connections.first?.carries(call.expected) == true)
    await server.stop()
  }

  @Test("A slow server that goes on reading is waited for, and is sent nothing twice")
  func slowServer() async throws {
    let directory = try ScratchFolder()
    let server = try await TestServer.start(.stall, receiveBufferBytes: 4096)
    let engine = try await TestEngine(directory)
    let call = try finishedCall(in: directory, url: server.url)
    engine.tell(.fork(id: call.id, isClosed: true))
    try await eventually("it is connected") { server.connections.first?.head != nil }
    // Longer than the wait for an answer to a Close.
    try await Task.sleep(nanoseconds: 1_800_000_000)
    #expect(engine.ended(call.id) == nil)
    server.resume()
    let end = try await engine.end()
    #expect(end.reason == "done: all audio was delivered")
    #expect(server.connections.count == 1)
    #expect(server.connections.first?.carries(call.expected) == true)
    await server.stop()
  }

  @Test("What a module that does not read was not told it is told when it reads again: state and gaps, not texts")
  func moduleDoesNotRead() async throws {
    let directory = try ScratchFolder()
    let server = try await TestServer.start(.talk(["one", "two"]))
    let engine = try await TestEngine(directory)
    engine.moduleReads(false)
    let call = try TestCall(in: directory, url: server.url, age: 12_000 * millisecond, bufferSeconds: 1)
    // Most of it is overwritten before anybody reads the ring.
    call.speak(frames: 600)
    engine.tell(.fork(id: call.id, isClosed: false))
    try await eventually("the audio arrives") { server.connections.first?.audio.isEmpty == false }
    try await Task.sleep(nanoseconds: 300_000_000)
    #expect(engine.messages.isEmpty)
    engine.moduleReads(true)
    try await eventually("it is told") { engine.states(call.id) == [.streaming] && !engine.gaps(call.id).isEmpty }
    call.hangUp()
    let end = try await engine.end()
    #expect(end.counters.dropped == 2)
    #expect(end.counters.lost > 0)
    #expect(engine.gaps(call.id).reduce(0) { $0 + $1.count } == end.counters.lost)
    await server.stop()
  }

  @Test("A gap that was just found when the ring turned out to be damaged is told before the end")
  func gapAtTheEnd() async throws {
    let directory = try ScratchFolder()
    let server = try await TestServer.start()
    let engine = try await TestEngine(directory)
    // Without fill the gap and the damage are in one tick.
    let call = try TestCall(
      in: directory, url: server.url, options: "D(both)n", age: 12_000 * millisecond, bufferSeconds: 1)
    call.speak(frames: 600)
    try call.damage(entryBeforeLast: 40)
    engine.tell(.fork(id: call.id, isClosed: false))
    let end = try await engine.end()
    #expect(end.reason.hasPrefix("ring: entry "), "\(end.reason)")
    #expect(end.counters.lost > 0)
    #expect(engine.gaps(call.id).reduce(0) { $0 + $1.count } == end.counters.lost)
    #expect(engine.lines().contains { $0.contains("captured samples lost in") })
    await server.stop()
  }

  @Test(
    "The files of a fork stay until the module's end of the link has its end, so that an engine may die before that",
    arguments: [true, false])
  func endIsTaken(isWhole: Bool) async throws {
    let directory = try ScratchFolder()
    let server = try await TestServer.start()
    let engine = try await TestEngine(directory)
    engine.linkTakes(false)
    let call = try finishedCall(in: directory, url: server.url)
    if !isWhole { truncate("\(directory.path)/\(call.id).ring", 100) }
    engine.tell(.fork(id: call.id, isClosed: true))
    let end = try await engine.end()
    #expect(end.reason == "done: all audio was delivered" || !isWhole)
    try await Task.sleep(for: .milliseconds(50))
    #expect(directory.names.contains("\(call.id).ring"))
    // Nor does the engine leave before it.
    async let exit = engine.moduleGone()
    try await Task.sleep(for: .milliseconds(50))
    #expect(directory.names.contains("\(call.id).ring"))
    engine.linkTakes(true)
    #expect(try await exit == .finished)
    #expect(directory.names == [])
    #expect(engine.messages.filter { if case .ended = $0 { true } else { false } }.count == 1)
    await server.stop()
  }

  @Test("What waits for the link to take a message is done when the kernel has it, or when nobody is there any more")
  func linkTakes() async throws {
    var ends: [CInt] = [-1, -1]
    try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0)
    defer { close(ends[1]) }
    var size: CInt = 4096
    setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &size, socklen_t(MemoryLayout<CInt>.size))
    let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton).withConnectedSocket(ends[0])
      .get()
    let output = LinkOutput(channel)
    let done = Mutex(0)
    let end = EngineMessage.ended(id: "af-test-1", reason: String(repeating: "x", count: 1000), ForkCounters())
    let count = 200
    for _ in 0..<count { output.send(end) { done.withLock { $0 += 1 } } }
    try await Task.sleep(for: .milliseconds(100))
    let taken = done.withLock { $0 }
    #expect(taken > 0 && taken < count, "\(taken) of \(count): the kernel's buffer is full")
    try await channel.close().get()
    #expect(done.withLock { $0 } == count)
  }

  @Test("A cursor that another engine holds is waited for while the call goes on, with one line and nothing removed")
  func heldCursor() async throws {
    let directory = try ScratchFolder()
    let server = try await TestServer.start()
    let engine = try await TestEngine(directory)
    let call = try finishedCall(in: directory, url: server.url)
    let holder = try CursorFile(path: "\(directory.path)/\(call.id).cursor")
    engine.tell(.fork(id: call.id, isClosed: false))
    engine.tell(.sendText(id: call.id, text: [0x61]))
    try await eventually("it is told") { !engine.lines(.error).isEmpty }
    try await Task.sleep(nanoseconds: 600_000_000)
    #expect(engine.lines(.error).count == 1)
    #expect(engine.lines().filter { $0.contains("a text for the server is not sent") }.count == 1)
    #expect(engine.ended(call.id) == nil)
    #expect(directory.names == ["\(call.id).cursor", "\(call.id).ring"])
    holder.close()
    #expect(try await engine.end().reason == "done: all audio was delivered")
    #expect(server.connections.first?.carries(call.expected) == true)
    await server.stop()
  }

  @Test("A fork that waits for its files and that no table names any more is still tried, and not for ever")
  func orphanedWhileWaiting() async throws {
    let directory = try ScratchFolder()
    let server = try await TestServer.start()
    let engine = try await TestEngine(directory)
    let calls = try ["a", "b"].map { try TestCall(in: directory, id: $0, url: server.url, age: 1000 * millisecond) }
    let holders = try calls.map { try CursorFile(path: "\(directory.path)/\($0.id).cursor") }
    for call in calls {
      call.speak(frames: 50)
      engine.tell(.fork(id: call.id, isClosed: false))
    }
    engine.tell(.hello(version: "22", protocolVersion: 1))
    engine.tell(.tableEnd)
    try await Task.sleep(nanoseconds: 200_000_000)
    // No end of capture is marked in its ring, and none will be.
    holders[0].close()
    #expect(try await engine.end(of: "a").reason == "done: all audio was delivered")
    #expect(server.connections.first?.carries(calls[0].expected) == true)
    #expect(try await engine.end(of: "b").reason.hasPrefix("cursor: "))
    #expect(directory.names == ["b.cursor", "b.ring"], "they are the other engine's")
    holders[1].close()
    await server.stop()
  }

  @Test("A cursor that cannot be replaced when its file is gone is replaced as soon as that is possible")
  func replacedCursor() async throws {
    let directory = try ScratchFolder()
    let server = try await TestServer.start()
    let engine = try await TestEngine(directory)
    let call = try TestCall(in: directory, url: server.url)
    let cursor = directory.file("\(call.id).cursor")
    engine.tell(.fork(id: call.id, isClosed: false))
    try await call.speak(untilMilliseconds: 200)
    try await eventually("it streams") { engine.states(call.id).last == .streaming }
    try #require(unlink(cursor) == 0 && mkdir(cursor, 0o700) == 0)
    defer { rmdir(cursor) }
    try call.continueRing()
    try await call.speak(untilMilliseconds: 500)
    try await eventually("it is told") { !engine.lines().isEmpty }
    #expect(rmdir(cursor) == 0)
    try await eventually("there is a cursor") { directory.names.contains("\(call.id).cursor") }
    call.hangUp()
    #expect(try await engine.end().reason == "done: all audio was delivered")
    #expect(engine.lines().count == 1)
    #expect(directory.names == [])
    await server.stop()
  }

  @Test("A cursor's name that something else has is freed for the cursor")
  func foreignCursor() async throws {
    let directory = try ScratchFolder()
    let server = try await TestServer.start()
    let engine = try await TestEngine(directory)
    let call = try finishedCall(in: directory, url: server.url)
    try #require(symlink("/nowhere", "\(directory.path)/\(call.id).cursor") == 0)
    engine.tell(.fork(id: call.id, isClosed: false))
    #expect(try await engine.end().reason == "done: all audio was delivered")
    #expect(server.connections.first?.carries(call.expected) == true)
    #expect(engine.lines() == [])
    #expect(directory.names == [])
    await server.stop()
  }

  @Test("An engine that is told to stop does not wait for an event loop that is stuck")
  func stuckLoop() async throws {
    let directory = try ScratchFolder()
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 2)
    let loops: [any EventLoop] = Array(group.makeIterator())
    let server = try await TestServer.start()
    let engine = try await TestEngine(directory, loops: loops)
    let calls = try ["a", "b"].map { try TestCall(in: directory, id: $0, url: server.url) }
    for call in calls {
      engine.tell(.fork(id: call.id, isClosed: false))
      try await eventually("connected") { engine.states(call.id).contains(.streaming) }
    }
    // The second fork's.
    loops[1].execute { usleep(2_500_000) }
    let asked = af_now_ns()
    #expect(try await engine.stop() == .stopped)
    #expect(af_now_ns() - asked < 2_000_000_000)
    try await group.shutdownGracefully()
    await server.stop()
  }
}
