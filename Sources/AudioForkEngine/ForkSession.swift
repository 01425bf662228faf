// SPDX-License-Identifier: Apache-2.0
internal import AudioForkCore
internal import AudioForkDialects
internal import AudioForkOptions
internal import AudioForkRing
internal import AudioForkWebSocket
internal import CAudioForkABI
internal import NIOCore

/// One fork in the engine: obeys the machine, moves audio from the stream to the connection, and tells the module.
///
/// Confined to one event loop: made there, called there, and its timers and connections run there. Holds:
///  - `machine` decides, `run(_:)` is the only place that carries its actions out,
///  - `stream` is the audio and the cursor, `connection` the network,
///  - `journal` words what Asterisk's log gets to read.
final class ForkSession {
  private static let reportInterval = Nanoseconds.seconds(1)
  /// Gaps that are kept for a module that does not read; what is beyond it only the totals tell.
  private static let gapsUntoldMax = 100
  /// Sent and not confirmed, at most: what is on its way dies with the connection. By a server that acknowledges only
  /// what it has forced to its disk, more.
  private static let inFlightSeconds: UInt64 = 2
  private static let inFlightSecondsPersisted: UInt64 = 5
  /// How often the kernel is asked about a connection with audio in flight.
  private static let probeInterval = Nanoseconds.milliseconds(500)
  private static let askInterval = Nanoseconds.milliseconds(50)
  /// How long an engine that stops waits for what is in flight, so that the next one repeats nothing.
  private static let leaveMax = Nanoseconds.milliseconds(400)
  /// A fork that had no block for so long is looked at less often.
  private static let idleAfter = Nanoseconds.milliseconds(500)
  private static let idleLook = Nanoseconds.milliseconds(9)
  /// What is later than this comes out of a backlog.
  private static let liveMax = Nanoseconds.milliseconds(100)
  /// A connection that ends sooner, without a frame of the server, was not wanted.
  private static let freshMax = Nanoseconds.seconds(1)
  /// What an engine that starts late is given for draining, even when the fork's own time is over.
  private static let drainMin = Duration.seconds(1)

  let id: String
  private let files: ForkFiles
  private let blame: CrashAttribution
  /// A dead Asterisk left it: no module has a row for it, so that the log has to say how it ended.
  private let isAdopted: Bool
  private let facts: ForkFacts
  private let loop: any EventLoop
  private let output: any EngineOutput
  private let context: EngineContext
  private let dialect: any Dialect
  private let stream: ForkStream
  private let epoch: StreamEpoch
  private var machine: ForkStateMachine
  private var random = SystemRandomNumberGenerator()
  private var journal: ForkLog
  private var connection: EndpointConnection? { didSet { session = nil } }
  /// The connection's, once it is open.
  private var session: WebSocketSession?
  private var retryTimer: Scheduled<Void>?
  private var drainTimer: Scheduled<Void>?
  private let scratch: RenderScratch
  private let turns: InboundTurns
  /// Acknowledged bytes are counted from the connection's beginning, sent ones from the upgrade's end.
  private var acknowledgedAtStart: UInt64?
  /// What the server has acknowledged on this connection, at level app.
  private var acknowledgedPosition = Position.zero
  /// Sent bytes of this connection up to its last audio. Pongs behind it are not waited for.
  private var audioEnd: UInt64 = 0
  private var barrier = PingBarrier(isOn: false, now: MonotonicTime(nanoseconds: 0))
  private var level = ConfirmationLevel.tcp
  /// The server has to say how far it has come, and has not yet; this ends the wait.
  private var resumeTimer: Scheduled<Void>?
  /// Endpoints that closed on their first ping, and those that answer none.
  private var offended: Set<Int> = []
  /// How often in a row each was lost without a Close when it was pinged for the first time: that may be chance.
  private var suspicions: [Int: Int] = [:]
  private static let suspicionsMax = 3
  /// What each that pongs has shown of how many pings it can stand.
  private var tolerances: [Int: PingTolerance] = [:]
  private var mute: Set<Int> = []
  /// Those that stopped to answer pings on their last connection: they are not pinged on the next one.
  private var fickle: Set<Int> = []
  /// On how many connections in a row an endpoint that has ponged before did not.
  private var silences: [Int: Int] = [:]
  private static let silencesMax = 2
  /// Since when there has been audio that was sent and not confirmed; nil: there is none.
  private var flightSince: MonotonicTime?
  private var askedAt = MonotonicTime(nanoseconds: 0)
  private var probedAt = MonotonicTime(nanoseconds: 0)
  private var hasSaidTheEnd = false
  /// Set while the engine stops: nothing more is taken from the ring, and what is in flight is waited for until then.
  private var leavesAt: MonotonicTime?
  private var lastReason = ""
  private var choice: EndpointRotation
  private var connectedAt: MonotonicTime?
  private var texts: ServerTexts
  /// What the module was told last, and when.
  private var reported: (counters: ForkCounters, at: MonotonicTime, wasTaken: Bool)?
  /// Gaps that the module did not take.
  private var gapsUntold: [Gap] = []
  private var hasToldCursorFailure = false
  private var hasToldLoss = false
  private var hasToldNotVerified = false
  private var isAskingForTheEnd = false
  private let onEnd: (ForkSession) -> Void
  /// When the next block can be there; not after now: it is waited for.
  private(set) var nextLook = MonotonicTime(nanoseconds: 0)
  /// Nothing more is to be done for it.
  private(set) var isOver = false

