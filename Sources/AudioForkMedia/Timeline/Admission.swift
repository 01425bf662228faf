// SPDX-License-Identifier: Apache-2.0

/// An entry's place in the stream, in wire-rate sample frames since the epoch.
struct Placement {
  var start: Int64
  var frames: Int
  /// Leading frames that the stream passed before a break.
  var rendered: Int
}

/// Reads entries in the ring's order: which one is next, and which of them a stream that was resumed has seen before.
///
/// A resumed stream reads the ring again from the oldest entry that it has not passed entirely. Until it comes to the
/// first entry that its checkpoint did not know, it is in replay: nothing is decided.
struct Admission {
  /// What an entry is to a stream that has come to it.
  struct Reading {
    /// Leading frames that the stream passed before a break.
    var rendered: Int
    /// False in a replay: decisions know of it already.
    var isNew: Bool
  }

  /// The next entry to read.
  private(set) var nextSequence: UInt64 = 0
  /// The checkpoint of a replay that is not over.
  private(set) var replaying: Checkpoint?

  init() {}

  init(resumingAt checkpoint: Checkpoint) {
    nextSequence = checkpoint.oldestSequence
    if nextSequence < checkpoint.sequence { replaying = checkpoint }
  }

  /// Goes on behind the entry. Returns nil for one that the stream has passed.
  mutating func read(_ entry: CapturedEntry) -> Reading? {
    guard entry.sequence >= nextSequence else { return nil }
    nextSequence = entry.sequence &+ 1
    defer { endReplayWhenReached() }
    guard let replaying, entry.sequence < replaying.sequence else { return Reading(rendered: 0, isNew: true) }
    let first = replaying[entry.direction].firstSequence
    guard entry.sequence >= first else { return nil }
    let rendered = entry.sequence == first ? replaying[entry.direction].renderedOfFirst : 0
    return Reading(rendered: rendered, isNew: false)
  }

  /// Goes on at a later entry.
  mutating func skip(to sequence: UInt64) {
    guard sequence > nextSequence else { return }
    nextSequence = sequence
    endReplayWhenReached()
  }

  /// Capture has ended: there is nothing more to wait for.
  mutating func endReplay() { replaying = nil }

  private mutating func endReplayWhenReached() {
    if let replaying, nextSequence >= replaying.sequence { self.replaying = nil }
  }
}
