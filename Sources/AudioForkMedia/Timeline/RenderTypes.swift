// SPDX-License-Identifier: Apache-2.0

/// Numbers of the rendering rule.
package enum RenderLimit {
  /// Blocks of 20 ms; block b starts at b × 20 ms.
  package static let blocksPerSecond = 50
  package static let blockLength = Nanoseconds.milliseconds(20)
  /// W: how long a block waits for a direction that is missing.
  package static let wait = Nanoseconds.milliseconds(160)
  /// The same once that direction has had no media for `absent`.
  package static let waitAbsent = Nanoseconds.milliseconds(40)
  /// A direction without media for so long is waited for only shortly.
  package static let absent = Nanoseconds.milliseconds(500)
  /// All directions silent for longer than this: the next entry ends a silence, and both may come back first.
  package static let silence = Nanoseconds.milliseconds(160)
  /// How far fill stays behind the clock while nothing is captured, with two directions and with one.
  package static let idleFill = Nanoseconds.seconds(2)
  /// The same with one direction: no other one has to be kept in step.
  package static let idleFillOneDirection = Nanoseconds.milliseconds(300)
  /// What an entry may take from its arrival to us before the clock speaks for it.
  package static let idleSlack = Nanoseconds.milliseconds(100)
  /// Clock decisions remembered since the oldest unconfirmed checkpoint; beyond it the clock fills nothing, so
  /// that a checkpoint stays small. Confirmation empties the list.
  package static let clockDecisionsMax = 128
  /// Longer than any call: times and indices beyond are a broken ring and would only cause overflow.
  package static let timeMax = StreamTime(nanoseconds: 315_360_000_000_000_000)
  /// No run begins longer before the fork's start.
  package static let timeMin = StreamTime(nanoseconds: -315_360_000_000_000_000)
  /// The same for the index of a sample in its run.
  package static let runIndexMax: UInt64 = 1 << 46
  /// With fill, an entry that arrived so much after everything known is broken: it would be answered with days of
  /// fill. Without fill a hole of any length costs nothing.
  package static let arrivalJumpMax = Nanoseconds.seconds(86_400)
  /// Capture never places audio more than two seconds beyond its arrival.
  package static let mediaBeyondArrivalMax = Nanoseconds.seconds(60)
  /// What the ring's 16-bit count can say.
  package static let entrySamplesMax = 65_535
  /// Rates of Asterisk's signed linear formats.
  package static let rateHertzMin = 8_000
  /// See `rateHertzMin`.
  package static let rateHertzMax = 192_000
  static let rateMax = SampleRate(hertz: rateHertzMax)

  /// Whether blocks of 20 ms at this rate have a whole number of sample frames and the rate is one of audio.
  package static func isUsable(rateHertz: Int) -> Bool {
    rateHertz >= rateHertzMin && rateHertz <= rateHertzMax && rateHertz % blocksPerSecond == 0
  }
}

/// A volume as a power of two: the sample is doubled or halved so many times, as Asterisk's own volume options do
/// (ast_frame_adjust_volume): saturating upwards, toward zero downwards.
package struct Gain: Sendable, Equatable {
  /// -4 … 4.
  package let steps: Int

  package static let none = Gain(0)
  package static let stepsMax = 4

  /// Steps beyond the range are brought into it.
  package init(_ steps: Int) { self.steps = min(max(steps, -Gain.stepsMax), Gain.stepsMax) }

  /// The sample at this volume.
  package func applied(to sample: Int16) -> Int16 {
    steps >= 0 ? Int16(clamping: Int32(sample) << Int32(steps)) : sample / (1 << Int16(-steps))
  }
}

/// What a fork's stream is made of.
package struct RenderConfiguration: Sendable, Equatable {
  /// Directions that the fork carries. More than one is mixed.
  package let directions: DirectionSet
  /// Rate of the rendered stream: 8000 … 192000, a multiple of 50.
  package let wireRate: SampleRate
  /// Whether missing audio is replaced by zeros, so that the stream is continuous (false: option `n`).
  package let fill: Bool
  /// Whether in and out stand beside each other, interleaved (in left), instead of being mixed.
  package let isStereo: Bool
  /// Volume of each direction.
  package let gainIn: Gain
  package let gainOut: Gain

  /// The rate comes from a checked format, never straight from outside. Stereo is for two directions.
  package init(
    directions: DirectionSet, wireRateHertz: Int, fill: Bool = true, isStereo: Bool = false, gainIn: Gain = .none,
    gainOut: Gain = .none
  ) {
    precondition(RenderLimit.isUsable(rateHertz: wireRateHertz), "wire rate out of range when configuring rendering")
    self.directions = directions
    wireRate = SampleRate(hertz: wireRateHertz)
    self.fill = fill
    self.isStereo = isStereo && directions.contains(.in) && directions.contains(.out)
    self.gainIn = gainIn
    self.gainOut = gainOut
  }

  /// `wireRate` in hertz.
  package var wireRateHertz: Int { wireRate.hertz }

  /// Samples in a sample frame.
  package var channelCount: Int { isStereo ? 2 : 1 }

  /// Sample frames in a block.
  package var blockFrames: Int { wireRateHertz / RenderLimit.blocksPerSecond }
}

