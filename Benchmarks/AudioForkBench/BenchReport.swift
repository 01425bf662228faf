// SPDX-License-Identifier: Apache-2.0
internal import Foundation

/// A run's figures as a file, with what they were measured on.
package struct BenchReport<Row: Codable & Sendable>: Codable, Sendable {
  package let date: String
  package let machine: Machine
  package let secondsEach: Double
  package let rows: [Row]

  package init(_ rows: [Row], secondsEach: Double) {
    date = Date.now.formatted(.iso8601)
    machine = Machine()
    self.secondsEach = secondsEach
    self.rows = rows
  }

  package func write(to file: String) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
    encoder.nonConformingFloatEncodingStrategy = .convertToString(
      positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
    try FileManager.default.createDirectory(
      atPath: URL(fileURLWithPath: file).deletingLastPathComponent().path, withIntermediateDirectories: true)
    try (encoder.encode(self) + Data("\n".utf8)).write(to: URL(fileURLWithPath: file))
  }
}

/// What the figures were measured on.
package struct Machine: Codable, Sendable {
  package let processor: String
  package let cores: Int
  package let kernel: String

  package init() {
    let lines = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8))?.split(separator: "\n") ?? []
    let model = lines.first { $0.hasPrefix("model name") }?.split(separator: ":").last
    processor = model.map { $0.trimmingCharacters(in: .whitespaces) } ?? "unknown"
    cores = ProcessInfo.processInfo.activeProcessorCount
    kernel =
      (try? String(contentsOfFile: "/proc/sys/kernel/osrelease", encoding: .utf8))?
      .trimmingCharacters(in: .whitespacesAndNewlines) ?? "unknown"
  }
}
