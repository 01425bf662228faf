// SPDX-License-Identifier: Apache-2.0
internal import AudioForkMedia
internal import AudioForkDialects
internal import AudioForkLink
internal import AudioForkSurface
internal import AudioForkRing
internal import AudioForkWebSocket
internal import CAudioForkABI
internal import NIOCore

/// One fork in the engine, from opening its files to its end. Confined to one event loop, where its timers and
/// connections run too.
///
/// Its parts decide, and the session carries out their decisions:
///  - `machine` (`ForkStateMachine`): connecting, streaming, waiting, draining, ended; `run` carries its actions out,
///  - `delivery` (`DeliveryController`): how much may be sent, what is confirmed, whether the server is alive,
///  - `rotation` and `health`: which endpoint is next, and whether each answers pings,
///  - `stream` (`ForkStream`): the audio and the cursor,
///  - `connection` (`DialectConnection`): the network,
///  - `reporter` (`ForkReporter`): messages to the module and to Asterisk's log.
///
/// ForkSession+Tick.swift has the phases of a tick, ForkSession+Connection.swift the handlers of connection events.
final class ForkSession {
  /// How long a stopping engine waits for audio in flight to be confirmed, so that the next engine repeats nothing.
  private static let shutdownWaitMax = Nanoseconds.milliseconds(400)
  /// Minimum time for draining, for an engine that starts when the fork's own time is nearly over.
  private static let drainMin = Duration.seconds(1)
  /// How often a cursor is tried again that could not be replaced.
  private static let cursorRetry = Nanoseconds.seconds(1)

  let id: String
  let setup: ForkSetup
  let loop: any EventLoop
  let context: EngineContext
  let attribution: CrashAttribution
  let epoch: StreamEpoch
  let stream: ForkStream
  let scratch: RenderScratch
  let turns: InboundTurns
  private let files: ForkFiles
  /// A dead Asterisk left the fork. No module has a row for it, so the engine has to log how it ended.
  private let isAdopted: Bool
  private let onEnd: (ForkSession) -> Void
  private var random = SystemRandomNumberGenerator()
  private var retryTimer: Scheduled<Void>?
  private var drainTimer: Scheduled<Void>?
  /// When to try again to replace the cursor; nil: it need not be replaced.
  private var cursorRetryAt: MonotonicTime?

