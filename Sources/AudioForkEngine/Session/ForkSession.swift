// SPDX-License-Identifier: Apache-2.0
internal import AudioForkMedia
internal import AudioForkDialects
internal import AudioForkLink
internal import AudioForkSurface
internal import AudioForkRing
internal import AudioForkWebSocket
internal import CAudioForkABI
internal import NIOCore

/// One fork in the engine, from its files to its end. Confined to one event loop: made there, called there, and its
/// timers and connections run there.
///
/// The parts decide, and the session carries out what they say:
///  - `machine` (`ForkStateMachine`): connecting, streaming, waiting, draining, ended; `run` carries its actions out,
///  - `delivery` (`DeliveryController`): what may be sent, what is confirmed, whether the server lives,
///  - `rotation` and `health`: which endpoint is next, and how each takes pings,
///  - `stream` (`ForkStream`): the audio and the cursor,
///  - `connection` (`DialectConnection`): the network,
///  - `reporter` (`ForkReporter`): what the module and Asterisk's log get to know.
///
/// What a tick does is in ForkSession+Tick.swift, what a connection causes in ForkSession+Connection.swift.
final class ForkSession {
  /// How long an engine that stops waits for what is in flight, so that the next one repeats nothing.
  private static let leaveMax = Nanoseconds.milliseconds(400)
  /// What an engine that starts late is given for draining, even when the fork's own time is over.
  private static let drainMin = Duration.seconds(1)

  let id: String
  let setup: ForkSetup
  let loop: any EventLoop
  let context: EngineContext
  let attribution: CrashAttribution
  let epoch: StreamEpoch
  let dialect: any Dialect
  let stream: ForkStream
  let scratch: RenderScratch
  let turns: InboundTurns
  private let files: ForkFiles
  /// A dead Asterisk left it: no module has a row for it, so that the log has to say how it ended.
  private let isAdopted: Bool
  private let onEnd: (ForkSession) -> Void
  private var random = SystemRandomNumberGenerator()
  private var retryTimer: Scheduled<Void>?
  private var drainTimer: Scheduled<Void>?

  private(set) var machine: ForkStateMachine
  var delivery: DeliveryController
  var rotation: EndpointRotation
  /// One for each endpoint.
  var health: [EndpointHealth]
  var reporter: ForkReporter
  var connection: DialectConnection?
  /// When the current connection could be used first, or the last one; nil: there was none.
  var connectedAt: MonotonicTime?
  /// Why the last attempt or connection failed.
  var lastReason = ""
  var hasLoggedNotVerified = false
  /// Set while the engine stops: nothing more is taken from the ring, and what is in flight is waited for until then.
  private(set) var leavesAt: MonotonicTime?
  /// When the next block can be there; not after now: it is waited for.
  var nextLook = MonotonicTime(nanoseconds: 0)
  /// Nothing more is to be done for it.
  private(set) var isOver = false

  /// Opens the fork's files. Throws `ForkFailure` with the reason for ENDED.
  init(
    id: String, files: ForkFiles, isAdopted: Bool = false, loop: any EventLoop, scratch: RenderScratch,
    turns: InboundTurns,
    output: any EngineOutput, context: EngineContext, onEnd: @escaping (ForkSession) -> Void
  ) throws(ForkFailure) {
    self.id = id
    self.files = files
    self.isAdopted = isAdopted
    self.loop = loop
    self.scratch = scratch
    self.turns = turns
    self.context = context
    self.onEnd = onEnd
    attribution = files.crashFile.attribution()
    let ring = try files.openRing()
    let setup = try ForkSetup(ring.facts, id: id, epoch: ring.epoch, secret: ring.secret)
    let cursor = try files.openCursor()
    try files.checkRing()
    let news = SpoolNewsBox()
    let spool = setup.spool.map { settings in
      ForkSpool(
        id: id, settings: settings, epoch: ring.epoch, store: context.spools, loop: loop, tell: news.tell)
    }
    self.setup = setup
    epoch = ring.epoch
    dialect = setup.makeDialect()
    let stream = ForkStream(
      ring: ring, cursor: cursor, configuration: setup.rendering, collectsMarkers: dialect.sendsMarkers, spool: spool,
      bufferSeconds: setup.options.bufferSeconds, scratch: scratch)
    self.stream = stream
    machine = ForkStateMachine(setup.limits)
    delivery = DeliveryController(setup.delivery)
    rotation = EndpointRotation(count: setup.endpoints.count)
    health = setup.endpoints.indices.map { EndpointHealth(isKnownToAnswer: stream.hasPonged($0)) }
    reporter = ForkReporter(
      id: id, output: output, textLimit: context.texts,
      log: ForkLog(id: id, channel: setup.stream.channel, endpoint: setup.endpoints[0].shownText),
      textsDropped: stream.textsDropped)
    // A weak reference makes every other one slower.
    if spool != nil { news.owner = self }
  }

  /// The endpoint of the current or next attempt.
  var endpoint: EndpointURL { setup.endpoints[endpointIndex] }
  var endpointIndex: Int { min(rotation.index, setup.endpoints.count - 1) }

  // MARK: - What the engine asks for

  /// Starts to connect.
  func start() { handle(.started) }

  /// The module is gone, or does not list the fork any more: what is in the ring is all there will be.
  func orphan() { stream.isOrphaned = true }

  /// The engine stops and the next one goes on from the cursor: once what is in flight has arrived, or a little later.
  func shutdown() {
    guard machine.isStreaming, connection?.session != nil, !stream.isAllConfirmed else { return handle(.shutdown) }
    leavesAt = .now + ForkSession.leaveMax
  }

