// SPDX-License-Identifier: Apache-2.0

/// What the confirmed position of a connection stands on (docs/reliability.md). It begins at `tcp` and rises with what
/// the server shows that it can say.
package enum ConfirmationLevel: String, Sendable, CaseIterable, Comparable {
  /// The peer's kernel has acknowledged the bytes.
  case tcp
  /// The peer's WebSocket stack has answered a ping that was sent behind them.
  case pong
  /// The peer's application has said so (`audiofork.v1`).
  case app

  package static func < (first: Self, second: Self) -> Bool { first.rank < second.rank }

  private var rank: Int {
    switch self {
    case .tcp: 0
    case .pong: 1
    case .app: 2
    }
  }
}
