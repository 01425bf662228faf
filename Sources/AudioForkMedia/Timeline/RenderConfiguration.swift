// SPDX-License-Identifier: Apache-2.0

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
  /// How long a direction waits for the other: `RenderLimit.alignMillisecondsRange`.
  package let align: Nanoseconds

  /// The rate comes from a checked format, never straight from outside. Stereo is for two directions.
  /// `alignMilliseconds` is brought into its range.
  package init(
    directions: DirectionSet, wireRateHertz: Int, fill: Bool = true, isStereo: Bool = false, gainIn: Gain = .none,
    gainOut: Gain = .none, alignMilliseconds: Int = RenderLimit.alignMillisecondsDefault
  ) {
    precondition(RenderLimit.isUsable(rateHertz: wireRateHertz), "wire rate out of range when configuring rendering")
    self.directions = directions
    wireRate = SampleRate(hertz: wireRateHertz)
    self.fill = fill
    self.isStereo = isStereo && directions.contains(.in) && directions.contains(.out)
    self.gainIn = gainIn
    self.gainOut = gainOut
    let range = RenderLimit.alignMillisecondsRange
    align = .milliseconds(Int64(min(max(alignMilliseconds, range.lowerBound), range.upperBound)))
  }

  /// `wireRate` in hertz.
  package var wireRateHertz: Int { wireRate.hertz }

  /// `align` in milliseconds.
  package var alignMilliseconds: Int { Int(align.wholeMilliseconds) }

  /// This configuration with another one's `align`.
  package func aligned(as other: RenderConfiguration) -> RenderConfiguration {
    RenderConfiguration(
      directions: directions, wireRateHertz: wireRateHertz, fill: fill, isStereo: isStereo, gainIn: gainIn,
      gainOut: gainOut, alignMilliseconds: other.alignMilliseconds)
  }

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
