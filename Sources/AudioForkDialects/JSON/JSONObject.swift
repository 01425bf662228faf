// SPDX-License-Identifier: Apache-2.0

/// Writes one JSON object (RFC 8259), members in the order in which they are added, without white space: the messages
/// of dialects and the receiver's events.
package struct JSONObject: Sendable {
  private var text = "{"

  /// An object without members.
  package init() {}

  /// An object that begins with the member `type`.
  package init(type: String) { add("type", type) }

  /// The object as text.
  package var encoded: String { text + "}" }

  package mutating func add(_ name: String, _ value: String) {
    begin(name)
    JSONValue.quote(value, into: &text)
  }

  package mutating func add(_ name: String, _ value: some FixedWidthInteger) {
    begin(name)
    text += String(value)
  }

  /// A number with `places` decimals; null for nil and for what JSON cannot say.
  package mutating func add(_ name: String, _ value: Double?, places: Int) {
    begin(name)
    text += value.map { $0.isFinite ? fixed($0, places: places) : "null" } ?? "null"
  }

  package mutating func add(_ name: String, _ values: [String]) {
    begin(name)
    text += "["
    for (index, value) in values.enumerated() {
      if index > 0 { text += "," }
      JSONValue.quote(value, into: &text)
    }
    text += "]"
  }

  package mutating func add(_ name: String, _ object: JSONObject) {
    begin(name)
    text += object.encoded
  }

  private mutating func begin(_ name: String) {
    if text.utf8.count > 1 { text += "," }
    JSONValue.quote(name, into: &text)
    text += ":"
  }
}

extension JSONValue {
  /// Appends a string as JSON writes it; what would break a line or drive a terminal is escaped.
  package static func quote(_ string: String, into text: inout String) {
    text += "\""
    for scalar in string.unicodeScalars {
      switch scalar {
      case "\"": text += "\\\""
      case "\\": text += "\\\\"
      case "\n": text += "\\n"
      case "\r": text += "\\r"
      case "\t": text += "\\t"
      case "\0"..."\u{1F}", "\u{7F}"..."\u{9F}", "\u{2028}", "\u{2029}":
        let digits = String(scalar.value, radix: 16)
        text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: text.unicodeScalars.append(scalar)
      }
    }
    text += "\""
  }
}

/// A number with a fixed count of decimals, rounded half away from zero. "nan", "inf" and numbers beyond 10^15 as
/// Swift writes them.
package func fixed(_ value: Double, places: Int) -> String {
  var scale = 1
  for _ in 0..<min(max(places, 0), 9) { scale *= 10 }
  let scaled = (value * Double(scale)).rounded()
  guard scaled.isFinite, abs(scaled) < 1e15 else { return "\(value)" }
  let units = Int(abs(scaled))
  let sign = scaled < 0 ? "-" : ""
  guard scale > 1 else { return "\(sign)\(units)" }
  let decimals = String(units % scale)
  return "\(sign)\(units / scale)." + String(repeating: "0", count: String(scale).count - 1 - decimals.count) + decimals
}
