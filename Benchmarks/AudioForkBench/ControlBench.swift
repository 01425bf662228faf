// SPDX-License-Identifier: Apache-2.0
internal import AsteriskTestKit
internal import AudioForkTestKit
internal import Foundation

/// What many forks cost the module's control thread, on a real Asterisk 22: it hears of each fork once a second.
package struct ControlBench: Sendable {
  /// What the forks' server does.
  package enum Server: String, CaseIterable, Sendable {
    /// Nobody listens: the forks try again and again, and their audio waits.
    case refuses
    /// It takes the audio.
    case accepts
  }

  /// One measurement of so many forks.
  package struct Sample: Codable, Sendable {
    package let server: String
    package let forks: Int
    /// Percent of a core.
    package var control = 0.0
    package var engine = 0.0
    /// How often the control thread has slept and been woken, each second.
    package var wakeUps = 0.0
    /// Seconds in which the forks beyond those before were started, by AMI.
    package var startSeconds = 0.0

    package init(server: String, forks: Int, control: Double = 0) {
      self.server = server
      self.forks = forks
      self.control = control
    }
  }

  /// The name that the module gives its control thread.
  private static let threadName = "audiofork-ctl"
  /// Forks that are started in one go.
  private static let startsAtOnce = 50
  private static let dialplan = """
    [test]
    exten => one,1,Answer()
     same => n,Wait(36000)
    exten => talk,1,Answer()
     same => n,Milliwatt()

    """

  let seconds: Double
  let progress: @Sendable (String) -> Void

  package init(seconds: Double, progress: @escaping @Sendable (String) -> Void) {
    self.seconds = seconds
    self.progress = progress
  }

  /// Measures at each number of forks, in ascending order, all on one call.
  package func run(_ server: Server, forks: [Int]) async throws -> [Sample] {
    let sink = try await Sink(isSecure: false)
    var samples: [Sample] = []
    try await Sandbox.with(.asterisk22, dialplan: Self.dialplan) { sandbox in
      let settings = sandbox.folder.appending(path: "etc/audiofork.conf")
      let given = try String(contentsOf: settings, encoding: .utf8)
      // tcpmux, port 1: no machine has it. A small buffer, so that thousands of rings have room.
      let url = server == .accepts ? "ws://127.0.0.1:\(sink.port)/b" : "ws://127.0.0.1:1/b"
      try (given + "\n[many]\nurl = \(url)\nbuffer = 2\n").write(to: settings, atomically: true, encoding: .utf8)
      try await sandbox.cli("module reload app_audiofork.so")
      try await sandbox.call("one", "talk")
      guard
        let channel = await eventually(
          within: 10, { try? await sandbox.channels().first { $0.hasSuffix(";2") } })
      else { throw BenchError("no call") }
      let manager = try await ManagerConnection(sandbox, hearsEvents: false)
      var running = 0
      for count in forks.sorted() {
        var sample = Sample(server: server.rawValue, forks: count)
        let began = ContinuousClock.now
        try await start(count - running, on: channel, manager)
        sample.startSeconds = Self.seconds(began.duration(to: .now))
        running = count
        try await Task.sleep(for: .seconds(3))
        try await measure(&sample, sandbox)
        progress(
          """
          \(count) forks, server \(server.rawValue): control thread \(sample.control.rounded(2)) % of a core, \
          \(sample.wakeUps.rounded(0)) wake-ups/s, engine \(sample.engine.rounded(1)) %
          """)
        samples.append(sample)
      }
      manager.end()
    }
    await sink.end()
    return samples
  }

  private func start(_ count: Int, on channel: String, _ manager: ManagerConnection) async throws {
    let action = [("Channel", channel), ("WsServer", "many"), ("Options", "D(in)r(1000000)")]
    var left = max(0, count)
    while left > 0 {
      let replies = try await manager.send(
        Array(repeating: ("AudioFork", action), count: min(left, Self.startsAtOnce)), within: 60)
      if let refused = replies.first(where: { $0["Response"] != "Success" }) {
        throw BenchError("a fork was refused: \(refused.fields)")
      }
      left -= replies.count
    }
  }

  private func measure(_ sample: inout Sample, _ sandbox: Sandbox) async throws {
    guard let engine = sandbox.engines().first else { throw BenchError("no engine") }
    let threads = Self.threads(of: sandbox.processIdentifier)
    let before = ProcessCost(of: engine)
    let began = ContinuousClock.now
    try await Task.sleep(for: .seconds(seconds))
    let took = Self.seconds(began.duration(to: .now))
    let after = Self.threads(of: sandbox.processIdentifier)
    guard let before, let cost = ProcessCost(of: engine)?.since(before) else { throw BenchError("the engine is gone") }
    // A module that names no thread is an older one: of its threads this one was the busiest.
    let used = after.compactMap { thread in
      threads.first { $0.number == thread.number }.map { (thread, thread.nanoseconds &- $0.nanoseconds, $0) }
    }
    guard
      let control = used.first(where: { $0.0.name == Self.threadName }) ?? used.max(by: { $0.1 < $1.1 })
    else { throw BenchError("no control thread") }
    sample.control = Double(control.1) / 1e7 / took
    sample.wakeUps = Double(control.0.switches &- control.2.switches) / took
    sample.engine = Double(cost.processorNanoseconds) / 1e7 / took
  }

  private struct ThreadUse {
    let number: String
    let name: String
    let nanoseconds: UInt64
    /// Voluntary ones.
    let switches: UInt64
  }

  private static func threads(of process: Int32) -> [ThreadUse] {
    let folder = "/proc/\(process)/task"
    return ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).compactMap { number in
      func text(_ name: String) -> String? {
        FileManager.default.contents(atPath: "\(folder)/\(number)/\(name)").map { String(decoding: $0, as: UTF8.self) }
      }
      guard let name = text("comm"), let time = text("schedstat")?.split(separator: " ").first.flatMap({ UInt64($0) }),
        let status = text("status")
      else { return nil }
      let line = status.split(separator: "\n").first { $0.hasPrefix("voluntary_ctxt_switches") }
      return ThreadUse(
        number: number, name: name.trimmingCharacters(in: .whitespacesAndNewlines), nanoseconds: time,
        switches: line?.split(whereSeparator: { $0 == "\t" || $0 == " " }).last.flatMap { UInt64($0) } ?? 0)
    }
  }

  private static func seconds(_ duration: Duration) -> Double {
    Double(duration.components.seconds) + Double(duration.components.attoseconds) / 1e18
  }

  package static func table(_ samples: [Sample]) -> String {
    var lines = [
      "| server | forks | control thread, % of a core | us a fork and second | wake-ups/s | engine, % of a core |",
      "|---|---|---|---|---|---|",
    ]
    for sample in samples {
      let cells = [
        sample.server, "\(sample.forks)", "\(sample.control.rounded(2))", "\(perFork(sample).rounded(1))",
        "\(sample.wakeUps.rounded(0))", "\(sample.engine.rounded(1))",
      ]
      lines.append("| " + cells.joined(separator: " | ") + " |")
    }
    return lines.joined(separator: "\n")
  }

  /// Microseconds of the control thread's time for each fork and second.
  private static func perFork(_ sample: Sample) -> Double { sample.control * 1e4 / Double(max(sample.forks, 1)) }

  /// The limits: 3 % of a core at the largest number of forks up to 2000, and no more for each fork than at the
  /// smallest one.
  package static func findings(_ samples: [Sample]) -> [QuickBench.Finding] {
    var findings: [QuickBench.Finding] = []
    for server in Server.allCases {
      let found = samples.filter { $0.server == server.rawValue }.sorted { $0.forks < $1.forks }
      guard let first = found.first, let last = found.last else { continue }
      findings.append(
        QuickBench.Finding(
          "control thread, % of a core, \(last.forks) forks whose server \(server.rawValue)", last.control,
          atMost: 3 * Double(max(last.forks, 2000)) / 2000))
      guard first.forks < last.forks else { continue }
      findings.append(
        QuickBench.Finding(
          "control thread, a fork of \(last.forks) against one of \(first.forks), server \(server.rawValue)",
          perFork(first) > 0 ? perFork(last) / perFork(first) : .nan, atMost: 1.5))
    }
    return findings
  }
}
