// SPDX-License-Identifier: Apache-2.0
package import NIOCore

/// Decides when this server sends its Close, when the end of a stream is told, and when the connection is closed
/// (RFC 6455 section 7). No I/O and no clock.
package struct CloseHandshake: Sendable {
  /// How long a client has to answer our Close.
  package static let closeDelay = TimeAmount.seconds(1)

  /// Our Close frame.
  private enum OwnClose {
    /// Can transition to sent.
    case unsent
    /// The client has `closeDelay` to answer. Can transition to expired.
    case sent
    /// It did not.
    case expired
  }

  /// The TCP connection.
  private enum Connection {
    /// Can transition to closing and closed.
    case open
    /// We have asked for its end. Can transition to closed.
    case closing
    case closed
  }

  /// How the connection ends, once that is known. The first cause counts.
  private(set) var ending: StreamEnding?
  private var isEndingTold = false
  private var ownClose = OwnClose.unsent
  private var isClosedByClient = false
  private var connection = Connection.open

  init() {}

  var isConnected: Bool { connection != .closed }
  /// Whether messages and pongs may be sent: nothing follows a Close (RFC 6455 section 5.5.1).
  var maySend: Bool { isConnected && ownClose == .unsent }

  /// The connection ends for this cause, unless there is an earlier one.
  mutating func end(_ side: StreamEnding.Side, _ code: UInt16, _ reason: String) {
    if ending == nil { ending = StreamEnding(side: side, code: code, reason: reason) }
  }

  /// The client sent a Close.
  mutating func clientClosed(code: UInt16?, reason: String) {
    isClosedByClient = true
    end(.client, code ?? 1005, reason)
  }

  /// Sends our Close now, before the file is complete; what the client still sends is recorded.
  mutating func closeFirst(code: UInt16, reason: String) -> [StreamAction] {
    end(.server, code, reason)
    ownClose = .sent
    return [.sendClose(code: code, reason: reason), .scheduleClose]
  }

  /// `closeDelay` has passed since our Close.
  mutating func closeDue() { ownClose = .expired }

  /// The TCP connection has ended.
  mutating func channelClosed() {
    connection = .closed
    end(.lost, 1006, "")
  }

  /// What follows once the file is complete.
  mutating func advance(_ actions: inout [StreamAction]) {
    guard let ending else { return }
    if maySend, ending.side != .lost {
      ownClose = .sent
      // 1005 and 1006 stand for "no code" and never go over the wire.
      let code = ending.code == 1005 ? nil : ending.code
      actions.append(.sendClose(code: code, reason: ending.side == .client ? "" : ending.reason))
      actions.append(.scheduleClose)
    }
    if !isEndingTold {
      isEndingTold = true
      actions.append(.ended(ending))
    }
    guard isConnected else { return }
    if ownClose == .expired || ending.side == .lost {
      connection = .closing
      actions.append(.abort)
    } else if isClosedByClient, connection == .open {
      connection = .closing
      actions.append(.closeAfterWrites)
    }
  }
}
