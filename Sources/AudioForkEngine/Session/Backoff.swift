// SPDX-License-Identifier: Apache-2.0

/// Waits between connection attempts. The first retry comes at once, later ones after exponential waits with full
/// jitter: a thousand forks must not return to a restarted server at the same moment.
package struct Backoff: Sendable, Equatable {
  /// Longest possible wait before the second retry. It doubles with each further retry.
  package static let base: Duration = .milliseconds(250)
  /// Upper limit of every wait (option `R`).
  package let cap: Duration

  package init(cap: Duration) { self.cap = max(cap, .zero) }

  /// Returns the longest possible wait before this attempt: 0, base, 2 × base … cap. `attempt` counts from 0 in each
  /// outage.
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

  /// Returns a random wait before this attempt, uniform between zero and its ceiling.
  package func delay<Generator: RandomNumberGenerator>(attempt: Int, using generator: inout Generator) -> Duration {
    let ceiling = ceiling(attempt: attempt)
    guard ceiling > .zero else { return .zero }
    return .nanoseconds(Int64.random(in: 0...Backoff.nanoseconds(ceiling), using: &generator))
  }

  /// Returns a random wait for a server that asked for one: up to a quarter longer than `asked`, so that not all forks
  /// return at once. If that exceeds `cap`, the wait is up to a quarter shorter than `cap`.
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
