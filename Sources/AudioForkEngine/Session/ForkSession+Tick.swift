// SPDX-License-Identifier: Apache-2.0
internal import AudioForkLink
internal import AudioForkMedia
internal import AudioForkDialects
internal import AudioForkSurface
internal import AudioForkWebSocket
internal import CAudioForkABI

/// The phases of a tick for one fork (see `ForkLoop`): prefetch, render, flush.
extension ForkSession {
  /// A fork without a block for this long is looked at less often.
  private static let idleAfter = Nanoseconds.milliseconds(500)
  private static let idleLook = Nanoseconds.milliseconds(9)

  // MARK: - Prefetch

  /// Bytes of the objects that every tick uses. A wrong number only costs time.
  ///
  /// Measured with malloc_usable_size(3) on each object of a streaming fork (x86-64, Swift 6.3: 2344, 1752, 296 and 504
  /// bytes), and rounded up to cache lines of 64 bytes.
  private static let footprint = (
    fork: UInt64(2368), stream: UInt64(1792), connection: UInt64(320), session: UInt64(512)
  )

  /// Prefetches this object into the cache without accessing it.
  @inline(__always)
  func prefetchSelf() { af_prefetch(Unmanaged.passUnretained(self).toOpaque(), ForkSession.footprint.fork) }

  /// Prefetches the stream and the connection. Call after `prefetchSelf`.
  func prefetchParts() {
    af_prefetch(Unmanaged.passUnretained(stream).toOpaque(), ForkSession.footprint.stream)
    guard let connection else { return }
    af_prefetch(Unmanaged.passUnretained(connection).toOpaque(), ForkSession.footprint.connection)
  }

  /// Prefetches the audio and the WebSocket session. Call after `prefetchParts`.
  func prefetchAudio() {
    stream.prefetch()
    guard let session = connection?.session else { return }
    af_prefetch(Unmanaged.passUnretained(session).toOpaque(), ForkSession.footprint.session)
  }

  // MARK: - Render

  /// Renders at most `blocksMax` blocks and gives them to the connection, which keeps them until `flush`. Sets
  /// `nextLook` to the time of the next block.
  func render(now: MonotonicTime, blocksMax: Int) { attribution.during { renderStream(now, blocksMax) } }

  private func renderStream(_ now: MonotonicTime, _ blocksMax: Int) {
    let isIdle = now - epoch.monotonicTime(at: stream.completedAt) > ForkSession.idleAfter
    nextLook = !machine.isStreaming || isIdle ? now + ForkSession.idleLook : now
    guard !machine.isEnded else { return }
    let streamNow = epoch.streamTime(at: now)
    stream.keepSpool(now: streamNow)
    var hasBlocks = false
    if machine.isStreaming, let connection, connection.session != nil {
      hasBlocks = sendStream(over: connection, now, blocksMax)
    }
    // A recent block shows that capture had not ended: skip the check.
    let isLive = hasBlocks && streamNow - stream.completedAt < CatchUpPacer.liveMax
    if !isLive, stream.isCaptureClosed, machine.name != .draining { handle(.captureClosed) }
  }

  /// Returns true if any block was sent.
  private func sendStream(over connection: DialectConnection, _ now: MonotonicTime, _ blocksMax: Int) -> Bool {
    guard let blocks = sendAudio(over: connection, now, blocksMax) else { return false }
    reportGaps(now: now)
    // A server that acknowledges does so for the ending too. Any other should have answered a ping before it is told
    // that it may close.
    if delivery.level == .app { sendEnding(over: connection) }
    addMarkIfNeeded(over: connection, now)
    ping(over: connection, now)
    sendEnding(over: connection)
    return blocks > 0
  }

  /// Says once that the stream ends, when all audio is sent.
  private func sendEnding(over connection: DialectConnection) {
    if stream.isDrained, isAllSent { connection.sendEnding(at: stream.position) }
  }

  /// Sends audio and what belongs to it. Returns the number of blocks; nil if the ring is broken and the fork has
  /// ended.
  private func sendAudio(over connection: DialectConnection, _ now: MonotonicTime, _ blocksMax: Int) -> Int? {
    if collects { return sendMessages(over: connection, now, blocksMax) }
    guard let batch = sendBlocks(over: connection, now, blocksMax) else { return nil }
    let hasLateMarkers = sendMarkers(over: connection)
    let hasRanges = sendRanges(over: connection, batch.inFlightMax)
    if batch.blocks > 0 {
      delivery.audioSent(upTo: connection.bytesWritten)
      record(batch, over: connection, now, hasLateMarkers: hasLateMarkers, hasRanges: hasRanges)
      // The next block comes one block length later. An earlier look would be wasted.
      if batch.blocks < blocksMax, progress.inFlight < batch.inFlightMax {
        nextLook = epoch.monotonicTime(at: stream.completedAt + RenderLimit.blockLength)
      }
    }
    return batch.blocks
  }

