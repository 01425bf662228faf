// SPDX-License-Identifier: Apache-2.0
package import NIOCore
internal import NIOWebSocket

/// Frames of a client, each as one buffer: header and masked payload together cost one write.
package struct FrameWriter<Random: RandomNumberGenerator> {
  private var random: Random
  /// Half of the last random number, not used yet.
  private var spareKey: UInt32?

  /// `random` must not be predictable for the peer's users (RFC 6455 section 10.3): the system's outside of tests.
  package init(_ random: Random) { self.random = random }

  /// A whole message in one binary frame. Masks `payload` in place, so that its storage can be used again and again.
  package mutating func binary(masking payload: inout [UInt8]) -> ByteBuffer {
    frame(.binary, masking: &payload)
  }

  /// A whole message in one text frame.
  package mutating func text(_ text: String) -> ByteBuffer {
    var payload = [UInt8](text.utf8)
    return frame(.text, masking: &payload)
  }

  /// A ping; its payload has at most 125 bytes.
  package mutating func ping(_ payload: [UInt8]) -> ByteBuffer {
    var bytes = Array(payload.prefix(125))
    return frame(.ping, masking: &bytes)
  }

  /// The answer to a ping: its payload, which the rules have held to 125 bytes.
  package mutating func pong(_ payload: ByteBuffer) -> ByteBuffer {
    var bytes = [UInt8](payload.readableBytesView.prefix(125))
    return frame(.pong, masking: &bytes)
  }

  /// A Close frame; without a code it has no payload. The reason is cut to what a control frame can carry.
  package mutating func close(code: UInt16?, reason: String = "") -> ByteBuffer {
    var payload: [UInt8] = []
    if let code {
      payload = [UInt8(truncatingIfNeeded: code &>> 8), UInt8(truncatingIfNeeded: code)]
      var room = 123
      for character in reason.unicodeScalars {
        let bytes = Array(String(character).utf8)
        room -= bytes.count
        if room < 0 { break }
        payload += bytes
      }
    }
    return frame(.connectionClose, masking: &payload)
  }

  private mutating func frame(_ opcode: WebSocketOpcode, masking payload: inout [UInt8]) -> ByteBuffer {
    let key = nextKey()
    let count = payload.count
    var buffer = ByteBufferAllocator().buffer(capacity: count + 14)
    buffer.writeInteger(0x80 | UInt8(webSocketOpcode: opcode))
    if count < 126 {
      buffer.writeInteger(0x80 | UInt8(truncatingIfNeeded: count))
    } else if count <= Int(UInt16.max) {
      buffer.writeInteger(0x80 | 126 as UInt8)
      buffer.writeInteger(UInt16(truncatingIfNeeded: count))
    } else {
      buffer.writeInteger(0x80 | 127 as UInt8)
      buffer.writeInteger(UInt64(count))
    }
    buffer.writeInteger(key)
    mask(&payload, key)
    buffer.writeBytes(payload)
    return buffer
  }

  private func mask(_ payload: inout [UInt8], _ key: UInt32) {
    var rotating = key.bigEndian
    for index in payload.indices {
      payload[index] ^= UInt8(truncatingIfNeeded: rotating)
      rotating = rotating &>> 8 | rotating &<< 24
    }
  }

  /// One system call gives two keys.
  private mutating func nextKey() -> UInt32 {
    if let key = spareKey {
      spareKey = nil
      return key
    }
    let number = random.next()
    spareKey = UInt32(truncatingIfNeeded: number &>> 32)
    return UInt32(truncatingIfNeeded: number)
  }
}
