// SPDX-License-Identifier: Apache-2.0
package import NIOCore

/// A frame as a server reads it from a client: unmasked.
package struct ClientFrame {
  package var opcode: UInt8
  package var payload: [UInt8]

  /// Nil where the bytes are no whole, final, masked frame.
  package init?(_ buffer: inout ByteBuffer) {
    guard let first = buffer.readInteger(as: UInt8.self), first & 0xF0 == 0x80,
      let second = buffer.readInteger(as: UInt8.self), second & 0x80 == 0x80
    else { return nil }
    var length = Int(second & 0x7F)
    if length == 126 {
      guard let long = buffer.readInteger(as: UInt16.self) else { return nil }
      length = Int(long)
    } else if length == 127 {
      guard let long = buffer.readInteger(as: UInt64.self) else { return nil }
      length = Int(clamping: long)
    }
    guard let key = buffer.readBytes(length: 4), let masked = buffer.readBytes(length: length) else { return nil }
    opcode = first & 15
    payload = masked.enumerated().map { $1 ^ key[$0 % 4] }
  }
}
