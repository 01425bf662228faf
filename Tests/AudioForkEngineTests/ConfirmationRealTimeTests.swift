// SPDX-License-Identifier: Apache-2.0
import AudioForkMedia
import AudioForkEngine
import AudioForkEngineTestKit
import AudioForkFaultKit
import AudioForkLink
import AudioForkTestKit
import AudioForkWireTestKit
import CAudioForkABI
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOWebSocket
import Testing

/// What confirms delivery, and what a break repeats, over real sockets.
@Suite("Confirmation over loopback", .serialized)
struct ConfirmationRealTimeTests {
  // MARK: - Pings

  @Test(
    """
    Two seconds are sent to a server of which it is not known yet whether it pongs; the rest follows when that has \
    shown
    """
  )
  func firstPong() async throws {
    let directory = try ScratchFolder()
    let server = try await TestServer.start(answersPings: false)
    let engine = try await TestEngine(directory)
    // Eight seconds wait already: much more than that fits into the sockets.
    let call = try TestCall(in: directory, url: server.url, age: 8000 * millisecond)
    call.speak(frames: 400)
    engine.tell(.fork(id: call.id, isClosed: false))
    try await eventually("the server got audio") { server.connections.first?.samples.isEmpty == false }
    let began = af_now_ns()
    try await Task.sleep(for: .milliseconds(300))
    let ahead = server.connections.first?.samples.count ?? 0
    // A second after the first ping it has shown; a busy machine may have slept that long.
    if af_now_ns() - began < 700 * millisecond {
      #expect((8000...17_000).contains(ahead), "\(ahead) sample frames were sent before the server could have answered")
    }
    call.hangUp()
    let end = try await engine.end()
    #expect(end.reason == "done: all audio was delivered")
    #expect(server.connections.first?.carries(call.expected) == true)
    await server.stop()
  }

  @Test("A server that pongs confirms by its pongs, which carry positions, once a second")
  func pongs() async throws {
    let directory = try ScratchFolder()
    let server = try await TestServer.start()
    let engine = try await TestEngine(directory)
    let call = try TestCall(in: directory, url: server.url)
    engine.tell(.fork(id: call.id, isClosed: false))
    try await call.speak(untilMilliseconds: 2500)
    let told = try #require(engine.reports(call.id).last)
    #expect(told.counters.confirmation == .pong)
    #expect(told.counters.confirmed > 0)
    call.hangUp()
    let end = try await engine.end()
    #expect(end.reason == "done: all audio was delivered")
    #expect(end.counters.confirmation == .pong)
    #expect(end.counters.confirmed == end.counters.position)
    let connection = try #require(server.connections.first)
    #expect(connection.carries(call.expected))
    let positions = connection.pings.map { $0.reduce(0) { $0 << 8 | Int($1) } }
    #expect((3...6).contains(positions.count), "\(positions)")
    #expect(positions.last == call.expected.count)
    #expect(zip(positions, positions.dropFirst()).allSatisfy { $0 < $1 })
    #expect(connection.pings.allSatisfy { $0.count == 8 })
    await server.stop()
  }

  @Test("A server that answers no ping is confirmed by its kernel, from the second second on")
  func noPongs() async throws {
    let directory = try ScratchFolder()
    let server = try await TestServer.start(answersPings: false)
    let engine = try await TestEngine(directory)
    let call = try TestCall(in: directory, url: server.url)
    engine.tell(.fork(id: call.id, isClosed: false))
    try await call.speak(untilMilliseconds: 2200)
    let told = try #require(engine.reports(call.id).last)
    #expect(told.counters.confirmation == .tcp)
    #expect(told.counters.confirmed > 0)
    call.hangUp()
    let end = try await engine.end()
    #expect(end.reason == "done: all audio was delivered")
    #expect(server.connections.first?.carries(call.expected) == true)
    #expect(server.connections.first?.pings.count == 1, "one is out at a time")
    await server.stop()
  }

