// SPDX-License-Identifier: Apache-2.0

/// Places captured entries on the fork's timeline and decides blocks: everything of rendering but the conversion of
/// rates (`Renderer` does that between `admit` and `queues[d].push`).
///
/// All frames are counted at the wire rate from the epoch. What was decided once is never changed. Not copyable: it is large,
/// and a copy would be made for each call that does not change it.
struct RenderTimeline: ~Copyable {
  /// An entry's place, as `admit` found it.
  struct Placement {
    var start: Int64
    var frames: Int
    /// Leading frames that the stream passed before a break.
    var rendered: Int
  }

  let configuration: RenderConfiguration
  let blockFrames: Int
  private let hasIn: Bool
  private let hasOut: Bool
  var queues: PerDirection<DirectionQueue>
  var ledger = RenderLedger()
  /// The next entry to read.
  private(set) var nextSequence: UInt64 = 0
  /// Blocks decided so far: block `frontier` is next.
  private(set) var frontier: Int64 = 0
  private(set) var clockDecisions: [ClockDecision] = []
  /// How far the last placed entry of a direction was shifted behind its media time, in frames.
  private(set) var shift = PerDirection<Int64>(in: 0, out: 0)

  /// Newest arrival consumed. From 0, as in the model: a first entry within 160 ms of the epoch ends no silence.
  private var newest = StreamTime.zero
  private var lastArrival = PerDirection(in: Checkpoint.never, out: Checkpoint.never)
  private var resumed = Checkpoint.never
  private var isFinishing = false
  /// Set while entries that were consumed before a break are read again.
  private var replaying: Checkpoint?
  /// What each direction covers of the block being rendered; reused, as the next ones.
  private var ranges = PerDirection(in: BlockRanges(), out: BlockRanges())
  private var coveredRanges: [Range<Int>] = []
  /// Whether fill and muted audio are noted.
  var notesRanges = false
  /// The right channel of the block being rendered; reused.
  private var right: [Int16] = []

  init(_ configuration: RenderConfiguration) {
    self.configuration = configuration
    queues = PerDirection(
      in: DirectionQueue(.in, gain: configuration.gainIn), out: DirectionQueue(.out, gain: configuration.gainOut))
    blockFrames = configuration.blockFrames
    hasIn = configuration.directions.contains(.in)
    hasOut = configuration.directions.contains(.out)
  }

  init(_ configuration: RenderConfiguration, resumingAt checkpoint: Checkpoint) {
    self.init(configuration)
    nextSequence = checkpoint.oldestSequence
    frontier = checkpoint.block
    clockDecisions = checkpoint.clockDecisions
    ledger.counters = checkpoint.counters
    newest = checkpoint.newestArrival
    resumed = checkpoint.resumedArrival
    for direction in Direction.allCases {
      let part = checkpoint[direction]
      lastArrival[direction] = part.lastArrival
      queues[direction] = DirectionQueue(
        direction, gain: direction == .in ? configuration.gainIn : configuration.gainOut, accounted: checkpoint.counters[direction].accounted, history: part.history,
        historyEnd: part.historyEnd)
    }
    if nextSequence < checkpoint.sequence { replaying = checkpoint }
  }

  private var hasTwoDirections: Bool { hasIn && hasOut }
  private var frontierFrames: Int64 { frontier &* Int64(blockFrames) }
  private var frontierTime: StreamTime { .zero + RenderLimit.blockLength * frontier }

  // MARK: Entries

  /// Takes note of an entry and says where its audio goes; nil when there is nothing to convert and queue.
  mutating func admit(_ entry: CapturedEntry, available: Int) -> Placement? {
    guard entry.sequence >= nextSequence, !isFinishing else { return nil }
    nextSequence = entry.sequence &+ 1
    defer { endReplayWhenReached() }
    let direction = entry.direction
    var rendered = 0
    if let replaying, entry.sequence < replaying.sequence {
      guard entry.sequence >= replaying[direction].firstSequence else { return nil }
      if entry.sequence == replaying[direction].firstSequence { rendered = replaying[direction].renderedOfFirst }
    }
    guard configuration.directions.contains(direction) else { return nil }
    let span = span(of: entry, available: available)
    let end = queues.update(direction) { queue -> Int64? in
      guard span != nil, rendered > 0 || entry.captured >= queue.tailCaptured else { return nil }
      if rendered == 0 { queue.pushGap(.overrun, upTo: entry.captured, sequence: entry.sequence) }
      if entry.isAhead {
        queue.pushGap(.ahead, upTo: entry.captured &+ UInt64(entry.count), sequence: entry.sequence)
      }
      return queue.end
    }
    guard let span, let end else {
      if isNew(entry) { ledger.counters.refused &+= 1 }
      return nil
    }
    if entry.isAhead { return nil }
    let start = max(span.lowerBound, max(end, frontierFrames))
    shift[direction] = start &- span.lowerBound
    if isNew(entry) { note(entry) }
    rendered = min(rendered, span.count)
    return Placement(
      start: rendered > 0 ? frontierFrames &- Int64(rendered) : start, frames: span.count, rendered: rendered)
  }

