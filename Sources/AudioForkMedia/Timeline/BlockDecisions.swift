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
  /// Capture has ended.
  private(set) var isFinishing = false

  private let hasIn: Bool
  private let hasOut: Bool
  private let blockFrames: Int64

  init(_ configuration: RenderConfiguration) {
    hasIn = configuration.directions.contains(.in)
    hasOut = configuration.directions.contains(.out)
    blockFrames = Int64(configuration.blockFrames)
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

  /// Takes note of an entry's arrival.
  mutating func noteArrival(of entry: CapturedEntry) {
    let arrival = entry.arrival
    if arrival - newest > RenderLimit.silence { resumed = arrival }
    lastArrival[entry.direction] = arrival
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
    return Decision(completedAt: frontierTime + RenderLimit.blockLength + idle, until: until, isByClock: true)
  }

  /// One of two directions reaches the block. The other one has been waited for long enough once arrivals are so much
  /// newer than the block; nil before.
  private func afterWaiting(lacksIn: Bool) -> Decision? {
    let last = lacksIn ? lastArrival.in : lastArrival.out
    let isAbsent = newest - last >= RenderLimit.absent
    let wait = isAbsent ? RenderLimit.waitAbsent : RenderLimit.wait
    // After a silence of all directions both may come back first.
    let isSettled = frontierTime >= resumed || newest >= resumed + RenderLimit.wait
    let until = (newest - wait - .zero) / RenderLimit.blockLength
    return isSettled && frontier < until ? Decision(completedAt: newest, until: until) : nil
  }

  /// How far the clock's fill stays behind the clock.
  private var idle: Nanoseconds {
    (hasTwoDirections ? RenderLimit.idleFill : RenderLimit.idleFillOneDirection) + RenderLimit.idleSlack
  }

  /// Lets the clock decide blocks that lack a direction when all have been silent for so long, and remembers that it
  /// did. One direction may end a little earlier than the other, or reach ahead. `onlyWaiting`: only blocks that have
  /// audio of one, so that later audio is not shifted behind fill that is not sent.
  mutating func clock(now: StreamTime, onlyWaiting: Bool, ends: PerDirection<Int64>, nextSequence: UInt64) {
    guard !isFinishing, now >= .zero, now <= RenderLimit.timeMax else { return }
    var target = (now - idle - .zero) / RenderLimit.blockLength
    if onlyWaiting { target = min(target, (max(ends.in, ends.out) &+ blockFrames &- 1) / blockFrames) }
    let blockEnd = frontierFrames &+ blockFrames
    let lacksIn = !hasIn || ends.in < blockEnd
    let lacksOut = !hasOut || ends.out < blockEnd
    // Where one direction reaches the block, arrivals decide as long as there are any.
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
}
