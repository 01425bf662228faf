// SPDX-License-Identifier: Apache-2.0

/// A JSON text (RFC 8259), as dialects need it: read strictly, bounded in depth, without Foundation, because position
/// acknowledgements come several times a second for every fork.
package indirect enum JSONValue: Sendable, Equatable {
  case null
  case bool(Bool)
  /// As it stands in the text; `wholeNumber` reads it.
  case number(String)
  case string(String)
  case array([JSONValue])
  /// In the text's order; of members with one name the last counts.
  case object([(name: String, value: JSONValue)])

  /// Nested values deeper than this are refused: nobody sends them but to exhaust the stack.
  package static let depthMax = 16

  /// Reads a text that is one value. Throws `JSONError` with the byte at which it stops being JSON. The value takes
  /// many times the text's bytes: read texts from the network with `members(of:named:)`. Tests compare the two.
  package init(parsing text: String) throws(JSONError) {
    var reader = JSONReader(bytes: Array(text.utf8))
    self = try reader.whole()
  }

  /// The member with this name; nil for other values and where there is none.
  package subscript(_ name: String) -> JSONValue? {
    guard case .object(let members) = self else { return nil }
    return members.last { $0.name == name }?.value
  }

  /// The string, where it is one.
  package var text: String? {
    guard case .string(let text) = self else { return nil }
    return text
  }

  /// The number, where it is a whole one from 0 to 2^64 - 1 without sign, fraction and exponent.
  package var wholeNumber: UInt64? {
    guard case .number(let digits) = self, digits.utf8.allSatisfy({ (48...57).contains($0) }) else { return nil }
    return UInt64(digits)
  }

  /// The number, where it is one that a Double can hold.
  package var number: Double? {
    guard case .number(let digits) = self, let number = Double(digits), number.isFinite else { return nil }
    return number
  }

  package static func == (first: JSONValue, second: JSONValue) -> Bool {
    switch (first, second) {
    case (.null, .null): true
    case (.bool(let a), .bool(let b)): a == b
    case (.number(let a), .number(let b)), (.string(let a), .string(let b)): a == b
    case (.array(let a), .array(let b)): a == b
    case (.object(let a), .object(let b)):
      a.count == b.count && zip(a, b).allSatisfy { $0.name == $1.name && $0.value == $1.value }
    default: false
    }
  }
}

/// Why a text is not JSON.
package struct JSONError: Error, Equatable, Sendable {
  /// Index of the byte that does not fit.
  package let offset: Int
}

extension JSONValue {
  /// The value as text, without white space.
  package var encoded: String {
    var text = ""
    append(to: &text)
    return text
  }

  private func append(to text: inout String) {
    switch self {
    case .null: text += "null"
    case .bool(let isTrue): text += isTrue ? "true" : "false"
    case .number(let digits): text += digits
    case .string(let string): JSONValue.quote(string, into: &text)
    case .array(let values):
      text += "["
      for (index, value) in values.enumerated() {
        if index > 0 { text += "," }
        value.append(to: &text)
      }
      text += "]"
    case .object(let members):
      text += "{"
      for (index, member) in members.enumerated() {
        if index > 0 { text += "," }
        JSONValue.quote(member.name, into: &text)
        text += ":"
        member.value.append(to: &text)
      }
      text += "}"
    }
  }
}

extension JSONValue: ExpressibleByStringLiteral, ExpressibleByDictionaryLiteral {
  package init(stringLiteral text: String) { self = .string(text) }
  package init(dictionaryLiteral members: (String, JSONValue)...) {
    self = .object(members.map { (name: $0.0, value: $0.1) })
  }

  package init(_ number: some FixedWidthInteger) { self = .number(String(number)) }
}

extension JSONValue {
  /// Reads a text that is one object, and keeps of its members the strings and numbers with these names; the last of
  /// each counts. The rest is held to the rules and passed over, so that a long text costs little whatever is in it.
  /// Returns nil for a text that is another value. Throws `JSONError` with the byte at which it stops being JSON.
  package static func members(of text: String, named names: [String]) throws(JSONError) -> JSONValue? {
    var reader = JSONReader(bytes: Array(text.utf8))
    guard let values = try reader.members(named: names.map { Array($0.utf8) }) else { return nil }
    return .object(zip(names, values).compactMap { name, value in value.map { (name: name, value: $0) } })
  }
}
