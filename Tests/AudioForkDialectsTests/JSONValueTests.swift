// SPDX-License-Identifier: Apache-2.0
import AudioForkDialects
import AudioForkTestKit
import Testing

@Suite("JSON")
struct JSONValueTests {
  @Test(
    "What RFC 8259 allows is read, and written back the same",
    arguments: [
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

  @Test(
    "Everything else is refused",
    arguments: [
      "", " ", "nul", "nulll", "True", "01", "-", "+1", "1.", ".5", "1e", "1e+", "0x10", "NaN", "\"", "\"\\\"",
      "\"\\x\"", "\"\\u12\"", "\"\\u12g4\"", "\"\\ud800\"", "\"\\ud800\\u0041\"", "\"\\udc00\"", "\"a\nb\"", "[",
      "[1", "[1,", "[1,]", "[,]", "{", "{\"a\"", "{\"a\":", "{\"a\":1", "{\"a\":1,", "{\"a\":1,}", "{a:1}", "{1:1}",
      "{}{}", "[]]", "1 2", "'a'", "\u{FEFF}{}",
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

  @Test("Named strings and numbers are found in an object, the last of each, whatever else is in it")
  func members() throws {
    let text = #"""
      { "other" : [ {"type":"no"} , [ ] , true ] , "t\u0079pe" : "a\u00e9\ud83d\ude00\n" , \#
      "position":1,"position" : 12 ,
        "level" : {"level":"no"}, "text":null }
      """#
    let found = try JSONValue.members(of: text, named: ["type", "position", "level", "text"])
    #expect(found == ["type": "aé😀\n", "position": .number("12")])
    #expect(try JSONValue.members(of: "{}", named: ["type"]) == [:])
    for other in ["[]", "1", "\"type\"", "null"] { #expect(try JSONValue.members(of: other, named: ["type"]) == nil) }
  }

  @Test("What is passed over is held to the same rules as what is read", arguments: 0..<40)
  func sameRules(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    let parts = [
      "{", "}", "[", "]", ",", ":", "\"a\"", "\"type\"", "\"\\u0041\"", "\"\\ud800\"", "\"\\ud83d\\ude00\"", "\"\\x\"",
      "\"\n\"",
      "1", "-0.5e3", "01", "true", "nul", " ", "\"", "\\",
    ]
    var wholes = 0
    for _ in 0..<3000 {
      var text = #"{"type":"x","b":[1,{"c":"\u00e9"}],"position":7}"#
      // A right text with a wrong place or two, or any text.
      if Bool.random(using: &random) {
        for _ in 0..<Int.random(in: 0...2, using: &random) {
          let at = text.unicodeScalars.index(
            text.startIndex, offsetBy: Int.random(in: 0..<text.unicodeScalars.count, using: &random))
          text.replaceSubrange(at..<at, with: parts.randomElement(using: &random) ?? "")
        }
      } else {
        text = (0..<Int.random(in: 1...9, using: &random)).map { _ in parts.randomElement(using: &random) ?? "" }
          .joined()
      }
      let whole = try? JSONValue(parsing: text)
      let found = Result { () throws -> JSONValue? in try JSONValue.members(of: text, named: ["type", "position"]) }
      switch (whole, found) {
      case (nil, .failure): break
      case (.some(let whole), .success(let found)):
        wholes += 1
        if case .object = whole {
          for name in ["type", "position"] {
            let kept: JSONValue? =
              switch whole[name] {
              case .string(let text): .string(text)
              case .number(let digits): .number(digits)
              default: nil
              }
            #expect(found?[name] == kept, "\(text)")
          }
        } else {
          #expect(found == nil, "\(text)")
        }
      default: Issue.record("\(text): \(String(describing: whole)), \(found)")
      }
    }
    #expect(wholes > 100)
  }
}