  /// Opens the fork's files. Throws `ForkFailure` with the reason for ENDED.
  init(
    id: String, files: ForkFiles, isAdopted: Bool = false, loop: any EventLoop, scratch: RenderScratch, turns: InboundTurns,
    output: any EngineOutput, context: EngineContext,
    onEnd: @escaping (ForkSession) -> Void
  ) throws(ForkFailure) {
    self.id = id
    self.files = files
    blame = CrashAttribution(files.crashPath)
    self.isAdopted = isAdopted
    self.loop = loop
    self.scratch = scratch
    self.turns = turns
    self.output = output
    self.context = context
    self.onEnd = onEnd
    let ring = try files.openRing()
    facts = try ForkFacts(ring.facts, id: id, epoch: ring.epoch, secret: ring.secret)
    dialect = facts.makeDialect()
    let cursor = try files.openCursor()
    try files.checkRing()
    let news = SpoolNewsBox()
    let spool = facts.spool.map { settings in
      ForkSpool(
        id: id, settings: settings,
        epoch: ring.epoch, store: context.spools, loop: loop, tell: news.tell)
    }
    stream = ForkStream(
      ring: ring, cursor: cursor, configuration: facts.rendering, collectsMarkers: dialect.sendsMarkers, spool: spool,
      bufferSeconds: facts.options.bufferSeconds, scratch: scratch)
    choice = EndpointRotation(count: facts.endpoints.count)
    texts = ServerTexts(dropped: stream.textsDropped)
    epoch = ring.epoch
    machine = ForkStateMachine(facts.limits)
    journal = ForkLog(id: id, channel: facts.stream.channel, endpoint: facts.endpoints[0].shownText)
    // A weak reference makes every other one slower.
    if spool != nil { news.owner = self }
  }

  func start() { handle(.started) }

  /// The module is gone, or does not list the fork any more: what is in the ring is all there will be.
  func orphan() { stream.isOrphaned = true }

  /// The engine stops and the next one goes on from the cursor: once what is in flight has arrived, or a little later.
  func shutdown() {
    guard machine.isStreaming, session != nil, !stream.isAllConfirmed else { return handle(.shutdown) }
    leavesAt = .now + ForkSession.leaveMax
  }

  /// The module has no row for it any more.
  func forget() { handle(.forgotten) }

  // MARK: - Tick

  /// Bytes of the objects that a tick uses all over, roughly: a wrong figure costs time and nothing else.
  private static let footprint = (runner: UInt64(1600), stream: UInt64(1900), session: UInt64(384))

  /// Fetches into the cache what `tick` will use. Touches nothing of the fork.
  @inline(__always)
  func fetchSelf() { af_prefetch(Unmanaged.passUnretained(self).toOpaque(), ForkSession.footprint.runner) }

  /// The same of what it consists of; the runner itself should be there.
  func fetchParts() {
    af_prefetch(Unmanaged.passUnretained(stream).toOpaque(), ForkSession.footprint.stream)
    guard let session else { return }
    af_prefetch(Unmanaged.passUnretained(session).toOpaque(), ForkSession.footprint.session)
  }

  /// The same of the audio; the stream should be there.
  func fetchAudio() { stream.prefetch() }

  /// Looks at the ring and makes messages of what there is to send, `blocksMax` blocks of it.
  /// Afterwards `nextLook` says when that is worth it again, and `sendMessages` is to be called.
  func tick(now: MonotonicTime, blocksMax: Int) { blame.during { work(now, blocksMax) } }

  /// Sends them. Apart from `tick`, so that the messages of all forks leave one behind the other: the kernel's code stays
  /// warm, and a receiver on this machine need not be woken for each.
  func sendMessages(now: MonotonicTime) { blame.during { finishWork(now) } }

