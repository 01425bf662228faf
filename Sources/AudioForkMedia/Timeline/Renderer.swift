// SPDX-License-Identifier: Apache-2.0

/// Turns a fork's ring entries into its stream: a pure function of what the ring holds
/// (docs/internals/timeline.md).
///
/// One owner, one thread. The owner reads entries from `nextSequence` on, gives each to `consume` (or `skip`s it),
/// and after each takes blocks until `nextBlock` returns nil, then the gaps. Between entries it tells the time with
/// `clock`; when the ring is closed and read to its end it calls `finish` and takes the last blocks.
///
/// A renderer resumed at a checkpoint gives, from that block boundary on, the same bytes in the same blocks with the
/// same positions, counters and gaps as the one that made it. Nothing here traps on entries that make no sense: they
/// are treated as lost, and so end up in a gap.
///
/// Audio of another rate than the wire's is converted by `Converter`; a run is converted as a whole, and every run
/// (and every loss inside one) starts it clean. Audio at the wire's rate is copied bit by bit. The converter's
/// constant delay (`SpeexConverter`: at most 3 ms) is not compensated, since that would take look-ahead.
///
/// Only a label for the converter: nothing in here is laid out by it, and what works is not generic, since a generic
/// function of another module is not specialized.
package struct Renderer<Converter: SampleRateConverter>: ~Copyable {
  private var timeline: RenderTimeline
  private var conversions = PerDirection<Conversion?>(in: nil, out: nil)

  /// Starts a stream at the epoch.
  package init(_ configuration: RenderConfiguration) {
    timeline = RenderTimeline(configuration)
  }

  /// Goes on where a checkpoint of the same fork was made. A checkpoint of another configuration is not used: the
  /// stream starts at the epoch then.
  package init(_ configuration: RenderConfiguration, resumingAt checkpoint: Checkpoint) {
    self.init(configuration)
    guard checkpoint.configuration == configuration else { return }
    timeline = RenderTimeline(configuration, resumingAt: checkpoint)
    for direction in Direction.allCases {
      let part = checkpoint[direction]
      guard let end = part.historyEnd, end.runIndex >= UInt64(part.history.count) else { continue }
      var start = end
      start.runIndex &-= UInt64(part.history.count)
      var conversion = Conversion(at: start, wireRateHertz: configuration.wireRateHertz, by: Converter.self)
      conversion?.prime(part.history)
      conversions[direction] = conversion
    }
  }

  /// Number of the entry that is needed next.
  package var nextSequence: UInt64 { timeline.nextSequence }

  /// Takes the entry with number `nextSequence` (a later one means that those between are lost). Its samples are the
  /// first `entry.count` of `samples`.
  package mutating func consume(_ entry: CapturedEntry, samples: [Int16]) {
    timeline.consume(entry, samples: samples, conversions: &conversions, by: Converter.self)
  }

  /// Goes on at a later entry: the one before has no audio, or the reader was lapped.
  package mutating func skip(to sequence: UInt64) { timeline.skip(to: sequence) }

  /// The next decided block, or nil. `output` is emptied and gets its mono samples at the wire rate.
  package mutating func nextBlock(into output: inout [Int16]) -> RenderedBlock? {
    timeline.nextBlock(into: &output)
  }

  /// Tells the renderer the time. While no direction delivers, it decides blocks of fill and audio that waits for
  /// another direction. Call after every published entry was consumed, then take blocks. `onlyWaiting`: no fill, only
  /// waiting audio (option n).
  package mutating func clock(now: StreamTime, onlyWaiting: Bool = false) {
    timeline.clock(now: now, onlyWaiting: onlyWaiting)
  }

  /// Capture has ended with these totals of captured samples: what is queued becomes decidable, what was never seen
  /// becomes a gap. Take the last blocks and gaps afterwards.
  package mutating func finish(capturedIn: UInt64, capturedOut: UInt64) {
    timeline.finish(captured: PerDirection(in: capturedIn, out: capturedOut))
  }

  /// What follows gets higher positions: a gap that takes none lies before it, and the positions up to there are taken
  /// by what was in the stream when it was rendered for the first time.
  package mutating func advancePosition(by frames: UInt64) { timeline.ledger.counters.position += frames }

  /// Gaps passed since the last call, in the stream's order. Fetch them before using `checkpoint`: a stream resumed
  /// there does not report them again. Also fetch them after the last `nextBlock`.
  package mutating func takeGaps() -> [Gap] {
    guard !timeline.ledger.gaps.isEmpty else { return [] }
    defer { timeline.ledger.gaps = [] }
    return timeline.ledger.gaps
  }

  /// Whether fill and muted audio are noted, for `takeRanges`.
  package var notesRanges: Bool {
    get { timeline.notesRanges }
    set { timeline.notesRanges = newValue }
  }

  /// Those that nobody has taken; a replay gets them back.
  package var ranges: [StreamRange] {
    get { timeline.ledger.ranges }
    set { timeline.ledger.ranges = newValue }
  }

  /// Whether there are any.
  package var hasRanges: Bool { !ranges.isEmpty }

  /// Fill and muted audio in the blocks since the last call; ranges of one kind and direction in the stream's order,
  /// joined where they touch.
  package mutating func takeRanges() -> [StreamRange] {
    guard !timeline.ledger.ranges.isEmpty else { return [] }
    defer { timeline.ledger.ranges = [] }
    return timeline.ledger.ranges
  }

  /// Position of the next block's first sample frame.
  package var position: Position { timeline.ledger.counters.position }

  /// Totals as of the current block boundary.
  package var counters: RenderCounters { timeline.ledger.counters }

  /// The state at the current block boundary.
  package var checkpoint: Checkpoint { timeline.checkpoint }

  /// What the clock decided and a replay from an unconfirmed checkpoint would have to repeat. To be saved with the
  /// confirmed checkpoint (`Checkpoint.withClockDecisions`) before blocks made since are sent.
  package var clockDecisions: [ClockDecision] { timeline.clockDecisions }

  /// Says that no stream will be resumed before this checkpoint any more.
  package mutating func forgetClockDecisions(before checkpoint: Checkpoint) {
    timeline.forgetClockDecisions(before: checkpoint)
  }

  /// How far the last audio of a direction was placed behind its media time, in wire-rate frames.
  package func shift(of direction: Direction) -> Int64 { timeline.shift[direction] }
}
