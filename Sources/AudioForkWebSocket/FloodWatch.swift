// SPDX-License-Identifier: Apache-2.0

/// Notices a server that keeps sending control frames or empty frames much faster than any purpose needs: more than
/// `framesPerSecond` in each of `seconds` seconds in a row.
package struct FloodWatch: Sendable {
  package static let framesPerSecond = 200
  package static let seconds = 3
  private static let second: Int64 = 1_000_000_000

  private var began: Int64?
  private var frames = 0
  private var floodedSeconds = 0

  package init() {}

  /// Counts frames that came at `now`, nanoseconds of a clock that never goes back. Returns true where that makes it a
  /// flood.
  package mutating func isFlood(adding count: Int, now: Int64) -> Bool {
    let began = began ?? now
    self.began = began
    let passed = (now &- began) / FloodWatch.second
    if passed > 0 {
      floodedSeconds = frames > FloodWatch.framesPerSecond ? floodedSeconds + 1 : 0
      // There was a second without any.
      if passed > 1 { floodedSeconds = 0 }
      self.began = began &+ passed &* FloodWatch.second
      frames = 0
    }
    frames += count
    return floodedSeconds >= FloodWatch.seconds
  }
}
