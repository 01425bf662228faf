// SPDX-License-Identifier: Apache-2.0
internal import Glibc
package import NIOCore
internal import NIOWebSocket

/// Frames of a client, appended to a buffer: header and masked payload together, and all that leaves at once, cost one
/// write.
package struct WebSocketFrameWriter<Random: RandomNumberGenerator> {
  private var random: Random
  /// Half of the last random number, not used yet.
  private var spareKey: UInt32?
  private static var headerBytesMax: Int { 14 }

  /// `random` must not be predictable for the peer's users (RFC 6455 section 10.3): the system's outside of tests.
  package init(_ random: Random) { self.random = random }

  /// A whole message in one binary frame. Masks `payload` in place, so that its storage can be used again and again.
  package mutating func binary(masking payload: inout [UInt8], into buffer: inout ByteBuffer) {
    frame(.binary, masking: &payload, into: &buffer)
  }

  /// A whole message in one text frame; `payload` is UTF-8. Masks it in place.
  package mutating func text(masking payload: inout [UInt8], into buffer: inout ByteBuffer) {
    frame(.text, masking: &payload, into: &buffer)
  }

  /// A whole message in one text frame.
  package mutating func text(_ text: String, into buffer: inout ByteBuffer) {
    var payload = [UInt8](text.utf8)
    self.text(masking: &payload, into: &buffer)
  }

  /// A ping; its payload has at most 125 bytes.
  package mutating func ping(_ payload: [UInt8], into buffer: inout ByteBuffer) {
    var bytes = Array(payload.prefix(125))
    frame(.ping, masking: &bytes, into: &buffer)
  }

  /// The answer to a ping: its payload, which the rules have held to 125 bytes.
  package mutating func pong(_ payload: ByteBuffer, into buffer: inout ByteBuffer) {
    var bytes = [UInt8](payload.readableBytesView.prefix(125))
    frame(.pong, masking: &bytes, into: &buffer)
  }

  /// A Close frame; without a code it has no payload. The reason is cut to what a control frame can carry.
  package mutating func close(code: UInt16?, reason: String = "", into buffer: inout ByteBuffer) {
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
    frame(.connectionClose, masking: &payload, into: &buffer)
  }

  private mutating func frame(
    _ opcode: WebSocketOpcode, masking payload: inout [UInt8], into buffer: inout ByteBuffer
  ) {
    let key = nextKey()
    let count = payload.count
    buffer.reserveCapacity(minimumWritableBytes: count + WebSocketFrameWriter.headerBytesMax)
    let first = 0x80 | UInt8(webSocketOpcode: opcode)
    if count < 126 {
      buffer.writeMultipleIntegers(first, 0x80 | UInt8(truncatingIfNeeded: count), key)
    } else if count <= Int(UInt16.max) {
      buffer.writeMultipleIntegers(first, 0x80 | 126 as UInt8, UInt16(truncatingIfNeeded: count), key)
    } else {
      buffer.writeMultipleIntegers(first, 0x80 | 127 as UInt8, UInt64(count), key)
    }
    mask(&payload, key)
    buffer.writeBytes(payload)
  }

  /// RFC 6455 section 5.3: byte i with byte i modulo 4 of the key. Eight at a time, and the rest one by one.
  private func mask(_ payload: inout [UInt8], _ key: UInt32) {
    let word = UInt64(key.bigEndian) | UInt64(key.bigEndian) &<< 32
    var rotating = key.bigEndian
    unsafe payload.withUnsafeMutableBytes { bytes in
      let words = bytes.count & ~7
      for index in stride(from: 0, to: words, by: 8) {
        let plain = unsafe UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self))
        unsafe bytes.storeBytes(of: (plain ^ word).littleEndian, toByteOffset: index, as: UInt64.self)
      }
      for index in words..<bytes.count {
        unsafe bytes[index] ^= UInt8(truncatingIfNeeded: rotating)
        rotating = rotating &>> 8 | rotating &<< 24
      }
    }
  }

  /// One random number gives two keys.
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

/// The system's random numbers, fetched many at a time: one system call for the keys of 32 frames.
package struct SystemRandomBlock: RandomNumberGenerator {
  private var numbers: InlineArray<16, UInt64> = .init(repeating: 0)
  /// Of those, how many are left; from the end.
  private var left = 0

  package init() {}

  package mutating func next() -> UInt64 {
    if left == 0, !fetch() {
      // It waits or traps, which getentropy does not.
      var system = SystemRandomNumberGenerator()
      return system.next()
    }
    left -= 1
    defer { numbers[left] = 0 }
    return numbers[left]
  }

  private mutating func fetch() -> Bool {
    var span = numbers.mutableSpan
    let done = unsafe span.withUnsafeMutableBytes { bytes in unsafe getentropy(bytes.baseAddress, bytes.count) == 0 }
    if done { left = numbers.count }
    return done
  }
}
