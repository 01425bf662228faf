// SPDX-License-Identifier: Apache-2.0
import AudioForkBytes
import AudioForkEngine
import AudioForkEngineTestKit
import AudioForkLink
import AudioForkTestKit
import AudioForkWireTestKit
import NIOCore
import NIOHTTP1
import Testing

/// Redirects and proxies over real sockets, without TLS.
@Suite("Redirects over loopback", .serialized)
struct RedirectRealTimeTests {
  static func redirect(_ status: Int, to location: String) -> String {
    "HTTP/1.1 \(status) Elsewhere\r\nLocation: \(location)\r\nContent-Length: 0\r\n\r\n"
  }

  /// A call of half a second that is over already, and the engine that delivers it.
  static func deliver(
    to url: String, options: String = "D(both)r(0)R(2)", settings: [String] = [], allow: [String] = []
  ) async throws -> (reason: String, engine: TestEngine, expected: [Int16]) {
    let directory = try ScratchFolder()
    let engine = try await TestEngine(directory)
    if !allow.isEmpty { engine.tell(.settings(allow.map { Array("allow=\($0)".utf8) })) }
    let call = try TestCall(in: directory, url: url, options: options, settings: settings, age: 500 * millisecond)
    call.speak(frames: 25)
    call.hangUp()
    engine.tell(.fork(id: call.id, isClosed: true))
    let end = try await engine.end()
    #expect(directory.names == [])
    return (end.reason, engine, call.expected)
  }

  private static let secrets = "H(X-Secret: s3cret&Authorization: Bearer t0ken)s(room=7&token=par4meter)"

  @Test(
    "301 to another path of the server is followed with all headers, and said", arguments: [301, 302, 303, 307, 308])
  func path(status: Int) async throws {
    let server = try await TestServer.start(.answerPaths(["/a/b": Self.redirect(status, to: "../c?sig=s1gned")]))
    let url = "ws://alice:pass@127.0.0.1:\(server.port)/a/b"
    let end = try await Self.deliver(to: url, options: "D(both)r(0)R(2)H(X-Secret: s3cret)s(token=par4meter)")
    #expect(end.reason == "done: all audio was delivered")
    #expect(server.connections.count == 2)
    let head = try #require(server.connections.last?.head)
    #expect(head.uri == "/c?sig=s1gned")
    #expect(head.headers["X-Secret"] == ["s3cret"] && head.headers["Authorization"] == ["Basic YWxpY2U6cGFzcw=="])
    #expect(head.headers["AudioFork-Parameters"] == ["token=par4meter"])
    #expect(server.connections.last?.carries(end.expected) == true)
    let lines = end.engine.lines(.notice)
    #expect(lines.count == 1 && end.engine.lines() == [], "\(lines)")
    #expect(lines.first?.contains(": redirected to ws://127.0.0.1:\(server.port)/c?...; each new") == true)
    // The URL of the fork stays what it was, the one in use is the other.
    #expect(lines.first?.contains(" to ws://127.0.0.1:\(server.port)/a/b: ") == true)
    #expect(!"\(end.engine.messages)".contains("s1gned") && !"\(end.engine.messages)".contains("pass"))
    await server.stop()
  }

