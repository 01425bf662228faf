// SPDX-License-Identifier: Apache-2.0
package import NIOCore
package import NIOWebSocket

/// What stands in front of a frame's payload, but for the masking key.
package struct FrameHeader: Equatable, Sendable {
  /// FIN, the reserved bits and the opcode.
  package let first: UInt8
  package let isMasked: Bool
  package let length: UInt64
  /// Bytes of the extended length: 0, 2 or 8.
  package let extendedBytes: Int

  package init(first: UInt8, isMasked: Bool, length: UInt64, extendedBytes: Int) {
    self.first = first
    self.isMasked = isMasked
    self.length = length
    self.extendedBytes = extendedBytes
  }

  var isFinal: Bool { first & 0x80 != 0 }
  var hasReservedBits: Bool { first & 0x70 != 0 }
  var opcode: UInt8 { first & 0x0F }
  var isControl: Bool { opcode & 0x08 != 0 }

  /// Whether no shorter form could have carried the length (RFC 6455 section 5.2).
  var isMinimal: Bool {
    switch extendedBytes {
    case 0: true
    case 2: length >= 126
    default: length > UInt64(UInt16.max)
    }
  }

  /// Reads a header; nil, and nothing taken, where it is not whole.
  fileprivate init?(_ buffer: inout ByteBuffer) {
    var rest = buffer
    guard let first = rest.readInteger(as: UInt8.self), let second = rest.readInteger(as: UInt8.self) else {
      return nil
    }
    var length = UInt64(second & 0x7F)
    var extendedBytes = 0
    if length == 126 {
      guard let long = rest.readInteger(as: UInt16.self) else { return nil }
      length = UInt64(long)
      extendedBytes = 2
    } else if length == 127 {
      guard let long = rest.readInteger(as: UInt64.self) else { return nil }
      length = long
      extendedBytes = 8
    }
    self.init(first: first, isMasked: second & 0x80 != 0, length: length, extendedBytes: extendedBytes)
    buffer = rest
  }
}

/// Frames of a server out of bytes. Stricter than NIO's decoder, and earlier:
///  1. a header that breaks the rules is thrown as `ProtocolViolation` before any of its payload has come; NIO's decoder
///     does not tell how a length was written,
///  2. a data frame whose payload has not come whole is passed on in pieces, each as a fragment of its message, so that
///     the rules see what is wrong with a text as soon as it is there.
package struct FrameDecoder {
  /// A frame of which not all has been passed on.
  private struct Open {
    let isFinal: Bool
    /// That of the next piece.
    var opcode: WebSocketOpcode
    let isControl: Bool
    var bytesLeft: Int
    /// The first piece goes out even when it is empty: its opcode may be wrong at this place.
    var isFresh = true
  }

  private var open: Open?
  /// Control frames and frames without payload so far.
  package private(set) var idleFrames = 0

  package init() {}

  /// The next frame or piece of one; nil where more bytes are needed.
  package mutating func next(_ buffer: inout ByteBuffer) throws(ProtocolViolation) -> WebSocketFrame? {
    if open == nil {
      guard let header = FrameHeader(&buffer) else { return nil }
      if let violation = WebSocketFrameRules.violation(in: header, from: .server) { throw violation }
      if header.isControl || header.length == 0 { idleFrames &+= 1 }
      // The rules have refused lengths and opcodes that these cannot hold.
      guard let opcode = WebSocketOpcode(encodedWebSocketOpcode: header.opcode) else { return nil }
      open = Open(
        isFinal: header.isFinal, opcode: opcode, isControl: header.isControl, bytesLeft: Int(clamping: header.length))
    }
    guard var frame = open else { return nil }
    let count = min(frame.bytesLeft, buffer.readableBytes)
    let isWhole = count == frame.bytesLeft
    guard isWhole || !frame.isControl && (count > 0 || frame.isFresh),
      let payload = buffer.readSlice(length: count)
    else { return nil }
    let piece = WebSocketFrame(fin: isWhole && frame.isFinal, opcode: frame.opcode, data: payload)
    frame.opcode = .continuation
    frame.bytesLeft -= count
    frame.isFresh = false
    open = isWhole ? nil : frame
    return piece
  }
}
