// SPDX-License-Identifier: Apache-2.0

/// A string in the bytes of a JSON text, between its quotes.
struct JSONString {
  let range: Range<Int>
  let hasEscapes: Bool

  /// Appends what the string says. `JSONScanner` has checked its escapes.
  func unescape(_ bytes: [UInt8], into text: inout [UInt8]) {
    var at = range.lowerBound
    while at < range.upperBound {
      guard bytes[at] == UInt8(ascii: "\\"), at + 1 < range.upperBound else {
        text.append(bytes[at])
        at += 1
        continue
      }
      let byte = bytes[at + 1]
      at += 2
      switch byte {
      case UInt8(ascii: "b"): text.append(0x08)
      case UInt8(ascii: "f"): text.append(0x0C)
      case UInt8(ascii: "n"): text.append(0x0A)
      case UInt8(ascii: "r"): text.append(0x0D)
      case UInt8(ascii: "t"): text.append(0x09)
      case UInt8(ascii: "u"):
        var scalar = JSONString.number(bytes, at)
        at += 4
        if (0xD800..<0xDC00).contains(scalar) {
          scalar = 0x10000 + ((scalar - 0xD800) << 10) + (JSONString.number(bytes, at + 2) & 0x3FF)
          at += 6
        }
        JSONString.append(scalar, to: &text)
      default: text.append(byte)
      }
    }
  }

  /// The number that four hexadecimal digits are.
  private static func number(_ bytes: [UInt8], _ at: Int) -> UInt32 {
    var value: UInt32 = 0
    for byte in bytes[at..<min(at + 4, bytes.count)] { value = value << 4 | (digit(byte) ?? 0) }
    return value
  }

  /// Appends a scalar as UTF-8 (RFC 3629 section 3).
  private static func append(_ scalar: UInt32, to text: inout [UInt8]) {
    func low(_ shift: UInt32) -> UInt8 { 0x80 | UInt8(truncatingIfNeeded: scalar >> shift & 0x3F) }
    switch scalar {
    case 0..<0x80: text.append(UInt8(truncatingIfNeeded: scalar))
    case 0x80..<0x800:
      text.append(0xC0 | UInt8(truncatingIfNeeded: scalar >> 6))
      text.append(low(0))
    case 0x800..<0x10000:
      text.append(0xE0 | UInt8(truncatingIfNeeded: scalar >> 12))
      text.append(low(6))
      text.append(low(0))
    default:
      text.append(0xF0 | UInt8(truncatingIfNeeded: scalar >> 18))
      text.append(low(12))
      text.append(low(6))
      text.append(low(0))
    }
  }

  /// The value of a hexadecimal digit; nil for another byte.
  static func digit(_ byte: UInt8) -> UInt32? {
    switch byte {
    case 48...57: UInt32(byte) - 48
    case 65...70: UInt32(byte) - 55
    case 97...102: UInt32(byte) - 87
    default: nil
    }
  }
}
