// SPDX-License-Identifier: Apache-2.0
package import AudioForkMedia

/// Whether an endpoint answers pings, learned from all its connections so far.
///
/// An endpoint in one of the states `answers`, `silent` and `paused` is *known to answer*. The cursor saves that for
/// the next engine.
package enum PingSupport: Hashable, Sendable {
  /// Nothing is known. `drops`: number of connections in a row that were lost, without a Close, right after a ping
  /// without an answer. That may be chance.
  ///
  /// Can transition to: `answers`, `paused`, `ignores`, `unknown` with one more drop or without any, `refuses`.
  case unknown(drops: Int)
  /// Known to answer.
  ///
  /// Can transition to: `silent`, `paused`.
  case answers
  /// Known to answer, but did not answer on its last `connections` connections. `spoke`: on at least one of them it
  /// sent other frames instead.
  ///
  /// Can transition to: `answers`, `paused`, `silent` with one more connection, and from there to `ignores` or
  /// `unknown`.
  case silent(connections: Int, spoke: Bool)
  /// Known to answer, but stopped answering on its last connection while it continued to send. It is not pinged on the
  /// next connection.
  ///
  /// Can transition to: `answers`.
  case paused
  /// Does not answer. It is pinged nevertheless, to keep proxies from closing an idle connection. `drops` as in
  /// `unknown`.
  ///
  /// Can transition to: `answers`, `paused`, `ignores` with one more drop, `refuses`; to `unknown` when it answers and
  /// acknowledges by itself.
  case ignores(drops: Int)
  /// Closes the connection when it is pinged, so it is not pinged. `drops` as in `unknown`. `ignored`: it was in
  /// `ignores` before.
  ///
  /// Can transition to: `unknown` or `ignores`, when a connection without pings ends early too.
  case refuses(drops: Int, ignored: Bool)

  /// After this many connections in a row that were lost right after a ping, the ping is the cause.
  package static let dropsMax = 3
  /// After this many connections in a row without an answer, an endpoint is no longer known to answer.
  package static let silencesMax = 2

  /// True for an endpoint that has answered pings and is expected to do so again.
  package var isKnownToAnswer: Bool {
    switch self {
    case .answers, .silent, .paused: true
    case .unknown, .ignores, .refuses: false
    }
  }

  /// The expectation for pings on the next connection; nil if it is not pinged.
  package var expectation: PingBarrier.Expectation? {
    switch self {
    case .unknown: .unknown
    case .answers, .silent: .answers
    case .ignores: .nothing
    case .paused, .refuses: nil
    }
  }

  /// Updates the state after a connection has ended. Returns the change, if there is one to report or save.
  package mutating func connectionEnded(_ outcome: PingOutcome) -> EndpointHealth.Change? {
    switch (self, outcome) {
    case (_, .answered(confirms: true)): self = .answers
    // Where the server acknowledges, nothing is expected of its pongs.
    case (_, .answered(confirms: false)): self = .unknown(drops: 0)
    case (_, .stoppedAnswering): self = .paused
    case (.unknown(let drops), .ignored): self = .ignores(drops: drops)
    case (.unknown(let drops), .endedAtPing(let isClose, let hadIgnored)):
      return countDrop(drops + 1, isClose: isClose, ignores: hadIgnored)
    case (.ignores(let drops), .endedAtPing(let isClose, _)):
      return countDrop(drops + 1, isClose: isClose, ignores: true)
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

  /// A connection ended right after a ping. A Close proves at once that the endpoint refuses pings; lost connections
  /// prove it only after `dropsMax` in a row.
  private mutating func countDrop(_ count: Int, isClose: Bool, ignores: Bool) -> EndpointHealth.Change? {
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
  /// Nothing, because no ping was sent or the connection ended too early.
  case nothing
  /// It was not pinged. `wasStable`: it lasted for `ForkLimits.stableAfter`.
  case notPinged(wasStable: Bool)
  /// A ping was answered. `confirms`: pongs confirm audio. False if the server acknowledges by itself.
  case answered(confirms: Bool)
  /// It answered at first. Later it sent other frames, but did not answer a ping in time.
  case stoppedAnswering
  /// It answered no ping, although it had enough time.
  case ignored
  /// It is known to answer, but did not answer the first ping in time. `spoke`: it sent other frames.
  case silent(spoke: Bool)
  /// It ended within a second after a ping, before any answer. `isClose`: with a Close from the server. `hadIgnored`:
  /// an earlier ping of the connection had not been answered in time.
  case endedAtPing(isClose: Bool, hadIgnored: Bool)
}

/// What the connections of one endpoint have shown so far. No I/O and no clock.
package struct EndpointHealth: Sendable {
  /// Whether it answers pings.
  package private(set) var pings: PingSupport
  private var tolerance = PingTolerance()
  /// Connections in a row that ended because it did not answer.
  package private(set) var silences: UInt8

  /// The longest silence to which breaks can double it.
  package static let silenceCap = Nanoseconds.seconds(120)
  /// Further silences are not counted. So many double any time beyond `silenceCap`.
  private static let silencesMax: UInt8 = 16

  /// `isKnownToAnswer`: it answered a ping of an earlier engine. `silences`: connections in a row, up to the start of
  /// this engine, that ended because it did not answer.
  package init(isKnownToAnswer: Bool = false, silences: UInt8 = 0) {
    self.silences = min(silences, EndpointHealth.silencesMax)
    pings = isKnownToAnswer ? .answers : .unknown(drops: 0)
  }

  /// True once the endpoint has shown that it closes after many pings. Never becomes false again.
  package var isSparse: Bool { tolerance.isSparse }

  /// Returns how long it may leave audio without an answer on its next connection: `base`, doubled for each connection
  /// in a row that ended because it did not answer, up to `silenceCap` or `base`.
  package func silenceMax(_ base: Nanoseconds) -> Nanoseconds {
    var silence = base
    for _ in 0..<silences where silence < EndpointHealth.silenceCap {
      silence = min(silence * 2, EndpointHealth.silenceCap)
    }
    return silence
  }

  /// A connection ended because it did not answer.
  package mutating func fellSilent() { silences = min(silences + 1, EndpointHealth.silencesMax) }

  /// It has answered on a connection that lasted as long as it may be silent: it keeps up again.
  package mutating func keptUp() { silences = 0 }

  /// A change that has to be logged or saved.
  package enum Change: Equatable, Sendable {
    /// The endpoint refuses pings. It is not pinged from now on.
    case refusesPings
    /// The endpoint is no longer known to answer.
    case noLongerAnswers
    /// The endpoint closes after many pings. It is pinged less often from now on.
    case isSparse
  }

  /// A connection ended. `pings`: number of pings sent on it. `isPolicy`: the server closed with 1008.
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
