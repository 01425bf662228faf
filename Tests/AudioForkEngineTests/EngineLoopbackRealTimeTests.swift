// SPDX-License-Identifier: Apache-2.0
import AudioForkMedia
import AudioForkEngine
import AudioForkEngineTestKit
import AudioForkLink
import AudioForkTestKit
import AudioForkWireTestKit
import NIOCore
import NIOHTTP1
import NIOWebSocket
import Testing

/// Engine and server in this process, over real sockets; the call is written by the real tap.
@Suite("Engine over loopback", .serialized)
struct EngineLoopbackRealTimeTests {
  @Test("A call that is over already arrives whole, and nothing of it is left")
  func finishedCall() async throws {
    let directory = try ScratchFolder()
    let server = try await TestServer.start()
    let engine = try await TestEngine(directory)
    let call = try TestCall(in: directory, url: server.url, age: 4000 * millisecond)
    call.speak(frames: 200)
    call.hangUp()
    engine.tell(.fork(id: call.id, isClosed: false))
    let end = try await engine.end()
    #expect(end.reason == "done: all audio was delivered")
    #expect(end.counters.position == 32_000)
    #expect(end.counters.fill == 0)
    #expect(end.counters.lost == 0)
    #expect(end.counters.bytes == 64_000)
    #expect(end.counters.reconnects == 0)
    let connections = server.connections
    #expect(connections.count == 1)
    #expect(connections.first?.carries(call.expected) == true)
    #expect(connections.first?.messageSizes.count == 200)
    #expect(connections.first?.messageSizes.allSatisfy { $0 == 320 } == true)
    #expect(connections.first?.closeCode == 1000)
    #expect(directory.names == [])
    #expect(engine.lines() == [])
    #expect(engine.states(call.id).first == .connecting)
    #expect(engine.states(call.id).last == .draining)
    await server.stop()
  }