  @Test("307 to another port of the host is followed, and no secret goes there")
  func port() async throws {
    let target = try await TestServer.start()
    let server = try await TestServer.start(
      .answerPaths(["/a": Self.redirect(307, to: "http://127.0.0.1:\(target.port)/b-s3cret")]))
    let end = try await Self.deliver(
      to: "ws://alice:pass@127.0.0.1:\(server.port)/a", options: "D(both)r(0)R(2)\(Self.secrets)")
    #expect(end.reason == "done: all audio was delivered")
    #expect(server.connections.first?.answered?.contains("s3cret") == true)
    let head = try #require(target.connections.first?.head)
    #expect(target.connections.first?.carries(end.expected) == true)
    #expect(head.headers["AudioFork-ID"] == ["af-test-1"] && head.headers["AudioFork-Parameters"] == ["room=7"])
    #expect(head.headers["Authorization"].isEmpty && head.headers["X-Secret"].isEmpty)
    for secret in ["s3cret", "t0ken", "par4meter", "pass"] { #expect(!"\(head.headers)".contains(secret), "\(secret)") }
    // What the first server knows and puts into its Location is not shown either.
    #expect(head.uri == "/b-s3cret")
    #expect(end.engine.lines(.notice).count == 1 && !"\(end.engine.messages)".contains("s3cret"))
    #expect(end.engine.lines(.notice).first?.contains("redirected to ws://127.0.0.1:\(target.port)/b-***; ") == true)
    await server.stop()
    await target.stop()
  }

  @Test("The URL in use is where the redirect led, and each connection is redirected anew; the log says it once")
  func inUse() async throws {
    let directory = try ScratchFolder()
    let server = try await TestServer.start(.answerPaths(["/a": Self.redirect(301, to: "/b?x")]))
    let engine = try await TestEngine(directory)
    let call = try TestCall(in: directory, url: "ws://127.0.0.1:\(server.port)/a")
    engine.tell(.fork(id: call.id, isClosed: false))
    for connections in [2, 4] {
      try await eventually(within: 5, "a connection") {
        server.connections.count == connections && engine.reports(call.id).last?.state == .streaming
      }
      #expect(engine.reports(call.id).last?.endpoint == "ws://127.0.0.1:\(server.port)/b?...")
      if connections == 2 { server.dropConnections() }
    }
    let waits = engine.reports(call.id).filter { $0.state == .waiting }
    #expect(waits.map(\.endpoint) == ["ws://127.0.0.1:\(server.port)/a"])
    call.hangUp()
    _ = try await engine.end()
    #expect(engine.lines(.notice).filter { $0.contains("redirected to") }.count == 1)
    await server.stop()
  }

  @Test("Another host only with redirects = yes; what is not followed shows where it leads and why")
  func host() async throws {
    let target = try await TestServer.start()
    let server = try await TestServer.start(
      .answerPaths(["/a": Self.redirect(302, to: "ws://localhost:\(target.port)/b?token=s3cret")]))
    let url = "ws://127.0.0.1:\(server.port)/a"
    let followed = try await Self.deliver(to: url, settings: ["redirects=yes"])
    #expect(followed.reason == "done: all audio was delivered")
    #expect(target.connections.count == 1)
    let place = "http: 302 Elsewhere to 'ws://localhost:\(target.port)/b?...', not followed: "
    for (settings, allow, why) in [
      ([], [], "it leads to another host; redirects = yes in a profile would follow it"),
      (["redirects=no"], [], "redirects = no"),
      (["redirects=yes"], ["ws://127.0.0.1:*"], "no line allow in [general] of audiofork.conf permits it"),
    ] as [([String], [String], String)] {
      let end = try await Self.deliver(to: url, settings: settings, allow: allow)
      #expect(end.reason == "unreachable: \(place)\(why); no attempts to reconnect are allowed")
      #expect(end.engine.lines(.error).first?.contains("see redirects in audiofork.conf") == true)
    }
    let allowed = try await Self.deliver(
      to: url, settings: ["redirects=yes"], allow: ["ws://127.0.0.1:*", "ws://local*:*/b*"])
    #expect(allowed.reason == "done: all audio was delivered")
    #expect(target.connections.count == 2)
    await server.stop()
    await target.stop()
  }

  @Test("A loop ends after the third, within the time of one attempt; it is an outage, and begins anew each time")
  func loop() async throws {
    let server = try await TestServer.start(
      .answerPaths(["/a": Self.redirect(301, to: "/b"), "/b": Self.redirect(301, to: "/a")]))
    let end = try await Self.deliver(to: "ws://127.0.0.1:\(server.port)/a", options: "D(both)r(1)R(2)")
    #expect(
      end.reason.withoutTime
        == """
        unreachable: 1 attempt failed, the last one: http: 301 Elsewhere to '/a', not followed: it is the 4th \
        redirect in a row; a redirect had led to ws://127.0.0.1:\(server.port)/b
        """)
    #expect(server.connections.count == 8)
    await server.stop()
  }

  @Test("The time of an attempt is that of the whole chain, and a failure behind a redirect says where that led")
  func time() async throws {
    let silent = try await TestServer.start(.silent)
    let gone = try await TestServer.start()
    await gone.stop()
    let server = try await TestServer.start(
      .answerPaths([
        "/silent": Self.redirect(302, to: "ws://127.0.0.1:\(silent.port)/"),
        "/gone": Self.redirect(302, to: "ws://127.0.0.1:\(gone.port)/x"),
      ]))
    let began = ContinuousClock.now
    let end = try await Self.deliver(to: "ws://127.0.0.1:\(server.port)/silent", options: "D(both)r(0)R(1)")
    #expect(
      end.reason
        == """
        unreachable: http: no answer to the upgrade request within 1 s; a redirect had led to \
        ws://127.0.0.1:\(silent.port)/; no attempts to reconnect are allowed
        """)
    #expect(ContinuousClock.now - began < .seconds(2))
    let other = try await Self.deliver(to: "ws://127.0.0.1:\(server.port)/gone", options: "D(both)r(0)R(1)")
    #expect(
      other.reason.hasPrefix(
        """
        unreachable: connection: refused; nothing listens there; a redirect had led to ws://127.0.0.1:\(gone.port)/x
        """))
    await server.stop()
    await silent.stop()
  }
}
