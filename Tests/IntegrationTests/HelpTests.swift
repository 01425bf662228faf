// SPDX-License-Identifier: Apache-2.0
import AsteriskTestKit
import AudioForkSurface
import AudioForkTestKit
import Foundation
import Testing

extension IntegrationTests {
  @Suite("Asterisk's own help", .serialized)
  struct HelpTests {
    /// What the terminal shows, without colours and line breaks.
    static func plain(_ text: String) -> String {
      text.replacing(/\u{1b}\[[0-9;]*m/, with: "").split(whereSeparator: \.isWhitespace).joined(separator: " ")
    }

    /// The help itself, as one line.
    static func words(_ text: StaticString) -> String { plain("\(text)") }

    static func checkHelp(_ sandbox: Sandbox) async throws {
      let start = try await plain(sandbox.cli("core show application AudioFork"))
      #expect(start.contains(words(ApplicationDefinition.start.synopsis)))
      for option in OptionDefinition.all {
        #expect(start.contains(plain(String(decoding: option.help, as: UTF8.self))), "\(UnicodeScalar(option.letter))")
      }
      for example in ApplicationDefinition.start.examples { #expect(start.contains(words(example.lines)), "\(start)") }
      for variable in ApplicationDefinition.start.variables { #expect(start.contains(words(variable.name))) }
      let stop = try await plain(sandbox.cli("core show application StopAudioFork"))
      #expect(stop.contains("StopAudioFork([id])"))
      #expect(stop.contains(words(ApplicationDefinition.stop.examples[0].lines)))
      let function = try await plain(sandbox.cli("core show function AUDIOFORK"))
      #expect(function.contains("AUDIOFORK(id,key)"))
      for key in FunctionKey.all { #expect(function.contains(words(key.help)), "\(key.name)") }
      #expect(function.contains("${AUDIOFORK(${FORK},state)}"))
      for action in ActionDefinition.all {
        let text = try await plain(sandbox.cli("manager show command \(action.name)"))
        #expect(text.contains(words(action.synopsis)), "\(action.name)")
        for paragraph in action.description { #expect(text.contains(words(paragraph)), "\(action.name)") }
        for parameter in action.parameters { #expect(text.contains(words(parameter.help)), "\(parameter.name)") }
        #expect(text.contains(words(action.example)), "\(text)")
      }
      for command in CommandDefinition.all {
        let text = try await plain(sandbox.cli("core show help \(command.words)"))
        #expect(text.contains("\(command.words) \(command.arguments)".trimmingCharacters(in: .whitespaces)))
        #expect(text.contains(words(command.help)))
      }
    }

    @Test("It is complete without our XML", arguments: AsteriskRelease.tested)
    func ownTexts(release: AsteriskRelease) async throws {
      try await Sandbox.with(release, dialplan: "[test]\n") { sandbox in
        try await Self.checkHelp(sandbox)
        #expect(sandbox.logLines() == [])
      }
    }

    @Test(
      "It is complete with our XML, which Asterisk then prefers, and has the events", arguments: AsteriskRelease.tested)
    func xml(release: AsteriskRelease) async throws {
      let file = "/tmp/af-help-\(UInt32.random(in: 0...UInt32.max))-en_US.xml"
      let made = try await ChildProcess.run(Checkout.program, ["reference", "xml"])
      try #require(made.status == 0)
      try made.output.write(toFile: file, atomically: true, encoding: .utf8)
      defer { try? FileManager.default.removeItem(atPath: file) }
      try await Sandbox.with(release, dialplan: "[test]\n", helpFile: file) { sandbox in
        try await Self.checkHelp(sandbox)
        // Only XML has these.
        let start = try await Self.plain(sandbox.cli("core show application AudioFork"))
        #expect(start.contains("[Syntax] AudioFork(url[,options[,command]])"))
        #expect(start.contains("D(in|out|both|stereo): Which audio"))
        for event in EventDefinition.all {
          let text = try await Self.plain(sandbox.cli("manager show event \(event.name)"))
          #expect(text.contains(Self.words(event.help)), "\(event.name): \(text)")
          for field in event.fields { #expect(text.contains("\(field.name)"), "\(event.name)") }
        }
        #expect(sandbox.logLines() == [])
      }
    }
  }
}
