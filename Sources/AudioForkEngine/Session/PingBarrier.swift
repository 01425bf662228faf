// SPDX-License-Identifier: Apache-2.0
package import AudioForkMedia

/// The pings of one connection. They carry the stream's position: a pong proves that the server's WebSocket stack has
/// parsed everything sent before the ping (RFC 6455 section 5.5.3, and the order of TCP). No I/O and no clock.
///
/// There are three cases:
///  1. *Off*: the connection is not pinged. The server's kernel confirms.
///  2. *Asking*: pings are sent and none was answered. `Expectation` decides how long to wait for an answer. Nothing is
///     confirmed during that time.
///  3. *Answering*: the server has answered a ping. From now on only its pongs confirm.
///
/// At most one ping is unanswered at a time. A late pong is back-pressure, not a dead connection: see `isDead`.
package struct PingBarrier: Sendable {
  /// Time between two pings while audio is in flight.
  package static let interval = Nanoseconds.milliseconds(250)
  /// Time between two pings while no audio is in flight: proxies cut connections that are silent for a minute.
  package static let idleInterval = Nanoseconds.seconds(20)
  /// A server without a pong for this long after the first ping counts as one that does not answer.
  package static let firstAnswerMax = Nanoseconds.seconds(1)
  /// Silence after which an idle connection counts as dead. Upper limit of `silenceMax`.
  package static let deadAfter = Nanoseconds.seconds(20)
  /// A connection that ends within this time after its ping may have ended because of the ping.
  package static let offenceMax = Nanoseconds.seconds(1)

  /// What earlier connections to the endpoint have shown.
  package enum Expectation: Hashable, Sendable {
    /// It answers. Wait for an answer until the server has sent other frames for `silenceMax`.
    case answers
    /// Nothing yet. Wait for an answer for `firstAnswerMax`.
    case unknown
    /// It does not answer. Do not wait for an answer, but accept one.
    case nothing
  }

  private enum State: Sendable {
    /// Stays.
    case off
    /// Can transition to: `answering`.
    case asking(Expectation)
    /// Stays.
    case answering
  }

  /// Whether the server answers pings, as far as the connection has shown by now.
  package enum Standing: Equatable, Sendable {
    case off
    /// The server may still answer. Until this is decided, its kernel confirms nothing.
    case undecided
    case ignoring
    case answering
  }

  private struct Ping: Sendable {
    var position: Position
    var at: MonotonicTime
  }

  private var state: State
  private var outstanding: Ping?
  private let openedAt: MonotonicTime
  private var firstAt: MonotonicTime?
  private var lastAt: MonotonicTime
  private var heardAt: MonotonicTime
  private var framesHeard: UInt64 = 0
  /// Position of the newest ping that was answered.
  private var answered: Position?
  /// Number of pings sent.
  package private(set) var count = 0
  /// Time between two pings while audio is in flight.
  package let interval: Nanoseconds
  /// Silence after which a connection with an unanswered ping and audio in flight counts as dead.
  package let silenceMax: Nanoseconds

  /// Begins with a connection. `expectation`: nil for a connection that is not pinged.
  package init(
    expecting expectation: Expectation?, silenceMax: Nanoseconds = PingBarrier.deadAfter,
    interval: Nanoseconds = PingBarrier.interval, now: MonotonicTime
  ) {
    state = expectation.map { .asking($0) } ?? .off
    self.interval = interval
    self.silenceMax = silenceMax
    openedAt = now
    lastAt = now - interval
    heardAt = now
  }

  // MARK: - Pinging

  /// Returns true when a ping with this position is due. `unconfirmed`: audio is in flight. `isUrgent`: delivery waits
  /// for the answer, so do not wait for the interval.
  package func isDue(position: Position, now: MonotonicTime, unconfirmed: Bool, isUrgent: Bool) -> Bool {
    if case .off = state { return false }
    if let outstanding {
      // A server that does not answer is asked again now and then: for the proxies on the way.
      return !isAnswering && now - outstanding.at >= PingBarrier.idleInterval
    }
    guard unconfirmed, answered != position else { return now - lastAt >= PingBarrier.idleInterval }
    return isUrgent || now - lastAt >= interval
  }

  /// Records a ping that was sent after all audio up to `position`.
  package mutating func recordSent(position: Position, now: MonotonicTime) {
    outstanding = Ping(position: position, at: now)
    count &+= 1
    firstAt = firstAt ?? now
    lastAt = now
  }

  /// Takes a pong's payload. Returns the position up to which the server has parsed the stream; nil if the pong answers
  /// no ping of ours.
  package mutating func pongReceived(_ payload: some Sequence<UInt8>) -> Position? {
    guard let position = PingBarrier.position(payload), let ping = outstanding, position <= ping.position else {
      return nil
    }
    // Servers need answer only the latest ping, and only one is out; an earlier position proves what it says.
    if position == ping.position { outstanding = nil }
    state = .answering
    answered = max(answered ?? .zero, position)
    return position
  }

  /// Notes how much has been heard of the server so far, as a count that changes with each frame.
  package mutating func framesReceived(_ frames: UInt64, now: MonotonicTime) {
    guard frames != framesHeard else { return }
    framesHeard = frames
    heardAt = now
  }

  // MARK: - What the server has shown

  /// True once the server has answered a ping on this connection.
  package var isAnswering: Bool {
    if case .answering = state { return true }
    return false
  }

  /// What can be said now.
  package func standing(now: MonotonicTime) -> Standing {
    switch state {
    case .off: .off
    case .answering: .answering
    case .asking(.answers): hasSentOtherThings(now: now) ? .ignoring : .undecided
    case .asking(.unknown): now - (firstAt ?? openedAt) < PingBarrier.firstAnswerMax ? .undecided : .ignoring
    case .asking(.nothing): .ignoring
    }
  }

  /// True when the server answers, was asked a moment ago, and owes no answer for longer than usual: its kernel need
  /// not be asked. (A connection whose buffers are full is not pinged any more.)
  package func isAnswered(now: MonotonicTime) -> Bool {
    isAnswering && now - (outstanding?.at ?? lastAt) < interval * 2
  }

  /// True when nothing was heard of the server for so long, since `since`, that a ping has to ask whether it lives.
  package func isQuiet(now: MonotonicTime, since: MonotonicTime) -> Bool {
    now - max(heardAt, since) >= silenceMax / 2
  }

  /// Returns true if the outstanding ping has had no answer for `limit` while the server continues to send other
  /// frames. `limit` is at least `silenceMax`, which is the default.
  private func hasSentOtherThings(for limit: Nanoseconds? = nil, now: MonotonicTime) -> Bool {
    guard let outstanding, now - outstanding.at >= limit ?? silenceMax else { return false }
    // Frames that a server sent shortly after the ping, before it died, are no sign of life.
    return heardAt > outstanding.at && now - heardAt < silenceMax / 2
  }

  /// Returns true if the server answered earlier on this connection and continues to send, but has not answered a ping
  /// for `limit`. Its audio would never be confirmed.
  package func hasStoppedAnswering(now: MonotonicTime, limit: Nanoseconds) -> Bool {
    isAnswering && hasSentOtherThings(for: limit, now: now)
  }

  /// Returns true if the server is dead: silent, with a ping unanswered. `waitingSince`: since when audio has waited
  /// for a confirmation; nil if none waits. `acknowledges`: the server confirms by messages of its own.
  ///
  /// There are three cases:
  ///  1. No audio waits. The server has answered on this connection, and was silent for `deadAfter` after the ping.
  ///  2. Audio waits, and the server acknowledges. It was silent for `silenceMax`, at least half of it after the ping.
  ///  3. Audio waits, and the server is known to answer pings. It was silent for `silenceMax` after the ping.
  ///
  /// Otherwise this returns false, and TCP detects a dead connection.
  package func isDead(now: MonotonicTime, acknowledges: Bool, waitingSince: MonotonicTime?) -> Bool {
    guard let outstanding else { return false }
    guard let waitingSince else {
      return isAnswering && now - max(outstanding.at, heardAt) >= PingBarrier.deadAfter
    }
    let asked: MonotonicTime
    switch state {
    case _ where acknowledges: asked = outstanding.at + silenceMax / 2
    case .answering, .asking(.answers): asked = outstanding.at + silenceMax
    case .off, .asking(.unknown), .asking(.nothing): return false
    }
    return now >= max(asked, max(heardAt, waitingSince) + silenceMax)
  }

  /// Returns what the connection has shown. Call when it ends. `hasClosed`: it ended with a Close from the server.
  /// `wasStable`: it lasted for `ForkLimits.stableAfter`. `confirms`: pongs confirm audio on this connection.
  package func outcome(now: MonotonicTime, hasClosed: Bool, wasStable: Bool = true, confirms: Bool = true)
    -> PingOutcome
  {
    let expectation: Expectation
    switch state {
    case .off: return .notPinged(wasStable: wasStable)
    case .answering: return .answered(confirms: confirms)
    case .asking(let asked): expectation = asked
    }
    guard let outstanding else { return .nothing }
    if expectation == .answers {
      guard now - outstanding.at >= silenceMax else { return .nothing }
      return .silent(spoke: hasSentOtherThings(now: now))
    }
    let hadIgnored = standing(now: now) == .ignoring
    if now - outstanding.at < PingBarrier.offenceMax { return .endedAtPing(isClose: hasClosed, hadIgnored: hadIgnored) }
    return hadIgnored ? .ignored : .nothing
  }

  // MARK: - Payload

  /// Returns the position as a payload: 8 bytes, most significant first.
  package static func payload(_ position: Position) -> [UInt8] {
    stride(from: 56 as UInt64, through: 0, by: -8).map { UInt8(truncatingIfNeeded: position.frames &>> $0) }
  }

  private static func position(_ payload: some Sequence<UInt8>) -> Position? {
    var position: UInt64 = 0
    var count = 0
    for byte in payload {
      guard count < 8 else { return nil }
      position = position &<< 8 | UInt64(byte)
      count += 1
    }
    return count == 8 ? Position(position) : nil
  }
}
