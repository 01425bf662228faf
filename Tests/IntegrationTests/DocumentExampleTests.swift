// SPDX-License-Identifier: Apache-2.0
import AsteriskTestKit
import Foundation
import Testing

/// One fenced block of a reference page.
struct DocumentExample {
  let page: String
  let language: String
  let lines: [String]
  var text: String { lines.joined(separator: "\n") }

  /// The blocks of a page in their order.
  static func all(in page: String) throws -> [DocumentExample] {
    let text = try String(contentsOf: Checkout.root.appending(path: "docs/reference/\(page)"), encoding: .utf8)
    var examples: [DocumentExample] = []
    var open: (language: String, lines: [String])?
    for line in text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init) {
      if line.hasPrefix("```") {
        if let block = open {
          examples.append(DocumentExample(page: page, language: block.language, lines: block.lines))
          open = nil
        } else {
          open = (String(line.dropFirst(3)), [])
        }
      } else {
        open?.lines.append(line)
      }
    }
    return examples
  }

  static func all(in page: String, language: String) throws -> [DocumentExample] {
    try all(in: page).filter { $0.language == language }
  }
}

/// The names that the pages use, and what stands for them in a test.
struct DocumentNames {
  static let channel = "PJSIP/100-00000001"
  static let fork = "af-0123456789ab-1"
  static let server = "127.0.0.1:8080"
  let channel: String
  var fork = ""
  let server: String

  func here(_ text: String) -> String {
    text.replacing(Self.channel, with: channel).replacing(Self.fork, with: fork).replacing(Self.server, with: server)
  }

  /// What is stable in a printed line: the page's names, numbers as '#', single blanks.
  func pattern(_ text: String) -> String {
    var text = text.replacing(channel, with: Self.channel).replacing(server, with: Self.server)
    if !fork.isEmpty { text = text.replacing(fork, with: Self.fork) }
    return text.replacing(Self.fork, with: "ID").replacing(/-?[0-9]+(\.[0-9]+)?/, with: "#")
      .split(separator: " ").joined(separator: " ")
  }
}

extension IntegrationTests {
  @Suite("Examples of the reference pages", .serialized)
  struct DocumentExampleTests {
    static let dialplan =
      "[test]\nexten => a,1,Answer()\n same => n,Wait(120)\nexten => b,1,Answer()\n same => n,Milliwatt()\n"

    @Test("Every block of the pages is of a kind that a test runs")
    func kinds() throws {
      for (page, language) in [
        ("dialplan.md", "dialplan"), ("ami.md", "ami"), ("cli.md", "cli"), ("configuration.md", "audiofork.conf"),
      ] {
        let examples = try DocumentExample.all(in: page)
        #expect(!examples.isEmpty && examples.allSatisfy { $0.language == language }, "\(page)")
      }
      let pages = try FileManager.default.contentsOfDirectory(
        atPath: Checkout.root.appending(path: "docs/reference").path)
      // Of behavior.md `BehaviorTests` runs the examples.
      #expect(Set(pages) == ["behavior.md", "dialplan.md", "ami.md", "cli.md", "configuration.md"])
    }

    @Test(
      "Dialplan: each block is called, its forks arrive, and it prints what it says", arguments: AsteriskRelease.tested)
    func dialplans(release: AsteriskRelease) async throws {
      let examples = try DocumentExample.all(in: "dialplan.md", language: "dialplan")
      let receiver = try await Receiver()
      var dialplan = Self.dialplan
      for (number, example) in examples.enumerated() {
        dialplan +=
          "[doc-\(number)]\n\(example.text.replacing(DocumentNames.server, with: "127.0.0.1:\(receiver.port)"))\n"
      }
      try await Sandbox.with(release, dialplan: dialplan) { sandbox in
        var arrived = 0
        for (number, example) in examples.enumerated() {
          let before = sandbox.logLines().count
          try await sandbox.cli("channel originate Local/s@doc-\(number) extension b@test")
          let refused = example.lines.filter { $0.contains("D(sideways)") }.count
          arrived += example.lines.filter { $0.contains(",AudioFork(") }.count - refused
          #expect(
            await receiver.ended(arrived, within: 30), "\(example.text)\n\(receiver.lines)\n\(sandbox.logLines())")
          for line in example.lines {
            guard let said = line.firstMatch(of: /Verbose\(1,(.*?)\)+$/)?.1 else { continue }
            // Variables and functions are whatever they are, but not empty.
            var pattern = NSRegularExpression.escapedPattern(for: String(said))
            while let open = pattern.range(of: #"\\\$\\\{[^{}$]*\\\}"#, options: .regularExpression) {
              pattern.replaceSubrange(open, with: "[^ ,]+")
            }
            let expression = try Regex(#"app_verbose\.c:.* "# + pattern)
            let isSaid = await becomesTrue(within: 10) { sandbox.log.contains(expression) }
            #expect(isSaid, "\(line): \(pattern)")
          }
          #expect(sandbox.logLines().count - before == refused, "\(example.text): \(sandbox.logLines())")
        }
      }
      await receiver.remove()
    }

