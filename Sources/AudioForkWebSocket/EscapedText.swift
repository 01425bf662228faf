// SPDX-License-Identifier: Apache-2.0

/// A text as it reads once the escapes of JSON, HTML and URLs are undone and runs of white space are one blank.
/// It knows the place of each byte in the text itself.
struct EscapedText {
  /// So much of the beginning of something is taken for it, bytes.
  static let beginningMin = 4
  /// The longest escape that is undone, bytes: `&#x10FFFF;`.
  private static let escapeMax = 10

  private let source: [UInt8]
  private var bytes: [UInt8] = []
  /// For each of `bytes`, what it was in `source`.
  private var places: [Range<Int>] = []

  init(_ text: String) {
    source = Array(text.utf8)
    var index = 0
    while index < source.count {
      let (plain, length) = EscapedText.unescaped(source[index...])
      let place = index..<index + length
      for byte in plain { append(byte, place) }
      index = place.upperBound
    }
  }

  private mutating func append(_ byte: UInt8, _ place: Range<Int>) {
    let isSpace = byte == 0x20 || (0x09...0x0D).contains(byte)
    if isSpace, bytes.last == 0x20, let last = places.last {
      places[places.count - 1] = last.lowerBound..<place.upperBound
    } else {
      bytes.append(isSpace ? 0x20 : byte)
      places.append(place)
    }
  }

  /// The text with three stars in place of each `secret`; where it `isCut`, of a beginning of it at its end too.
  func replacing(_ secret: EscapedText, isCut: Bool) -> String {
    var result: [UInt8] = []
    var copied = 0
    var index = 0
    while index < bytes.count, secret.bytes.contains(where: { $0 != 0x20 }) {
      let rest = bytes[index...]
      let isHere = rest.starts(with: secret.bytes)
      guard isHere || isCut && secret.begins(like: rest, places[index...], of: source.count) else {
        index += 1
        continue
      }
      let end = isHere ? places[index + secret.bytes.count - 1].upperBound : source.count
      // Behind one that was found in the same escape.
      if places[index].lowerBound >= copied {
        result += source[copied..<places[index].lowerBound]
        result += Array("***".utf8)
      }
      copied = max(copied, end)
      index += isHere ? secret.bytes.count : rest.count
    }
    return String(decoding: result + source[copied...], as: UTF8.self)
  }

  /// Whether `rest`, which ends a text, is a beginning of this; an escape that was cut at its end counts for nothing.
  private func begins(like rest: ArraySlice<UInt8>, _ places: ArraySlice<Range<Int>>, of end: Int) -> Bool {
    guard rest.count < bytes.count + EscapedText.escapeMax else { return false }
    let same = zip(rest, bytes).prefix { $0 == $1 }.count
    guard same >= EscapedText.beginningMin else { return false }
    guard same < rest.count else { return true }
    let other = rest.startIndex + same
    return end - places[other].lowerBound < EscapedText.escapeMax && Array("%&\\".utf8).contains(rest[other])
  }

  /// What the text begins with, without its escape, and how many bytes it takes there.
  private static func unescaped(_ text: ArraySlice<UInt8>) -> (plain: [UInt8], length: Int) {
    let start = text.startIndex
    let first = text[start]
    let rest = text.dropFirst()
    switch first {
    case UInt8(ascii: "%"):
      if let value = number(rest.prefix(2), radix: 16, digits: 2) { return ([UInt8(truncatingIfNeeded: value)], 3) }
    case UInt8(ascii: "\\"):
      if rest.first == UInt8(ascii: "u"), let value = number(rest.dropFirst().prefix(4), radix: 16, digits: 4),
        let scalar = Unicode.Scalar(value)
      {
        return (Array(String(scalar).utf8), 6)
      }
      if let next = rest.first, Array("/\\\"'".utf8).contains(next) { return ([next], 2) }
    case UInt8(ascii: "&"):
      guard let end = rest.prefix(escapeMax).firstIndex(of: UInt8(ascii: ";")) else { break }
      let name = String(decoding: rest[..<end], as: UTF8.self).lowercased()
      if let plain = entity(name) { return (plain, end + 1 - start) }
    default: break
    }
    return ([first], 1)
  }

  private static func entity(_ name: String) -> [UInt8]? {
    switch name {
    case "amp": return Array("&".utf8)
    case "lt": return Array("<".utf8)
    case "gt": return Array(">".utf8)
    case "quot": return Array("\"".utf8)
    case "apos": return Array("'".utf8)
    case "sol": return Array("/".utf8)
    case "nbsp": return Array(" ".utf8)
    default: break
    }
    let isHex = name.hasPrefix("#x")
    guard name.hasPrefix("#") else { return nil }
    let value = number(ArraySlice(name.utf8.dropFirst(isHex ? 2 : 1)), radix: isHex ? 16 : 10)
    return value.flatMap { Unicode.Scalar($0) }.map { Array(String($0).utf8) }
  }

  private static func number(_ text: ArraySlice<UInt8>, radix: Int, digits: Int? = nil) -> UInt32? {
    // What the standard library takes for a sign is none here.
    guard digits == nil || text.count == digits, let first = text.first, !Array("+-".utf8).contains(first)
    else { return nil }
    return UInt32(String(decoding: text, as: UTF8.self), radix: radix)
  }
}
