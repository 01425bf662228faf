// SPDX-License-Identifier: Apache-2.0

/// How a session ended.
package enum SessionEnd: Equatable, Sendable {
  /// The server closed first; its code is nil where its Close frame had none.
  case closedByServer(code: UInt16?, reason: String)
  /// We closed first and the server answered, or closed with this code of its own at the same time.
  case closedByUs(code: UInt16?)
  /// Neither: the connection broke, the server broke the protocol, or our Close got no answer.
  case lost(String)
}