  /// Passes over entries without audio, or over those that the reader lost.
  mutating func skip(to sequence: UInt64) {
    guard sequence > nextSequence else { return }
    nextSequence = sequence
    endReplayWhenReached()
  }

  private func isNew(_ entry: CapturedEntry) -> Bool {
    guard let replaying else { return true }
    return entry.sequence >= replaying.sequence
  }

  private mutating func endReplayWhenReached() {
    if let replaying, nextSequence >= replaying.sequence { self.replaying = nil }
  }

  /// What decisions know of an entry: when it arrived.
  private mutating func note(_ entry: CapturedEntry) {
    let arrival = entry.arrival
    if arrival - newest > RenderLimit.silence { resumed = arrival }
    lastArrival[entry.direction] = arrival
    newest = max(newest, arrival)
  }

  /// The frames that an entry takes by its own account, or nil for one that cannot be true. Entries of a run abut
  /// exactly, whatever their rate.
  private func span(of entry: CapturedEntry, available: Int) -> Range<Int64>? {
    let arrival = entry.arrival
    guard RenderLimit.isUsable(rateHertz: entry.rateHertz), entry.count > 0, entry.count <= available,
      entry.count <= RenderLimit.entrySamplesMax, arrival >= .zero, arrival <= RenderLimit.timeMax,
      entry.runStart >= RenderLimit.timeMin, entry.runStart <= RenderLimit.timeMax, entry.runIndex <= RenderLimit.runIndexMax,
      !configuration.fill || arrival - max(newest, frontierTime) <= RenderLimit.arrivalJumpMax
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

  // MARK: Decisions

  /// Why a block may be rendered.
  private struct Decision {
    /// When it became decidable.
    var completedAt: StreamTime
    /// The first block that the same reason does not reach.
    var until: Int64 = .max
    var isByClock = false
  }

  /// The decision on the next block; nil while there is none.
  private func decision() -> Decision? {
    guard replaying == nil else { return nil }
    let blockEnd = frontierFrames &+ Int64(blockFrames)
    let time = frontierTime
    let lacksIn = hasIn && queues.in.end < blockEnd
    let lacksOut = hasOut && queues.out.end < blockEnd
    if !lacksIn && !lacksOut { return Decision(completedAt: newest) }
    if isFinishing {
      return max(queues.in.end, queues.out.end) > frontierFrames ? Decision(completedAt: newest) : nil
    }
    if hasTwoDirections && lacksIn != lacksOut {
      let last = lacksIn ? lastArrival.in : lastArrival.out
      let isAbsent = newest - last >= RenderLimit.absent
      let wait = isAbsent ? RenderLimit.waitAbsent : RenderLimit.wait
      // After a silence of all directions both may come back first.
      let isSettled = time >= resumed || newest >= resumed + RenderLimit.wait
      let until = (newest - wait - .zero) / RenderLimit.blockLength
      if isSettled && frontier < until { return Decision(completedAt: newest, until: until) }
      // In a silence nothing newer comes that could decide it.
    }
    guard clockDecisions.contains(where: { $0.sequence <= nextSequence && frontier < $0.to }) else { return nil }
    let until = clockDecisions.reduce(frontier) { $1.sequence <= nextSequence ? max($0, $1.to) : $0 }
    return Decision(
      completedAt: time + RenderLimit.blockLength + idle, until: until, isByClock: true)
  }

  /// How far the clock's fill stays behind the clock.
  private var idle: Nanoseconds {
    let idle =
      hasTwoDirections ? RenderLimit.idleFill : RenderLimit.idleFillOneDirection
    return idle + RenderLimit.idleSlack
  }

  /// Lets the clock decide blocks that lack a direction when all have been silent for so long, and remembers that it
  /// did. One direction may end a little earlier than the other, or reach ahead. `onlyWaiting`: only blocks that have
  /// audio of one, so that what comes later is not shifted behind fill that nobody is sent.
  mutating func clock(now: StreamTime, onlyWaiting: Bool) {
    guard replaying == nil, !isFinishing, now >= .zero, now <= RenderLimit.timeMax else { return }
    var target = (now - idle - .zero) / RenderLimit.blockLength
    if onlyWaiting {
      let frames = Int64(blockFrames)
      target = min(target, (max(queues.in.end, queues.out.end) &+ frames &- 1) / frames)
    }
    let blockEnd = frontierFrames &+ Int64(blockFrames)
    let lacksIn = !hasIn || queues.in.end < blockEnd
    let lacksOut = !hasOut || queues.out.end < blockEnd
    // Where one reaches the block, the other is waited for by arrivals as long as there are any.
    let isSilent = now - newest > RenderLimit.silence
    guard target > frontier, lacksIn && lacksOut || (lacksIn || lacksOut) && isSilent else { return }
    if let last = clockDecisions.last, last.sequence == nextSequence {
      guard target > last.to else { return }
      clockDecisions[clockDecisions.count - 1].to = target
    } else {
      guard clockDecisions.count < RenderLimit.clockDecisionsMax else { return }
      clockDecisions.append(ClockDecision(sequence: nextSequence, from: frontier, to: target))
    }
  }

  /// Drops clock decisions that a stream resumed at this checkpoint, or later, has behind it.
  mutating func forgetClockDecisions(before checkpoint: Checkpoint) {
    clockDecisions.removeAll { $0.to <= checkpoint.block }
  }

  /// Capture has ended: everything queued is decidable, everything not seen is lost.
  mutating func finish(captured: PerDirection<UInt64>) {
    guard !isFinishing else { return }
    replaying = nil
    isFinishing = true
    for direction in Direction.allCases where configuration.directions.contains(direction) {
      let (total, sequence) = (captured[direction], nextSequence)
      queues.update(direction) { $0.pushGap(.overrun, upTo: total, sequence: sequence) }
    }
  }

  // MARK: Blocks

  mutating func nextBlock(into output: inout [Int16]) -> RenderedBlock? {
    output.removeAll(keepingCapacity: true)
    while let decision = decision() {
      let block = renderBlock(into: &output, completedAt: decision.completedAt)
      if block.frameCount > 0 { return block }
      skipEmptyBlocks(decision)
    }
    if isFinishing {
      queues.in.passRest(ledger: &ledger)
      queues.out.passRest(ledger: &ledger)
    }
    return nil
  }

  private mutating func renderBlock(into output: inout [Int16], completedAt: StreamTime) -> RenderedBlock {
    let start = frontierFrames
    let position = ledger.counters.position
    var covered = PerDirection(in: 0, out: 0)
    // The two are written out, here and below, because iterating over all cases allocates.
    if hasIn {
      ranges.in.removeAll()
      covered.in = queues.in.render(
        start: start, count: blockFrames, layer: .first, into: &output, covered: &ranges.in, ledger: &ledger)
    }
    if configuration.isStereo {
      ranges.out.removeAll()
      right.removeAll(keepingCapacity: true)
      covered.out = queues.out.render(
        start: start, count: blockFrames, layer: .first, into: &right, covered: &ranges.out, ledger: &ledger)
    } else if hasOut {
      ranges.out.removeAll()
      covered.out = queues.out.render(
        start: start, count: blockFrames, layer: hasIn ? .added : .first, into: &output, covered: &ranges.out,
        ledger: &ledger)
    }
    var isCut = false
    if !configuration.fill, covered.in < blockFrames, covered.out < blockFrames {
      isCut = true
      coveredRanges.removeAll(keepingCapacity: true)
      coveredRanges.append(contentsOf: ranges.in.audio)
      coveredRanges.append(contentsOf: ranges.out.audio)
      coveredRanges.sort { $0.lowerBound < $1.lowerBound }
      RenderTimeline.keepOnly(coveredRanges, of: &output)
      if configuration.isStereo { RenderTimeline.keepOnly(coveredRanges, of: &right) }
    }
    if notesRanges {
      if hasIn { note(.in, ranges.in, covered.in, position, isCut: isCut) }
      if hasOut { note(.out, ranges.out, covered.out, position, isCut: isCut) }
    }
    let frames = output.count
    let fillIn = hasIn ? frames - covered.in : 0
    let fillOut = hasOut ? frames - covered.out : 0
    ledger.counters.in.fill &+= UInt64(fillIn)
    ledger.counters.out.fill &+= UInt64(fillOut)
    frontier &+= 1
    ledger.counters.position += UInt64(frames)
    if configuration.isStereo { interleave(into: &output) }
    return RenderedBlock(position: position, frameCount: frames, fill: fillIn + fillOut, completedAt: completedAt)
  }

  /// Notes what of a block a direction does not cover, and what of it is muted. `isCut`: only frames that some
  /// direction covers are in the stream.
  private mutating func note(_ direction: Direction, _ ranges: BlockRanges, _ covered: Int, _ position: Position, isCut: Bool) {
    for range in ranges.muted { note(.muted, direction, range, position, isCut: isCut) }
    guard covered < blockFrames else { return }
    var done = 0
    for range in ranges.audio {
      note(.fill, direction, done..<max(done, range.lowerBound), position, isCut: isCut)
      done = max(done, range.upperBound)
    }
    note(.fill, direction, done..<max(done, blockFrames), position, isCut: isCut)
  }

  private mutating func note(
    _ kind: StreamRange.Kind, _ direction: Direction, _ range: Range<Int>, _ position: Position, isCut: Bool
  ) {
    let first = isCut ? kept(before: range.lowerBound) : range.lowerBound
    let end = isCut ? kept(before: range.upperBound) : range.upperBound
    guard end > first else { return }
    ledger.note(
      StreamRange(kind, direction, position: position + UInt64(first), frames: UInt64(end - first)))
  }

  /// Frames of a cut block that were kept before this one.
  private func kept(before frame: Int) -> Int {
    var kept = 0
    var done = 0
    for range in coveredRanges where range.upperBound > done {
      let lower = max(range.lowerBound, done)
      kept += max(min(range.upperBound, frame) - lower, 0)
      done = range.upperBound
    }
    return kept
  }

  /// Makes frames of what is the left channel so far: from the end, so that nothing is overwritten before it moved.
  private func interleave(into output: inout [Int16]) {
    let frames = output.count
    output.append(contentsOf: right)
    for index in stride(from: frames - 1, through: 0, by: -1) {
      output[2 * index] = output[index]
      output[2 * index + 1] = right[index]
    }
  }

  /// Without fill only frames that some direction covers are sent. `ranges` are in order and may overlap.
  private static func keepOnly(_ ranges: [Range<Int>], of output: inout [Int16]) {
    var kept = 0
    var done = 0
    for range in ranges where range.upperBound > done {
      for index in max(range.lowerBound, done)..<range.upperBound {
        output[kept] = output[index]
        kept += 1
      }
      done = range.upperBound
    }
    output.removeLast(output.count - kept)
  }

  /// Without fill, goes over decided blocks that have no audio all at once: a hole may be hours long. What is missing
  /// in an empty block is missing in all up to the next audio.
  private mutating func skipEmptyBlocks(_ decision: Decision) {
    switch (queues.in.nextAudioStart, queues.out.nextAudioStart) {
    case (nil, nil): if decision.isByClock { frontier = max(frontier, decision.until) }
    case (let audio?, nil), (nil, let audio?):
      frontier = max(frontier, min(decision.until, audio / Int64(blockFrames)))
    case (let first?, let second?):
      frontier = max(frontier, min(decision.until, min(first, second) / Int64(blockFrames)))
    }
  }

  // MARK: Checkpoint

  /// The state at the current block boundary.
  var checkpoint: Checkpoint {
    if let replaying { return replaying }
    return Checkpoint(
      configuration: configuration, sequence: nextSequence, block: frontier, newestArrival: newest,
      resumedArrival: resumed, counters: ledger.counters, in: part(queues.in), out: part(queues.out),
      clockDecisions: clockDecisions)
  }

  private func part(_ queue: borrowing DirectionQueue) -> Checkpoint.Part {
    Checkpoint.Part(
      firstSequence: queue.firstSequence ?? nextSequence, renderedOfFirst: queue.renderedOfFirst,
      lastArrival: lastArrival[queue.direction], historyEnd: queue.historyEnd, history: queue.history)
  }
}