/// A piece of the rendered stream: 20 ms, or less where fill is off.
package struct RenderedBlock: Sendable, Equatable {
  /// Index in the stream of its first sample frame.
  package var position: Position
  /// Its length in sample frames; a frame of a stereo stream is two samples.
  package var frameCount: Int
  /// Sample frames without audio, summed over the directions.
  package var fill: Int
  /// When the block became decidable: the arrival of the entry that completed it,
  /// or the time at which the clock spoke for it.
  package var completedAt: StreamTime

  package init(position: Position, frameCount: Int, fill: Int, completedAt: StreamTime) {
    self.position = position
    self.frameCount = frameCount
    self.fill = fill
    self.completedAt = completedAt
  }
}

/// Captured samples that are not in the stream. Identified by fork, direction and start.
package struct Gap: Sendable, Hashable {
  /// Why they are not.
  package enum Reason: UInt8, Sendable {
    /// Overwritten in the ring before they were read, or unreadable.
    case overrun = 0
    /// Refused at capture: more than two seconds ahead of the clock.
    case ahead = 1
    /// The fork has ended before their delivery was confirmed. Never while it lives.
    case undelivered = 2
    /// Sent before a break, not confirmed, and not sent again: they may have arrived (`replay = none`).
    case unconfirmed = 3
  }
  /// The direction that misses them.
  package var direction: Direction
  /// Index of the first missing sample among the captured samples of its direction (capture rate).
  package var start: UInt64
  /// Missing samples (capture rate).
  package var count: UInt64
  /// Why they are missing.
  package var reason: Reason
  /// Position of the block in which the stream passed over them (wire rate).
  package var position: Position

  package init(direction: Direction, start: UInt64, count: UInt64, reason: Reason, position: Position) {
    self.direction = direction
    self.start = start
    self.count = count
    self.reason = reason
    self.position = position
  }
}

/// A range of the stream in which a direction is not what the party said or heard.
package struct StreamRange: Sendable, Equatable {
  /// What stands there instead.
  package enum Kind: Sendable, Equatable {
    /// No audio: zeros, or the other direction alone.
    case fill
    /// Zeros in place of audio that was muted.
    case muted
  }
  package var kind: Kind
  package var direction: Direction
  /// Index in the stream of its first sample frame.
  package var position: Position
  package var frames: UInt64

  package init(_ kind: Kind, _ direction: Direction, position: Position, frames: UInt64) {
    self.kind = kind
    self.direction = direction
    self.position = position
    self.frames = frames
  }
}

/// Where the captured samples of one direction went. Capture-rate samples, but for `fill`.
package struct DirectionCounters: Sendable, Equatable {
  /// Samples that are in the stream.
  package var rendered: UInt64 = 0
  /// Samples in gaps with reason overrun.
  package var overrun: UInt64 = 0
  /// Samples in gaps with reason ahead.
  package var ahead: UInt64 = 0
  /// Wire-rate sample frames of the stream in which this direction had no audio.
  package var fill: UInt64 = 0
  package init() {}
  /// Captured samples the stream has passed: every one is rendered or in a gap.
  package var accounted: UInt64 { rendered &+ overrun &+ ahead }
}

/// Totals since the fork's start, as of the current block boundary. Part of the checkpoint: they survive a resume.
package struct RenderCounters: Sendable, Equatable {
  /// Sample frames in the stream so far; the position of the next block.
  package var position = Position.zero
  /// What the party says, and what it hears.
  package var `in` = DirectionCounters()
  package var out = DirectionCounters()
  /// Entries that made no sense and were treated as lost.
  package var refused: UInt64 = 0
  package init() {}
  /// Sample frames without audio, summed over the directions.
  package var fill: UInt64 { `in`.fill &+ out.fill }
  /// Captured samples that are in the stream, both directions.
  package var rendered: UInt64 { `in`.rendered &+ out.rendered }
  /// Captured samples in gaps, both directions.
  package var lost: UInt64 { `in`.overrun &+ `in`.ahead &+ out.overrun &+ out.ahead }

  /// The counters of one direction.
  package subscript(direction: Direction) -> DirectionCounters {
    get { direction == .in ? `in` : out }
    set {
      switch direction {
      case .in: self.in = newValue
      case .out: out = newValue
      }
    }
  }
}

/// One value for each direction.
struct PerDirection<Value> {
  var `in`: Value
  var out: Value

  init(in first: Value, out second: Value) {
    self.in = first
    out = second
  }

  // No `_modify`: with a yield in two places it stays a coroutine, which allocates its frame on each call.
  subscript(direction: Direction) -> Value {
    get { direction == .in ? self.in : out }
    set { update(direction) { $0 = newValue } }
  }

  /// Changes a value in place; for those that are no mere numbers.
  @inline(__always)
  mutating func update<Result>(_ direction: Direction, _ body: (inout Value) -> Result) -> Result {
    switch direction {
    case .in: body(&self.in)
    case .out: body(&out)
    }
  }
}

extension PerDirection: Equatable where Value: Equatable {}
extension PerDirection: Sendable where Value: Sendable {}
