// SPDX-License-Identifier: Apache-2.0
package import AsteriskTestKit
internal import AudioForkTestKit
internal import Foundation

/// Many forks, one after the other: what Asterisk and the engine hold afterwards is what they held before.
package struct SoakRun: Sendable {
  let forks: Int
  let cycles: Int
  let progress: @Sendable (String) -> Void

  /// Growth of own memory that is allocation at work and no leak: 100,000 forks that leak 100 bytes each are 10 MB.
  static let growthMaxKilobytes = 6144
  private static let channels = 10

  /// `forks` are started and ended by dialplans, `cycles` by the manager interface on one channel.
  package init(forks: Int, cycles: Int, progress: @escaping @Sendable (String) -> Void) {
    self.forks = forks
    self.cycles = cycles
    self.progress = progress
  }

  /// What one moment looks like.
  package struct Row: Sendable {
    package let label: String
    package let asterisk: ProcessFacts
    package let engine: ProcessFacts
    package let files: Int
  }

  package struct Result: Sendable {
    package var rows: [Row] = []
    package var violations: [String] = []

    package var table: String {
      var lines = [
        "| moment | Asterisk: own memory, descriptors, threads | engine: own memory, descriptors, threads | files |",
        "|---|---|---|---|",
      ]
      func text(_ facts: ProcessFacts) -> String {
        "\(facts.residentKilobytes) kB, \(facts.descriptors), \(facts.threads)"
      }
      for row in rows { lines.append("| \(row.label) | \(text(row.asterisk)) | \(text(row.engine)) | \(row.files) |") }
      return lines.joined(separator: "\n")
    }
  }

  private static func dialplan(_ url: String, rounds: Int) -> String {
    """
    [test]
    exten => many,1,Answer()
     same => n,Set(ROUND=0)
     same => n(again),AudioFork(\(url),D(out))
     same => n,Wait(0.03)
     same => n,StopAudioFork()
     same => n,Set(ROUND=$[${ROUND}+1])
     same => n,GotoIf($[${ROUND}<\(rounds)]?again)
     same => n,Hangup()
    exten => one,1,Answer()
     same => n,Wait(36000)
    exten => talk,1,Answer()
     same => n,Milliwatt()

    """
  }

  package func run() async throws -> Result {
    // One heap for all of Asterisk's threads: with one for each, what a burst of events left free in them is taken for
    // growth.
    setenv("MALLOC_ARENA_MAX", "1", 1)
    let receiver = try await Receiver()
    let rounds = max(1, forks / Self.channels)
    var result = Result()
    try await Sandbox.with(.asterisk22, dialplan: Self.dialplan(receiver.url("soak"), rounds: rounds)) { sandbox in
      // No events: there would be half a million of them.
      let manager = try await ManagerConnection(sandbox, hearsEvents: false)
      var scene = SoakScene(sandbox: sandbox, receiver: receiver, manager: manager, progress: progress)
      try await cycles(in: &scene)
      try await sandbox.cli("channel request hangup all")
      _ = try await holds(within: 10) { try await sandbox.channels().isEmpty }
      try await scene.settle("hangup")
      try await scene.look("all calls hung up")
      try await scene.callMany(Self.channels, rounds: rounds)
      try await scene.settle("\(forks) forks")
      try await scene.look("after \(rounds * Self.channels) short forks by dialplan")
      result = scene.result
      for line in sandbox.logLines(["WARNING", "ERROR"]).prefix(5) { result.violations.append("log: \(line)") }
      manager.end()
    }
    await receiver.remove()
    judge(&result)
    return result
  }

  /// The cycles over AMI, on one channel, which stays to their end.
  private func cycles(in scene: inout SoakScene) async throws {
    try await scene.sandbox.call("one", "talk")
    guard try await holds(within: 10, { [sandbox = scene.sandbox] in try await !sandbox.channels().isEmpty }) else {
      throw TestKitError("no call")
    }
    let channel = try await scene.sandbox.channels().filter { $0.hasSuffix(";2") }.first ?? ""
    // With these everything has been used once.
    try await scene.cycle(min(1000, cycles), on: channel)
    try await scene.settle("warm-up")
    try await scene.look("after \(min(1000, cycles)) cycles, to warm up")
    var done = 0
    while done < cycles {
      let count = min(20_000, cycles - done)
      try await scene.cycle(count, on: channel)
      done += count
      try await scene.settle("\(done) cycles")
      try await scene.look("after \(done) cycles over AMI")
    }
  }

  /// From the first row to the last.
  private func judge(_ result: inout Result) {
    guard let first = result.rows.first, let last = result.rows.last else { return }
    let pairs = [("Asterisk", first.asterisk, last.asterisk), ("the engine", first.engine, last.engine)]
    for (name, before, after) in pairs {
      if after.descriptors > before.descriptors {
        result.violations.append("\(name) has \(after.descriptors) descriptors, had \(before.descriptors)")
      }
      if after.threads > before.threads {
        result.violations.append("\(name) has \(after.threads) threads, had \(before.threads)")
      }
      let growth = after.residentKilobytes - before.residentKilobytes
      if growth > Self.growthMaxKilobytes { result.violations.append("\(name) has grown by \(growth) kB") }
    }
    if last.files > first.files {
      result.violations.append("the run directory has \(last.files) files, had \(first.files)")
    }
  }
}
