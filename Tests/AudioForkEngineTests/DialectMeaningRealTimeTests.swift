// SPDX-License-Identifier: Apache-2.0
import AudioForkDialects
import AudioForkEngine
import AudioForkEngineTestKit
import AudioForkLink
import AudioForkTestKit
import AudioForkWireTestKit
import NIOCore
import Testing

/// What a dialect makes of a refusal and of a Close, and what becomes of the fork.
@Suite("Meanings of a scripted dialect over loopback", .serialized)
struct DialectMeaningRealTimeTests {
  /// Delivers half a second of a call, which stays open while the server has its way. Returns how the fork ended; nil:
  /// it went on, and was ended by the call's end.
  private func outcome(
    _ type: any DialectSession.Type, _ behavior: TestServer.Behavior, options: String = "D(both)r(2)R(1)",
    settings: [String] = [], connections: Int? = nil
  ) async throws -> (reason: String, connections: Int, errors: Int) {
    let directory = try ScratchFolder()
    let server = try await TestServer.start(behavior)
    let engine = try await ContextEngine(directory, EngineContext(dialects: { _ in type }))
    engine.tell(.settings([]))
    let call = try TestCall(
      in: directory, url: server.url, options: options, settings: settings, age: 500 * millisecond)
    call.speak(frames: 25)
    engine.tell(.fork(id: call.id, isClosed: false))
    if let connections {
      try await eventually(within: 10, "\(connections) connections") {
        server.connections.count == connections && server.connections.last?.audio.isEmpty == false
      }
      call.hangUp()
    }
    let end = try await engine.finish(call.id)
    let count = server.connections.count
    await server.stop()
    return (end.reason, count, engine.lines(.error).count)
  }

  /// A server that closes its first connection so, at the first word, and accepts the others.
  private func closing(_ code: UInt16?, _ reason: String = "") -> TestServer.Behavior {
    .converse([["hello 1": [.close(code, reason)]], ["hello 1": [.text("ready")], "hello 2": [.text("ready")]]])
  }

  @Test("A Close that refuses ends the fork with an error, before and after audio could be sent")
  func refuses() async throws {
    for type in [ScriptedDialect<PlainScript>.self, ScriptedDialect<GatedScript>.self] as [any DialectSession.Type] {
      let end = try await outcome(type, closing(4001, "no money"))
      #expect(end.reason == "server: closed with 4001 (no money)", "\(type)")
      #expect(end.connections == 1 && end.errors == 1, "\(type)")
    }
  }

  @Test("A Close that ends ends the fork in order, unless on_close = reconnect")
  func ends() async throws {
    for type in [ScriptedDialect<PlainScript>.self, ScriptedDialect<GatedScript>.self] as [any DialectSession.Type] {
      let end = try await outcome(type, closing(4002))
      #expect(end.reason.hasPrefix("server: closed"), "\(type): \(end.reason)")
      #expect(end.connections == 1 && end.errors == 0, "\(type)")
      let kept = try await outcome(type, closing(4002), settings: ["on_close=reconnect"], connections: 2)
      #expect(kept.reason == "done: all audio was delivered", "\(type)")
      #expect(kept.connections == 2, "\(type)")
    }
  }

  @Test("A refusing Close is final with on_close = reconnect too")
  func refusesForGood() async throws {
    let end = try await outcome(
      ScriptedDialect<PlainScript>.self, closing(4001), settings: ["on_close=reconnect"])
    #expect(end.reason == "server: closed with 4001" && end.connections == 1)
  }

  @Test("A Close that is unclear, or that breaks, has another connection follow", arguments: [4003, 1000])
  func continues(code: UInt16) async throws {
    let end = try await outcome(
      ScriptedDialect<PlainScript>.self, closing(code, code == 1000 ? "for now" : ""), connections: 2)
    #expect(end.reason == "done: all audio was delivered" && end.connections == 2)
  }

  @Test("What a dialect says nothing about means what it means in any")
  func silent() async throws {
    let normal = try await outcome(ScriptedDialect<PlainScript>.self, closing(1000))
    #expect(normal.reason.hasPrefix("server: closed with 1000") && normal.connections == 1)
    let other = try await outcome(ScriptedDialect<PlainScript>.self, closing(4999), connections: 2)
    #expect(other.reason == "done: all audio was delivered")
  }

  @Test(
    "A refusal is judged by its status and the first line of its body",
    arguments: [
      ("402 Payment Required", "", 1, "http: 402 Payment Required"),
      ("500 Internal Server Error", "blocked", 1, "http: 500 Internal Server Error: blocked"),
      ("500 Internal Server Error", "sorry", 3, "unreachable: 2 attempts failed, "),
      ("403 Forbidden", "maintenance", 3, "unreachable: 2 attempts failed, "),
      ("403 Forbidden", "", 3, "http: 403 Forbidden"),
    ])
  func refusal(status: String, body: String, connections: Int, reason: String) async throws {
    let answer = "HTTP/1.1 \(status)\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
    let end = try await outcome(ScriptedDialect<PlainScript>.self, .answer(answer))
    #expect(end.reason.withoutTime.hasPrefix(reason), "\(end.reason)")
    #expect(end.connections == connections)
  }
}