  private func work(_ now: MonotonicTime, _ blocksMax: Int) {
    nextLook = now
    if !machine.isStreaming || now - epoch.monotonicTime(at: stream.completedAt) > ForkSession.idleAfter {
      nextLook += ForkSession.idleLook
    }
    guard !machine.isEnded else { return }
    let streamNow = epoch.streamTime(at: now)
    stream.keepSpool(now: streamNow)
    var hasBlocks = false
    if machine.isStreaming, let session { hasBlocks = prepare(session, now, blocksMax) }
    // Where there was a block of a moment ago the call was alive then.
    let isLive = hasBlocks && streamNow - stream.completedAt < ForkSession.liveMax
    if !isLive, stream.isCaptureClosed, machine.name != .draining { handle(.captureClosed) }
  }

  private func finishWork(_ now: MonotonicTime) {
    defer { if machine.isStreaming, machine.name == .draining || leavesAt != nil { nextLook = now } }
    guard !machine.isEnded else { return }
    // The connection broke while it was waited for.
    if leavesAt != nil, !machine.isStreaming { return handle(.shutdown) }
    if machine.isStreaming, let session { send(over: session, now) }
    if let line = journal.gapsDueNow(now: now, isLast: false) { output.send(line) }
    reportIfMoved(now)
  }

  /// Once a second, where something has changed or was not taken: what the module shows is never older.
  private func reportIfMoved(_ now: MonotonicTime) {
    guard let last = reported, now - last.at >= ForkSession.reportInterval, !machine.isEnded else { return }
    tellGaps()
    report(machine.name, now, onlyIfMoved: last.wasTaken)
  }

  private func report(_ name: ForkStateName, _ now: MonotonicTime, onlyIfMoved: Bool = false) {
    var counters = stream.counters(now: epoch.streamTime(at: now))
    if connectedAt != nil { counters.confirmation = level }
    if counters.isLosing, !hasToldLoss { output.send(journal.losing()) }
    hasToldLoss = counters.isLosing
    let isNews = !onlyIfMoved || reported?.counters != counters
    reported?.at = now
    guard isNews else { return }
    let reason = name == .waiting ? lastReason : ""
    let wasTaken = output.send(.state(id: id, state: name, reason: reason, endpoint: endpoint.shownText, counters))
    reported = (counters, now, wasTaken)
  }

  /// The endpoint of the current or next attempt.
  private var endpoint: EndpointURL { facts.endpoints[min(choice.index, facts.endpoints.count - 1)] }

  /// Whether there was any block. What is written here leaves with `send`.
  private func prepare(_ session: WebSocketSession, _ now: MonotonicTime, _ blocksMax: Int) -> Bool {
    guard let blocks = makeBlocks(for: session, now, blocksMax) else { return false }
    takeGaps(now)
    if stream.isDrained { sayTheEnd() }
    markTheEnd(over: session, now)
    ping(over: session, now)
    return blocks > 0
  }

  private func send(over session: WebSocketSession, _ now: MonotonicTime) {
    // All of it with one system call. It may find out that the connection is gone.
    session.flush()
    guard machine.isStreaming, !isDead(session, now), machine.isStreaming else { return }
    confirm(now)
    if stream.cursorFailed, !hasToldCursorFailure {
      hasToldCursorFailure = true
      output.send(journal.cursorFailed())
    }
    if let leavesAt {
      if stream.isAllConfirmed || now >= leavesAt { handle(.shutdown) }
    } else if stream.isDrained, session.isFlushed {
      finishIfConfirmed(now)
    }
  }

