// SPDX-License-Identifier: MIT

// Little-endian integers in bytes, as every file and stream of audiofork has them. The functions are not generic,
// because the compiler specializes no generic function with package access for another target.

/// Reads little-endian integers at any place. Nothing here traps: bytes beyond the array's ends read as 0.
package enum LittleEndian {
  /// The 2 bytes at `index`.
  package static func read16(_ bytes: [UInt8], at index: Int) -> UInt16 {
    UInt16(truncatingIfNeeded: read(bytes, at: index, byteCount: 2))
  }

  /// The 4 bytes at `index`.
  package static func read32(_ bytes: [UInt8], at index: Int) -> UInt32 {
    UInt32(truncatingIfNeeded: read(bytes, at: index, byteCount: 4))
  }

  /// The 8 bytes at `index`.
  package static func read64(_ bytes: [UInt8], at index: Int) -> UInt64 { read(bytes, at: index, byteCount: 8) }

  /// The `byteCount` bytes at `index`, at most 8.
  package static func read(_ bytes: [UInt8], at index: Int, byteCount: Int) -> UInt64 {
    var value: UInt64 = 0
    var place = index &+ byteCount
    while place > index {
      place &-= 1
      value = value &<< 8 | (place >= 0 && place < bytes.count ? UInt64(bytes[place]) : 0)
    }
    return value
  }
}

extension [UInt8] {
  /// Appends the integer's bytes, the lowest first.
  package mutating func append(littleEndian value: UInt16) { append(low: 2, of: UInt64(value)) }
  package mutating func append(littleEndian value: UInt32) { append(low: 4, of: UInt64(value)) }
  package mutating func append(littleEndian value: UInt64) { append(low: 8, of: value) }
  package mutating func append(littleEndian value: Int64) { append(low: 8, of: UInt64(bitPattern: value)) }

  /// Appends each sample's bytes, the lowest first.
  package mutating func append(littleEndian samples: ArraySlice<Int16>) {
    for sample in samples {
      append(UInt8(truncatingIfNeeded: sample))
      append(UInt8(truncatingIfNeeded: sample &>> 8))
    }
  }

  /// Puts the integer's bytes in the place of those at `index`, the lowest first. Those beyond the array's ends are
  /// left out.
  package mutating func replace(at index: Int, littleEndian value: UInt32) {
    var rest = value
    var place = index
    while place < index &+ 4 {
      if place >= 0, place < count { self[place] = UInt8(truncatingIfNeeded: rest) }
      rest = rest &>> 8
      place &+= 1
    }
  }

  private mutating func append(low byteCount: Int, of value: UInt64) {
    var rest = value
    for _ in 0..<byteCount {
      append(UInt8(truncatingIfNeeded: rest))
      rest = rest &>> 8
    }
  }
}

/// Reads little-endian integers one after the other. Each returns nil, and takes nothing, where the bytes end before
/// it.
package struct LittleEndianReader: Sendable {
  private let bytes: [UInt8]
  private var index = 0

  package init(_ bytes: [UInt8]) { self.bytes = bytes }

  package var isAtEnd: Bool { index >= bytes.count }
  /// The bytes that have not been read.
  package var rest: [UInt8] { slice(bytes, index, bytes.count) }

  package mutating func next8() -> UInt8? { next(byteCount: 1).map { UInt8(truncatingIfNeeded: $0) } }
  package mutating func next64() -> UInt64? { next(byteCount: 8) }

  /// The next integer of `byteCount` bytes, 1 to 8.
  package mutating func next(byteCount: Int) -> UInt64? {
    guard byteCount <= bytes.count &- index else { return nil }
    defer { index &+= byteCount }
    return LittleEndian.read(bytes, at: index, byteCount: byteCount)
  }
}
