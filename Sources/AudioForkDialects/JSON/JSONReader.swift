// SPDX-License-Identifier: Apache-2.0

/// Goes over the bytes of a JSON text once. What is only passed over allocates nothing.
struct JSONReader {
  private var scanner: JSONScanner
  /// Names that are looked for are shorter, however they are written.
  private static let nameBytesMax = 256
  /// Of a name with escapes, what it says.
  private var unescaped: [UInt8] = []

  init(bytes: [UInt8]) { scanner = JSONScanner(bytes: bytes) }

  mutating func whole() throws(JSONError) -> JSONValue {
    let value = try value(depth: 0)
    try scanner.end()
    return value
  }

  /// The members' values in the order of `names`; nil for a text that is no object.
  mutating func members(named names: [[UInt8]]) throws(JSONError) -> [JSONValue?]? {
    scanner.skipSpace()
    guard scanner.next == UInt8(ascii: "{") else {
      try skipValue(depth: 0)
      try scanner.end()
      return nil
    }
    var kept: [Kept?] = names.map { _ in nil }
    scanner.advance()
    scanner.skipSpace()
    if !scanner.take(UInt8(ascii: "}")) {
      while true {
        let name = try name()
        let value = try skipValue(depth: 1)
        if let place = place(of: name, in: names) { kept[place] = value }
        if try !takeComma(or: UInt8(ascii: "}")) { break }
      }
    }
    try scanner.end()
    return kept.map { $0.flatMap { value(of: $0) } }
  }

  /// Where a value stands, by its first byte's kind.
  private enum Kept {
    case string(JSONString)
    case number(Range<Int>)
    case other
  }

  private func value(of kept: Kept) -> JSONValue? {
    switch kept {
    case .string(let text): .string(string(text))
    case .number(let range): .number(String(decoding: scanner.bytes[range], as: UTF8.self))
    case .other: nil
    }
  }

  private mutating func place(of name: JSONString, in names: [[UInt8]]) -> Int? {
    guard name.hasEscapes else {
      return names.firstIndex { $0.count == name.range.count && $0.elementsEqual(scanner.bytes[name.range]) }
    }
    // An escape has six bytes at most for each byte that it says.
    guard name.range.count <= JSONReader.nameBytesMax else { return nil }
    unescaped.removeAll(keepingCapacity: true)
    name.unescape(scanner.bytes, into: &unescaped)
    return names.firstIndex { $0 == unescaped }
  }

  // MARK: - Values that are kept

  private mutating func value(depth: Int) throws(JSONError) -> JSONValue {
    guard depth < JSONValue.depthMax else { throw scanner.stop }
    scanner.skipSpace()
    switch scanner.next {
    case UInt8(ascii: "{"): return try object(depth)
    case UInt8(ascii: "["): return try array(depth)
    case UInt8(ascii: "\""): return .string(string(try scanner.skipString()))
    case UInt8(ascii: "t"):
      try scanner.skipWord("true")
      return .bool(true)
    case UInt8(ascii: "f"):
      try scanner.skipWord("false")
      return .bool(false)
    case UInt8(ascii: "n"):
      try scanner.skipWord("null")
      return .null
    default: return .number(String(decoding: scanner.bytes[try scanner.skipNumber()], as: UTF8.self))
    }
  }

  private mutating func object(_ depth: Int) throws(JSONError) -> JSONValue {
    scanner.advance()
    var members: [(name: String, value: JSONValue)] = []
    scanner.skipSpace()
    if scanner.take(UInt8(ascii: "}")) { return .object(members) }
    while true {
      let name = string(try name())
      members.append((name: name, value: try value(depth: depth + 1)))
      if try !takeComma(or: UInt8(ascii: "}")) { return .object(members) }
    }
  }

  private mutating func array(_ depth: Int) throws(JSONError) -> JSONValue {
    scanner.advance()
    var values: [JSONValue] = []
    scanner.skipSpace()
    if scanner.take(UInt8(ascii: "]")) { return .array(values) }
    while true {
      values.append(try value(depth: depth + 1))
      if try !takeComma(or: UInt8(ascii: "]")) { return .array(values) }
    }
  }

  private func string(_ text: JSONString) -> String {
    // The bytes come out of a String, and escapes are encoded below.
    guard text.hasEscapes else { return String(decoding: scanner.bytes[text.range], as: UTF8.self) }
    var unescaped: [UInt8] = []
    unescaped.reserveCapacity(text.range.count)
    text.unescape(scanner.bytes, into: &unescaped)
    return String(decoding: unescaped, as: UTF8.self)
  }

  // MARK: - Values that are passed over

  @discardableResult
  private mutating func skipValue(depth: Int) throws(JSONError) -> Kept {
    guard depth < JSONValue.depthMax else { throw scanner.stop }
    scanner.skipSpace()
    switch scanner.next {
    case UInt8(ascii: "{"): try skipMembers(depth)
    case UInt8(ascii: "["): try skipElements(depth)
    case UInt8(ascii: "\""): return .string(try scanner.skipString())
    case UInt8(ascii: "t"): try scanner.skipWord("true")
    case UInt8(ascii: "f"): try scanner.skipWord("false")
    case UInt8(ascii: "n"): try scanner.skipWord("null")
    default: return .number(try scanner.skipNumber())
    }
    return .other
  }

  private mutating func skipMembers(_ depth: Int) throws(JSONError) {
    scanner.advance()
    scanner.skipSpace()
    if scanner.take(UInt8(ascii: "}")) { return }
    while true {
      _ = try name()
      try skipValue(depth: depth + 1)
      if try !takeComma(or: UInt8(ascii: "}")) { return }
    }
  }

  private mutating func skipElements(_ depth: Int) throws(JSONError) {
    scanner.advance()
    scanner.skipSpace()
    if scanner.take(UInt8(ascii: "]")) { return }
    while true {
      try skipValue(depth: depth + 1)
      if try !takeComma(or: UInt8(ascii: "]")) { return }
    }
  }

  /// A member's name and the colon behind it.
  private mutating func name() throws(JSONError) -> JSONString {
    scanner.skipSpace()
    guard scanner.next == UInt8(ascii: "\"") else { throw scanner.stop }
    let name = try scanner.skipString()
    scanner.skipSpace()
    guard scanner.take(UInt8(ascii: ":")) else { throw scanner.stop }
    return name
  }

  /// Steps over a comma or the bracket. Returns true for the comma.
  private mutating func takeComma(or bracket: UInt8) throws(JSONError) -> Bool {
    scanner.skipSpace()
    if scanner.take(bracket) { return false }
    guard scanner.take(UInt8(ascii: ",")) else { throw scanner.stop }
    return true
  }
}
