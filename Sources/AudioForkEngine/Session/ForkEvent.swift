// SPDX-License-Identifier: Apache-2.0
package import AudioForkLink
package import AudioForkMedia

/// What happens to a fork: the inputs of `ForkStateMachine`.
package enum ForkEvent: Equatable, Sendable {
  case started
  case connected
  /// An attempt to connect failed. `wait`: how long the server wants to be left alone before the next one.
  /// `isRepeated`: the next attempt goes to an endpoint that was tried since the last wait.
  case attemptFailed(String, FailureVerdict = .passing, wait: Duration = .zero, isRepeated: Bool = false)
  /// The connection broke, or the server closed it and the fork continues. `silentFor`: it was left because the server
  /// had not answered for so long. That time does not count as connected.
  case disconnected(String, silentFor: Nanoseconds = .zero)
  /// The server closed with 1000, also in answer to an attempt.
  case closedByServer
  /// The server closed without a code. The reason is that of the outage, if it becomes one. In answer to an attempt,
  /// `wait` and `isRepeated` are as in `attemptFailed`.
  case closedWithoutCode(String, wait: Duration = .zero, isRepeated: Bool = false)
  /// The server closed the connection, and said that it will not take another one.
  case refused(String)
  case retryTimerFired
  case captureClosed
  /// Capture has ended and everything was sent. `isAcknowledged`: the server's side has acknowledged all of it. False:
  /// our kernel does not count acknowledgements, so that only the answer to our Close can show it.
  case drained(isAcknowledged: Bool)
  case drainDeadlinePassed
  /// The server answered our Close.
  case closeCompleted
  /// The ring cannot be read any further.
  case broken(String)
  /// The engine stops.
  case shutdown
  /// The module has no row for the fork any more.
  case forgotten
}

/// What the owner of `ForkStateMachine` does next, in the order in which the machine returns it.
package enum ForkAction: Equatable, Sendable {
  case connect
  case scheduleRetry(after: Duration)
  case cancelRetry
  case scheduleDrainDeadline(after: Duration)
  /// The connection is open: send audio from the confirmed position on.
  case stream
  /// Send the dialect's ending and Close 1000, and wait for the answer. `closeCompleted` or `disconnected` follows.
  case close
  /// Drop the connection or the attempt. No event follows.
  case drop
  case outageBegan(reason: String)
  /// A connection of the outage has broken too. `breaks`: connections that have broken in it so far. `wait`: until the
  /// next attempt.
  case brokeAgain(reason: String, breaks: Int, wait: Duration)
  case outageOver(attempts: Int)
  /// The state has a new name. Tell the module.
  case report(ForkStateName)
  /// The fork has ended. No action follows.
  case end(ForkEnding)
}

/// What a failed attempt to connect means for the fork.
package enum FailureVerdict: Hashable, Sendable {
  /// An outage like any other.
  case passing
  /// The server refused; a later attempt may succeed.
  case refused
  /// Every endpoint has refused for good.
  case hopeless
}
