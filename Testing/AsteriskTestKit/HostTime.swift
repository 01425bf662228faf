// SPDX-License-Identifier: Apache-2.0
internal import Foundation

/// What the machine's host did with its processors.
package enum HostTime {
  /// Steal time since boot, milliseconds, summed over all processors (proc_stat(5)); nil if the kernel does not report
  /// it.
  package static var stolen: Int? {
    FileManager.default.contents(atPath: "/proc/stat").flatMap { stolen(in: String(decoding: $0, as: UTF8.self)) }
  }

  /// The same of /proc/stat's text.
  package static func stolen(in text: String) -> Int? {
    let words = text.prefix { $0 != "\n" }.split(separator: " ")
    let ticks = sysconf(Int32(_SC_CLK_TCK))
    guard words.first == "cpu", words.count > 8, let stolen = Int(words[8]), ticks > 0 else { return nil }
    return stolen * 1000 / ticks
  }
}
