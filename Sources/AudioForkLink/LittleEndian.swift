// SPDX-License-Identifier: MIT

/// Little-endian integers in bytes, as every file and stream of audiofork has them. Nothing here traps: bytes beyond
/// the end read as 0.
package enum LittleEndian {
  /// The 2 bytes at `index`.
  package static func read16(_ bytes: [UInt8], at index: Int) -> UInt16 {
    UInt16(truncatingIfNeeded: read(2, bytes, index))
  }

  /// The 4 bytes at `index`.
  package static func read32(_ bytes: [UInt8], at index: Int) -> UInt32 {
    UInt32(truncatingIfNeeded: read(4, bytes, index))
  }

  /// The 8 bytes at `index`.
  package static func read64(_ bytes: [UInt8], at index: Int) -> UInt64 { read(8, bytes, index) }

  private static func read(_ count: Int, _ bytes: [UInt8], _ start: Int) -> UInt64 {
    var value: UInt64 = 0
    var index = start &+ count
    while index > start {
      index &-= 1
      value = value &<< 8 | (index >= 0 && index < bytes.count ? UInt64(bytes[index]) : 0)
    }
    return value
  }
}

extension [UInt8] {
  /// Appends the integer's bytes, the lowest first.
  package mutating func append(littleEndian value: UInt16) { append(low: 2, of: UInt64(value)) }
  package mutating func append(littleEndian value: UInt32) { append(low: 4, of: UInt64(value)) }
  package mutating func append(littleEndian value: UInt64) { append(low: 8, of: value) }

  private mutating func append(low count: Int, of value: UInt64) {
    var rest = value
    for _ in 0..<count {
      append(UInt8(truncatingIfNeeded: rest))
      rest = rest &>> 8
    }
  }
}
