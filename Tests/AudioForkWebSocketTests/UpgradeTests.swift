// SPDX-License-Identifier: Apache-2.0
import AudioForkWebSocket
import AudioForkWireTestKit
import Glibc
import NIOCore
import NIOEmbedded
import NIOHTTP1
import NIOWebSocket
import Testing

@Suite("Upgrade request")
struct UpgradeRequestTests {
  @Test("The request has everything that the RFC asks for, in one piece")
  func complete() throws {
    let attempt = try UpgradeAttempt { $0.headers = [RequestHeader(name: "AudioFork-ID", value: Array("af-1".utf8))] }
    let lines = attempt.request.components(separatedBy: "\r\n")
    #expect(lines.first == "GET /x?y=z HTTP/1.1")
    for line in [
      "Host: example.org", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: \(UpgradeAttempt.key)",
      "Sec-WebSocket-Version: 13", "Sec-WebSocket-Protocol: echo", "AudioFork-ID: af-1", "User-Agent: audiofork",
    ] {
      #expect(lines.contains(line), "\(line)")
    }
    #expect(lines.suffix(2) == ["", ""])
    #expect(!attempt.request.lowercased().contains("transfer-encoding"))
    #expect(!attempt.request.lowercased().contains("authorization"))
  }

  @Test("A channel's name cannot inject a header")
  func injection() throws {
    let evil = "SIP/x\r\nX-Evil: 1\r\n\r\nGET / HTTP/1.1\u{0}\u{7F}é%41 b"
    let attempt = try UpgradeAttempt {
      $0.headers = [RequestHeader(name: "AudioFork-Channel", value: Array(evil.utf8))]
    }
    #expect(attempt.request.components(separatedBy: "\r\n\r\n").count == 2)
    #expect(!attempt.request.contains("X-Evil: "))
    #expect(
      attempt.request.contains(
        "AudioFork-Channel: SIP/x%0D%0AX-Evil:%201%0D%0A%0D%0AGET%20/%20HTTP/1.1%00%7F%C3%A9%2541%20b\r\n"))
  }

  @Test("User information becomes Basic authorization, percent-encoding undone")
  func authorization() throws {
    let withPassword = try UpgradeAttempt { $0.userInformation = Array("al%20ice:p%3Ass".utf8) }
    #expect(withPassword.request.contains("Authorization: Basic YWwgaWNlOnA6c3M=\r\n"))
    let withoutPassword = try UpgradeAttempt { $0.userInformation = Array("alice".utf8) }
    #expect(withoutPassword.request.contains("Authorization: Basic YWxpY2U6\r\n"))
  }

  @Test("Headers that were given go out as they are, and an Authorization among them takes the URL's place")
  func givenHeaders() throws {
    let attempt = try UpgradeAttempt {
      $0.userInformation = Array("alice:pass".utf8)
      $0.givenHeaders = [
        RequestHeader(name: "authorization", value: Array("Bearer a.b==".utf8)),
        RequestHeader(name: "X-Call", value: Array("50% of ä".utf8)),
        RequestHeader(name: "X-Evil", value: Array("a\r\nX-More: b".utf8)),
        RequestHeader(name: "X-Latin", value: Array("M".utf8) + [0xFC] + Array("ller 5%".utf8)),
      ]
    }
    #expect(attempt.request.contains("\r\nX-Latin: M%FCller 5%\r\n"), "what is not UTF-8 cannot stand in the request")
    #expect(attempt.request.contains("\r\nauthorization: Bearer a.b==\r\n"))
    #expect(!attempt.request.contains("Basic"))
    #expect(attempt.request.contains("\r\nX-Call: 50% of ä\r\n"))
    #expect(attempt.request.contains("\r\nX-Evil: a%0D%0AX-More: b\r\n"))
    let agent = try UpgradeAttempt { $0.givenHeaders = [RequestHeader(name: "user-agent", value: Array("mine".utf8))] }
    #expect(agent.request.contains("\r\nuser-agent: mine\r\n"))
    #expect(!agent.request.contains("User-Agent:"))
  }

  @Test("A value that is percent-encoded already is not encoded again, and cannot end its line either")
  func encodedHeader() throws {
    let attempt = try UpgradeAttempt {
      $0.headers = [
        RequestHeader(name: "AudioFork-Parameters", value: Array("a=50%25&b=x%20y".utf8), isEncoded: true),
        RequestHeader(name: "X-Evil", value: Array("a%0A\r\nX-More: b".utf8), isEncoded: true),
        RequestHeader(name: "AudioFork-Channel", value: Array("50%".utf8)),
      ]
    }
    #expect(attempt.request.contains("\r\nAudioFork-Parameters: a=50%25&b=x%20y\r\n"))
    #expect(attempt.request.contains("\r\nX-Evil: a%0A%0D%0AX-More:%20b\r\n"))
    #expect(attempt.request.contains("\r\nAudioFork-Channel: 50%25\r\n"))
  }
}

