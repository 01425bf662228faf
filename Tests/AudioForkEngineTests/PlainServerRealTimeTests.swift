// SPDX-License-Identifier: Apache-2.0
import AudioForkEngine
import AudioForkEngineTestKit
import AudioForkLink
import AudioForkMedia
import AudioForkTestKit
import AudioForkWireTestKit
import Foundation
import NIOCore
import NIOHTTP1
import NIOWebSocket
import Testing

/// What servers need that know no dialect of ours: long messages, a pace, and time for a last word.
@Suite("Plain servers over loopback", .serialized)
struct PlainServerRealTimeTests {
  private let directory: ScratchFolder

  init() throws { directory = try ScratchFolder() }

  // MARK: - Length of a message

  @Test("A server that takes no message below 50 ms hears the whole call with m(200), silence behind its last word")
  func longMessages() async throws {
    let server = try await TestServer.start(.closeIfShort(bytes: 800, WebSocketErrorCode(codeNumber: 4031)))
    let engine = try await TestEngine(directory)
    let call = try TestCall(in: directory, url: server.url, options: "D(both)m(200)", age: 2140 * millisecond)
    // The last message would have one block.
    call.speak(frames: 101)
    call.hangUp()
    engine.tell(.fork(id: call.id, isClosed: true))
    let end = try await engine.end()
    #expect(end.reason == "done: all audio was delivered")
    #expect(end.counters.position == 16_160 && end.counters.confirmed == 16_160)
    let connections = server.connections
    #expect(connections.count == 1 && connections.first?.closeCode == 1000)
    #expect(connections.first?.messageSizes == [Int](repeating: 3200, count: 11))
    #expect(connections.first?.carries(call.expected + [Int16](repeating: 0, count: 9 * 160)) == true)
    #expect(engine.lines() == [])
    await server.stop()
  }

  @Test("A live call arrives in whole messages, each as soon as it is full, and pings ask about whole messages")
  func liveMessages() async throws {
    let server = try await TestServer.start()
    let engine = try await TestEngine(directory)
    let call = try TestCall(in: directory, url: server.url, options: "D(both)m(100)")
    engine.tell(.fork(id: call.id, isClosed: false))
    try await call.speak(untilMilliseconds: 1000)
    let arrived = server.connections.first?.audio.count ?? 0
    #expect(arrived >= 850 * 16 && arrived.isMultiple(of: 1600), "\(arrived)")
    try await call.speak(untilMilliseconds: 1500)
    call.hangUp()
    let end = try await engine.end()
    #expect(end.reason == "done: all audio was delivered" && end.counters.confirmation == .pong)
    #expect(server.connections.count == 1)
    #expect(server.connections.first?.messageSizes == [Int](repeating: 1600, count: 15))
    #expect(server.connections.first?.carries(call.expected) == true)
    let positions = (server.connections.first?.pings ?? []).map { $0.reduce(0) { $0 << 8 | Int($1) } }
    #expect(positions.count > 1 && positions.allSatisfy { $0.isMultiple(of: 800) }, "\(positions)")
    await server.stop()
  }

