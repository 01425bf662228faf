// SPDX-License-Identifier: Apache-2.0
internal import Foundation

/// What a process holds, from /proc.
package struct ProcessFacts: Equatable, Sendable {
  /// Resident memory that is its own, kB: without files and shared memory, of which rings are made.
  package var residentKilobytes = 0
  package var descriptors = 0
  package var threads = 0

  /// nil where there is no such process.
  package init?(of process: Int32) {
    guard let status = FileManager.default.contents(atPath: "/proc/\(process)/status"),
      let open = try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(process)/fd")
    else { return nil }
    descriptors = open.count
    for line in String(decoding: status, as: UTF8.self).split(separator: "\n") {
      let words = line.split(whereSeparator: { $0 == " " || $0 == "\t" })
      guard words.count > 1, let number = Int(words[1]) else { continue }
      if words[0] == "RssAnon:" { residentKilobytes = number }
      if words[0] == "Threads:" { threads = number }
    }
  }
}
