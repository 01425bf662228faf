// SPDX-License-Identifier: Apache-2.0

/// Limits of one fork's delivery.
package struct ForkLimits: Sendable, Equatable {
  /// `r(n)`: maximum attempts to connect in one outage, at each endpoint. The fork's very first attempt is not counted.
  package var attemptsMax: Int
  /// `R(s)`: maximum wait between two attempts.
  package var waitMax: Duration
  /// Maximum time between the end of capture and the end of delivery.
  package var drain: Duration
  /// Number of endpoints. All of them are tried in turn before there is a wait.
  package let endpointCount: Int
  /// A connection that held for so long was stable: when it breaks, a new outage begins.
  package var stableAfter: Duration = .seconds(10)

  package init(attemptsMax: Int, waitMax: Duration, drain: Duration, endpointCount: Int = 1) {
    self.attemptsMax = attemptsMax
    self.endpointCount = max(endpointCount, 1)
    self.waitMax = waitMax
    self.drain = drain
  }
}