  /// The module has no row for it any more.
  func forget() { handle(.forgotten) }

  /// Sends a text of the dialplan to the server: now or never.
  func sendText(_ bytes: [UInt8]) {
    guard let text = String(validating: bytes, as: UTF8.self) else {
      return reporter.write(reporter.log.line(.warning, "a text for the server is not UTF-8; it is not sent"))
    }
    guard machine.isStreaming, let connection, connection.session != nil else {
      return reporter.write(reporter.log.line(.warning, "there is no connection; a text for the server is not sent"))
    }
    guard connection.isWritable else {
      return reporter.write(reporter.log.line(.warning, "the server does not keep up; a text for it is not sent"))
    }
    connection.send(text: text)
  }

  fileprivate func spoolTold(_ news: SpoolNews) { reporter.write(reporter.log.spool(news)) }

  // MARK: - Machine

  /// Takes an event, and carries out what the machine answers.
  func handle(_ event: ForkEvent) {
    for action in machine.handle(event, now: .now, using: &random) { run(action) }
  }

  private func run(_ action: ForkAction) {
    switch action {
    case .connect: connect()
    case .scheduleRetry(let delay):
      retryTimer = schedule(after: delay) { $0.handle(.retryTimerFired) }
    case .cancelRetry: retryTimer?.cancel()
    case .scheduleDrainDeadline(let delay):
      let left = max(delay - stream.sinceCaptureClosed(now: epoch.streamTime(at: .now)), ForkSession.drainMin)
      drainTimer = schedule(after: left) { $0.handle(.drainDeadlinePassed) }
    case .stream: break // the next tick does
    case .close: if connection?.close() != true { handle(.closeCompleted) }
    case .drop: dropConnection()
    case .outageBegan(let reason):
      reporter.write(
        reporter.log.outageBegan(
          reason, attemptsMax: setup.limits.attemptsMax, endpointCount: setup.limits.endpointCount))
    case .outageOver(let attempts):
      let lag = counters(now: .now).lagMilliseconds
      reporter.write(
        reporter.log.outageOver(attempts: attempts, lagMilliseconds: lag, isFirst: stream.isFirstConnection))
    case .report(let name): report(name, now: .now)
    case .end(let ending): end(ending)
    }
  }

  private func schedule(after delay: Duration, _ work: @escaping (ForkSession) -> Void) -> Scheduled<Void> {
    // All timers are cancelled at the end.
    loop.assumeIsolated().scheduleTask(in: TimeAmount(delay)) { [self] in work(self) }
  }

  func dropConnection() {
    connection?.drop()
    connection = nil
  }

  // MARK: - Totals

  /// Totals as of now.
  func counters(now: MonotonicTime) -> ForkCounters {
    var counters = stream.counters(now: epoch.streamTime(at: now))
    if connectedAt != nil { counters.confirmation = delivery.level }
    return counters
  }

  /// Tells the module the state and the totals.
  func report(_ name: ForkStateName, now: MonotonicTime, onlyIfMoved: Bool = false) {
    reporter.report(
      name, reason: lastReason, endpoint: endpoint.shownText, counters(now: now), now: now, onlyIfMoved: onlyIfMoved)
  }

  /// Tells of the gaps that the stream has passed.
  func reportGaps(now: MonotonicTime) { reporter.passed(stream.takeNewGaps(), now: now) }

  // MARK: - End

  private func end(_ ending: ForkEnding) {
    retryTimer?.cancel()
    drainTimer?.cancel()
    let now = MonotonicTime.now
    if ending == .delivered { stream.confirmAll() }
    // The next engine would send again what is on its way.
    if ending == .shutdown, !setup.options.replays { leaveUnconfirmed() }
    // Those of the last blocks, where the connection was gone before they could be told.
    reportGaps(now: now)
    reporter.tell()
    guard ending != .shutdown else {
      stream.save()
      stream.close(isOver: false)
      isOver = true
      return onEnd(self)
    }
    let undelivered = stream.undeliveredMilliseconds(now: epoch.streamTime(at: now))
    let final = abandonRest(now: now)
    reporter.logGaps(now: now, isLast: true)
    reporter.write(reporter.log.ended(ending, undeliveredMilliseconds: undelivered))
    if isAdopted { reporter.write(reporter.log.adoptedEnded(ending, undeliveredMilliseconds: undelivered, final)) }
    if undelivered == 0 { stream.dropSpool() }
    let fork = NIOLoopBound(self, eventLoop: loop)
    // An engine that dies before the module knows leaves the files to the next one, which finds out the same.
    reporter.ended(ForkLog.reason(ending, undeliveredMilliseconds: undelivered), final) {
      if fork.eventLoop.inEventLoop { fork.value.removeFiles() } else { fork.onLoop { $0.removeFiles() } }
    }
  }

  /// Counts as missing what was captured and is not confirmed. Returns the last totals.
  private func abandonRest(now: MonotonicTime) -> ForkCounters {
    let sent = counters(now: now)
    // The line about the end names these; the log needs no other.
    reporter.tell(stream.abandonRest())
    var final = counters(now: now)
    // What was sent stays sent, although nobody confirmed it.
    final.position = sent.position
    final.fill = sent.fill
    final.isLosing = false
    return final
  }

  private func removeFiles() {
    // Before the lock on the cursor is given up: an engine that waits for it would find the fork once more.
    files.unlink()
    stream.close(isOver: true)
    isOver = true
    onEnd(self)
  }
}

/// Hands a spool's news to the fork, which is made after it.
private final class SpoolNewsBox {
  weak var owner: ForkSession?
  func tell(_ news: SpoolNews) { owner?.spoolTold(news) }
}
