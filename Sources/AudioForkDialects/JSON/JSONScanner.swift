// SPDX-License-Identifier: Apache-2.0

/// Steps over the tokens of a JSON text, from its first byte to its last.
struct JSONScanner {
  let bytes: [UInt8]
  /// Offset of the next byte.
  private(set) var at = 0

  init(bytes: [UInt8]) { self.bytes = bytes }

  /// The error of a text that is wrong at the next byte.
  var stop: JSONError { JSONError(offset: at) }
  /// The next byte; nil at the end.
  var next: UInt8? { at < bytes.count ? bytes[at] : nil }

  mutating func advance() { at += 1 }

  /// Throws unless only space is left.
  mutating func end() throws(JSONError) {
    skipSpace()
    guard at == bytes.count else { throw stop }
  }

  mutating func skipSpace() {
    while at < bytes.count, bytes[at] == 0x20 || bytes[at] == 0x09 || bytes[at] == 0x0A || bytes[at] == 0x0D { at += 1 }
  }

  /// Steps over the byte if it is the next one. Returns whether it was.
  mutating func take(_ byte: UInt8) -> Bool {
    guard next == byte else { return false }
    at += 1
    return true
  }

  /// Steps over `true`, `false` or `null`.
  mutating func skipWord(_ word: StaticString) throws(JSONError) {
    for byte in word.description.utf8 { guard take(byte) else { throw stop } }
  }

  /// Steps over a string, whose opening quote is the next byte. Returns what its quotes enclose.
  mutating func skipString() throws(JSONError) -> JSONString {
    at += 1
    let start = at
    var hasEscapes = false
    while at < bytes.count {
      switch bytes[at] {
      case UInt8(ascii: "\""):
        at += 1
        return JSONString(range: start..<(at - 1), hasEscapes: hasEscapes)
      case UInt8(ascii: "\\"):
        hasEscapes = true
        at += 1
        try skipEscape()
      case 0..<0x20: throw stop
      default: at += 1
      }
    }
    throw stop
  }

  private mutating func skipEscape() throws(JSONError) {
    switch next {
    case UInt8(ascii: "u"):
      at += 1
      let first = try fourDigits()
      guard (0xD800..<0xE000).contains(first) else { return }
      // Two times four digits for a scalar beyond U+FFFF; half of such a pair alone is no text.
      guard first < 0xDC00, take(UInt8(ascii: "\\")), take(UInt8(ascii: "u")),
        (0xDC00..<0xE000).contains(try fourDigits())
      else { throw stop }
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"),
      UInt8(ascii: "n"),
      UInt8(ascii: "r"), UInt8(ascii: "t"):
      at += 1
    default: throw stop
    }
  }

  private mutating func fourDigits() throws(JSONError) -> UInt32 {
    var value: UInt32 = 0
    for _ in 0..<4 {
      guard at < bytes.count, let digit = JSONString.digit(bytes[at]) else { throw stop }
      value = value << 4 | digit
      at += 1
    }
    return value
  }

  /// Steps over a number (RFC 8259 section 6). Returns its bytes.
  mutating func skipNumber() throws(JSONError) -> Range<Int> {
    let start = at
    _ = take(UInt8(ascii: "-"))
    guard let first = next, (48...57).contains(first) else { throw stop }
    skipDigits()
    if first == UInt8(ascii: "0"), at > start + (bytes[start] == UInt8(ascii: "-") ? 2 : 1) { throw stop }
    if take(UInt8(ascii: ".")) {
      guard let digit = next, (48...57).contains(digit) else { throw stop }
      skipDigits()
    }
    if take(UInt8(ascii: "e")) || take(UInt8(ascii: "E")) {
      if !take(UInt8(ascii: "+")) { _ = take(UInt8(ascii: "-")) }
      guard let digit = next, (48...57).contains(digit) else { throw stop }
      skipDigits()
    }
    return start..<at
  }

  private mutating func skipDigits() {
    while at < bytes.count, (48...57).contains(bytes[at]) { at += 1 }
  }
}
