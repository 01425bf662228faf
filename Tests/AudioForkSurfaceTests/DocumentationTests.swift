// SPDX-License-Identifier: Apache-2.0
import AudioForkBytes
import AudioForkSurface
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
      let form = String(decoding: definition.form, as: UTF8.self).prefix { $0 != "," }
      let row = rows.first { $0.hasPrefix("| `\(form)` | ") }
      #expect(row != nil, "\(form) is not in the README")
      // The first sentence of the help, at least.
      let sentence = String(decoding: definition.help, as: UTF8.self).prefix { $0 != "." && $0 != ":" }
      #expect(row?.contains(sentence) == true, "\(form): '\(sentence)' is not what the README says: \(row ?? "")")
    }
    let options = rows.filter {
      $0.dropFirst(3).first?.isLetter == true && ($0.dropFirst(4).first == "(" || $0.dropFirst(4).first == "`")
    }
    #expect(options.count == OptionDefinition.all.count, "the README has rows for options that do not exist")
  }
}

extension DocumentationTests {
  @Test("audiofork.conf.sample has every key of the tables, each commented out, and no other")
  func sample() throws {
    var root = URL(fileURLWithPath: #filePath)
    for _ in 0..<3 { root.deleteLastPathComponent() }
    let sample = try String(contentsOf: root.appending(path: "Module/audiofork.conf.sample"), encoding: .utf8)
    let lines = sample.split(separator: "\n").map(String.init)
    // A commented key begins right behind its semicolon; prose does not.
    let keys = lines.filter { $0.hasPrefix(";") && $0.dropFirst().first?.isLetter == true && $0.contains(" = ") }
      .map { String($0.dropFirst().prefix { $0 != " " }) }
    let known = GeneralKey.all.map { "\($0.name)" } + ProfileKey.all.map { "\($0.name)" }
    #expect(Set(keys) == Set(known))
    let profile = try #require(lines.firstIndex(of: ";[recorder]"))
    let general = lines[..<profile]
    for key in GeneralKey.all { #expect(general.contains { $0.hasPrefix(";\(key.name) = ") }, "\(key.name)") }
    for key in ProfileKey.all {
      let part = key.isGeneral ? general : lines[profile...]
      #expect(part.contains { $0.hasPrefix(";\(key.name) = ") }, "\(key.name)")
    }
    // Nothing is set: an installed sample changes nothing.
    #expect(lines.allSatisfy { $0.hasPrefix(";") || $0 == "[general]" })
  }

  @Test("Values that the sample shows are accepted")
  func sampleValues() throws {
    var root = URL(fileURLWithPath: #filePath)
    for _ in 0..<3 { root.deleteLastPathComponent() }
    let sample = try String(contentsOf: root.appending(path: "Module/audiofork.conf.sample"), encoding: .utf8)
    for line in sample.split(separator: "\n") where line.hasPrefix(";") && line.contains(" = ") {
      let parts = line.dropFirst().split(separator: " = ", maxSplits: 1).map { Bytes($0.utf8) }
      guard let key = ProfileKey.named(parts[0]) else { continue }
      var options = ForkOptions()
      #expect(throws: Never.self, "\(line)") { try options.apply(key, parts[1]) }
    }
  }
}
