// SPDX-License-Identifier: Apache-2.0
package import AudioForkMedia

/// An outage as the cursor keeps it for the next engine. Its times are of CLOCK_MONOTONIC, which all processes share.
package struct SavedOutage: Equatable, Sendable {
  /// Attempts started in it.
  package var attempts: Int
  /// When it began, moved on by the time that connections in it held.
  package var began: MonotonicTime
  /// When the server last closed without a code, within the last minute.
  package var emptyCloseAt: MonotonicTime?
  /// Since when there has been a connection again; nil: there is none.
  package var connectedSince: MonotonicTime?

  package init(
    attempts: Int, began: MonotonicTime, emptyCloseAt: MonotonicTime? = nil, connectedSince: MonotonicTime? = nil
  ) {
    self.attempts = attempts
    self.began = began
    self.emptyCloseAt = emptyCloseAt
    self.connectedSince = connectedSince
  }
}
