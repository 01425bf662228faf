// SPDX-License-Identifier: Apache-2.0
package import AudioForkMedia

/// What is known about the way of one connection's audio: which checkpoints were sent when, and which of them counts
/// as delivered.
///
/// A mark (the renderer's checkpoint in the engine) is taken at a block boundary, at most every `spacing`, behind each
/// ping, and behind each block for a server that says how far it came: the stream goes on at exactly that place, even
/// when what lies before it is not in the ring any more. What confirms a mark depends on what the server can say
/// (`ConfirmationLevel`): `confirm(position:)` is its
/// own word, a pong or an `ack`; `confirm(now:acknowledged:)` is the peer's kernel's, and age on a connection that
/// still lives. After a break the stream goes on from the confirmed mark.
package struct DeliveryWindow<Mark> {
  private struct Sent {
    var mark: Mark
    /// Position of the stream at the mark.
    var position: Position
    var at: MonotonicTime
    /// Bytes of the connection up to and with this mark.
    var offset: UInt64
    var isWhole: Bool
  }

  package static var spacing: Nanoseconds { .milliseconds(50) }
  package static var age: Nanoseconds { .milliseconds(200) }
  /// More than a socket's buffers hold, and than five seconds of blocks; beyond it marks get coarser, so that memory
  /// stays bounded.
  package static var sentMax: Int { 256 }

  /// The newest mark that counts as delivered.
  package private(set) var confirmed: Mark
  /// Its position: asked for with each block, where the whole mark would be copied.
  package private(set) var confirmedPosition: Position
  private var sent: [Sent] = []
  /// Marks of a connection that is gone; a server that says how far it came makes use of them.
  private var left: [Sent] = []

  /// Begins at a mark that counts as delivered: the fork's start, or what an earlier engine left.
  package init(confirmed: Mark, position: Position = .zero) {
    self.confirmed = confirmed
    confirmedPosition = position
  }

  /// Whether a mark sent now would be far enough from the last one to be worth keeping.
  package func wantsMark(now: MonotonicTime) -> Bool {
    guard let last = sent.last else { return true }
    return now - last.at >= Self.spacing
  }

  /// Notes that all before `mark`, at `position` of the stream, has been sent: `offset` bytes on this connection, at
  /// `now`. One at the same position as the last replaces it only where
  /// that was not whole and this one is. `isWhole`: the server has also been told
  /// what belongs to the audio before it; only such a mark counts as delivered, and the others serve to resume at.
  package mutating func record(
    _ mark: Mark, position: Position, now: MonotonicTime, offset: UInt64, isWhole: Bool = true
  ) {
    if let last = sent.last, last.position == position {
      guard isWhole, !last.isWhole else { return }
      sent.removeLast()
    }
    if sent.count >= Self.sentMax { sent.removeLast() }
    sent.append(Sent(mark: mark, position: position, at: now, offset: offset, isWhole: isWhole))
  }

  /// Whether the oldest mark is old enough, so that it is worth asking what was acknowledged.
  package func isDue(now: MonotonicTime) -> Bool {
    guard let first = sent.first else { return false }
    return now - first.at >= Self.age
  }

  /// Confirms what `now` and the bytes acknowledged by the peer's kernel (nil: unknown) allow. True where something
  /// was.
  package mutating func confirm(now: MonotonicTime, acknowledged: UInt64?) -> Bool {
    var count = 0
    for entry in sent {
      guard now - entry.at >= Self.age, entry.offset <= acknowledged ?? .max else { break }
      count += 1
    }
    return confirm(first: count)
  }

  /// Confirms the marks up to this position of the stream: the server has said that it has all before it. True where
  /// there was one.
  package mutating func confirm(position: Position) -> Bool {
    confirm(first: sent.prefix { $0.position <= position }.count)
  }

  private mutating func confirm(first count: Int) -> Bool {
    guard let last = sent.prefix(count).lastIndex(where: \.isWhole) else { return false }
    confirmed = sent[last].mark
    confirmedPosition = sent[last].position
    sent.removeFirst(last + 1)
    return true
  }

  /// The connection is gone: what it was sent counts as lost, `confirmed` is where to go on.
  package mutating func reset() {
    if !sent.isEmpty { left = sent }
    sent = []
  }

  /// A new connection begins, and its server says that it has all before this position: true where that confirmed
  /// something. Without a word of the server (nil) the marks of the last connection are of no use any more.
  package mutating func resume(at position: Position?) -> Bool {
    defer { left = [] }
    guard let position, let last = left.last(where: { $0.position <= position }) else { return false }
    confirmed = last.mark
    confirmedPosition = last.position
    return true
  }
}
