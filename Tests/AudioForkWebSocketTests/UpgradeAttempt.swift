// SPDX-License-Identifier: Apache-2.0
import AudioForkWebSocket
import AudioForkWireTestKit
import Glibc
import NIOCore
import NIOEmbedded
import NIOHTTP1
import NIOWebSocket
import Testing

/// Records what a connection reports.
final class RecordingOwner: WebSocketOwner {
  var session: WebSocketSession?
  var failures: [ConnectionFailure] = []
  var ends: [SessionEnd] = []

  func webSocketOpened(_ session: WebSocketSession) { self.session = session }
  func webSocketFailed(_ failure: ConnectionFailure) { failures.append(failure) }
  var texts: [String] = []
  func webSocketReceived(_ session: WebSocketSession, text: String) { texts.append(text) }
  var pongs: [[UInt8]] = []
  func webSocketReceived(_ session: WebSocketSession, pong: ByteBuffer) { pongs.append(Array(pong.readableBytesView)) }
  func webSocketEnded(_ session: WebSocketSession, _ end: SessionEnd) { ends.append(end) }
}

/// A connection attempt on a channel without a network.
struct UpgradeAttempt {
  /// The key of RFC 6455 section 1.3 and its answer.
  static let key = "dGhlIHNhbXBsZSBub25jZQ=="
  static let accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

  let channel = EmbeddedChannel()
  let owner = RecordingOwner()
  let request: String

  init(isPlain: Bool = true, _ configure: (inout UpgradeRequest) -> Void = { _ in }) throws {
    var request = UpgradeRequest(host: Array("example.org".utf8), target: Array("/x?y=z".utf8))
    request.subprotocols = ["echo"]
    configure(&request)
    try UpgradeHandler.install(in: channel, request: request, key: UpgradeAttempt.key, owner: owner, isPlain: isPlain)
    try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 80)).wait()
    var text = ""
    while let bytes = try channel.readOutbound(as: ByteBuffer.self) { text += String(buffer: bytes) }
    self.request = text
  }

  func receive(_ text: String) throws { try receive(Array(text.utf8)) }
  func receive(_ bytes: [UInt8]) throws {
    try channel.writeInbound(ByteBuffer(bytes: bytes))
    channel.embeddedEventLoop.run()
  }

  /// Frames that were sent.
  func sent() throws -> [ClientFrame] {
    var frames: [ClientFrame] = []
    while var buffer = try channel.readOutbound(as: ByteBuffer.self) {
      while buffer.readableBytes > 0 {
        let frame = ClientFrame(&buffer)
        frames.append(try #require(frame))
      }
    }
    return frames
  }

  static func answer(_ changes: [String: String?] = [:], status: String = "101 Switching Protocols") -> String {
    var fields: [String: String?] = [
      "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": accept,
    ]
    for (name, value) in changes { fields[name] = .some(value) }
    let lines = fields.sorted { $0.key < $1.key }.compactMap { name, value in value.map { "\(name): \($0)\r\n" } }
    return "HTTP/1.1 \(status)\r\n" + lines.joined() + "\r\n"
  }

  static func opened() throws -> UpgradeAttempt {
    let attempt = try UpgradeAttempt()
    try attempt.receive(answer())
    try #require(attempt.owner.session != nil)
    return attempt
  }
}