    @Test("CLI: each line is run and prints what the page shows", arguments: AsteriskRelease.tested)
    func commands(release: AsteriskRelease) async throws {
      let receiver = try await Receiver()
      try await Sandbox.with(release, dialplan: Self.dialplan) { sandbox in
        try await sandbox.call("a", "b")
        let manager = try await ManagerConnection(sandbox)
        var names = DocumentNames(
          channel: try #require(try await sandbox.channels().first { $0.hasSuffix(";2") }),
          server: "127.0.0.1:\(receiver.port)")
        for example in try DocumentExample.all(in: "cli.md", language: "cli") {
          let commands = example.text.split(separator: "> ").map { $0.split(separator: "\n").map(String.init) }
          for command in commands {
            let line = names.here(command[0])
            let isRepeatable = line.contains(" list") || line.contains(" show ")
            // What is shown settles within moments: the state, the first numbers.
            var printed: [String] = []
            _ = try await becomesTrue(within: isRepeatable ? 10 : 0) {
              printed = try await manager.cli(line).split(separator: "\n").map(String.init)
              if names.fork.isEmpty, let id = printed.first?.firstMatch(of: /^Started fork (af-[0-9a-f]+-[0-9]+)/)?.1 {
                names.fork = String(id)
              }
              return !isRepeatable || printed.map(names.pattern) == command.dropFirst().map(names.pattern)
            }
            #expect(printed.map(names.pattern) == command.dropFirst().map(names.pattern), "\(line)")
          }
        }
        #expect(await receiver.ended(1, within: 10))
      }
      await receiver.remove()
    }

    @Test("AMI: each request is answered as the page shows", arguments: AsteriskRelease.tested)
    func exchanges(release: AsteriskRelease) async throws {
      let receiver = try await Receiver()
      try await Sandbox.with(release, dialplan: Self.dialplan) { sandbox in
        try await sandbox.call("a", "b")
        let manager = try await ManagerConnection(sandbox)
        var names = DocumentNames(
          channel: try #require(try await sandbox.channels().first { $0.hasSuffix(";2") }),
          server: "127.0.0.1:\(receiver.port)")
        for example in try DocumentExample.all(in: "ami.md", language: "ami") {
          let blocks = example.text.components(separatedBy: "\n\n")
          let request = names.here(blocks[0])
          let shown = blocks.dropFirst().map { $0.split(separator: "\n").map { names.pattern(String($0)) } }
          let isRepeatable = request.contains("Action: AudioForks\n") || request.contains("SendText")
          var got: [[String]] = []
          _ = try await becomesTrue(within: isRepeatable ? 10 : 0) {
            let answer = try await manager.exchange(request)
            if names.fork.isEmpty, let id = answer.first?["AudioForkID"] { names.fork = id }
            got = answer.map {
              $0.text.components(separatedBy: "\r\n").filter { !$0.isEmpty }.map { names.pattern($0) }
            }
            return !isRepeatable || got == Array(shown)
          }
          #expect(got == Array(shown), "\(request)")
        }
        #expect(await receiver.ended(1, within: 10))
      }
      await receiver.remove()
    }

    @Test(
      "audiofork.conf: each block is loaded without a complaint, and its profiles are there",
      arguments: AsteriskRelease.tested)
    func configurations(release: AsteriskRelease) async throws {
      let receiver = try await Receiver()
      try await Sandbox.with(release, dialplan: Self.dialplan) { sandbox in
        try await sandbox.call("a", "b")
        let manager = try await ManagerConnection(sandbox)
        let channel = try #require(try await sandbox.channels().first { $0.hasSuffix(";2") })
        let file = sandbox.folder.appending(path: "etc/audiofork.conf")
        let given = try String(contentsOf: file, encoding: .utf8)
        let examples = try ["configuration.md", "../sending/plain-servers.md"].flatMap {
          try DocumentExample.all(in: $0, language: "audiofork.conf")
        }
        for example in examples {
          var text = example.text.replacing(DocumentNames.server, with: "127.0.0.1:\(receiver.port)")
          text = text.hasPrefix("[general]") ? given + text.dropFirst(9) : given + "\n" + text
          try (text + "\n").write(to: file, atomically: true, encoding: .utf8)
          _ = try await manager.cli("module reload app_audiofork.so")
          #expect(sandbox.logLines() == [], "\(example.text)")
          // A name that nobody has is answered with those that there are.
          let known = try await manager.cli("audiofork start \(channel) nosuchprofile")
          for line in example.lines where line.hasPrefix("[") && !line.hasSuffix("(!)") && line != "[general]" {
            let name = String(line.dropFirst().prefix { $0 != "]" })
            #expect(known.contains(name), "\(name): \(known)")
            // Those whose server is this machine are started.
            let own = example.lines.drop { $0 != line }.dropFirst().prefix { !$0.hasPrefix("[") }
            guard own.contains(where: { $0.hasPrefix("url = ws://127.0.0.1:8080/") }) else { continue }
            #expect(try await manager.cli("audiofork start \(channel) \(name)").hasPrefix("Started fork "), "\(name)")
          }
          if example.text.contains("allow = ") {
            #expect(try await manager.cli("audiofork start \(channel) ws://127.0.0.2/").contains("is not allowed"))
          }
        }
        #expect(await receiver.started(1, path: "en", within: 10))
        #expect(await receiver.started(1, path: "de", within: 10))
        #expect(await receiver.started(1, path: "recognizer", within: 10))
      }
      await receiver.remove()
    }
  }
}
