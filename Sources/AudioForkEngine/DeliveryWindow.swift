// SPDX-License-Identifier: Apache-2.0

/// What is known about the way of one connection's audio: which checkpoints were sent when, and which of them counts
/// as delivered.
///
/// A mark (the renderer's checkpoint in the engine) is taken at a block boundary, at most every `spacing`. It is
/// confirmed when its last byte was sent at least `age` ago on a connection that still lives, and the peer's kernel
/// has acknowledged it where that is known. After a break the stream goes on from the confirmed mark: what is
/// repeated is at most what was sent since, so about `age` + `spacing` on a connection that keeps up.
package struct DeliveryWindow<Mark> {
  private struct Sent {
    var mark: Mark
    var at: Int64
    /// Bytes of the connection up to and with this mark.
    var offset: UInt64
  }

  package static var spacingNanoseconds: Int64 { 50_000_000 }
  package static var ageNanoseconds: Int64 { 200_000_000 }
  /// More than a socket's buffers hold; beyond it marks get coarser, so that memory stays bounded.
  package static var sentMax: Int { 128 }

  /// The newest mark that counts as delivered.
  package private(set) var confirmed: Mark
  private var sent: [Sent] = []

  /// Begins at a mark that counts as delivered: the fork's start, or what an earlier engine left.
  package init(confirmed: Mark) { self.confirmed = confirmed }

  /// Whether a mark sent now would be far enough from the last one to be worth keeping.
  package func wantsMark(now: Int64) -> Bool {
    guard let last = sent.last else { return true }
    return now &- last.at >= Self.spacingNanoseconds
  }

  /// Notes that all before `mark` has been sent: `offset` bytes on this connection, at `now` nanoseconds.
  package mutating func record(_ mark: Mark, now: Int64, offset: UInt64) {
    if sent.count >= Self.sentMax { sent.removeLast() }
    sent.append(Sent(mark: mark, at: now, offset: offset))
  }

  /// Whether the oldest mark is old enough, so that it is worth asking what was acknowledged.
  package func isDue(now: Int64) -> Bool {
    guard let first = sent.first else { return false }
    return now &- first.at >= Self.ageNanoseconds
  }

  /// Confirms what `now` and the bytes acknowledged by the peer's kernel (nil: unknown) allow. True where something
  /// was.
  package mutating func confirm(now: Int64, acknowledged: UInt64?) -> Bool {
    var count = 0
    for entry in sent {
      guard now &- entry.at >= Self.ageNanoseconds, entry.offset <= acknowledged ?? .max else { break }
      confirmed = entry.mark
      count += 1
    }
    sent.removeFirst(count)
    return count > 0
  }

  /// The server has confirmed all of it by answering our Close behind it.
  package mutating func confirmAll() {
    if let last = sent.last { confirmed = last.mark }
    sent = []
  }

  /// The connection is gone: what it was sent counts as lost, `confirmed` is where to go on.
  package mutating func reset() { sent = [] }
}