  @Test("With ping = no there is none, and the kernel's word has to do")
  func pingsOff() async throws {
    let directory = try ScratchFolder()
    let server = try await TestServer.start()
    let engine = try await TestEngine(directory)
    let call = try TestCall(in: directory, url: server.url, settings: ["ping=no"])
    engine.tell(.fork(id: call.id, isClosed: false))
    try await call.speak(untilMilliseconds: 1000)
    call.hangUp()
    let end = try await engine.end()
    #expect(end.reason == "done: all audio was delivered")
    #expect(end.counters.confirmation == .tcp)
    #expect(server.connections.first?.pings.isEmpty == true)
    await server.stop()
  }

  @Test("A server that closes when it is pinged is not pinged again, and misses nothing")
  func offended() async throws {
    let directory = try ScratchFolder()
    let server = try await TestServer.start(.closeOnPing(.protocolError))
    let engine = try await TestEngine(directory)
    let call = try TestCall(in: directory, url: server.url)
    engine.tell(.fork(id: call.id, isClosed: false))
    try await call.speak(untilMilliseconds: 1500)
    call.hangUp()
    let end = try await engine.end()
    #expect(end.reason == "done: all audio was delivered")
    #expect(server.connections.map(\.pings.count) == [1, 0])
    let reception = Reception(server.connections, expected: call.expected)
    #expect(reception.isExact && reception.missing == 0)
    #expect(engine.lines(.notice).contains { $0.contains("it is not pinged again") })
    await server.stop()
  }

  @Test(
    "A server that counts pings gets fewer after its second Close with 1008, which is said once, and misses nothing")
  func countsPings() async throws {
    let directory = try ScratchFolder()
    let server = try await TestServer.start(.closeAfterPings(6, .policyViolation))
    let engine = try await TestEngine(directory)
    // A small buffer, with pings four times a second; what really waits for a confirmation meanwhile fits.
    let call = try TestCall(in: directory, url: server.url, options: "D(both)R(1)", settings: ["buffer=4"])
    engine.tell(.fork(id: call.id, isClosed: false))
    // Six pings last 2.4 s at first, 1.5 s after a break, and from the third connection on 6 s.
    try await call.speak(untilMilliseconds: 7500)
    call.hangUp()
    let end = try await engine.end()
    #expect(end.reason == "done: all audio was delivered")
    #expect(end.counters.confirmation == .pong)
    let pings = server.connections.map(\.pings.count)
    #expect(pings.count == 3 && pings.prefix(2) == [7, 7] && pings[2] <= 6, "\(pings)")
    let reception = Reception(server.connections, expected: call.expected)
    #expect(reception.isExact && reception.missing == 0)
    #expect(engine.lines(.notice).filter { $0.contains("it is pinged every 1000 ms from now on") }.count == 1)
    await server.stop()
  }

  @Test("A server that pongs is believed nothing else, after losses at its first ping as after another engine's start")
  func pongsOnceAlways() async throws {
    let directory = try ScratchFolder()
    let server = try await TestServer.start()
    let proxy = try await FaultProxy.start(to: server.port)
    let call = try TestCall(in: directory, url: "ws://127.0.0.1:\(proxy.port)/", options: "D(both)R(1)r(1000)")
    var engine = try await TestEngine(directory)
    engine.tell(.fork(id: call.id, isClosed: false))
    try await call.speak(untilMilliseconds: 500)
    // Lost each time before the first pong: something on the way, and not the pings.
    try await proxy.plan(.cut(afterBytes: 3000, resets: false))
    for moment in stride(from: 600 as Int64, through: 1600, by: 200) {
      try await proxy.strike(.reset)
      try await call.speak(untilMilliseconds: moment)
    }
    try await proxy.plan(.none)
    _ = try await engine.stop()
    engine = try await TestEngine(directory)
    engine.tell(.fork(id: call.id, isClosed: false))
    // Everything is acknowledged by the proxy's kernel, and dies there.
    try await proxy.plan(.stall)
    try await call.speak(untilMilliseconds: 1700)
    try await proxy.plan(.none)
    try await call.speak(untilMilliseconds: 2200)
    try await proxy.strike(.blackhole)
    try await call.speak(untilMilliseconds: 3600)
    try await proxy.strike(.reset)
    try await call.speak(untilMilliseconds: 4000)
    call.hangUp()
    let last = engine
    try await eventually(within: 20, "the fork ends") { last.ended(call.id) != nil }
    #expect(last.ended(call.id)?.counters.confirmation == .pong)
    let reception = Reception(server.connections, expected: call.expected)
    #expect(reception.isExact && reception.missing == 0, "\(reception)")
    #expect(!last.lines(.notice).contains { $0.contains("it is not pinged again") })
    try await proxy.stop()
    await server.stop()
  }

