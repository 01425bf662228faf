// SPDX-License-Identifier: Apache-2.0
package import NIOCore

/// Decides what SIGTERM means. Without a clock: it says when to ask again.
///
/// systemd's `KillMode=control-group`, the default, sends SIGTERM to Asterisk and to the engine at once, and once more
/// to the engine when Asterisk has ended. The audio that Asterisk has captured is then to be delivered. Older modules
/// send SIGTERM to the engine alone, so that a new one starts. The link tells the two apart: it ends with Asterisk.
///
/// When the link has ended, or while its end is waited for, a further SIGTERM changes nothing: the forks are delivered
/// within their drain times, and systemd's SIGKILL ends what takes longer.
package struct Termination: Sendable {
  package enum Step: Equatable, Sendable {
    case nothing
    /// Serve on, and call `waited` after this time.
    case look(after: TimeAmount)
    /// Save the cursors and leave.
    case stop
  }

  /// How long the engine waits for the link's end after SIGTERM.
  package static let wait = TimeAmount.seconds(2)
  /// As `wait`, after the module's word that Asterisk is shutting down: Asterisk itself waits up to 15 s for its
  /// channels to hang up, and a second more.
  package static let shutdownWait = TimeAmount.seconds(20)

  private var isAsked = false
  private var isLinkOpen = true
  private var isAsteriskStopping = false
  private var hasWaitedLonger = false

  package init() {}

  package mutating func signalReceived() -> Step {
    guard !isAsked, isLinkOpen else { return .nothing }
    isAsked = true
    return .look(after: Termination.wait)
  }

  /// The module has said that Asterisk is shutting down.
  package mutating func asteriskStops() { isAsteriskStopping = true }

  /// The module, or Asterisk, has ended.
  package mutating func linkEnded() { isLinkOpen = false }

  /// The time of the last `look` is over.
  package mutating func waited() -> Step {
    guard isLinkOpen else { return .nothing }
    guard isAsteriskStopping, !hasWaitedLonger else { return .stop }
    hasWaitedLonger = true
    return .look(after: Termination.shutdownWait - Termination.wait)
  }
}
