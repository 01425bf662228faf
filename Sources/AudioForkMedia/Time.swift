// SPDX-License-Identifier: Apache-2.0

// Times, lengths of time, positions and rates, each a type of its own: the compiler refuses to mix them.
//
// All arithmetic wraps, so that no time from a damaged ring or cursor can stop the engine. Times stay below ten years
// (`RenderLimit.timeMax`), where nothing wraps. The functions are inlinable: on the tick they cost what integers do.

/// A length of time, nanoseconds. May be negative.
package struct Nanoseconds: Sendable, Hashable, Comparable {
  package var count: Int64

  @inlinable
  package init(_ count: Int64) { self.count = count }

  @inlinable package static var zero: Nanoseconds { Nanoseconds(0) }
  /// Longer than any other.
  @inlinable package static var max: Nanoseconds { Nanoseconds(.max) }
  @inlinable package static func seconds(_ count: Int64) -> Nanoseconds { Nanoseconds(count &* 1_000_000_000) }
  @inlinable package static func milliseconds(_ count: Int64) -> Nanoseconds { Nanoseconds(count &* 1_000_000) }

  /// Whole seconds, rounded toward zero.
  @inlinable package var wholeSeconds: Int64 { count / 1_000_000_000 }
  /// Whole milliseconds, rounded toward zero.
  @inlinable package var wholeMilliseconds: Int64 { count / 1_000_000 }
  /// Milliseconds, rounded up.
  @inlinable package var millisecondsRoundedUp: Int64 { (count &+ 999_999) / 1_000_000 }
  /// For the standard library's clocks and for limits that are not on the tick.
  @inlinable package var duration: Duration { .nanoseconds(count) }

  @inlinable package static func < (first: Self, second: Self) -> Bool { first.count < second.count }
  @inlinable package static func == (first: Self, second: Self) -> Bool { first.count == second.count }
  @inlinable package static func + (first: Self, second: Self) -> Self { Self(first.count &+ second.count) }
  @inlinable package static func - (first: Self, second: Self) -> Self { Self(first.count &- second.count) }
  @inlinable package static func += (first: inout Self, second: Self) { first.count &+= second.count }
  @inlinable package static func -= (first: inout Self, second: Self) { first.count &-= second.count }
  @inlinable package static func * (length: Self, factor: Int64) -> Self { Self(length.count &* factor) }
  /// `divisor` is not 0.
  @inlinable package static func / (length: Self, divisor: Int64) -> Self { Self(length.count / divisor) }
  /// How many times `divisor`, which is not zero, fits into `length`; rounded toward zero.
  @inlinable package static func / (length: Self, divisor: Self) -> Int64 { length.count / divisor.count }
}

/// A point in time of one clock. Two of them have a distance and an order, and no sum.
package protocol TimePoint: Sendable, Hashable, Comparable {
  /// Nanoseconds since the clock's zero.
  var nanoseconds: Int64 { get set }
  init(nanoseconds: Int64)
}

extension TimePoint {
  @inlinable package static func < (first: Self, second: Self) -> Bool { first.nanoseconds < second.nanoseconds }
  @inlinable package static func == (first: Self, second: Self) -> Bool { first.nanoseconds == second.nanoseconds }
  /// From `second` to `first`.
  @inlinable
  package static func - (first: Self, second: Self) -> Nanoseconds {
    Nanoseconds(first.nanoseconds &- second.nanoseconds)
  }
  @inlinable
  package static func + (time: Self, length: Nanoseconds) -> Self {
    Self(nanoseconds: time.nanoseconds &+ length.count)
  }
  @inlinable
  package static func - (time: Self, length: Nanoseconds) -> Self {
    Self(nanoseconds: time.nanoseconds &- length.count)
  }
  @inlinable
  package static func += (time: inout Self, length: Nanoseconds) { time.nanoseconds &+= length.count }
}

/// A time of CLOCK_MONOTONIC: nanoseconds since the machine started. The clock of ticks, timers and connections.
package struct MonotonicTime: TimePoint {
  package var nanoseconds: Int64

  @inlinable
  package init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }
}

/// Stream time: nanoseconds since the fork's start. The clock of captured audio, of blocks and of the cursor.
package struct StreamTime: TimePoint {
  package var nanoseconds: Int64

  @inlinable
  package init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

  /// The fork's start.
  @inlinable package static var zero: StreamTime { StreamTime(nanoseconds: 0) }
}

