// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import AudioForkReference
import Glibc

/// `audiofork reference`: what the build makes out of the tables. Of no use to anybody else, and not in the help.
struct ReferenceCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "reference", abstract: "Prints reference documentation.", shouldDisplay: false,
    subcommands: [XML.self, Markdown.self])

  struct XML: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "xml", abstract: "Prints the XML that Asterisk's own help is made of.")

    func run() throws { print(ReferenceXML.document, terminator: "") }
  }

  struct Markdown: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "markdown", abstract: "Prints one generated part of the reference pages.")

    @Argument(help: "The part's name, as in the page's markers.") var part: String

    func run() throws {
      guard let block = ReferenceMarkdown.block(part) else {
        throw ValidationError(
          "there is no part '\(part)'; known are \(ReferenceMarkdown.parts.joined(separator: ", "))")
      }
      print(block, terminator: "")
    }
  }
}
