// SPDX-License-Identifier: Apache-2.0
import AudioForkBytes
import AudioForkEngine
import AudioForkEngineTestKit
import AudioForkLink
import AudioForkTestKit
import AudioForkWireTestKit
import Foundation
import NIOCore
import NIOHTTP1
import Testing

@Suite("Proxies and credentials over loopback", .serialized)
struct ProxyRealTimeTests {
  private typealias Scene = RedirectRealTimeTests

  @Test("Through a proxy, whose user is its alone; the server's name is looked up there")
  func tunnel() async throws {
    let proxy = try await TestProxy.start(.demand("Basic dTpwQHNz"))
    let server = try await TestServer.start()
    let end = try await Scene.deliver(
      to: "ws://alice:pass@no-such-host.invalid:\(server.port)/test",
      settings: ["proxy=http://u:p%40ss@127.0.0.1:\(proxy.port)"])
    #expect(end.reason == "done: all audio was delivered")
    #expect(server.connections.first?.carries(end.expected) == true)
    let authority = "no-such-host.invalid:\(server.port)"
    #expect(proxy.requests.count == 1)
    #expect(proxy.requests.first?.hasPrefix("CONNECT \(authority) HTTP/1.1\r\nHost: \(authority)\r\n") == true)
    #expect(proxy.requests.first?.contains("alice") == false && proxy.requests.first?.contains("YWxpY2U6") == false)
    let head = try #require(server.connections.first?.head)
    #expect(head.headers["Proxy-Authorization"].isEmpty && head.headers["Host"] == [authority])
    #expect(end.engine.lines(.debug) == [])
    await server.stop()
    await proxy.stop()
  }

  @Test("no_proxy, and an empty proxy in a profile, go there at once")
  func direct() async throws {
    let proxy = try await TestProxy.start()
    let server = try await TestServer.start()
    for settings in [["no_proxy=127.0.0.0/8"], ["proxy="], ["no_proxy=x.example, *"]] {
      let end = try await Scene.deliver(
        to: server.url, settings: ["proxy=http://127.0.0.1:\(proxy.port)"] + settings)
      #expect(end.reason == "done: all audio was delivered")
    }
    #expect(server.connections.count == 3 && proxy.requests == [])
    await server.stop()
    await proxy.stop()
  }

  @Test("407 and 403 are refusals that end a new fork after three attempts, in words of their own")
  func refused() async throws {
    let wanting = try await TestProxy.start(.demand("Basic x"))
    let forbidding = try await TestProxy.start(
      .answer("HTTP/1.1 403 Forbidden\r\nContent-Length: 21\r\n\r\nu:s3cret is unwelcome"))
    for (proxy, user, words) in [
      (wanting, "", "407 Proxy Authentication Required; it wants a user: proxy = http://user:password@host:port"),
      (
        forbidding, "u:s3cret@",
        """
        403 Forbidden: *** is unwelcome; it does not let a.example:80 through: have it allowed there, or name the host \
        in no_proxy
        """
      ),
    ] {
      let count = proxy.requests.count
      let end = try await Scene.deliver(
        to: "ws://a.example/", options: "D(both)", settings: ["proxy=http://\(user)127.0.0.1:\(proxy.port)"])
      #expect(end.reason == "proxy: http://127.0.0.1:\(proxy.port): \(words)")
      #expect(proxy.requests.count == count + 3)
      #expect(!"\(end.engine.messages)".contains("s3cret"))
    }
    await wanting.stop()
    await forbidding.stop()
  }

