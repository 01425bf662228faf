// SPDX-License-Identifier: Apache-2.0
package import AudioForkLink
package import AudioForkMedia

/// Records which part of a fork's stream was sent, which is confirmed, and which gaps were reported, over all
/// connections and engines. No I/O and no clock: it starts from a `CursorRecord` and makes one when something has to be
/// saved.
///
/// Marks passed in must not lie before the confirmed position. Positions that a server names may.
package struct DeliveryLog {
  /// A place in the stream to which delivery can return.
  package struct Mark: Sendable, Equatable {
    package var checkpoint: Checkpoint
    /// When the last block before it became decidable.
    package var completedAt: StreamTime
    /// Ranges of fill and muted audio before it that may not have been sent to the server.
    package var ranges: [StreamRange]

    package init(checkpoint: Checkpoint, completedAt: StreamTime, ranges: [StreamRange] = []) {
      self.checkpoint = checkpoint
      self.completedAt = completedAt
      self.ranges = ranges
    }

    package var position: Position { checkpoint.position }
  }

  /// Totals that only ever grow, over all engines.
  package struct Totals: Sendable, Equatable {
    /// Connections that were opened.
    package var connections: UInt64 = 0
    /// Audio bytes written to sockets, repeats included.
    package var bytes: UInt64 = 0
    /// Text messages of the server that were dropped.
    package var textsDropped: UInt64 = 0

    package init(connections: UInt64 = 0, bytes: UInt64 = 0, textsDropped: UInt64 = 0) {
      self.connections = connections
      self.bytes = bytes
      self.textsDropped = textsDropped
    }

    package var reconnects: UInt64 { connections > 0 ? connections &- 1 : 0 }
  }

  private var window: DeliveryWindow<Mark>
  package var gaps: GapLedger
  package var totals: Totals
  package var ponged: EndpointSet
  /// Endpoints that have accepted the fork; nil: an earlier release did not save them.
  package var accepted: EndpointSet?
  /// The outage in which the fork is.
  package var outage: SavedOutage?
  /// For each endpoint: connections in a row that ended because it did not answer. Shorter where the rest is 0.
  package var silences: [UInt8]
  /// Whether the log continues an earlier engine's.
  package let isResumed: Bool

  /// Continues at the record's checkpoint. Begins at `start` if there is none, or one of another configuration.
  package init(_ record: CursorRecord = CursorRecord(), start: Checkpoint) {
    if let checkpoint = record.checkpoint, checkpoint.configuration == start.configuration {
      isResumed = true
      window = DeliveryWindow(
        confirmed: Mark(checkpoint: checkpoint, completedAt: record.completedAt), position: checkpoint.position)
    } else {
      isResumed = false
      window = DeliveryWindow(confirmed: Mark(checkpoint: start, completedAt: .zero), position: start.position)
    }
    gaps = GapLedger(record, keepsSkipped: isResumed)
    ponged = record.ponged
    accepted = record.accepted
    outage = record.outage
    silences = record.silences
    totals = Totals(connections: record.connections, bytes: record.bytes, textsDropped: record.textsDropped)
  }

  /// Returns the record for the cursor file. `decisions`: clock decisions since the confirmed mark.
  package func record(_ decisions: [ClockDecision]) -> CursorRecord {
    var record = CursorRecord()
    record.checkpoint = confirmed.checkpoint.withClockDecisions(decisions)
    record.completedAt = confirmed.completedAt
    record.connections = totals.connections
    record.bytes = totals.bytes
    record.textsDropped = totals.textsDropped
    record.gaps = gaps.count
    record.reportedIn = gaps.reportedIn
    record.reportedOut = gaps.reportedOut
    record.skipped = gaps.skipped
    record.ponged = ponged
    record.accepted = accepted
    record.outage = outage
    record.silences = silences
    return record
  }

  // MARK: - What is confirmed

  /// The newest confirmed mark. A replay begins there.
  package var confirmed: Mark { window.confirmed }

  /// Position of the confirmed mark. Cheaper than `confirmed`, which is large.
  package var confirmedPosition: Position { window.confirmedPosition }

  /// Confirms the marks that are old enough and that the server's kernel has acknowledged. `acknowledged`: acknowledged
  /// bytes of this connection; nil if unknown. Returns whether there were any.
  package mutating func confirm(now: MonotonicTime, acknowledged: UInt64?) -> Bool {
    guard window.confirm(now: now, acknowledged: acknowledged) else { return false }
    forgetConfirmed()
    return true
  }

  /// Confirms the marks up to `position`, which the server says it has reached. Returns whether there were any.
  package mutating func confirm(position: Position) -> Bool {
    guard window.confirm(position: position) else { return false }
    forgetConfirmed()
    return true
  }

  /// Confirms everything up to `mark`, which is where the stream is now.
  package mutating func confirmAll(at mark: Mark) {
    advanceConfirmed(to: mark)
    forgetConfirmed()
  }

  /// Moves the confirmed mark to `mark`, after the stream has skipped audio that the server has already. Saving can
  /// wait, because the server tells the next engine again what it has.
  package mutating func advanceConfirmed(to mark: Mark) {
    assert(mark.position >= confirmedPosition, "the stream is behind its confirmed position")
    window = DeliveryWindow(confirmed: mark, position: mark.position)
  }

  /// Whether `confirm(now:acknowledged:)` could confirm anything.
  package func isConfirmationDue(now: MonotonicTime) -> Bool { window.isDue(now: now) }

  private mutating func forgetConfirmed() { gaps.forget(before: window.confirmed.checkpoint.counters) }

  // MARK: - What is sent

  /// Whether the last mark is old enough for a new one.
  package func wantsMark(now: MonotonicTime) -> Bool { window.wantsMark(now: now) }

  /// Records that everything before `mark` was sent, as the first `offset` bytes of this connection. `isWhole`: so were
  /// all ranges before it, and the mark can be confirmed. Other marks only serve to resume at.
  package mutating func recordSent(_ mark: Mark, now: MonotonicTime, offset: UInt64, isWhole: Bool = true) {
    assert(mark.position >= confirmedPosition, "audio was sent that is confirmed already")
    window.record(mark, position: mark.position, now: now, offset: offset, isWhole: isWhole)
  }

  // MARK: - Connections

  /// The connection is lost. Its marks are kept until the next connection begins, for a server that says where to
  /// resume.
  package mutating func connectionLost() { window.reset() }

  /// A connection begins. `position`: the server says that it has everything before it; nil if it does not say. Returns
  /// whether that confirmed anything. If so, the stream has to go to the confirmed mark.
  package mutating func resume(at position: Position?) -> Bool {
    guard window.resume(at: position) else { return false }
    forgetConfirmed()
    return true
  }

  /// Counts as lost what was sent and is not confirmed, and confirms everything up to `mark`, where the stream is now.
  /// The audio between is not sent again.
  package mutating func skipUnconfirmed(to mark: Mark) {
    gaps.reportNoted()
    let sent = mark.checkpoint.counters
    for gap in unconfirmed(until: (sent.in.accounted, sent.out.accounted), reason: .unconfirmed) { gaps.skip(gap) }
    confirmAll(at: mark)
  }

  /// The fork ends here: counts as lost everything that was captured and is not confirmed. Pass 0 for a direction that
  /// the fork does not carry.
  package mutating func abandon(capturedIn: UInt64, capturedOut: UInt64) {
    gaps.note(unconfirmed(until: (capturedIn, capturedOut), reason: .undelivered))
    gaps.reportNoted()
  }

  /// Returns the captured samples from the confirmed mark to these, as a gap for each direction that has any.
  private func unconfirmed(until end: (in: UInt64, out: UInt64), reason: Gap.Reason) -> [Gap] {
    let from = confirmed.checkpoint
    return [(Direction.in, end.in), (.out, end.out)].compactMap { direction, end in
      let start = from.counters[direction].accounted
      guard end > start else { return nil }
      return Gap(direction: direction, start: start, count: end &- start, reason: reason, position: from.position)
    }
  }

  // MARK: - Totals

  /// Returns the totals that follow from the log. `rendered`: totals of the stream at its current position.
  package func counters(rendered: RenderCounters) -> ForkCounters {
    var counters = ForkCounters()
    counters.position = rendered.position.frames
    counters.fill = rendered.fill
    counters.lost = gaps.lost(rendered: rendered)
    counters.gaps = gaps.count
    counters.reconnects = totals.reconnects
    counters.bytes = totals.bytes
    counters.dropped = totals.textsDropped
    counters.confirmed = confirmedPosition.frames
    let confirmed = window.confirmed.checkpoint.counters
    counters.delivered = confirmed.rendered &- gaps.skipped
    counters.accountedIn = confirmed.in.accounted
    counters.accountedOut = confirmed.out.accounted
    return counters
  }
}
