// SPDX-License-Identifier: Apache-2.0
package import AudioForkMedia

/// Limits of one fork's delivery.
package struct ForkLimits: Sendable, Equatable {
  /// `r(n)`: maximum attempts to connect in one outage, at each endpoint; nil: no limit. The fork's very first attempt
  /// is not counted.
  package var attemptsMax: Int?
  /// `outage`: maximum time without a connection in one outage; nil: no limit.
  package var outageMax: Duration?
  /// `R(s)`: maximum wait between two attempts.
  package var waitMax: Duration
  /// Maximum time between the end of capture and the end of delivery.
  package var drain: Duration
  /// How long the server may still answer after everything is delivered, beyond `drain`; nil: the connection is closed
  /// at once.
  package var linger: Duration?
  /// Number of endpoints. All of them are tried in turn before there is a wait.
  package let endpointCount: Int
  /// A connection that held for so long was stable: when it breaks, a new outage begins.
  package var stableAfter: Duration = .seconds(10)
  /// A connection that held for so long in an outage is worth a line when it breaks. So are the first
  /// `breaksToldMax` of an outage; others are told once in `breakSpacing`.
  package var worthTellingAfter = Nanoseconds.seconds(5)
  package var breaksToldMax = 3
  package var breakSpacing = Nanoseconds.seconds(60)
  /// A second Close without a code within this time of the first ends the fork.
  package var emptyCloseMemory = Nanoseconds.seconds(60)

  package init(
    attemptsMax: Int?, outageMax: Duration? = nil, waitMax: Duration, drain: Duration, linger: Duration? = nil,
    endpointCount: Int = 1
  ) {
    self.attemptsMax = attemptsMax
    self.outageMax = outageMax
    self.endpointCount = max(endpointCount, 1)
    self.waitMax = waitMax
    self.drain = drain
    self.linger = linger
  }
}
