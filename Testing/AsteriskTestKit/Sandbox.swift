// SPDX-License-Identifier: Apache-2.0
internal import AudioForkTestKit
package import Foundation
import Synchronization

/// A real Asterisk in a folder of its own, with our module and our engine.
package final class Sandbox: Sendable {
  package let release: AsteriskRelease
  /// The run folder; `sounds` and the log lie in it.
  package let folder: URL
  /// What asterisk-sandbox printed: pid, ports, version.
  package let facts: [String: String]

  private init(release: AsteriskRelease, folder: URL, facts: [String: String]) {
    self.release = release
    self.folder = folder
    self.facts = facts
  }

  /// Starts one. `dialplan` is the text of extensions-test.conf; `engine` what audiofork.conf names. Of `settings`,
  /// `run_dir` is audiofork.conf's, `options` stands in asterisk.conf's section of that name, and `preload` is a
  /// library that Asterisk is started with.
  package static func start(
    _ release: AsteriskRelease, dialplan: String, engine: String = Checkout.engine, settings: [String: String] = [:],
    loadsModule: Bool = true, helpFile: String? = nil
  ) async throws -> Sandbox {
    let folder = Checkout.folder(release.rawValue)
    let configuration = folder.appending(path: "given")
    try FileManager.default.createDirectory(at: configuration, withIntermediateDirectories: true)
    try dialplan.write(to: configuration.appending(path: "extensions-test.conf"), atomically: true, encoding: .utf8)
    if let lines = settings["options"] {
      try lines.write(to: configuration.appending(path: "asterisk-test.conf"), atomically: true, encoding: .utf8)
    }
    var options: [String] = []
    if !loadsModule { options.append("--no-load") }
    if let helpFile { options += ["--help-file", helpFile] }
    let facts = try await launch(
      release, folder, engine: engine, options, runDirectory: settings["run_dir"], preload: settings["preload"])
    return Sandbox(release: release, folder: folder, facts: facts)
  }

  /// Starts Asterisk again in the folder of this one, which has died: with the same run directory, module and dialplan,
  /// and otherwise the configuration that a sandbox begins with. Process and ports are its own.
  package func startAgain() async throws -> Sandbox {
    let facts = try await Sandbox.launch(
      release, folder, engine: Checkout.engine, runDirectory: runDirectory.isEmpty ? nil : runDirectory)
    return Sandbox(release: release, folder: folder, facts: facts)
  }

  /// Runs asterisk-sandbox for the folder, whose `given` holds configuration. Returns what it printed.
  private static func launch(
    _ release: AsteriskRelease, _ folder: URL, engine: String, _ options: [String] = [], runDirectory: String?,
    preload: String? = nil
  ) async throws -> [String: String] {
    let arguments = [
      "start", "--suite", release.rawValue, "--run", folder.path, "--module", Checkout.module(release), "--engine",
      engine, "--conf-dir", folder.appending(path: "given").path,
    ]
    var environment: [String: String] = [:]
    environment["AUDIOFORK_RUN_DIR"] = runDirectory
    environment["AUDIOFORK_PRELOAD"] = preload
    let result = try await ChildProcess.run(
      Checkout.script("asterisk-sandbox"), arguments + options, environment: environment)
    guard result.status == 0 else { throw TestKitError("asterisk-sandbox: \(result.output)") }
    var facts: [String: String] = [:]
    for line in result.output.split(separator: "\n") {
      let parts = line.split(separator: "=", maxSplits: 1)
      if parts.count == 2 { facts[String(parts[0])] = String(parts[1]) }
    }
    return facts
  }

  /// Runs `body` with a sandbox that is stopped and removed afterwards, whatever happens.
  package static func with<Result>(
    _ release: AsteriskRelease, dialplan: String, engine: String = Checkout.engine, settings: [String: String] = [:],
    loadsModule: Bool = true, helpFile: String? = nil, _ body: (Sandbox) async throws -> Result
  ) async throws -> Result {
    let sandbox = try await start(
      release, dialplan: dialplan, engine: engine, settings: settings, loadsModule: loadsModule, helpFile: helpFile)
    do {
      let result = try await body(sandbox)
      try await sandbox.stop(keeping: Checkout.testFolder != nil)
      return result
    } catch {
      try? await sandbox.stop(keeping: true)
      throw error
    }
  }

  package var processIdentifier: Int32 { Int32(facts["pid"] ?? "") ?? -1 }
  /// The module's run directory.
  package var runDirectory: String { facts["run_dir"] ?? "" }

  package func stop(keeping: Bool = false) async throws {
    _ = try await ChildProcess.run(
      Checkout.script("asterisk-sandbox"), ["stop", "--run", folder.path] + (keeping ? [] : ["--remove"]))
  }

  /// Runs a CLI command and returns what it prints. Where no Asterisk listens, says so as `asterisk -rx` does.
  @discardableResult
  package func cli(_ command: String) async throws -> String {
    let socket = folder.appending(path: "run/asterisk.ctl").path
    guard let output = await controlCommand(command, at: socket) else {
      return "Unable to connect to remote asterisk (does \(socket) exist?)"
    }
    return output
  }

  /// The log so far.
  package var log: String {
    // Asterisk cuts what it logs anywhere, inside of a character too.
    String(
      decoding: FileManager.default.contents(atPath: folder.appending(path: "log/full").path) ?? Data(), as: UTF8.self)
  }

  /// Lines of the log at these levels, by default those that an administrator must look at.
  package func logLines(_ levels: [String] = ["WARNING", "ERROR"], containing text: String = "") -> [String] {
    log.split(separator: "\n").map(String.init).filter { line in
      levels.contains { line.contains("] \($0)[") } && (text.isEmpty || line.contains(text))
    }
  }

  /// Waits for a text in the log.
  package func logShows(_ text: String, within seconds: Double = 5) async -> Bool {
    await becomesTrue(within: seconds) { self.log.contains(text) }
  }

  /// Places a call between two extensions of context `test`: the first runs on Local;2, the second on Local;1.
  package func call(_ extension: String, _ other: String) async throws {
    try await cli("channel originate Local/\(`extension`)@test extension \(other)@test")
  }

  /// Process ids of the engines that run for this sandbox, by their command line.
  package func engines() -> [Int32] {
    processes { $0.contains("--directory\0\(self.runDirectory)/") }
  }

  /// Files below the module's run directory, relative to it.
  package func runFiles() -> [String] {
    (FileManager.default.enumerator(atPath: runDirectory)?.allObjects as? [String] ?? []).sorted()
  }

  /// Names of the live channels.
  package func channels() async throws -> [String] {
    try await cli("core show channels concise").split(separator: "\n").map { String($0.prefix { $0 != "!" }) }
  }

  /// The rows of `audiofork list`.
  package func forks() async throws -> [String] {
    try await cli("audiofork list").split(separator: "\n").map(String.init).filter { $0.hasPrefix("af-") }
  }

  /// Writes a signed-linear file that Playback() finds by its full name. Returns the name without extension.
  package func sound(_ name: String, _ samples: [Int16]) throws -> String {
    let url = folder.appending(path: "\(name).sln")
    try samples.withUnsafeBytes { Data($0) }.write(to: url)
    return folder.appending(path: name).path
  }
}

/// Processes whose command line (NUL between arguments) fulfils the condition.
package func processes(where matches: (String) -> Bool) -> [Int32] {
  let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
  return names.compactMap { Int32($0) }.filter { identifier in
    guard let bytes = FileManager.default.contents(atPath: "/proc/\(identifier)/cmdline") else { return false }
    return matches(String(decoding: bytes, as: UTF8.self))
  }
}
