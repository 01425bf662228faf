// SPDX-License-Identifier: Apache-2.0
internal import AsteriskTestKit
internal import AudioForkTestKit
internal import CAudioForkABI
internal import Foundation

/// Many forks that begin within one second, beside others that run: how soon they are connected, and whether the others
/// notice.
package struct BurstBench: Sendable {
  package struct Row: Sendable {
    package let name: String
    let isSecure: Bool
    package static let all = [Row(name: "ws", isSecure: false), Row(name: "wss", isSecure: true)]
  }

  /// One burst.
  package struct Sample: Codable, Sendable {
    /// From the first start to the last connection, seconds.
    package var connectedAfter = 0.0
    /// Of the streams that run: from the capture of a block's last frame to the sink, milliseconds; in the seconds
    /// before the burst, and in as many from its beginning on.
    package var p50Before = 0.0
    package var p99Before = 0.0
    package var p50 = 0.0
    package var p99 = 0.0
    package var longest = 0.0
    /// Percent of their messages that arrived within 100 ms meanwhile.
    package var onTime = 0.0
    package var generatorLate = 0.0
  }

  package struct Result: Codable, Sendable {
    package let name: String
    package let running: Int
    package let starts: Int
    package var samples: [Sample] = []
  }

  /// Seconds that are watched from the first start on, and before it.
  private static let watched = 3.0
  let progress: @Sendable (String) -> Void

  package init(progress: @escaping @Sendable (String) -> Void) { self.progress = progress }

  /// `starts` within one second, beside `running` forks, `turns` times with each transport.
  package func run(_ rows: [Row], running: Int, starts: Int, turns: Int) async throws -> [Result] {
    var results: [Result] = []
    for row in rows {
      var result = Result(name: row.name, running: running, starts: starts)
      for turn in 1...max(turns, 1) {
        let sample = try await measure(row, running, starts)
        result.samples.append(sample)
        progress(
          """
          turn \(turn), \(row.name): \(starts) connected after \(sample.connectedAfter.rounded(2)) s; of \(running) \
          others p99 \(sample.p99) ms (\(sample.p99Before) before), \(sample.onTime.rounded(2)) % on time, generator \
          \(sample.generatorLate.rounded(1)) ms late at worst
          """)
      }
      results.append(result)
    }
    return results
  }

  package static func table(_ results: [Result]) -> String {
    var lines = [
      """
      | starts in 1 s | transport | connected after, s | running forks | their p50 ms, before | p99 ms, before \
      | longest ms | on time % |
      """,
      "|---|---|---|---|---|---|---|---|",
    ]
    for result in results {
      func middle(_ value: (Sample) -> Double, _ digits: Int = 2) -> Double {
        EngineBench.median(result.samples.map(value)).rounded(digits)
      }
      let cells = [
        "\(result.starts)", result.name, "\(middle { $0.connectedAfter })", "\(result.running)",
        "\(middle { $0.p50 }), \(middle { $0.p50Before })", "\(middle { $0.p99 }), \(middle { $0.p99Before })",
        "\(middle { $0.longest })", "\(middle { $0.onTime })",
      ]
      lines.append("| " + cells.joined(separator: " | ") + " |")
    }
    return lines.joined(separator: "\n")
  }

  private func measure(_ row: Row, _ running: Int, _ starts: Int) async throws -> Sample {
    let sink = try await Sink(isSecure: false)
    let other = try await Sink(isSecure: row.isSecure)
    let folder = try ScratchFolder()
    let settings = ["reconnect_max_wait=1"]
    let calls = try SyntheticCalls(
      running, in: folder.path, url: "ws://127.0.0.1:\(sink.port)", options: "D(both)", settings: settings,
      delay: 300_000_000)
    calls.start()
    defer { calls.stop() }
    let engine = try LinkedEngine(in: folder)
    engine.begin(calls.identifiers)
    guard await sink.has(running, within: 60) else {
      throw BenchError("\(running) connections do not stand: \(engine.process.lines.suffix(3))")
    }
    let new = try SyntheticCalls(
      starts, in: folder.path, name: "burst", url: "\(row.isSecure ? "wss" : "ws")://127.0.0.1:\(other.port)",
      options: row.isSecure ? "D(both)T(insecure)" : "D(both)", settings: settings,
      delay: 2_000_000_000 + Int64(Self.watched * 1e9))
    try await Task.sleep(for: .seconds(2))
    var sample = Sample()
    sink.reset()
    try await Task.sleep(for: .seconds(Self.watched))
    let before = try await sink.report()
    (sample.p50Before, sample.p99Before) = (Double(before.p50) / 1000, Double(before.p99) / 1000)
    new.start()
    defer { new.stop() }
    calls.forgetLateness()
    sink.reset()
    let began = af_now_ns()
    async let connected: Int64? = connects(other, starts)
    for (number, identifier) in new.identifiers.enumerated() {
      let wait = began + 1_000_000_000 * Int64(number) / Int64(starts) - af_now_ns()
      if wait > 0 { try await Task.sleep(nanoseconds: UInt64(wait)) }
      engine.fork(identifier)
    }
    guard let end = await connected else { throw BenchError("\(row.name): \(starts) more do not connect within 30 s") }
    let rest = began + Int64(Self.watched * 1e9) - af_now_ns()
    if rest > 0 { try await Task.sleep(nanoseconds: UInt64(rest)) }
    let took = Double(af_now_ns() - began) / 1e9
    let report = try await sink.report()
    sample.connectedAfter = Double(end - began) / 1e9
    (sample.p50, sample.p99, sample.longest) = (
      Double(report.p50) / 1000, Double(report.p99) / 1000, Double(report.longest) / 1000
    )
    sample.onTime = report.onTime(seconds: took, streams: running)
    sample.generatorLate = calls.latestMilliseconds
    await engine.end()
    await sink.end()
    await other.end()
    return withExtendedLifetime(folder) { sample }
  }

  /// When all of them stood: CLOCK_MONOTONIC.
  private func connects(_ sink: sending Sink, _ count: Int) async -> Int64? {
    await sink.has(count, within: 30, every: .milliseconds(20)) ? af_now_ns() : nil
  }
}
