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
  /// What an engine that starts late is given for draining, even when the fork's own time is over.
  private static let drainMin = Duration.seconds(1)

  let id: String
  private let files: ForkFiles
  private let facts: ForkFacts
  private let loop: any EventLoop
  private let output: any EngineOutput
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
  private var lastReason = ""
  private var hasToldCursorFailure = false
  private let onEnd: (ForkRunner) -> Void

  /// Opens the fork's files. Throws `ForkFailure` with the reason for ENDED.
  init(
    id: String, files: ForkFiles, loop: any EventLoop, output: any EngineOutput,
    onEnd: @escaping (ForkRunner) -> Void
  ) throws(ForkFailure) {
    self.id = id
    self.files = files
    self.loop = loop
    self.output = output
    self.onEnd = onEnd
    let ring = try files.openRing()
    facts = try ForkFacts(ring.facts, id: id)
    dialect = facts.makeDialect()
    let cursor = try files.openCursor()
    stream = ForkStream(ring: ring, cursor: cursor, configuration: facts.rendering)
    epochMonotonic = ring.epochMonotonic
    machine = ForkStateMachine(facts.limits)
    journal = ForkJournal(id: id, channel: facts.stream.channel, endpoint: facts.shownURL)
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
  }

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
      stream.sent(now: now, offset: session.bytesWritten, audioBytes: bytes)
      session.flush()
      // The flush may have found out that the connection is gone.
      guard machine.isStreaming else { return }
    }
    let gaps = stream.takeNewGaps()
    if !gaps.isEmpty, let line = journal.gaps(gaps, now: now &+ epochMonotonic) { output.send(line) }
    confirm(now)
    if stream.cursorFailed, !hasToldCursorFailure {
      hasToldCursorFailure = true
      output.send(journal.cursorFailed())
    }
    if stream.isDrained, session.isFlushed { handle(.drained) }
  }

  private func confirm(_ now: Int64) {
    guard stream.wantsConfirmation(now: now), let connection else { return }
    connection.acknowledgedBytes { [self] total in
      guard machine.isStreaming else { return }
      var sinceUpgrade: UInt64?
      if let total, let start = acknowledgedAtStart { sinceUpgrade = total >= start ? total &- start : 0 }
      stream.confirm(now: now, acknowledged: sinceUpgrade)
    }
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
      output.send(journal.outageOver(attempts: attempts, lagMilliseconds: lag))
    case .report(let name):
      let reason = name == .waiting ? lastReason : ""
      output.send(.state(id: id, state: name, reason: reason, counters))
    case .end(let ending): end(ending)
    }
  }

  private var counters: ForkCounters { stream.counters(now: monotonicNow() &- epochMonotonic) }

  private func schedule(after delay: Duration, _ work: @escaping (ForkRunner) -> Void) -> Scheduled<Void> {
    loop.assumeIsolated().scheduleTask(in: TimeAmount(delay)) { [weak self] in
      guard let self else { return }
      work(self)
    }
  }

  private func connect() {
    let connection = EndpointConnection(
      loop: loop, url: facts.url, request: facts.request(dialect), timeout: facts.attemptTimeout
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
      handle(.attemptFailed(failure.reason, isPermanent: failure.isPermanent))
    case .ended(let end): sessionEnded(end)
    }
  }

  private func opened() {
    stream.connectionOpened()
    acknowledgedAtStart = nil
    // The answer to the upgrade has acknowledged the request, so this is what audio is counted from.
    connection?.acknowledgedBytes { [self] in acknowledgedAtStart = $0 }
    for opening in dialect.opening(facts.stream) { send(opening) }
    handle(.connected)
  }

  private func sessionEnded(_ end: SessionEnd) {
    connection = nil
    switch end {
    case .closedByServer(code: CloseCode.normal, _): handle(.closedByServer)
    case .closedByUs: handle(.closeCompleted)
    case .closedByServer(let code, let reason):
      let words = reason.isEmpty ? "" : " (\(reason))"
      broke("server: closed with \(code.map(String.init) ?? "no code")\(words)")
    case .lost(let reason): broke(reason)
    }
  }

  private func broke(_ reason: String) {
    lastReason = reason
    // Not while closing: all was sent and the totals are final.
    if machine.isStreaming { stream.rewind() }
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
    let undelivered = stream.undeliveredMilliseconds(now: now &- epochMonotonic)
    let final = counters
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