  private(set) var machine: ForkStateMachine
  var delivery: DeliveryController
  var rotation: EndpointRotation
  /// One for each endpoint.
  var health: [EndpointHealth]
  var reporter: ForkReporter
  var connection: DialectConnection?
  /// When audio could first be sent on the current or last connection; nil if there was none.
  var connectedAt: MonotonicTime?
  /// What the log last said about files with credentials, since the last connection.
  var loggedCredentials = ""
  /// Why the last attempt or connection failed.
  var lastReason = ""
  var hasLoggedNotVerified = false
  var hasLoggedIgnored = false
  var complaintsLogged = 0
  /// While a connection that fell silent is being left: how long its endpoint may be silent on its next connection.
  var nextSilence: Nanoseconds?
  /// Set while the engine stops: until then it waits for audio in flight, and takes no more from the ring.
  private(set) var shutdownDeadline: MonotonicTime?
  /// When the next block is expected. A time in the past: look at the next tick.
  var nextLook = MonotonicTime(nanoseconds: 0)
  /// The fork needs no more turns.
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
    let setup = try ForkSetup(
      ring.facts, id: id, epoch: ring.epoch, secret: ring.secret, dialects: context.dialects)
    let cursor = try files.openCursor()
    try files.checkRing(ring)
    let news = SpoolNewsBox()
    let spool = setup.spool.map { settings in
      ForkSpool(
        id: id, settings: settings, epoch: ring.epoch, store: context.spools, loop: loop, onNews: news.forward)
    }
    self.setup = setup
    epoch = ring.epoch
    let stream = ForkStream(
      ring: ring, cursor: cursor, configuration: setup.rendering, collectsMarkers: setup.traits.wantsMarkers,
      spool: spool,
      bufferSeconds: setup.options.bufferSeconds, scratch: scratch)
    self.stream = stream
    machine = ForkStateMachine(setup.limits, continuing: stream.outage, now: .now)
    delivery = DeliveryController(setup.delivery)
    rotation = EndpointRotation(
      count: setup.endpoints.count, hasConnected: stream.hasConnected, accepted: stream.accepted)
    if let outage = stream.outage, outage.connectedSince == nil, let emptyCloseAt = outage.emptyCloseAt,
      emptyCloseAt <= .now
    {
      rotation.closedWithoutCode(until: emptyCloseAt + setup.limits.emptyCloseMemory)
    }
    let silences = stream.silences
    health = setup.endpoints.indices.map {
      EndpointHealth(isKnownToAnswer: stream.isKnownToPong($0), silences: $0 < silences.count ? silences[$0] : 0)
    }
    reporter = ForkReporter(
      id: id, output: output, textLimit: context.texts,
      lines: ForkLog(id: id, channel: setup.stream.channel, endpoint: setup.endpoints[0].shownText),
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

  /// The module is gone, or does not list the fork any more: nothing more will be captured.
  func orphan() { stream.isOrphaned = true }

  /// The engine stops, and the next one continues from the cursor. Ends the work once all audio in flight is confirmed,
  /// after `shutdownWaitMax` at the latest.
  func shutdown() {
    guard machine.isStreaming, connection?.session != nil, !stream.isAllConfirmed else { return handle(.shutdown) }
    shutdownDeadline = .now + ForkSession.shutdownWaitMax
  }

  /// The module has no row for the fork any more.
  func forget() { handle(.forgotten) }

  /// Sends a text of the dialplan to the server. It is dropped, with a warning, if it cannot be sent now.
  func sendText(_ bytes: [UInt8]) {
    guard let text = String(validating: bytes, as: UTF8.self) else {
      return reporter.log(reporter.lines.line(.warning, "a text for the server is not UTF-8; it is not sent"))
    }
    guard machine.isStreaming, let connection, connection.session != nil else {
      return reporter.log(reporter.lines.line(.warning, "there is no connection; a text for the server is not sent"))
    }
    guard connection.isWritable else {
      return reporter.log(reporter.lines.line(.warning, "the server does not keep up; a text for it is not sent"))
    }
    connection.send(text: text)
  }

  fileprivate func logSpoolNews(_ news: SpoolNews) { reporter.log(reporter.lines.spool(news)) }

  // MARK: - Machine

  /// Gives the machine an event and carries out its actions.
  func handle(_ event: ForkEvent) {
    let actions = machine.handle(event, now: .now, using: &random)
    if !machine.isEnded { stream.outage = machine.savedOutage }
    for action in actions { run(action) }
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
      reporter.log(
        reporter.lines.outageBegan(
          reason, rotation.isBeingRefused ? .refusal : .limits(setup.limits), endpointCount: setup.limits.endpointCount,
          nextSilence: nextSilence))
    case .brokeAgain(let reason, let breaks, let wait):
      reporter.log(reporter.lines.brokeAgain(reason, breaks: breaks, wait: wait, nextSilence: nextSilence))
    case .outageOver(let attempts):
      let lag = counters(now: .now).lagMilliseconds
      reporter.log(
        reporter.lines.outageOver(attempts: attempts, lagMilliseconds: lag, isFirst: stream.isFirstConnection))
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

  /// Replaces the cursor where a further ring was opened because the run directory was removed: the cursor's file is
  /// gone too. Call at each look; it tries once a second until there is a file.
  func keepCursor(now: MonotonicTime) {
    let isDue = cursorRetryAt.map { $0 <= now } ?? false
    guard stream.takeNewGeneration() || isDue else { return }
    cursorRetryAt = nil
    guard stream.isCursorNameless else { return }
    let file = try? files.openCursor()
    if file == nil { cursorRetryAt = now + ForkSession.cursorRetry }
    stream.replaceCursor(file)
  }

  // MARK: - Totals

  /// Returns the totals as of now.
  func counters(now: MonotonicTime) -> ForkCounters {
    var counters = stream.counters(now: epoch.streamTime(at: now))
    if connectedAt != nil { counters.confirmation = delivery.level }
    return counters
  }

  /// Reports the state and the totals to the module.
  func report(_ name: ForkStateName, now: MonotonicTime, onlyIfMoved: Bool = false) {
    reporter.report(
      name, reason: lastReason, endpoint: connection?.redirectedTo ?? endpoint.shownText, counters(now: now), now: now,
      onlyIfMoved: onlyIfMoved)
  }

  /// Reports the gaps that the stream has passed.
  func reportGaps(now: MonotonicTime) { reporter.reportGaps(stream.takeNewGaps(), now: now) }

  // MARK: - End

  private func end(_ ending: ForkEnding) {
    retryTimer?.cancel()
    drainTimer?.cancel()
    let now = MonotonicTime.now
    if ending == .delivered { stream.confirmAll() }
    // Otherwise the next engine would send again what is in flight.
    if ending == .shutdown, !setup.options.replays { rewindOrSkipUnconfirmed() }
    // Gaps of the last blocks, if the connection was lost before they were reported.
    reportGaps(now: now)
    reporter.sendGaps()
    guard ending != .shutdown else {
      stream.save()
      stream.close(isOver: false)
      isOver = true
      return onEnd(self)
    }
    let undelivered = stream.undeliveredMilliseconds(now: epoch.streamTime(at: now))
    let final = abandonRest(now: now)
    reporter.logGaps(now: now, isLast: true)
    reporter.log(reporter.lines.ended(ending, undeliveredMilliseconds: undelivered))
    if isAdopted { reporter.log(reporter.lines.adoptedEnded(ending, undeliveredMilliseconds: undelivered, final)) }
    if undelivered == 0 { stream.dropSpool() }
    let fork = NIOLoopBound(self, eventLoop: loop)
    // The files stay until the module has this message: if this engine dies first, the next one ends the fork again.
    reporter.ended(ForkLog.reason(ending, undeliveredMilliseconds: undelivered), final) {
      if fork.eventLoop.inEventLoop { fork.value.removeFiles() } else { fork.onLoop { $0.removeFiles() } }
    }
  }

  /// Counts as lost what was captured and is not confirmed. Returns the final totals.
  private func abandonRest(now: MonotonicTime) -> ForkCounters {
    let sent = counters(now: now)
    // Only for the module: the last line in the log names these.
    reporter.sendGaps(adding: stream.abandonRest())
    var final = counters(now: now)
    // What was sent counts as sent, although it is not confirmed.
    final.position = sent.position
    final.fill = sent.fill
    final.isLosing = false
    return final
  }

  private func removeFiles() {
    // Before the cursor's lock is released: an engine that waits for the lock would start the fork again.
    files.unlink(newest: stream.ringGeneration)
    stream.close(isOver: true)
    isOver = true
    onEnd(self)
  }
}

/// Forwards a spool's news to the session, which is created after the spool.
private final class SpoolNewsBox {
  weak var owner: ForkSession?
  func forward(_ news: SpoolNews) { owner?.logSpoolNews(news) }
}
