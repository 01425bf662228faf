// SPDX-License-Identifier: Apache-2.0
internal import AudioForkCore
internal import AudioForkDialects
internal import AudioForkOptions
internal import AudioForkRing
internal import AudioForkWebSocket
internal import NIOCore

/// One fork in the engine: obeys the machine, moves audio from the stream to the connection, and tells the module.
///
/// Confined to one event loop: made there, called there, and its timers and connections run there. Holds:
///  - `machine` decides, `run(_:)` is the only place that carries its actions out,
///  - `stream` is the audio and the cursor, `connection` the network,
///  - `journal` words what Asterisk's log gets to read.
final class ForkRunner {
  /// Audio that one fork may send in one tick: a backlog must not keep the other forks of the loop waiting.
  static let blocksPerTickMax = 50
  private static let reportNanoseconds: Int64 = 1_000_000_000
  /// Gaps that are kept for a module that does not read; what is beyond it only the totals tell.
  private static let gapsUntoldMax = 100
  /// What an engine that starts late is given for draining, even when the fork's own time is over.
  private static let drainMin = Duration.seconds(1)

  let id: String
  private let files: ForkFiles
  private let facts: ForkFacts
  private let loop: any EventLoop
  private let output: any EngineOutput
  private let tls: (any TLSProvider)?
  private let dialect: any Dialect
  private let stream: ForkStream
  private let epochMonotonic: Int64
  private var machine: ForkStateMachine
  private var random = SystemRandomNumberGenerator()
  private var journal: ForkJournal
  private var connection: EndpointConnection?
  private var retryTimer: Scheduled<Void>?
  private var drainTimer: Scheduled<Void>?
  private var message: [UInt8] = []
  /// Acknowledged bytes are counted from the connection's beginning, sent ones from the upgrade's end.
  private var acknowledgedAtStart: UInt64?
  /// Sent bytes of this connection up to its last audio. Pongs behind it are not waited for.
  private var audioEnd: UInt64 = 0
  private var lastReason = ""
  private var choice: EndpointChoice
  private var connectedAt: Int64 = 0
  private var texts: ServerTexts
  /// What the module was told last, and when: CLOCK_MONOTONIC.
  private var reported: (counters: ForkCounters, at: Int64, wasTaken: Bool)?
  /// Gaps that the module did not take.
  private var gapsUntold: [Gap] = []
  private var hasToldCursorFailure = false
  private var hasToldNotVerified = false
  private var isAskingForTheEnd = false
  private let onEnd: (ForkRunner) -> Void

  /// Opens the fork's files. Throws `ForkFailure` with the reason for ENDED.
  init(
    id: String, files: ForkFiles, loop: any EventLoop, output: any EngineOutput, tls: (any TLSProvider)?,
    onEnd: @escaping (ForkRunner) -> Void
  ) throws(ForkFailure) {
    self.id = id
    self.files = files
    self.loop = loop
    self.output = output
    self.tls = tls
    self.onEnd = onEnd
    let ring = try files.openRing()
    facts = try ForkFacts(ring.facts, id: id)
    dialect = facts.makeDialect()
    let cursor = try files.openCursor()
    stream = ForkStream(ring: ring, cursor: cursor, configuration: facts.rendering)
    choice = EndpointChoice(count: facts.endpoints.count)
    texts = ServerTexts(dropped: stream.textsDropped)
    epochMonotonic = ring.epochMonotonic
    machine = ForkStateMachine(facts.limits)
    journal = ForkJournal(id: id, channel: facts.stream.channel, endpoint: facts.endpoints[0].shownText)
  }

  func start() { handle(.started) }

  /// The module is gone, or does not list the fork any more: what is in the ring is all there will be.
  func orphan() { stream.isOrphaned = true }

  /// The engine stops and the next one goes on from the cursor.
  func shutdown() { handle(.shutdown) }

  /// The module has no row for it any more.
  func forget() { handle(.forgotten) }

  // MARK: - Tick

  /// Looks at the ring and sends what there is to send. `now` is CLOCK_MONOTONIC.
  func tick(now: Int64) {
    if stream.isCaptureClosed, machine.name != .draining { handle(.captureClosed) }
    let sinceEpoch = now &- epochMonotonic
    if machine.isStreaming, let session = connection?.session { send(over: session, sinceEpoch) }
    if let line = journal.gapsDueNow(now: now, isLast: false) { output.send(line) }
    reportIfMoved(now)
  }

  /// Once a second, where something has changed or was not taken: what the module shows is never older.
  private func reportIfMoved(_ now: Int64) {
    guard let last = reported, now &- last.at >= ForkRunner.reportNanoseconds, !machine.isEnded else { return }
    tellGaps()
    report(machine.name, now, onlyIfMoved: last.wasTaken)
  }