  @Test(
    "A server that leaves in mid-call misses nothing with m(200); with replay = none nothing comes twice",
    arguments: [true, false])
  func reconnects(replays: Bool) async throws {
    let server = try await TestServer.start(.closeAfter(bytes: 16_000, code: .goingAway))
    let engine = try await TestEngine(directory)
    let call = try TestCall(
      in: directory, url: server.url, options: "D(both)R(1)m(200)", settings: replays ? [] : ["replay=none"])
    engine.tell(.fork(id: call.id, isClosed: false))
    try await call.speak(untilMilliseconds: 2600)
    call.hangUp()
    let end = try await engine.end()
    #expect(end.reason == "done: all audio was delivered")
    #expect(end.counters.reconnects >= 1)
    let reception = Reception(server.connections, expected: call.expected)
    #expect(reception.isExact)
    for sizes in server.connections.map(\.messageSizes) { #expect(sizes.allSatisfy { $0 == 3200 }, "\(sizes)") }
    if replays {
      #expect(reception.missing == 0 && end.counters.lost == 0)
      #expect(reception.repeats.allSatisfy { $0 <= 16_000 }, "\(reception.repeats)")
    } else {
      #expect(reception.repeats.allSatisfy { $0 == 0 })
      let gaps = engine.gaps(call.id)
      #expect(end.counters.lost == gaps.reduce(0) { $0 + $1.count })
      #expect(UInt64(reception.missing) <= end.counters.lost / 2)
    }
    await server.stop()
  }

  @Test("An engine that stops in the middle of a message has sent what was collected, and the next one continues")
  func engineStops() async throws {
    let server = try await TestServer.start()
    var engine = try await TestEngine(directory)
    let call = try TestCall(in: directory, url: server.url, options: "D(both)m(1000)")
    engine.tell(.fork(id: call.id, isClosed: false))
    try await call.speak(untilMilliseconds: 1500)
    #expect(try await engine.stop() == .stopped)
    engine = try await TestEngine(directory)
    engine.tell(.fork(id: call.id, isClosed: false))
    try await call.speak(untilMilliseconds: 2000)
    call.hangUp()
    let end = try await engine.end()
    #expect(end.reason == "done: all audio was delivered" && end.counters.lost == 0)
    let connections = server.connections
    #expect(connections.count == 2)
    let first = try #require(connections.first).samples
    let second = try #require(connections.last).samples
    #expect(first.count > 8000, "what was collected has left")
    #expect((first + second).prefix(call.expected.count).elementsEqual(call.expected), "nothing twice, nothing missing")
    await server.stop()
  }

  @Test("Without fill the words before a silence wait for the length of a message and no longer")
  func silence() async throws {
    let server = try await TestServer.start()
    let engine = try await TestEngine(directory)
    let call = try TestCall(in: directory, url: server.url, options: "D(both)nm(400)")
    engine.tell(.fork(id: call.id, isClosed: false))
    try await call.speak(untilMilliseconds: 500)
    try await eventually(within: 2, "the rest of the sentence") { server.connections.first?.audio.count == 8000 }
    #expect(server.connections.first?.messageSizes == [6400, 1600])
    call.hangUp()
    let end = try await engine.end()
    #expect(end.reason == "done: all audio was delivered")
    await server.stop()
  }

  @Test("audiofork.v1 with m(200): each message begins where the last one ended, over a gap and a reconnect")
  func positions() async throws {
    let store = ForkStore()
    let server = try await TestServer.start(.fork(store))
    let engine = try await TestEngine(directory)
    let call = try TestCall(
      in: directory, url: server.url, options: "D(both)w(audiofork)m(200)", age: 2500 * millisecond, bufferSeconds: 1)
    // More than the ring holds, so that it begins with a gap.
    call.speak(frames: 125)
    engine.tell(.fork(id: call.id, isClosed: false))
    try await call.speak(untilMilliseconds: 3300)
    server.dropConnections()
    try await call.speak(untilMilliseconds: 3700)
    call.hangUp()
    let end = try await engine.end()
    #expect(end.reason == "done: all audio was delivered" && end.counters.confirmation == .app)
    #expect(end.counters.confirmed == UInt64(call.expected.count))
    let stored = store.now
    #expect(stored.holes == 0 && stored.duplicates == 0)
    #expect(stored.samples.count == call.expected.count, "not filled up with silence")
    let lost = Int(engine.gaps(call.id).filter { $0.direction == .in }.reduce(0) { $0 + $1.count })
    #expect(lost > 0 && stored.samples.dropFirst(lost).elementsEqual(call.expected.dropFirst(lost)))
    #expect(stored.texts.contains { $0.contains(#""type":"gap""#) })
    let sizes = server.connections.flatMap(\.messageSizes)
    #expect(sizes.count < 30 && sizes.max() == 3208, "\(sizes)")
    await server.stop()
  }

  @Test("audiofork.v1 with m(1000): digits cut messages short without end, and the stream continues; fill is told")
  func digitsInLongMessages() async throws {
    let store = ForkStore()
    let server = try await TestServer.start(.fork(store))
    let engine = try await TestEngine(directory)
    let call = try TestCall(in: directory, url: server.url, options: "D(both)w(audiofork)m(1000)")
    engine.tell(.fork(id: call.id, isClosed: false))
    for second: Int64 in 1...7 {
      try await call.speak(untilMilliseconds: second * 600)
      call.press("5")
    }
    // In alone: fill of out behind the last message that was full.
    try await call.speak(.in, untilMilliseconds: 5000)
    call.hangUp()
    let end = try await engine.end()
    #expect(end.reason == "done: all audio was delivered" && end.counters.lost == 0)
    let stored = store.now
    #expect(stored.holes == 0 && stored.samples.count == 40_000)
    #expect(stored.texts.count { $0.contains(#""type":"dtmf""#) } == 7)
    let filled = stored.texts.filter { $0.contains(#""type":"fill","direction":"out""#) }.compactMap { text in
      text.split(separator: ":").last.flatMap { Int($0.dropLast()) }
    }
    #expect(filled.reduce(0, +) == 6400, "\(filled)")
    await server.stop()
  }

  // MARK: - Pace

  @Test(
    "A server that allows half a second beyond real time: at 1 the replay breaks nothing, and arrives late and whole")
  func realTimePace() async throws {
    let server = try await TestServer.start(.closeIfFast(pace: 1, seconds: 0.5))
    let engine = try await TestEngine(directory)
    let call = try TestCall(
      in: directory, url: server.url, options: "D(both)R(1)", settings: ["catch_up=1"], age: 1500 * millisecond)
    call.speak(frames: 75)
    engine.tell(.fork(id: call.id, isClosed: false))
    try await call.speak(untilMilliseconds: 2500)
    call.hangUp()
    let end = try await engine.end()
    #expect(end.reason == "done: all audio was delivered" && end.counters.reconnects == 0)
    #expect(server.connections.count == 1 && server.connections.first?.carries(call.expected) == true)
    await server.stop()
  }

  @Test("Without catch_up that server closes again and again")
  func noPace() async throws {
    let server = try await TestServer.start(.closeIfFast(pace: 1, seconds: 0.5))
    let engine = try await TestEngine(directory)
    let call = try TestCall(in: directory, url: server.url, options: "D(both)R(1)", age: 4000 * millisecond)
    call.speak(frames: 200)
    call.hangUp()
    engine.tell(.fork(id: call.id, isClosed: true))
    try await eventually(within: 5, "it is closed twice") { server.connections.count >= 3 }
    await server.stop()
  }

  @Test("A replay out of buffer or spool keeps to its pace, and catches up for good", arguments: [false, true])
  func catchesUp(spools: Bool) async throws {
    // A little more than the pace, for what a tick of this machine may be late.
    let absent = try await TestServer.start()
    await absent.stop()
    let folder = try ScratchFolder()
    let engine = try await TestEngine(directory)
    let call = try TestCall(
      in: directory, url: absent.url, options: "D(both)R(1)",
      settings: ["catch_up=2x"] + (spools ? ["spool=\(folder.path)", "buffer=1"] : []), drainSeconds: 30,
      bufferSeconds: spools ? 1 : 10)
    engine.tell(.fork(id: call.id, isClosed: false))
    try await call.speak(untilMilliseconds: 1500)
    let server = try await TestServer.start(port: absent.port, .closeIfFast(pace: 2, seconds: 0.4))
    let arrived = { server.connections.first?.audio.count ?? 0 }
    try await call.speak(untilMilliseconds: 5500)
    // Caught up: a block is there a moment after it was captured.
    for moment in stride(from: 5600 as Int64, through: 6000, by: 100) {
      try await call.speak(untilMilliseconds: moment)
      #expect(arrived() >= Int(moment - 150) * 16, "\(arrived() / 16) of \(moment) ms")
    }
    call.hangUp()
    let end = try await engine.end()
    #expect(end.reason == "done: all audio was delivered")
    #expect(end.counters.lost == 0 && end.counters.gaps == 0 && end.counters.reconnects == 0)
    #expect(server.connections.count == 1 && server.connections.first?.carries(call.expected) == true)
    await server.stop()
  }

  // MARK: - First and last text

  @Test("The first text comes before any audio of each connection, also after a reconnect")
  func firstText() async throws {
    let text = #"{"config":{"sample_rate":8000,"caller":"Zoë \"x\""}}"#
    let server = try await TestServer.start(.needsText(text))
    let engine = try await TestEngine(directory)
    let call = try TestCall(
      in: directory, url: server.url, options: "D(both)R(1)", settings: ["first_text=\(text)", "last_text=eof"])
    engine.tell(.fork(id: call.id, isClosed: false))
    try await call.speak(untilMilliseconds: 400)
    server.dropConnections()
    try await call.speak(untilMilliseconds: 800)
    call.hangUp()
    let end = try await engine.end()
    #expect(end.reason == "done: all audio was delivered" && end.counters.reconnects == 1)
    let connections = server.connections
    #expect(connections.map(\.order) == ["tb", "tbt"])
    #expect(connections.map(\.texts) == [[text], [text, "eof"]])
    #expect(connections.map { $0.head?.headers["AudioFork-Connection"] } == [["1"], ["2"]])
    let reception = Reception(connections, expected: call.expected)
    #expect(reception.isExact && reception.missing == 0)
    // From the heads alone the audio of each connection has its place.
    for connection in connections {
      let position = try #require(connection.head?.headers["AudioFork-Position"].first.flatMap { Int($0) })
      #expect(call.expected[position...].starts(with: connection.samples))
    }
    await server.stop()
  }

  @Test(
    "The last text stands behind the last byte of a backlog; the final answer comes before the fork's end",
    arguments: [nil, WebSocketErrorCode.normalClosure])
  func lastText(code: WebSocketErrorCode?) async throws {
    let eof = #"{"eof":1}"#
    let server = try await TestServer.start(.answerText(eof, after: .milliseconds(700), [#"{"text":"bye"}"#], code))
    let engine = try await TestEngine(directory)
    let call = try TestCall(
      in: directory, url: server.url, options: "D(in)", settings: ["last_text=\(eof)", "linger=2"],
      directions: .in, drainSeconds: 1, age: 3000 * millisecond)
    call.speak(frames: 150)
    call.hangUp()
    engine.tell(.fork(id: call.id, isClosed: true))
    let end = try await engine.end()
    #expect(end.reason == "done: all audio was delivered")
    #expect(engine.texts(call.id) == [#"{"text":"bye"}"#])
    let connection = try #require(server.connections.first)
    #expect(connection.order == "bt" && connection.texts == [eof] && connection.carries(call.expected))
    #expect(server.connections.count == 1 && engine.lines() == [])
    await server.stop()
  }

  @Test("A server that closes in order as soon as it has read the last text has got everything", arguments: [0, 20])
  func closesAtOnce(linger: Int) async throws {
    let server = try await TestServer.start(.closeOnText(.normalClosure), answersPings: false)
    let engine = try await TestEngine(directory)
    let call = try finishedCall(server, ["last_text=eof", "linger=\(linger)"])
    engine.tell(.fork(id: call.id, isClosed: true))
    let end = try await engine.end(within: 5)
    #expect(end.reason == "done: all audio was delivered" && end.counters.lost == 0)
    #expect(server.connections.count == 1 && server.connections.first?.order == "bt")
    await server.stop()
  }

  // MARK: - Last words

  /// A call of half a second that is over.
  private func finishedCall(_ server: TestServer, _ settings: [String]) throws -> TestCall {
    let call = try TestCall(
      in: directory, url: server.url, settings: settings, drainSeconds: 1, age: 500 * millisecond)
    call.speak(frames: 25)
    call.hangUp()
    return call
  }

  @Test(
    "The server's last words count until its Close, which ends the fork at once and is no failure, whatever its code",
    arguments: [WebSocketErrorCode.normalClosure, .goingAway, .unexpectedServerError])
  func lastWords(code: WebSocketErrorCode) async throws {
    // Later than the time for draining.
    let server = try await TestServer.start(.answerSilence(after: .milliseconds(1500), ["almost", "final"], code))
    let engine = try await TestEngine(directory)
    let call = try finishedCall(server, ["linger=20"])
    engine.tell(.fork(id: call.id, isClosed: true))
    try await eventually("it waits") { engine.states(call.id).last == .draining }
    let end = try await engine.end(within: 10)
    #expect(end.reason == "done: all audio was delivered" && end.counters.lost == 0)
    #expect(engine.texts(call.id) == ["almost", "final"])
    #expect(engine.states(call.id).last == .draining)
    #expect(server.connections.count == 1 && engine.lines() == [])
    await server.stop()
  }

  @Test("A server that says nothing more is closed when the time is over, and one that is gone is not waited for")
  func noWords() async throws {
    let server = try await TestServer.start()
    let engine = try await TestEngine(directory)
    let call = try finishedCall(server, ["linger=1"])
    let clock = ContinuousClock()
    let began = clock.now
    engine.tell(.fork(id: call.id, isClosed: true))
    _ = try await engine.end()
    #expect(clock.now - began > .seconds(1) && clock.now - began < .seconds(3))
    #expect(server.connections.count == 1 && server.connections.first?.closeCode == 1000)
    let gone = try finishedCall(server, ["linger=20"])
    let second = try await TestEngine(directory)
    second.tell(.fork(id: gone.id, isClosed: true))
    try await eventually("all is delivered") {
      second.reports(gone.id).last?.counters.confirmed == UInt64(gone.expected.count)
    }
    server.dropConnections()
    let end = try await second.end(within: 3)
    #expect(end.reason == "done: all audio was delivered")
    #expect(server.connections.count == 2)
    await server.stop()
  }

  @Test(
    "An engine that stops or dies while it waits for last words: the next one sends nothing again",
    arguments: [true, false])
  func engineEnds(dies: Bool) async throws {
    let server = try await TestServer.start()
    let engine = try await TestEngine(directory)
    let call = try finishedCall(server, ["linger=20"])
    engine.tell(.fork(id: call.id, isClosed: true))
    try await eventually("all is delivered") {
      engine.reports(call.id).last?.counters.confirmed == UInt64(call.expected.count)
    }
    // What a dead engine leaves.
    let files = try directory.names.map { name in
      (name, try Data(contentsOf: URL(fileURLWithPath: "\(directory.path)/\(name)")))
    }
    #expect(files.map(\.0).sorted() == ["af-test-1.cursor", "af-test-1.ring"])
    #expect(try await engine.stop() == .stopped)
    #expect(engine.ended(call.id)?.reason == "done: all audio was delivered")
    #expect(directory.names == [])
    if dies {
      for (name, data) in files { try data.write(to: URL(fileURLWithPath: "\(directory.path)/\(name)")) }
      let next = try await TestEngine(directory)
      next.tell(.fork(id: call.id, isClosed: true))
      let end = try await next.end(within: 3)
      #expect(end.reason == "done: all audio was delivered")
      #expect(end.counters.confirmed == UInt64(call.expected.count) && end.counters.lost == 0)
    }
    #expect(server.connections.count == 1)
    await server.stop()
  }
}
