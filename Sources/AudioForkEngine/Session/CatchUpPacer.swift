// SPDX-License-Identifier: Apache-2.0
package import AudioForkMedia

/// Holds audio that had to wait to a multiple of real time (`catch_up`), for servers that refuse audio faster than
/// that. No I/O and no clock.
///
/// A bucket fills with media time, `pace` times as fast as time passes, up to `burst`. A block that waited takes its
/// length out of it. Live blocks take nothing, so that a stream that has caught up is never held back: after a stall of
/// less than `burst` it is live again at once.
package struct CatchUpPacer: Sendable {
  /// A block older than this is backlog, not live audio.
  package static let liveMax = Nanoseconds.milliseconds(100)
  /// Media time that may be sent at once beyond the pace.
  package static let burst = Nanoseconds.milliseconds(200)

  /// Multiple of real time, in hundredths; nil: no limit.
  private let hundredths: Int64?
  private var budget = Nanoseconds.zero
  private var filledAt = StreamTime.zero

  package init(hundredths: Int?) { self.hundredths = hundredths.map { Int64($0) } }

  /// A connection begins. Its server has had no audio yet, so the bucket is empty.
  package mutating func connectionBegan(now: StreamTime) {
    budget = .zero
    filledAt = now
  }

  /// Whether a block may be taken. `completedAt`: when the newest block taken became decidable.
  package mutating func allows(_ completedAt: StreamTime, now: StreamTime) -> Bool {
    guard let hundredths else { return true }
    let passed = min(max(now - filledAt, .zero), CatchUpPacer.burst)
    budget = min(budget + passed * hundredths / 100, CatchUpPacer.burst)
    filledAt = now
    return now - completedAt <= CatchUpPacer.liveMax || budget >= RenderLimit.blockLength
  }

  /// A block was taken that became decidable at `completedAt`.
  package mutating func took(_ completedAt: StreamTime, now: StreamTime) {
    guard hundredths != nil, now - completedAt > CatchUpPacer.liveMax else { return }
    budget = max(budget - RenderLimit.blockLength, .zero)
  }
}
