// SPDX-License-Identifier: Apache-2.0

/// Goes over the bytes of a JSON text once. What is only passed over allocates nothing.
struct JSONReader {
  private let bytes: [UInt8]
  private var at = 0
  /// Names that are looked for are shorter, however they are written.
  private static let nameBytesMax = 256
  /// Of a name with escapes, what it says.
  private var unescaped: [UInt8] = []

  init(bytes: [UInt8]) { self.bytes = bytes }

  mutating func whole() throws(JSONError) -> JSONValue {
    let value = try value(depth: 0)
    try end()
    return value
  }

  /// The members' values in the order of `names`; nil for a text that is no object.
  mutating func members(named names: [[UInt8]]) throws(JSONError) -> [JSONValue?]? {
    skipSpace()
    guard next == UInt8(ascii: "{") else {
      try skipValue(depth: 0)
      try end()
      return nil
    }
    var kept: [Kept?] = names.map { _ in nil }
    at += 1
    skipSpace()
    if !take(UInt8(ascii: "}")) {
      while true {
        let name = try name()
        let value = try skipValue(depth: 1)
        if let place = place(of: name, in: names) { kept[place] = value }
        if try !goesOn(UInt8(ascii: "}")) { break }
      }
    }
    try end()
    return kept.map { $0.flatMap { value(of: $0) } }
  }

  /// Where a value stands, by its first byte's kind.
  private enum Kept {
    case string(Text)
    case number(Range<Int>)
    case other
  }

  private func value(of kept: Kept) -> JSONValue? {
    switch kept {
    case .string(let text): .string(string(text))
    case .number(let range): .number(String(decoding: bytes[range], as: UTF8.self))
    case .other: nil
    }
  }

  /// A string between its quotes.
  private struct Text {
    let range: Range<Int>
    let hasEscapes: Bool
  }

  private mutating func place(of name: Text, in names: [[UInt8]]) -> Int? {
    guard name.hasEscapes else {
      return names.firstIndex { $0.count == name.range.count && $0.elementsEqual(bytes[name.range]) }
    }
    // An escape has six bytes at most for each byte that it says.
    guard name.range.count <= JSONReader.nameBytesMax else { return nil }
    unescaped.removeAll(keepingCapacity: true)
    unescape(name.range, into: &unescaped)
    return names.firstIndex { $0 == unescaped }
  }

  private var stop: JSONError { JSONError(offset: at) }
  private var next: UInt8? { at < bytes.count ? bytes[at] : nil }

  private mutating func end() throws(JSONError) {
    skipSpace()
    guard at == bytes.count else { throw stop }
  }

  private mutating func skipSpace() {
    while at < bytes.count, bytes[at] == 0x20 || bytes[at] == 0x09 || bytes[at] == 0x0A || bytes[at] == 0x0D { at += 1 }
  }

  private mutating func take(_ byte: UInt8) -> Bool {
    guard next == byte else { return false }
    at += 1
    return true
  }

  // MARK: - Values that are kept

  private mutating func value(depth: Int) throws(JSONError) -> JSONValue {
    guard depth < JSONValue.depthMax else { throw stop }
    skipSpace()
    switch next {
    case UInt8(ascii: "{"): return try object(depth)
    case UInt8(ascii: "["): return try array(depth)
    case UInt8(ascii: "\""): return .string(string(try skipString()))
    case UInt8(ascii: "t"):
      try skipWord("true")
      return .bool(true)
    case UInt8(ascii: "f"):
      try skipWord("false")
      return .bool(false)
    case UInt8(ascii: "n"):
      try skipWord("null")
      return .null
    default: return .number(String(decoding: bytes[try skipNumber()], as: UTF8.self))
    }
  }

  private mutating func object(_ depth: Int) throws(JSONError) -> JSONValue {
    at += 1
    var members: [(name: String, value: JSONValue)] = []
    skipSpace()
    if take(UInt8(ascii: "}")) { return .object(members) }
    while true {
      let name = string(try name())
      members.append((name: name, value: try value(depth: depth + 1)))
      if try !goesOn(UInt8(ascii: "}")) { return .object(members) }
    }
  }