  @Test("The request names fork, channel, call, direction and format")
  func requestHeaders() async throws {
    let directory = try ScratchFolder()
    let server = try await TestServer.start()
    let engine = try await TestEngine(directory)
    let url = "ws://alice:secret@127.0.0.1:\(server.port)/a?b=c"
    let call = try TestCall(in: directory, url: url, options: "D(in)", directions: .in, age: 20 * millisecond)
    call.speak(frames: 1)
    call.hangUp()
    engine.tell(.fork(id: call.id, isClosed: true))
    _ = try await engine.end()
    let head = try #require(server.connections.first?.head)
    #expect(head.uri == "/a?b=c")
    let expected = [
      "Host": "127.0.0.1:\(server.port)", "AudioFork-ID": call.id, "AudioFork-Channel": "PJSIP/alice-00000001",
      "AudioFork-UniqueID": "1700000000.1", "AudioFork-LinkedID": "1700000000.0", "AudioFork-Direction": "in",
      "AudioFork-Format": "slin", "AudioFork-Rate": "8000", "AudioFork-Channels": "1",
      "Authorization": "Basic YWxpY2U6c2VjcmV0", "Sec-WebSocket-Protocol": "echo",
      "User-Agent": "audiofork/\(audioforkVersion)",
    ]
    for (name, value) in expected { #expect(head.headers[name] == [value]) }
    #expect(server.connections.first?.carries(call.expected) == true)
    await server.stop()
  }

  @Test("A live call arrives in real time, exact to the sample, while the server's pings are answered")
  func liveCall() async throws {
    let directory = try ScratchFolder()
    let server = try await TestServer.start(pingEvery: .milliseconds(100))
    let engine = try await TestEngine(directory)
    let call = try TestCall(in: directory, url: server.url)
    engine.tell(.fork(id: call.id, isClosed: false))
    try await call.speak(untilMilliseconds: 1000)
    // What was due a while ago has arrived: nothing waits for the call's end.
    let arrived = server.connections.first?.audio.count ?? 0
    #expect(arrived > 800 * 16)
    try await call.speak(untilMilliseconds: 2000)
    call.hangUp()
    let end = try await engine.end()
    #expect(end.reason == "done: all audio was delivered")
    #expect(server.connections.count == 1)
    #expect(server.connections.first?.carries(call.expected) == true)
    let pongs = server.connections.first?.pongs ?? []
    #expect(pongs.count >= 10)
    #expect(pongs == pongs.indices.map { [UInt8($0 + 1)] })
    #expect(engine.states(call.id) == [.connecting, .streaming, .draining])
    #expect(engine.lines() == [])
    await server.stop()
  }

  @Test("A server restarted in mid-call misses nothing and gets at most a second and a half again, in order")
  func serverRestart() async throws {
    let directory = try ScratchFolder()
    var server = try await TestServer.start()
    let engine = try await TestEngine(directory)
    let call = try TestCall(in: directory, url: server.url)
    engine.tell(.fork(id: call.id, isClosed: false))
    for restart in 1...2 {
      // Far enough apart that the backlog of the one break is confirmed before the next.
      try await call.speak(untilMilliseconds: Int64(restart) * 2200)
      await server.stop()
      try await call.speak(untilMilliseconds: Int64(restart) * 2200 + 300)
      server = try await TestServer.start(port: server.port, keeping: server)
    }
    try await call.speak(untilMilliseconds: 5500)
    call.hangUp()
    let end = try await engine.end()
    #expect(end.reason == "done: all audio was delivered")
    #expect(end.counters.reconnects == 2)
    #expect(end.counters.position == UInt64(call.expected.count))
    let reception = Reception(server.connections, expected: call.expected)
    #expect(reception.isExact)
    #expect(reception.missing == 0)
    #expect(reception.repeats.count == 2)
    #expect(reception.repeats.allSatisfy { $0 <= 12_000 })
    // Two outages, each with a beginning and an end, or one where the second break came soon after the first.
    let lines = engine.lines()
    #expect(lines.count == 2 || lines.count == 4, "\(lines)")
    #expect(lines.first?.contains("AudioFork af-test-1 on PJSIP/alice-00000001 to ws://127.0.0.1") == true)
    #expect(lines.contains { $0.contains("connected again after") })
    await server.stop()
  }

  @Test("A server that is absent at the start and comes up gets the audio from the fork's start")
  func serverComesUp() async throws {
    let directory = try ScratchFolder()
    let probe = try await TestServer.start()
    let port = probe.port
    await probe.stop()
    let engine = try await TestEngine(directory)
    let call = try TestCall(in: directory, url: "ws://127.0.0.1:\(port)/", options: "D(both)R(1)")
    engine.tell(.fork(id: call.id, isClosed: false))
    try await call.speak(untilMilliseconds: 1000)
    let server = try await TestServer.start(port: port)
    try await call.speak(untilMilliseconds: 2500)
    call.hangUp()
    _ = try await engine.end()
    #expect(server.connections.last?.carries(call.expected) == true)
    #expect(engine.lines().count == 2, "\(engine.lines())")
    #expect(engine.lines().first?.contains("refused; nothing listens there") == true)
    await server.stop()
  }

  @Test("A server that refuses for good ends the fork with its answer; the password is in no line")
  func refusal() async throws {
    let directory = try ScratchFolder()
    let server = try await TestServer.start(.answer("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"))
    let engine = try await TestEngine(directory)
    let call = try TestCall(in: directory, url: "ws://alice:secret@127.0.0.1:\(server.port)/x")
    engine.tell(.fork(id: call.id, isClosed: false))
    let end = try await engine.end()
    #expect(end.reason == "http: 403 Forbidden")
    #expect(server.connections.count == 3)
    #expect(directory.names == [])
    #expect(engine.lines(.error).count == 1)
    #expect(engine.lines(.debug).allSatisfy { !$0.contains("secret") })
    await server.stop()
  }

  @Test("A server that is overloaded is tried again, r times, and the end says so")
  func unavailable() async throws {
    let directory = try ScratchFolder()
    let server = try await TestServer.start(.answer("HTTP/1.1 503 Service Unavailable\r\n\r\n"))
    let engine = try await TestEngine(directory)
    let call = try TestCall(in: directory, url: server.url, options: "r(2)R(1)")
    engine.tell(.fork(id: call.id, isClosed: false))
    let end = try await engine.end()
    #expect(end.reason.withoutTime == "unreachable: 2 attempts failed, the last one: http: 503 Service Unavailable")
    #expect(server.connections.count == 3)
    #expect(engine.lines(.warning).count == 2, "one line for the outage, one for the end")
    await server.stop()
  }

  @Test("A server that accepts and never answers fails the attempt after R seconds, with that reason")
  func silentServer() async throws {
    let directory = try ScratchFolder()
    let server = try await TestServer.start(.silent)
    let engine = try await TestEngine(directory)
    let call = try TestCall(in: directory, url: server.url, options: "r(0)R(1)")
    engine.tell(.fork(id: call.id, isClosed: false))
    let end = try await engine.end()
    #expect(
      end.reason
        == "unreachable: http: no answer to the upgrade request within 1 s; no attempts to reconnect are allowed")
    await server.stop()
  }

