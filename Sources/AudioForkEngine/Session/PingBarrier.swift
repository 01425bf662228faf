// SPDX-License-Identifier: Apache-2.0
package import AudioForkMedia

/// Pings that carry the stream's position. A pong proves that the server's WebSocket stack has parsed all that was sent
/// before the ping (RFC 6455 section 5.5.3, and the order of TCP). Of one connection; no I/O and no clock.
///
/// There are three cases:
///  1. *Off*: the connection is not pinged. The server's kernel confirms.
///  2. *Asking*: pings are sent and none has been answered. What earlier connections have shown decides how long an
///     answer is waited for (`Expectation`); until then nothing is confirmed.
///  3. *Answering*: the server has answered a ping. From now on only its pongs confirm.
///
/// One ping is out at a time. A late pong is back-pressure, not a dead connection: see `isDead`.
package struct PingBarrier: Sendable {
  /// Between two pings while audio is in flight.
  package static let interval = Nanoseconds.milliseconds(250)
  /// Between two pings on a connection that carries nothing: proxies cut one that is silent for a minute.
  package static let idleInterval = Nanoseconds.seconds(20)
  /// How long a server may take for its first pong before it counts as one that does not answer.
  package static let firstAnswerMax = Nanoseconds.seconds(1)
  /// The longest `silenceMax` that makes sense.
  package static let deadAfter = Nanoseconds.seconds(20)
  /// A connection that ends so soon after its ping may have ended because of it.
  package static let offenceMax = Nanoseconds.seconds(1)

  /// What earlier connections to the endpoint have shown.
  package enum Expectation: Hashable, Sendable {
    /// It answers. A missing answer is waited for, until the server has sent other things for `silenceMax`.
    case answers
    /// Nothing yet. An answer is waited for during `firstAnswerMax`.
    case unknown
    /// It does not answer. None is waited for; one that comes counts.
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

  /// What the barrier can say about the server at a moment.
  package enum Standing: Equatable, Sendable {
    case off
    /// The server may still turn out to answer: its kernel's word is not taken for its own.
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
  /// How many pings were sent.
  package private(set) var count = 0
  /// Between two pings while audio is in flight.
  package let interval: Nanoseconds
  /// Silence of a server that has spoken, with a ping out and audio that waits, that means a dead connection.
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

  /// True when a ping with this position is to be sent now. `unconfirmed`: audio is in flight. `isUrgent`: delivery
  /// waits for the answer, so that the interval does not matter.
  package func isDue(position: Position, now: MonotonicTime, unconfirmed: Bool, isUrgent: Bool) -> Bool {
    if case .off = state { return false }
    if let outstanding {
      // A server that does not answer is asked again now and then: for the proxies on the way.
      return !isAnswering && now - outstanding.at >= PingBarrier.idleInterval
    }
    guard unconfirmed, answered != position else { return now - lastAt >= PingBarrier.idleInterval }
    return isUrgent || now - lastAt >= interval
  }

  /// A ping was sent behind all audio up to `position`.
  package mutating func sent(position: Position, now: MonotonicTime) {
    outstanding = Ping(position: position, at: now)
    count &+= 1
    firstAt = firstAt ?? now
    lastAt = now
  }

  /// Takes a pong's payload. Returns the position up to which the server has parsed the stream; nil for a pong that
  /// answers no ping of ours.
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
  package mutating func heard(_ frames: UInt64, now: MonotonicTime) {
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

  /// True when the server has left the ping that is out without an answer for `limit`, and goes on sending other
  /// things. `limit` is `silenceMax` or more.
  private func hasSentOtherThings(for limit: Nanoseconds? = nil, now: MonotonicTime) -> Bool {
    guard let outstanding, now - outstanding.at >= limit ?? silenceMax else { return false }
    // What a server sends before it reads a ping, and dies, is no sign of life.
    return heardAt > outstanding.at && now - heardAt < silenceMax / 2
  }

  /// True for a server that has answered on this connection, goes on sending, and has left a ping without an answer for
  /// `limit`: nothing that it takes would be confirmed any more.
  package func hasStoppedAnswering(now: MonotonicTime, limit: Nanoseconds) -> Bool {
    isAnswering && hasSentOtherThings(for: limit, now: now)
  }

  /// True when the server is gone without a word, with a ping out. `waitingSince`: when audio began to wait for a
  /// confirmation; nil: none does. `acknowledges`: the server confirms by messages of its own.
  ///
  /// There are three cases:
  ///  1. No audio waits. The server has answered on this connection, and nothing was heard for `deadAfter` since the
  ///     ping.
  ///  2. Audio waits, and the server acknowledges. It was silent for `silenceMax`, also for half of that behind the
  ///     ping.
  ///  3. Audio waits, and the server is known to answer pings. It was silent for `silenceMax` behind the ping.
  ///
  /// A server of which nothing is expected is never dead by this: TCP finds out.
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

  /// What the connection has shown, when it ends. `hasClosed`: by a Close of the server, not by the network.
  /// `wasStable`: it lasted as long as a good one. `confirms`: pongs confirm audio on this connection.
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

  /// The position as a payload: 8 bytes, most significant first.
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
