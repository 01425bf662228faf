// SPDX-License-Identifier: Apache-2.0
internal import NIOCore
internal import NIOWebSocket

/// Bytes of the server that are not decoded yet: part of a frame, or what the share did not allow. Bounded, because
/// nothing is read from the socket meanwhile: a read, or what the kernel held when the server closed.
struct UndecodedInput {
  private var bytes = ByteBuffer()
  private var decoder = FrameDecoder()

  var isEmpty: Bool { bytes.readableBytes == 0 }

  /// Control frames and empty frames so far.
  var idleFrames: Int { decoder.idleFrames }

  mutating func append(_ more: ByteBuffer) {
    guard !isEmpty else { return bytes = more }
    bytes.discardReadBytes()
    bytes.writeImmutableBuffer(more)
  }

  /// Returns the next frame, or nil until more bytes have come. Throws when a frame breaks the rules.
  mutating func nextFrame() throws(ProtocolViolation) -> WebSocketFrame? { try decoder.next(&bytes) }

  /// Gives the memory back if everything is decoded.
  mutating func freeIfEmpty() {
    if isEmpty { clear() }
  }

  /// Drops what is not decoded.
  mutating func clear() { bytes = ByteBuffer() }
}
