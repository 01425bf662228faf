// SPDX-License-Identifier: Apache-2.0
import AudioForkOptions
import Foundation
import Testing

@Suite("Documents say what the code says")
struct DocumentationTests {
  @Test("The README's table of options is the grammar's table")
  func readme() throws {
    var root = URL(fileURLWithPath: #filePath)
    for _ in 0..<3 { root.deleteLastPathComponent() }
    let readme = try String(contentsOf: root.appending(path: "README.md"), encoding: .utf8)
    let rows = readme.split(separator: "\n").filter { $0.hasPrefix("| `") && $0.contains("` | ") }
      .map { String($0).replacing("\\|", with: "|") }
    for definition in OptionDefinition.all {
      let form = "\(definition.form)".prefix { $0 != "," }
      let row = rows.first { $0.hasPrefix("| `\(form)` | ") }
      #expect(row != nil, "\(form) is not in the README")
      // The first sentence of the help, at least.
      let sentence = "\(definition.help)".prefix { $0 != "." && $0 != ":" }
      #expect(row?.contains(sentence) == true, "\(form): '\(sentence)' is not what the README says: \(row ?? "")")
    }
    let options = rows.filter { $0.dropFirst(3).first?.isLetter == true && ($0.dropFirst(4).first == "(" || $0.dropFirst(4).first == "`") }
    #expect(options.count == OptionDefinition.all.count, "the README has rows for options that do not exist")
  }
}
