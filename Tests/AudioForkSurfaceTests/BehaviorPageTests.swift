// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

/// docs/reference/behavior.md says what tests on a real Asterisk have shown, and nothing else.
@Suite("The page about Asterisk's behavior")
struct BehaviorPageTests {
  private static let root: URL = {
    var root = URL(fileURLWithPath: #filePath)
    for _ in 0..<3 { root.deleteLastPathComponent() }
    return root
  }()

  private static func words(_ text: some StringProtocol) -> String {
    text.split(whereSeparator: \.isWhitespace).joined(separator: " ")
  }

  /// The page's list items by name: each is sentences and the comment that names it.
  static func sentences(in page: String) throws -> [String: String] {
    var found: [String: String] = [:]
    for item in page.components(separatedBy: "\n- ").dropFirst() {
      let text = item.components(separatedBy: "\n\n")[0]
      let named = #/^(.+)<!-- ([a-z-]+) -->\s*$/#.dotMatchesNewlines()
      let match = try #require(try named.wholeMatch(in: text), "unnamed: \(text)")
      #expect(found.updateValue(words(match.1), forKey: String(match.2)) == nil, "\(match.2) is there twice")
    }
    return found
  }

  /// What the tests quote: `// behavior NAME: sentence`, on further comment lines too.
  static func quotes(in source: String) -> [(name: String, text: String)] {
    var found: [(name: String, text: String)] = []
    var isQuoting = false
    for line in source.split(separator: "\n", omittingEmptySubsequences: false) {
      let line = words(line)
      if let match = line.wholeMatch(of: #/// behavior ([a-z-]+): (.+)/#) {
        found.append((name: String(match.1), text: String(match.2)))
        isQuoting = true
      } else if isQuoting, line.hasPrefix("// ") {
        found[found.count - 1].text += " " + line.dropFirst(3)
      } else {
        isQuoting = false
      }
    }
    return found
  }

  @Test("Every sentence of its lists is quoted by a test, and every quotation is on the page")
  func quoted() throws {
    let page = try String(contentsOf: Self.root.appending(path: "docs/reference/behavior.md"), encoding: .utf8)
    let sentences = try Self.sentences(in: page)
    #expect(sentences.count >= 20)
    let folder = Self.root.appending(path: "Tests/IntegrationTests")
    var quoted: [String: String] = [:]
    for name in try FileManager.default.contentsOfDirectory(atPath: folder.path) where name.hasSuffix(".swift") {
      for quote in Self.quotes(in: try String(contentsOf: folder.appending(path: name), encoding: .utf8)) {
        #expect(quoted.updateValue(quote.text, forKey: quote.name) == nil, "\(quote.name) is quoted twice")
      }
    }
    #expect(Set(sentences.keys).subtracting(quoted.keys) == [], "not tested")
    #expect(Set(quoted.keys).subtracting(sentences.keys) == [], "not on the page")
    for (name, text) in quoted { #expect(sentences[name] == text, "\(name)") }
  }

  @Test("What has no name, or is quoted otherwise, is noticed")
  func comparison() throws {
    let page = "# A\n\n- One\n  two. <!-- a -->\n- Three. <!-- b -->\n\nText\n"
    #expect(try Self.sentences(in: page) == ["a": "One two.", "b": "Three."])
    let quotes = Self.quotes(in: "  // behavior a: One\n  // two.\n  // behavior b: Three.\n  func x() {\n  // other\n")
    #expect(quotes.map(\.name) == ["a", "b"] && quotes.map(\.text) == ["One two.", "Three."])
  }
}