  private func report(_ name: ForkStateName, _ now: Int64, onlyIfMoved: Bool = false) {
    let counters = stream.counters(now: now &- epochMonotonic)
    let isNews = !onlyIfMoved || reported?.counters != counters
    reported?.at = now
    guard isNews else { return }
    let reason = name == .waiting ? lastReason : ""
    let wasTaken = output.send(.state(id: id, state: name, reason: reason, endpoint: endpoint.shownText, counters))
    reported = (counters, now, wasTaken)
  }

  /// The endpoint of the current or next attempt.
  private var endpoint: EndpointURL { facts.endpoints[min(choice.index, facts.endpoints.count - 1)] }

  private func send(over session: WebSocketSession, _ now: Int64) {
    var blocks = 0
    var bytes = 0
    do throws(ForkStream.Broken) {
      while blocks < ForkRunner.blocksPerTickMax, session.isWritable, try stream.nextBlock(now: now) != nil {
        dialect.encode(stream.samples, into: &message)
        bytes += message.count
        session.send(binary: &message)
        blocks += 1
      }
    } catch {
      return handle(.broken(error.reason))
    }
    if blocks > 0 {
      audioEnd = session.bytesWritten
      stream.sent(now: now, offset: audioEnd, audioBytes: bytes)
      session.flush()
      // The flush may have found out that the connection is gone.
      guard machine.isStreaming else { return }
    }
    takeGaps(now)
    confirm(now)
    if stream.cursorFailed, !hasToldCursorFailure {
      hasToldCursorFailure = true
      output.send(journal.cursorFailed())
    }
    if stream.isDrained, session.isFlushed { finishIfAcknowledged() }
  }

  /// Gaps that the stream has passed: for the module and for the log.
  private func takeGaps(_ now: Int64) {
    let gaps = stream.takeNewGaps()
    guard !gaps.isEmpty else { return }
    gapsUntold += gaps
    tellGaps()
    if let line = journal.gaps(gaps, now: now &+ epochMonotonic) { output.send(line) }
  }

  private func tellGaps() {
    while let gap = gapsUntold.first, output.send(.gap(id: id, gap)) { gapsUntold.removeFirst() }
    gapsUntold.removeLast(max(0, gapsUntold.count - ForkRunner.gapsUntoldMax))
  }

