// SPDX-License-Identifier: Apache-2.0
import AudioForkBytes
import ArgumentParser
import AudioForkLink
import AudioForkSurface
import AudioForkRing
import Glibc

/// `audiofork tap`: looks at taps from outside.
struct TapCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tap", abstract: "Looks at the rings that forks are captured into.",
    subcommands: [TapDumpCommand.self])
}

/// `audiofork tap dump FILE`
struct TapDumpCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "dump", abstract: "Prints a ring: its header, the entries still in it, its counters.",
    discussion: """
      The ring may be in use: it is only read, and neither the call nor the engine notices. Times are seconds since \
      AudioFork ran; 'peak' is the level of the entry's largest sample against full scale.
      """)

  @Argument(help: "A ring file: <fork id>.ring in a directory below run_dir.")
  var file: String

  @Flag(help: "Go on with what is captured from now on, until capture ends.")
  var follow = false

  @Flag(help: "Print the samples of each entry.")
  var samples = false

  func run() async throws {
    let reader: RingReader
    do { reader = try RingReader(path: file) } catch {
      // Before ArgumentParser: a file that cannot be read is no misuse of the command.
      throw DumpFailure(description: error.message)
    }
    var dump = RingDump(reader, showsSamples: samples)
    for line in dump.heading(path: file, parameters: parameters(reader.facts)) { print(line) }
    // Without --follow a busy writer could keep this going for ever: what is published by now is enough.
    var left = follow ? UInt64.max : reader.published
    while left > 0 {
      switch dump.next() {
      case .lines(let lines):
        for line in lines { print(line) }
        left -= 1
      case .notYet:
        guard follow else {
          left = 0
          continue
        }
        fflush(nil)
        try await Task.sleep(for: .milliseconds(50))
      case .ended: left = 0
      case .broken(let reason):
        for line in dump.counters() { print(line) }
        throw DumpFailure(
          description: "the ring '\(file)' is damaged: \(reason); if the fork still runs, stop it and start it again")
      }
    }
    for line in dump.counters() { print(line) }
  }

  /// What the fork was asked for, without secrets.
  private func parameters(_ facts: RingFacts) -> [(name: String, value: String)] {
    var lines = facts.settings.urls.map { (name: "url", value: shown(url: $0)) }
    for setting in facts.settings.lines {
      lines.append(("setting", String(decoding: ForkOptions.shown(setting: setting), as: UTF8.self)))
    }
    lines.append(("options", String(decoding: ForkOptions.shown(options: facts.settings.options), as: UTF8.self)))
    for option in facts.settings.evaluatedOptions {
      lines.append(("option", String(decoding: ForkOptions.shown(evaluated: option), as: UTF8.self)))
    }
    return lines
  }

  /// The URL without its user information. One that cannot be parsed shows nothing that could be a secret.
  private func shown(url: Bytes) -> String {
    String(decoding: (try? EndpointURL.parse(url))?.shown ?? EndpointURL.redacted(url), as: UTF8.self)
  }
}

/// Why a dump could not be made or finished; ArgumentParser prints it behind "Error:".
struct DumpFailure: Error, CustomStringConvertible {
  let description: String
}
