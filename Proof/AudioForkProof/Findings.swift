// SPDX-License-Identifier: Apache-2.0

/// What a run found, summed over its calls.
package struct Findings: Sendable {
  package var calls = 0
  package var dropped = 0
  package var captured = 0
  package var delivered = 0
  package var inGaps = 0
  package var gaps = 0
  /// Gaps that no outage longer than the buffer explains.
  package var unexplainedGaps = 0
  package var unaccounted = 0
  /// Samples of the signals that never came to the hook: as many arrived as were captured, and these were not among
  /// them. A busy machine drops a frame of a Playback now and then.
  package var notCaptured = 0
  package var repeatedRaw = 0
  package var longestRepeat = 0
  package var repeatedV1 = 0
  package var faults: [String: Int] = [:]
  /// What was wrong, in words.
  package var violations: [String] = []

  package init() {}

  /// Adds what another part of the run found.
  package mutating func add(_ other: Findings) {
    calls += other.calls
    dropped += other.dropped
    captured += other.captured
    delivered += other.delivered
    inGaps += other.inGaps
    gaps += other.gaps
    unexplainedGaps += other.unexplainedGaps
    unaccounted += other.unaccounted
    notCaptured += other.notCaptured
    repeatedRaw += other.repeatedRaw
    longestRepeat = max(longestRepeat, other.longestRepeat)
    repeatedV1 += other.repeatedV1
    faults.merge(other.faults, uniquingKeysWith: +)
    violations += other.violations
  }

  package var table: String {
    var rows: [(String, String)] = faults.sorted { $0.key < $1.key }.map { ("fault: \($0.key)", "\($0.value)") }
    rows += [
      ("faults injected", "\(faults.values.reduce(0, +))"), ("calls", "\(calls)"), ("calls dropped", "\(dropped)"),
      ("samples captured", "\(captured)"), ("samples delivered", "\(delivered)"),
      ("samples reported as gap", "\(inGaps)"), ("gaps", "\(gaps)"),
      ("gaps without an outage longer than the buffer", "\(unexplainedGaps)"),
      ("samples that never came to the hook", "\(notCaptured)"), ("samples unaccounted", "\(unaccounted)"),
      ("samples twice, audiofork.v1", "\(repeatedV1)"),
      ("samples twice, raw", "\(repeatedRaw)"), ("longest repeat, raw", "\(longestRepeat)"),
    ]
    let width = rows.map(\.0.count).max() ?? 0
    return rows.map { "| \($0.0)\(String(repeating: " ", count: width - $0.0.count)) | \($0.1) |" }.joined(
      separator: "\n")
  }
}
