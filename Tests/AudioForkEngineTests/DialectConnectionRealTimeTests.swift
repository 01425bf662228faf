// SPDX-License-Identifier: Apache-2.0
import AudioForkDialects
import AudioForkEngine
import AudioForkEngineTestKit
import AudioForkLink
import AudioForkTestKit
import AudioForkWireTestKit
import NIOCore
import NIOHTTP1
import Testing

/// The engine's side of a dialect, with a dialect that does what the server asks for.
@Suite("Connections of a scripted dialect over loopback", .serialized)
struct DialectConnectionRealTimeTests {
  /// An engine whose forks speak the scripted dialect, a call, and its server.
  private struct Stage {
    let directory: ScratchFolder
    let server: TestServer
    let engine: ContextEngine
    let call: TestCall

    init(
      _ type: any DialectSession.Type, _ behavior: TestServer.Behavior, id: String, options: String = "D(both)R(1)",
      settings: [String] = [], frames: Int = 0
    ) async throws {
      directory = try ScratchFolder()
      server = try await TestServer.start(behavior)
      engine = try await ContextEngine(directory, EngineContext(dialects: { _ in type }))
      engine.tell(.settings([]))
      let url = "ws://alice:s3cret@127.0.0.1:\(server.port)/test"
      call = try TestCall(
        in: directory, id: id, url: url, options: options, settings: settings, age: Int64(frames) * 20 * millisecond)
      call.speak(frames: frames)
      engine.tell(.fork(id: id, isClosed: false))
    }

    var texts: [String] { server.connections.last?.texts ?? [] }

    func end() async throws -> (reason: String, counters: ForkCounters) { try await engine.finish(call.id) }
  }

  // MARK: - Timers

  @Test("A session's deadline is kept, an earlier one replaces it, and a repeated one comes again")
  func deadlines() async throws {
    let script: [TestServer.Answer] = [.text("arm 60000"), .text("repeat 40"), .text("arm 60")]
    let stage = try await Stage(
      ScriptedDialect<PlainScript>.self, .converse([["hello 1": script, "timeout": []]]), id: "af-deadlines")
    try await eventually(within: 10, "three deadlines") { stage.texts.filter { $0 == "timeout" }.count >= 3 }
    stage.call.hangUp()
    let end = try await stage.end()
    #expect(end.reason == "done: all audio was delivered")
    #expect(!stage.texts.contains("early"))
    // None after the end.
    let count = ScriptLog.words(of: stage.call.id).count
    try await Task.sleep(nanoseconds: 150_000_000)
    #expect(ScriptLog.words(of: stage.call.id).count == count)
    await stage.server.stop()
  }

  @Test("A deadline that is taken back is not kept")
  func disarmed() async throws {
    let script: [TestServer.Answer] = [.text("arm 80"), .text("disarm"), .text("say armed")]
    let stage = try await Stage(
      ScriptedDialect<PlainScript>.self, .converse([["hello 1": script]]), id: "af-disarmed")
    try await eventually("the script is over") { stage.texts.contains("armed") }
    try await Task.sleep(nanoseconds: 200_000_000)
    #expect(ScriptLog.words(of: stage.call.id) == [])
    stage.call.hangUp()
    _ = try await stage.end()
    await stage.server.stop()
  }

  @Test("A session knows whether audio was sent: it speaks only in silence")
  func keptAlive() async throws {
    let stage = try await Stage(
      ScriptedDialect<KeptAliveScript>.self, .record, id: "af-kept-alive", options: "D(in)nR(1)")
    try await eventually("connected") { stage.engine.states(stage.call.id).contains(.streaming) }
    let before = ScriptLog.words(of: stage.call.id).count
    try await stage.call.speak(untilMilliseconds: 600)
    // A busy machine may have been silent itself.
    let spoken = stage.texts.filter { $0 == "still here" }.count - before
    #expect(spoken <= 1)
    try await eventually(within: 5, "it speaks in silence") {
      stage.texts.filter { $0 == "still here" }.count >= before + spoken + 2
    }
    #expect(!ScriptLog.words(of: stage.call.id).contains("early"))
    stage.call.hangUp()
    _ = try await stage.end()
    await stage.server.stop()
  }

  // MARK: - The gate

  @Test("No audio leaves before the server has opened the gate, and then all of it")
  func gate() async throws {
    let stage = try await Stage(
      ScriptedDialect<GatedScript>.self, .converse([["hello 1": [.text("say waiting")]]]),
      id: "af-gate", options: "D(both)R(5)", frames: 20)
    try await eventually("the server was heard") { stage.texts == ["hello 1", "waiting"] }
    try await Task.sleep(nanoseconds: 200_000_000)
    #expect(stage.server.connections.last?.audio.isEmpty == true)
    #expect(!stage.engine.states(stage.call.id).contains(.streaming))
    stage.engine.tell(.forget(id: stage.call.id))
    _ = try await stage.end()
    await stage.server.stop()

    let open = try await Stage(
      ScriptedDialect<GatedScript>.self, .converse([["hello 1": [.text("say first"), .text("ready")]]]),
      id: "af-gate-2", frames: 20)
    try await eventually("audio") { open.server.connections.last?.audio.isEmpty == false }
    open.call.hangUp()
    #expect(try await open.end().reason == "done: all audio was delivered")
    #expect(open.texts == ["hello 1", "first", "end"])
    #expect(open.server.connections.last?.carries(open.call.expected) == true)
    await open.server.stop()
  }

