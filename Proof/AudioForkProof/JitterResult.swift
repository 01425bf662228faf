// SPDX-License-Identifier: Apache-2.0
package import AsteriskTestKit

extension JitterRun {
  /// Percentiles of durations, microseconds.
  package struct Times: Sendable {
    package let p50: Int
    package let p99: Int
    package let p999: Int
    package let longest: Int

    init(_ nanoseconds: [Int64]) {
      let sorted = nanoseconds.sorted()
      func at(_ share: Double) -> Int {
        guard let last = sorted.last else { return 0 }
        let rank = Int((Double(sorted.count) * share).rounded(.up))
        return Int((rank < 1 || rank > sorted.count ? last : sorted[rank - 1]) / 1000)
      }
      p50 = at(0.5)
      p99 = at(0.99)
      p999 = at(0.999)
      longest = at(1)
    }
  }

  /// What one run found.
  package struct Row: Sendable {
    package let label: String
    package var forks = ""
    package var packets = 0
    package var lost = 0
    package let strangers: Int
    /// From just before a peer sends to the moment at which the other peer's kernel has the packet.
    package let delay: Times
    /// Difference D of RFC 3550, section 6.4.1, between consecutive packets; its absolute value.
    package let jitter: Times
    /// Deviation of our own sending interval from 20 ms; not caused by Asterisk.
    package let ownJitter: Times
    /// Steal time of the host during the run, milliseconds; nil if unknown.
    package var stolen: Int?
    package var wrong: [String] = []

    /// The run's packets from `first` of each flow on.
    package init(_ label: String, _ passage: RTPProbe.Passage, from first: Int) {
      self.label = label
      strangers = passage.strangers
      var delays: [Int64] = []
      var jitters: [Int64] = []
      var ownJitters: [Int64] = []
      for flow in 0..<passage.flows {
        for place in (flow * passage.packets + first)..<((flow + 1) * passage.packets) {
          packets += 1
          ownJitters.append(abs(passage.sent[place] - passage.sent[place - 1] - RTPProbe.packetNanoseconds))
          let arrived = passage.arrived[place]
          guard arrived > 0 else {
            lost += 1
            continue
          }
          delays.append(arrived - passage.sent[place])
          let before = passage.arrived[place - 1]
          if before > 0 { jitters.append(abs((arrived - before) - (passage.sent[place] - passage.sent[place - 1]))) }
        }
      }
      delay = Times(delays)
      jitter = Times(jitters)
      ownJitter = Times(ownJitters)
    }

    var cells: String {
      "\(label) | \(forks) | \(packets) | \(lost) | \(delay.p50) | \(delay.p99) | \(delay.p999) | \(delay.longest)"
        + " | \(jitter.p99) | \(jitter.p999) | \(jitter.longest) | \(ownJitter.p999) | \(stolen.map { "\($0)" } ?? "-")"
    }

    /// Whether the host's steal time in a run of `seconds` was so long that the run says little about Asterisk.
    package func isDisturbed(_ seconds: Int) -> Bool { (stolen ?? 0) > seconds * JitterRun.stolenMax }
  }

  package struct Result: Sendable {
    /// Runs without and with forks, interleaved.
    package var rows: [Row] = []
    /// Runs of pairs that were repeated.
    package var disturbed: [Row] = []
    package var violations: [String] = []

    package init() {}

    /// Adds a pair of runs of `seconds`. Returns false if it must be repeated; its violations count anyway.
    package mutating func keep(_ pair: [Row], seconds: Int, pairs: Int) -> Bool {
      for row in pair { violations += row.wrong.map { "\(row.label): \($0)" } }
      guard pair.contains(where: { $0.isDisturbed(seconds) }), disturbed.count < 2 * pairs else {
        rows += pair
        return true
      }
      disturbed += pair
      return false
    }

    /// For each pair: with forks minus without.
    var differences: [(delay: Int, jitter: Int)] { Self.differences(rows) }

    private static func differences(_ rows: [Row]) -> [(delay: Int, jitter: Int)] {
      stride(from: 0, to: rows.count - 1, by: 2).map { index in
        let (off, on) = (rows[index], rows[index + 1])
        return (delay: on.delay.p999 - off.delay.p999, jitter: on.jitter.p999 - off.jitter.p999)
      }
    }

    package mutating func judge() {
      for (index, difference) in differences.enumerated() where abs(difference.jitter) >= JitterRun.differenceMax {
        violations.append("pair \(index + 1): the jitter's p99.9 differs by \(difference.jitter) µs")
      }
    }

    package var table: String {
      var lines = [
        "| run | forks | packets | lost | delay p50, µs | p99 | p99.9 | max | jitter p99, µs | p99.9 | max"
          + " | peers' own p99.9 | kept by the host, ms |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
      ]
      for row in rows { lines.append("| \(row.cells) |") }
      for row in disturbed { lines.append("| again: \(row.cells) |") }
      lines += ["", "| pair | delay p99.9, on - off, µs | jitter p99.9, on - off, µs |", "|---|---|---|"]
      for (index, difference) in differences.enumerated() {
        lines.append("| \(index + 1) | \(difference.delay) | \(difference.jitter) |")
      }
      for difference in Self.differences(disturbed) {
        lines.append("| again | \(difference.delay) | \(difference.jitter) |")
      }
      return lines.joined(separator: "\n")
    }
  }
}
