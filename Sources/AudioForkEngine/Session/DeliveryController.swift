// SPDX-License-Identifier: Apache-2.0
package import AudioForkLink
package import AudioForkMedia
package import AudioForkDialects

/// Decides, on one connection after the other, what may be sent, when the server is asked how far it has come, and when
/// it is dead. No I/O and no clock: the session tells it what happens and carries out what it says.
///
/// `level` says on whose word a position is confirmed:
///  - `tcp`: the server's kernel has acknowledged the bytes. Can transition to: `pong`.
///  - `pong`: the server has answered a ping that was sent behind them. Stays until the connection ends.
///  - `app`: the server's application acknowledges. Chosen when the connection begins; stays until it ends.
package struct DeliveryController: Sendable {
  /// Sent and not confirmed, at most: what is on its way dies with the connection. A server that acknowledges only what
  /// its disk has gets more.
  private static let secondsInFlight: UInt64 = 2
  private static let secondsInFlightPersisted: UInt64 = 5
  /// How often the kernel is asked about a connection with audio in flight, and how often for a confirmation.
  private static let probeInterval = Nanoseconds.milliseconds(500)
  private static let askInterval = Nanoseconds.milliseconds(50)

  /// What a fork's options make of delivery.
  package struct Settings: Sendable {
    package var rate: SampleRate
    /// What an acknowledgement has to say at level `app`.
    package var acknowledgement: AcknowledgementLevel
    /// Silence of a server that means a dead connection while audio waits.
    package var silenceMax: Nanoseconds
    /// How long a server that answers pings may leave one without an answer while it goes on sending.
    package var unansweredMax: Nanoseconds
    /// Between two pings for an endpoint that cannot stand many.
    package var sparseInterval: Nanoseconds

    package init(
      rate: SampleRate, acknowledgement: AcknowledgementLevel, silenceMax: Nanoseconds, unansweredMax: Nanoseconds,
      sparseInterval: Nanoseconds
    ) {
      self.rate = rate
      self.acknowledgement = acknowledgement
      self.silenceMax = silenceMax
      self.unansweredMax = unansweredMax
      self.sparseInterval = sparseInterval
    }
  }

  /// How far the stream has come.
  package struct Progress: Sendable {
    /// Behind the last frame that was sent.
    package var position: Position
    package var confirmed: Position
    /// Nothing more is sent on this connection: the stream has ended, or the engine stops.
    package var isAtEnd: Bool

    package init(position: Position, confirmed: Position, isAtEnd: Bool = false) {
      self.position = position
      self.confirmed = confirmed
      self.isAtEnd = isAtEnd
    }

    /// Sample frames that were sent and are not confirmed.
    package var inFlight: UInt64 { position - confirmed }
  }

  private let settings: Settings
  package private(set) var level: ConfirmationLevel = .tcp
  private var pings = PingBarrier(expecting: nil, now: MonotonicTime(nanoseconds: 0))
  private var isSparse = false
  /// The server stopped answering pings: that is why the connection is left.
  private var hasStoppedAnswering = false
  /// What the server has acknowledged on this connection, at level `app`.
  private var acknowledged = Position.zero
  /// Sent bytes of this connection up to its last audio. Pongs behind it are not waited for.
  private var audioEnd: UInt64 = 0
  /// Since when there has been audio in flight; nil: there is none.
  private var waitingSince: MonotonicTime?
  private var askedAt = MonotonicTime(nanoseconds: 0)
  private var probedAt = MonotonicTime(nanoseconds: 0)
  private var isAskingForTheEnd = false

  package init(_ settings: Settings) { self.settings = settings }

  /// A connection begins. `expectation`: what is expected of its pings; nil: it is not pinged. `isSparse`: its endpoint
  /// cannot stand many.
  package mutating func connectionBegan(
    acknowledges: Bool, expecting expectation: PingBarrier.Expectation?, isSparse: Bool, now: MonotonicTime
  ) {
    level = acknowledges ? .app : .tcp
    self.isSparse = isSparse
    pings = PingBarrier(
      expecting: expectation, silenceMax: settings.silenceMax,
      interval: isSparse ? settings.sparseInterval : PingBarrier.interval, now: now)
    hasStoppedAnswering = false
    acknowledged = .zero
    audioEnd = 0
    waitingSince = nil
    probedAt = now
  }

  // MARK: - Sending

  /// Sample frames that may be sent and not confirmed. A server that cannot say how far it has come is held back by the
  /// socket's buffers alone, once that is known of it.
  package func inFlightMax(now: MonotonicTime) -> UInt64 {
    if level == .tcp, pings.standing(now: now) != .undecided { return .max }
    let isPersisted = level == .app && settings.acknowledgement == .persisted
    return settings.rate.frames(
      inSeconds: isPersisted ? DeliveryController.secondsInFlightPersisted : DeliveryController.secondsInFlight)
  }

  /// Audio was sent up to this byte of the connection.
  package mutating func audioSent(upTo offset: UInt64) { audioEnd = offset }

  /// Returns what the server has acknowledged, when the last position has to be one that can be confirmed: nothing
  /// follows it, for good or until more is confirmed. Its acknowledgement may have come before that was known, and does
  /// not come again. Nil: no such position is needed.
  package func acknowledgedAtEnd(_ progress: Progress, now: MonotonicTime) -> Position? {
    guard level == .app, progress.inFlight > 0, progress.isAtEnd || progress.inFlight >= inFlightMax(now: now) else {
      return nil
    }
    return acknowledged
  }

  // MARK: - Asking

  /// True when a ping is to be sent behind `progress.position` now. At level `app` the server speaks for itself: there
  /// a ping only asks a silent one whether it lives.
  package func wantsPing(_ progress: Progress, now: MonotonicTime) -> Bool {
    let inFlight = progress.inFlight
    let acknowledges = level == .app
    let limit = inFlightMax(now: now)
    let isWaitedFor = !acknowledges && (progress.isAtEnd || inFlight >= (isSparse ? limit : limit / 2))
    let isUnconfirmed = inFlight > 0 && (!acknowledges || pings.isQuiet(now: now, since: waitingSince ?? now))
    return pings.isDue(position: progress.position, now: now, unconfirmed: isUnconfirmed, isUrgent: isWaitedFor)
  }

  /// A ping is sent behind `position`. Returns its payload. What was heard up to here is no answer to it.
  package mutating func sendPing(at position: Position, framesHeard: UInt64, now: MonotonicTime) -> [UInt8] {
    pings.heard(framesHeard, now: now)
    pings.sent(position: position, now: now)
    return PingBarrier.payload(position)
  }

  /// True when the server's kernel is to be asked what it has acknowledged. Call when a confirmation is of use.
  package mutating func asksKernel(now: MonotonicTime) -> Bool {
    guard level == .tcp, now - askedAt >= DeliveryController.askInterval, pings.standing(now: now) != .undecided else {
      return false
    }
    askedAt = now
    return true
  }

  // MARK: - Answers

  /// Takes a pong. Returns the position that it confirms; nil: none, since it answers no ping of ours, or the server
  /// acknowledges by itself.
  package mutating func pongReceived(_ payload: some Sequence<UInt8>) -> Position? {
    guard let position = pings.pongReceived(payload), level < .app else { return nil }
    level = .pong
    return position
  }

  /// What an acknowledgement of the server amounts to.
  package enum Acknowledgement: Equatable, Sendable {
    case confirms(Position)
    /// It says less than was asked for, or this server cannot say anything.
    case nothing
    /// It breaks the dialect's rules.
    case violation(String)
  }

  /// Takes an acknowledgement. `sent`: how far the server has been sent the stream.
  package mutating func acknowledgementReceived(
    _ position: Position, _ said: AcknowledgementLevel, sent: Position
  ) -> Acknowledgement {
    guard level == .app else { return .nothing }
    guard position <= sent else { return .violation("an ack for audio that it was not sent") }
    guard said >= settings.acknowledgement else { return .nothing }
    acknowledged = max(acknowledged, position)
    return .confirms(position)
  }

  // MARK: - Life and end

  /// What is to be done about the connection.
  package enum Check: Equatable, Sendable {
    case isAlive
    /// The kernel is to be asked whether the network answers.
    case probe
    /// Leave it: the server has said nothing for so long.
    case isDead(after: Nanoseconds)
    /// Leave it: the server goes on sending, and has not answered a ping for so long.
    case hasStoppedAnswering(after: Nanoseconds)
  }

  /// Looks whether the server lives. Call after each flush. `framesHeard`: a count that changes with each frame of it.
  package mutating func check(_ progress: Progress, framesHeard: UInt64, now: MonotonicTime) -> Check {
    pings.heard(framesHeard, now: now)
    waitingSince = progress.inFlight > 0 ? waitingSince ?? now : nil
    if pings.isDead(now: now, acknowledges: level == .app, waitingSince: waitingSince) {
      return .isDead(after: waitingSince == nil ? PingBarrier.deadAfter : settings.silenceMax)
    }
    guard waitingSince != nil else { return .isAlive }
    if level == .pong, pings.hasStoppedAnswering(now: now, limit: settings.unansweredMax) {
      hasStoppedAnswering = true
      return .hasStoppedAnswering(after: settings.unansweredMax)
    }
    guard now - probedAt >= DeliveryController.probeInterval, !pings.isAnswered(now: now) else { return .isAlive }
    probedAt = now
    return .probe
  }

  /// How delivery stands when all is sent.
  package enum Finish: Equatable, Sendable {
    /// All is confirmed.
    case isDelivered
    case waits
    /// The kernel is to be asked what it has acknowledged: `kernelAnswered` takes the answer.
    case asksKernel
  }

  /// All is sent and has left. It is delivered when the server has confirmed it at the connection's level. A server
  /// that cannot say so has its kernel asked, at each tick.
  package mutating func finish(_ progress: Progress, now: MonotonicTime) -> Finish {
    let isConfirmed = progress.inFlight == 0
    // What nothing was sent for on this connection nobody will answer for.
    guard level == .tcp, audioEnd > 0 || !isConfirmed else { return isConfirmed ? .isDelivered : .waits }
    guard !isAskingForTheEnd, pings.standing(now: now) != .undecided else { return .waits }
    isAskingForTheEnd = true
    return .asksKernel
  }

  /// The kernel's answer is there, whatever has become of the connection meanwhile.
  package mutating func kernelAnswered() { isAskingForTheEnd = false }

  /// True when these bytes of the connection hold all its audio.
  package func coversAudio(_ acknowledged: UInt64) -> Bool { acknowledged >= audioEnd }

  // MARK: - After the connection

  /// How many pings the connection was sent.
  package var pingCount: Int { pings.count }

  /// What the connection has shown about pings, when it ends. See `PingBarrier.outcome`.
  package func pingOutcome(hasClosed: Bool, wasStable: Bool, now: MonotonicTime) -> PingOutcome {
    if hasStoppedAnswering { return .stoppedAnswering }
    return pings.outcome(now: now, hasClosed: hasClosed, wasStable: wasStable, confirms: level < .app)
  }
}
