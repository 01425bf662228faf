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
    let parts = ceiling.components
    let nanoseconds = parts.seconds.multipliedReportingOverflow(by: 1_000_000_000)
    let most = nanoseconds.overflow ? Int64.max : nanoseconds.partialValue &+ parts.attoseconds / 1_000_000_000
    return .nanoseconds(Int64.random(in: 0...max(most, 0), using: &generator))
  }
}
