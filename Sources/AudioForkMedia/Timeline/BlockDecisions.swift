// SPDX-License-Identifier: Apache-2.0

/// Decides which block is rendered next, and when: docs/internals/timeline.md, "Decisions". Knows arrivals and how far
/// each direction's audio reaches, and no samples. What was decided once is never changed.
struct BlockDecisions {
  /// Why a block may be rendered.
  struct Decision {
    /// When it became decidable.
    var completedAt: StreamTime
    /// The first block that the same reason does not reach.
    var until: Int64 = .max
    var isByClock = false
  }

  /// Blocks decided so far: block `frontier` is next.
  private(set) var frontier: Int64 = 0
  /// What the clock decided, and a replay cannot find in the ring.
  private(set) var clockDecisions: [ClockDecision] = []
  /// Newest arrival consumed. It begins at 0: a first entry within 160 ms of the epoch ends no silence.
  private(set) var newest = StreamTime.zero
  /// Newest arrival of each direction.
  private(set) var lastArrival = PerDirection(in: Checkpoint.never, out: Checkpoint.never)
  /// The arrival that ended the last silence of all directions.
  private(set) var resumed = Checkpoint.never
  /// Length of the entry that arrived last, in sample frames at the wire rate. A resumed stream need not know it: it
  /// only bears on what the clock decides from then on.
  private var newestFrames = 0
  /// Capture has ended.
  private(set) var isFinishing = false

  private let hasIn: Bool
  private let hasOut: Bool
  private let blockFrames: Int64
  private let framesPerSecond: Int64
  /// `RenderConfiguration.align`.
  private let align: Nanoseconds
  /// The part of `align` that arrivals count: whole blocks, since the next arrival comes a block later.
  private let wait: Nanoseconds
  /// The same for a direction that has been silent for long.
  private let waitAbsent: Nanoseconds
  /// A longer time without arrivals is a silence of all directions. It is longer than the clock lets audio wait, so
  /// that the last words are gone when an arrival ends the silence.
  private let silence: Nanoseconds

  init(_ configuration: RenderConfiguration) {
    hasIn = configuration.directions.contains(.in)
    hasOut = configuration.directions.contains(.out)
    blockFrames = Int64(configuration.blockFrames)
    framesPerSecond = Int64(configuration.wireRateHertz)
    align = configuration.align
    wait = RenderLimit.blockLength * (align / RenderLimit.blockLength)
    waitAbsent = min(RenderLimit.waitAbsentMax, wait)
    silence = max(RenderLimit.silenceMin, align + RenderLimit.blockLength * 2)
  }

  init(_ configuration: RenderConfiguration, resumingAt checkpoint: Checkpoint) {
    self.init(configuration)
    frontier = checkpoint.block
    clockDecisions = checkpoint.clockDecisions
    newest = checkpoint.newestArrival
    resumed = checkpoint.resumedArrival
    lastArrival = PerDirection(in: checkpoint.in.lastArrival, out: checkpoint.out.lastArrival)
  }

  /// The next block's first sample frame.
  var frontierFrames: Int64 { frontier &* blockFrames }
  /// The next block's time.
  var frontierTime: StreamTime { .zero + RenderLimit.blockLength * frontier }
  private var hasTwoDirections: Bool { hasIn && hasOut }

  /// Takes note of an entry's arrival. `frames`: its length at the wire rate.
  mutating func noteArrival(of entry: CapturedEntry, frames: Int) {
    let arrival = entry.arrival
    if arrival - newest > silence { resumed = arrival }
    lastArrival[entry.direction] = arrival
    newestFrames = frames
    newest = max(newest, arrival)
  }

  /// Capture has ended: what is queued is decidable.
  mutating func finish() { isFinishing = true }

  /// The next block has been rendered.
  mutating func advance() { frontier &+= 1 }

  /// Goes over blocks that have no audio.
  mutating func advance(to block: Int64) { frontier = max(frontier, block) }

  /// The decision on the next block; nil while there is none. `ends`: how far each direction's audio reaches.
  /// `nextSequence`: the entry that is needed next.
  func next(ends: PerDirection<Int64>, nextSequence: UInt64) -> Decision? {
    let blockEnd = frontierFrames &+ blockFrames
    let lacksIn = hasIn && ends.in < blockEnd
    let lacksOut = hasOut && ends.out < blockEnd
    if !lacksIn && !lacksOut { return Decision(completedAt: newest) }
    if isFinishing {
      return max(ends.in, ends.out) > frontierFrames ? Decision(completedAt: newest) : nil
    }
    if hasTwoDirections && lacksIn != lacksOut, let decision = afterWaiting(lacksIn: lacksIn) { return decision }
    guard clockDecisions.contains(where: { $0.sequence <= nextSequence && frontier < $0.to }) else { return nil }
    let until = clockDecisions.reduce(frontier) { $1.sequence <= nextSequence ? max($0, $1.to) : $0 }
    let filledAt = frontierTime + RenderLimit.blockLength + idle
    let hasAudio = max(ends.in, ends.out) > frontierFrames
    return Decision(completedAt: hasAudio ? min(waitedAt, filledAt) : filledAt, until: until, isByClock: true)
  }

