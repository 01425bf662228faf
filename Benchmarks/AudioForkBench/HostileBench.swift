// SPDX-License-Identifier: Apache-2.0
internal import AsteriskTestKit
internal import AudioForkLink
internal import AudioForkTap
internal import AudioForkTestKit
internal import CAudioForkABI
internal import Foundation
internal import Synchronization

/// An honest stream and hostile servers (Benchmarks/wire/hostile.c) on the same engine: how regularly the stream's
/// messages reach the honest server.
///
/// Each run is followed by a control run with the same hostile servers. A reader that drops everything (discard.c)
/// takes the engine's place, a bare sender (floor.c) that of the honest stream. It shows what the machine adds.
package struct HostileBench: Sendable {
  /// What a hostile server does.
  package enum Kind: String, CaseIterable, Codable, Sendable {
    case texts, pings, json, bytes, handshakes

    package static var names: String { allCases.map(\.rawValue).joined(separator: ", ") }

    /// The options of the fork that it harms.
    var options: String { self == .json ? "D(both)w(audiofork)" : "D(both)" }
  }

  /// Who reads what hostile servers send.
  package enum Reader: String, CaseIterable, Codable, Sendable {
    case engine
    case plain = "plain reader"
  }

  /// What the servers of one kind did, from their start on.
  package struct Load: Codable, Sendable {
    package let kind: Kind
    /// Connections that there should be at a time.
    package let wanted: Int
    /// Connections that were upgraded, and those of them that stood in the end.
    package var opened = 0
    package var open = 0
    package var bytes = 0

    package init(_ kind: Kind, wanted: Int) {
      self.kind = kind
      self.wanted = wanted
    }
  }

  /// One run.
  package struct Sample: Codable, Sendable {
    package let reader: Reader
    /// Milliseconds between two messages at the honest server: the median, of 99.9 %, and the longest.
    package var p50 = 0.0
    package var p999 = 0.0
    package var longest = 0.0
    package var messages = 0
    /// Messages of the honest stream that were left out, that came again, and that no call wrote.
    package var missing = 0
    package var repeated = 0
    package var foreign = 0
    /// Connections of the honest stream after its first.
    package var reconnects = 0
    /// Of the engine: gaps that it reported of the honest fork, ends of that fork, and whether it ended by itself.
    package var gaps = 0
    package var ends = 0
    package var hasEnded = false
    /// Hostile forks that the engine ended.
    package var hostileEnds = 0
    /// The engine's longest time without a heartbeat, milliseconds. After 3 s the module kills it.
    package var silence = 0.0
    /// Percent of a core that the reader took.
    package var processor = 0.0
    /// How late the honest call was written at worst, milliseconds.
    package var generatorLate = 0.0
    /// For how long the machine's host let its processors stand still, milliseconds (HostTime).
    package var stolen = 0
    package var loads: [Load] = []

    package init(_ reader: Reader) { self.reader = reader }
  }

  /// What `findings` holds runs to, milliseconds. The module's limit for heartbeats is HeartbeatWatch.silenceMax.
  package static let longestMax = 80.0
  package static let p999Max = 45.0
  package static let silenceMax = 3000.0
  /// The module's default.
  private static let bufferSeconds: UInt32 = 10

  let connections: Int
  let kinds: [Kind]
  let seconds: Double
  let progress: @Sendable (String) -> Void

  /// `connections` hostile ones, in equal parts of `kinds`. `seconds` of each run are watched, from the first one on.
  package init(connections: Int, kinds: [Kind], seconds: Double, progress: @escaping @Sendable (String) -> Void) {
    self.connections = connections
    self.kinds = kinds
    self.seconds = seconds
    self.progress = progress
  }

  /// Measures `runs` times with each of the readers, in turns.
  package func run(_ runs: Int) async throws -> [Sample] {
    var samples: [Sample] = []
    for number in 1...max(runs, 1) {
      for reader in Reader.allCases {
        let stolen = HostTime.stolen ?? 0
        var sample = try await reader == .engine ? measureEngine() : measurePlain()
        sample.stolen = (HostTime.stolen ?? 0) - stolen
        samples.append(sample)
        progress(
          "run \(number), \(reader.rawValue): longest gap \(sample.longest.rounded(1)) ms, "
            + "p99.9 \(sample.p999.rounded(1)) ms, \(sample.missing) of \(sample.messages) messages missing, "
            + "no heartbeat for \(Int(sample.silence)) ms at worst, \(Int(sample.processor)) % of a core, "
            + "generator \(sample.generatorLate.rounded(1)) ms late at worst")
      }
    }
    return samples
  }

  // MARK: - What is shown

  /// The limits, and what was found. The longest gap may be the machine's, so that of the best run counts. Everything
  /// else counts in every run.
  package static func findings(_ samples: [Sample]) -> [QuickBench.Finding] {
    let engine = samples.filter { $0.reader == .engine }
    func worst(_ value: (Sample) -> Double) -> Double { engine.map(value).max() ?? .nan }
    func sum(_ value: (Sample) -> Int) -> Double { engine.isEmpty ? .nan : Double(engine.map(value).reduce(0, +)) }
    func neverOpened(_ sample: Sample) -> Int { sample.loads.reduce(0) { $0 + max(0, $1.wanted - $1.opened) } }
    return [
      QuickBench.Finding(
        "longest gap at the honest server in the best of \(engine.count) runs, ms", engine.map(\.longest).min() ?? .nan,
        atMost: longestMax),
      QuickBench.Finding("p99.9 of these gaps in the worst run, ms", worst(\.p999), atMost: p999Max),
      QuickBench.Finding(
        "time without a heartbeat (the engine is killed then), ms", worst(\.silence), atMost: silenceMax),
      QuickBench.Finding("runs in which the engine ended by itself", sum { $0.hasEnded ? 1 : 0 }, atMost: 0),
      QuickBench.Finding("messages that the honest server lacks", sum(\.missing), atMost: 0),
      QuickBench.Finding(
        "messages that it got twice, or that no call wrote", sum { $0.repeated + $0.foreign }, atMost: 0),
      QuickBench.Finding(
        "gaps, reconnects and ends of the honest fork", sum { $0.gaps + $0.reconnects + $0.ends }, atMost: 0),
      QuickBench.Finding("hostile connections that were never upgraded", sum(neverOpened), atMost: 0),
    ]
  }

  /// What reached the honest server.
  package static func table(_ samples: [Sample]) -> String {
    var lines = [
      "| run | hostile servers' reader | gap p50 ms | p99.9 ms | longest ms | messages | missing | twice or foreign "
        + "| gaps, reconnects, ends | longest without heartbeat, ms | reader, % of a core | host's pauses, ms |",
      "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    var runs: [Reader: Int] = [:]
    for sample in samples {
      runs[sample.reader, default: 0] += 1
      let isEngine = sample.reader == .engine
      let cells = [
        "\(runs[sample.reader, default: 0])", sample.reader.rawValue, "\(sample.p50.rounded(1))",
        "\(sample.p999.rounded(1))", "\(sample.longest.rounded(1))", "\(sample.messages)", "\(sample.missing)",
        "\(sample.repeated + sample.foreign)",
        "\(sample.gaps), \(sample.reconnects), \(sample.ends)",
        isEngine ? sample.hasEnded ? "ended" : "\(Int(sample.silence))" : "-", "\(Int(sample.processor))",
        "\(sample.stolen)",
      ]
      lines.append("| " + cells.joined(separator: " | ") + " |")
    }
    return lines.joined(separator: "\n")
  }

  /// What the hostile servers did: the mean of all runs with the same reader.
  package static func loadTable(_ samples: [Sample], seconds: Double) -> String {
    var lines = [
      "| hostile server | connections | reader | upgraded in all | open in the end | MB/s |",
      "|---|---|---|---|---|---|",
    ]
    for reader in Reader.allCases {
      let runs = samples.filter { $0.reader == reader }
      guard let first = runs.first else { continue }
      for (index, load) in first.loads.enumerated() {
        let same = runs.compactMap { $0.loads.indices.contains(index) ? $0.loads[index] : nil }
        func mean(_ value: (Load) -> Int) -> Double { Double(same.map(value).reduce(0, +)) / Double(same.count) }
        let cells = [
          load.kind.rawValue, "\(load.wanted)", reader.rawValue, "\(Int(mean(\.opened)))", "\(Int(mean(\.open)))",
          "\((mean(\.bytes) / 1e6 / seconds).rounded(3))",
        ]
        lines.append("| " + cells.joined(separator: " | ") + " |")
      }
    }
    return lines.joined(separator: "\n")
  }

  // MARK: - One run

  /// The engine beside `HostileServers`, with a fork for each of their connections.
  private func measureEngine() async throws -> Sample {
    let sink = try await Sink(isSecure: false)
    let servers = try await HostileServers(kinds, connections: connections)
    let folder = try ScratchFolder()
    let honest = try SyntheticCalls(
      [SyntheticCalls.Fork(url: "ws://127.0.0.1:\(sink.port)/", options: "D(both)")], in: folder.path, name: "honest",
      settings: ["reconnect_max_wait=1"], delay: 300_000_000, bufferSeconds: Self.bufferSeconds)
    let hostile = try SyntheticCalls(
      servers.forks, in: folder.path, name: "hostile",
      settings: ["reconnect_max_wait=1", "reconnect_attempts=1000000"],
      delay: 2_500_000_000, bufferSeconds: Self.bufferSeconds)
    honest.start()
    defer { honest.stop() }
    let watch = EngineWatch(honest: honest.identifiers[0])
    let engine = try LinkedEngine(in: folder) { watch.received($0) }
    engine.begin(honest.identifiers)
    guard await sink.has(1, within: 10) else {
      throw BenchError("the honest fork does not connect: \(engine.process.lines.suffix(3))")
    }
    try await Task.sleep(for: .seconds(2))
    let before = ProcessCost(of: engine.process.identifier)
    hostile.start()
    defer { hostile.stop() }
    honest.forgetLateness()
    watch.begin()
    sink.reset()
    for identifier in hostile.identifiers { engine.fork(identifier) }
    try await Task.sleep(for: .seconds(seconds))
    let report = try await sink.report()
    var sample = Sample(.engine)
    sample.read(report)
    watch.fill(&sample)
    sample.generatorLate = honest.latestMilliseconds
    sample.hasEnded = !engine.process.isRunning
    if let before, let after = ProcessCost(of: engine.process.identifier) {
      sample.processor = after.share(since: before, seconds)
    }
    sample.loads = try await servers.loads()
    await engine.end()
    await servers.end()
    await sink.end()
    // The rings are the engine's until here.
    return withExtendedLifetime(folder) { sample }
  }

  /// The control run.
  private func measurePlain() async throws -> Sample {
    let sink = try await Sink(isSecure: false)
    let servers = try await HostileServers(kinds, connections: connections)
    let floor = try ChildProcess(Checkout.floor, ["\(sink.port)", "1"])
    guard await sink.has(1, within: 10) else { throw BenchError("the bare sender does not connect: \(floor.lines)") }
    try await Task.sleep(for: .seconds(2))
    sink.reset()
    let reader = try ChildProcess(Checkout.discard, servers.ports.map { "\($0.connections):\($0.port)" })
    let before = ProcessCost(of: reader.identifier)
    try await Task.sleep(for: .seconds(seconds))
    var sample = Sample(.plain)
    sample.read(try await sink.report())
    if let before, let after = ProcessCost(of: reader.identifier) {
      sample.processor = after.share(since: before, seconds)
    }
    sample.loads = try await servers.loads()
    await reader.end()
    await floor.end()
    await servers.end()
    await sink.end()
    return sample
  }
}

extension HostileBench.Sample {
  fileprivate mutating func read(_ report: Sink.Report) {
    (p50, p999) = (Double(report.gap50) / 1000, Double(report.gap999) / 1000)
    longest = Double(report.longestGap) / 1000
    (messages, missing, repeated, foreign) = (report.messages, report.missing, report.repeated, report.unstamped)
    reconnects = report.opened - 1
  }
}

extension ProcessCost {
  /// Percent of a core.
  fileprivate func share(since earlier: ProcessCost, _ seconds: Double) -> Double {
    Double(since(earlier).processorNanoseconds) / 1e7 / seconds
  }
}