  /// What was sent in one tick.
  private struct Batch {
    var blocks = 0
    /// Bytes of audio that are not recorded yet.
    var bytes = 0
    let inFlightMax: UInt64
  }

  /// Sends blocks while the connection and the server keep up. Returns nil if the ring is broken and the fork has
  /// ended.
  private func sendBlocks(over connection: DialectConnection, _ now: MonotonicTime, _ blocksMax: Int) -> Batch? {
    let streamNow = epoch.streamTime(at: now)
    var batch = Batch(inFlightMax: delivery.inFlightMax(now: now))
    // A session that ends meanwhile is not writable any more.
    guard let session = connection.session else { return batch }
    delivery.noteWritable(session.isWritable, now: now)
    do throws(ForkStream.Broken) {
      while shutdownDeadline == nil, batch.blocks < blocksMax, session.isWritable,
        progress.inFlight < batch.inFlightMax, !isPaced || pacer.allows(stream.completedAt, now: streamNow),
        let block = try stream.nextBlock(now: streamNow, isFurther: batch.blocks > 0)
      {
        if isPaced { pacer.took(block.completedAt, now: streamNow) }
        sendMarkers(over: connection)
        let audio = AudioBlock(stream.samples, channelCount: setup.stream.channelCount, at: block.position)
        let bytes = connection.send(audio, now: now, over: session)
        batch.blocks += 1
        if delivery.level == .app {
          stream.recordSentBlock(now: now, offset: session.bytesWritten, audioBytes: bytes)
        } else {
          batch.bytes += bytes
        }
      }
    } catch {
      handle(.broken(error.reason))
      return nil
    }
    return batch
  }

  /// Sends the markers that belong before the block taken last. Returns true if there were any.
  @discardableResult
  private func sendMarkers(over connection: DialectConnection) -> Bool {
    guard setup.traits.wantsMarkers else { return false }
    let markers = stream.takeMarkers()
    for marker in markers { connection.send(marker) }
    return !markers.isEmpty
  }

  /// Sends the ranges of fill and muted audio, about once per second of the stream. Returns true if there were any.
  ///
  /// They are sent earlier at the end, and when half of the maximum is in flight: a position can only be confirmed if
  /// all ranges before it were sent.
  func sendRanges(over connection: DialectConnection, _ inFlightMax: UInt64) -> Bool {
    guard setup.traits.wantsMarkers else { return false }
    let isDue = progress.isAtEnd || progress.inFlight >= inFlightMax / 2
    let ranges = stream.takeRanges(all: isDue)
    for range in ranges { connection.send(range) }
    return !ranges.isEmpty
  }

  /// Records what was sent. The marks from which the stream can continue after a break depend on who confirms.
  private func record(
    _ batch: Batch, over connection: DialectConnection, _ now: MonotonicTime, hasLateMarkers: Bool, hasRanges: Bool
  ) {
    let offset = connection.bytesWritten
    switch delivery.level {
    case .app:
      // Each block was recorded. After ranges one more mark is needed, which can be confirmed.
      if hasRanges, !hasLateMarkers { stream.recordSent(now: now, offset: offset, audioBytes: 0, isBarrier: true) }
    case .pong: stream.recordSentBetweenPings(audioBytes: batch.bytes)
    case .tcp: stream.recordSent(now: now, offset: offset, audioBytes: batch.bytes, areMarkersSent: !hasLateMarkers)
    }
  }

  /// How far the stream has come, for `delivery`.
  private var progress: DeliveryController.Progress {
    DeliveryController.Progress(
      position: isAllSent ? stream.position : collector.position, confirmed: stream.confirmedPosition,
      isAtEnd: (stream.isDrained && isAllSent) || shutdownDeadline != nil)
  }

  /// Whether everything that was taken from the stream was sent.
  var isAllSent: Bool { !collects || collector.isEmpty }

  /// Adds a mark at the current position if an acknowledging server may already have confirmed it and no audio follows.
  private func addMarkIfNeeded(over connection: DialectConnection, _ now: MonotonicTime) {
    guard isAllSent, let acknowledged = delivery.acknowledgedIfMarkNeeded(progress, now: now) else { return }
    stream.recordSent(now: now, offset: connection.bytesWritten, audioBytes: 0, isBarrier: true)
    stream.confirm(position: acknowledged)
  }

  private func ping(over connection: DialectConnection, _ now: MonotonicTime) {
    guard let session = connection.session, session.isWritable, delivery.wantsPing(progress, now: now) else { return }
    // A server that acknowledges confirms by that and not by its pong. Where the stream is ahead of what was sent, the
    // last message has left a mark.
    if delivery.level < .app, isAllSent {
      stream.recordSent(now: now, offset: session.bytesWritten, audioBytes: 0, isBarrier: true)
    }
    session.ping(delivery.sendPing(at: progress.position, framesHeard: session.framesHeard, now: now))
  }

  // MARK: - Flush

