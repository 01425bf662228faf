// SPDX-License-Identifier: Apache-2.0
internal import AsteriskTestKit
internal import Foundation

/// What a process has used so far, from /proc; two of them make a cost.
package struct ProcessCost: Equatable, Codable, Sendable {
  /// Processor time of all threads that there are, nanoseconds.
  package var processorNanoseconds: UInt64 = 0
  /// Voluntary and involuntary, of all threads that there are.
  package var contextSwitches: UInt64 = 0
  package var threads = 0
  /// Memory that is its own, kB: without files and shared memory, of which rings are made.
  package var residentKilobytes = 0

  package init() {}

  /// nil where there is no such process.
  package init?(of process: Int32) {
    let folder = "/proc/\(process)/task"
    guard let names = try? FileManager.default.contentsOfDirectory(atPath: folder) else { return nil }
    for name in names {
      // A thread may end while it is looked at.
      let words = ProcessCost.text("\(folder)/\(name)/schedstat")?.split(separator: " ")
      if let words, let time = UInt64(words[0]) {
        processorNanoseconds += time
      }
      for line in (ProcessCost.text("\(folder)/\(name)/status") ?? "").split(separator: "\n")
      where line.contains("voluntary_ctxt_switches") {
        contextSwitches += line.split(whereSeparator: { $0 == "\t" || $0 == " " }).last.flatMap { UInt64($0) } ?? 0
      }
    }
    guard let facts = ProcessFacts(of: process) else { return nil }
    threads = facts.threads
    residentKilobytes = facts.residentKilobytes
  }

  private static func text(_ path: String) -> String? {
    FileManager.default.contents(atPath: path).map { String(decoding: $0, as: UTF8.self) }
  }

  /// What has been used since `earlier`; threads and memory as they are now.
  package func since(_ earlier: ProcessCost) -> ProcessCost {
    var cost = self
    // Threads that have ended take their share along.
    cost.processorNanoseconds = processorNanoseconds &- min(processorNanoseconds, earlier.processorNanoseconds)
    cost.contextSwitches = contextSwitches &- min(contextSwitches, earlier.contextSwitches)
    return cost
  }
}
