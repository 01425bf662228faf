// SPDX-License-Identifier: Apache-2.0
internal import AudioForkMedia

/// A fork whose files cannot be opened at the moment: another engine still holds the cursor, or the system lacks
/// something.
struct PendingFork {
  var isClosed: Bool
  /// The newest generation of its ring that is known.
  var generation: UInt32
  /// Where its files are.
  let directory: String
  /// Whether a dead Asterisk left it.
  let isAdopted: Bool
  /// Until when nothing is said about a cursor that is held, and nothing given up.
  var deadline: MonotonicTime
  /// What is in its ring is all there will be.
  var isOrphaned: Bool
  var hasComplained = false
}
