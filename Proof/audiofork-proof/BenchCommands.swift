// SPDX-License-Identifier: Apache-2.0
internal import ArgumentParser
internal import AudioForkBench

/// Where a benchmark leaves its figures.
struct OutputOptions: ParsableArguments {
  @Option(help: "A folder for the figures (NAME.json) and, where there are any, plots.") var out: String?

  /// Writes the figures; `plots` draws beside them. Nothing where no folder was given.
  func write<Row: Codable & Sendable>(
    _ rows: [Row], secondsEach: Double, as name: String, plots: (String) throws -> Void = { _ in }
  ) throws {
    guard let out else { return }
    try BenchReport(rows, secondsEach: secondsEach).write(to: "\(out)/\(name).json")
    try plots(out)
  }
}

/// The engine beside the least that a sender can do.
struct EngineCost: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "engine", abstract: "The engine's cost and latency on synthetic calls, beside a bare sender's.")
  @Option(help: "Forks, several numbers with commas between them.") var forks = "50,200,500,1000,2000,4000"
  @Option(help: "Forks of each row with another format, direction or TLS; 0 leaves them out.") var others = 300
  @Option(help: "Forks before a sink that takes several messages at a time, and so leaves the machine to more of them.")
  var growth = "200,2000"
  @Option(help: "Seconds of each measurement.") var seconds = 5.0
  @Option(help: "Measurements of each row.") var turns = 2
  @Option(help: "Only rows whose name contains one of these, with semicolons between them.") var rows = ""
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let bench = EngineBench(seconds: seconds, progress: Progress.toStandardError)
    var rows = forks.split(separator: ",").compactMap { Int($0) }.map { EngineBench.Row.plain($0) }
    if others > 0 { rows += EngineBench.Row.others(others) }
    rows += growth.split(separator: ",").compactMap { Int($0) }.map { EngineBench.Row.growth($0) }
    let wanted = self.rows.split(separator: ";")
    if !wanted.isEmpty { rows = rows.filter { row in wanted.contains { row.name.contains($0) } } }
    let results = try await bench.run(rows, turns: turns)
    print(EngineBench.table(results))
    try output.write(results, secondsEach: seconds, as: "engine") { folder in
      try EngineBench.chart(results).write(to: "\(folder)/engine.svg")
    }
  }
}

/// Many starts within a second.
struct BurstCost: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "burst", abstract: "Forks that begin within one second beside others that run.")
  @Option(help: "Forks that run.") var running = 200
  @Option(help: "Forks that begin.") var starts = 200
  @Option(help: "Bursts with each transport.") var turns = 3
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let results = try await BurstBench(progress: Progress.toStandardError).run(
      BurstBench.Row.all, running: running, starts: starts, turns: turns)
    print(BurstBench.table(results))
    try output.write(results, secondsEach: 3, as: "burst")
  }
}

/// Hostile servers beside an honest one.
struct HostileCost: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "hostile",
    abstract: "An honest stream beside hostile servers; exit status 1 where a limit does not hold.")
  @Option(help: "Hostile connections, in equal parts of each kind.") var connections = 120
  @Option(help: "Seconds of each run.") var seconds = 60.0
  @Option(help: "Runs with the engine, and as many with the plain reader.") var runs = 3
  @Option(help: "Only these kinds, with commas between them: \(HostileBench.Kind.names). Default: all.") var kinds = ""
  @OptionGroup var output: OutputOptions

  private var chosen: [HostileBench.Kind] {
    guard !kinds.isEmpty else { return HostileBench.Kind.allCases }
    return kinds.split(separator: ",").compactMap { HostileBench.Kind(rawValue: String($0)) }
  }

  func validate() throws {
    guard kinds.isEmpty || chosen.count == kinds.split(separator: ",").count else {
      throw ValidationError("--kinds: one of '\(kinds)' is no kind")
    }
    guard connections >= 1, seconds > 0, runs >= 1 else {
      throw ValidationError("--connections, --seconds and --runs: give numbers above 0")
    }
  }

  func run() async throws {
    let bench = HostileBench(
      connections: connections, kinds: chosen, seconds: seconds, progress: Progress.toStandardError)
    let samples = try await bench.run(runs)
    print(HostileBench.table(samples))
    print("\n" + HostileBench.loadTable(samples, seconds: seconds) + "\n")
    try output.write(samples, secondsEach: seconds, as: "hostile")
    try report(HostileBench.findings(samples))
  }
}

