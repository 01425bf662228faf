// SPDX-License-Identifier: Apache-2.0

/// Why a fork ended.
package enum ForkEnding: Hashable, Sendable {
  /// All captured audio was delivered: the server acknowledged the last byte, or answered the Close that followed it.
  case delivered
  /// The server closed with 1000: it wants no more audio.
  case closedByServer
  /// The last of `r(n)` attempts failed, for this reason.
  case unreachable(attempts: Int, reason: String)
  /// The server refused with an answer that will not change: 401, 403, 404 and the like.
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
