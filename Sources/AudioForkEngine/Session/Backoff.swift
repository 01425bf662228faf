// SPDX-License-Identifier: Apache-2.0

/// Waits between connection attempts: the first retry at once, then exponential with full jitter, so that a
/// thousand forks do not return to a restarted server in one herd.
package struct Backoff: Sendable, Equatable {
  /// Ceiling of the first wait that is not zero; it doubles with each attempt.
  package static let base: Duration = .milliseconds(250)
  /// No wait is longer: option `R`, in seconds.
  package let cap: Duration

  package init(cap: Duration) { self.cap = max(cap, .zero) }

  /// The longest wait before this attempt, which is counted from 0 in each outage: 0, base, 2 × base … cap.
  package func ceiling(attempt: Int) -> Duration {
    guard attempt > 0 else { return .zero }
    var ceiling = Backoff.base
    var doublings = 1
    while doublings < attempt, ceiling < cap {
      ceiling = ceiling * 2
      doublings += 1
    }
    return min(ceiling, cap)
  }

  /// How long to wait before this attempt: anything from zero to its ceiling, all equally likely.
  package func delay<Generator: RandomNumberGenerator>(attempt: Int, using generator: inout Generator) -> Duration {
    let ceiling = ceiling(attempt: attempt)
    guard ceiling > .zero else { return .zero }
    return .nanoseconds(Int64.random(in: 0...Backoff.nanoseconds(ceiling), using: &generator))
  }

  /// How long to wait where the server asked for a time: that and up to a quarter more, so that those whom it asked do
  /// not come all at once; but no more than `cap`, and then up to a quarter less.
  package func delay<Generator: RandomNumberGenerator>(asked: Duration, using generator: inout Generator) -> Duration {
    guard asked > .zero else { return .zero }
    let most = min(asked + asked / 4, cap)
    let least = asked + asked / 4 <= cap ? asked : min(asked, most - most / 4)
    return .nanoseconds(
      Int64.random(
        in: Backoff.nanoseconds(least)...max(Backoff.nanoseconds(least), Backoff.nanoseconds(most)), using: &generator))
  }

  private static func nanoseconds(_ duration: Duration) -> Int64 {
    let parts = duration.components
    let nanoseconds = parts.seconds.multipliedReportingOverflow(by: 1_000_000_000)
    return max(nanoseconds.overflow ? Int64.max : nanoseconds.partialValue &+ parts.attoseconds / 1_000_000_000, 0)
  }
}
