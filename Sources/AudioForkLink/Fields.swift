// SPDX-License-Identifier: MIT
package import AudioForkBytes
package import AudioForkSurface

/// Builds the fields of a message or of a ring's facts.
package struct FieldWriter: Sendable {
  package private(set) var bytes = Bytes()

  /// Fields alone.
  package init() {}

  /// Begins a message of this kind; `message` finishes it.
  package init(_ kind: LinkMessageKind) { self.init(type: kind.rawValue) }

  /// As `init(_:)`, of any type.
  package init(type: UInt16) {
    bytes.reserveCapacity(64)
    bytes.append(littleEndian: 0 as UInt32)
    bytes.append(littleEndian: type)
    bytes.append(littleEndian: 0 as UInt16)
  }

  package mutating func append(_ field: LinkField, _ value: Bytes) { append(key: field.rawValue, value) }

  /// Appends a field with any key.
  package mutating func append(key: UInt16, _ value: Bytes) {
    begin(key, count: value.count)
    bytes += value
  }

  package mutating func append(_ field: LinkField, _ value: StaticString) { append(field, Bytes(text: value)) }

  package mutating func append(_ field: LinkField, number: UInt64) { append(key: field.rawValue, number) }

  package mutating func append(_ counter: Counter, _ value: UInt64) { append(key: counter.definition.field, value) }

  private mutating func append(key: UInt16, _ number: UInt64) {
    begin(key, count: 8)
    bytes.append(littleEndian: number)
  }

  private mutating func begin(_ key: UInt16, count: Int) {
    bytes.append(littleEndian: key)
    bytes.append(littleEndian: 0 as UInt16)
    bytes.append(littleEndian: UInt32(truncatingIfNeeded: count))
  }

  /// The whole message, its length filled in. Only after `init(_:)` or `init(type:)`.
  package var message: Bytes {
    var length = Bytes()
    length.append(littleEndian: UInt32(truncatingIfNeeded: max(bytes.count &- 4, 0)))
    return length + slice(bytes, 4, bytes.count)
  }
}

/// Reads the fields of a message or of a ring's facts. The bytes come from outside: nothing here traps.
package struct FieldReader: Sendable {
  private let bytes: Bytes

  /// `bytes` are the fields alone, without a message's length and kind.
  package init(_ bytes: Bytes) { self.bytes = bytes }

  /// Whether the fields fill the bytes exactly. If they don't, the fields before the break can still be read.
  package var isWellFormed: Bool {
    var index = 0
    while let field = field(at: index) { index = field.end }
    return index == bytes.count
  }

  /// The bytes of the first field with this key, or nil.
  package func bytes(_ field: LinkField) -> Bytes? { bytes(key: field.rawValue) }

  /// The bytes of every field with this key, in order.
  package func all(_ field: LinkField) -> [Bytes] { all(key: field.rawValue) }

  /// The first field with this key as a number; nil if it is missing or not 8 bytes long.
  package func number(_ field: LinkField) -> UInt64? { number(key: field.rawValue) }

  /// The counter's value; nil if it is missing or not 8 bytes long.
  package func number(_ counter: Counter) -> UInt64? { number(key: counter.definition.field) }

  package func bytes(key: UInt16) -> Bytes? {
    var index = 0
    while let field = field(at: index) {
      if field.key == key { return slice(bytes, field.start, field.end) }
      index = field.end
    }
    return nil
  }

  package func all(key: UInt16) -> [Bytes] {
    var found: [Bytes] = []
    var index = 0
    while let field = field(at: index) {
      if field.key == key { found.append(slice(bytes, field.start, field.end)) }
      index = field.end
    }
    return found
  }

  package func number(key: UInt16) -> UInt64? {
    var index = 0
    while let field = field(at: index) {
      if field.key == key { return field.end &- field.start == 8 ? LittleEndian.read64(bytes, at: field.start) : nil }
      index = field.end
    }
    return nil
  }

  /// Calls `body` with the key and the value of each field of 8 bytes, in order. Allocates nothing.
  package func forEachNumber(_ body: (UInt16, UInt64) -> Void) {
    var index = 0
    while let field = field(at: index) {
      if field.end &- field.start == 8 { body(field.key, LittleEndian.read64(bytes, at: field.start)) }
      index = field.end
    }
  }

  private func field(at index: Int) -> (key: UInt16, start: Int, end: Int)? {
    guard index >= 0, index <= bytes.count, bytes.count &- index >= 8 else { return nil }
    let length = Int(LittleEndian.read32(bytes, at: index &+ 4))
    guard length <= bytes.count &- index &- 8 else { return nil }
    return (LittleEndian.read16(bytes, at: index), index &+ 8, index &+ 8 &+ length)
  }
}