  /// How many there were; nil where the fork has ended meanwhile.
  private func makeBlocks(for session: WebSocketSession, _ now: MonotonicTime, _ blocksMax: Int) -> Int? {
    var blocks = 0
    var bytes = 0
    let inFlightMax = inFlightMax(now)
    let streamNow = epoch.streamTime(at: now)
    do throws(ForkStream.Broken) {
      while leavesAt == nil, blocks < blocksMax, session.isWritable, inFlight < inFlightMax,
        let block = try stream.nextBlock(now: streamNow, isFurther: blocks > 0)
      {
        if dialect.sendsMarkers { tellNotes(over: session) }
        dialect.encode(stream.samples, at: block.position, into: &scratch.message)
        let audio = scratch.message.count - dialect.audioHeaderBytes
        session.send(binary: &scratch.message)
        blocks += 1
        if level == .app { stream.sentBlock(now: now, offset: session.bytesWritten, audioBytes: audio) } else { bytes += audio }
      }
    } catch {
      handle(.broken(error.reason))
      return nil
    }
    let isLate = dialect.sendsMarkers && tellNotes(over: session)
    // At half of what may be in flight too: only a place at which all is told is confirmed.
    let ranges = dialect.sendsMarkers
      ? stream.takeRanges(all: stream.isDrained || leavesAt != nil || inFlight >= inFlightMax / 2) : []
    for note in ranges { tell(note, over: session) }
    guard blocks > 0 else { return 0 }
    audioEnd = session.bytesWritten
    if level == .app, !ranges.isEmpty, !isLate { stream.sent(now: now, offset: audioEnd, audioBytes: 0, isBarrier: true) }
    // The next one comes a block's time after this one did: to look for it earlier only costs.
    if blocks < blocksMax, inFlight < inFlightMax {
      nextLook = epoch.monotonicTime(at: stream.completedAt + RenderLimit.blockLength)
    }
    switch level {
    case .app: break
    case .pong: stream.sentBetweenPings(audioBytes: bytes)
    case .tcp: stream.sent(now: now, offset: audioEnd, audioBytes: bytes, isTold: !isLate)
    }
    return blocks
  }

  /// Whether there were any.
  @discardableResult
  private func tellNotes(over session: WebSocketSession) -> Bool {
    let notes = stream.takeMarkers()
    for note in notes { tell(note, over: session) }
    return !notes.isEmpty
  }

  private func tell(_ note: StreamMarker, over session: WebSocketSession) {
    if case .text(let text)? = dialect.message(for: note) { session.send(text: text) }
  }

  /// Sample frames that were sent and are not confirmed.
  private var inFlight: UInt64 { stream.position - stream.confirmedPosition }

  /// Whether nothing more is sent until something is confirmed.
  private func isFull(_ now: MonotonicTime) -> Bool { inFlight >= inFlightMax(now) }

  /// A server that cannot say how far it has come is held back by the socket's buffers alone, once that is known of it.
  private func inFlightMax(_ now: MonotonicTime) -> UInt64 {
    guard level > .tcp || barrier.isUndecided(now: now) else { return .max }
    let seconds =
      level == .app && facts.stream.acknowledgement == .persisted
      ? ForkSession.inFlightSecondsPersisted : ForkSession.inFlightSeconds
    return SampleRate(hertz: facts.stream.rateHertz).frames(inSeconds: seconds)
  }

  // MARK: - Confirmation

  /// Whether the endpoint is one that cannot stand many pings.
  private var isSparse: Bool { tolerances[choice.index]?.isSparse == true }

  /// At level app the server speaks for itself; pings only ask one that does not whether it lives.
  private func ping(over session: WebSocketSession, _ now: MonotonicTime) {
    let urgent = isSparse ? inFlightMax(now) : inFlightMax(now) / 2
    let isWaitedFor = level < .app && (stream.isDrained || leavesAt != nil || inFlight >= urgent)
    guard session.isWritable,
      barrier.isDue(position: stream.position, now: now, unconfirmed: inFlight > 0 && (level < .app || barrier.isQuiet(now: now, since: flightSince ?? now)),
        isUrgent: isWaitedFor)
    else { return }
    // A server that acknowledges confirms by that and not by its pong.
    if level < .app { stream.sent(now: now, offset: session.bytesWritten, audioBytes: 0, isBarrier: true) }
    // What was heard up to here is no answer to it.
    barrier.heard(session.framesHeard, now: now)
    session.ping(PingBarrier.payload(stream.position))
    barrier.sent(position: stream.position, now: now)
  }

  private func pongReceived(_ payload: ByteBuffer) {
    guard let position = barrier.pong(payload.readableBytesView), level < .app else { return }
    level = .pong
    stream.ponged(choice.index)
    stream.confirm(position: position)
  }

  private func acknowledged(_ position: Position, _ said: AcknowledgementLevel) {
    guard machine.isStreaming, level == .app else { return }
    guard position <= stream.sentPosition else { return refuse("an ack for audio that it was not sent") }
    guard said >= facts.stream.acknowledgement else { return }
    acknowledgedPosition = max(acknowledgedPosition, position)
    stream.confirm(position: position)
  }

  /// Where nothing follows, for good or until more is confirmed, the last position has to be one that can be confirmed; its ack may have come before that was
  /// known, and does not come again.
  private func markTheEnd(over session: WebSocketSession, _ now: MonotonicTime) {
    guard level == .app, inFlight > 0, stream.isDrained || leavesAt != nil || isFull(now) else { return }
    stream.sent(now: now, offset: session.bytesWritten, audioBytes: 0, isBarrier: true)
    stream.confirm(position: acknowledgedPosition)
  }

