// SPDX-License-Identifier: GPL-2.0-or-later
internal import CAudioForkABI

/// Builds the fields of a link message or of a ring's facts (layout: af_link.h).
package struct FieldWriter {
  package private(set) var bytes: [UInt8] = []

  package init() {}

  /// Begins a link message of this type; `message` finishes it.
  package init(message type: UInt16) {
    bytes = [0, 0, 0, 0, UInt8(truncatingIfNeeded: type), UInt8(truncatingIfNeeded: type &>> 8), 0, 0]
  }

  package mutating func append(_ key: UInt16, _ value: [UInt8]) {
    append16(key)
    append16(0)
    append32(UInt32(truncatingIfNeeded: value.count))
    bytes += value
  }

  package mutating func append(_ key: UInt16, number: UInt64) {
    append16(key)
    append16(0)
    append32(8)
    var shift: UInt64 = 0
    while shift < 64 {
      bytes.append(UInt8(truncatingIfNeeded: number &>> shift))
      shift &+= 8
    }
  }

  /// The whole message, its length filled in.
  package func message() -> [UInt8] {
    var whole = bytes
    guard whole.count >= 8 else { return whole }
    let length = UInt32(truncatingIfNeeded: whole.count &- 4)
    whole[0] = UInt8(truncatingIfNeeded: length)
    whole[1] = UInt8(truncatingIfNeeded: length &>> 8)
    whole[2] = UInt8(truncatingIfNeeded: length &>> 16)
    whole[3] = UInt8(truncatingIfNeeded: length &>> 24)
    return whole
  }

  private mutating func append16(_ value: UInt16) {
    bytes.append(UInt8(truncatingIfNeeded: value))
    bytes.append(UInt8(truncatingIfNeeded: value &>> 8))
  }

  private mutating func append32(_ value: UInt32) {
    append16(UInt16(truncatingIfNeeded: value))
    append16(UInt16(truncatingIfNeeded: value &>> 16))
  }
}

/// A link message taken off a stream.
package struct LinkMessage {
  package let type: UInt16
  package let fields: [UInt8]

  /// The value of a text field, or nil.
  package func text(_ key: UInt16) -> [UInt8]? {
    var index = 0
    while fields.count &- index >= 8 {
      let found = UInt16(fields[index]) | UInt16(fields[index &+ 1]) &<< 8
      let length = Int(littleEndian32(fields, index &+ 4))
      guard length <= fields.count &- index &- 8 else { return nil }
      if found == key { return [UInt8](fields[(index &+ 8)..<(index &+ 8 &+ length)]) }
      index &+= 8 &+ length
    }
    return nil
  }

  /// The value of a number field, or nil.
  package func number(_ key: UInt16) -> UInt64? {
    guard let value = text(key), value.count == 8 else { return nil }
    return UInt64(littleEndian32(value, 0)) | UInt64(littleEndian32(value, 4)) &<< 32
  }
}

/// Cuts a byte stream into link messages.
package struct LinkParser {
  private var pending: [UInt8] = []

  package init() {}

  package mutating func append(_ bytes: UnsafeRawBufferPointer) { pending.append(contentsOf: bytes) }

  /// The next whole message; nil while there is none. `isBroken` tells that the peer sends nonsense.
  package mutating func next() -> LinkMessage? {
    guard !isBroken, pending.count >= 8 else { return nil }
    let length = Int(littleEndian32(pending, 0))
    guard pending.count >= 4 &+ length else { return nil }
    let type = UInt16(pending[4]) | UInt16(pending[5]) &<< 8
    let message = LinkMessage(type: type, fields: [UInt8](pending[8..<(4 &+ length)]))
    pending.removeFirst(4 &+ length)
    return message
  }

  /// A length outside 4 … AF_LINK_MESSAGE_BYTES_MAX: the stream cannot be followed any more.
  package var isBroken: Bool {
    guard pending.count >= 4 else { return false }
    let length = littleEndian32(pending, 0)
    return length < 4 || length > UInt32(AF_LINK_MESSAGE_BYTES_MAX)
  }
}

private func littleEndian32(_ bytes: [UInt8], _ index: Int) -> UInt32 {
  UInt32(bytes[index]) | UInt32(bytes[index &+ 1]) &<< 8 | UInt32(bytes[index &+ 2]) &<< 16
    | UInt32(bytes[index &+ 3]) &<< 24
}