  @Test("A server killed with audio in its kernel's hands, moments after the start, has lost nothing for good")
  func killedEarly() async throws {
    let directory = try ScratchFolder()
    // Its kernel takes and acknowledges; the server itself reads nothing.
    let stalled = try await TestServer.start(.stall)
    let engine = try await TestEngine(directory)
    let call = try TestCall(in: directory, url: stalled.url)
    engine.tell(.fork(id: call.id, isClosed: false))
    try await call.speak(untilMilliseconds: 800)
    await stalled.stop()
    let server = try await TestServer.start(port: stalled.port)
    try await call.speak(untilMilliseconds: 1600)
    call.hangUp()
    let end = try await engine.end()
    #expect(end.reason == "done: all audio was delivered")
    #expect(server.connections.last?.carries(call.expected) == true)
    await server.stop()
  }

  @Test("A pong that is late holds the stream back and is no death: at most two seconds are in flight")
  func latePong() async throws {
    let directory = try ScratchFolder()
    let server = try await TestServer.start(.pongLate(.seconds(3)))
    let engine = try await TestEngine(directory)
    let call = try TestCall(in: directory, url: server.url, drainSeconds: 20)
    engine.tell(.fork(id: call.id, isClosed: false))
    // The first ping is answered at once; the second, after a quarter of a second, three seconds late.
    try await call.speak(untilMilliseconds: 3000)
    let arrived = (server.connections.first?.audio.count ?? 0) / 2
    #expect((16_000...22_000).contains(arrived), "\(arrived) sample frames were sent ahead of the pong")
    try await call.speak(untilMilliseconds: 4000)
    call.hangUp()
    let end = try await engine.end(within: 25)
    #expect(end.reason == "done: all audio was delivered")
    #expect(end.counters.reconnects == 0)
    #expect(server.connections.first?.carries(call.expected) == true)
    await server.stop()
  }

