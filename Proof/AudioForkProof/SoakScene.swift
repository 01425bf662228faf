// SPDX-License-Identifier: Apache-2.0
internal import AsteriskTestKit
internal import AudioForkTestKit
internal import Foundation

/// The Asterisk of a soak, and what was found there so far.
struct SoakScene {
  let sandbox: Sandbox
  let receiver: Receiver
  let manager: ManagerConnection
  let progress: @Sendable (String) -> Void
  private(set) var result = SoakRun.Result()

  init(sandbox: Sandbox, receiver: Receiver, manager: ManagerConnection, progress: @escaping @Sendable (String) -> Void)
  {
    self.sandbox = sandbox
    self.receiver = receiver
    self.manager = manager
    self.progress = progress
  }

  /// Waits until no fork and no file of one is left.
  mutating func settle(_ what: String) async throws {
    let sandbox = sandbox
    let isSettled = try await holds(within: 60) { try await sandbox.forks().isEmpty }
    if !isSettled { result.violations.append("\(what): forks are left: \(try await sandbox.forks().prefix(3))") }
    if await !becomesTrue(within: 10, { sandbox.runFiles().allSatisfy { !$0.contains(".") } }) {
      result.violations.append("\(what): files are left: \(sandbox.runFiles().prefix(3))")
    }
    // Ended calls leave the channel's thread a moment later.
    try await Task.sleep(for: .seconds(2))
  }

  /// Adds a row of what both processes hold.
  mutating func look(_ label: String) async throws {
    // What the C library keeps of a burst of events for the next one is no leak; Asterisk can be told to let go of it.
    try await sandbox.cli("malloc trim")
    let engines = sandbox.engines()
    guard engines.count == 1, let asterisk = ProcessFacts(of: sandbox.processIdentifier),
      let engine = ProcessFacts(of: engines[0])
    else { throw TestKitError("\(label): engines \(engines)") }
    result.rows.append(
      SoakRun.Row(label: label, asterisk: asterisk, engine: engine, files: sandbox.runFiles().count))
    progress("\(label): \(asterisk), \(engine)")
  }

  /// Runs so many calls of `rounds` short forks each to their end.
  mutating func callMany(_ calls: Int, rounds: Int) async throws {
    let sandbox = sandbox
    for _ in 0..<calls { try await sandbox.call("many", "talk") }
    let limit = Double(rounds) * 2 + 60
    let isOver = try await holds(within: limit) { [self] in
      clear()
      return try await sandbox.channels().isEmpty
    }
    if !isOver { result.violations.append("calls are left after \(limit) s") }
  }

  /// Starts and stops a fork so many times, a hundred pairs of actions at a time.
  mutating func cycle(_ count: Int, on channel: String) async throws {
    let manager = manager
    let start = [("Channel", channel), ("WsServer", receiver.url("soak")), ("Options", "D(out)")]
    var left = count
    while left > 0 {
      let pairs = min(100, left)
      left -= pairs
      let actions = (0..<pairs).flatMap { _ in [("AudioFork", start), ("StopAudioFork", [("Channel", channel)])] }
      let refused = try await manager.send(actions, within: 60).filter { $0["Response"] != "Success" }
      if let first = refused.first {
        result.violations.append("\(refused.count) actions were refused: \(first.fields)")
        return
      }
      clear()
      // No more at a time than a machine has calls: this is about what is left of them and not about how many it can
      // start.
      let isOver = try await holds(within: 60) {
        try await manager.cli("audiofork list").split(separator: "\n").count < 200
      }
      if !isOver { result.violations.append("200 forks and more do not end") }
    }
  }

  /// Removes what the receiver has recorded.
  private func clear() {
    for name in (try? FileManager.default.contentsOfDirectory(atPath: receiver.folder.path)) ?? [] {
      try? FileManager.default.removeItem(at: receiver.folder.appending(path: name))
    }
  }
}
