// SPDX-License-Identifier: Apache-2.0

/// Places captured entries on the fork's timeline and renders decided blocks: `Admission` reads entries in order,
/// `BlockDecisions` says which block is next, `BlockRenderer` makes it.
///
/// All frames are counted at the wire rate from the epoch. Not copyable: it is large, and a copy would be made for each
/// call that does not change it.
struct RenderTimeline: ~Copyable {
  let configuration: RenderConfiguration
  private var admission: Admission
  private var decisions: BlockDecisions
  private var renderer: BlockRenderer
  private var queues: PerDirection<DirectionQueue>
  var ledger = RenderLedger()
  /// How far the last placed entry of a direction was shifted behind its media time, in frames.
  private(set) var shift = PerDirection<Int64>(in: 0, out: 0)

  init(_ configuration: RenderConfiguration) {
    self.configuration = configuration
    admission = Admission()
    decisions = BlockDecisions(configuration)
    renderer = BlockRenderer(configuration)
    queues = PerDirection(
      in: DirectionQueue(.in, gain: configuration.gainIn), out: DirectionQueue(.out, gain: configuration.gainOut))
  }

  init(_ configuration: RenderConfiguration, resumingAt checkpoint: Checkpoint) {
    self.init(configuration)
    admission = Admission(resumingAt: checkpoint)
    decisions = BlockDecisions(configuration, resumingAt: checkpoint)
    ledger.counters = checkpoint.counters
    for direction in Direction.allCases {
      let part = checkpoint[direction]
      queues[direction] = DirectionQueue(
        direction, gain: direction == .in ? configuration.gainIn : configuration.gainOut,
        accounted: checkpoint.counters[direction].accounted, history: part.history, historyEnd: part.historyEnd)
    }
  }

  /// The next entry to read.
  var nextSequence: UInt64 { admission.nextSequence }
  /// Whether fill and muted audio are noted.
  var notesRanges: Bool {
    get { renderer.notesRanges }
    set { renderer.notesRanges = newValue }
  }
  /// What the clock decided.
  var clockDecisions: [ClockDecision] { decisions.clockDecisions }

  private var isReplaying: Bool { admission.replaying != nil }
  private var ends: PerDirection<Int64> { PerDirection(in: queues.in.end, out: queues.out.end) }

  // MARK: Entries

  /// Places an entry, brings its samples to the wire rate, and queues them.
  mutating func consume(
    _ entry: CapturedEntry, samples: [Int16], conversions: inout PerDirection<Conversion?>,
    by kind: any SampleRateConverter.Type
  ) {
    guard let placement = admit(entry, available: samples.count) else { return }
    let wireRate = configuration.wireRateHertz
    switch entry.direction {
    case .in: queues.in.take(entry, samples, placement, wireRate, conversion: &conversions.in, by: kind)
    case .out: queues.out.take(entry, samples, placement, wireRate, conversion: &conversions.out, by: kind)
    }
  }

  /// Takes note of an entry and says where its audio goes; nil when there is nothing to convert and queue.
  private mutating func admit(_ entry: CapturedEntry, available: Int) -> Placement? {
    guard !decisions.isFinishing, let reading = admission.read(entry) else { return nil }
    guard configuration.directions.contains(entry.direction) else { return nil }
    let span = span(of: entry, available: available)
    let end = queues.update(entry.direction) { queue -> Int64? in
      guard span != nil, reading.rendered > 0 || entry.captured >= queue.tailCaptured else { return nil }
      if reading.rendered == 0 { queue.pushGap(.overrun, upTo: entry.captured, sequence: entry.sequence) }
      if entry.isAhead {
        queue.pushGap(.ahead, upTo: entry.captured &+ UInt64(entry.count), sequence: entry.sequence)
      }
      return queue.end
    }
    guard let span, let end else {
      if reading.isNew { ledger.counters.refused &+= 1 }
      return nil
    }
    if entry.isAhead { return nil }
    let frontier = decisions.frontierFrames
    let start = max(span.lowerBound, max(end, frontier))
    shift[entry.direction] = start &- span.lowerBound
    if reading.isNew { decisions.noteArrival(of: entry, frames: span.count) }
    let rendered = min(reading.rendered, span.count)
    return Placement(start: rendered > 0 ? frontier &- Int64(rendered) : start, frames: span.count, rendered: rendered)
  }

  /// Passes over entries without audio, or over those that the reader lost.
  mutating func skip(to sequence: UInt64) { admission.skip(to: sequence) }

