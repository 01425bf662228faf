// SPDX-License-Identifier: Apache-2.0
internal import ArgumentParser
internal import AudioForkProof
internal import Foundation

/// What runs under faults have in common.
struct FaultOptions: ParsableArguments {
  @Option(help: "What decides about times, faults and calls.") var seed: UInt64 = 1
  @Option(help: "Calls at a time.") var calls = 20
  @Flag(help: "Print each fault, and what is found wrong, as it comes.") var trace = false

  var tracer: @Sendable (String) -> Void { trace ? Progress.toStandardError : Progress.nothing }
}

/// Random faults.
struct Chaos: AsyncParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Random faults under calls.")
  @OptionGroup var options: FaultOptions
  @Option(help: "How long faults are injected.") var minutes = 1.0
  @Flag(help: "wss:// instead of ws://.") var tls = false
  @Option(help: "Only faults whose description contains this.") var only = ""

  func run() async throws {
    let began = Date()
    let run = ChaosRun(
      seed: options.seed, plan: .mixed(minutes: minutes), slots: options.calls, isSecure: tls, only: only,
      progress: Progress.toStandardError, trace: options.tracer)
    try AudioForkProofCommand.report(await run.run(), options.seed, began: began)
  }
}

/// Kills of the engine and of the server.
struct Kills: AsyncParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Kills of the engine and of the server under calls.")
  @OptionGroup var options: FaultOptions
  @Option(help: "Kills of each of the two.") var kills = 200

  func run() async throws {
    let began = Date()
    let run = ChaosRun(
      seed: options.seed, plan: .kills(kills), slots: options.calls, progress: Progress.toStandardError,
      trace: options.tracer)
    try AudioForkProofCommand.report(await run.run(), options.seed, began: began)
  }
}

/// Many forks, one after the other.
struct Soak: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Many forks: nothing may be left of them in either process.")
  @Option(help: "Short forks, started and ended by dialplans.") var forks = 10_000
  @Option(help: "Forks started and ended over AMI, on one channel.") var cycles = 100_000

  func run() async throws {
    let began = Date()
    let result = try await SoakRun(forks: forks, cycles: cycles, progress: Progress.toStandardError).run()
    try AudioForkProofCommand.report(result.table, result.violations, began: began)
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
    let result = try await JitterRun(calls: calls, seconds: seconds, pairs: pairs, progress: Progress.toStandardError)
      .run()
    try AudioForkProofCommand.report(result.table, result.violations, began: began)
  }
}
