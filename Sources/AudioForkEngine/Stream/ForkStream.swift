// SPDX-License-Identifier: Apache-2.0
package import AudioForkMedia
package import AudioForkDialects
package import AudioForkLink
package import AudioForkRing

/// A fork's audio on its way from the ring to the connection, and the cursor that follows it. Knows no network.
///
/// The owner takes blocks as fast as the connection accepts them. Without a connection it takes none, so that the ring
/// stays the only buffer. It then says what it has sent, confirms, and rewinds after a break. Each job has its type:
///  - `BlockReader` makes blocks of what the ring holds, or the spool if the ring has overwritten it,
///  - `DeliveryLog` knows what is sent, confirmed and missing,
///  - `StreamCursor` saves that for the next engine,
///  - `SpoolTrigger` says when the spool copies the ring.
///
/// Not Sendable: one owner, one event loop.
package final class ForkStream {
  /// Capture places audio at most two seconds ahead of the clock. One more second for rounding.
  private static let aheadMax = Nanoseconds.seconds(3)

  private let spool: ForkSpool?
  private var spoolTrigger: SpoolTrigger
  private let scratch: RenderScratch
  private var reader: BlockReader
  private var log: DeliveryLog
  private var cursor: StreamCursor

  /// Continues where the cursor says, or begins at the epoch.
  package init(
    ring: RingReader, cursor: CursorFile?, configuration: RenderConfiguration, collectsMarkers: Bool = false,
    spool: ForkSpool? = nil, bufferSeconds: Int = 10, scratch: RenderScratch = RenderScratch()
  ) {
    self.scratch = scratch
    self.spool = spool
    spoolTrigger = SpoolTrigger(bufferSeconds: bufferSeconds)
    self.cursor = StreamCursor(cursor)
    reader = BlockReader(
      ring: ring, spool: spool, configuration: configuration, collectsMarkers: collectsMarkers, scratch: scratch)
    log = DeliveryLog(self.cursor.load(), start: reader.mark.checkpoint)
    if log.isResumed { reader.resume(at: log.confirmed) }
  }

  /// Why the ring cannot be read any further.
  package struct Broken: Error, Equatable {
    package let reason: String
  }

  /// Whether capture has ended.
  package var isCaptureClosed: Bool { reader.isCaptureClosed }

  /// How long ago capture ended; zero while it continues.
  package func sinceCaptureClosed(now: StreamTime) -> Duration {
    reader.ring.closedAt.map { max(.zero, now - $0).duration } ?? .zero
  }

  /// The module no longer writes the ring, although the ring may not say so.
  package var isOrphaned: Bool {
    get { reader.isOrphaned }
    set { reader.isOrphaned = newValue }
  }

  /// Saving the cursor failed (a full tmpfs). The owner reports it once.
  package var cursorFailed: Bool { cursor.hasFailed }

  // MARK: - Taking blocks

  /// Returns the next block, with its samples in `samples`; nil if none is decidable now, or ever (`isDrained`).
  ///
  /// `isFurther`: a block was just taken at this time, so that only what is published needs to be looked at.
  package func nextBlock(now: StreamTime, isFurther: Bool = false) throws(Broken) -> RenderedBlock? {
    let block = try reader.next(now: now, isFurther: isFurther, log: &log)
    if reader.hasUnsavedDecisions { save() }
    return block
  }

  /// Samples of the block that `nextBlock` returned last. They are valid until the next block is taken from this stream
  /// or from another one with the same scratch.
  package var samples: [Int16] { scratch.samples }

  /// When the newest block taken became decidable.
  package var completedAt: StreamTime { reader.completedAt }

  /// Capture has ended and every block has been taken.
  package var isDrained: Bool { reader.isDrained }

  /// Prefetches the entries of the next block.
  package func prefetch() { reader.ring.prefetch(reader.nextSequence) }

  /// Has the spool copy what the ring will overwrite before it is confirmed. Call it at each tick, connected or not.
  package func keepSpool(now: StreamTime) {
    guard let spool else { return }
    let ring = reader.ring
    let confirmed = log.confirmed
    // A replay reads entries again that wait for the other direction, or that the stream contains in part.
    let oldest = confirmed.checkpoint.oldestSequence
    spool.release(before: oldest)
    let copies = spoolTrigger.update(
      now: now, confirmedAt: confirmed.completedAt, isWaiting: ring.published > oldest, isClosed: ring.closedAt != nil)
    if copies { spool.copy(from: ring, oldest: oldest, now: now) }
    spool.tick(now: now)
  }

  // MARK: - What the server and the module are told

  /// Gaps and digits for the server, in the stream's order. They belong before the block that was taken last.
  package func takeMarkers() -> [StreamMarker] { reader.markers.take() }

  /// Fill and muted audio for the server, of about a second of the stream at a time. `all`: whatever there is.
  package func takeRanges(all: Bool) -> [StreamMarker] { reader.takeRanges(all: all) }

  /// Gaps that the stream has passed and that have not been reported, not even by an earlier engine. They are saved
  /// before they are returned.
  package func takeNewGaps() -> [Gap] {
    if log.gaps.reportMet() { save() }
    return log.gaps.take()
  }

  /// The fork ends here: returns everything that was captured and is not confirmed, as gaps, and goes back to the
  /// confirmed mark. From now on delivered and lost samples together are the captured ones.
  ///
  /// None of it is saved: if this engine dies before it has reported the end, the next one continues the fork.
  package func abandonRest() -> [Gap] {
    rewind()
    log.abandon(capturedIn: captured(.in), capturedOut: captured(.out))
    return log.gaps.take()
  }

  /// Captured samples of a direction that the fork carries; 0 for the other one.
  private func captured(_ direction: Direction) -> UInt64 {
    reader.configuration.directions.contains(direction) ? reader.ring.captured(direction) : 0
  }

  // MARK: - Delivery

  /// Position of the next block.
  package var position: Position { reader.position }

  /// Position up to which delivery is confirmed.
  package var confirmedPosition: Position { log.confirmedPosition }

  /// Whether everything taken so far is confirmed.
  package var isAllConfirmed: Bool { confirmedPosition == position }

  /// Everything taken so far has been sent: `offset` bytes of this connection. `isBarrier`: exactly this place must be
  /// one that can be confirmed. `isTold`: the markers were sent before the audio to which they belong.
  package func sent(now: MonotonicTime, offset: UInt64, audioBytes: Int, isTold: Bool = true, isBarrier: Bool = false) {
    log.totals.bytes &+= UInt64(clamping: audioBytes)
    // A replay begins at a confirmed place. The server must have been told everything before that place.
    guard isBarrier || (log.wantsMark(now: now) && isTold && !reader.hasUntoldRanges) else { return }
    log.sent(reader.mark, now: now, offset: offset)
  }

  /// Like `sent`, to a server that answers pings: only its pongs confirm anything.
  package func sentBetweenPings(audioBytes: Int) { log.totals.bytes &+= UInt64(clamping: audioBytes) }

  /// The block taken last has been sent to a server that says how far it came, and that may say this place.
  package func sentBlock(now: MonotonicTime, offset: UInt64, audioBytes: Int) {
    log.totals.bytes &+= UInt64(clamping: audioBytes)
    log.sent(reader.mark, now: now, offset: offset, isWhole: !reader.hasUntoldRanges)
  }

  /// Whether `confirm(now:acknowledged:)` could do something.
  package func wantsConfirmation(now: MonotonicTime) -> Bool { log.isConfirmationDue(now: now) }

  /// Confirms what is old enough and acknowledged, and saves that; see `DeliveryWindow`.
  package func confirm(now: MonotonicTime, acknowledged: UInt64?) {
    if log.confirm(now: now, acknowledged: acknowledged) { saveConfirmed() }
  }

  /// Confirms and saves what is before `position`: the server says that it has it.
  package func confirm(position: Position) {
    if log.confirm(position: position) { saveConfirmed() }
  }

  /// Confirms and saves everything taken so far: the server's side has acknowledged it.
  package func confirmAll() {
    log.confirmAll(at: reader.mark)
    saveConfirmed()
  }

  private func saveConfirmed() {
    reader.forgetDecisions(before: log.confirmed.checkpoint)
    save()
  }

  /// Saves the confirmed position, and what the clock has decided since.
  package func save() { cursor.save(log, reader.decisionsToSave()) }

  // MARK: - Connections

  /// A connection was opened.
  package func connectionOpened() { log.totals.connections &+= 1 }

  /// Whether the fork has had exactly one connection, over all engines.
  package var isFirstConnection: Bool { log.totals.connections == 1 }

  /// The connection is lost: the stream continues at the confirmed position.
  package func rewind() {
    log.connectionLost()
    reader.rewind(to: log.confirmed)
  }

  /// The connection is lost, and what it was sent is not sent again. The part that is not confirmed counts as lost.
  package func skipUnconfirmed() {
    log.skipUnconfirmed(to: reader.mark)
    saveConfirmed()
  }

  /// A connection begins. A server that knows the fork says how far it has come: audio before `position` is not sent
  /// again. Nil: it cannot say. Call this before the first block of the connection.
  package func resume(at position: Position?) {
    reader.passUntil = position ?? .zero
    reader.markers.connectionBegan(at: self.position)
    guard log.resume(at: position) else { return }
    saveConfirmed()
    reader.rewind(to: log.confirmed)
  }

  /// Up to where the server has been sent the stream, on this connection or before.
  package var sentPosition: Position { max(position, reader.passUntil) }

  /// Whether the stream can have reached `position` by now: no block lies further ahead than capture allows.
  package func canHaveReached(_ position: Position, now: StreamTime) -> Bool {
    let sinceStart = max(now, .zero) - .zero + ForkStream.aheadMax
    let seconds = UInt64(clamping: sinceStart.wholeSeconds)
    return position <= max(Position(reader.configuration.wireRate.frames(inSeconds: seconds)), self.position)
  }

  /// Server texts that were dropped. The cursor keeps the number.
  package var textsDropped: UInt64 {
    get { log.totals.textsDropped }
    set { log.totals.textsDropped = newValue }
  }

  /// Whether this endpoint has ever answered a ping of the fork, over all engines.
  package func hasPonged(_ endpoint: Int) -> Bool { log.ponged.contains(endpoint) }

  /// This endpoint has answered a ping.
  package func ponged(_ endpoint: Int) {
    if log.ponged.insert(endpoint) { save() }
  }

  /// This endpoint does not answer pings any more.
  package func forgetPonged(_ endpoint: Int) {
    if log.ponged.remove(endpoint) { save() }
  }

  /// Everything is confirmed for good: removes the spool.
  package func dropSpool() { spool?.close(keeps: false) }

  /// Closes the files. Only the totals may be asked for afterwards. `isOver`: no other engine continues the fork.
  package func close(isOver: Bool) {
    spool?.close(keeps: !isOver)
    reader.ring.close()
    cursor.close()
  }

  // MARK: - Totals

  /// Whether audio that was not taken is being overwritten. Its gap is known exactly once the stream has passed it.
  package var isLosing: Bool {
    reader.ring.isOverwritten(reader.nextSequence) && spool?.holds(reader.nextSequence) != true
  }

  /// Totals as of the block taken last.
  package func counters(now: StreamTime) -> ForkCounters {
    var counters = log.counters(rendered: reader.counters)
    counters.captured = captured(.in) &+ captured(.out)
    counters.lagMilliseconds = UInt64(clamping: lagMilliseconds(now: now))
    counters.undeliveredMilliseconds = UInt64(clamping: undeliveredMilliseconds(now: now))
    counters.skewMilliseconds = reader.skewMilliseconds
    counters.isLosing = isLosing
    return counters
  }

  /// Milliseconds of captured time that have not been taken yet.
  private func lagMilliseconds(now: StreamTime) -> Int64 {
    guard !isDrained, reader.ring.published > reader.nextSequence else { return 0 }
    return max(.zero, (reader.ring.closedAt ?? now) - completedAt).wholeMilliseconds
  }

  /// Milliseconds of captured time whose delivery is not confirmed; 0 only if every captured sample is accounted for.
  package func undeliveredMilliseconds(now: StreamTime) -> Int64 {
    let confirmed = log.confirmed
    let accounted = confirmed.checkpoint.counters
    let isComplete = captured(.in) <= accounted.in.accounted && captured(.out) <= accounted.out.accounted
    guard !isComplete else { return 0 }
    // Rounded up, and at least 1: something is missing.
    return max(1, ((reader.ring.closedAt ?? now) - confirmed.completedAt).millisecondsRoundedUp)
  }
}