  /// Whether the server is gone without a word. Leaves the connection then.
  private func isDead(_ session: WebSocketSession, _ now: MonotonicTime) -> Bool {
    barrier.heard(session.framesHeard, now: now)
    flightSince = inFlight > 0 ? flightSince ?? now : nil
    if barrier.isDead(now: now, speaks: level == .app, since: flightSince) {
      let limit = flightSince == nil ? PingBarrier.deadAfter : barrier.silenceMax
      leave("connection: the server has not answered for \(limit.wholeSeconds) s")
      return true
    }
    // The ring is about to overwrite what waits. A spool would keep it for longer.
    let limit = facts.spool == nil ? barrier.silenceMax : PingBarrier.deadAfter
    if level == .pong, flightSince != nil, barrier.hasStoppedPonging(now: now, limit: limit) {
      fickle.insert(choice.index)
      leave("server: it speaks, but has not answered a ping for \(limit.wholeSeconds) s")
      return true
    }
    probe(now)
    return false
  }

  /// A dead network: nothing is acknowledged although it is sent again and again. (A server that does not read is alive:
  /// its kernel answers.) Found out while the ring still holds what was sent.
  private func probe(_ now: MonotonicTime) {
    guard inFlight > 0, now - probedAt >= ForkSession.probeInterval, !barrier.isAnswered(now: now), let connection
    else { return }
    probedAt = now
    connection.transport { [self] state in
      guard let state, machine.isStreaming, self.connection === connection,
        state.isUnanswered(for: facts.patienceMilliseconds)
      else { return }
      leave("connection: nothing was acknowledged for \(state.silentMilliseconds / 1000) s")
    }
  }

  private func leave(_ reason: String) {
    connection?.drop()
    connection = nil
    broke(reason)
  }

  /// All is sent: it is delivered when the server has confirmed it at the connection's level. Of a server that cannot
  /// say so, its kernel is asked at each tick.
  private func finishIfConfirmed(_ now: MonotonicTime) {
    // What nothing was sent for on this connection nobody will answer for.
    guard level == .tcp, audioEnd > 0 || !stream.isAllConfirmed else {
      guard stream.isAllConfirmed else { return }
      stream.confirmAll()
      return handle(.drained(isAcknowledged: true))
    }
    guard !isAskingForTheEnd, let connection, !barrier.isUndecided(now: now) else { return }
    isAskingForTheEnd = true
    acknowledgedBytes(of: connection) { [self] acknowledged in
      isAskingForTheEnd = false
      guard machine.isStreaming, self.connection === connection, stream.isDrained else { return }
      // A kernel that cannot say: the server's answer to our Close has to do.
      guard let acknowledged else { return handle(.drained(isAcknowledged: false)) }
      guard acknowledged >= audioEnd else { return }
      stream.confirmAll()
      handle(.drained(isAcknowledged: true))
    }
  }

  private func confirm(_ now: MonotonicTime) {
    guard level == .tcp, stream.wantsConfirmation(now: now), now - askedAt >= ForkSession.askInterval,
      !barrier.isUndecided(now: now), let connection
    else { return }
    askedAt = now
    acknowledgedBytes(of: connection) { [self] acknowledged in
      guard machine.isStreaming, self.connection === connection, level == .tcp else { return }
      stream.confirm(now: now, acknowledged: acknowledged)
    }
  }

  /// Gaps that the stream has passed: for the module and for the log.
  private func takeGaps(_ now: MonotonicTime) {
    let gaps = stream.takeNewGaps()
    guard !gaps.isEmpty else { return }
    gapsUntold += gaps
    tellGaps()
    if let line = journal.gaps(gaps, now: now) { output.send(line) }
  }

  private func tellGaps() {
    while let gap = gapsUntold.first, output.send(.gap(id: id, gap)) { gapsUntold.removeFirst() }
    gapsUntold.removeLast(max(0, gapsUntold.count - ForkSession.gapsUntoldMax))
  }

  /// What the peer has acknowledged since the upgrade, bytes; nil where the kernel does not count. One that did and
  /// does not answer now has lost the socket: nothing is confirmed by that.
  private func acknowledgedBytes(of connection: EndpointConnection, _ answer: @escaping (UInt64?) -> Void) {
    guard let start = acknowledgedAtStart else { return answer(nil) }
    connection.acknowledgedBytes { total in answer(total.map { $0 >= start ? $0 &- start : 0 } ?? 0) }
  }

  fileprivate func spoolTold(_ news: SpoolNews) { output.send(journal.spool(news)) }