  /// The frames that an entry takes by its own account, or nil for one that cannot be true. Entries of a run abut
  /// exactly, whatever their rate.
  private func span(of entry: CapturedEntry, available: Int) -> Range<Int64>? {
    let arrival = entry.arrival
    guard RenderLimit.isUsable(rateHertz: entry.rateHertz), entry.count > 0, entry.count <= available,
      entry.count <= RenderLimit.entrySamplesMax, arrival >= .zero, arrival <= RenderLimit.timeMax,
      entry.runStart >= RenderLimit.timeMin, entry.runStart <= RenderLimit.timeMax,
      entry.runIndex <= RenderLimit.runIndexMax,
      !configuration.fill || arrival - max(decisions.newest, decisions.frontierTime) <= RenderLimit.arrivalJumpMax
    else { return nil }
    // No channel captures more than the highest rate since the epoch; the hour is slack for frames that came early.
    let capturedMax = RenderLimit.rateMax.frames(inSeconds: UInt64((arrival - .zero).wholeSeconds + 3600))
    guard entry.captured <= capturedMax else { return nil }
    let wireRate = configuration.wireRate
    let rate = SampleRate(hertz: entry.rateHertz)
    let runStart = wireRate.frame(at: entry.runStart)
    let lower = runStart &+ wireRate.frame(atOrAfter: entry.runIndex, of: rate)
    let upper = runStart &+ wireRate.frame(atOrAfter: entry.runIndex &+ UInt64(entry.count), of: rate)
    let latest = wireRate.frame(at: arrival + RenderLimit.mediaBeyondArrivalMax)
    guard lower <= upper, lower <= latest else { return nil }
    return lower..<upper
  }

  // MARK: Time

  /// Lets the clock decide blocks (`BlockDecisions.clock`); not in a replay, in which what it decided is known.
  mutating func clock(now: StreamTime, onlyWaiting: Bool) {
    guard !isReplaying else { return }
    decisions.clock(now: now, onlyWaiting: onlyWaiting, ends: ends, nextSequence: nextSequence)
  }

  /// Drops clock decisions that a stream resumed at this checkpoint, or later, has behind it.
  mutating func forgetClockDecisions(before checkpoint: Checkpoint) {
    decisions.forgetClockDecisions(before: checkpoint)
  }

  /// Capture has ended: everything queued is decidable, everything not seen is lost.
  mutating func finish(captured: PerDirection<UInt64>) {
    guard !decisions.isFinishing else { return }
    admission.endReplay()
    decisions.finish()
    for direction in Direction.allCases where configuration.directions.contains(direction) {
      let (total, sequence) = (captured[direction], nextSequence)
      queues.update(direction) { $0.pushGap(.overrun, upTo: total, sequence: sequence) }
    }
  }

  // MARK: Blocks

  mutating func nextBlock(into output: inout [Int16]) -> RenderedBlock? {
    output.removeAll(keepingCapacity: true)
    while !isReplaying, let decision = decisions.next(ends: ends, nextSequence: nextSequence) {
      let block = renderer.render(
        at: decisions.frontierFrames, completedAt: decision.completedAt, queues: &queues, ledger: &ledger, into: &output
      )
      decisions.advance()
      if block.frameCount > 0 { return block }
      skipEmptyBlocks(decision)
    }
    if decisions.isFinishing {
      queues.in.passRest(ledger: &ledger)
      queues.out.passRest(ledger: &ledger)
    }
    return nil
  }

  /// Without fill, goes over decided blocks that have no audio all at once: a hole may be hours long. What is missing
  /// in an empty block is missing in all up to the next audio.
  private mutating func skipEmptyBlocks(_ decision: BlockDecisions.Decision) {
    let blockFrames = Int64(configuration.blockFrames)
    switch (queues.in.nextAudioStart, queues.out.nextAudioStart) {
    case (nil, nil): if decision.isByClock { decisions.advance(to: decision.until) }
    case (let audio?, nil), (nil, let audio?): decisions.advance(to: min(decision.until, audio / blockFrames))
    case (let first?, let second?):
      decisions.advance(to: min(decision.until, min(first, second) / blockFrames))
    }
  }

  // MARK: Checkpoint

  /// The state at the current block boundary.
  var checkpoint: Checkpoint {
    if let replaying = admission.replaying { return replaying }
    return Checkpoint(
      configuration: configuration, sequence: nextSequence, block: decisions.frontier,
      newestArrival: decisions.newest, resumedArrival: decisions.resumed, counters: ledger.counters,
      in: part(queues.in), out: part(queues.out), clockDecisions: decisions.clockDecisions)
  }

  private func part(_ queue: borrowing DirectionQueue) -> Checkpoint.Part {
    Checkpoint.Part(
      firstSequence: queue.firstSequence ?? nextSequence, renderedOfFirst: queue.renderedOfFirst,
      lastArrival: decisions.lastArrival[queue.direction], historyEnd: queue.historyEnd, history: queue.history)
  }
}
