// SPDX-License-Identifier: Apache-2.0
internal import ArgumentParser
internal import AudioForkProof
internal import Foundation

/// Runs that prove what delivery promises, on a real Asterisk 22. `make chaos` and its like call it.
@main
struct AudioForkProofCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "audiofork-proof", abstract: "Proves on a real Asterisk what delivery promises.",
    subcommands: [
      Chaos.self, Kills.self, Soak.self, Jitter.self, EngineCost.self, BurstCost.self, HostileCost.self, AsteriskCost.self,
      QuickCost.self,
    ])

  static func report(_ findings: Findings, _ seed: UInt64, began: Date) throws {
    print("| what | found |\n|---|---|\n\(findings.table)")
    print("seed \(seed), \(Int(Date().timeIntervalSince(began))) s")
    guard !findings.violations.isEmpty || findings.dropped > 0 || findings.calls == 0 else { return }
    for text in findings.violations.prefix(40) { print("VIOLATION: \(text)") }
    print("\(findings.violations.count) violations")
    throw ExitCode(1)
  }
}

/// Random faults.
struct Chaos: AsyncParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Random faults under calls.")
  @Option(help: "What decides about faults and calls.") var seed: UInt64 = 1
  @Option(help: "How long faults are injected.") var minutes = 1.0
  @Option(help: "Calls at a time.") var calls = 20
  @Flag(help: "wss:// instead of ws://.") var tls = false
  @Option(help: "Only faults whose description contains this.") var only = ""
  @Flag(help: "Print each fault, and what is found wrong, as it comes.") var trace = false

  func run() async throws {
    let began = Date()
    let run = ChaosRun(
      seed: seed, plan: .mixed(minutes: minutes), slots: calls, isSecure: tls, only: only, say: Progress.say, trace: trace ? Progress.say : Progress.nothing)
    try AudioForkProofCommand.report(await run.run(), seed, began: began)
  }
}

/// Kills of the engine and of the server.
struct Kills: AsyncParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Kills of the engine and of the server under calls.")
  @Option(help: "What decides about times and calls.") var seed: UInt64 = 1
  @Option(help: "Kills of each of the two.") var kills = 200
  @Option(help: "Calls at a time.") var calls = 20
  @Flag(help: "Print each fault as it comes.") var trace = false

  func run() async throws {
    let began = Date()
    let run = ChaosRun(
      seed: seed, plan: .kills(kills), slots: calls, say: Progress.say, trace: trace ? Progress.say : Progress.nothing)
    try AudioForkProofCommand.report(await run.run(), seed, began: began)
  }
}

/// Many forks, one after the other.
struct Soak: AsyncParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Many forks: nothing may be left of them in either process.")
  @Option(help: "Short forks, started and ended by dialplans.") var forks = 10_000
  @Option(help: "Forks started and ended over AMI, on one channel.") var cycles = 100_000

  func run() async throws {
    let began = Date()
    let result = try await SoakRun(forks: forks, cycles: cycles, say: Progress.say).run()
    print(result.table)
    print("\(Int(Date().timeIntervalSince(began))) s")
    guard !result.violations.isEmpty else { return }
    for text in result.violations.prefix(40) { print("VIOLATION: \(text)") }
    throw ExitCode(1)
  }
}

/// Forwarding of RTP, with forks and without.
struct Jitter: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "RTP between calls' peers, without forks and with forks whose server has stalled.")
  @Option(help: "Calls at a time.") var calls = 20
  @Option(help: "Seconds of each run that count.") var seconds = 60
  @Option(help: "Pairs of runs, one without forks and one with.") var pairs = 3

  func run() async throws {
    let began = Date()
    let result = try await JitterRun(calls: calls, seconds: seconds, pairs: pairs, say: Progress.say).run()
    print(result.table)
    print("\(Int(Date().timeIntervalSince(began))) s")
    guard !result.violations.isEmpty else { return }
    for text in result.violations.prefix(40) { print("VIOLATION: \(text)") }
    throw ExitCode(1)
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
  @Option(help: "A folder for engine.json and engine.svg.") var out: String?

  func run() async throws {
    let bench = EngineBench(seconds: seconds, say: Progress.say)
    var rows = forks.split(separator: ",").compactMap { Int($0) }.map { EngineBench.Row.plain($0) }
    if others > 0 { rows += EngineBench.Row.others(others) }
    rows += growth.split(separator: ",").compactMap { Int($0) }.map { EngineBench.Row.growth($0) }
    let wanted = self.rows.split(separator: ";")
    if !wanted.isEmpty { rows = rows.filter { row in wanted.contains { row.name.contains($0) } } }
    let results = try await bench.run(rows, turns: turns)
    print(EngineBench.table(results))
    guard let out else { return }
    try BenchReport(results, secondsEach: seconds).write(to: "\(out)/engine.json")
    try EngineBench.chart(results).write(to: "\(out)/engine.svg")
  }
}

/// Many starts within a second.
struct BurstCost: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "burst", abstract: "Forks that begin within one second beside others that run.")
  @Option(help: "Forks that run.") var running = 200
  @Option(help: "Forks that begin.") var starts = 200
  @Option(help: "Bursts with each transport.") var turns = 3
  @Option(help: "A folder for burst.json.") var out: String?

  func run() async throws {
    let results = try await BurstBench(say: Progress.say).run(BurstBench.Row.all, running: running, starts: starts, turns: turns)
    print(BurstBench.table(results))
    if let out { try BenchReport(results, secondsEach: 3).write(to: "\(out)/burst.json") }
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
  @Option(help: "A folder for hostile.json.") var out: String?

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
    let bench = HostileBench(connections: connections, kinds: chosen, seconds: seconds, say: Progress.say)
    let samples = try await bench.run(runs)
    print(HostileBench.table(samples))
    print("\n" + HostileBench.loadTable(samples, seconds: seconds) + "\n")
    if let out { try BenchReport(samples, secondsEach: seconds).write(to: "\(out)/hostile.json") }
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
  @Option(help: "A folder for asterisk.json and the plots.") var out: String?

  func run() async throws {
    let bench = AsteriskBench(seconds: seconds, say: Progress.say)
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
    guard let out else { return }
    try BenchReport(results, secondsEach: seconds).write(to: "\(out)/asterisk.json")
    for kind in AsteriskBench.Kind.allCases where results.contains(where: { $0.kind == kind.rawValue }) {
      try AsteriskBench.chart(results, kind).write(to: "\(out)/asterisk-\(kind.rawValue).svg")
    }
  }
}

/// The ratios of both, with limits.
struct QuickCost: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "quick", abstract: "The benchmarks' ratios from short measurements; exit status 1 where one is too high.")

  func run() async throws {
    try report(await QuickBench(say: Progress.say).run())
  }
}

/// Prints what was found beside its limits. Throws where one does not hold.
private func report(_ findings: [QuickBench.Finding]) throws {
  for finding in findings {
    print("\(finding.holds ? "ok" : "TOO HIGH"): \(finding.what): \(finding.shown), at most \(finding.limit)")
  }
  guard findings.allSatisfy(\.holds) else { throw ExitCode(1) }
}

/// Progress goes to standard error, so that standard output is the table.
enum Progress {
  static let nothing: @Sendable (String) -> Void = { _ in }
  static let say: @Sendable (String) -> Void = { FileHandle.standardError.write(Data(($0 + "\n").utf8)) }
}
