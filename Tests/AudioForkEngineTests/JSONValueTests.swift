// SPDX-License-Identifier: Apache-2.0
import AudioForkDialects
import Testing

@Suite("JSON")
struct JSONValueTests {
  @Test("What RFC 8259 allows is read, and written back the same", arguments: [
    "null", "true", "false", "0", "-0", "12", "-1.5e+10", "0.25", "1E5", "\"\"", "\"a b\"", "[]", "{}", "[1,[2,[3]]]",
    #"{"a":1,"b":{"c":[true,null]}}"#, #""\"\\\n\r\t""#, "\"é日😀\"",
  ])
  func roundTrip(text: String) throws {
    #expect(try JSONValue(parsing: text).encoded == text)
  }

  @Test("White space around everything, escapes, and surrogate pairs")
  func reads() throws {
    let value = try JSONValue(parsing: " {\t\"a\" :\n[ 1 , \"\\u0041\\ud83d\\ude00\\/\\b\\f\" ]\r} ")
    #expect(value == ["a": .array([.number("1"), "A\u{1F600}/\u{8}\u{C}"])])
    #expect(try JSONValue(parsing: #"{"a":1,"a":2}"#)["a"]?.wholeNumber == 2, "the last counts")
  }

  @Test("Everything else is refused", arguments: [
    "", " ", "nul", "nulll", "True", "01", "-", "+1", "1.", ".5", "1e", "1e+", "0x10", "NaN", "\"", "\"\\\"", "\"\\x\"",
    "\"\\u12\"", "\"\\u12g4\"", "\"\\ud800\"", "\"\\ud800\\u0041\"", "\"\\udc00\"", "\"a\nb\"", "[", "[1", "[1,", "[1,]",
    "[,]", "{", "{\"a\"", "{\"a\":", "{\"a\":1", "{\"a\":1,", "{\"a\":1,}", "{a:1}", "{1:1}", "{}{}", "[]]", "1 2", "'a'",
    "\u{FEFF}{}",
  ])
  func refused(text: String) {
    #expect(throws: JSONError.self) { try JSONValue(parsing: text) }
  }

  @Test("Depth is bounded, so that nobody exhausts the stack")
  func depth() throws {
    let inside = JSONValue.depthMax - 1
    _ = try JSONValue(parsing: String(repeating: "[", count: inside) + "1" + String(repeating: "]", count: inside))
    for bracket in ["[", "{\"a\":"] {
      #expect(throws: JSONError.self) { try JSONValue(parsing: String(repeating: bracket, count: 1_000_000)) }
    }
  }

  @Test("Whole numbers are whole and not negative")
  func wholeNumbers() throws {
    for (text, number) in [("0", 0), ("18446744073709551615", UInt64.max)] {
      #expect(try JSONValue(parsing: text).wholeNumber == number)
    }
    for text in ["-1", "1.0", "1e3", "18446744073709551616", "\"1\"", "null"] {
      #expect(try JSONValue(parsing: text).wholeNumber == nil, "\(text)")
    }
  }

  @Test("Control characters are escaped when written")
  func controls() throws {
    let text = String(String.UnicodeScalarView((0...0x20).compactMap { Unicode.Scalar($0) } + ["\u{7F}"]))
    let encoded = JSONValue.string(text).encoded
    #expect(encoded.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F })
    #expect(try JSONValue(parsing: encoded) == .string(text))
  }
}
