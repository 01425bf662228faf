// SPDX-License-Identifier: Apache-2.0
internal import AsteriskTestKit
internal import AudioForkTestKit
internal import Foundation

/// Benchmarks/wire/sink.c.
package final class Sink {
  package struct Report {
    var connections = 0
    var messages = 0
    var p50 = 0
    var p99 = 0
    var p999 = 0
    var longest = 0
    var late = 0
    /// Microseconds between two messages of a connection: the median, of 99.9 %, and the longest one, which may not
    /// have ended.
    var gap50 = 0
    var gap999 = 0
    var longestGap = 0
    /// Messages whose numbers were left out, messages that came again, and those without a number.
    var missing = 0
    var repeated = 0
    var unstamped = 0
    /// Connections since the sink began.
    var opened = 0

    package init(messages: Int, late: Int) {
      self.messages = messages
      self.late = late
    }

    /// Percentage of due messages that arrived within 100 ms. Allows one message per stream at the edges of the
    /// interval.
    package func onTime(seconds: Double, streams: Int) -> Double {
      let due = max((seconds * 50 - 1) * Double(streams), 1)
      let missing = max(due - Double(messages), 0)
      return Double(messages - late) / max(Double(messages) + missing, 1) * 100
    }
  }

  let port: Int
  private let child: ChildProcess
  private let certificates: TestCertificates?
  private var reports = 0

  /// `every`: milliseconds from one look at its connections to the next; nil for a look whenever something comes.
  init(isSecure: Bool, every: Int? = nil) async throws {
    certificates = isSecure ? try TestCertificates() : nil
    let pair = try certificates?.issued("server").pair
    let pause = every.map { ["--every", "\($0)"] } ?? []
    child = try ChildProcess(Checkout.sink, pause + (pair.map { [$0.certificate, $0.key] } ?? []))
    guard let found = await child.listeningPort() else {
      throw BenchError("bench-sink does not listen: \(child.lines)")
    }
    port = found
  }

  func reset() { child.signal(SIGUSR1) }
  func end() async { await child.end() }

  func report() async throws -> Report {
    reports += 1
    guard let value = await child.answer(to: SIGUSR2, number: reports, beginning: "connections ") else {
      throw BenchError("bench-sink does not answer")
    }
    var report = Report(messages: value("messages"), late: value("late"))
    report.connections = value("connections")
    (report.p50, report.p99, report.p999, report.longest) = (value("p50"), value("p99"), value("p999"), value("max"))
    (report.gap50, report.gap999, report.longestGap) = (value("gap50"), value("gap999"), value("gapmax"))
    (report.missing, report.repeated, report.unstamped) = (value("missing"), value("repeated"), value("unstamped"))
    report.opened = value("opened")
    return report
  }

  func has(_ count: Int, within seconds: Double, every pause: Duration = .milliseconds(100)) async -> Bool {
    let deadline = Date() + seconds
    while Date() < deadline {
      if let report = try? await report(), report.connections >= count { return true }
      try? await Task.sleep(for: pause)
    }
    return false
  }
}
