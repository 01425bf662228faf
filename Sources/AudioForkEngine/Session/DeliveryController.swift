// SPDX-License-Identifier: Apache-2.0
package import AudioForkLink
package import AudioForkMedia
package import AudioForkDialects

/// Decides how much may be sent on a connection, when to ask the server how far it has come, and when it is dead. No
/// I/O and no clock: the session reports what happens and carries out the decisions.
///
/// `level` says who confirms a position:
///  - `tcp`: the server's kernel has acknowledged the bytes. Can transition to: `pong`.
///  - `pong`: the server has answered a ping that was sent behind them. Stays until the connection ends.
///  - `app`: the server's application acknowledges. Chosen when the connection begins; stays until it ends.
package struct DeliveryController: Sendable {
  /// Maximum audio that is sent and not confirmed, because a lost connection loses it. A server that acknowledges only
  /// what is on its disk gets more.
  private static let secondsInFlight: UInt64 = 2
  private static let secondsInFlightPersisted: UInt64 = 5
  /// Time between two questions to the kernel: about the connection's life, and for a confirmation.
  private static let probeInterval = Nanoseconds.milliseconds(500)
  private static let askInterval = Nanoseconds.milliseconds(50)

  /// Numbers that follow from a fork's options.
  package struct Settings: Sendable {
    package var rate: SampleRate
    /// What the server must have done with the audio that it acknowledges (level `app`).
    package var acknowledgement: AcknowledgementLevel
    /// A server that has not answered for this long while audio waits for a confirmation counts as dead.
    package var silenceMax: Nanoseconds
    /// Time between two pings while audio is in flight, without trouble.
    package var steadyInterval: Nanoseconds
    /// Time between two pings for an endpoint that closes after many pings.
    package var sparseInterval: Nanoseconds

    package init(
      rate: SampleRate, acknowledgement: AcknowledgementLevel, silenceMax: Nanoseconds, steadyInterval: Nanoseconds,
      sparseInterval: Nanoseconds
    ) {
      self.rate = rate
      self.acknowledgement = acknowledgement
      self.silenceMax = silenceMax
      self.steadyInterval = steadyInterval
      self.sparseInterval = sparseInterval
    }
  }

  /// How far the stream has come.
  package struct Progress: Sendable {
    /// Position after the last frame that was sent.
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
  /// The connection is dropped because the server stopped answering pings.
  private var hasStoppedAnswering = false
  /// What the server has acknowledged on this connection, at level `app`.
  private var acknowledged = Position.zero
  /// Bytes of this connection up to and with its last audio. Pings and pongs after it need no acknowledgement.
  private var audioEnd: UInt64 = 0
  /// Since when audio has been in flight; nil if none is.
  private var waitingSince: MonotonicTime?
  /// At level `app`: the confirmed position, and since when it has stood there with audio in flight.
  private var lastConfirmed = Position.zero
  private var confirmedAt: MonotonicTime?
  private var beganAt = MonotonicTime(nanoseconds: 0)
  private var askedAt = MonotonicTime(nanoseconds: 0)
  private var probedAt = MonotonicTime(nanoseconds: 0)
  private var isAskingForTheEnd = false

  package init(_ settings: Settings) { self.settings = settings }

  /// A connection begins. `acknowledges`: the server's application acknowledges audio. `expectation`: whether answers
  /// to pings are expected; nil if the connection is not pinged. `isSparse`: its endpoint closes after many pings.
  /// `isTroubled`: it follows a break. `silenceMax`: how long the server may leave audio without an answer on this
  /// connection; nil: as long as the settings say.
  package mutating func connectionBegan(
    acknowledges: Bool, expecting expectation: PingBarrier.Expectation?, isSparse: Bool, isTroubled: Bool = false,
    silenceMax: Nanoseconds? = nil, now: MonotonicTime
  ) {
    level = acknowledges ? .app : .tcp
    self.isSparse = isSparse
    pings = PingBarrier(
      expecting: expectation, silenceMax: silenceMax ?? settings.silenceMax,
      interval: isSparse ? settings.sparseInterval : settings.steadyInterval, isTroubled: isTroubled && !isSparse,
      now: now)
    beganAt = now
    hasStoppedAnswering = false
    acknowledged = .zero
    audioEnd = 0
    waitingSince = nil
    confirmedAt = nil
    probedAt = now
  }

  // MARK: - Sending

  /// Returns the maximum number of sample frames in flight. Without a limit once it is known that the server neither
  /// acknowledges nor answers pings: then only the socket's buffers limit what is in flight.
  package func inFlightMax(now: MonotonicTime) -> UInt64 {
    if level == .tcp, pings.standing(now: now) != .undecided { return .max }
    let isPersisted = level == .app && settings.acknowledgement == .persisted
    return settings.rate.frames(
      inSeconds: isPersisted ? DeliveryController.secondsInFlightPersisted : DeliveryController.secondsInFlight)
  }

  /// Audio was sent up to this byte of the connection.
  package mutating func audioSent(upTo offset: UInt64) { audioEnd = offset }

  /// Returns the acknowledged position if the stream needs a mark at its current position; nil if it does not.
  ///
  /// A mark is needed at level `app` when no audio follows, at the end of the stream or until more is confirmed. The
  /// server may have acknowledged this position before the mark existed, and does not acknowledge it again.
  package func acknowledgedIfMarkNeeded(_ progress: Progress, now: MonotonicTime) -> Position? {
    guard level == .app, progress.inFlight > 0, progress.isAtEnd || progress.inFlight >= inFlightMax(now: now) else {
      return nil
    }
    return acknowledged
  }

  // MARK: - Asking

  /// Returns true when a ping is due after the audio up to `progress.position`. At level `app` the server confirms by
  /// itself, and a ping only checks whether a silent server is alive.
  package func wantsPing(_ progress: Progress, now: MonotonicTime) -> Bool {
    let inFlight = progress.inFlight
    let acknowledges = level == .app
    let limit = inFlightMax(now: now)
    let isWaitedFor = !acknowledges && (progress.isAtEnd || inFlight >= (isSparse ? limit : limit / 2))
    let isUnconfirmed = inFlight > 0 && (!acknowledges || pings.isQuiet(now: now, since: waitingSince ?? now))
    return pings.isDue(position: progress.position, now: now, unconfirmed: isUnconfirmed, isUrgent: isWaitedFor)
  }

  /// Records whether the connection takes more bytes. Call before each batch of blocks.
  package mutating func noteWritable(_ isWritable: Bool, now: MonotonicTime) {
    pings.noteWritable(isWritable, now: now)
  }

  /// Records a ping sent at `position` and returns its payload. `framesHeard`: frames received so far, which cannot be
  /// answers to this ping.
  package mutating func sendPing(at position: Position, framesHeard: UInt64, now: MonotonicTime) -> [UInt8] {
    pings.framesReceived(framesHeard, now: now)
    pings.recordSent(position: position, now: now)
    return PingBarrier.payload(position)
  }

  /// Returns true when it is time to ask what the server's kernel has acknowledged. Call only when there is something
  /// to confirm.
  package mutating func asksKernel(now: MonotonicTime) -> Bool {
    guard level == .tcp, now - askedAt >= DeliveryController.askInterval, pings.standing(now: now) != .undecided else {
      return false
    }
    askedAt = now
    return true
  }

  // MARK: - Answers

  /// Takes a pong. Returns the position that it confirms; nil if it answers no ping of ours, or if the server
  /// acknowledges by itself.
  package mutating func pongReceived(_ payload: some Sequence<UInt8>) -> Position? {
    guard let position = pings.pongReceived(payload), level < .app else { return nil }
    level = .pong
    return position
  }

  /// The server has confirmed something. Returns true if it has been allowed a longer silence on this connection than
  /// the settings say, and the connection has lasted for so long: from now on the settings hold again.
  package mutating func hasOutlivedSilence(now: MonotonicTime) -> Bool {
    guard pings.silenceMax > settings.silenceMax, now - beganAt >= pings.silenceMax else { return false }
    pings.silenceMax = settings.silenceMax
    return true
  }

  /// The meaning of a server's acknowledgement.
  package enum Acknowledgement: Equatable, Sendable {
    case confirms(Position)
    /// It says less than the fork asked for, or the server did not announce acknowledgements.
    case nothing
    /// It breaks the dialect's rules. The text completes "the server sent …".
    case violation(String)
  }

  /// Takes an acknowledgement and returns what it means. `sent`: position up to which the server was sent the stream.
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

  /// What the session has to do about the connection.
  package enum Check: Equatable, Sendable {
    case isAlive
    /// Ask the kernel whether the network answers. Something was sent at this time, and was not answered since.
    case probe(since: MonotonicTime)
    /// Drop it: the server was silent for this long.
    case isDead(after: Nanoseconds)
    /// Drop it: the server sends other frames, but has not answered a ping for this long.
    case hasStoppedAnswering(after: Nanoseconds)
    /// Drop it: the server answers, but has not acknowledged audio for this long (level `app`).
    case hasStoppedAcknowledging(after: Nanoseconds)
  }

  /// Returns whether the server is alive. Call after each flush. `framesHeard`: frames received on this connection.
  package mutating func check(_ progress: Progress, framesHeard: UInt64, now: MonotonicTime) -> Check {
    pings.framesReceived(framesHeard, now: now)
    waitingSince = progress.inFlight > 0 ? waitingSince ?? now : nil
    if pings.isDead(now: now, acknowledges: level == .app, waitingSince: waitingSince) {
      return .isDead(after: waitingSince == nil ? pings.idleSilenceMax : pings.silenceMax)
    }
    if level == .app, let since = standsStillSince(progress, now: now), now - since >= pings.silenceMax,
      pings.isHeard(now: now)
    {
      return .hasStoppedAcknowledging(after: pings.silenceMax)
    }
    guard let since = waitingSince ?? pings.askedAt else { return .isAlive }
    if waitingSince != nil, level == .pong, pings.hasStoppedAnswering(now: now) {
      hasStoppedAnswering = true
      return .hasStoppedAnswering(after: pings.silenceMax)
    }
    guard now - probedAt >= DeliveryController.probeInterval, !pings.isAnswered(now: now) else { return .isAlive }
    probedAt = now
    return .probe(since: since)
  }

  /// Since when audio has been in flight, and no more of it has been confirmed; nil where none is in flight.
  private mutating func standsStillSince(_ progress: Progress, now: MonotonicTime) -> MonotonicTime? {
    if progress.inFlight == 0 {
      confirmedAt = nil
    } else if confirmedAt == nil || progress.confirmed != lastConfirmed {
      confirmedAt = now
    }
    lastConfirmed = progress.confirmed
    return confirmedAt
  }

  /// State of the delivery after everything was sent.
  package enum Finish: Equatable, Sendable {
    /// All is confirmed.
    case isDelivered
    /// A confirmation is still missing.
    case waits
    /// Ask the kernel what it has acknowledged, and call `kernelAnswered` with the answer.
    case asksKernel
  }

  /// Returns whether everything is delivered. Call at each tick after the last byte was flushed. Delivered means
  /// confirmed at the connection's level. At level `tcp` the kernel has to be asked.
  package mutating func finish(_ progress: Progress, now: MonotonicTime) -> Finish {
    let isConfirmed = progress.inFlight == 0
    // Nothing was sent on this connection, so no acknowledgement will come on it.
    guard level == .tcp, audioEnd > 0 || !isConfirmed else { return isConfirmed ? .isDelivered : .waits }
    guard !isAskingForTheEnd, pings.standing(now: now) != .undecided else { return .waits }
    isAskingForTheEnd = true
    return .asksKernel
  }

  /// The kernel has answered. Call this even if the connection has ended meanwhile.
  package mutating func kernelAnswered() { isAskingForTheEnd = false }

  /// Returns true if the first `acknowledged` bytes of the connection hold all its audio.
  package func coversAudio(_ acknowledged: UInt64) -> Bool { acknowledged >= audioEnd }

  // MARK: - After the connection

  /// Number of pings sent on the connection.
  package var pingCount: Int { pings.count }

  /// Returns what the connection has shown about pings. Call when it ends. See `PingBarrier.outcome`.
  package func pingOutcome(hasClosed: Bool, wasStable: Bool, now: MonotonicTime) -> PingOutcome {
    if hasStoppedAnswering { return .stoppedAnswering }
    return pings.outcome(now: now, hasClosed: hasClosed, wasStable: wasStable, confirms: level < .app)
  }
}
