// SPDX-License-Identifier: Apache-2.0

/// Decodes the fields of a ring's facts or of a link message (layout: af_link.h). The bytes come from outside:
/// whatever they are, nothing here traps.
package struct FieldReader: Sendable {
  private let bytes: [UInt8]

  /// `bytes` are the fields alone, without a message's length and type.
  package init(_ bytes: [UInt8]) { self.bytes = bytes }

  /// Whether the fields fill the bytes exactly. Where they don't, what stands before the break can still be read.
  package var isWellFormed: Bool {
    var index = 0
    while let field = field(at: index) { index = field.end }
    return index == bytes.count
  }

  /// The bytes of the first field with this key, or nil.
  package func bytes(_ key: UInt16) -> [UInt8]? {
    var index = 0
    while let field = field(at: index) {
      if field.key == key { return [UInt8](bytes[field.start..<field.end]) }
      index = field.end
    }
    return nil
  }

  /// The bytes of every field with this key, in order.
  package func all(_ key: UInt16) -> [[UInt8]] {
    var found: [[UInt8]] = []
    var index = 0
    while let field = field(at: index) {
      if field.key == key { found.append([UInt8](bytes[field.start..<field.end])) }
      index = field.end
    }
    return found
  }

  /// The first field with this key as text, or nil. Bytes that are not UTF-8 become U+FFFD.
  package func text(_ key: UInt16) -> String? {
    bytes(key).map { String(decoding: $0, as: UTF8.self) }
  }

  /// The first field with this key as a number, or nil where it is missing or not 8 bytes long.
  package func number(_ key: UInt16) -> UInt64? {
    guard let value = bytes(key), value.count == 8 else { return nil }
    return value.reversed().reduce(0) { $0 &<< 8 | UInt64($1) }
  }

  private func field(at index: Int) -> (key: UInt16, start: Int, end: Int)? {
    guard index >= 0, index <= bytes.count, bytes.count &- index >= 8 else { return nil }
    let key = UInt16(bytes[index]) | UInt16(bytes[index &+ 1]) &<< 8
    var length = 0
    for offset in (4..<8).reversed() { length = length &<< 8 | Int(bytes[index &+ offset]) }
    guard length <= bytes.count &- index &- 8 else { return nil }
    return (key, index &+ 8, index &+ 8 &+ length)
  }
}
