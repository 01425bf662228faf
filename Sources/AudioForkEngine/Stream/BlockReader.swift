// SPDX-License-Identifier: Apache-2.0
internal import AudioForkMedia
internal import AudioForkDialects
internal import AudioForkResampling
internal import AudioForkRing

/// Reads a fork's entries and renders them to blocks. Skips blocks that the server has already.
///
/// Gaps go to the delivery log and to `markers`, digits to `markers`. After a break `rewind(to:)` returns to the
/// confirmed mark.
struct BlockReader: ~Copyable {
  /// Maximum blocks that one call skips because the server has them already. Limited because the event loop has other
  /// forks.
  private static let skippedBlocksMax = 200

  let ring: RingGenerations
  let configuration: RenderConfiguration
  private let source: LayeredSource<RingSource, SpoolSource>
  private let scratch: RenderScratch
  private var renderer: Renderer<SpeexConverter>
  /// The markers to send to the server besides the audio.
  var markers: PendingMarkers
  /// The server has the stream up to this position already. Blocks before it are not sent again.
  var serverPosition = Position.zero
  /// Nothing more is captured, even if the ring is not closed: its module is gone.
  var isOrphaned = false
  /// The renderer was told that capture has ended.
  private var isFinished = false
  /// Capture has ended and every block has been taken.
  private(set) var isDrained = false
  /// When the newest block taken became decidable.
  private(set) var completedAt = StreamTime.zero
  /// The clock decisions that were saved last.
  private var decisionsSaved: [ClockDecision] = []
  /// There are newer clock decisions. A replay cannot find them in the ring, so they must be saved before their blocks
  /// are sent.
  private(set) var hasUnsavedDecisions = false

  /// Begins at the epoch.
  init(
    ring: RingGenerations, spool: ForkSpool?, configuration: RenderConfiguration, collectsMarkers: Bool,
    scratch: RenderScratch
  ) {
    self.ring = ring
    self.configuration = configuration
    self.scratch = scratch
    source = LayeredSource(RingSource(ring), then: spool.map { SpoolSource($0) })
    renderer = Renderer(configuration)
    markers = PendingMarkers(isCollecting: collectsMarkers)
    renderer.notesRanges = collectsMarkers
  }

  // MARK: - Blocks

  /// Returns the next block, with its samples in the scratch; nil if none is decidable now, or ever (`isDrained`).
  ///
  /// `isFurther`: a block was just taken at this time. Then only published entries are read, not the clock.
  mutating func next(
    now: StreamTime, isFurther: Bool, log deliveryLog: inout DeliveryLog
  ) throws(ForkStream.Broken) -> RenderedBlock? {
    var skipsLeft = BlockReader.skippedBlocksMax
    var mayAdvanceClock = !isFurther
    while skipsLeft > 0 {
      if let block = renderer.nextBlock(into: &scratch.samples) {
        if let rest = unsent(of: block, &deliveryLog) { return rest }
        skipsLeft -= 1
      } else {
        takeGaps(&deliveryLog)
        guard try feed(now, isFurther: isFurther, mayAdvanceClock: &mayAdvanceClock) else { return nil }
      }
    }
    return nil
  }

  /// Gives the renderer the next entry, the end of capture, or the time. Returns false if there is nothing new.
  private mutating func feed(
    _ now: StreamTime, isFurther: Bool, mayAdvanceClock: inout Bool
  ) throws(ForkStream.Broken) -> Bool {
    guard !isFinished else {
      // Entries that a writer publishes after the end are not read. The totals show them as undelivered.
      isDrained = true
      return false
    }
    let sequence = renderer.nextSequence
    switch source.read(sequence, into: &scratch.entry) {
    case .audio(let entry): renderer.consume(entry, samples: scratch.entry)
    case .digit(let digit):
      if configuration.directions.contains(digit.direction) {
        markers.note(digit, sequence: sequence, position: position)
      }
      renderer.skip(to: sequence &+ 1)
    case .unknownKind: renderer.skip(to: sequence &+ 1)
    case .missing(let next): renderer.skip(to: max(next ?? 0, sequence &+ 1))
    case .broken(let reason): throw ForkStream.Broken(reason: reason)
    case .loading: return false
    case .notYet:
      guard !isFurther else { return false }
      if finishIfClosed() { return true }
      // The next entries are captured, in a ring that cannot be opened now: time must not pass over them.
      guard mayAdvanceClock, !ring.isBlocked else { return false }
      mayAdvanceClock = false
      advanceClock(now)
    }
    return true
  }

