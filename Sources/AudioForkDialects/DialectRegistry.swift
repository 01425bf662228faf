// SPDX-License-Identifier: Apache-2.0
package import AudioForkSurface

/// The code of each dialect. `DialectTraits.all` has what users and the module know of them.
package enum DialectRegistry {
  private static let sessions: [(DialectName, any DialectSession.Type)] = [
    (.raw, RawDialect.self),
    (.audiofork, AudioForkDialect.self),
    (.vosk, VoskDialect.self),
  ]

  /// The sessions of a dialect. Each has an entry; a test sees to it.
  package static func session(of dialect: DialectName) -> any DialectSession.Type {
    sessions.first { $0.0 == dialect }?.1 ?? RawDialect.self
  }

  /// The dialects that have an entry.
  package static var dialects: [DialectName] { sessions.map(\.0) }
}
