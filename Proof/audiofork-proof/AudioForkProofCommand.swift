// SPDX-License-Identifier: Apache-2.0
internal import ArgumentParser
internal import AudioForkProof
internal import Foundation

/// Proofs and benchmarks on a real Asterisk. `make chaos` and its like call it.
@main
struct AudioForkProofCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "audiofork-proof", abstract: "Proofs and benchmarks on a real Asterisk.",
    subcommands: [
      Chaos.self, Kills.self, Soak.self, Jitter.self, EngineCost.self, BurstCost.self, HostileCost.self,
      AsteriskCost.self,
      ControlCost.self, QuickCost.self,
    ])

  static func report(_ table: String, _ violations: [String], began: Date) throws {
    print(table)
    print("\(Int(Date().timeIntervalSince(began))) s")
    guard !violations.isEmpty else { return }
    for text in violations.prefix(40) { print("VIOLATION: \(text)") }
    throw ExitCode(1)
  }

  static func report(_ findings: Findings, _ seed: UInt64, began: Date) throws {
    print("| what | found |\n|---|---|\n\(findings.table)")
    print("seed \(seed), \(Int(Date().timeIntervalSince(began))) s")
    guard !findings.violations.isEmpty || findings.dropped > 0 || findings.calls == 0 else { return }
    for text in findings.violations.prefix(40) { print("VIOLATION: \(text)") }
    print("\(findings.violations.count) violations")
    throw ExitCode(1)
  }
}
