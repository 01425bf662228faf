// SPDX-License-Identifier: Apache-2.0

/// Numbers of the rendering rule.
package enum RenderLimit {
  /// Blocks of 20 ms; block b starts at b × 20 ms.
  package static let blocksPerSecond = 50
  package static let blockLength = Nanoseconds.milliseconds(20)
  /// How long a direction waits for the other (`RenderConfiguration.align`), in milliseconds.
  package static let alignMillisecondsRange = 20...500
  /// The same for rings and checkpoints of releases that did not say it.
  package static let alignMillisecondsDefault = 160
  /// A block waits at most so long for a direction that has had no media for `absent`.
  package static let waitAbsentMax = Nanoseconds.milliseconds(40)
  /// A direction without media for so long is waited for only shortly.
  package static let absent = Nanoseconds.milliseconds(500)
  /// All directions silent for longer than this, and than `align` and two blocks: the next entry ends a silence, and
  /// both may come back first.
  package static let silenceMin = Nanoseconds.milliseconds(160)
  /// How much later than regular an entry may be before its direction, and every other one, counts as quiet.
  package static let quietSlack = Nanoseconds.milliseconds(5)
  /// How far fill stays behind the clock while nothing is captured, with two directions and with one.
  package static let idleFill = Nanoseconds.seconds(2)
  /// The same with one direction: no other one has to be kept in step.
  package static let idleFillOneDirection = Nanoseconds.milliseconds(300)
  /// What an entry may take from its arrival to us before the clock speaks for it.
  package static let idleSlack = Nanoseconds.milliseconds(100)
  /// Clock decisions remembered since the oldest unconfirmed checkpoint; beyond it the clock fills nothing, so
  /// that a checkpoint stays small. Confirmation empties the list.
  package static let clockDecisionsMax = 128
  /// Beyond so many the clock decides only what has waited for as long as fill does. So many short silences never keep
  /// it from filling a long one.
  package static let clockDecisionsOfWaitingMax = 96
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
