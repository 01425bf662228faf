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
  /// Time between two pings while audio is in flight, in trouble: after a break, or where the buffer is small. What was
  /// sent after the last answered ping is sent again after a break.
  package static let shortInterval = Nanoseconds.milliseconds(250)
  /// The longest time between two pings while audio is in flight: half of the two seconds that may be.
  package static let steadyInterval = Nanoseconds.seconds(1)
  /// How long a connection after a break is pinged every `shortInterval`.
  package static let troubleMemory = Nanoseconds.seconds(30)
  /// Time between two pings while no audio is in flight: proxies cut connections that are silent for a minute.
  package static let idleInterval = Nanoseconds.seconds(20)
  /// A server without a pong for this long after the first ping counts as one that does not answer.
  package static let firstAnswerMax = Nanoseconds.seconds(1)
  /// Silence after which an idle connection counts as dead, at least.
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
  /// Time between two pings while audio is in flight, once the trouble is over.
  private let interval: Nanoseconds
  /// Until then the time between two pings is `shortInterval`; nil: there was no trouble.
  private let troubledUntil: MonotonicTime?
  /// Silence after which a connection with an unanswered ping and audio in flight counts as dead.
  package var silenceMax: Nanoseconds
  /// Since when the connection has taken nothing, so that no ping can be sent; nil while it takes something.
  private var blockedSince: MonotonicTime?

  /// Begins with a connection. `expectation`: nil for a connection that is not pinged. `isTroubled`: the connection
  /// follows a break.
  package init(
    expecting expectation: Expectation?, silenceMax: Nanoseconds = PingBarrier.deadAfter,
    interval: Nanoseconds = PingBarrier.shortInterval, isTroubled: Bool = false, now: MonotonicTime
  ) {
    state = expectation.map { .asking($0) } ?? .off
    self.interval = interval
    troubledUntil = isTroubled ? now + PingBarrier.troubleMemory : nil
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
    return isUrgent || now - lastAt >= interval(now)
  }

  private func interval(_ now: MonotonicTime) -> Nanoseconds {
    guard let troubledUntil, now < troubledUntil else { return interval }
    return min(interval, PingBarrier.shortInterval)
  }

  /// Records whether the connection takes more bytes. Call before each batch of blocks.
  package mutating func noteWritable(_ isWritable: Bool, now: MonotonicTime) {
    blockedSince = isWritable ? nil : blockedSince ?? now
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
    isAnswering && now - (outstanding?.at ?? lastAt) < interval(now) * 2
  }

  /// True when nothing was heard of the server for so long, since `since`, that a ping has to ask whether it lives.
  package func isQuiet(now: MonotonicTime, since: MonotonicTime) -> Bool {
    now - max(heardAt, since) >= silenceMax / 2
  }

  /// Returns true if the outstanding ping has had no answer for `silenceMax` while the server continues to send other
  /// frames.
  private func hasSentOtherThings(now: MonotonicTime) -> Bool {
    guard let outstanding, now - outstanding.at >= silenceMax else { return false }
    // Frames that a server sent shortly after the ping, before it died, are no sign of life.
    return heardAt > outstanding.at && now - heardAt < silenceMax / 2
  }

  /// Returns true if the server answered earlier on this connection and continues to send, but has not answered a ping
  /// for `silenceMax`. Its audio would never be confirmed.
  package func hasStoppedAnswering(now: MonotonicTime) -> Bool { isAnswering && hasSentOtherThings(now: now) }

  /// Silence after which the connection counts as dead while no audio is in flight.
  package var idleSilenceMax: Nanoseconds { max(silenceMax, PingBarrier.deadAfter) }

  /// When the unanswered ping was sent; nil if there is none.
  package var askedAt: MonotonicTime? { outstanding?.at }

  /// Returns true if the server is dead: silent, with a ping unanswered. `waitingSince`: since when audio has waited
  /// for a confirmation; nil if none waits. `acknowledges`: the server confirms by messages of its own.
  ///
  /// There are four cases:
  ///  1. No audio waits. The server has answered on this connection, and was silent for `idleSilenceMax` after a ping.
  ///  2. Audio waits, and the server acknowledges. It was silent for `silenceMax`, at least half of it after the ping.
  ///  3. Audio waits, and the server is known to answer pings. It was silent for `silenceMax` after the ping.
  ///  4. As 2 or 3, but no ping is out, because the connection has taken nothing for `silenceMax`.
  ///
  /// Otherwise this returns false, and TCP detects a dead connection.
  package func isDead(now: MonotonicTime, acknowledges: Bool, waitingSince: MonotonicTime?) -> Bool {
    guard let waitingSince else {
      guard let outstanding else { return false }
      return isAnswering && now - max(outstanding.at, heardAt) >= idleSilenceMax
    }
    guard let began = outstanding?.at ?? blockedSince else { return false }
    let asked: MonotonicTime
    switch state {
    case _ where acknowledges && outstanding != nil: asked = began + silenceMax / 2
    case _ where acknowledges, .answering, .asking(.answers): asked = began + silenceMax
    case .off, .asking(.unknown), .asking(.nothing): return false
    }
    return now >= max(asked, max(heardAt, waitingSince) + silenceMax)
  }

  /// Whether a frame of the server was heard within the last half of `silenceMax`: then its silence is no reason.
  package func isHeard(now: MonotonicTime) -> Bool { now - heardAt < silenceMax / 2 }

  /// Returns what the connection has shown. Call when it ends. `hasClosed`: it ended with a Close from the server.
  /// `wasStable`: it lasted for `ForkLimits.stableAfter`. `confirms`: pongs confirm audio on this connection.
  package func outcome(
    now: MonotonicTime, hasClosed: Bool, wasStable: Bool = true, confirms: Bool = true
  ) -> PingOutcome {
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