  @Test("A server that does not pong any more is believed its kernel after two connections without an answer")
  func pongsNoMore() async throws {
    let directory = try ScratchFolder()
    let first = try await TestServer.start()
    let engine = try await TestEngine(directory)
    // What counts as silence is short, and the ring holds what waits meanwhile.
    let call = try TestCall(in: directory, url: first.url, settings: ["silence=2"], bufferSeconds: 20)
    engine.tell(.fork(id: call.id, isClosed: false))
    try await call.speak(untilMilliseconds: 800)
    #expect(
      engine.reports(call.id).last?.counters.confirmation == .pong || first.connections.first?.pings.isEmpty == false)
    await first.stop()
    let second = try await TestServer.start(port: first.port, answersPings: false)
    // Two seconds of silence, then four.
    try await call.speak(untilMilliseconds: 9000)
    call.hangUp()
    let end = try await engine.end()
    #expect(end.reason == "done: all audio was delivered")
    #expect(end.counters.lost == 0)
    #expect(end.counters.confirmation == .tcp)
    #expect(second.connections.count == 3)
    let reception = Reception(first.connections + second.connections, expected: call.expected)
    #expect(reception.isExact && reception.missing == 0)
    await second.stop()
  }

  @Test("A server that goes on speaking but stops to pong is left, and believed its kernel from then on")
  func pongsOnce() async throws {
    let directory = try ScratchFolder()
    let server = try await TestServer.start(.pongOnce, pingEvery: .milliseconds(200))
    let engine = try await TestEngine(directory)
    let call = try TestCall(in: directory, url: server.url, settings: ["buffer=5", "silence=3"], bufferSeconds: 8)
    engine.tell(.fork(id: call.id, isClosed: false))
    // Two seconds are in flight then, and the ring would be full a little later.
    try await call.speak(untilMilliseconds: 9000)
    #expect(engine.reports(call.id).last?.counters.confirmation == .tcp)
    call.hangUp()
    let end = try await engine.end()
    #expect(end.reason == "done: all audio was delivered")
    #expect(end.counters.lost == 0)
    #expect(server.connections.count == 2 && server.connections.last?.pings == [])
    #expect(engine.lines().contains { $0.contains("it sends messages, but has not answered a ping for 3 s") })
    let reception = Reception(server.connections, expected: call.expected)
    #expect(reception.isExact && reception.missing == 0)
    await server.stop()
  }

  @Test(
    "A server that is gone behind something that keeps TCP alive is left while the ring still has its audio",
    arguments: [true, false])
  func halfOpen(speaks: Bool) async throws {
    let directory = try ScratchFolder()
    let store = ForkStore()
    let server = try await TestServer.start(speaks ? .fork(store) : .record)
    let proxy = try await FaultProxy.start(to: server.port)
    let engine = try await TestEngine(directory)
    let call = try TestCall(
      in: directory, url: "ws://127.0.0.1:\(proxy.port)/", options: speaks ? "D(both)w(audiofork)" : "D(both)",
      settings: ["buffer=5", "silence=3"], bufferSeconds: 5)
    engine.tell(.fork(id: call.id, isClosed: false))
    try await call.speak(untilMilliseconds: 1000)
    // Everything is taken and acknowledged, nothing arrives, and nothing comes back: only for this connection.
    try await proxy.strike(.blackhole)
    try await call.speak(untilMilliseconds: 5600)
    #expect(server.connections.count == 2, "within 3 s of silence, of the 5 s that the ring lasts")
    call.hangUp()
    let end = try await engine.end()
    #expect(end.reason == "done: all audio was delivered")
    #expect(end.counters.lost == 0)
    #expect(engine.lines().contains { $0.contains("the server has not answered for 3 s") })
    if speaks {
      #expect(store.now.samples == call.expected)
      #expect(store.now.duplicates == 0)
    } else {
      let reception = Reception(server.connections, expected: call.expected)
      #expect(reception.isExact && reception.missing == 0)
      #expect(reception.repeats.allSatisfy { $0 <= 12_000 })
    }
    try await proxy.stop()
    await server.stop()
  }

  @Test("An engine that is replaced leaves nothing unconfirmed behind: the next one repeats nothing")
  func handover() async throws {
    let directory = try ScratchFolder()
    let server = try await TestServer.start()
    let call = try TestCall(in: directory, url: server.url)
    for round in 1...4 {
      let engine = try await TestEngine(directory)
      engine.tell(.fork(id: call.id, isClosed: false))
      try await call.speak(untilMilliseconds: Int64(round) * 700)
      #expect(try await engine.stop() == .stopped)
    }
    let engine = try await TestEngine(directory)
    engine.tell(.fork(id: call.id, isClosed: false))
    call.hangUp()
    let end = try await engine.end()
    #expect(end.reason == "done: all audio was delivered")
    let reception = Reception(server.connections, expected: call.expected)
    #expect(reception.isExact && reception.missing == 0)
    #expect(reception.repeats.allSatisfy { $0 == 0 }, "\(reception.repeats)")
    await server.stop()
  }

  @Test("A fork of which everything is confirmed ends as soon as it is connected again, whatever its server can say")
  func nothingLeft() async throws {
    let directory = try ScratchFolder()
    let server = try await TestServer.start()
    let call = try TestCall(in: directory, url: server.url, drainSeconds: 10)
    let first = try await TestEngine(directory)
    first.tell(.fork(id: call.id, isClosed: false))
    try await call.speak(untilMilliseconds: 600)
    try await eventually("all is confirmed") {
      first.reports(call.id).last.map { $0.counters.delivered == $0.counters.captured && $0.counters.delivered > 0 }
        ?? false
    }
    #expect(try await first.stop() == .stopped)
    call.hangUp()
    let second = try await TestEngine(directory)
    second.tell(.fork(id: call.id, isClosed: true))
    // Nothing is sent that a pong or a kernel could confirm.
    let end = try await second.end(within: 2)
    #expect(end.reason == "done: all audio was delivered")
    #expect(server.connections.map(\.samples.count) == [4800, 0])
    await server.stop()
  }

  // MARK: - audiofork.v1

  @Test("With audiofork.v1 ten dropped connections and two engines leave every sample once")
  func exactlyOnce() async throws {
    let directory = try ScratchFolder()
    let store = ForkStore()
    let server = try await TestServer.start(.fork(store))
    let call = try TestCall(in: directory, url: server.url, options: "D(both)w(audiofork)")
    var engine = try await TestEngine(directory)
    engine.tell(.fork(id: call.id, isClosed: false))
    for round in 1...12 {
      try await call.speak(untilMilliseconds: Int64(round) * 300)
      if round % 5 == 0 {
        #expect(try await engine.stop() == .stopped)
        engine = try await TestEngine(directory)
        engine.tell(.fork(id: call.id, isClosed: false))
      } else {
        server.dropConnections()
      }
    }
    call.hangUp()
    let end = try await engine.end()
    #expect(end.reason == "done: all audio was delivered")
    #expect(end.counters.confirmation == .app)
    #expect(end.counters.confirmed == end.counters.position)
    let got = store.now
    #expect(got.samples == call.expected)
    #expect(got.duplicates == 0)
    #expect(got.holes == 0)
    #expect(got.texts.last == #"{"type":"stop","position":\#(call.expected.count),"reason":"ended"}"#)
    // All of its connections, also those of another engine, prove that they are the same fork's. One that was dropped
    // at once may not have said so; more did than there were engines.
    let secrets = got.texts.filter { $0.hasPrefix(#"{"type":"start""#) }.map { $0.suffix(44) }
    #expect(secrets.count > 3)
    #expect(Set(secrets).count == 1)
    #expect(secrets.first?.wholeMatch(of: /"secret":"[0-9a-f]{32}"}/) != nil, "\(secrets.first ?? "")")
    #expect(server.connections.first?.head?.headers["Sec-WebSocket-Protocol"] == ["audiofork.v1"])
    await server.stop()
  }

  @Test("A call may end at any moment: its last block's acknowledgement counts like the others")
  func lastBlock() async throws {
    for round in 0..<6 {
      let directory = try ScratchFolder()
      let store = ForkStore()
      let server = try await TestServer.start(.fork(store))
      let engine = try await TestEngine(directory)
      let call = try TestCall(in: directory, url: server.url, options: "D(both)w(audiofork)")
      engine.tell(.fork(id: call.id, isClosed: false))
      // Positions that can be confirmed lie some blocks apart; the last one need not be among them.
      try await call.speak(untilMilliseconds: 400 + Int64(round) * 20)
      call.hangUp()
      let end = try await engine.end(within: 3)
      #expect(end.reason == "done: all audio was delivered")
      #expect(end.counters.confirmed == end.counters.position)
      #expect(end.counters.reconnects == 0)
      await server.stop()
    }
  }

  @Test("An ack right behind resume, for audio of the connection before, is no offence")
  func ackBehindResume() async throws {
    let directory = try ScratchFolder()
    let store = ForkStore()
    let server = try await TestServer.start(.fork(store))
    let engine = try await TestEngine(directory)
    let call = try TestCall(in: directory, url: server.url, options: "D(both)w(audiofork)R(1)")
    engine.tell(.fork(id: call.id, isClosed: false))
    try await call.speak(untilMilliseconds: 600)
    // It has everything and says so only with its next connection.
    store.change { $0.acknowledges = false }
    try await call.speak(untilMilliseconds: 1200)
    store.change {
      $0.acknowledges = true
      $0.acknowledgesResume = true
    }
    server.dropConnections()
    try await call.speak(untilMilliseconds: 1800)
    call.hangUp()
    let end = try await engine.end()
    #expect(end.reason == "done: all audio was delivered")
    #expect(end.counters.reconnects == 1)
    #expect(store.now.samples == call.expected)
    #expect(store.now.duplicates == 0)
    await server.stop()
  }

  @Test("A server that does not select the sub-protocol is passed over for the next URL")
  func notSelected() async throws {
    let directory = try ScratchFolder()
    let plain = try await TestServer.start(selectsSubprotocol: false)
    let store = ForkStore()
    let server = try await TestServer.start(.fork(store))
    let engine = try await TestEngine(directory)
    let call = try TestCall(
      in: directory, url: plain.url, furtherURLs: [server.url], options: "D(both)w(audiofork)", age: 1000 * millisecond)
    call.speak(frames: 50)
    call.hangUp()
    engine.tell(.fork(id: call.id, isClosed: true))
    let end = try await engine.end()
    #expect(end.reason == "done: all audio was delivered")
    #expect(store.now.samples == call.expected)
    #expect(plain.connections.first?.audio.isEmpty == true)
    #expect(engine.lines().contains { $0.contains("did not select the sub-protocol audiofork.v1") })
    await plain.stop()
    await server.stop()
  }

  @Test("A reset right behind the upgrade fails that attempt alone: its time limit does not cut the next connection")
  func resetBehindUpgrade() async throws {
    let directory = try ScratchFolder()
    let store = ForkStores()
    let server = try await TestServer.start(.forks(store))
    let engine = try await TestEngine(directory)
    let count = 160
    // Long enough for a busy machine: an attempt that exceeds it would go to a URL for a second time.
    let limitSeconds: Int64 = 3
    let (ports, port) = AsyncStream<UInt16>.makeStream()
    // It has to fall between reading the answer and sending `start`: some of so many delays do.
    let peer = NIOThreadPool.singleton.runIfActive(eventLoop: MultiThreadedEventLoopGroup.singleton.next()) {
      defer { port.finish() }
      let peer = try ConformancePeer()
      port.yield(peer.port)
      for index in 0..<count { try peer.upgradeAndReset(after: Int64(index % 40) * 5000) }
    }
    var portNumbers = ports.makeAsyncIterator()
    let bad = try #require(await portNumbers.next())
    var calls: [TestCall] = []
    for index in 0..<count {
      let call = try TestCall(
        in: directory, id: "af-test-\(index)", url: "ws://127.0.0.1:\(bad)/", furtherURLs: [server.url],
        options: "D(both)w(audiofork)", settings: ["connect_timeout=\(limitSeconds)"], drainSeconds: 20,
        bufferSeconds: 10)
      engine.tell(.fork(id: call.id, isClosed: false))
      calls.append(call)
      // One after the other, so that nothing delays the client's next step.
      try await eventually("the second server has the fork") {
        for call in calls { call.speakDue() }
        return server.connections.count > index
      }
    }
    try await peer.get()
    // The limits of the attempts that were reset pass.
    let end = af_now_ns() + (limitSeconds * 1000 + 500) * millisecond
    while af_now_ns() < end {
      for call in calls { call.speakDue() }
      try await Task.sleep(for: .milliseconds(10))
    }
    for call in calls { call.hangUp() }
    try await eventually(within: 30, "all forks end") { calls.allSatisfy { engine.ended($0.id) != nil } }
    let wrong = calls.filter {
      engine.ended($0.id)?.reason != "done: all audio was delivered" || store[$0.id].samples != $0.expected
    }
    #expect(wrong.map(\.id) == [])
    #expect(server.connections.count == count)
    await server.stop()
  }

  @Test("Without another URL it ends the fork, with that reason")
  func notSelectedAlone() async throws {
    let directory = try ScratchFolder()
    let plain = try await TestServer.start(selectsSubprotocol: false)
    let engine = try await TestEngine(directory)
    let call = try TestCall(in: directory, url: plain.url, options: "D(both)w(audiofork)")
    engine.tell(.fork(id: call.id, isClosed: false))
    let end = try await engine.end()
    #expect(end.reason.contains("did not select the sub-protocol audiofork.v1"))
    await plain.stop()
  }

  @Test(
    "A server that never says where to go on, or names a place that the stream has not reached, is left",
    arguments: [true, false])
  func badResume(answers: Bool) async throws {
    let directory = try ScratchFolder()
    let store = ForkStore {
      $0.resumes = answers
      $0.resumesAt = 1_000_000
    }
    let server = try await TestServer.start(.fork(store))
    let engine = try await TestEngine(directory)
    let call = try TestCall(
      in: directory, url: server.url, options: "D(both)w(audiofork)r(1)R(1)", age: 1000 * millisecond)
    call.speak(frames: 50)
    engine.tell(.fork(id: call.id, isClosed: false))
    let end = try await engine.end()
    #expect(
      end.reason.contains(
        answers
          ? "the server sent a resume at a position that the stream has not reached" : "no answer to start within 1 s"),
      "\(end.reason)")
    #expect(end.counters.position == 0)
    #expect(store.now.samples.isEmpty, "no audio comes before the resume")
    await server.stop()
  }

  @Test("Without acknowledgements two seconds are sent and no more; with them it goes on")
  func withheld() async throws {
    let directory = try ScratchFolder()
    let store = ForkStore { $0.acknowledges = false }
    let server = try await TestServer.start(.fork(store))
    let engine = try await TestEngine(directory)
    let call = try TestCall(in: directory, url: server.url, options: "D(both)w(audiofork)", age: 4000 * millisecond)
    call.speak(frames: 200)
    engine.tell(.fork(id: call.id, isClosed: false))
    try await eventually("two seconds arrive") { store.now.samples.count >= 16_000 }
    try await Task.sleep(nanoseconds: 500_000_000)
    #expect(store.now.samples.count == 16_000)
    #expect(engine.reports(call.id).last?.counters.confirmed == 0)
    // The next connection hears where to go on, and acknowledgements.
    store.change { $0.acknowledges = true }
    server.dropConnections()
    call.hangUp()
    let end = try await engine.end()
    #expect(end.reason == "done: all audio was delivered")
    #expect(store.now.samples == call.expected)
    #expect(store.now.duplicates == 0)
    await server.stop()
  }

  @Test("Where persisted is asked for, received does not count")
  func persisted() async throws {
    let directory = try ScratchFolder()
    let store = ForkStore()
    let server = try await TestServer.start(.fork(store))
    let engine = try await TestEngine(directory)
    let call = try TestCall(
      in: directory, url: server.url, options: "D(both)", settings: ["dialect=audiofork", "acknowledge=persisted"],
      drainSeconds: 2, age: 1000 * millisecond)
    call.speak(frames: 50)
    engine.tell(.fork(id: call.id, isClosed: false))
    try await eventually("it arrives") { store.now.samples.count == 8000 }
    try await Task.sleep(nanoseconds: 1_200_000_000)
    #expect(engine.reports(call.id).last?.counters.confirmed == 0)
    store.change { $0.level = "persisted" }
    call.speak(frames: 1)
    call.hangUp()
    let end = try await engine.end()
    #expect(end.reason == "done: all audio was delivered")
    #expect(store.now.texts.first?.contains(#""acknowledge":"persisted""#) == true)
    await server.stop()
  }

  @Test("Gaps are told before the audio behind them; fill is told; texts come both ways")
  func notes() async throws {
    let directory = try ScratchFolder()
    let store = ForkStore()
    let server = try await TestServer.start(.fork(store))
    let engine = try await TestEngine(directory)
    let call = try TestCall(
      in: directory, url: server.url, options: "D(both)w(audiofork)", age: 12_000 * millisecond, bufferSeconds: 1)
    // Most of it is overwritten before anybody reads the ring.
    call.speak(frames: 598)
    call.speak(.in, frames: 2)
    call.hangUp()
    engine.tell(.fork(id: call.id, isClosed: true))
    let end = try await engine.end()
    #expect(end.reason == "done: all audio was delivered")
    let texts = store.now.texts
    let gaps = engine.gaps(call.id)
    #expect(!gaps.isEmpty)
    for gap in gaps {
      let direction = gap.direction == .in ? "in" : "out"
      #expect(
        texts.contains(
          #"{"type":"gap","direction":"\#(direction)","position":\#(gap.position.frames),"start":\#(gap.start),"#
            + #""samples":\#(gap.count),"reason":"overrun"}"#))
    }
    #expect(texts.contains { $0.hasPrefix(#"{"type":"fill","direction":"out""#) })
    let fill = texts.compactMap { text -> UInt64? in
      guard text.hasPrefix(#"{"type":"fill""#), let frames = text.split(separator: ":").last else { return nil }
      return UInt64(frames.filter(\.isNumber))
    }
    #expect(fill.reduce(0, +) == end.counters.fill)
    await server.stop()
  }
}