@Suite("Upgrade answer")
struct UpgradeAnswerTests {
  @Test("A correct answer opens the session, with or without a sub-protocol, letter case aside")
  func accepted() throws {
    _ = try UpgradeAttempt.opened()
    let attempt = try UpgradeAttempt()
    try attempt.receive(
      UpgradeAttempt.answer([
        "Upgrade": "WebSocket", "Connection": "keep-alive, upgrade", "Sec-WebSocket-Protocol": "echo",
      ]))
    #expect(attempt.owner.session != nil)
    #expect(attempt.owner.failures == [])
  }

  @Test(
    "A wrong answer fails with the first thing that is wrong",
    arguments: [
      (UpgradeAttempt.answer(["Upgrade": nil]), "upgrade: the answer has no header 'Upgrade: websocket'"),
      (UpgradeAttempt.answer(["Connection": "close"]), "upgrade: the answer has no header 'Connection: Upgrade'"),
      (
        UpgradeAttempt.answer(["Sec-WebSocket-Accept": nil]),
        "upgrade: the answer's Sec-WebSocket-Accept is missing or does not fit our key"
      ),
      (
        UpgradeAttempt.answer(["Sec-WebSocket-Accept": "S3pPLMBiTxaQ9kYGzzhZRbK+xOo="]),
        "upgrade: the answer's Sec-WebSocket-Accept is missing or does not fit our key"
      ),
      (
        UpgradeAttempt.answer(["Sec-WebSocket-Protocol": "chat"]),
        """
        upgrade: the server chose the sub-protocol 'chat', not offered; where that is the right one, set subprotocol \
        in a profile
        """
      ),
      (
        UpgradeAttempt.answer(["Sec-WebSocket-Extensions": "permessage-deflate"]),
        "upgrade: the server chose an extension that was not offered"
      ),
    ])
  func refused(answer: String, reason: String) throws {
    let attempt = try UpgradeAttempt()
    try attempt.receive(answer)
    #expect(attempt.owner.failures == [ConnectionFailure(reason)])
    #expect(attempt.owner.session == nil)
    #expect(!attempt.channel.isActive)
  }

  @Test(
    "Any other status is the reason, a refusal where trying again is seldom of use",
    arguments: [
      ("403 Forbidden", true), ("404 Not Found", true), ("401 Unauthorized", true), ("408 Request Timeout", false),
      ("425", false), ("429 Too Many Requests", false), ("500 Internal Server Error", false),
      ("503 Service Unavailable", false), ("200 OK", false), ("302 Found", false),
    ])
  func status(line: String, isRefusal: Bool) throws {
    let attempt = try UpgradeAttempt()
    try attempt.receive("HTTP/1.1 \(line)\r\nContent-Length: 0\r\n\r\n")
    #expect(attempt.owner.failures.map(\.reason) == ["http: \(line)"])
    #expect(attempt.owner.failures.map(\.kind) == [isRefusal ? .refused : .passing])
  }

