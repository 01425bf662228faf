// SPDX-License-Identifier: Apache-2.0
internal import AudioForkDialects

/// One JSON object on one line, keys in the order in which they are added.
struct JSONLine {
  private var text = "{"

  mutating func add(_ key: String, _ value: String) {
    begin(key)
    JSONValue.quote(value, into: &text)
  }

  mutating func add(_ key: String, _ value: Int) {
    begin(key)
    text += String(value)
  }

  /// A number with `places` decimals; null for nil and for what JSON cannot say.
  mutating func add(_ key: String, _ value: Double?, places: Int) {
    begin(key)
    text += value.map { $0.isFinite ? fixed($0, places: places) : "null" } ?? "null"
  }

  mutating func add(_ key: String, _ values: [String]) {
    begin(key)
    text += "["
    for (index, value) in values.enumerated() {
      if index > 0 { text += "," }
      JSONValue.quote(value, into: &text)
    }
    text += "]"
  }

  /// The finished object, without a line end.
  var line: String { text + "}" }

  private mutating func begin(_ key: String) {
    if text.utf8.count > 1 { text += "," }
    JSONValue.quote(key, into: &text)
    text += ":"
  }
}

/// A number with a fixed count of decimals, rounded half away from zero. "nan", "inf" and numbers beyond 10^15 as
/// Swift writes them.
func fixed(_ value: Double, places: Int) -> String {
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
