// SPDX-License-Identifier: Apache-2.0

/// Why a fork ended.
package enum ForkEnding: Hashable, Sendable {
  /// All captured audio was delivered: the server acknowledged the last byte, answered the Close that followed it, or
  /// closed in order after the last text.
  case delivered
  /// The server closed with 1000, or closed without a code and meant it (`ServerClose`): it wants no more audio.
  case closedByServer(ServerClose)
  /// The last of `r(n)` attempts failed, or the time for an outage was over. `after`: how long the outage took, without
  /// connections in it. The reason is that of the last failure.
  case unreachable(attempts: Int, after: Duration = .zero, reason: String)
  /// The server refused, and did not change its mind: 401, 403, 404 and the like.
  case refused(String)
  /// The time for draining was over. The reason is that of the last outage, if there was one.
  case drainExpired(String?)
  /// The ring cannot be read any further.
  case broken(String)
  /// The engine stops. The next engine continues the fork.
  case shutdown
  /// The module does not know the fork any more.
  case forgotten
}

/// How the server said that it wants no more audio.
package enum ServerClose: Hashable, Sendable {
  /// A Close with 1000.
  case normal
  /// A Close without a code, when no further attempt to connect was allowed.
  case withoutCode
  /// Two of them within a minute.
  case twiceWithoutCode
  /// One of them, and then it refused for this reason, as did every other endpoint.
  case withoutCodeThenRefused(String)
}