  private mutating func array(_ depth: Int) throws(JSONError) -> JSONValue {
    at += 1
    var values: [JSONValue] = []
    skipSpace()
    if take(UInt8(ascii: "]")) { return .array(values) }
    while true {
      values.append(try value(depth: depth + 1))
      if try !goesOn(UInt8(ascii: "]")) { return .array(values) }
    }
  }

  private func string(_ text: Text) -> String {
    // The bytes come out of a String, and escapes are encoded below.
    guard text.hasEscapes else { return String(decoding: bytes[text.range], as: UTF8.self) }
    var unescaped: [UInt8] = []
    unescaped.reserveCapacity(text.range.count)
    unescape(text.range, into: &unescaped)
    return String(decoding: unescaped, as: UTF8.self)
  }

  // MARK: - Values that are passed over

  @discardableResult
  private mutating func skipValue(depth: Int) throws(JSONError) -> Kept {
    guard depth < JSONValue.depthMax else { throw stop }
    skipSpace()
    switch next {
    case UInt8(ascii: "{"): try skipMembers(depth)
    case UInt8(ascii: "["): try skipElements(depth)
    case UInt8(ascii: "\""): return .string(try skipString())
    case UInt8(ascii: "t"): try skipWord("true")
    case UInt8(ascii: "f"): try skipWord("false")
    case UInt8(ascii: "n"): try skipWord("null")
    default: return .number(try skipNumber())
    }
    return .other
  }

  private mutating func skipMembers(_ depth: Int) throws(JSONError) {
    at += 1
    skipSpace()
    if take(UInt8(ascii: "}")) { return }
    while true {
      _ = try name()
      try skipValue(depth: depth + 1)
      if try !goesOn(UInt8(ascii: "}")) { return }
    }
  }

  private mutating func skipElements(_ depth: Int) throws(JSONError) {
    at += 1
    skipSpace()
    if take(UInt8(ascii: "]")) { return }
    while true {
      try skipValue(depth: depth + 1)
      if try !goesOn(UInt8(ascii: "]")) { return }
    }
  }

  /// A member's name and the colon behind it.
  private mutating func name() throws(JSONError) -> Text {
    skipSpace()
    guard next == UInt8(ascii: "\"") else { throw stop }
    let name = try skipString()
    skipSpace()
    guard take(UInt8(ascii: ":")) else { throw stop }
    return name
  }

  /// Whether a comma follows, and not the bracket.
  private mutating func goesOn(_ bracket: UInt8) throws(JSONError) -> Bool {
    skipSpace()
    if take(bracket) { return false }
    guard take(UInt8(ascii: ",")) else { throw stop }
    return true
  }

  private mutating func skipWord(_ word: StaticString) throws(JSONError) {
    for byte in word.description.utf8 { guard take(byte) else { throw stop } }
  }

  private mutating func skipString() throws(JSONError) -> Text {
    at += 1
    let start = at
    var hasEscapes = false
    while at < bytes.count {
      switch bytes[at] {
      case UInt8(ascii: "\""):
        at += 1
        return Text(range: start..<(at - 1), hasEscapes: hasEscapes)
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
      guard at < bytes.count, let digit = JSONReader.digit(bytes[at]) else { throw stop }
      value = value << 4 | digit
      at += 1
    }
    return value
  }

  private static func digit(_ byte: UInt8) -> UInt32? {
    switch byte {
    case 48...57: UInt32(byte) - 48
    case 65...70: UInt32(byte) - 55
    case 97...102: UInt32(byte) - 87
    default: nil
    }
  }

  private mutating func skipNumber() throws(JSONError) -> Range<Int> {
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

  // MARK: - Escapes

  /// Appends what a string says whose escapes were found right.
  private func unescape(_ range: Range<Int>, into text: inout [UInt8]) {
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
        var scalar = number(at)
        at += 4
        if (0xD800..<0xDC00).contains(scalar) {
          scalar = 0x10000 + ((scalar - 0xD800) << 10) + (number(at + 2) & 0x3FF)
          at += 6
        }
        JSONReader.append(scalar, to: &text)
      default: text.append(byte)
      }
    }
  }

  /// The number that four hexadecimal digits are.
  private func number(_ at: Int) -> UInt32 {
    var value: UInt32 = 0
    for byte in bytes[at..<min(at + 4, bytes.count)] { value = value << 4 | (JSONReader.digit(byte) ?? 0) }
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
}