  @Test("What is wrong between us and the proxy, or it and the server, passes, and names the proxy")
  func outages() async throws {
    let silent = try await TestProxy.start(.silent)
    let lost = try await TestProxy.start()
    let gone = try await TestProxy.start()
    await gone.stop()
    for (port, words) in [
      (silent.port, "no answer to CONNECT within 1 s"), (lost.port, "502 Bad Gateway; it does not reach a.example:1"),
      (gone.port, "connection: refused; nothing listens there"),
    ] {
      let end = try await Scene.deliver(
        to: "ws://a.example:1/", options: "D(both)r(0)R(1)", settings: ["proxy=http://u:s3cret@127.0.0.1:\(port)"])
      #expect(
        end.reason == "unreachable: proxy: http://127.0.0.1:\(port): \(words); no attempts to reconnect are allowed")
    }
    let unknown = try await Scene.deliver(
      to: "ws://127.0.0.1:1/", options: "D(both)r(0)R(3)", settings: ["proxy=http://no-such-host.invalid:1"])
    #expect(
      unknown.reason.contains("proxy: http://no-such-host.invalid:1: dns: the host name 'no-such-host.invalid' is not"))
    await silent.stop()
    await lost.stop()
  }

  @Test("A redirect goes through the proxy too, as no_proxy says of its host")
  func redirect() async throws {
    let proxy = try await TestProxy.start()
    let target = try await TestServer.start()
    let server = try await TestServer.start(
      .answerPaths(["/a": Scene.redirect(307, to: "ws://b.invalid:\(target.port)/b")]))
    let end = try await Scene.deliver(
      to: "ws://127.0.0.1:\(server.port)/a",
      settings: ["redirects=yes", "no_proxy=127.0.0.1", "proxy=http://127.0.0.1:\(proxy.port)"])
    #expect(end.reason == "done: all audio was delivered")
    #expect(target.connections.first?.carries(end.expected) == true)
    #expect(proxy.requests.map { $0.prefix(18) } == ["CONNECT b.invalid:"])
    await server.stop()
    await target.stop()
    await proxy.stop()
  }

  @Test("A token and headers are read again for each connection, and no log shows them")
  func credentials() async throws {
    let folder = try ScratchFolder()
    let token = folder.file("token")
    let headers = folder.file("headers")
    try Data("t0ken-one\n".utf8).write(to: URL(filePath: token))
    try Data("X-Key: k3y-one\n".utf8).write(to: URL(filePath: headers))
    let directory = try ScratchFolder()
    let server = try await TestServer.start()
    let engine = try await TestEngine(directory)
    let call = try TestCall(
      in: directory, url: "ws://u:pw@127.0.0.1:\(server.port)/", options: "D(both)R(1)H(Authorization: Basic eA==)",
      settings: ["token_file=\(token)", "header_file=\(headers)", "header=X-Key: old"])
    engine.tell(.fork(id: call.id, isClosed: false))
    try await call.speak(untilMilliseconds: 300)
    try Data("t0ken-two\n".utf8).write(to: URL(filePath: token))
    try Data("X-Key: k3y-two\n".utf8).write(to: URL(filePath: headers))
    server.dropConnections()
    try await eventually(within: 5, "a second connection") { server.connections.count == 2 }
    try await call.speak(untilMilliseconds: 1000)
    // Missing for a while: an outage like any other.
    try FileManager.default.removeItem(atPath: token)
    server.dropConnections()
    try await eventually(within: 5, "a line about the file") {
      engine.lines().contains { $0.contains("cannot be read: No such file or directory") }
    }
    try Data("t0ken-three\n".utf8).write(to: URL(filePath: token))
    try await eventually(within: 5, "a third connection") { server.connections.count == 3 }
    call.hangUp()
    let end = try await engine.end()
    #expect(end.reason == "done: all audio was delivered")
    let heads = server.connections.compactMap(\.head)
    #expect(
      heads.map { $0.headers["Authorization"] } == [["Bearer t0ken-one"], ["Bearer t0ken-two"], ["Bearer t0ken-three"]])
    #expect(heads.map { $0.headers["X-Key"] } == [["k3y-one"], ["k3y-two"], ["k3y-two"]])
    let line = engine.lines().first { $0.contains("credentials: ") }
    #expect(line?.contains("AudioFork af-test-1 on PJSIP/alice-00000001") == true)
    #expect(line?.contains("credentials: token_file '\(token)' cannot be read") == true)
    #expect(!"\(engine.messages)".contains("t0ken") && !"\(engine.messages)".contains("k3y"))
    await server.stop()
  }

  @Test("A server that repeats a file's token in its refusal does not bring it into the log")
  func repeated() async throws {
    let folder = try ScratchFolder()
    try Data("t0ken-one\n".utf8).write(to: URL(filePath: folder.file("token")))
    let server = try await TestServer.start(
      .answer("HTTP/1.1 401 Unauthorized\r\nContent-Length: 23\r\n\r\nt0ken-one is not a user"))
    let end = try await Scene.deliver(
      to: server.url, options: "D(both)R(1)", settings: ["token_file=\(folder.file("token"))"])
    #expect(end.reason == "http: 401 Unauthorized: *** is not a user")
    await server.stop()
  }
}
