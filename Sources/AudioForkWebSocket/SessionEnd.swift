// SPDX-License-Identifier: Apache-2.0

/// The phase of an open connection.
enum SessionPhase {
  case open
  /// Our Close is out.
  case closing
  case over
}

/// How a session ended.
package enum SessionEnd: Equatable, Sendable {
  /// The server closed first; its code is nil where its Close frame had none.
  case closedByServer(code: UInt16?, reason: String)
  /// We closed first and the server answered, or closed with this code of its own at the same time.
  case closedByUs(code: UInt16?)
  /// Neither: the connection broke, the server broke the protocol, or our Close got no answer.
  case lost(String)
}

/// How a session leaves its connection.
enum Farewell {
  /// At once.
  case none
  /// With a Close frame, without a code where the server's had none.
  case code(UInt16?)
  /// Both sides have sent a Close frame.
  case exchanged
}