  @Test("A server that speaks something else, or too much, fails with a reason of one line")
  func notHTTP() throws {
    let ssh = try UpgradeAttempt()
    try? ssh.receive("SSH-2.0-OpenSSH_9.2\r\n")
    #expect(ssh.owner.failures == [ConnectionFailure("http: the answer is not HTTP")])
    let long = try UpgradeAttempt()
    try? long.receive("HTTP/1.1 200 OK\r\nX: \(String(repeating: "y", count: 20_000))\r\n\r\n")
    #expect(long.owner.failures == [ConnectionFailure("http: the answer's head is longer than 16384 bytes")])
    let evil = try UpgradeAttempt()
    try? evil.receive("HTTP/1.1 500 Bad\u{1B}[31m\r\nContent-Length: 0\r\n\r\n")
    #expect(evil.owner.failures.count == 1)
    #expect(evil.owner.failures.first?.reason.unicodeScalars.contains { $0.value < 32 } == false)
  }

  @Test(
    "A head that is too long, has too many lines, or lines of another kind, is refused for what it is",
    arguments: [
      (
        "HTTP/1.1 101 x\r\n" + String(repeating: "X: v\r\n", count: 101),
        "http: the answer has more than 100 header lines"
      ),
      (
        String(repeating: "HTTP/1.1 100 x\r\nX: \(String(repeating: "y", count: 1000))\r\n\r\n", count: 17),
        "http: the answer's head is longer than 16384 bytes"
      ),
      (
        "HTTP/1.1 101 Switching Protocols\nUpgrade: websocket\n\n",
        """
        http: a line of the answer ends with a line feed alone; HTTP wants carriage return and line feed \
        (RFC 9112 2.2)
        """
      ),
      (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\n",
        """
        http: a line of the answer ends with a line feed alone; HTTP wants carriage return and line feed \
        (RFC 9112 2.2)
        """
      ),
      ("HTTP/1.1 101 x\r\n folded\r\n", "http: line 2 of the answer is no header"),
      (
        "HTTP/1.1 101 x\r\nUpgrade : websocket\r\n",
        "http: line 2 of the answer is no header"
      ),
      ("HTTP/1.1 101 x\r\nno header\r\n", "http: line 2 of the answer is no header"),
      ("HTTP/1.1 101 x\r\nX: a\u{1B}[2J\r\n", "http: the answer has a control character in its headers"),
      ("HTTP/1.1 101 x\r\nX: a\rb\r\n", "http: the answer has a control character in its headers"),
      ("HTTP/1.1 1\r\n", "http: the answer is not HTTP"), ("HTTP/x.1 101 x\r\n", "http: the answer is not HTTP"),
      ("HTTP/1.1 0x1 x\r\n", "http: the answer is not HTTP"), ("HTT\n", "http: the answer is not HTTP"),
      ("h", "http: the answer is not HTTP"),
    ])
  func wrongHead(answer: String, reason: String) throws {
    let attempt = try UpgradeAttempt()
    try attempt.receive(answer)
    #expect(attempt.owner.failures == [ConnectionFailure(reason)])
    #expect(!attempt.channel.isActive)
  }

  @Test("A hundred header lines, folded ones and blanks around values are taken")
  func oddHead() throws {
    let many = try UpgradeAttempt()
    try many.receive(
      UpgradeAttempt.answer().replacing("\r\n\r\n", with: "\r\n" + String(repeating: "X: v\r\n", count: 97) + "\r\n"))
    #expect(many.owner.session != nil)
    for (name, value) in [
      ("Sec-WebSocket-Accept", "\(UpgradeAttempt.accept)  "), ("Sec-WebSocket-Accept", "\t\(UpgradeAttempt.accept)\t"),
      ("Sec-WebSocket-Protocol", "echo \t"), ("Sec-WebSocket-Protocol", " \t echo"), ("Upgrade", "\twebsocket "),
      ("Connection", "keep-alive\t, \tUpgrade "), ("X-A", "b\r\n c"), ("X-A", "\r\n\t \r\n b"),
      ("Connection", "keep-alive,\r\n Upgrade"),
    ] {
      let attempt = try UpgradeAttempt()
      try attempt.receive(UpgradeAttempt.answer([name: value]))
      #expect(attempt.owner.failures == [], "\(name): \(value)")
      #expect(attempt.owner.session != nil)
    }
  }

