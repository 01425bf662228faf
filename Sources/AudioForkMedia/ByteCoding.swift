// SPDX-License-Identifier: Apache-2.0

// Little-endian integers, as cursor, spool and WAV files have them. The functions that other targets call are not
// generic: across targets generic ones with package access are not specialized.

extension [UInt8] {
  /// Appends the eight bytes of a number, the lowest first.
  package mutating func append(number: UInt64) {
    var rest = number
    for _ in 0..<8 {
      append(UInt8(truncatingIfNeeded: rest))
      rest &>>= 8
    }
  }

  /// The number in the `byteCount` bytes at `offset`, at most eight. Bytes beyond the array's end count as 0.
  package func number(at offset: Int, byteCount: Int = 8) -> UInt64 {
    var value: UInt64 = 0
    var index = offset &+ byteCount
    while index > offset {
      index &-= 1
      value = value &<< 8 | (indices.contains(index) ? UInt64(self[index]) : 0)
    }
    return value
  }
}

/// Appends integers in little-endian order.
struct ByteWriter {
  var bytes: [UInt8] = []

  mutating func append<Value: FixedWidthInteger>(_ value: Value) {
    var rest = value
    for _ in 0..<(Value.bitWidth / 8) {
      bytes.append(UInt8(truncatingIfNeeded: rest))
      if Value.bitWidth > 8 { rest &>>= 8 }
    }
  }
}

/// Reads integers in little-endian order; nil at the end.
package struct ByteReader {
  private let bytes: [UInt8]
  private var index = 0

  package init(_ bytes: [UInt8]) { self.bytes = bytes }

  package var isAtEnd: Bool { index == bytes.count }
  /// The bytes that have not been read.
  package var rest: [UInt8] { Array(bytes[index...]) }

  package mutating func nextNumber() -> UInt64? { next(UInt64.self) }
  package mutating func nextByte() -> UInt8? { next(UInt8.self) }

  mutating func next<Value: FixedWidthInteger>(_: Value.Type) -> Value? {
    let length = Value.bitWidth / 8
    guard bytes.count - index >= length else { return nil }
    var value: Value = 0
    for offset in (0..<length).reversed() {
      if Value.bitWidth > 8 { value &<<= 8 }
      value |= Value(truncatingIfNeeded: bytes[index + offset])
    }
    index += length
    return value
  }
}
