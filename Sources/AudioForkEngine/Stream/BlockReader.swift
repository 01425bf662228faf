// SPDX-License-Identifier: Apache-2.0
internal import AudioForkMedia
internal import AudioForkDialects
internal import AudioForkResampling
internal import AudioForkRing

/// Reads a fork's entries and renders them to the blocks that its server lacks.
///
/// The gaps that it meets go to the delivery log, and with the digits to `markers`. After a break `rewind(to:)` goes
/// back to the confirmed mark.
struct BlockReader: ~Copyable {
  /// Maximum blocks that one call skips because the server has them already: the event loop has other forks.
  private static let passedMax = 200

  let ring: RingReader
  let configuration: RenderConfiguration
  private let source: LayeredSource<RingSource, SpoolSource>
  private let scratch: RenderScratch
  private var renderer: Renderer<SpeexConverter>
  /// What the server is to be told beside the audio.
  var markers: UntoldMarkers
  /// The server has the stream up to here already: blocks before it are not sent again.
  var passUntil = Position.zero
  /// The module no longer writes the ring, although the ring may not say so.
  var isOrphaned = false
  /// The renderer knows that capture has ended.
  private var isFinished = false
  /// Capture has ended and every block has been taken.
  private(set) var isDrained = false
  /// When the newest block taken became decidable.
  private(set) var completedAt = StreamTime.zero
  /// What the clock had decided when that was saved last.
  private var decisionsSaved: [ClockDecision] = []
  /// The clock has decided more. A replay cannot find that in the ring: it has to be saved before its blocks are sent.
  private(set) var hasUnsavedDecisions = false

  /// Begins at the epoch.
  init(
    ring: RingReader, spool: ForkSpool?, configuration: RenderConfiguration, collectsMarkers: Bool,
    scratch: RenderScratch
  ) {
    self.ring = ring
    self.configuration = configuration
    self.scratch = scratch
    source = LayeredSource(RingSource(ring), then: spool.map { SpoolSource($0) })
    renderer = Renderer(configuration)
    markers = UntoldMarkers(isCollecting: collectsMarkers)
    renderer.notesRanges = collectsMarkers
  }

  // MARK: - Blocks

  /// Returns the next block, with its samples in the scratch; nil if none is decidable now, or ever (`isDrained`).
  ///
  /// `isFurther`: a block was just taken at this time, so that only what is published needs to be looked at.
  mutating func next(
    now: StreamTime, isFurther: Bool, log: inout DeliveryLog
  ) throws(ForkStream.Broken) -> RenderedBlock? {
    var passable = BlockReader.passedMax
    var mayTellTime = !isFurther
    while passable > 0 {
      if let block = renderer.nextBlock(into: &scratch.samples) {
        if let rest = unsent(of: block, &log) { return rest }
        passable -= 1
      } else {
        takeGaps(&log)
        guard try feed(now, isFurther: isFurther, mayTellTime: &mayTellTime) else { return nil }
      }
    }
    return nil
  }

  /// Gives the renderer the next entry, the end of capture, or the time. Returns false if there is nothing to give.
  private mutating func feed(
    _ now: StreamTime, isFurther: Bool, mayTellTime: inout Bool
  ) throws(ForkStream.Broken) -> Bool {
    guard !isFinished else {
      // Entries that a writer publishes behind the end are not read. The totals show them as undelivered.
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
      guard mayTellTime else { return false }
      mayTellTime = false
      tellTime(now)
    }
    return true
  }

  /// What of a rendered block the server lacks; nil if it has all of it. The samples are cut likewise.
  private mutating func unsent(of rendered: RenderedBlock, _ log: inout DeliveryLog) -> RenderedBlock? {
    completedAt = max(completedAt, rendered.completedAt)
    var block = rendered
    if takeGaps(&log), !configuration.fill, block.position < passUntil {
      // Without fill a gap takes no positions: the audio behind it is not what the server has at these positions.
      renderer.advancePosition(by: passUntil - block.position)
      block.position = passUntil
    }
    guard block.position < passUntil else { return block }
    let passed = passUntil - block.position
    guard passed < UInt64(block.frameCount) else {
      // The server says what it has only once per connection: a replay must not begin before it.
      log.pass(to: mark)
      return nil
    }
    block.position = passUntil
    block.frameCount -= Int(passed)
    scratch.samples.removeFirst(min(Int(passed) * configuration.channelCount, scratch.samples.count))
    return block
  }

  /// Passes the renderer's new gaps on. Returns whether there were any.
  @discardableResult
  private mutating func takeGaps(_ log: inout DeliveryLog) -> Bool {
    let gaps = renderer.takeGaps()
    guard !gaps.isEmpty else { return false }
    log.gaps.meet(gaps)
    markers.note(gaps)
    return true
  }

  /// Tells the renderer that capture has ended, once it has read everything. Returns whether that is so. The ring's end
  /// is read before `published`: only in this order is the published number the last one.
  private mutating func finishIfClosed() -> Bool {
    guard isCaptureClosed, ring.published <= renderer.nextSequence else { return false }
    isFinished = true
    renderer.finish(capturedIn: ring.captured(.in), capturedOut: ring.captured(.out))
    return true
  }

  private mutating func tellTime(_ now: StreamTime) {
    renderer.clock(now: now, onlyWaiting: !configuration.fill)
    if renderer.clockDecisions != decisionsSaved { hasUnsavedDecisions = true }
  }

  /// Whether capture has ended.
  var isCaptureClosed: Bool { isOrphaned || ring.closedAt != nil }

  /// The entry that is needed next.
  var nextSequence: UInt64 { renderer.nextSequence }

  // MARK: - Where the stream is

  /// Position of the next block.
  var position: Position { renderer.position }

  /// The place behind the block taken last.
  var mark: DeliveryLog.Mark {
    DeliveryLog.Mark(
      checkpoint: renderer.checkpoint, completedAt: completedAt,
      ranges: markers.ranges(untaken: renderer.ranges, at: position))
  }

  /// Whether there is fill or muted audio that the server has not been told.
  var hasUntoldRanges: Bool { renderer.hasRanges }

  /// Takes the fill and muted audio that the server has not been told, once a second of the stream. `all`: at once.
  mutating func takeRanges(all: Bool) -> [StreamMarker] {
    guard markers.isCollecting, all || markers.areRangesDue(at: position, rate: configuration.wireRate)
    else { return [] }
    return markers.tell(renderer.takeRanges(), at: position)
  }

  /// What the clock has decided. It counts as saved from now on.
  mutating func decisionsToSave() -> [ClockDecision] {
    decisionsSaved = renderer.clockDecisions
    hasUnsavedDecisions = false
    return decisionsSaved
  }

  /// No replay will begin before `checkpoint`.
  mutating func forgetDecisions(before checkpoint: Checkpoint) { renderer.forgetClockDecisions(before: checkpoint) }

  /// Goes back to the confirmed mark. The renderer repeats what the clock has decided since.
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

  /// By how much `in` is placed later than `out`, beyond their media times.
  var skewMilliseconds: Int64 {
    configuration.wireRate.milliseconds(ofFrames: renderer.shift(of: .in) &- renderer.shift(of: .out))
  }
}