  /// Sends the messages of `render` with one system call, then checks the server and what is confirmed.
  func flush(now: MonotonicTime) { attribution.during { flushStream(now) } }

  private func flushStream(_ now: MonotonicTime) {
    defer { if machine.isStreaming, machine.name == .draining || shutdownDeadline != nil { nextLook = now } }
    guard !machine.isEnded else { return }
    // The connection was lost while the stopping engine waited for confirmations.
    if shutdownDeadline != nil, !machine.isStreaming { return handle(.shutdown) }
    if machine.isStreaming, let connection, let session = connection.session { flush(session, of: connection, now) }
    keepCursor(now: now)
    reporter.logGaps(now: now)
    reportIfMoved(now)
  }

  private func flush(_ session: WebSocketSession, of connection: DialectConnection, _ now: MonotonicTime) {
    // This may detect that the connection is lost.
    session.flush()
    guard machine.isStreaming, isAlive(connection, session, now), machine.isStreaming else { return }
    askKernel(of: connection, now)
    if stream.cursorFailed { reporter.cursorFailed() }
    if let shutdownDeadline {
      if stream.isAllConfirmed || now >= shutdownDeadline { handle(.shutdown) }
    } else if stream.isDrained, isAllSent, session.isFlushed {
      hasFlushedEnding = connection.hasSaidEnding
      finish(connection, now)
    }
  }

  /// Reports once per second if totals have changed or the module did not take the last report.
  private func reportIfMoved(_ now: MonotonicTime) {
    guard !machine.isEnded else { return }
    switch reporter.isDue(now: now) {
    case .no: break
    case .ifMoved:
      reporter.sendGaps()
      report(machine.name, now: now, onlyIfMoved: true)
    case .always:
      reporter.sendGaps()
      report(machine.name, now: now)
    }
  }

  /// Returns whether the server is alive. If not, drops the connection.
  private func isAlive(_ connection: DialectConnection, _ session: WebSocketSession, _ now: MonotonicTime) -> Bool {
    switch delivery.check(progress, framesHeard: session.framesHeard, now: now) {
    case .isAlive: return true
    case .probe(let since):
      probe(connection, waiting: now - since)
      return true
    case .isDead(let limit):
      abandonConnection("connection: the server has not answered for \(limit.shownSeconds)", silentFor: limit)
      return false
    case .hasStoppedAnswering(let limit):
      abandonConnection(
        "server: it sends messages, but has not answered a ping for \(limit.shownSeconds)", silentFor: limit)
      return false
    case .hasStoppedAcknowledging(let limit):
      abandonConnection(
        "server: it answers, but has not acknowledged audio for \(limit.shownSeconds)", silentFor: limit)
      return false
    }
  }

  /// Asks the kernel whether the network is dead: nothing is acknowledged despite retransmissions. Drops the connection
  /// then, while the ring still holds what was sent. A server that does not read is alive, because its kernel answers.
  /// `waiting`: how long something has waited for an answer.
  private func probe(_ connection: DialectConnection, waiting: Nanoseconds) {
    connection.transport { [self] state in
      guard let state, machine.isStreaming, self.connection === connection,
        state.isUnanswered(for: setup.pathPatience, waiting: waiting)
      else { return }
      abandonConnection(
        "connection: nothing was acknowledged for \(state.silentMilliseconds / 1000) s",
        deadFor: min(.milliseconds(Int64(state.silentMilliseconds)), waiting))
    }
  }

  /// Confirms what the server's kernel has acknowledged, if the server itself confirms nothing.
  private func askKernel(of connection: DialectConnection, _ now: MonotonicTime) {
    guard delivery.level == .tcp, stream.wantsConfirmation(now: now), delivery.asksKernel(now: now) else { return }
    connection.acknowledgedBytes { [self] acknowledged in
      guard machine.isStreaming, self.connection === connection, delivery.level == .tcp else { return }
      stream.confirm(now: now, acknowledged: acknowledged)
    }
  }

  /// Everything is sent. Ends the fork once it is delivered.
  private func finish(_ connection: DialectConnection, _ now: MonotonicTime) {
    switch delivery.finish(progress, now: now) {
    case .waits: break
    case .isDelivered: completeDelivery()
    case .asksKernel:
      connection.acknowledgedBytes { [self] acknowledged in
        delivery.kernelAnswered()
        guard machine.isStreaming, self.connection === connection, stream.isDrained else { return }
        // The kernel does not tell: wait for the server's answer to our Close instead.
        guard let acknowledged else { return handle(.drained(isAcknowledged: false)) }
        if delivery.coversAudio(acknowledged) { completeDelivery() }
      }
    }
  }

  private func completeDelivery() {
    // Before the cursor is saved: the next engine does not begin a connection only to end it.
    if setup.limits.linger != nil { stream.isDelivered = true }
    stream.confirmAll()
    handle(.drained(isAcknowledged: true))
  }
}