  @Test("A gate that stays shut for R seconds is a failed attempt, and no audio was sent")
  func shutGate() async throws {
    let stage = try await Stage(
      ScriptedDialect<GatedScript>.self, .converse([["hello 1": [.text("say waiting")]]]), id: "af-shut-gate",
      options: "D(both)r(0)R(1)", frames: 20)
    let end = try await stage.end()
    #expect(
      end.reason == "unreachable: server: no answer to start within 1 s; no attempts to reconnect are allowed")
    #expect(stage.server.connections.count == 1 && stage.server.connections.last?.audio.isEmpty == true)
    #expect(end.counters.bytes == 0)
    await stage.server.stop()
  }

  // MARK: - Actions

  @Test("The server's wish to end ends the fork in order; its last word before the end ends nothing")
  func close() async throws {
    let stage = try await Stage(
      ScriptedDialect<PlainScript>.self, .converse([["hello 1": [.text("close")]]]), id: "af-close")
    #expect(try await stage.end().reason.hasPrefix("server: "))
    #expect(stage.server.connections.count == 1)
    #expect(stage.engine.lines() == [])
    await stage.server.stop()

    let finished = try await Stage(
      ScriptedDialect<PlainScript>.self, .converse([["hello 1": [.text("finished"), .text("say said")]]]),
      id: "af-finished", frames: 20)
    try await eventually("it was said") { finished.texts.contains("said") }
    #expect(finished.engine.ended(finished.call.id) == nil)
    finished.call.hangUp()
    #expect(try await finished.end().reason == "done: all audio was delivered")
    #expect(finished.server.connections.last?.carries(finished.call.expected) == true)
    await finished.server.stop()
  }

  @Test("What the engine cannot do is logged once, and errors of the server a few times, without secrets")
  func ignored() async throws {
    let script: [TestServer.Answer] =
      [.text("play"), .text("pause"), .text("hangup")]
      + (1...8).map { .text("complain error \($0) with s3cret") } + [.text("tell one two three")]
    let stage = try await Stage(
      ScriptedDialect<PlainScript>.self, .converse([["hello 1": script]]), id: "af-ignored", frames: 20)
    try await eventually("the script is over") { stage.engine.texts(stage.call.id) == ["one", "two", "three"] }
    let lines = stage.engine.lines()
    #expect(lines.filter { $0.contains("the server asks to play audio") && $0.contains("ignored") }.count == 1)
    #expect(lines.filter { $0.contains("the server reports: error ") }.count == 5)
    #expect(lines.count == 6, "\(lines)")
    #expect(!lines.contains { $0.contains("s3cret") })
    stage.call.hangUp()
    #expect(try await stage.end().reason == "done: all audio was delivered")
    #expect(stage.server.connections.last?.carries(stage.call.expected) == true)
    await stage.server.stop()
  }

  @Test("What breaks the dialect's rules breaks the connection, with its name")
  func violation() async throws {
    let stage = try await Stage(
      ScriptedDialect<PlainScript>.self, .converse([["hello 1": [.text("violate a dance")]]]), id: "af-violation",
      options: "D(both)r(0)R(1)")
    #expect(try await stage.end().reason.contains("protocol: the server sent a dance"))
    #expect(stage.server.connections.first?.closeCode == 1002)
    await stage.server.stop()
  }

  @Test("Binary messages of the server reach a dialect that takes them, and no other")
  func binary() async throws {
    let script = ["hello 1": [TestServer.Answer.binary([1, 2, 3]), .text("say done")]]
    for type in [ScriptedDialect<HearingScript>.self, ScriptedDialect<PlainScript>.self] as [any DialectSession.Type] {
      let stage = try await Stage(type, .converse([script]), id: "af-binary")
      try await eventually("answered") { stage.texts.contains("done") }
      #expect(stage.texts.contains("binary of 3") == type.takesBinary)
      stage.call.hangUp()
      _ = try await stage.end()
      await stage.server.stop()
    }
  }

  @Test("The request knows the time and a number that is another one each time")
  func request() async throws {
    var nonces: Set<String> = []
    for _ in 1...2 {
      let stage = try await Stage(ScriptedDialect<PlainScript>.self, .record, id: "af-request")
      try await eventually("connected") { stage.texts == ["hello 1"] }
      let headers = try #require(stage.server.connections.last?.head?.headers)
      #expect((headers.first(name: "Made-At").flatMap { Int($0) } ?? 0) > 1_700_000_000)
      nonces.insert(try #require(headers.first(name: "Nonce")))
      stage.call.hangUp()
      _ = try await stage.end()
      await stage.server.stop()
    }
    #expect(nonces.count == 2)
  }
}
