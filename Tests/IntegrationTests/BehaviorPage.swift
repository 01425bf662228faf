// SPDX-License-Identifier: Apache-2.0
import AsteriskTestKit
import AudioForkTestKit
import Foundation
import Testing

extension IntegrationTests {
  /// docs/reference/behavior.md, for its examples.
  struct BehaviorPage {
    private let lines: [Substring]

    init() throws {
      let url = Checkout.root.appending(path: "docs/reference/behavior.md")
      lines = try String(contentsOf: url, encoding: .utf8).split(separator: "\n", omittingEmptySubsequences: false)
    }

    /// The example whose first line begins so, for a server at a port.
    func example(_ begin: String) throws -> (_ port: Int) -> String {
      let indent = "    "
      let first = try #require(lines.firstIndex { $0.hasPrefix(indent + begin) }, "no example \(begin)")
      let text = lines[first...].prefix { $0.hasPrefix(indent) }.map { $0.dropFirst(indent.count) + "\n" }.joined()
      return { port in text.replacing("127.0.0.1:8080", with: "127.0.0.1:\(port)") }
    }
  }

  /// How many samples are louder than any fill.
  static func loudSamples(_ samples: some Sequence<Int16>) -> Int {
    samples.reduce(0) { $0 + ($1.magnitude > 300 ? 1 : 0) }
  }
}
