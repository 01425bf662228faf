// SPDX-License-Identifier: Apache-2.0
internal import AudioForkWebSocket
internal import NIOCore
internal import NIOEmbedded

/// The engine's side of a connection with a server that says whatever it likes, without a network.
final class Conversation: WebSocketOwner {
  /// The key of RFC 6455 section 1.3 and the answer that fits it.
  static let key = "dGhlIHNhbXBsZSBub25jZQ=="
  static let welcome = Array(
    """
    HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: echo\r\n\r\n
    """.utf8)

  /// What the owner heard, in order.
  private(set) var heard: [String] = []
  /// Frames that were sent after the request, unmasked: opcode and payload.
  private(set) var said: [[UInt8]] = []
  private var ends = 0
  private let channel = EmbeddedChannel()
  /// What the owner does as soon as the session stands.
  private let opening: (WebSocketSession) -> Void

  init(needsSubprotocol: Bool = false, opening: @escaping (WebSocketSession) -> Void = { _ in }) throws {
    self.opening = opening
    var request = UpgradeRequest(host: Array("example.org".utf8), target: Array("/".utf8))
    request.subprotocols = ["echo", "audiofork.v1"]
    request.needsSubprotocol = needsSubprotocol
    try UpgradeHandler.install(in: channel, request: request, key: Conversation.key, owner: self, isPlain: true)
    try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 80)).wait()
    while try channel.readOutbound(as: ByteBuffer.self) != nil {}
  }

  /// The server says something. What goes wrong with it the owner hears too.
  func receive(_ bytes: some Sequence<UInt8>) {
    guard channel.isActive else { return }
    _ = try? channel.writeInbound(ByteBuffer(bytes: bytes))
  }

  /// The server is silent for good, then gone; afterwards everything has to be said.
  func end() throws {
    channel.embeddedEventLoop.advanceTime(by: .seconds(5))
    _ = try? channel.finish()
    // What waits for its time holds the channel.
    channel.embeddedEventLoop.advanceTime(by: .seconds(5))
    demand(ends == 1, "told \(ends) times that it is over: \(heard)")
    var bytes = ByteBuffer()
    while var piece = try? channel.readOutbound(as: ByteBuffer.self) { bytes.writeBuffer(&piece) }
    while bytes.readableBytes > 0 {
      guard let frame = Conversation.frame(&bytes) else { return demand(false, "sent what is no frame") }
      demand(said.last?.first != 8, "sent something behind a Close")
      said.append(frame)
    }
  }

  /// A whole, final, masked frame.
  private static func frame(_ buffer: inout ByteBuffer) -> [UInt8]? {
    guard let first = buffer.readInteger(as: UInt8.self), first & 0xF0 == 0x80,
      let second = buffer.readInteger(as: UInt8.self), (0x80..<0x80 + 126).contains(second),
      let key = buffer.readBytes(length: 4), let masked = buffer.readBytes(length: Int(second & 0x7F))
    else { return nil }
    return [first & 15] + masked.enumerated().map { $1 ^ key[$0 % 4] }
  }

  func webSocketOpened(_ session: WebSocketSession) {
    heard.append("opened")
    opening(session)
  }
  func webSocketFailed(_ failure: ConnectionFailure) {
    ends += 1
    heard.append("failed \(failure)")
    demand(!failure.reason.utf8.contains { $0 < 32 }, "a reason with a control character: \(failure.reason)")
  }
  func webSocketReceived(_ session: WebSocketSession, text: String) {
    demand(ends == 0, "a text after the end")
    heard.append("text \(Array(text.utf8))")
  }
  func webSocketReceived(_ session: WebSocketSession, pong: ByteBuffer) {
    demand(ends == 0 && pong.readableBytes <= 125, "a pong of \(pong.readableBytes) bytes, or after the end")
    heard.append("pong \(Array(pong.readableBytesView))")
  }
  func webSocketEnded(_ session: WebSocketSession, _ end: SessionEnd) {
    ends += 1
    heard.append("ended \(end)")
  }
}

/// Where the network cuts what the server says must not matter.
func converse(_ bytes: [UInt8], cuts: UInt8, make: () throws -> Conversation) {
  do {
    let whole = try make()
    whole.receive(bytes)
    try whole.end()
    let cut = try make()
    // Pieces of 1 to 16 bytes, the same for the same input.
    var state = UInt32(cuts)
    var rest = bytes[...]
    while !rest.isEmpty {
      state = state &* 1_664_525 &+ 1_013_904_223
      let count = Int(state >> 28) + 1
      cut.receive(rest.prefix(count))
      rest = rest.dropFirst(count)
    }
    try cut.end()
    demand(whole.heard == cut.heard, "at once: \(whole.heard)\nin pieces: \(cut.heard)")
    demand(whole.said == cut.said, "answered at once: \(whole.said)\nin pieces: \(cut.said)")
  } catch {
    demand(false, "\(error)")
  }
}

/// Frames of a hostile server, behind a right answer to the handshake.
func fuzzFrames(_ bytes: [UInt8]) {
  var input = Decisions(bytes)
  let (cuts, what) = (input.byte(), input.byte())
  converse(Conversation.welcome + input.remainder(), cuts: cuts) {
    try Conversation { session in
      if what & 1 != 0 { session.ping([1, 2, 3]) }
      if what & 2 != 0 { session.send(text: "hello") }
      if what & 4 != 0 { session.close(code: CloseCode.normal) }
      session.flush()
    }
  }
}

/// Any answer to the handshake.
func fuzzHandshake(_ bytes: [UInt8]) {
  var input = Decisions(bytes)
  let (cuts, what) = (input.byte(), input.byte())
  converse(input.remainder(), cuts: cuts) { try Conversation(needsSubprotocol: what & 1 != 0) }
}
