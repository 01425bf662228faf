// SPDX-License-Identifier: Apache-2.0
package import AudioForkMedia
package import AudioForkDialects
package import AudioForkRing

/// Reads a fork's audio from its ring as blocks, and keeps the cursor of what is delivered. Knows no network.
///
/// The owner takes blocks as fast as the connection accepts them, and none without a connection, so that the ring is
/// the only buffer. It records what it has sent, confirms, and rewinds after a break. Each job has its own type:
///  - `BlockReader` makes blocks of what the ring holds, or the spool if the ring has overwritten it,
///  - `DeliveryLog` knows what is sent, confirmed and missing,
///  - `StreamCursor` saves that for the next engine,
///  - `SpoolTrigger` says when the spool copies the ring.
///
/// Not Sendable: one owner, one event loop.
package final class ForkStream {
  let spool: ForkSpool?
  private var spoolTrigger: SpoolTrigger
  private let scratch: RenderScratch
  private(set) var reader: BlockReader
  /// Changed here and by what the cursor keeps (ForkStream+Memory.swift).
  var deliveryLog: DeliveryLog
  private var cursor: StreamCursor

  /// Continues where the cursor says, or begins at the epoch.
  package init(
    ring: RingGenerations, cursor: CursorFile?, configuration: RenderConfiguration, collectsMarkers: Bool = false,
    spool: ForkSpool? = nil, bufferSeconds: Int = 10, scratch: RenderScratch = RenderScratch()
  ) {
    self.scratch = scratch
    self.spool = spool
    spoolTrigger = SpoolTrigger(bufferSeconds: bufferSeconds)
    self.cursor = StreamCursor(cursor)
    let record = self.cursor.load()
    // An engine that waited for another time began the stream: it continues with that time.
    let configuration = record.checkpoint.map { configuration.aligned(as: $0.configuration) } ?? configuration
    reader = BlockReader(
      ring: ring, spool: spool, configuration: configuration, collectsMarkers: collectsMarkers, scratch: scratch)
    deliveryLog = DeliveryLog(record, start: reader.mark.checkpoint)
    if deliveryLog.isResumed { reader.resume(at: deliveryLog.confirmed) }
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

  /// Nothing more is captured, even if the ring is not closed: its module is gone.
  package var isOrphaned: Bool {
    get { reader.isOrphaned }
    set { reader.isOrphaned = newValue }
  }

  /// Saving the cursor failed (a full tmpfs). The owner reports it once.
  package var cursorFailed: Bool { cursor.hasFailed }

  // MARK: - Taking blocks

  /// Returns the next block, with its samples in `samples`; nil if none is decidable now, or ever (`isDrained`).
  ///
  /// `isFurther`: a block was just taken at this time. Then only published entries are read, not the clock.
  package func nextBlock(now: StreamTime, isFurther: Bool = false) throws(Broken) -> RenderedBlock? {
    let block = try reader.next(now: now, isFurther: isFurther, log: &deliveryLog)
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

  /// Copies to the spool what the ring may overwrite before it is confirmed. Call at each tick, connected or not.
  package func keepSpool(now: StreamTime) {
    guard let spool else { return }
    let ring = reader.ring
    let confirmed = deliveryLog.confirmed
    // A replay also needs earlier entries: those that wait for the other direction, or that were rendered in part.
    let oldest = confirmed.checkpoint.oldestSequence
    spool.release(before: oldest)
    let copies = spoolTrigger.update(
      now: now, confirmedAt: confirmed.completedAt, isWaiting: ring.published > oldest, isClosed: ring.closedAt != nil)
    if copies { spool.copy(from: ring, oldest: oldest, now: now) }
    // What is on the disk need not stay in memory too. A spool that was emptied has lost what only the ring has now.
    if ring.hasOld, let next = ring.secondFirstSequence, spool.isWritten(from: oldest, before: next) {
      ring.release(before: next)
    }
    spool.tick(now: now)
  }

  // MARK: - What the server and the module are told

  /// Returns gaps and digits for the server, in the stream's order. Send them before the block that was taken last.
  package func takeMarkers() -> [StreamMarker] { reader.markers.take() }

  /// Returns the ranges of fill and muted audio for the server, about once per second of the stream. `all`: without
  /// waiting for that second.
  package func takeRanges(all: Bool) -> [StreamMarker] { reader.takeRanges(all: all) }

  /// Returns the gaps that the stream has passed and that no engine has reported. Saves them first.
  package func takeNewGaps() -> [Gap] {
    if deliveryLog.gaps.reportNoted() { save() }
    return deliveryLog.gaps.take()
  }

  /// The fork ends here. Returns to the confirmed mark, and returns everything captured after it as gaps. From now on
  /// the delivered and the lost samples add up to the captured ones.
  ///
  /// Saves nothing: if this engine dies before it has reported the end, the next one continues the fork.
  package func abandonRest() -> [Gap] {
    rewind()
    deliveryLog.abandon(capturedIn: captured(.in), capturedOut: captured(.out))
    return deliveryLog.gaps.take()
  }

  // MARK: - Delivery

  /// Position of the next block.
  package var position: Position { reader.position }

  /// Position up to which delivery is confirmed.
  package var confirmedPosition: Position { deliveryLog.confirmedPosition }

  /// Whether everything taken so far is confirmed.
  package var isAllConfirmed: Bool { confirmedPosition == position }

  /// Records that everything taken so far was sent, as the first `offset` bytes of this connection. `isBarrier`: a mark
  /// is needed at exactly this place. `areMarkersSent`: all markers were sent before the audio to which they belong.
  package func recordSent(
    now: MonotonicTime, offset: UInt64, audioBytes: Int, areMarkersSent: Bool = true, isBarrier: Bool = false
  ) {
    deliveryLog.totals.bytes &+= UInt64(clamping: audioBytes)
    // A replay begins at a confirmed mark, so all markers before it must have been sent.
    guard isBarrier || (deliveryLog.wantsMark(now: now) && areMarkersSent && !reader.hasUnsentRanges) else { return }
    deliveryLog.recordSent(reader.mark, now: now, offset: offset)
  }

  /// Like `recordSent`, for a server that answers pings: marks are only needed with pings.
  package func recordSentBetweenPings(audioBytes: Int) { deliveryLog.totals.bytes &+= UInt64(clamping: audioBytes) }

  /// Like `recordSent`, after each block for a server that acknowledges: it may acknowledge this position.
  package func recordSentBlock(now: MonotonicTime, offset: UInt64, audioBytes: Int) {
    deliveryLog.totals.bytes &+= UInt64(clamping: audioBytes)
    deliveryLog.recordSent(reader.mark, now: now, offset: offset, isWhole: !reader.hasUnsentRanges)
  }

  /// Whether `confirm(now:acknowledged:)` could confirm anything.
  package func wantsConfirmation(now: MonotonicTime) -> Bool { deliveryLog.isConfirmationDue(now: now) }

  /// Confirms what is old enough and acknowledged, and saves that; see `DeliveryWindow`.
  package func confirm(now: MonotonicTime, acknowledged: UInt64?) {
    if deliveryLog.confirm(now: now, acknowledged: acknowledged) { saveConfirmed() }
  }

  /// Confirms and saves what is before `position`, which the server says it has.
  package func confirm(position: Position) {
    if deliveryLog.confirm(position: position) { saveConfirmed() }
  }

  /// Confirms and saves everything taken so far, which the server or its kernel has acknowledged.
  package func confirmAll() {
    deliveryLog.confirmAll(at: reader.mark)
    saveConfirmed()
  }

  private func saveConfirmed() {
    reader.forgetDecisions(before: deliveryLog.confirmed.checkpoint)
    save()
    // After the save: an engine that continues the fork needs no entry before this mark.
    if reader.ring.hasOld { reader.ring.release(before: deliveryLog.confirmed.checkpoint.oldestSequence) }
  }

  /// The newest generation of the ring that was opened.
  package var ringGeneration: UInt32 { reader.ring.newestGeneration }

  /// Whether a further generation of the ring was opened since the last call.
  package func takeNewGeneration() -> Bool {
    guard reader.ring.hasAdvanced else { return false }
    reader.ring.hasAdvanced = false
    return true
  }

  /// Whether the cursor's file has lost its name, so that no other engine would find it.
  package var isCursorNameless: Bool { cursor.isNameless }

  /// Continues in another cursor file and saves there.
  package func replaceCursor(_ file: CursorFile?) {
    cursor.close()
    cursor = StreamCursor(file)
    save()
  }

  /// Saves the confirmed mark, and the clock decisions made since.
  package func save() { cursor.save(deliveryLog, reader.decisionsToSave()) }

  // MARK: - Connections

  /// A connection was opened.
  package func connectionOpened() { deliveryLog.totals.connections &+= 1 }

  /// Connections so far, over all engines.
  package var connectionCount: UInt64 { deliveryLog.totals.connections }

  /// Whether the fork had a connection, in this engine or in one before.
  package var hasConnected: Bool { deliveryLog.totals.connections > 0 }

  /// Whether the fork has had exactly one connection, over all engines.
  package var isFirstConnection: Bool { deliveryLog.totals.connections == 1 }

  /// The connection is lost: the stream continues at the confirmed position.
  package func rewind() {
    deliveryLog.connectionLost()
    reader.rewind(to: deliveryLog.confirmed)
  }

  /// The connection is lost, and audio that is not confirmed is not sent again. It counts as lost. `keepsUnsent`: not
  /// everything that was taken was sent, and the stream returns to where that ends.
  package func skipUnconfirmed(keepsUnsent: Bool = false) {
    deliveryLog.skipUnconfirmed(to: keepsUnsent ? deliveryLog.newest : reader.mark)
    saveConfirmed()
    if keepsUnsent { reader.rewind(to: deliveryLog.confirmed) }
  }

  /// A connection begins. `position`: the server says that it has everything before it, which is not sent again; nil if
  /// the server does not say. Call this before the first block of the connection.
  package func resume(at position: Position?) {
    reader.serverPosition = position ?? .zero
    reader.markers.connectionBegan(at: self.position)
    guard deliveryLog.resume(at: position) else { return }
    saveConfirmed()
    reader.rewind(to: deliveryLog.confirmed)
  }

  /// Removes the spool. Call when everything is confirmed.
  package func dropSpool() { spool?.close(keeps: false) }

  /// Closes the files. Only the totals may be asked for afterwards. `isOver`: no other engine continues the fork.
  package func close(isOver: Bool) {
    spool?.close(keeps: !isOver)
    reader.ring.close()
    cursor.close()
  }
}
