// SPDX-License-Identifier: Apache-2.0

/// How a connection ended.
package struct StreamEnding: Equatable, Sendable {
  /// Who ended it.
  package enum Side: String, Equatable, Sendable {
    /// The client sent a Close.
    case client
    /// This server sent a Close first: it stops, cannot write, or the client broke a rule.
    case server
    /// The TCP connection ended without a Close.
    case lost
  }

  package let side: Side
  /// The code in the Close frame; 1005 for a Close without one, 1006 where there was no Close (RFC 6455, 7.4.1).
  package let code: UInt16
  /// The reason in the Close frame; often empty.
  package let reason: String

  package init(side: Side, code: UInt16, reason: String) {
    self.side = side
    self.code = code
    self.reason = reason
  }
}
