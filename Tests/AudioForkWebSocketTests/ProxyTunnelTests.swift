// SPDX-License-Identifier: Apache-2.0
import AudioForkSurface
import AudioForkWebSocket
import NIOCore
import NIOEmbedded
import Testing

/// A tunnel on a channel without a network.
private final class Tunnel {
  /// Notes what comes behind the tunnel.
  private final class Inner: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    var text = ""
    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      text += String(buffer: Self.unwrapInboundIn(data))
    }
  }

  let channel = EmbeddedChannel()
  private let inner = Inner()
  private let box = Box()
  /// What the proxy was sent.
  private(set) var sent = ""

  init(_ url: String = "wss://server.example/x", _ proxy: String = "http://u%3A:p%40ss@proxy.example:3128") throws {
    let address = try #require(ProxyAddress(Array(proxy.utf8)))
    let tunnel = ProxyTunnel(
      to: try EndpointURL.parse(Array(url.utf8)), through: address, agent: "audiofork/test"
    ) { [box] in box.take($0) }
    try channel.pipeline.syncOperations.addHandler(tunnel)
    try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 80)).wait()
    box.onSuccess = { [channel, inner] in try? channel.pipeline.syncOperations.addHandler(inner) }
    while let bytes = try channel.readOutbound(as: ByteBuffer.self) { sent += String(buffer: bytes) }
  }

  private final class Box {
    var outcomes: [Result<Void, ConnectionFailure>] = []
    var onSuccess: () -> Void = {}
    func take(_ outcome: Result<Void, ConnectionFailure>) {
      outcomes.append(outcome)
      if case .success = outcome { onSuccess() }
    }
  }

  var received: String { inner.text }
  var isOpen: Bool { box.outcomes.count == 1 && failure == nil }
  var failure: ConnectionFailure? {
    guard case .failure(let failure)? = box.outcomes.first else { return nil }
    return failure
  }
  var outcomeCount: Int { box.outcomes.count }

  func receive(_ text: String) throws {
    _ = try? channel.writeInbound(ByteBuffer(string: text))
    channel.embeddedEventLoop.run()
  }

  func end() { _ = try? channel.finish() }
}

@Suite("A proxy's tunnel")
struct ProxyTunnelTests {
  @Test(
    "The request names the server with its port, and the user of the proxy",
    arguments: [
      (
        "wss://server.example/x?y", "http://u%3A:p%40ss@p:1", "server.example:443",
        "\r\nProxy-Authorization: Basic dTo6cEBzcw=="
      ),
      ("ws://u:secret@server.example:8080/", "http://p:1", "server.example:8080", ""),
      ("ws://[::1]/", "http://[::2]:1", "[::1]:80", ""),
      ("ws://s/", "http://user@p:1", "s:80", "\r\nProxy-Authorization: Basic dXNlcjo="),
    ])
  func request(url: String, proxy: String, authority: String, user: String) throws {
    let tunnel = try Tunnel(url, proxy)
    #expect(
      tunnel.sent
        == "CONNECT \(authority) HTTP/1.1\r\nHost: \(authority)\r\nUser-Agent: audiofork/test\(user)\r\n\r\n")
    tunnel.end()
  }

  @Test(
    "Any 2xx opens it, whatever body it claims; what follows is the server's", arguments: ["200 OK", "204 None", "299"])
  func opens(status: String) throws {
    for pieces in [1, 7, 1000] {
      let tunnel = try Tunnel()
      let answer = "HTTP/1.0 \(status)\r\nContent-Length: 999\r\nTransfer-Encoding: chunked\r\n\r\nserver"
      var rest = answer[...]
      while !rest.isEmpty {
        try tunnel.receive(String(rest.prefix(pieces)))
        rest = rest.dropFirst(pieces)
      }
      #expect(tunnel.isOpen)
      #expect(tunnel.received == "server")
      try tunnel.receive(" more")
      #expect(tunnel.received == "server more")
      tunnel.end()
      #expect(tunnel.outcomeCount == 1)
    }
  }

  @Test(
    "A refusal says what to do, and shows nothing of the user's",
    arguments: [
      (
        "407 Proxy Authentication Required\r\nContent-Length: 0", "", ConnectionFailure.Kind.refused,
        "407 Proxy Authentication Required; it does not accept the user or the password in proxy"
      ),
      (
        "403 Forbidden\r\nContent-Length: 16", "p@ss is not good", .refused,
        """
        403 Forbidden: *** is not good; it does not let server.example:443 through: have it allowed there, or name \
        the host in no_proxy
        """
      ),
      ("502 Bad Gateway\r\nContent-Length: 0", "", .passing, "502 Bad Gateway; it does not reach server.example:443"),
      ("429 Too Many\r\nContent-Length: 0", "", .passing, "429 Too Many"),
      (
        "404 Not Found\r\nContent-Length: 0", "", .refused,
        "404 Not Found; is that an HTTP proxy, and may it CONNECT to this port?"
      ),
      ("302 Found\r\nLocation: http://elsewhere/", "", .passing, "302 Found"),
      ("101 Switching Protocols\r\nUpgrade: x", "", .passing, "101 Switching Protocols"),
    ])
  func refused(head: String, body: String, kind: ConnectionFailure.Kind, words: String) throws {
    let tunnel = try Tunnel()
    try tunnel.receive("HTTP/1.1 \(head)\r\n\r\n\(body)")
    #expect(tunnel.failure == ConnectionFailure("proxy: http://proxy.example:3128: \(words)", kind: kind))
    tunnel.end()
    #expect(tunnel.outcomeCount == 1)
  }

  @Test("Without a user in the settings 407 asks for one; Retry-After is heeded")
  func details() throws {
    let tunnel = try Tunnel("ws://s/", "http://p:1")
    try tunnel.receive("HTTP/1.1 407 No\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n")
    #expect(tunnel.failure?.reason.hasSuffix("; it wants a user: proxy = http://user:password@host:port") == true)
    #expect(tunnel.failure?.retryAfter == .seconds(7))
    tunnel.end()
  }

  @Test(
    "What is no answer, or too long, or ends early is a failure that names the proxy",
    arguments: [
      ("SSH-2.0-x\r\n", "http: the answer is not HTTP"),
      ("\u{16}\u{3}\u{1}", "http: the server answered with a TLS record"),
      (
        "HTTP/1.1 200 OK\r\nX: " + String(repeating: "a", count: 20_000),
        "http: the answer's head is longer than 16384 bytes"
      ),
      ("", "http: the connection closed without an answer"),
      ("HTTP/1.1 200", "http: the connection closed in the middle"),
      ("HTTP/1.1 200 OK\r\nX\r\n", "http: line 2 of the answer is no header"),
    ])
  func broken(text: String, words: String) throws {
    let tunnel = try Tunnel()
    try tunnel.receive(text)
    tunnel.end()
    #expect(
      tunnel.failure?.reason.hasPrefix("proxy: http://proxy.example:3128: \(words)") == true, "\(tunnel.outcomeCount)")
    #expect(tunnel.failure?.kind == .passing)
    #expect(tunnel.outcomeCount == 1)
  }

  @Test("A body that does not come is waited for only a moment")
  func slowBody() throws {
    let tunnel = try Tunnel()
    try tunnel.receive("HTTP/1.1 403 Forbidden\r\nContent-Length: 9000\r\n\r\nno way")
    #expect(tunnel.outcomeCount == 0)
    tunnel.channel.embeddedEventLoop.advanceTime(by: .milliseconds(501))
    #expect(tunnel.failure?.reason.contains(": 403 Forbidden: no way; ") == true)
    tunnel.end()
  }
}
