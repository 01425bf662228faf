// SPDX-License-Identifier: Apache-2.0
package import AudioForkCore
package import AudioForkDialects
internal import AudioForkResampling
package import AudioForkRing

/// A fork's audio on its way from the ring to the connection, and the cursor that follows it. Knows no network.
///
/// The owner takes blocks as long as the connection takes them (not connected: none, so that the ring stays the only
/// buffer), says what it has sent, confirms, and rewinds after a break. Not Sendable: one owner, one event loop.
package final class ForkStream {
  /// A place in the stream to which delivery can return.
  private struct Mark {
    var checkpoint: Checkpoint
    var completedAt: StreamTime
    /// What the server has perhaps not been told of the stream before it.
    var ranges: [StreamRange] = []
  }

  /// Capture places no audio further ahead of the clock; one more for the rounding.
  private static let aheadMax = Nanoseconds.seconds(3)
  /// Blocks that the server has already and that one call goes over.
  private static let passedMax = 200

  private let ring: RingReader
  private let cursor: CursorFile?
  private let spool: ForkSpool?
  /// From which age of the oldest unconfirmed audio on the spool takes what the ring has; a third of what that holds.
  private let spoolAge: Nanoseconds
  private var isSpooling = false
  /// When there was nothing that waits to be confirmed, last; never, for what an earlier engine left.
  private var waitsSince = StreamTime.zero
  private let configuration: RenderConfiguration
  private var renderer: Renderer<SpeexConverter>
  private var window: DeliveryWindow<Mark>
  private var record: CursorRecord
  private let scratch: RenderScratch
  private var isFinished = false
  /// Up to here the server has the stream already: what is rendered before it is not sent again.
  private var passUntil = Position.zero
  /// Whether the server is told what is fill, muted or missing.
  private let collectsMarkers: Bool
  /// Gaps and digits that the server has not been told on this connection.
  private var markers: [StreamMarker] = []
  /// The entry from which on digits have not been told.
  private var notedBefore: UInt64 = 0
  /// Where the ranges were fetched last.
  private var rangesTakenAt = Position.zero
  /// What was fetched there: told behind the audio, so that a server may have that and not these.
  private var rangesTold: [StreamRange] = []
  private var decisionsSaved: [ClockDecision] = []
  /// Gaps that the renderer has come to, and those of them and others that nobody has heard of yet.
  private var gapsFound: [Gap] = []
  private var gapsNew: [Gap] = []
  /// Samples of the block that `nextBlock` returned last; they hold until it, or another stream with the same scratch, is asked
  /// for the next one.
  package var samples: [Int16] { scratch.samples }
  /// When the newest block taken became decidable.
  package private(set) var completedAt: StreamTime
  /// Capture has ended and every block has been taken.
  package private(set) var isDrained = false
  /// No writer any more, although the ring may not say so: the module is gone.
  package var isOrphaned = false
  /// Saving the cursor failed (a full tmpfs); reported once by the owner.
  package private(set) var cursorFailed = false

  /// Goes on where the cursor says, or begins at the epoch.
  package init(
    ring: RingReader, cursor: CursorFile?, configuration: RenderConfiguration, collectsMarkers: Bool = false,
    spool: ForkSpool? = nil, bufferSeconds: Int = 10, scratch: RenderScratch = RenderScratch()
  ) {
    self.scratch = scratch
    self.ring = ring
    self.cursor = cursor
    self.spool = spool
    spoolAge = Nanoseconds.seconds(Int64(bufferSeconds)) / 3
    self.collectsMarkers = collectsMarkers
    self.configuration = configuration
    let found = cursor?.load().flatMap { CursorRecord(decoding: $0) } ?? CursorRecord()
    record = found
    if let checkpoint = found.checkpoint, checkpoint.configuration == configuration {
      renderer = Renderer(configuration, resumingAt: checkpoint)
      window = DeliveryWindow(
        confirmed: Mark(checkpoint: checkpoint, completedAt: found.completedAt), position: checkpoint.position)
      completedAt = found.completedAt
      notedBefore = checkpoint.sequence
    } else {
      record.skipped = 0
      renderer = Renderer(configuration)
      window = DeliveryWindow(confirmed: Mark(checkpoint: renderer.checkpoint, completedAt: .zero))
      completedAt = .zero
    }
    renderer.notesRanges = collectsMarkers
  }

  /// Whether capture has ended.
  package var isCaptureClosed: Bool { isOrphaned || ring.closedAt != nil }

  /// How long ago capture ended.
  package func sinceCaptureClosed(now: StreamTime) -> Duration {
    ring.closedAt.map { max(.zero, now - $0).duration } ?? .zero
  }

  /// Why the ring cannot be followed any more.
  package struct Broken: Error, Equatable {
    package let reason: String
  }

  // MARK: - Taking blocks

  /// The next block, its samples in `samples`; nil where none is decidable yet, or ever (`isDrained`).
  ///
  /// `isFurther`: one has just been taken at this time, so that nothing has to be looked for but what is published.
  package func nextBlock(now: StreamTime, isFurther: Bool = false) throws(Broken) -> RenderedBlock? {
    var hasToldTime = false
    var passed = 0
    while true {
      if var block = renderer.nextBlock(into: &scratch.samples) {
        completedAt = max(completedAt, block.completedAt)
        if takeGaps(), !configuration.fill, block.position < passUntil {
          // A gap takes no positions here: what lies behind one is not what the server has at them.
          renderer.advancePosition(by: passUntil - block.position)
          block.position = passUntil
        }
        guard let rest = passing(block) else {
          // The server has said so, and says it only once.
          window = DeliveryWindow(confirmed: mark, position: position)
          passed += 1
          // Hours may lie before what it has said; the event loop has other forks.
          guard passed < ForkStream.passedMax else { return nil }
          continue
        }
        return rest
      }
      takeGaps()
      // What a writer publishes behind the end that we took for the last word nobody reads: only the totals tell it.
      guard !isFinished else {
        isDrained = true
        return nil
      }
      let sequence = renderer.nextSequence
      switch read(sequence) {
      case nil: return nil
      case .entry(let entry): renderer.consume(entry, samples: scratch.entry)
      case .digit(let digit):
        note(digit, sequence)
        renderer.skip(to: sequence &+ 1)
      case .notAudio: renderer.skip(to: sequence &+ 1)
      case .lapped(let oldest): renderer.skip(to: max(oldest, sequence &+ 1))
      case .broken(let reason): throw Broken(reason: reason)
      case .notYet:
        guard !isFurther else { return nil }
        if finishIfClosed() { continue }
        guard !hasToldTime else { return nil }
        hasToldTime = true
        tellTime(now)
      }
    }
  }

  /// Begins to fetch what the next block will be made of.
  package func prefetch() { ring.prefetch(renderer.nextSequence) }

  /// An entry from the ring, or from the spool where the ring has overwritten it. Nil: it is being fetched.
  private func read(_ sequence: UInt64) -> RingRead? {
    let found = ring.read(sequence, into: &scratch.entry)
    guard case .lapped(let oldest) = found, let spool else { return found }
    switch spool.read(sequence, into: &scratch.entry) {
    case .entry(.audio(let entry)): return .entry(entry)
    case .entry(.digit(let digit)): return .digit(digit)
    case .loading: return nil
    case .missing(let next): return .lapped(oldest: min(oldest, next ?? oldest))
    }
  }

  /// Has the spool keep what the ring will overwrite before it is delivered. At each tick, connected or not.
  package func keepSpool(now: StreamTime) {
    guard let spool else { return }
    let confirmed = window.confirmed
    // Entries that wait for the other direction, or are in the stream in part, are read again after a break.
    let oldest = confirmed.checkpoint.oldestSequence
    spool.release(before: oldest)
    // A closed ring overwrites nothing any more.
    // Nor is a silence an outage, although what was confirmed before it is old.
    if ring.published <= oldest { waitsSince = now }
    let age = ring.closedAt == nil && ring.published > oldest ? now - max(confirmed.completedAt, waitsSince) : .zero
    if age > spoolAge { isSpooling = true } else if age < spoolAge / 2 { isSpooling = false }
    if isSpooling { spool.copy(from: ring, oldest: oldest, now: now) }
    spool.tick(now: now)
  }

  private func note(_ digit: CapturedDigit, _ sequence: UInt64) {
    // Before a checkpoint's own entry it was told before.
    guard collectsMarkers, sequence >= notedBefore, configuration.directions.contains(digit.direction) else { return }
    markers.append(
      .digit(digit.direction, position: position, digit: digit.digit, milliseconds: digit.milliseconds))
  }

  /// Whether there were any.
  @discardableResult
  private func takeGaps() -> Bool {
    let gaps = renderer.takeGaps()
    guard !gaps.isEmpty else { return false }
    gapsFound += gaps
    if collectsMarkers { markers += gaps.map { .gap($0) } }
    return true
  }

  /// Gaps and digits for the server that belong before the block that was taken last, in the stream's order.
  package func takeMarkers() -> [StreamMarker] {
    guard !markers.isEmpty else { return [] }
    defer { markers = [] }
    return markers
  }

  /// Fill and muted audio for the server, of about a second of the stream together; `all`: whatever there is.
  package func takeRanges(all: Bool) -> [StreamMarker] {
    guard collectsMarkers, all || position - rangesTakenAt >= UInt64(configuration.wireRateHertz) else { return [] }
    rangesTakenAt = position
    rangesTold = renderer.takeRanges()
    return rangesTold.map { range in
      switch range.kind {
      case .fill: .fill(range.direction, position: range.position, frames: range.frames)
      case .muted: .mute(range.direction, position: range.position, frames: range.frames)
      }
    }
  }

  /// What of a block the server lacks; nil where it has all of it. `samples` are cut likewise.
  private func passing(_ block: RenderedBlock) -> RenderedBlock? {
    guard block.position < passUntil else { return block }
    let passed = passUntil - block.position
    guard passed < UInt64(block.frameCount) else { return nil }
    var rest = block
    rest.position = passUntil
    rest.frameCount -= Int(passed)
    scratch.samples.removeFirst(min(Int(passed) * configuration.channelCount, scratch.samples.count))
    return rest
  }

  /// Gaps that the stream has passed and nobody has heard of yet, even in an earlier engine: they are in the cursor
  /// before they are returned, unless told not to.
  package func takeNewGaps(saves: Bool = true) -> [Gap] {
    let found = gapsFound
    gapsFound = []
    var isNew = false
    for gap in found where noteMissing(gap) > 0 { isNew = true }
    if isNew, saves { save() }
    defer { gapsNew = [] }
    return gapsNew
  }

  /// Enters a gap into the record, and what of it nobody has heard of among `gapsNew`. Returns the samples of that.
  private func noteMissing(_ gap: Gap) -> UInt64 {
    // After a break a gap is met again, and the writer may have made it longer at either end.
    let missing = gap.start..<max(gap.start, gap.start &+ gap.count)
    let parts =
      switch gap.direction {
      case .in: record.reportedIn.report(missing)
      case .out: record.reportedOut.report(missing)
      }
    var samples: UInt64 = 0
    for part in parts {
      var unheard = gap
      unheard.start = part.lowerBound
      unheard.count = part.upperBound &- part.lowerBound
      gapsNew.append(unheard)
      samples &+= unheard.count
    }
    record.gaps &+= UInt64(parts.count)
    return samples
  }

  /// The fork ends here. What was captured and is not confirmed is missing: returns that, as gaps which nobody has heard
  /// of yet, and goes back to what is confirmed. From here on delivered and lost together are captured. None of it is
  /// saved: should this engine die before anybody has heard of the end, the next one goes on with the fork.
  package func abandonRest() -> [Gap] {
    rewind()
    let confirmed = window.confirmed.checkpoint.counters
    for direction in [Direction.in, .out] where configuration.directions.contains(direction) {
      let accounted = confirmed[direction].accounted
      let captured = ring.captured(direction)
      guard captured > accounted else { continue }
      gapsFound.append(
        Gap(
          direction: direction, start: accounted, count: captured &- accounted, reason: .undelivered,
          position: confirmed.position))
    }
    return takeNewGaps(saves: false)
  }

  /// Closed is looked at before `published` is: then what is published is all there will be.
  private func finishIfClosed() -> Bool {
    guard isCaptureClosed, ring.published <= renderer.nextSequence else { return false }
    isFinished = true
    renderer.finish(capturedIn: ring.captured(.in), capturedOut: ring.captured(.out))
    return true
  }

  /// Fill that the clock decides is the one thing that a replay cannot find in the ring: it is saved before the
  /// caller can send it.
  private func tellTime(_ now: StreamTime) {
    renderer.clock(now: now, onlyWaiting: !configuration.fill)
    guard renderer.clockDecisions != decisionsSaved else { return }
    save()
  }

  // MARK: - Delivery

  /// Position of the next block.
  package var position: Position { renderer.position }

  /// Position up to which delivery is confirmed.
  package var confirmedPosition: Position { window.confirmedPosition }

  /// Whether everything taken so far is confirmed.
  package var isAllConfirmed: Bool { confirmedPosition == position }

  /// Everything taken so far has been sent: `offset` bytes of this connection. `isBarrier`: this very place must be one
  /// that can be confirmed. `isTold`: notes were sent before the audio that they belong to, so that who has that has them.
  package func sent(now: MonotonicTime, offset: UInt64, audioBytes: Int, isTold: Bool = true, isBarrier: Bool = false) {
    record.bytes &+= UInt64(clamping: audioBytes)
    // No delivery begins before a place that is confirmed: what has not been told there is told before.
    guard isBarrier || (window.wantsMark(now: now) && isTold && !renderer.hasRanges) else { return }
    window.record(mark, position: position, now: now, offset: offset)
  }

  /// The same to a server that answers pings: nothing but its answers confirms anything.
  package func sentBetweenPings(audioBytes: Int) { record.bytes &+= UInt64(clamping: audioBytes) }

  /// The block taken last has been sent, to a server that says how far it came: it may come back and say this place.
  package func sentBlock(now: MonotonicTime, offset: UInt64, audioBytes: Int) {
    record.bytes &+= UInt64(clamping: audioBytes)
    window.record(mark, position: position, now: now, offset: offset, isWhole: !renderer.hasRanges)
  }

  /// The place behind the block taken last.
  private var mark: Mark {
    let ranges = rangesTold.isEmpty || position != rangesTakenAt ? renderer.ranges : rangesTold + renderer.ranges
    return Mark(checkpoint: renderer.checkpoint, completedAt: completedAt, ranges: ranges)
  }

  /// Whether `confirm` could do something.
  package func wantsConfirmation(now: MonotonicTime) -> Bool { window.isDue(now: now) }

  /// Moves the confirmed position and saves it; see `DeliveryWindow`.
  package func confirm(now: MonotonicTime, acknowledged: UInt64?) {
    guard window.confirm(now: now, acknowledged: acknowledged) else { return }
    forgetConfirmed()
    save()
  }

  /// Moves the confirmed position: the server has said that it has everything before `position`.
  package func confirm(position: Position) {
    guard window.confirm(position: position) else { return }
    forgetConfirmed()
    save()
  }

  /// Everything taken so far has been acknowledged by the server's side.
  package func confirmAll() {
    window = DeliveryWindow(confirmed: mark, position: position)
    forgetConfirmed()
    save()
  }

  /// No replay begins before the confirmed position.
  private func forgetConfirmed() {
    let confirmed = window.confirmed.checkpoint
    renderer.forgetClockDecisions(before: confirmed)
    record.reportedIn.forget(before: confirmed.counters.in.accounted)
    record.reportedOut.forget(before: confirmed.counters.out.accounted)
  }

  /// Server texts that were dropped; kept in the cursor.
  package var textsDropped: UInt64 {
    get { record.textsDropped }
    set { record.textsDropped = newValue }
  }

  /// Whether this endpoint has ever answered a ping of the fork's, whatever engine sent it.
  package func hasPonged(_ endpoint: Int) -> Bool { record.ponged & ForkStream.bit(endpoint) != 0 }

  /// It has answered one.
  package func ponged(_ endpoint: Int) {
    guard !hasPonged(endpoint) else { return }
    record.ponged |= ForkStream.bit(endpoint)
    save()
  }

  /// Beyond the 63rd endpoint all have one bit in common.
  private static func bit(_ endpoint: Int) -> UInt64 { 1 &<< UInt64(min(max(endpoint, 0), 63)) }

  /// A connection was opened.
  package func connectionOpened() { record.connections &+= 1 }

  /// Whether the fork has had one connection and no more, over all engines.
  package var isFirstConnection: Bool { record.connections == 1 }

  /// The connection is gone: the stream goes on from what is confirmed.
  package func rewind() {
    window.reset()
    goBack()
  }

  /// The connection is gone, and what it was sent is not sent again: the stream goes on behind it. What of it is not
  /// confirmed is missing, as far as anybody knows.
  package func skipUnconfirmed() {
    // What is known to be missing for another reason is not missing for this one.
    for gap in gapsFound { _ = noteMissing(gap) }
    gapsFound = []
    let confirmed = window.confirmed.checkpoint.counters
    let sent = renderer.counters
    for direction in [Direction.in, .out] where sent[direction].accounted > confirmed[direction].accounted {
      let start = confirmed[direction].accounted
      record.skipped &+= noteMissing(
        Gap(
          direction: direction, start: start, count: sent[direction].accounted &- start, reason: .unconfirmed,
          position: confirmed.position))
    }
    confirmAll()
  }

  /// A connection begins. A server that knows the fork says how far it has come, `position`: what is before it is not
  /// sent again. Nil: it can't say. Before the first block of the connection.
  package func resume(at position: Position?) {
    passUntil = position ?? .zero
    rangesTakenAt = self.position
    rangesTold = []
    guard window.resume(at: position) else { return }
    forgetConfirmed()
    save()
    goBack()
  }

  /// Up to where the server has been sent the stream, on this connection or before.
  package var sentPosition: Position { max(position, passUntil) }

  /// Whether the stream can have come so far by now: nothing is decided that lies further ahead than capture allows.
  package func canHaveReached(_ position: Position, now: StreamTime) -> Bool {
    let sinceStart = max(now, .zero) - .zero + ForkStream.aheadMax
    let seconds = UInt64(clamping: sinceStart.wholeSeconds)
    return position <= max(Position(configuration.wireRate.frames(inSeconds: seconds)), self.position)
  }

  private func goBack() {
    let from = window.confirmed
    renderer = Renderer(
      configuration, resumingAt: from.checkpoint.withClockDecisions(renderer.clockDecisions))
    renderer.notesRanges = collectsMarkers
    renderer.ranges = from.ranges
    notedBefore = from.checkpoint.sequence
    markers = []
    rangesTakenAt = from.checkpoint.position
    rangesTold = []
    completedAt = from.completedAt
    isFinished = false
    isDrained = false
    // Gaps that wait to be taken stay: one before the confirmed position is not found again.
  }

  /// Saves the confirmed position, with the clock's decisions since.
  package func save() {
    decisionsSaved = renderer.clockDecisions
    record.checkpoint = window.confirmed.checkpoint.withClockDecisions(decisionsSaved)
    record.completedAt = window.confirmed.completedAt
    if cursor?.save(record.encode()) != true { cursorFailed = true }
  }

  /// Everything is confirmed for good: nobody reads the spool again.
  package func dropSpool() { spool?.close(keeps: false) }

  /// This endpoint does not answer pings any more.
  package func forgetPonged(_ endpoint: Int) {
    guard hasPonged(endpoint) else { return }
    record.ponged &= ~ForkStream.bit(endpoint)
    save()
  }

  /// Gives the files back; nothing may be called afterwards but the totals. `isOver`: no other engine goes on with the
  /// fork.
  package func close(isOver: Bool) {
    spool?.close(keeps: !isOver)
    ring.close()
    cursor?.close()
  }

  /// Whether audio that was not taken is being overwritten: the gap is known exactly once it is passed.
  package var isLosing: Bool {
    ring.isOverwritten(renderer.nextSequence) && spool?.holds(renderer.nextSequence) != true
  }

  // MARK: - Totals

  /// Totals as of the last block taken.
  package func counters(now: StreamTime) -> ForkCounters {
    let rendered = renderer.counters
    var counters = ForkCounters()
    counters.position = rendered.position.frames
    counters.fill = rendered.fill
    // After a break what was reported stands, although the replay has not come to it again.
    counters.lost =
      rendered.lost &+ record.skipped &+ record.reportedIn.count(from: rendered.in.accounted)
      &+ record.reportedOut.count(from: rendered.out.accounted)
    counters.gaps = record.gaps
    counters.reconnects = record.connections > 0 ? record.connections &- 1 : 0
    counters.bytes = record.bytes
    counters.lagMilliseconds = UInt64(clamping: lagMilliseconds(now: now))
    counters.confirmed = window.confirmed.checkpoint.position.frames
    counters.delivered = window.confirmed.checkpoint.counters.rendered &- record.skipped
    counters.accountedIn = window.confirmed.checkpoint.counters.in.accounted
    counters.accountedOut = window.confirmed.checkpoint.counters.out.accounted
    for direction in [Direction.in, .out] where configuration.directions.contains(direction) {
      counters.captured &+= ring.captured(direction)
    }
    counters.undeliveredMilliseconds = UInt64(clamping: undeliveredMilliseconds(now: now))
    let skew = renderer.shift(of: .in) &- renderer.shift(of: .out)
    counters.skewMilliseconds = configuration.wireRate.milliseconds(ofFrames: skew)
    counters.dropped = record.textsDropped
    counters.isLosing = isLosing
    return counters
  }

  /// Milliseconds of captured time that have not been taken yet.
  private func lagMilliseconds(now: StreamTime) -> Int64 {
    guard !isDrained, ring.published > renderer.nextSequence else { return 0 }
    return max(.zero, (ring.closedAt ?? now) - completedAt).wholeMilliseconds
  }

  /// Milliseconds of captured time whose delivery is not confirmed; 0 where nothing that was captured is missing.
  package func undeliveredMilliseconds(now: StreamTime) -> Int64 {
    let confirmed = window.confirmed
    let isWhole = [Direction.in, .out].allSatisfy { direction in
      !configuration.directions.contains(direction)
        || ring.captured(direction) <= confirmed.checkpoint.counters[direction].accounted
    }
    guard !isWhole else { return 0 }
    // Rounded up: where something is missing, it is not nothing.
    return max(1, ((ring.closedAt ?? now) - confirmed.completedAt).millisecondsRoundedUp)
  }
}
