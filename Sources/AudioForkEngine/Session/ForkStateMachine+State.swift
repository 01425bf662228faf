// SPDX-License-Identifier: Apache-2.0
package import AudioForkLink
package import AudioForkMedia

/// The states of a fork, and what they mean to others.
extension ForkStateMachine {
  /// State of the connection.
  package enum Link: Hashable, Sendable {
    /// An attempt is under way. No outage: it is the fork's first. Goes to: streaming, waiting, ended.
    case connecting(Outage?)
    /// Goes to: waiting, closing, ended.
    case streaming(Outage?, since: MonotonicTime)
    /// The retry timer runs. Goes to: connecting, ended.
    case waiting(Outage)

    var outage: Outage? {
      switch self {
      case .connecting(let outage), .streaming(let outage, _): outage
      case .waiting(let outage): outage
      }
    }
  }

  package enum State: Hashable, Sendable {
    /// Goes to: active, ended.
    case created
    /// Capture continues, or it has ended and the rest is being delivered. Goes to: closing, ended.
    case active(Link, isDraining: Bool)
    /// Everything is sent, and our Close. Goes to: ended. Goes to active (waiting) if the audio was not acknowledged
    /// and the connection breaks before the server answers our Close.
    case closing(Outage?, since: MonotonicTime, isAcknowledged: Bool)
    case ended(ForkEnding)
  }

  /// The state's name on the control link and in Asterisk's CLI.
  package var name: ForkStateName {
    switch state {
    case .created: .connecting
    case .active(_, isDraining: true), .closing: .draining
    case .active(.connecting, isDraining: false): .connecting
    case .active(.streaming, isDraining: false): .streaming
    case .active(.waiting, isDraining: false): .waiting
    case .ended: .ended
    }
  }

  /// Whether audio may be sent.
  package var isStreaming: Bool {
    if case .active(.streaming, _) = state { return true }
    return false
  }

  /// Whether an attempt to connect is under way.
  package var isConnecting: Bool {
    if case .active(.connecting, _) = state { return true }
    return false
  }

  /// Whether our Close was sent and only the server's answer can prove that the audio before it was delivered.
  package var awaitsAnswer: Bool {
    if case .closing(_, _, isAcknowledged: false) = state { return true }
    return false
  }

  /// Whether the fork has ended.
  package var isEnded: Bool {
    if case .ended = state { return true }
    return false
  }
}
