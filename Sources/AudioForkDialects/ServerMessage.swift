// SPDX-License-Identifier: Apache-2.0
package import AudioForkMedia

/// What a server's text message means.
package enum ServerMessage: Sendable, Equatable {
  /// For the dialplan.
  case text(String)
  /// Answer to the opening: the server has the stream up to this position.
  case resume(Position)
  /// The server has the stream up to this position.
  case acknowledged(Position, AcknowledgementLevel)
  /// Nothing that concerns the engine.
  case ignored
  /// The message breaks the dialect's rules. The text names it, for the log and the Close frame.
  case violation(String)
}

/// What a server has done with audio that it acknowledges.
package enum AcknowledgementLevel: String, Sendable, CaseIterable, Comparable {
  /// It has taken it: it survives the connection, and the server's process as far as the server can say.
  case received
  /// It is on the disk: it survives a crash of the machine.
  case persisted

  package static func < (first: Self, second: Self) -> Bool { first == .received && second == .persisted }
}
