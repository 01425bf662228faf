// SPDX-License-Identifier: Apache-2.0

/// The benchmarks' ratios from short measurements, with limits well above what docs/performance.md says: a change that
/// makes that untrue shows, a machine that is busy should not.
package struct QuickBench: Sendable {
  /// A ratio and what it may be at most.
  package struct Finding: Sendable {
    package let what: String
    package let value: Double
    package let limit: Double

    package init(_ what: String, _ value: Double, atMost limit: Double) {
      self.what = what
      self.value = value
      self.limit = limit
    }

    /// A figure that could not be had holds nothing.
    package var holds: Bool { value <= limit }
    package var shown: String { value.isNaN ? "not measured" : "\(value.rounded(2))" }
  }

  private static let forks = 200
  private static let calls = 50
  private let progress: @Sendable (String) -> Void

  package init(progress: @escaping @Sendable (String) -> Void) { self.progress = progress }

  package func run() async throws -> [Finding] {
    let engine = EngineBench(seconds: 3, progress: progress)
    let plain = try await engine.run([.plain(Self.forks)], turns: 3)
    let asterisk = AsteriskBench(seconds: 5, progress: progress)
    let rows = try await asterisk.run([.mixMonitor, .forkBoth], kind: .local, calls: [Self.calls], turns: 2)
    return Self.findings(engine: plain, asterisk: rows)
  }

  package static func findings(engine: [EngineBench.Result], asterisk: [AsteriskBench.Result]) -> [Finding] {
    var findings: [Finding] = []
    for result in engine {
      findings.append(Finding("engine, processor time against a bare sender's", result.ratio ?? .nan, atMost: 3))
      findings.append(
        Finding("latency to the server, median of p50, ms", EngineBench.median(result.engine.map(\.p50)), atMost: 10))
    }
    let mixMonitor = asterisk.first { $0.row == AsteriskBench.Row.mixMonitor.rawValue }
    let fork = asterisk.first { $0.row == AsteriskBench.Row.forkBoth.rawValue }
    guard let mixMonitor, let fork else { return findings + [Finding("a fork against MixMonitor", .nan, atMost: 1)] }
    // What costs nothing was not measured.
    let whole = mixMonitor.asteriskPercent > 0 ? mixMonitor.asteriskPercent : .nan
    findings.append(Finding("a fork in Asterisk against MixMonitor", fork.asteriskPercent / whole, atMost: 1))
    findings.append(Finding("a fork in both processes against MixMonitor", fork.togetherPercent / whole, atMost: 2))
    return findings
  }
}
