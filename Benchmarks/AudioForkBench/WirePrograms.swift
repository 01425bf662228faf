// SPDX-License-Identifier: Apache-2.0
internal import AsteriskTestKit
internal import AudioForkTestKit
internal import Foundation

/// The programs of Benchmarks/wire.
extension Checkout {
  static let sink = root.appending(path: "build/bench-sink").path
  static let floor = root.appending(path: "build/bench-floor").path
  static let hostile = root.appending(path: "build/bench-hostile").path
  static let discard = root.appending(path: "build/bench-discard").path
}

extension ChildProcess {
  /// Sends a signal and waits for the line that answers it, which is the `number`th that begins so: the value behind
  /// each name in it, 0 for a name that is not there. Nil where none comes within 5 s.
  func answer(to signal: Int32, number: Int, beginning: String) async -> ((String) -> Int)? {
    self.signal(signal)
    let lines = await eventually(within: 5) {
      let lines = self.lines.filter { $0.hasPrefix(beginning) }
      return lines.count >= number ? lines : nil
    }
    guard let words = lines?.last?.split(separator: " ") else { return nil }
    return { name in
      words.firstIndex(of: name[...]).flatMap { words.indices.contains($0 + 1) ? Int(words[$0 + 1]) : nil } ?? 0
    }
  }

  /// The port that it says it listens on; nil where it does not within 5 s.
  func listeningPort() async -> Int? {
    await line(within: 5) { $0.hasPrefix("port ") }.flatMap { Int($0.dropFirst(5)) }
  }
}
