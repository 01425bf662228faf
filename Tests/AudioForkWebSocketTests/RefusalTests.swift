// SPDX-License-Identifier: Apache-2.0
import AudioForkWebSocket
import NIOCore
import NIOEmbedded
import Testing

/// What an administrator learns from a server that refuses.
@Suite("A refusal's words")
struct RefusalTests {
  private final class Listener: WebSocketOwner {
    var failures: [ConnectionFailure] = []
    func webSocketOpened(_ session: WebSocketSession) {}
    func webSocketFailed(_ failure: ConnectionFailure) { failures.append(failure) }
    func webSocketReceived(_ session: WebSocketSession, text: String) {}
    func webSocketReceived(_ session: WebSocketSession, pong: ByteBuffer) {}
    func webSocketEnded(_ session: WebSocketSession, _ end: SessionEnd) {}
  }

  private struct Attempt {
    let channel = EmbeddedChannel()
    let owner = Listener()

    init(isPlain: Bool = true, _ configure: (inout UpgradeRequest) -> Void = { _ in }) throws {
      var request = UpgradeRequest(host: Array("example.org".utf8), target: Array("/".utf8))
      request.subprotocols = ["echo"]
      configure(&request)
      try UpgradeHandler.install(
        in: channel, request: request, key: "dGhlIHNhbXBsZSBub25jZQ==", owner: owner, isPlain: isPlain)
      try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 80)).wait()
    }

    func receive(_ text: String) throws {
      if channel.isActive { try channel.writeInbound(ByteBuffer(string: text)) }
    }

    var reason: String? { owner.failures.count == 1 ? owner.failures.first?.reason : nil }
  }

  /// The reason for a refusal with this body, which must be the same whole and byte by byte.
  private func reason(
    _ body: String, status: String = "400 Bad Request", fields: String = "", isPlain: Bool = true,
    _ configure: (inout UpgradeRequest) -> Void = { _ in }
  ) throws -> String {
    let answer = "HTTP/1.1 \(status)\r\n\(fields)Content-Length: \(body.utf8.count)\r\n\r\n\(body)"
    let whole = try Attempt(isPlain: isPlain, configure)
    try whole.receive(answer)
    let pieces = try Attempt(isPlain: isPlain, configure)
    for scalar in answer.unicodeScalars { try pieces.receive(String(scalar)) }
    #expect(whole.reason == pieces.reason)
    #expect(!whole.channel.isActive)
    return try #require(whole.reason)
  }

  @Test(
    "The first line of the body that says more than the status is in the reason",
    arguments: [
      (
        #"{"err_msg":"unsupported sample rate 8000"}"#,
        #"http: 400 Bad Request: {"err_msg":"unsupported sample rate 8000"}"#
      ),
      ("{\r\n  \"error\":   \"no model\"\r\n}", "http: 400 Bad Request: \"error\": \"no model\""),
      ("Bad Request\n", "http: 400 Bad Request"),
      ("400 Bad Request.\n\nthe quota is used up", "http: 400 Bad Request: the quota is used up"),
      ("\r\n \t\r\n", "http: 400 Bad Request"), ("", "http: 400 Bad Request"),
      (
        """
        <!DOCTYPE html><html><head><style>p { x: 1 }</style><title>400 Bad Request</title></head>\
        <body><h1>Bad Request</h1><!-- nothing --><p>Room <b>17</b> &amp; 18 are full</p></body></html>
        """,
        "http: 400 Bad Request: Room 17 & 18 are full"
      ),
      ("<script>alert(1)", "http: 400 Bad Request"),
      ("\u{1B}[2Jred\u{9B}1m \u{202E}kcab\u{7F}", "http: 400 Bad Request: ?[2Jred?1m ?kcab?"),
      (String(repeating: "y", count: 5000), "http: 400 Bad Request: \(String(repeating: "y", count: 200))..."),
      (String(repeating: "ä", count: 120), "http: 400 Bad Request: \(String(repeating: "ä", count: 100))..."),
    ])
  func firstLine(body: String, expected: String) throws {
    #expect(try reason(body) == expected)
  }

  @Test("Of a body no more than a few KiB are read, in no more than half a second, however its length is told")
  func limits() throws {
    let chunked = try Attempt()
    try chunked.receive("HTTP/1.1 400 Bad Request\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n")
    for piece in ["5;x=y\r\nno ro", "\r\n6\r\nom lef\r\n1\r\nt\r\n", "0\r\n\r\n"] {
      #expect(chunked.owner.failures == [])
      try chunked.receive(piece)
    }
    #expect(chunked.reason == "http: 400 Bad Request: no room left")

    let untilClose = try Attempt()
    try untilClose.receive("HTTP/1.1 503 Service Unavailable\r\n\r\nbusy")
    #expect(untilClose.owner.failures == [])
    untilClose.channel.pipeline.fireChannelInactive()
    #expect(untilClose.reason == "http: 503 Service Unavailable: busy")

    let slow = try Attempt()
    try slow.receive("HTTP/1.1 400 Bad Request\r\nContent-Length: 100\r\n\r\nslow")
    slow.channel.embeddedEventLoop.advanceTime(by: UpgradeHandler.bodyWait - .milliseconds(1))
    try slow.receive("ly")
    #expect(slow.owner.failures == [])
    slow.channel.embeddedEventLoop.advanceTime(by: .milliseconds(1))
    #expect(slow.reason == "http: 400 Bad Request: slowly")
    #expect(!slow.channel.isActive)

    let endless = try Attempt()
    try endless.receive("HTTP/1.1 400 Bad Request\r\nContent-Length: 1000000000000000000000\r\n\r\nall\n")
    for number in 0..<4 {
      #expect(endless.owner.failures == [], "\(number) KiB")
      try endless.receive(String(repeating: "z", count: 1023) + "\n")
    }
    #expect(endless.reason == "http: 400 Bad Request: all")

    for chunk in ["x\r\n", "-1\r\nabc", "fffffffffffffffff\r\n", "2\r\nabc", String(repeating: "0", count: 300)] {
      let broken = try Attempt()
      try broken.receive("HTTP/1.1 400 Bad Request\r\nTransfer-Encoding: chunked\r\n\r\n\(chunk)")
      #expect(broken.owner.failures.count == 1, "\(chunk)")
    }
    let compressed = try Attempt()
    try compressed.receive("HTTP/1.1 400 Bad Request\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd")
    #expect(compressed.reason == "http: 400 Bad Request")
  }

  @Test("The time limit of the whole attempt finds the refusal, not silence")
  func soFar() throws {
    let channel = EmbeddedChannel()
    let owner = Listener()
    let handler = try UpgradeHandler.install(
      in: channel, request: UpgradeRequest(host: [], target: [47]), key: "x", owner: owner, isPlain: true)
    try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 80)).wait()
    #expect(handler.refusalSoFar == nil)
    try channel.writeInbound(ByteBuffer(string: "HTTP/1.1 403 No\r\nContent-Length: 9\r\n\r\nnot"))
    #expect(handler.refusalSoFar == ConnectionFailure("http: 403 No: not", kind: .refused))
    _ = try channel.finish()
  }

  private static let nginxPlain = """
    <html>\r
    <head><title>400 The plain HTTP request was sent to HTTPS port</title></head>\r
    <body>\r
    <center><h1>400 Bad Request</h1></center>\r
    <center>The plain HTTP request was sent to HTTPS port</center>\r
    <hr><center>nginx/1.22.1</center>\r
    </body>\r
    </html>\r

    """
  private static let apachePlain = """
    <!DOCTYPE HTML PUBLIC "-//IETF//DTD HTML 2.0//EN">
    <html><head>
    <title>400 Bad Request</title>
    </head><body>
    <h1>Bad Request</h1>
    <p>Your browser sent a request that this server could not understand.<br />
    Reason: You're speaking plain HTTP to an SSL-enabled server port.<br />
     Instead use the HTTPS scheme to access this URL, please.<br />
    </p>
    </body></html>
    """

  @Test(
    "Three mistakes that every administrator makes are told with what to do",
    arguments: [
      (nginxPlain, true, "The plain HTTP request was sent to HTTPS port; this port speaks TLS: use wss://"),
      (apachePlain, true, "could not understand.; this port speaks TLS: use wss://"),
      ("Client sent an HTTP request to an HTTPS server.\n", true, "an HTTPS server.; this port speaks TLS: use wss://"),
      (
        nginxPlain.replacing(
          "The plain HTTP request was sent to HTTPS port", with: "No required SSL certificate was sent"), false,
        """
        No required SSL certificate was sent; the server wants a client certificate: set cert_file and key_file in a \
        profile
        """
      ),
      (
        nginxPlain.replacing("The plain HTTP request was sent to HTTPS port", with: "The SSL certificate error"), false,
        """
        The SSL certificate error; the server wants another client certificate: cert_file in a profile has to be from \
        an authority that it trusts
        """
      ),
      (
        "Failed to open a WebSocket connection: invalid subprotocol; expected one of chat.\n", true,
        "expected one of chat.; 'echo' was offered: set the one that the server wants with subprotocol in a profile"
      ),
    ])
  func hints(body: String, isPlain: Bool, end: String) throws {
    let reason = try reason(body, isPlain: isPlain)
    #expect(reason.hasPrefix("http: 400 Bad Request: ") && reason.hasSuffix(end), "\(reason)")
  }

  @Test("No hint says what cannot be: wss:// where there is TLS already, sub-protocols where they are fixed")
  func noHints() throws {
    #expect(try !reason(Self.nginxPlain, isPlain: false).contains("wss://"))
    let fixed = try reason("no such subprotocol") {
      $0.subprotocols = ["audiofork.v1"]
      $0.needsSubprotocol = true
    }
    #expect(fixed == "http: 400 Bad Request: no such subprotocol")
    let none = try reason("missing subprotocol") { $0.subprotocols = [] }
    #expect(none.hasSuffix("; none was offered: set the one that the server wants with subprotocol in a profile"))
  }

  @Test("What the request held that could be a secret is not shown, though the server repeats it")
  func secrets() throws {
    let reason = try reason(
      "got Bearer s3cr3t-token, Basic YWxpY2U6b3BlbiBzZXNhbWU=, open sesame, open%20sesame, q9uery and X-Room 17"
    ) {
      $0.userInformation = Array("alice:open%20sesame".utf8)
      $0.givenHeaders = [
        RequestHeader(name: "Authorization", value: Array("Bearer s3cr3t-token".utf8)),
        RequestHeader(name: "X-Room", value: Array("17".utf8)),
      ]
      $0.secrets = [Array("q9uery".utf8)]
    }
    #expect(reason == "http: 400 Bad Request: got ***, Basic ***, ***, ***, *** and X-Room 17")
    let phrase = try self.reason("", status: "400 no s3cr3t-token here") {
      $0.givenHeaders = [RequestHeader(name: "X-Key", value: Array("s3cr3t-token".utf8))]
    }
    #expect(phrase == "http: 400 no *** here")
  }

  @Test(
    "A secret is not shown in escaped form either",
    arguments: [
      (#"{"got":"ab\/cd+e\u0066==gh"}"#, #"{"got":"***"}"#), ("got ab&#x2F;cd+ef&#61;=gh", "got ***"),
      ("<p>got ab&#47;cd&#x2b;ef==gh!", "got ***!"), ("got ab%2fcd%2bef%3d%3dgh, ab%2Fcd%2Bef%3D%3Dgh", "got ***, ***"),
      ("two  words here, two words here", "***, ***"), ("ab/cd+ef%zz & 100% \\ &#x; &#xD800; \\u12", nil),
    ])
  func escapedSecrets(body: String, expected: String?) throws {
    let reason = try reason(body) { $0.secrets = [Array("ab/cd+ef==gh".utf8), Array("two  words here".utf8)] }
    #expect(reason == "http: 400 Bad Request: \(expected ?? body)")
  }

  @Test(
    "Where a body was cut, what begins a secret at its end is not shown",
    arguments: [
      ("got ab/c", "got ***"), ("got ab%2fcd%2", "got ***"), ("got ab&#x2F;cd&#x", "got ***"),
      (#"got ab\/cd\"#, "got ***"), ("got ab/", "got ab/"), ("got ab/cx", "got ab/cx"),
      ("ab/cd, and more", "ab/cd, and more"),
    ])
  func cutSecrets(body: String, expected: String) throws {
    let attempt = try Attempt { $0.secrets = [Array("ab/cd+ef==gh".utf8)] }
    try attempt.receive("HTTP/1.1 400 Bad Request\r\nContent-Length: 9000\r\n\r\n\(body)")
    _ = try? attempt.channel.finish()
    #expect(attempt.reason == "http: 400 Bad Request: \(expected)")
    #expect(try reason("got ab/c") { $0.secrets = [Array("ab/cd+ef==gh".utf8)] }.hasSuffix("got ab/c"), "a whole one")
  }

  @Test(
    "A redirect is told with its target, without what could be a secret",
    arguments: [
      ("wss://example.org:8443/audio", "wss://example.org:8443/audio"),
      ("https://user:pass@example.org/a?token=abc#x", "https://...@example.org/a?..."),
      ("https://user:pa/ss@example.org", "https://...@example.org"),
      ("/other?x", "/other?..."), ("/other#y", "/other"), ("//u@h", "//...@h"), ("/a\u{9B}b", "/a?b"),
      ("/" + String(repeating: "p", count: 300), "/" + String(repeating: "p", count: 199) + "..."),
    ])
  func redirect(location: String, shown: String) throws {
    let attempt = try Attempt()
    try attempt.receive("HTTP/1.1 302 Found\r\nLocation: \(location)\r\nContent-Length: 9\r\n\r\n")
    #expect(attempt.owner.failures == [ConnectionFailure("http: 302 Found to '\(shown)'", location: location)])
  }

  @Test(
    "A redirect may be followed; another 3xx, and a redirect that says two places, may not",
    arguments: [(301, "/x"), (302, "/x"), (303, "/x"), (307, "/x"), (308, "/x"), (300, nil), (304, nil), (305, nil)])
  func followable(status: Int, location: String?) throws {
    for (lines, expected) in [
      ("Location: /x\r\n", location), ("Location: /x\r\nLocation: /y\r\n", location.map { _ in "" }),
    ] {
      let attempt = try Attempt()
      try attempt.receive("HTTP/1.1 \(status) Elsewhere\r\n\(lines)\r\n")
      #expect(attempt.owner.failures.map(\.location) == [expected])
      #expect(attempt.owner.failures.map(\.kind) == [.passing])
    }
  }

  @Test("A failure has the answer's status and the first line of its body", arguments: [402, 403, 503])
  func answer(status: Int) throws {
    let attempt = try Attempt()
    try attempt.receive("HTTP/1.1 \(status) No\r\nContent-Length: 9\r\n\r\nsold out\n")
    #expect(attempt.owner.failures.map(\.answer) == [.init(status: status, text: "sold out")])
    #expect(attempt.owner.failures.map(\.kind) == [status == 503 ? .passing : .refused])
  }
}
