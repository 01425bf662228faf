// SPDX-License-Identifier: MIT

/// Text of an argument, as bytes. The grammar works on bytes and not on `String`, because this target also runs
/// inside Asterisk as Embedded Swift: no Unicode tables, no operation that can trap on a user's input.
package typealias Bytes = [UInt8]

extension UInt8 {
  package static let newline: UInt8 = 10
  package var isDigit: Bool { self >= 48 && self <= 57 }
  package var isControl: Bool { self < 32 || self == 127 }
  package var lowercased: UInt8 { self >= 65 && self <= 90 ? self | 32 : self }
}

/// The bytes from `start` up to `end`, both brought into bounds.
package func slice(_ bytes: Bytes, _ start: Int, _ end: Int) -> Bytes {
  let low = min(max(start, 0), bytes.count)
  let high = min(max(end, low), bytes.count)
  return Bytes(bytes[low..<high])
}

/// Where `byte` stands first at or behind `start`, or nil.
package func firstIndex(of byte: UInt8, in bytes: Bytes, from start: Int = 0) -> Int? {
  var index = max(start, 0)
  while index < bytes.count {
    if bytes[index] == byte { return index }
    index &+= 1
  }
  return nil
}

/// Whether `bytes` begins with the text, ASCII letters compared without case.
package func hasPrefix(_ bytes: Bytes, ignoringCase prefix: StaticString) -> Bool {
  let length = prefix.utf8CodeUnitCount
  guard bytes.count >= length else { return false }
  return equal(slice(bytes, 0, length), ignoringCase: prefix)
}

/// Whether `bytes` is the text, ASCII letters compared without case.
package func equal(_ bytes: Bytes, ignoringCase text: StaticString) -> Bool {
  let other = Bytes(text: text)
  guard bytes.count == other.count else { return false }
  var index = 0
  while index < bytes.count {
    if bytes[index].lowercased != other[index].lowercased { return false }
    index &+= 1
  }
  return true
}

/// The number that the bytes spell in decimal digits, or nil: empty, another character, more than nine digits.
package func decimal(_ bytes: Bytes) -> Int? {
  guard !bytes.isEmpty, bytes.count <= 9 else { return nil }
  var value = 0
  for byte in bytes {
    guard byte.isDigit else { return nil }
    value = value &* 10 &+ Int(byte &- 48)
  }
  return value
}

extension [UInt8] {
  /// The bytes of a literal.
  package init(text: StaticString) {
    self = text.withUTF8Buffer { unsafe Bytes($0) }
  }

  /// Appends a literal.
  package mutating func append(_ text: StaticString) { self += Bytes(text: text) }

  /// Appends an integer in decimal.
  package mutating func append(decimal value: Int) {
    var rest = value.magnitude
    var digits = Bytes()
    repeat {
      digits.append(48 &+ UInt8(truncatingIfNeeded: rest % 10))
      rest /= 10
    } while rest > 0
    if value < 0 { append(UInt8(ascii: "-")) }
    self += digits.reversed()
  }

  /// Appends user input so that it can stand in one log line: control characters become '?', long input is cut.
  package mutating func append(shown bytes: Bytes, limit: Int = 80) {
    for byte in bytes.prefix(limit) { append(byte.isControl ? UInt8(ascii: "?") : byte) }
    if bytes.count > limit { append("...") }
  }
}