  /// Returns the part of a rendered block that the server does not have; nil if it has all of it. Removes the other
  /// samples from the scratch.
  private mutating func unsent(of rendered: RenderedBlock, _ deliveryLog: inout DeliveryLog) -> RenderedBlock? {
    completedAt = max(completedAt, rendered.completedAt)
    var block = rendered
    if takeGaps(&deliveryLog), !configuration.fill, block.position < serverPosition {
      // Without fill a gap takes no positions: the server has other audio at these positions than this block's.
      renderer.advancePosition(by: serverPosition - block.position)
      block.position = serverPosition
    }
    guard block.position < serverPosition else { return block }
    let framesAtServer = serverPosition - block.position
    guard framesAtServer < UInt64(block.frameCount) else {
      // A server says only once per connection what it has. A later replay must not begin before that.
      deliveryLog.advanceConfirmed(to: mark)
      return nil
    }
    block.position = serverPosition
    block.frameCount -= Int(framesAtServer)
    scratch.samples.removeFirst(min(Int(framesAtServer) * configuration.channelCount, scratch.samples.count))
    return block
  }

  /// Takes the renderer's new gaps to the delivery log and the markers. Returns whether there were any.
  @discardableResult
  private mutating func takeGaps(_ deliveryLog: inout DeliveryLog) -> Bool {
    let gaps = renderer.takeGaps()
    guard !gaps.isEmpty else { return false }
    deliveryLog.gaps.note(gaps)
    markers.note(gaps)
    return true
  }

  /// Finishes the renderer if capture has ended and all entries were read. Returns true if it did, or if there are
  /// further entries. The ring's end must be read before `published`: only in this order is the published number the
  /// final one.
  private mutating func finishIfClosed() -> Bool {
    guard isCaptureClosed else { return false }
    // A module that died has not closed its newest ring, and that ring may not be open yet.
    if isOrphaned, !ring.openRest() { return false }
    guard ring.published <= renderer.nextSequence else { return true }
    isFinished = true
    renderer.finish(capturedIn: ring.captured(.in), capturedOut: ring.captured(.out))
    return true
  }

  private mutating func advanceClock(_ now: StreamTime) {
    renderer.clock(now: now, onlyWaiting: !configuration.fill)
    if renderer.clockDecisions != decisionsSaved { hasUnsavedDecisions = true }
  }

  /// Whether capture has ended.
  var isCaptureClosed: Bool { isOrphaned || ring.closedAt != nil }

  /// The number of the next entry to read.
  var nextSequence: UInt64 { renderer.nextSequence }

  // MARK: - Where the stream is

  /// Position of the next block.
  var position: Position { renderer.position }

  /// The mark after the block taken last.
  var mark: DeliveryLog.Mark {
    DeliveryLog.Mark(
      checkpoint: renderer.checkpoint, completedAt: completedAt,
      ranges: markers.ranges(untaken: renderer.ranges, at: position))
  }

  /// Whether there are ranges of fill or muted audio that were not sent to the server.
  var hasUnsentRanges: Bool { renderer.hasRanges }

  /// Returns the ranges of fill and muted audio that were not sent, once per second of the stream. `all`: without
  /// waiting for that second.
  mutating func takeRanges(all: Bool) -> [StreamMarker] {
    guard markers.isCollecting, all || markers.areRangesDue(at: position, rate: configuration.wireRate)
    else { return [] }
    return markers.take(renderer.takeRanges(), at: position)
  }

  /// Returns the clock decisions. They count as saved from now on.
  mutating func decisionsToSave() -> [ClockDecision] {
    decisionsSaved = renderer.clockDecisions
    hasUnsavedDecisions = false
    return decisionsSaved
  }

  /// No replay will begin before `checkpoint`.
  mutating func forgetDecisions(before checkpoint: Checkpoint) { renderer.forgetClockDecisions(before: checkpoint) }

  /// Returns to the confirmed mark. The renderer repeats the clock decisions made since.
  mutating func rewind(to mark: DeliveryLog.Mark) {
    var mark = mark
    mark.checkpoint = mark.checkpoint.withClockDecisions(renderer.clockDecisions)
    resume(at: mark)
  }

  /// Continues at the mark.
  mutating func resume(at mark: DeliveryLog.Mark) {
    renderer = Renderer(configuration, resumingAt: mark.checkpoint)
    renderer.notesRanges = markers.isCollecting
    renderer.ranges = mark.ranges
    markers.resume(at: mark.checkpoint)
    completedAt = mark.completedAt
    isFinished = false
    isDrained = false
    assert(position == mark.position, "the renderer did not resume at the mark")
  }

  // MARK: - Totals

  /// Totals as of the block taken last.
  var counters: RenderCounters { renderer.counters }

  /// Milliseconds by which `in` is placed later than `out`, beyond their media times.
  var skewMilliseconds: Int64 {
    configuration.wireRate.milliseconds(ofFrames: renderer.shift(of: .in) &- renderer.shift(of: .out))
  }
}
