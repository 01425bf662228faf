// SPDX-License-Identifier: Apache-2.0
package import Foundation

/// `audiofork serve` as a test uses it: a port, a folder, and what arrived.
package final class Receiver: Sendable {
  package let folder: URL
  package let port: Int
  private let child: ChildProcess

  /// Starts the receiver. Port 0 lets it choose; a restarted one is given its old port and folder.
  package init(port: Int = 0, folder: URL? = nil) async throws {
    let folder = folder ?? URL(fileURLWithPath: "/tmp/af-received-\(UInt32.random(in: 0...UInt32.max))")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    let child = try ChildProcess(
      Checkout.program, ["serve", "--listen", "127.0.0.1:\(port)", "--out", folder.path, "--json"])
    guard let line = await child.line(within: 10, where: { $0.contains("ws://") }),
      let match = line.firstMatch(of: /ws:\/\/127\.0\.0\.1:([0-9]+)/), let chosen = Int(match.1)
    else {
      await child.end()
      throw TestKitError("audiofork serve does not listen: \(child.lines)")
    }
    self.child = child
    self.folder = folder
    self.port = chosen
  }

  package func url(_ path: String = "x") -> String { "ws://127.0.0.1:\(port)/\(path)" }

  /// Events printed so far.
  package var lines: [String] { child.lines }

  package func end() async { await child.end() }
  package func signal(_ number: Int32) { child.signal(number) }
  /// Waits for its end after a signal.
  package func ended(within seconds: Double = 5) async -> Bool { await child.exitStatus(within: seconds) != nil }

  /// The recordings whose name contains the text, in order of their connection, with their samples.
  package func recordings(_ text: String = "") throws -> [(name: String, samples: [Int16])] {
    let names = try FileManager.default.contentsOfDirectory(atPath: folder.path)
      .filter { $0.hasSuffix(".wav") && $0.contains(text) }
    let dated = try names.map { name in
      let path = folder.appending(path: name).path
      var status = stat()
      guard stat(path, &status) == 0 else { throw TestKitError("\(path) is gone") }
      return (name: name, samples: try wavSamples(path))
    }
    return dated.sorted { $0.name < $1.name }
  }

  /// Waits until every connection whose recording's name contains the text is over, and there are `count` of them.
  package func ended(_ count: Int, _ text: String = "", within seconds: Double) async -> Bool {
    await becomesTrue(within: seconds) {
      self.child.lines.filter { $0.contains("\"ended\"") && (text.isEmpty || $0.contains(text)) }.count >= count
    }
  }

  package func remove() async {
    await end()
    try? FileManager.default.removeItem(at: folder)
  }
}

/// The samples of a plain 16-bit PCM file. An own few lines, so that a recording is not judged by its writer.
package func wavSamples(_ path: String) throws -> [Int16] {
  guard let bytes = FileManager.default.contents(atPath: path).map([UInt8].init), bytes.count >= 44 else {
    throw TestKitError("\(path) is no WAV file")
  }
  func number(_ at: Int, _ count: Int) -> Int { (0..<count).reduce(0) { $0 | Int(bytes[at + $1]) << (8 * $1) } }
  guard bytes[0..<4].elementsEqual("RIFF".utf8), bytes[8..<12].elementsEqual("WAVE".utf8) else {
    throw TestKitError("\(path) is no WAV file")
  }
  var at = 12
  while at + 8 <= bytes.count {
    let length = number(at + 4, 4)
    if bytes[at..<(at + 4)].elementsEqual("data".utf8) {
      let end = min(at + 8 + length, bytes.count)
      return stride(from: at + 8, to: end - 1, by: 2).map { Int16(truncatingIfNeeded: number($0, 2)) }
    }
    at += 8 + length + length % 2
  }
  throw TestKitError("\(path) has no audio")
}
