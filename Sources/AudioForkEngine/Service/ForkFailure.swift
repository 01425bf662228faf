// SPDX-License-Identifier: Apache-2.0
internal import AudioForkRing

/// Why the engine cannot start a fork.
package struct ForkFailure: Error {
  /// Decides whether the fork is tried again.
  package enum Kind {
    /// Another engine holds the cursor, or a foreign file had its name. Try again soon.
    case inUse
    /// The system lacks descriptors, memory or room. Try again later.
    case lacking
    /// The file does not exist, or its writer has not finished it.
    case missing
    /// No engine can use these files. Remove them.
    case useless
  }

  /// The reason as in ENDED: a word, a colon and text.
  package let reason: String
  package var kind = Kind.useless

  init(reason: String, kind: Kind = .useless) {
    self.reason = reason
    self.kind = kind
  }

  init(_ what: String, _ error: RingError) {
    reason = "\(what): \(error.message)"
    kind =
      switch error.code {
      case .missing, .unfinished: .missing
      case .inUse: .inUse
      case .foreign, .version, .damaged: .useless
      case .notPermitted, .noSpace, .system: .lacking
      }
  }
}
