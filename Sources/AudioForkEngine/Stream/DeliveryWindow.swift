// SPDX-License-Identifier: Apache-2.0
package import AudioForkMedia

/// The marks of one connection: which were sent when, and which one is confirmed.
///
/// A mark (in the engine the renderer's checkpoint) is a place at a block boundary where the stream can continue, even
/// if the audio before it is no longer in the ring. Marks are taken every `spacing`, with each ping, and with each
/// block for a server that acknowledges. `ConfirmationLevel` decides what confirms them: `confirm(position:)` for a
/// pong or an `ack`, `confirm(now:acknowledged:)` for the age of the mark and what the server's kernel has
/// acknowledged. After a break the stream continues from the confirmed mark.
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

  /// Minimum time between two marks.
  package static var spacing: Nanoseconds { .milliseconds(50) }
  /// Minimum age of a mark that the server's kernel confirms.
  package static var age: Nanoseconds { .milliseconds(200) }
  /// Maximum number of marks: more than a socket's buffers hold, and more than five seconds of blocks. Beyond it the
  /// newest mark is replaced.
  package static var sentMax: Int { 256 }

  /// The newest confirmed mark.
  package private(set) var confirmed: Mark
  /// Position of the confirmed mark. Read for each block, where copying the whole mark would be slow.
  package private(set) var confirmedPosition: Position
  private var sent: [Sent] = []
  /// Marks of the lost connection, for a server that says where to resume.
  private var previous: [Sent] = []

  /// Begins at a confirmed mark: the fork's start, or the one that an earlier engine saved.
  package init(confirmed: Mark, position: Position = .zero) {
    self.confirmed = confirmed
    confirmedPosition = position
  }

  /// The newest mark of this connection; the confirmed one if there is none.
  package var newest: Mark { sent.last?.mark ?? confirmed }

  /// Whether the last mark is old enough for a new one.
  package func wantsMark(now: MonotonicTime) -> Bool {
    guard let last = sent.last else { return true }
    return now - last.at >= Self.spacing
  }

  /// Records that everything before `mark`, at `position` of the stream, was sent as the first `offset` bytes of this
  /// connection.
  ///
  /// `isWhole`: so were all markers that belong to this audio. Only such a mark can be confirmed; others serve to
  /// resume at. A mark at the position of the last one is ignored, unless it is whole and the last one is not.
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

  /// Whether the oldest mark is old enough to be confirmed by the server's kernel.
  package func isDue(now: MonotonicTime) -> Bool {
    guard let first = sent.first else { return false }
    return now - first.at >= Self.age
  }

  /// Confirms the marks that are old enough and within `acknowledged` bytes (nil: unknown). Returns whether there were
  /// any.
  package mutating func confirm(now: MonotonicTime, acknowledged: UInt64?) -> Bool {
    var count = 0
    for entry in sent {
      guard now - entry.at >= Self.age, entry.offset <= acknowledged ?? .max else { break }
      count += 1
    }
    return confirm(first: count)
  }

  /// Confirms the marks up to this position, because the server has everything before it. Returns whether there were
  /// any.
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

  /// The connection is lost. The stream continues from the confirmed mark.
  package mutating func reset() {
    if !sent.isEmpty { previous = sent }
    sent = []
  }

  /// A connection begins. `position`: the server says that it has everything before it; nil if it does not say. Returns
  /// whether that confirmed a mark of the last connection. Those marks are dropped afterwards.
  package mutating func resume(at position: Position?) -> Bool {
    defer { previous = [] }
    guard let position, let last = previous.last(where: { $0.position <= position }) else { return false }
    confirmed = last.mark
    confirmedPosition = last.position
    return true
  }
}