  @Test("A name that nobody knows, and a port where nobody listens, are reasons")
  func noServer() async throws {
    let directory = try ScratchFolder()
    let engine = try await TestEngine(directory)
    let unknown = try TestCall(in: directory, id: "a", url: "ws://no-such-host.invalid/", options: "r(0)R(3)")
    let closed = try TestCall(in: directory, id: "b", url: "ws://127.0.0.1:1/", options: "r(0)R(3)")
    engine.tell(.fork(id: unknown.id, isClosed: false))
    engine.tell(.fork(id: closed.id, isClosed: false))
    #expect(try await engine.end(of: "a").reason.contains("dns: the host name 'no-such-host.invalid' is not known"))
    #expect(try await engine.end(of: "b").reason.contains("connection: refused; nothing listens there"))
  }

  @Test("A server that closes with 1000 ends the fork; one that closes with 1011 is tried again")
  func serverCloses() async throws {
    let directory = try ScratchFolder()
    let server = try await TestServer.start(.closeAfter(bytes: 3200, code: .normalClosure))
    let engine = try await TestEngine(directory)
    let call = try TestCall(in: directory, url: server.url, age: 1000 * millisecond)
    call.speak(frames: 50)
    engine.tell(.fork(id: call.id, isClosed: false))
    let end = try await engine.end()
    // The Close came while the rest was on its way: that much is not known to have arrived.
    #expect(end.reason.hasPrefix("server: closed with 1000; "))
    #expect(end.reason.hasSuffix(" ms unconfirmed"))
    #expect(server.connections.count == 1)
    #expect(engine.lines() == [])
    await server.stop()

    let other = try await TestServer.start(.closeAfter(bytes: 3200, code: .unexpectedServerError))
    let second = try TestCall(in: directory, id: "af-test-2", url: other.url, options: "r(1)", age: 1000 * millisecond)
    second.speak(frames: 50)
    engine.tell(.fork(id: second.id, isClosed: false))
    #expect(
      try await engine.end(of: second.id).reason.withoutTime
        == "unreachable: 1 attempt failed, the last one: server: closed with 1011")
    #expect(other.connections.count == 2)
    await other.stop()
  }

  @Test("What cannot be drained in time ends the fork and says how much it was")
  func drainExpires() async throws {
    let directory = try ScratchFolder()
    let engine = try await TestEngine(directory)
    let call = try TestCall(
      in: directory, url: "ws://127.0.0.1:1/", options: "R(1)", drainSeconds: 1, age: 400 * millisecond)
    call.speak(frames: 20)
    call.hangUp()
    engine.tell(.fork(id: call.id, isClosed: true))
    let end = try await engine.end()
    #expect(end.reason == "drain: 400 ms undelivered; connection: refused; nothing listens there")
    #expect(directory.names == [])
  }

  @Test("A stopped engine leaves its files, and the next one goes on without missing a sample")
  func engineRestarts() async throws {
    let directory = try ScratchFolder()
    let server = try await TestServer.start()
    let call = try TestCall(in: directory, url: server.url)
    for part in 1...3 {
      let engine = try await TestEngine(directory)
      engine.tell(.fork(id: call.id, isClosed: false))
      engine.tell(.tableEnd)
      try await call.speak(untilMilliseconds: Int64(part) * 900)
      #expect(try await engine.stop() == .stopped)
      #expect(engine.ended(call.id) == nil)
      #expect(directory.names == ["\(call.id).cursor", "\(call.id).ring"])
    }
    let last = try await TestEngine(directory)
    last.tell(.fork(id: call.id, isClosed: false))
    try await call.speak(untilMilliseconds: 3000)
    call.hangUp()
    let end = try await last.end()
    #expect(end.counters.position == UInt64(call.expected.count))
    #expect(end.counters.reconnects == 3)
    let reception = Reception(server.connections, expected: call.expected)
    #expect(reception.isExact)
    #expect(reception.missing == 0)
    #expect(reception.repeats.allSatisfy { $0 <= 12_000 }, "\(reception.repeats)")
    #expect(server.connections.dropLast().allSatisfy { $0.closeCode == 1001 })
    await server.stop()
  }

  @Test("When the module is gone the rest is drained, the files go, and the engine would exit")
  func moduleGone() async throws {
    let directory = try ScratchFolder()
    let server = try await TestServer.start()
    let engine = try await TestEngine(directory)
    let call = try TestCall(in: directory, url: server.url)
    engine.tell(.fork(id: call.id, isClosed: false))
    try await call.speak(untilMilliseconds: 500)
    // No end of capture is ever marked: Asterisk was killed.
    #expect(try await engine.moduleGone() == .finished)
    #expect(server.connections.first?.carries(call.expected) == true)
    #expect(engine.ended(call.id)?.reason == "done: all audio was delivered")
    #expect(directory.names == [])
    let idle = try await TestEngine(directory)
    #expect(try await idle.moduleGone() == .finished)
    await server.stop()
  }

  @Test("A fork that a whole table does not name is finished; a forgotten one is dropped with its files")
  func table() async throws {
    let directory = try ScratchFolder()
    let server = try await TestServer.start()
    let engine = try await TestEngine(directory)
    let calls = try ["a", "b", "c"].map { try TestCall(in: directory, id: $0, url: server.url, age: 500 * millisecond) }
    for call in calls {
      call.speak(frames: 25)
      engine.tell(.fork(id: call.id, isClosed: false))
    }
    engine.tell(.tableEnd)
    try await eventually("all stream") { server.connections.filter { $0.audio.count == 8000 }.count == 3 }
    engine.tell(.forget(id: "a"))
    #expect(try await engine.end(of: "a").reason.hasPrefix("forgotten:"))
    #expect(directory.names == ["b.cursor", "b.ring", "c.cursor", "c.ring"])
    engine.tell(.hello(version: "22", protocolVersion: 1))
    engine.tell(.fork(id: "b", isClosed: false))
    engine.tell(.tableEnd)
    #expect(try await engine.end(of: "c").reason == "done: all audio was delivered")
    #expect(engine.ended("b") == nil)
    calls[1].hangUp()
    _ = try await engine.end(of: "b")
    // A row that comes late for a fork that has ended begins nothing: the module cannot know yet.
    engine.tell(.fork(id: "b", isClosed: true))
    engine.tell(.fork(id: "d", isClosed: true))
    _ = try await engine.end(of: "d")
    #expect(engine.messages.filter { if case .ended("b", _, _) = $0 { true } else { false } }.count == 1)
    await server.stop()
  }

  @Test("A ring that is missing, foreign or asks for nonsense ends the fork with a reason and one line")
  func badFiles() async throws {
    let directory = try ScratchFolder()
    let engine = try await TestEngine(directory)
    // A live fork may get a ring still, once the module has made its directory again.
    engine.tell(.fork(id: "missing", isClosed: false))
    try await Task.sleep(nanoseconds: 200_000_000)
    #expect(engine.messages.allSatisfy { if case .ended = $0 { false } else { true } })
    engine.tell(.fork(id: "missing", isClosed: true))
    #expect(try await engine.end(of: "missing").reason.hasPrefix("ring: there is no ring file"))
    let bad = try TestCall(in: directory, id: "bad", url: "http://x/", options: "")
    engine.tell(.fork(id: bad.id, isClosed: false))
    #expect(try await engine.end(of: "bad").reason.hasPrefix("options: "))
    #expect(engine.lines(.error).count == 1)
    #expect(directory.names == [])
  }

  @Test("Many forks at once all arrive whole")
  func manyForks() async throws {
    let directory = try ScratchFolder()
    let server = try await TestServer.start()
    let engine = try await TestEngine(directory)
    let calls = try (0..<40).map {
      try TestCall(in: directory, id: "af-\($0)", url: server.url, age: 1000 * millisecond, bufferSeconds: 2)
    }
    for call in calls {
      call.speak(frames: 50)
      call.hangUp()
      engine.tell(.fork(id: call.id, isClosed: false))
    }
    for call in calls { _ = try await engine.end(of: call.id, within: 20) }
    let expected = TestCall.expected(frames: 50)
    #expect(server.connections.count == 40)
    #expect(server.connections.allSatisfy { $0.carries(expected) && $0.closeCode == 1000 })
    #expect(directory.names == [])
    await server.stop()
  }

  @Test("A server that stops reading costs bounded memory, is lapped with reported gaps, and goes on exactly")
  func stalledServer() async throws {
    let directory = try ScratchFolder()
    let server = try await TestServer.start(.stall)
    let engine = try await TestEngine(directory)
    // A ring of a second: whatever the sockets do not hold is soon overwritten. The ten minutes that are sent at the
    // end take at least three seconds (50 blocks a tick), and longer on a busy machine: the drain must not cut them.
    let call = try TestCall(in: directory, url: server.url, drainSeconds: 40, bufferSeconds: 1)
    engine.tell(.fork(id: call.id, isClosed: false))
    try await eventually("connected") { engine.states(call.id).contains(.streaming) }
    for _ in 0..<600 {
      call.speak(frames: 50)
      try await Task.sleep(nanoseconds: 2_000_000)
    }
    try await eventually("behind") { server.connections.first?.head != nil }
    server.resume()
    call.hangUp()
    let end = try await engine.end(within: 50)
    #expect(end.counters.lost > 0)
    #expect(end.counters.gaps > 0)
    #expect(engine.lines().contains { $0.contains("captured samples lost in") })
    #expect(engine.gaps(call.id).reduce(0) { $0 + $1.count } == end.counters.lost)
    #expect(engine.gaps(call.id).allSatisfy { $0.reason == .overrun && $0.count > 0 })
    // Every captured sample is in the stream or in a gap; lost ones became fill in a continuous stream.
    #expect(end.counters.position == UInt64(call.framesWritten * TestCall.frameSamples))
    #expect(end.counters.lost == end.counters.fill)
    await server.stop()
  }

  @Test("A server that takes nothing more at the end is not called delivered to")
  func stalledAtTheEnd() async throws {
    let directory = try ScratchFolder()
    let server = try await TestServer.start(.stall)
    let engine = try await TestEngine(directory)
    let call = try TestCall(in: directory, url: server.url, options: "f(slin48)", drainSeconds: 2, bufferSeconds: 20)
    engine.tell(.fork(id: call.id, isClosed: false))
    try await eventually("connected") { engine.states(call.id).contains(.streaming) }
    // More than both sockets hold.
    for _ in 0..<400 {
      call.speak(frames: 50)
      try await Task.sleep(nanoseconds: 2_000_000)
    }
    call.hangUp()
    let end = try await engine.end(within: 20)
    #expect(end.reason.contains(#/^drain: [1-9][0-9]* ms undelivered/#), "\(end.reason)")
    #expect(end.counters.undeliveredMilliseconds > 0)
    #expect(end.counters.confirmed < end.counters.position)
    await server.stop()
  }

  @Test("Everything is confirmed at a good end, and STATE tells meanwhile how far it is")
  func confirmed() async throws {
    let directory = try ScratchFolder()
    let server = try await TestServer.start()
    let engine = try await TestEngine(directory)
    let call = try TestCall(in: directory, url: server.url)
    engine.tell(.fork(id: call.id, isClosed: false))
    try await call.speak(untilMilliseconds: 2500)
    call.hangUp()
    let end = try await engine.end()
    #expect(end.counters.confirmed == end.counters.position)
    #expect(end.counters.undeliveredMilliseconds == 0)
    #expect(end.counters.captured == UInt64(2 * call.framesWritten * TestCall.frameSamples))
    let streaming = engine.messages.compactMap {
      if case .state(call.id, .streaming, _, server.url, let counters) = $0 { counters } else { nil }
    }
    #expect(streaming.count >= 3, "at the beginning and once a second")
    #expect(zip(streaming, streaming.dropFirst()).allSatisfy { $0.confirmed < $1.confirmed })
    #expect(streaming.allSatisfy { $0.confirmed <= $0.position })
    await server.stop()
  }

  @Test("Texts of the server go to the module, the flood of them does not; texts for it reach it")
  func texts() async throws {
    let directory = try ScratchFolder()
    let server = try await TestServer.start(.talk((0..<80).map { "text \($0)" }))
    let engine = try await TestEngine(directory)
    let call = try TestCall(in: directory, url: server.url)
    engine.tell(.sendText(id: call.id, text: Array("to nobody".utf8)))
    engine.tell(.fork(id: call.id, isClosed: false))
    try await eventually("connected") { engine.states(call.id).contains(.streaming) }
    engine.tell(.sendText(id: call.id, text: Array("né".utf8)))
    engine.tell(.sendText(id: call.id, text: [0xFF]))
    try await call.speak(untilMilliseconds: 600)
    call.hangUp()
    let end = try await engine.end()
    let heard = engine.messages.compactMap { message -> String? in
      guard case .text(call.id, let text, let length, _) = message, text.count == Int(length) else { return nil }
      return String(decoding: text, as: UTF8.self)
    }
    #expect(heard.prefix(50).elementsEqual((0..<50).map { "text \($0)" }))
    #expect(UInt64(heard.count) + end.counters.dropped == 80)
    #expect(end.counters.dropped > 0)
    #expect(engine.lines().filter { $0.contains("more than 50 texts in a second") }.count == 1)
    #expect(engine.lines().filter { $0.contains("is not UTF-8") }.count == 1)
    #expect(server.connections.first?.texts == ["né"])
    #expect(server.connections.first?.carries(call.expected) == true)
    await server.stop()
  }

  @Test("What audiofork.v1 uses itself is no text: 300 acknowledgements beside 40 texts drop none of them")
  func protocolMessages() async throws {
    let directory = try ScratchFolder()
    let acks = [String](repeating: #"{"type":"ack","position":0}"#, count: 300)
    let texts = (0..<40).map { #"{"type":"text","text":"text \#($0)"}"# }
    let server = try await TestServer.start(.talk([#"{"type":"resume","position":0}"#] + acks + texts))
    let engine = try await TestEngine(directory)
    let call = try TestCall(in: directory, url: server.url, options: "D(both)w(audiofork)")
    engine.tell(.fork(id: call.id, isClosed: false))
    func heard() -> [(text: String, dropped: UInt64)] {
      engine.messages.compactMap { message in
        guard case .text(call.id, let text, _, let dropped) = message else { return nil }
        return (String(decoding: text, as: UTF8.self), dropped)
      }
    }
    try await eventually("all are heard") { heard().count == 40 }
    #expect(heard().map(\.text) == (0..<40).map { "text \($0)" })
    #expect(heard().allSatisfy { $0.dropped == 0 })
    engine.tell(.forget(id: call.id))
    #expect(try await engine.end().reason.hasPrefix("forgotten:"))
    await server.stop()
  }

  @Test("A second URL is tried when the first fails, and one that refuses for good is not the end")
  func failover() async throws {
    let directory = try ScratchFolder()
    let refusing = try await TestServer.start(.answer("HTTP/1.1 403 Forbidden\r\n\r\n"))
    let server = try await TestServer.start()
    let engine = try await TestEngine(directory)
    let call = try TestCall(in: directory, url: refusing.url, furtherURLs: ["ws://127.0.0.1:1/", server.url])
    call.speak(frames: 20)
    engine.tell(.fork(id: call.id, isClosed: false))
    try await eventually("connected") { engine.states(call.id).contains(.streaming) }
    call.hangUp()
    #expect(try await engine.end().reason == "done: all audio was delivered")
    #expect(refusing.connections.count == 1)
    #expect(server.connections.first?.carries(call.expected) == true)

    let hopeless = try TestCall(in: directory, id: "af-test-2", url: refusing.url, furtherURLs: [refusing.url])
    engine.tell(.fork(id: hopeless.id, isClosed: false))
    #expect(try await engine.end(of: hopeless.id).reason == "http: 403 Forbidden")
    #expect(refusing.connections.count == 7, "three times each")
    await refusing.stop()
    await server.stop()
  }
}