/// A time of CLOCK_REALTIME: nanoseconds since 1970 (UTC). Only for what others read; it may jump.
package struct WallTime: TimePoint {
  package var nanoseconds: Int64

  @inlinable
  package init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

  package init(secondsSince1970 seconds: Int64) { self.init(nanoseconds: seconds &* 1_000_000_000) }

  /// Rounded toward 1970.
  package var secondsSince1970: Int64 { nanoseconds / 1_000_000_000 }
  /// Rounded toward 1970.
  package var millisecondsSince1970: Int64 { nanoseconds / 1_000_000 }
}

/// A fork's start on both clocks. The one place that converts between stream time and CLOCK_MONOTONIC.
package struct StreamEpoch: Sendable, Hashable {
  package let monotonic: MonotonicTime
  package let wall: WallTime

  @inlinable
  package init(monotonic: MonotonicTime, wall: WallTime) {
    self.monotonic = monotonic
    self.wall = wall
  }

  /// The stream time at this moment of CLOCK_MONOTONIC.
  @inlinable
  package func streamTime(at time: MonotonicTime) -> StreamTime {
    StreamTime(nanoseconds: time.nanoseconds &- monotonic.nanoseconds)
  }

  /// CLOCK_MONOTONIC at this stream time.
  @inlinable
  package func monotonicTime(at time: StreamTime) -> MonotonicTime {
    MonotonicTime(nanoseconds: monotonic.nanoseconds &+ time.nanoseconds)
  }
}

/// A place in a fork's stream: sample frames since its start, at the stream's rate. Where fill is off it counts only
/// frames that are sent, so that it is not a time.
package struct Position: Sendable, Hashable, Comparable {
  package var frames: UInt64

  @inlinable
  package init(_ frames: UInt64) { self.frames = frames }

  /// The stream's start.
  @inlinable package static var zero: Position { Position(0) }

  @inlinable package static func < (first: Self, second: Self) -> Bool { first.frames < second.frames }
  @inlinable package static func == (first: Self, second: Self) -> Bool { first.frames == second.frames }
  /// Sample frames from `second` to `first`, which is not before it.
  @inlinable package static func - (first: Self, second: Self) -> UInt64 { first.frames &- second.frames }
  @inlinable package static func + (position: Self, frames: UInt64) -> Self { Self(position.frames &+ frames) }
  @inlinable package static func += (position: inout Self, frames: UInt64) { position.frames &+= frames }
}

extension Position: CustomStringConvertible {
  /// The number, as messages and JSON have it.
  package var description: String { "\(frames)" }
}

/// A rate of audio: sample frames in a second.
package struct SampleRate: Sendable, Hashable {
  package let hertz: Int

  /// `hertz` is positive: it comes from a format or a checked field, never straight from outside.
  @inlinable
  package init(hertz: Int) { self.hertz = hertz }

  /// Sample frames in so many seconds.
  @inlinable package func frames(inSeconds seconds: UInt64) -> UInt64 { seconds &* UInt64(hertz) }

  /// The frame at this time, rounded to the nearest; exact for whole seconds, so that nothing drifts.
  package func frame(at time: StreamTime) -> Int64 {
    let rate = Int64(hertz)
    var seconds = time.nanoseconds / 1_000_000_000
    var rest = time.nanoseconds % 1_000_000_000
    if rest < 0 { (seconds, rest) = (seconds &- 1, rest &+ 1_000_000_000) }
    return seconds &* rate &+ (rest &* rate &+ 500_000_000) / 1_000_000_000
  }

  /// The first frame of this rate at or after sample `index` of a run at another one.
  package func frame(atOrAfter index: UInt64, of other: SampleRate) -> Int64 {
    let (own, others) = (UInt64(hertz), UInt64(other.hertz))
    return Int64(truncatingIfNeeded: index / others &* own &+ (index % others &* own &+ others &- 1) / others)
  }

  /// How long so many frames take.
  package func duration(ofFrames frames: UInt64) -> Nanoseconds {
    let rate = UInt64(hertz)
    return Nanoseconds(
      Int64(truncatingIfNeeded: frames / rate &* 1_000_000_000 &+ frames % rate &* 1_000_000_000 / rate))
  }

  /// How long so many frames take, whole milliseconds, rounded toward zero.
  package func milliseconds(ofFrames frames: Int64) -> Int64 { frames &* 1000 / Int64(hertz) }

  /// The same for a number from outside: any number of frames has its milliseconds.
  package func milliseconds(ofFrames frames: UInt64) -> UInt64 {
    let rate = UInt64(hertz)
    return frames / rate &* 1000 &+ frames % rate &* 1000 / rate
  }
}
