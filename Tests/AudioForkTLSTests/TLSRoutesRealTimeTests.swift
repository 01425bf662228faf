// SPDX-License-Identifier: Apache-2.0
import AudioForkEngine
import AudioForkEngineTestKit
import AudioForkTLS
import AudioForkTestKit
import AudioForkWireTestKit
import NIOCore
import NIOHTTP1
import Testing

/// Redirects and proxies with TLS.
@Suite("The way to a server over TLS", .serialized)
struct TLSRoutesRealTimeTests {
  private let scene: TLSScene

  init() throws { scene = try TLSScene() }

  private func redirect(to location: String) -> [String: String] {
    ["/test": "HTTP/1.1 302 Found\r\nLocation: \(location)\r\nContent-Length: 0\r\n\r\n"]
  }

  private static let options = "D(both)r(0)R(3)H(X-Secret: s3cret)"

  @Test("From ws to wss on one host with all secrets, the client certificate among them; to another port without")
  func upgrade() async throws {
    let client = try scene.certificates.issued("client")
    let mutual = try scene.security(
      scene.certificates.issued("server"), clientAuthorities: scene.certificates.authority.certificate)
    let settings = [scene.trusting, "cert_file=\(client.certificate)", "key_file=\(client.key)"]
    let secure = try await TestServer.start(security: mutual)
    let plain = try await TestServer.start(.answerPaths(redirect(to: "https://localhost:\(secure.port)/there")))
    let end = try await scene.deliver(
      to: "ws://u:pass@localhost:\(plain.port)/test", options: Self.options, settings: settings)
    #expect(end.reason == "done: all audio was delivered")
    #expect(secure.connections.last?.carries(end.expected) == true)
    #expect(secure.connections.last?.head?.headers["X-Secret"] == ["s3cret"])
    #expect(secure.connections.last?.head?.headers["Authorization"] == ["Basic dTpwYXNz"])
    #expect(end.lines.count == 1 && end.lines[0].contains("redirected to wss://localhost:\(secure.port)/there"))
    // Another port of wss is another origin, which gets no certificate: this server wants one.
    let other = try await TestServer.start(
      .answerPaths(redirect(to: "wss://localhost:\(secure.port)/there")), security: mutual)
    let refused = try await scene.deliver(to: other.secureURL, options: Self.options, settings: settings)
    #expect(refused.reason.contains("tls: the server "), "\(refused.reason)")
    #expect(refused.reason.contains("; a redirect had led to wss://localhost:\(secure.port)/there"))
    #expect(secure.connections.filter { $0.head != nil }.count == 1)
    for server in [plain, secure, other] { await server.stop() }
  }

  @Test("From wss to ws never, whatever the policy", arguments: ["same-host", "yes"])
  func downgrade(policy: String) async throws {
    let plain = try await TestServer.start()
    let secure = try await TestServer.start(
      .answerPaths(redirect(to: "http://localhost:\(plain.port)/there")),
      security: try scene.security(scene.certificates.issued("server")))
    let end = try await scene.deliver(
      to: secure.secureURL, options: Self.options, settings: [scene.trusting, "redirects=\(policy)"])
    #expect(
      end.reason
        == """
        unreachable: http: 302 Found to 'http://localhost:\(plain.port)/there', not followed: it leads from wss:// to \
        ws://, where others can listen; no attempts to reconnect are allowed
        """)
    #expect(plain.connections.isEmpty)
    await plain.stop()
    await secure.stop()
  }

  @Test("Through a proxy the certificate is verified for the server's name, and delivery is confirmed as without")
  func proxy() async throws {
    let proxy = try await TestProxy.start(.demand("Basic dTpwYXNz"))
    let secure = try await TestServer.start(security: try scene.security(scene.certificates.issued("server")))
    let setting = "proxy=http://u:pass@127.0.0.1:\(proxy.port)"
    let end = try await scene.deliver(to: secure.secureURL, settings: [scene.trusting, setting])
    #expect(end.reason == "done: all audio was delivered")
    #expect(secure.connections.last?.carries(end.expected) == true)
    #expect(proxy.requests.map { $0.prefix(22) } == ["CONNECT localhost:\(secure.port)".prefix(22)])
    #expect(!proxy.requests.joined().contains("AudioFork-"))
    let other = try await scene.deliver(
      to: "wss://other.example:\(secure.port)/test", settings: [scene.trusting, setting])
    #expect(other.reason.contains("tls: wrong host name: the certificate is for "), "\(other.reason)")
    #expect(other.reason.contains("not for 'other.example'"))
    await secure.stop()
    await proxy.stop()
  }

  @Test("A server that pongs nothing confirms by TCP through a proxy: the request to the proxy counts as no audio")
  func acknowledged() async throws {
    let proxy = try await TestProxy.start()
    for security in [nil, try scene.security(scene.certificates.issued("server"))] {
      let server = try await TestServer.start(answersPings: false, security: security)
      let end = try await scene.deliver(
        to: security == nil ? "ws://localhost:\(server.port)/test" : server.secureURL,
        settings: [scene.trusting, "proxy=http://127.0.0.1:\(proxy.port)"])
      #expect(end.reason == "done: all audio was delivered")
      #expect(server.connections.last?.carries(end.expected) == true)
      await server.stop()
    }
    await proxy.stop()
  }
}