  @Test("A server that accepts and closes at once has accepted")
  func closedAtOnce() throws {
    let attempt = try UpgradeAttempt()
    try attempt.receive(UpgradeAttempt.answer())
    attempt.channel.pipeline.fireChannelInactive()
    #expect(attempt.owner.failures == [])
    #expect(attempt.owner.ends == [.lost("connection: closed by the server without a Close frame")])
  }

  @Test(
    "Where TLS answers to ws://, the reason says wss://",
    arguments: [[0x15, 0x03, 0x01, 0x00, 0x02, 0x02, 0x46], [0x16, 0x03, 0x03]] as [[UInt8]])
  func recordOfTLS(bytes: [UInt8]) throws {
    for pieces in [[bytes], bytes.map { [$0] }] {
      let attempt = try UpgradeAttempt()
      for piece in pieces where attempt.channel.isActive { try attempt.receive(piece) }
      #expect(
        attempt.owner.failures
          == [
            ConnectionFailure(
              "http: the server answered with a TLS record and not with HTTP; this port speaks TLS: use wss://")
          ])
    }
  }

  @Test("A connection that closes before the answer fails, once")
  func closedEarly() throws {
    let attempt = try UpgradeAttempt()
    attempt.channel.pipeline.fireChannelInactive()
    #expect(
      attempt.owner.failures
        == [ConnectionFailure("http: the connection closed without an answer; if this port speaks TLS, use wss://")])
    let secure = try UpgradeAttempt(isPlain: false)
    secure.channel.pipeline.fireChannelInactive()
    #expect(secure.owner.failures == [ConnectionFailure("http: the connection closed without an answer")])
    let reset = try UpgradeAttempt()
    reset.channel.pipeline.fireErrorCaught(IOError(errnoCode: ECONNRESET, reason: "read"))
    #expect(
      reset.owner.failures == [
        ConnectionFailure("connection: reset by the server; if this port speaks TLS, use wss://")
      ])
    let middle = try UpgradeAttempt()
    try middle.receive("HTTP/1.1 101 Swi")
    _ = try? middle.channel.finish()
    #expect(middle.owner.failures == [ConnectionFailure("http: the connection closed in the middle of the answer")])
  }

  @Test("Frames in the same segment as the answer are not lost")
  func sameSegment() throws {
    let attempt = try UpgradeAttempt()
    let ping: [UInt8] = [0x89, 0x03, 0x61, 0x62, 0x63]
    try attempt.receive(Array(UpgradeAttempt.answer().utf8) + ping + [0x88, 0x02, 0x03, 0xE8])
    #expect(attempt.owner.session != nil)
    #expect(attempt.owner.ends == [.closedByServer(code: 1000, reason: "")])
    let frames = try attempt.sent()
    #expect(frames.map(\.opcode) == [0xA, 0x8])
    #expect(frames.first?.payload == [0x61, 0x62, 0x63])
  }

  @Test("An answer that comes byte by byte opens the session, and so do frames")
  func byteByByte() throws {
    let attempt = try UpgradeAttempt()
    for byte in Array(UpgradeAttempt.answer().utf8) + [0x89, 0x01, 0x7A] { try attempt.receive([byte]) }
    #expect(try attempt.sent().map(\.payload) == [[0x7A]])
  }
}

extension String {
  /// The parts between separators.
  fileprivate func components(separatedBy separator: String) -> [String] {
    var parts: [String] = []
    var rest = Substring(self)
    while let range = rest.firstRange(of: separator) {
      parts.append(String(rest[..<range.lowerBound]))
      rest = rest[range.upperBound...]
    }
    return parts + [String(rest)]
  }
}
