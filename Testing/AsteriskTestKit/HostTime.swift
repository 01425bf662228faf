// SPDX-License-Identifier: Apache-2.0
internal import Foundation

/// What the machine's host did with its processors.
package enum HostTime {
  /// Milliseconds that they stood still for this machine since it was started, of all processors together
  /// (proc_stat(5), "steal"); nil where the kernel does not say.
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
