// SPDX-License-Identifier: Apache-2.0
internal import NIOCore
internal import NIOWebSocket

/// Counts what a connection brings, in front of the frame decoder: the bytes of a frame that has not come in full, and
/// whether anything comes at all. On the connection's event loop only.
final class ByteMeter: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias InboundOut = ByteBuffer

  /// Bytes that came and are in no frame yet.
  private(set) var unframedBytes = 0
  private var hasReceived = false

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    unframedBytes += unwrapInboundIn(data).readableBytes
    hasReceived = true
    context.fireChannelRead(data)
  }

  /// Begins to count: the upgrade is done. What came in one packet with the request is counted with the next frame.
  func begin() { unframedBytes = 0 }

  /// A frame was taken out of what came. It has the shortest form that RFC 6455 (5.2) allows, or counts for less.
  func frameDecoded(_ frame: WebSocketFrame) {
    let length = frame.length
    let header = 2 + (length < 126 ? 0 : length < 65_536 ? 2 : 8) + (frame.maskKey == nil ? 0 : 4)
    unframedBytes = max(0, unframedBytes - header - length)
  }

  /// Whether bytes came since the last call.
  func takeHasReceived() -> Bool {
    defer { hasReceived = false }
    return hasReceived
  }
}