  /// All is sent: it is delivered when the server's side has acknowledged the last byte. Asked at each tick until then.
  private func finishIfAcknowledged() {
    guard !isAskingForTheEnd, let connection else { return }
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

  private func confirm(_ now: Int64) {
    guard stream.wantsConfirmation(now: now), let connection else { return }
    acknowledgedBytes(of: connection) { [self] acknowledged in
      guard machine.isStreaming, self.connection === connection else { return }
      stream.confirm(now: now, acknowledged: acknowledged)
    }
  }

  /// What the peer has acknowledged since the upgrade, bytes; nil where the kernel does not count. One that did and
  /// does not answer now has lost the socket: nothing is confirmed by that.
  private func acknowledgedBytes(of connection: EndpointConnection, _ answer: @escaping (UInt64?) -> Void) {
    guard let start = acknowledgedAtStart else { return answer(nil) }
    connection.acknowledgedBytes { total in answer(total.map { $0 >= start ? $0 &- start : 0 } ?? 0) }
  }

  // MARK: - Machine

  private func handle(_ event: ForkEvent) {
    for action in machine.handle(event, now: monotonicNow(), using: &random) { run(action) }
  }

  private func run(_ action: ForkAction) {
    switch action {
    case .connect: connect()
    case .scheduleRetry(let delay):
      retryTimer = schedule(after: delay) { $0.handle(.retryTimerFired) }
    case .cancelRetry: retryTimer?.cancel()
    case .scheduleDrainDeadline(let delay):
      let left = max(delay - stream.sinceCaptureClosed(now: monotonicNow() &- epochMonotonic), ForkRunner.drainMin)
      drainTimer = schedule(after: left) { $0.handle(.drainDeadlinePassed) }
    case .stream: break  // the next tick does
    case .close: close()
    case .drop:
      connection?.drop()
      connection = nil
    case .outageBegan(let reason):
      output.send(journal.outageBegan(reason, attemptsMax: facts.limits.attemptsMax))
    case .outageOver(let attempts):
      let lag = stream.counters(now: monotonicNow() &- epochMonotonic).lagMilliseconds
      output.send(journal.outageOver(attempts: attempts, lagMilliseconds: lag, isFirst: stream.isFirstConnection))
    case .report(let name): report(name, monotonicNow())
    case .end(let ending): end(ending)
    }
  }

  private func schedule(after delay: Duration, _ work: @escaping (ForkRunner) -> Void) -> Scheduled<Void> {
    loop.assumeIsolated().scheduleTask(in: TimeAmount(delay)) { [weak self] in
      guard let self else { return }
      work(self)
    }
  }

  private func connect() {
    let connection = EndpointConnection(
      loop: loop, url: endpoint, request: facts.request(to: endpoint, dialect), timeout: facts.attemptTimeout,
      security: tls.map { EndpointConnection.Security($0, facts.options) }
    ) { [weak self] event in
      self?.connectionReported(event)
    }
    self.connection = connection
    connection.start()
  }

  private func connectionReported(_ event: EndpointConnection.Event) {
    switch event {
    case .opened: opened()
    case .failed(let failure):
      lastReason = failure.reason
      connection = nil
      journal.endpoint = endpoint.shownText
      let isHopeless = choice.attemptFailed(isPermanent: failure.isPermanent)
      handle(.attemptFailed(failure.reason, isPermanent: isHopeless))
    case .text(let text): textCame(text)
    case .ended(let end): sessionEnded(end)
    }
  }

  // MARK: - Texts

  /// The server said something: it goes to the module, but for what is too much.
  private func textCame(_ text: String) {
    let now = monotonicNow()
    let bytes = Array(text.utf8)
    let isPassed =
      texts.admit(now: now)
      && output.send(
        .text(id: id, text: ServerTexts.cut(bytes), length: UInt64(bytes.count), dropped: texts.dropped))
    guard !isPassed else { return }
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
    session.send(text: text)
    session.flush()
  }

  private func opened() {
    choice.connected()
    connectedAt = monotonicNow()
    journal.endpoint = endpoint.shownText
    stream.connectionOpened()
    tellIfNotVerified()
    acknowledgedAtStart = nil
    audioEnd = 0
    // The answer to the upgrade has acknowledged the request, so this is what audio is counted from.
    connection?.acknowledgedBytes { [self] in acknowledgedAtStart = $0 }
    for opening in dialect.opening(facts.stream) { send(opening) }
    handle(.connected)
  }

  /// Once in a fork's life, whatever number of connections and engines it takes; where only some endpoints have TLS,
  /// once in an engine's.
  private func tellIfNotVerified() {
    guard endpoint.isSecure, !facts.options.verifies, !hasToldNotVerified else { return }
    hasToldNotVerified = true
    if stream.isFirstConnection || !facts.endpoints.allSatisfy(\.isSecure) { output.send(journal.notVerified()) }
  }

  private func sessionEnded(_ end: SessionEnd) {
    connection = nil
    switch end {
    case .closedByServer(code: CloseCode.normal, _): handle(.closedByServer)
    // An answer repeats our code, or has none. Another one crossed our Close: that server has not read to the end.
    case .closedByUs(code: let code?) where code != CloseCode.normal && machine.awaitsAnswer: broke(closed(with: code, ""))
    case .closedByUs: handle(.closeCompleted)
    case .closedByServer(let code, let reason): broke(closed(with: code, reason))
    case .lost(let reason): broke(reason)
    }
  }

  private func closed(with code: UInt16?, _ reason: String) -> String {
    "server: closed with \(code.map(String.init) ?? "no code")\(reason.isEmpty ? "" : " (\(reason))")"
  }

  private func broke(_ reason: String) {
    lastReason = reason
    // Not while we wait for an answer to our Close and know that all has arrived.
    if machine.isStreaming || machine.awaitsAnswer {
      stream.rewind()
      let held = Duration.nanoseconds(monotonicNow() &- connectedAt)
      choice.connectionLost(wasStable: held >= facts.limits.stableAfter)
    }
    handle(.disconnected(reason))
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
    for ending in dialect.ending(facts.stream) { send(ending) }
    guard let session = connection?.session else { return handle(.closeCompleted) }
    session.close(code: CloseCode.normal)
  }

  // MARK: - End

  private func end(_ ending: ForkEnding) {
    retryTimer?.cancel()
    drainTimer?.cancel()
    let now = monotonicNow()
    if ending == .delivered { stream.confirmAll() }
    // Those of the last blocks, where the connection was gone before they could be told.
    takeGaps(now &- epochMonotonic)
    tellGaps()
    let undelivered = stream.undeliveredMilliseconds(now: now &- epochMonotonic)
    let final = stream.counters(now: now &- epochMonotonic)
    if ending == .shutdown { stream.save() }
    stream.close()
    if ending != .shutdown {
      if let line = journal.gapsDueNow(now: now, isLast: true) { output.send(line) }
      files.unlink()
      if let line = journal.ended(ending, undeliveredMilliseconds: undelivered) { output.send(line) }
      output.send(
        .ended(id: id, reason: ForkJournal.reason(ending, undeliveredMilliseconds: undelivered), final))
    }
    onEnd(self)
  }
}