  // MARK: - Machine

  private func handle(_ event: ForkEvent) {
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
    case .stream: break  // the next tick does
    case .close: close()
    case .drop:
      connection?.drop()
      connection = nil
    case .outageBegan(let reason):
      output.send(journal.outageBegan(
        reason, attemptsMax: facts.limits.attemptsMax, endpointCount: facts.limits.endpointCount))
    case .outageOver(let attempts):
      let lag = stream.counters(now: epoch.streamTime(at: .now)).lagMilliseconds
      output.send(journal.outageOver(attempts: attempts, lagMilliseconds: lag, isFirst: stream.isFirstConnection))
    case .report(let name): report(name, .now)
    case .end(let ending): end(ending)
    }
  }

  private func schedule(after delay: Duration, _ work: @escaping (ForkSession) -> Void) -> Scheduled<Void> {
    // All timers are cancelled at the end.
    loop.assumeIsolated().scheduleTask(in: TimeAmount(delay)) { [self] in work(self) }
  }

  private func connect() {
    let connection = EndpointConnection(
      loop: loop, url: endpoint, request: facts.request(to: endpoint, dialect), timeout: facts.attemptTimeout,
      security: context.tls.map { EndpointConnection.Security($0, facts.options) }, names: context.resolver,
      limiter: context.limiter, turns: turns, hasAlternative: facts.endpoints.count > 1
    ) { [self] event in connectionReported(event) }  // until it has ended, or is dropped
    self.connection = connection
    connection.start()
  }

  private func connectionReported(_ event: EndpointConnection.Event) { blame.during { take(event) } }

  private func take(_ event: EndpointConnection.Event) {
    switch event {
    case .opened: opened()
    case .failed(let failure): attemptFailed(failure)
    case .crowded:
      // We yielded to other forks that connect to this host: it counts as no attempt.
      choice.passOver(now: .now)
      connect()
    case .text(let text): understand(text)
    case .pong(let payload): pongReceived(payload)
    case .ended(let end): sessionEnded(end)
    }
  }

  // MARK: - Texts

  private func understand(_ text: String) {
    switch dialect.understand(text) {
    case .text(let text): textReceived(text)
    case .resume(let position): resumed(at: position)
    case .acknowledged(let position, let level): acknowledged(position, level)
    case .ignored: break
    case .violation(let what): refuse(what)
    }
  }

  /// Hands a text of the server to the module, unless there are too many. What the dialect uses itself is not counted.
  private func textReceived(_ text: String) {
    let now = MonotonicTime.now
    // In this order: all that the server says counts against it, and only what it may say against the others.
    guard texts.admit(now: now), context.texts.admit(now: now, recent: texts.recent) else { return textDropped(now) }
    let bytes = Array(text.utf8)
    let isTaken = output.send(
      .text(id: id, text: ServerTexts.cut(bytes), length: UInt64(bytes.count), dropped: texts.dropped))
    if !isTaken { textDropped(now) }
  }

  private func textDropped(_ now: MonotonicTime) {
    let isNews = texts.drop(now: now)
    stream.textsDropped = texts.dropped
    if isNews { output.send(journal.textsDropped()) }
  }

  /// A text for the server: now or never.
  func sendText(_ bytes: [UInt8]) {
    guard let text = String(validating: bytes, as: UTF8.self) else {
      output.send(journal.line(.warning, "a text for the server is not UTF-8; it is not sent"))
      return
    }
    guard machine.isStreaming, let session = connection?.session else {
      output.send(journal.line(.warning, "there is no connection; a text for the server is not sent"))
      return
    }
    guard session.isWritable else {
      output.send(journal.line(.warning, "the server does not keep up; a text for it is not sent"))
      return
    }
    send(dialect.message(text: text))
  }

  private func opened() {
    journal.endpoint = endpoint.shownText
    session = connection?.session
    acknowledgedAtStart = nil
    acknowledgedPosition = .zero
    audioEnd = 0
    hasSaidTheEnd = false
    // The answer to the upgrade has acknowledged the request, so this is what audio is counted from.
    connection?.acknowledgedBytes { [self] in acknowledgedAtStart = $0 }
    // Armed before anything is sent: sending may find out that the connection is gone, which fails this attempt.
    if dialect.awaitsResume { awaitResume() }
    for opening in dialect.opening(facts.stream, position: stream.confirmedPosition) { send(opening) }
    guard !dialect.awaitsResume, connection?.session != nil else { return }
    begin(at: nil)
  }

  private func awaitResume() {
    let asked = connection
    resumeTimer = schedule(after: .nanoseconds(facts.attemptTimeout.nanoseconds)) { fork in
      guard fork.connection === asked else { return }
      fork.connection?.drop()
      fork.attemptFailed(
        ConnectionFailure("server: no answer to start within \(fork.facts.options.attemptSeconds) s"))
    }
  }

  /// The connection can be used. `position`: how far the server has come, where it says so.
  private func begin(at position: Position?) {
    resumeTimer?.cancel()
    resumeTimer = nil
    let now = MonotonicTime.now
    connectedAt = now
    flightSince = nil
    choice.connected()
    stream.connectionOpened()
    stream.resume(at: position)
    tellIfNotVerified()
    level = position == nil ? .tcp : .app
    barrier = PingBarrier(
      isOn: facts.options.pings && !offended.contains(choice.index) && !fickle.contains(choice.index), isHopeful: !mute.contains(choice.index),
      isKnown: stream.hasPonged(choice.index),
      silenceMax: facts.silenceMax, interval: isSparse ? facts.sparsePingInterval : PingBarrier.interval,
      now: now)
    probedAt = now
    handle(.connected)
  }

  /// The server's answer to the opening, or to none.
  private func resumed(at position: Position) {
    guard resumeTimer != nil else { return refuse("a second resume") }
    guard stream.canHaveReached(position, now: epoch.streamTime(at: .now)) else {
      return refuse("a resume at a position that the stream has not reached")
    }
    begin(at: position)
  }

  /// The server broke the dialect's rules.
  private func refuse(_ what: String) { connection?.session?.refuse(what) }

  /// Once in a fork's life, whatever number of connections and engines it takes; where only some endpoints have TLS,
  /// once in an engine's.
  private func tellIfNotVerified() {
    guard endpoint.isSecure, !facts.options.verifies, !hasToldNotVerified else { return }
    hasToldNotVerified = true
    if stream.isFirstConnection || !facts.endpoints.allSatisfy(\.isSecure) { output.send(journal.notVerified()) }
  }

  private func sessionEnded(_ end: SessionEnd) {
    let wasHeard = session.map { $0.framesHeard > 0 } ?? true
    let isFresh = connectedAt.map { MonotonicTime.now - $0 < ForkSession.freshMax } ?? false
    connection = nil
    guard resumeTimer == nil else {
      switch end {
      case .closedByServer(let code, let reason): return attemptFailed(ConnectionFailure(closed(with: code, reason)))
      case .closedByUs(let code): return attemptFailed(ConnectionFailure(closed(with: code, "")))
      case .lost(let reason): return attemptFailed(ConnectionFailure(reason))
      }
    }
    switch end {
    case .closedByServer(code: CloseCode.normal, _): handle(.closedByServer)
    // An answer repeats our code, or has none. Another one crossed our Close: that server has not read to the end.
    case .closedByUs(code: let code?) where code != CloseCode.normal && machine.awaitsAnswer:
      broke(closed(with: code, ""), hasClosed: true)
    case .closedByUs: handle(.closeCompleted)
    case .closedByServer(let code, let reason): broke(closed(with: code, reason), hasClosed: true, code: code)
    case .lost(let reason): broke(wasHeard || !isFresh ? reason : "\(reason), right after it had accepted the connection")
    }
  }

  private func attemptFailed(_ failure: ConnectionFailure) {
    resumeTimer?.cancel()
    resumeTimer = nil
    lastReason = failure.reason
    connection = nil
    journal.endpoint = endpoint.shownText
    let now = MonotonicTime.now
    let retryAt = failure.retryAfter.map { now + $0.wait(now: .now) }
    let isHopeless = choice.attemptFailed(isPermanent: failure.isPermanent, retryAt: retryAt, now: now)
    handle(
      .attemptFailed(failure.reason, isPermanent: isHopeless, wait: choice.wait(now: now).duration))
  }

  private func closed(with code: UInt16?, _ reason: String) -> String {
    "server: closed with \(code.map(String.init) ?? "no code")\(reason.isEmpty ? "" : " (\(reason))")"
  }

  /// `hasClosed`: by a Close of the server's, and not by the network; `code`: that Close's.
  private func broke(_ reason: String, hasClosed: Bool = false, code: UInt16? = nil) {
    lastReason = reason
    // Not while we wait for an answer to our Close and know that all has arrived.
    if machine.isStreaming || machine.awaitsAnswer {
      let now = MonotonicTime.now
      leaveUnconfirmed()
      takeGaps(now)
      let wasStable = connectedAt.map { (now - $0).duration >= facts.limits.stableAfter } ?? true
      noteOffence(now, wasStable: wasStable, hasClosed: hasClosed)
      notePings(now, code)
      choice.connectionLost(wasStable: wasStable)
    }
    handle(.disconnected(reason))
  }

  /// The connection is gone with what was on its way: that is sent again, or not.
  private func leaveUnconfirmed() {
    if facts.options.replays || dialect.awaitsResume { stream.rewind() } else { stream.skipUnconfirmed() }
  }

  /// A server that closes on the first ping of all is not pinged again; where it closes without one too, that was not
  /// why.
  private func noteOffence(_ now: MonotonicTime, wasStable: Bool, hasClosed: Bool) {
    if barrier.isMute(now: now) { mute.insert(choice.index) }
    if barrier.hasFallenSilent(now: now) {
      silences[choice.index, default: 0] += 1
      // Somebody else answers there now, who does not pong.
      if silences[choice.index, default: 0] >= ForkSession.silencesMax { stream.forgetPonged(choice.index) }
    }
    if barrier.hasPonged {
      silences[choice.index] = nil
      mute.remove(choice.index)
      suspicions[choice.index] = nil
    }
    if !barrier.isOn { fickle.remove(choice.index) }
    if offended.contains(choice.index) {
      if !wasStable { offended.remove(choice.index) }
    } else if barrier.mayHaveOffended(now: now) {
      suspicions[choice.index, default: 0] += 1
      guard hasClosed || suspicions[choice.index, default: 0] >= ForkSession.suspicionsMax else { return }
      offended.insert(choice.index)
      output.send(journal.pingRefused())
    }
  }

  /// A server that counts pings gets fewer.
  private func notePings(_ now: MonotonicTime, _ code: UInt16?) {
    guard barrier.hasPonged else { return }
    let isPolicy = code == PingTolerance.policyViolation
    guard tolerances[choice.index, default: PingTolerance()].broke(pings: barrier.count, isPolicy: isPolicy, now: now) else { return }
    output.send(journal.pingsSlowed(interval: facts.sparsePingInterval))
  }

  private func sayTheEnd() {
    guard !hasSaidTheEnd else { return }
    hasSaidTheEnd = true
    for ending in dialect.ending(facts.stream, position: stream.position, reason: "ended") { send(ending) }
  }

  private func send(_ message: DialectMessage) {
    guard let session = connection?.session else { return }
    switch message {
    case .text(let text): session.send(text: text)
    case .binary(var bytes): session.send(binary: &bytes)
    }
    session.flush()
  }

  private func close() {
    guard let session = connection?.session else { return handle(.closeCompleted) }
    session.close(code: CloseCode.normal)
  }

  // MARK: - End

  private func end(_ ending: ForkEnding) {
    retryTimer?.cancel()
    drainTimer?.cancel()
    resumeTimer?.cancel()
    let now = MonotonicTime.now
    if ending == .delivered { stream.confirmAll() }
    // The next engine would send again what is on its way.
    if ending == .shutdown, !facts.options.replays { leaveUnconfirmed() }
    // Those of the last blocks, where the connection was gone before they could be told.
    takeGaps(now)
    tellGaps()
    let undelivered = stream.undeliveredMilliseconds(now: epoch.streamTime(at: now))
    var final = stream.counters(now: epoch.streamTime(at: now))
    if ending != .shutdown {
      // The line about the end names these; the log needs no other.
      gapsUntold += stream.abandonRest()
      tellGaps()
      let sent = final
      final = stream.counters(now: epoch.streamTime(at: now))
      // What was sent stays sent, although nobody confirmed it.
      final.position = sent.position
      final.fill = sent.fill
      final.isLosing = false
    }
    if connectedAt != nil { final.confirmation = level }
    guard ending != .shutdown else {
      stream.save()
      stream.close(isOver: false)
      isOver = true
      return onEnd(self)
    }
    if let line = journal.gapsDueNow(now: now, isLast: true) { output.send(line) }
    if let line = journal.ended(ending, undeliveredMilliseconds: undelivered) { output.send(line) }
    if isAdopted { output.send(journal.adoptedEnded(ending, undeliveredMilliseconds: undelivered, final)) }
    if undelivered == 0 { stream.dropSpool() }
    let fork = NIOLoopBound(self, eventLoop: loop)
    // An engine that dies before the module knows leaves the files to the next one, which finds out the same.
    output.send(.ended(id: id, reason: ForkLog.reason(ending, undeliveredMilliseconds: undelivered), final)) {
      if fork.eventLoop.inEventLoop { fork.value.leaveFiles() } else { fork.onLoop { $0.leaveFiles() } }
    }
  }

  private func leaveFiles() {
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
