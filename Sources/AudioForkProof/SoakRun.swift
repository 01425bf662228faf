// SPDX-License-Identifier: Apache-2.0
internal import AsteriskTestKit
internal import Foundation

/// Many forks, one after the other: what Asterisk and the engine hold afterwards is what they held before.
package struct SoakRun: Sendable {
  let forks: Int
  let cycles: Int
  let say: @Sendable (String) -> Void

  /// Growth of own memory that is allocation at work and no leak: 100,000 forks that leak 100 bytes each are 10 MB.
  static let growthMaxKilobytes = 6144
  private static let channels = 10

  /// `forks` are started and ended by dialplans, `cycles` by the manager interface on one channel.
  package init(forks: Int, cycles: Int, say: @escaping @Sendable (String) -> Void) {
    self.forks = forks
    self.cycles = cycles
    self.say = say
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
      func settled(_ what: String) async throws {
        let isSettled = try await holds(within: 60) { try await sandbox.forks().isEmpty }
        if !isSettled { result.violations.append("\(what): forks are left: \(try await sandbox.forks().prefix(3))") }
        if await !becomesTrue(within: 10, { sandbox.runFiles().allSatisfy { !$0.contains(".") } }) {
          result.violations.append("\(what): files are left: \(sandbox.runFiles().prefix(3))")
        }
        // Ended calls leave the channel's thread a moment later.
        try await Task.sleep(for: .seconds(2))
      }
      func look(_ label: String) async throws {
        // What the C library keeps of a burst of events for the next one is no leak; Asterisk can be told to let go of it.
        try await sandbox.cli("malloc trim")
        let engines = sandbox.engines()
        guard engines.count == 1, let asterisk = ProcessFacts(of: sandbox.processIdentifier),
          let engine = ProcessFacts(of: engines[0])
        else { throw TestKitError("\(label): engines \(engines)") }
        let row = Row(label: label, asterisk: asterisk, engine: engine, files: sandbox.runFiles().count)
        result.rows.append(row)
        say("\(label): \(asterisk), \(engine)")
      }
      func clear() {
        for name in (try? FileManager.default.contentsOfDirectory(atPath: receiver.folder.path)) ?? [] {
          try? FileManager.default.removeItem(at: receiver.folder.appending(path: name))
        }
      }
      func many() async throws {
        for _ in 0..<Self.channels { try await sandbox.call("many", "talk") }
        let limit = Double(rounds) * 2 + 60
        let isOver = try await holds(within: limit) { clear(); return try await sandbox.channels().isEmpty }
        if !isOver { result.violations.append("calls are left after \(limit) s") }
      }

      // The cycles' channel stays to the end; with it everything has been used once.
      try await sandbox.call("one", "talk")
      guard try await holds(within: 10, { try await !sandbox.channels().isEmpty }) else { throw TestKitError("no call") }
      let channel = try await sandbox.channels().filter { $0.hasSuffix(";2") }.first ?? ""
      try await cycle(min(1000, cycles), on: channel, to: receiver.url("soak"), manager, &result, clear)
      try await settled("warm-up")
      try await look("after \(min(1000, cycles)) cycles, to warm up")

      var done = 0
      while done < cycles {
        let count = min(20_000, cycles - done)
        try await cycle(count, on: channel, to: receiver.url("soak"), manager, &result, clear)
        done += count
        try await settled("\(done) cycles")
        try await look("after \(done) cycles over AMI")
      }
      try await sandbox.cli("channel request hangup all")
      _ = try await holds(within: 10) { try await sandbox.channels().isEmpty }
      try await settled("hangup")
      try await look("all calls hung up")
      try await many()
      try await settled("\(forks) forks")
      try await look("after \(rounds * Self.channels) short forks by dialplan")
      for line in sandbox.logLines(["WARNING", "ERROR"]).prefix(5) { result.violations.append("log: \(line)") }
      manager.end()
    }
    await receiver.remove()
    judge(&result)
    return result
  }

  /// Starts and stops a fork so many times, a hundred pairs of actions at a time.
  private func cycle(
    _ count: Int, on channel: String, to url: String, _ manager: ManagerConnection, _ result: inout Result,
    _ clear: () -> Void
  ) async throws {
    var left = count
    while left > 0 {
      let pairs = min(100, left)
      left -= pairs
      let start = [("Channel", channel), ("WsServer", url), ("Options", "D(out)")]
      let actions = (0..<pairs).flatMap { _ in [("AudioFork", start), ("StopAudioFork", [("Channel", channel)])] }
      let refused = try await manager.send(actions, within: 60).filter { $0["Response"] != "Success" }
      if let first = refused.first {
        result.violations.append("\(refused.count) actions were refused: \(first.fields)")
        return
      }
      clear()
      // No more at a time than a machine has calls: this is about what is left of them and not about how many it can start.
      let isOver = try await holds(within: 60) { try await manager.cli("audiofork list").split(separator: "\n").count < 200 }
      if !isOver { result.violations.append("200 forks and more do not end") }
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
    if last.files > first.files { result.violations.append("the run directory has \(last.files) files, had \(first.files)") }
  }
}
