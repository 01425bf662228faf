// SPDX-License-Identifier: Apache-2.0
import AudioForkBytes
import AudioForkSurface
import AudioForkReference
import Foundation
import FoundationXML
import Testing

@Suite("The reference made from the tables")
struct ReferenceTests {
  /// The pages that scripts/refresh-reference writes.
  private static var pages: [URL] {
    get throws {
      var root = URL(fileURLWithPath: #filePath)
      for _ in 0..<3 { root.deleteLastPathComponent() }
      let folder = root.appending(path: "docs/reference")
      let names = try FileManager.default.contentsOfDirectory(atPath: folder.path).filter { $0.hasSuffix(".md") }
      return names.map { folder.appending(path: $0) } + [root.appending(path: "docs/internals/control-link.md")]
    }
  }

  @Test("The pages have the tables as they are now; scripts/refresh-reference writes them")
  func pages() throws {
    var used = Set<String>()
    for url in try Self.pages {
      let page = try String(contentsOf: url, encoding: .utf8)
      #expect(ReferenceMarkdown.refreshed(page) == page, "\(url.lastPathComponent): run scripts/refresh-reference")
      for part in ReferenceMarkdown.parts where page.contains("<!-- generated: \(part) -->") { used.insert(part) }
    }
    #expect(used == Set(ReferenceMarkdown.parts), "a table stands on no page")
  }

  @Test("A generated part that differs is replaced; a wrong marker is not taken")
  func refreshing() throws {
    let variables = try #require(ReferenceMarkdown.block("variables"))
    #expect(
      ReferenceMarkdown.refreshed("a\n<!-- generated: variables -->\nold\n<!-- end of generated -->\nb\n")
        == "a\n<!-- generated: variables -->\n\(variables)<!-- end of generated -->\nb\n")
    #expect(ReferenceMarkdown.refreshed("<!-- generated: nothing -->\n<!-- end of generated -->") == nil)
    #expect(ReferenceMarkdown.refreshed("<!-- generated: variables -->") == nil)
    #expect(ReferenceMarkdown.refreshed("<!-- end of generated -->") == nil)
    #expect(ReferenceMarkdown.block("nothing") == nil)
  }

  @Test("The XML is well formed and has every item of the tables, escaped")
  func xml() throws {
    let document = ReferenceXML.document
    let reader = Names()
    let parser = XMLParser(data: Data(document.utf8))
    parser.delegate = reader
    #expect(parser.parse(), "\(String(describing: parser.parserError))")
    #expect(reader.names["application"] == ApplicationDefinition.all.map { "\($0.name)" })
    #expect(reader.names["function"] == ["AUDIOFORK"])
    #expect(reader.names["manager"] == ActionDefinition.all.map { "\($0.name)" })
    #expect(
      reader.names["managerEvent"] == ["\(ActionDefinition.listEvent)", "\(ActionDefinition.listEndEvent)"]
        + EventDefinition.all.map { "\($0.name)" })
    #expect(reader.names["option"] == OptionDefinition.all.map { String(UnicodeScalar($0.letter)) })
    #expect(reader.names["enum"] == FunctionKey.all.map { "\($0.name)" })
    #expect(reader.names["argument"]?.contains("Name: value&Name: value") == true)
    #expect(!document.contains("xi:include"))
  }

  @Test("The texts that the module brings have every item, and lines that fit a terminal")
  func plainText() throws {
    let texts = ApplicationDefinition.all.map(\.plainText) + ActionDefinition.all.map(\.plainText)
    for text in texts + [FunctionDefinition.plainText] {
      let lines = String(decoding: text, as: UTF8.self).split(separator: "\n")
      // Examples are never broken.
      #expect(
        lines.allSatisfy { $0.count <= 79 || $0.hasPrefix("  same => ") }, "\(lines.first { $0.count > 79 } ?? "")")
    }
    for command in CommandDefinition.all {
      let usage = String(decoding: command.usage, as: UTF8.self)
      #expect(usage.hasPrefix("Usage: \(command.words)"))
      #expect(usage.split(separator: "\n").allSatisfy { $0.count <= 79 })
      #expect("\(command.summary)".count <= 60)
    }
  }

  @Test("Paragraphs are broken at blanks only")
  func wrapping() {
    func wrapped(_ text: String, indent: Int, first: Int?, width: Int) -> String {
      var bytes = Bytes()
      bytes.append(wrapped: Array(text.utf8), indent: indent, firstIndent: first, width: width)
      return String(decoding: bytes, as: UTF8.self)
    }
    #expect(wrapped("a bb ccc", indent: 0, first: nil, width: 4) == "a bb\nccc\n")
    #expect(wrapped("a bb ccc", indent: 2, first: 0, width: 4) == "a bb\n  ccc\n")
    #expect(wrapped("abcdefgh i", indent: 0, first: nil, width: 4) == "abcdefgh\ni\n")
    #expect(wrapped("", indent: 2, first: nil, width: 4) == "\n")
  }
}

/// The names of the elements of a document, by kind.
private final class Names: NSObject, XMLParserDelegate {
  var names: [String: [String]] = [:]
  func parser(
    _ parser: XMLParser, didStartElement elementName: String, namespaceURI: String?, qualifiedName qName: String?,
    attributes attributeDict: [String: String] = [:]
  ) {
    if let name = attributeDict["name"] { names[elementName, default: []].append(name) }
  }
}
