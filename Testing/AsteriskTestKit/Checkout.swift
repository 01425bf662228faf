// SPDX-License-Identifier: Apache-2.0
package import Foundation

/// Where things are in the checkout and in its build folder.
package enum Checkout {
  /// The checkout's root.
  package static let root: URL = {
    var url = URL(fileURLWithPath: #filePath)
    for _ in 0..<3 { url.deleteLastPathComponent() }
    return url
  }()

  /// `scripts/NAME`.
  package static func script(_ name: String) -> String { root.appending(path: "scripts/\(name)").path }

  /// Where `scripts/test` wants a test's folders. It removes them when the test has passed, so that of one that failed
  /// Asterisk's log and all that arrived are left.
  package static let testFolder = ProcessInfo.processInfo.environment["AUDIOFORK_TEST_FOLDER"]

  /// Returns a name that is not in use for a folder of a test. Short, since Asterisk's socket lies in it.
  package static func folder(_ kind: String) -> URL {
    URL(fileURLWithPath: "\(testFolder ?? "/tmp")/af-\(kind)-\(UInt32.random(in: 0...UInt32.max))")
  }

  /// The receiver under test, and its tools: what `make` leaves, or what AUDIOFORK_PROGRAM names.
  package static let program: String =
    ProcessInfo.processInfo.environment["AUDIOFORK_PROGRAM"] ?? root.appending(path: "build/audiofork").path
  /// The engine under test: what `make` leaves, or what AUDIOFORK_ENGINE names.
  package static let engine: String =
    ProcessInfo.processInfo.environment["AUDIOFORK_ENGINE"] ?? root.appending(path: "build/audiofork-engine").path

  /// The module built for one of the sandbox's releases.
  package static func module(_ release: AsteriskRelease) -> String {
    root.appending(path: "build/asterisk-\(release.rawValue)/app_audiofork.so").path
  }
}

/// The releases of Asterisk that are tested.
package enum AsteriskRelease: String, Sendable, CaseIterable, CustomStringConvertible {
  case asterisk22 = "22"
  case asterisk16 = "16"
  package var description: String { "Asterisk \(rawValue)" }

  /// Those that AUDIOFORK_SUITES names ("22 16"), by default both.
  package static let tested: [AsteriskRelease] = {
    guard let names = ProcessInfo.processInfo.environment["AUDIOFORK_SUITES"] else { return allCases }
    return names.split(separator: " ").compactMap { AsteriskRelease(rawValue: String($0)) }
  }()
  /// The newest of them: for what lies between the engine and a server, which no release has a part in.
  package static let newest = Array(allCases.filter { tested.contains($0) }.prefix(1))
}
