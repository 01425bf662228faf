// SPDX-License-Identifier: Apache-2.0
package import AudioForkMedia
internal import NIOCore

/// Notices a server that keeps sending control frames or empty frames much faster than any purpose needs: more than
/// `framesPerSecond` in each of `seconds` seconds in a row. One for each frame of ours is an answer and not counted: a
/// replay may be fast, and its pongs with it.
package struct FloodWatch: Sendable {
  package static let framesPerSecond = 200
  package static let seconds = 3
  /// Answers that may be outstanding: more than the messages that may be on their way.
  package static let answersMax = 400
  private static let second = Nanoseconds.seconds(1)
  /// What a server that floods is told.
  static let violation = ProtocolViolation(
    code: CloseCode.policyViolation,
    reason: "more than \(framesPerSecond) control or empty frames a second for \(seconds) s")

  private var began: MonotonicTime?
  private var frames = 0
  private var floodedSeconds = 0
  /// Answers that may still come.
  package private(set) var answersExpected = 0

  package init() {}

  /// A frame was sent that the server may answer with one.
  package mutating func expectAnswer() { answersExpected = min(answersExpected + 1, FloodWatch.answersMax) }

  /// Counts frames that have just come. Returns true where that makes it a flood.
  mutating func isFlood(adding count: Int) -> Bool {
    // NIO's deadlines are times of CLOCK_MONOTONIC.
    isFlood(adding: count, now: MonotonicTime(nanoseconds: Int64(clamping: NIODeadline.now().uptimeNanoseconds)))
  }

  /// Counts frames that came at `now`. Returns true where that makes it a flood.
  package mutating func isFlood(adding count: Int, now: MonotonicTime) -> Bool {
    let began = began ?? now
    self.began = began
    let passed = (now - began) / FloodWatch.second
    if passed > 0 {
      floodedSeconds = frames > FloodWatch.framesPerSecond ? floodedSeconds + 1 : 0
      // There was a second without any.
      if passed > 1 { floodedSeconds = 0 }
      self.began = began + FloodWatch.second * passed
      frames = 0
    }
    let answers = min(count, answersExpected)
    answersExpected -= answers
    frames += count - answers
    return floodedSeconds >= FloodWatch.seconds
  }
}