  /// One of two directions reaches the block. The other one has been waited for long enough once arrivals are so much
  /// newer than the block; nil before.
  private func afterWaiting(lacksIn: Bool) -> Decision? {
    let last = lacksIn ? lastArrival.in : lastArrival.out
    let isAbsent = newest - last >= RenderLimit.absent
    // After a silence of all directions both may come back first.
    let isSettled = frontierTime >= resumed || newest >= resumed + wait
    let until = (newest - (isAbsent ? waitAbsent : wait) - .zero) / RenderLimit.blockLength
    return isSettled && frontier < until ? Decision(completedAt: newest, until: until) : nil
  }

  // MARK: The clock

  /// How far the clock's fill stays behind the clock.
  private var idle: Nanoseconds {
    (hasTwoDirections ? RenderLimit.idleFill : RenderLimit.idleFillOneDirection) + RenderLimit.idleSlack
  }

  /// When the next block's audio has waited for long enough.
  private var waitedAt: StreamTime {
    let end = frontierTime + RenderLimit.blockLength
    // After a silence of all directions both may come back first.
    return (frontierTime < resumed ? max(end, resumed) : end) + align
  }

  /// Lets the clock decide blocks that lack a direction, and remembers that it did: blocks with audio once it has
  /// waited for `align` and nothing more arrives, blocks without any when all directions have been silent for long.
  /// `onlyWaiting`: only blocks that have audio of one, so that later audio is not shifted behind fill that is not
  /// sent.
  mutating func clock(now: StreamTime, onlyWaiting: Bool, ends: PerDirection<Int64>, nextSequence: UInt64) {
    guard !isFinishing, now >= .zero, now <= RenderLimit.timeMax else { return }
    let reach = max(ends.in, ends.out)
    if reach > frontierFrames, now >= waitedAt { decideWaiting(now: now, reach: reach, nextSequence: nextSequence) }
    var target = (now - idle - .zero) / RenderLimit.blockLength
    if onlyWaiting { target = min(target, firstBlock(behind: reach)) }
    let blockEnd = frontierFrames &+ blockFrames
    let lacksIn = !hasIn || ends.in < blockEnd
    let lacksOut = !hasOut || ends.out < blockEnd
    // Where one direction reaches the block, arrivals decide as long as there are any.
    let isSilent = now - newest > RenderLimit.silenceMin
    guard target > frontier, lacksIn && lacksOut || (lacksIn || lacksOut) && isSilent else { return }
    decide(upTo: target, nextSequence: nextSequence, max: RenderLimit.clockDecisionsMax)
  }

  /// The first block without any of the audio that reaches to this frame.
  private func firstBlock(behind reach: Int64) -> Int64 { (reach &+ blockFrames &- 1) / blockFrames }

  /// The next block's audio has waited for long enough; `reach` is the end of all audio. Where entries come at their
  /// times, arrivals decide: the clock speaks once none has come for longer than the last one lasts.
  private mutating func decideWaiting(now: StreamTime, reach: Int64, nextSequence: UInt64) {
    let regular = max(RenderLimit.blockLength, .seconds(Int64(newestFrames)) / framesPerSecond)
    guard now - newest >= min(regular + RenderLimit.quietSlack, RenderLimit.silenceMin) else { return }
    let target = min((now - align - .zero) / RenderLimit.blockLength, firstBlock(behind: reach))
    guard target > frontier else { return }
    decide(upTo: target, nextSequence: nextSequence, max: RenderLimit.clockDecisionsOfWaitingMax)
  }

  private mutating func decide(upTo target: Int64, nextSequence: UInt64, max limit: Int) {
    if let last = clockDecisions.last, last.sequence == nextSequence {
      guard target > last.to else { return }
      clockDecisions[clockDecisions.count - 1].to = target
    } else {
      guard clockDecisions.count < limit else { return }
      clockDecisions.append(ClockDecision(sequence: nextSequence, from: frontier, to: target))
    }
  }

  /// Drops clock decisions that a stream resumed at this checkpoint, or later, has behind it.
  mutating func forgetClockDecisions(before checkpoint: Checkpoint) {
    clockDecisions.removeAll { $0.to <= checkpoint.block }
  }
}
