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

/// Returns how many bytes the character at `index` has, 1 to 4, and whether it can be shown on a terminal. These
/// cannot: the C0 controls, DEL, the C1 controls U+0080 to U+009F (two bytes each), and a byte that is no part of UTF-8
/// (RFC 3629), which some terminals take for a C1 control.
package func character(in text: Bytes, at index: Int) -> (count: Int, isPrintable: Bool) {
  func byte(_ offset: Int) -> UInt8 { index &+ offset < text.count ? text[index &+ offset] : 0 }
  func continues(_ offset: Int) -> Bool { byte(offset) & 0xC0 == 0x80 }
  let first = byte(0)
  let second = byte(1)
  switch first {
  case 0..<0x80: return (1, !first.isControl)
  case 0xC2...0xDF where continues(1): return (2, !(first == 0xC2 && second < 0xA0))
  case 0xE0...0xEF where continues(1) && continues(2):
    // Not the long forms of shorter characters, nor surrogates.
    let isValid = (first != 0xE0 || second >= 0xA0) && (first != 0xED || second < 0xA0)
    return isValid ? (3, true) : (1, false)
  case 0xF0...0xF4 where continues(1) && continues(2) && continues(3):
    let isValid = (first != 0xF0 || second >= 0x90) && (first != 0xF4 || second < 0x90)
    return isValid ? (4, true) : (1, false)
  default: return (1, false)
  }
}

/// The text with each character that a terminal must not see replaced by `mark`.
package func printable(_ text: Bytes, mark: UInt8 = UInt8(ascii: "?")) -> Bytes {
  var shown = Bytes()
  shown.reserveCapacity(text.count)
  var index = 0
  while index < text.count {
    let (count, isPrintable) = character(in: text, at: index)
    if isPrintable { shown += slice(text, index, index &+ count) } else { shown.append(mark) }
    index &+= count
  }
  return shown
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

/// The bytes without white space around them, line ends included: a secret read from a file ends with one.
package func trimmed(_ bytes: Bytes) -> Bytes {
  var start = 0
  var end = bytes.count
  while start < end, isBlank(bytes[start]) { start &+= 1 }
  while end > start, isBlank(bytes[end &- 1]) { end &-= 1 }
  return slice(bytes, start, end)
}

private func isBlank(_ byte: UInt8) -> Bool { byte == 32 || byte == 9 || byte == 10 || byte == 13 }

/// The parts between separators; an empty text has none.
package func parts(of text: Bytes, separatedBy separator: UInt8) -> [Bytes] {
  guard !text.isEmpty else { return [] }
  var parts = [Bytes]()
  var start = 0
  while let end = firstIndex(of: separator, in: text, from: start) {
    parts.append(slice(text, start, end))
    start = end &+ 1
  }
  parts.append(slice(text, start, text.count))
  return parts
}

/// ASCII letters made small.
package func lowercased(_ bytes: Bytes) -> Bytes { bytes.map { $0.lowercased } }

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
    self += printable(cut(bytes, to: limit))
    if bytes.count > limit { append("...") }
  }
}