/// Calls on a real Asterisk with a fork, with its alternatives, and with nothing.
struct AsteriskCost: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "asterisk", abstract: "What forks cost a real Asterisk 22, beside MixMonitor and AudioSocket.")
  @Option(help: "Local calls, several numbers with commas between them.") var calls = "25,50,100,200,400"
  @Option(help: "Calls over SIP with G.711, likewise.") var sip = "25,50,100"
  @Option(help: "Seconds of each measurement.") var seconds = 6.0
  @Option(help: "Measurements of each row.") var turns = 2
  @Option(
    help: """
      Only rows whose name contains one of these, with commas between them, or that are one of \
      \(AsteriskBench.Row.allCases.map { "\($0)" }.joined(separator: ", ")).
      """) var rows = ""
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let bench = AsteriskBench(seconds: seconds, progress: Progress.toStandardError)
    let wanted = rows.split(separator: ",")
    let rows = AsteriskBench.Row.allCases.filter { row in
      row != .nothing && (wanted.isEmpty || wanted.contains { row.rawValue.contains($0) || $0 == "\(row)" })
    }
    var results: [AsteriskBench.Result] = []
    for (kind, numbers) in [(AsteriskBench.Kind.local, calls), (.sip, sip)] {
      let numbers = numbers.split(separator: ",").compactMap { Int($0) }.filter { $0 > 0 }
      guard !numbers.isEmpty else { continue }
      results += try await bench.run(rows, kind: kind, calls: numbers, turns: turns)
    }
    print(AsteriskBench.table(results))
    try output.write(results, secondsEach: seconds, as: "asterisk") { folder in
      for kind in AsteriskBench.Kind.allCases where results.contains(where: { $0.kind == kind.rawValue }) {
        try AsteriskBench.chart(results, kind).write(to: "\(folder)/asterisk-\(kind.rawValue).svg")
      }
    }
  }
}

/// Many forks, and the thread that hears of all of them.
struct ControlCost: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "control",
    abstract: "What many forks cost the module's control thread; exit status 1 where a limit does not hold.")
  @Option(help: "Forks whose server refuses, several numbers with commas between them.")
  var forks = "250,500,1000,2000"
  @Option(help: "Forks whose server takes their audio, likewise.") var accepted = "250,500"
  @Option(help: "Seconds of each measurement.") var seconds = 8.0
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let bench = ControlBench(seconds: seconds, progress: Progress.toStandardError)
    var samples: [ControlBench.Sample] = []
    for (server, numbers) in [(ControlBench.Server.refuses, forks), (.accepts, accepted)] {
      let numbers = numbers.split(separator: ",").compactMap { Int($0) }.filter { $0 > 0 }
      if !numbers.isEmpty { samples += try await bench.run(server, forks: numbers) }
    }
    print(ControlBench.table(samples))
    try output.write(samples, secondsEach: seconds, as: "control")
    try report(ControlBench.findings(samples))
  }
}

/// The ratios of both, with limits.
struct QuickCost: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "quick",
    abstract: "The benchmarks' ratios from short measurements; exit status 1 where one is too high.")

  func run() async throws {
    try report(await QuickBench(progress: Progress.toStandardError).run())
  }
}

/// Prints what was found beside its limits. Throws where one does not hold.
private func report(_ findings: [QuickBench.Finding]) throws {
  for finding in findings {
    print("\(finding.holds ? "ok" : "TOO HIGH"): \(finding.what): \(finding.shown), at most \(finding.limit)")
  }
  guard findings.allSatisfy(\.holds) else { throw ExitCode(1) }
}
