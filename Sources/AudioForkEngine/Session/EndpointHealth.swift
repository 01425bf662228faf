// SPDX-License-Identifier: Apache-2.0
package import AudioForkMedia

/// How an endpoint takes pings, as far as its connections have shown. Outlives a connection.
///
/// An endpoint in one of the states `answers`, `silent` and `paused` is *known to answer*. The cursor keeps that for
/// the next engine.
package enum PingSupport: Hashable, Sendable {
  /// No connection has shown anything. `drops` connections in a row were lost, without a Close, right after a ping that
  /// had no answer yet; that may be chance.
  ///
  /// Can transition to: `answers`, `paused`, `ignores`, `unknown` with one more drop or without any, `refuses`.
  case unknown(drops: Int)
  /// Known to answer.
  ///
  /// Can transition to: `silent`, `paused`.
  case answers
  /// Known to answer, but answered none on its last `connections` connections. `spoke`: it sent something else
  /// meanwhile, on one of them at least.
  ///
  /// Can transition to: `answers`, `paused`, `silent` with one more connection, and from there to `ignores` or
  /// `unknown`.
  case silent(connections: Int, spoke: Bool)
  /// Known to answer. It stopped answering on its last connection while it went on sending. It is not pinged on the
  /// next one.
  ///
  /// Can transition to: `answers`.
  case paused
  /// Answers none. Pings are sent all the same, for the proxies on the way. `drops` as in `unknown`.
  ///
  /// Can transition to: `answers`, `paused`, `ignores` with one more drop, `refuses`; to `unknown` when it answers and
  /// acknowledges by itself.
  case ignores(drops: Int)
  /// Closes when it is pinged. It is not pinged. `drops` as in `unknown`; `ignored`: it was in `ignores` before.
  ///
  /// Can transition to: `unknown` or `ignores`, when a connection without pings ends early too.
  case refuses(drops: Int, ignored: Bool)

  /// So many connections in a row, lost right after a ping, are no chance any more.
  package static let dropsMax = 3
  /// After so many connections in a row without an answer an endpoint is no longer known to answer.
  package static let silencesMax = 2

  /// True for an endpoint that has answered pings and is expected to do so again.
  package var isKnownToAnswer: Bool {
    switch self {
    case .answers, .silent, .paused: true
    case .unknown, .ignores, .refuses: false
    }
  }

  /// What the next connection expects of its pings; nil: it is not pinged.
  package var expectation: PingBarrier.Expectation? {
    switch self {
    case .unknown: .unknown
    case .answers, .silent: .answers
    case .ignores: .nothing
    case .paused, .refuses: nil
    }
  }

  /// Takes what a connection has shown. Call when the connection has ended.
  package mutating func connectionEnded(_ outcome: PingOutcome) -> EndpointHealth.Change? {
    switch (self, outcome) {
    case (_, .answered(confirms: true)): self = .answers
    // Where the server acknowledges, nothing is expected of its pongs.
    case (_, .answered(confirms: false)): self = .unknown(drops: 0)
    case (_, .stoppedAnswering): self = .paused
    case (.unknown(let drops), .ignored): self = .ignores(drops: drops)
    case (.unknown(let drops), .endedAtPing(let isClose, let hadIgnored)):
      return dropped(drops + 1, isClose: isClose, ignores: hadIgnored)
    case (.ignores(let drops), .endedAtPing(let isClose, _)):
      return dropped(drops + 1, isClose: isClose, ignores: true)
    case (.answers, .silent(let spoke)): self = .silent(connections: 1, spoke: spoke)
    case (.silent(let connections, let before), .silent(let spoke)):
      let hasSpoken = before || spoke
      guard connections + 1 >= PingSupport.silencesMax else {
        self = .silent(connections: connections + 1, spoke: hasSpoken)
        return nil
      }
      self = hasSpoken ? .ignores(drops: 0) : .unknown(drops: 0)
      return .noLongerAnswers
    case (.paused, .notPinged): self = .answers
    case (.refuses(let drops, let ignored), .notPinged(wasStable: false)):
      self = ignored ? .ignores(drops: drops) : .unknown(drops: drops)
    case (_, .nothing), (_, .notPinged), (_, .ignored), (_, .silent), (_, .endedAtPing): break
    }
    return nil
  }

  /// A Close proves it at once; a loss only when it happens again and again.
  private mutating func dropped(_ count: Int, isClose: Bool, ignores: Bool) -> EndpointHealth.Change? {
    let drops = min(count, PingSupport.dropsMax)
    guard isClose || drops == PingSupport.dropsMax else {
      self = ignores ? .ignores(drops: drops) : .unknown(drops: drops)
      return nil
    }
    self = .refuses(drops: drops, ignored: ignores)
    return .refusesPings
  }
}

/// What one connection has shown about pings.
package enum PingOutcome: Hashable, Sendable {
  /// Nothing: no ping was sent, or the connection ended too early.
  case nothing
  /// It was not pinged. `wasStable`: it lasted as long as a good one.
  case notPinged(wasStable: Bool)
  /// A ping was answered. `confirms`: answers confirm audio there; otherwise the server acknowledges by itself.
  case answered(confirms: Bool)
  /// It answered, went on sending, and left a later ping without an answer for too long.
  case stoppedAnswering
  /// It answered none, although it had the time.
  case ignored
  /// It is known to answer and has left the first ping without an answer for too long. `spoke`: it sent something else.
  case silent(spoke: Bool)
  /// It ended within a second of a ping, before any answer. `isClose`: with a Close of the server; `hadIgnored`: an
  /// earlier ping had no answer, although there was time.
  case endedAtPing(isClose: Bool, hadIgnored: Bool)
}

/// What has been learned about one endpoint, over all its connections. No I/O and no clock.
package struct EndpointHealth: Sendable {
  /// How it takes pings.
  package private(set) var pings: PingSupport
  private var tolerance = PingTolerance()

  /// `isKnownToAnswer`: an earlier engine of the fork has had an answer of it.
  package init(isKnownToAnswer: Bool = false) {
    pings = isKnownToAnswer ? .answers : .unknown(drops: 0)
  }

  /// True once the endpoint has shown that it cannot stand many pings. Stays.
  package var isSparse: Bool { tolerance.isSparse }

  /// Something that a connection's end has changed and that has to be told or saved.
  package enum Change: Equatable, Sendable {
    /// The endpoint refuses pings: it is not pinged from now on.
    case refusesPings
    /// The endpoint is not known to answer any more.
    case noLongerAnswers
    /// The endpoint cannot stand many pings: it is pinged less often from now on.
    case isSparse
  }

  /// A connection ended. `pings`: how many it was sent; `isPolicy`: by the server's Close with 1008.
  package mutating func connectionEnded(
    _ outcome: PingOutcome, pings count: Int, isPolicy: Bool, now: MonotonicTime
  ) -> Change? {
    if let change = pings.connectionEnded(outcome) { return change }
    switch outcome {
    case .answered, .stoppedAnswering:
      return tolerance.connectionEnded(pings: count, isPolicy: isPolicy, now: now) ? .isSparse : nil
    case .nothing, .notPinged, .ignored, .silent, .endedAtPing: return nil
    }
  }
}
