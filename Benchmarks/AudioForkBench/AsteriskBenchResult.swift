// SPDX-License-Identifier: Apache-2.0
internal import Foundation

extension AsteriskBench {
  /// One measurement of `calls` calls.
  package struct Sample: Codable, Sendable {
    package var asterisk = ProcessCost()
    package var engine = ProcessCost()
    package var seconds = 0.0
    /// Percent of the audio that was due and arrived within 100 ms of its time (of MixMonitor: is in its files); nil
    /// where nothing is sent.
    package var arrived: Double?
    /// How late messages were against the earliest of their connection, milliseconds; nil where nothing is sent.
    package var latenessP99: Double?

    package init() {}

    /// Returns the mean of two measurements, scaled to the duration of this one.
    package func mean(with other: Sample) -> Sample {
      var mean = self
      func between(_ value: (Sample) -> Double) -> Double {
        (value(self) / seconds + value(other) / other.seconds) / 2 * seconds
      }
      mean.asterisk.processorNanoseconds = UInt64(between { Double($0.asterisk.processorNanoseconds) })
      mean.asterisk.contextSwitches = UInt64(between { Double($0.asterisk.contextSwitches) })
      mean.asterisk.residentKilobytes = (asterisk.residentKilobytes + other.asterisk.residentKilobytes) / 2
      return mean
    }
  }

  /// The measurements of one row at one number of calls, and the baseline: calls alone.
  package struct Result: Codable, Sendable {
    package let row: String
    /// What the calls are made of.
    package let kind: String
    package let calls: Int
    package var samples: [Sample] = []
    package var baseline: [Sample] = []

    package init(row: String, kind: String, calls: Int) {
      self.row = row
      self.kind = kind
      self.calls = calls
    }

    private func median(_ value: (Sample) -> Double) -> Double { EngineBench.median(samples.map(value)) }

    /// Returns the extra cost of one call: sample minus baseline, divided by the calls; the median of all turns.
    private func marginal(_ value: (Sample) -> Double) -> Double { EngineBench.median(marginals(value)) }

    private func marginals(_ value: (Sample) -> Double) -> [Double] {
      zip(samples, baseline).map { (value($0) - value($1)) / Double(calls) }
    }

    private static func percent(_ sample: Sample) -> Double {
      Double(sample.asterisk.processorNanoseconds) / 1e7 / sample.seconds
    }

    /// Percent of a core for each call.
    package var asteriskPercent: Double { marginal(Self.percent) }
    /// Mean over the turns, and its standard error; nil with fewer than three turns.
    package var asteriskMean: (mean: Double, error: Double)? {
      let found = marginals(Self.percent)
      guard found.count >= 3 else { return nil }
      let count = Double(found.count)
      let mean = found.reduce(0, +) / count
      let squares = found.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
      return (mean, (squares / (count - 1) / count).squareRoot())
    }
    package var enginePercent: Double {
      median { Double($0.engine.processorNanoseconds) / 1e7 / $0.seconds } / Double(calls)
    }
    package var togetherPercent: Double { asteriskPercent + enginePercent }
    package var switches: Double {
      marginal { Double($0.asterisk.contextSwitches) / $0.seconds }
        + median { Double($0.engine.contextSwitches) / $0.seconds } / Double(calls)
    }
    /// kB for each call, in both processes.
    package var memory: Double {
      marginal { Double($0.asterisk.residentKilobytes) } + median { Double($0.engine.residentKilobytes) }
        / Double(calls)
    }
    package var threads: Double { marginal { Double($0.asterisk.threads) } }
    package var lateness: Double? {
      let found = samples.compactMap(\.latenessP99)
      return found.isEmpty ? nil : EngineBench.median(found)
    }
    package var arrived: Double? {
      let found = samples.compactMap(\.arrived)
      return found.isEmpty ? nil : EngineBench.median(found)
    }
  }

  /// Processor time of both processes together against the number of calls.
  package static func chart(_ results: [Result], _ kind: Kind) -> Chart {
    let found = results.filter { $0.kind == kind.rawValue }
    let rows = Row.allCases.map(\.rawValue).filter { row in found.contains { $0.row == row } }
    let lines = rows.map { row in
      Chart.Line(row, found.filter { $0.row == row }.map { (x: Double($0.calls), y: $0.togetherPercent) })
    }
    return Chart(
      kind == .local ? "What a call costs more: Local channels" : "What a call costs more: SIP, G.711",
      horizontal: "calls", vertical: "% of a core for each call", lines: lines)
  }

  /// Returns the results as a Markdown table.
  package static func table(_ results: [Result]) -> String {
    var lines = [
      """
      | calls | row | number | Asterisk, % of a core a call | engine, % | together, % | switches/s a call \
      | memory, kB a call | threads a call | late p99, ms | arrived % |
      """,
      "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for result in results {
      let cells = [
        result.kind, result.row, "\(result.calls)",
        "\(result.asteriskPercent.rounded(4))"
          + (result.asteriskMean.map { " (mean \($0.mean.rounded(4)) ± \($0.error.rounded(4)))" } ?? ""),
        "\(result.enginePercent.rounded(4))",
        "\(result.togetherPercent.rounded(4))", "\(result.switches.rounded(1))", "\(result.memory.rounded(0))",
        "\(result.threads.rounded(2))", result.lateness.map { "\($0.rounded(1))" } ?? "-",
        result.arrived.map { "\($0.rounded(2))" } ?? "-",
      ]
      lines.append("| " + cells.joined(separator: " | ") + " |")
    }
    return lines.joined(separator: "\n")
  }
}
