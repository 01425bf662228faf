// SPDX-License-Identifier: Apache-2.0
internal import AudioForkLink
internal import AudioForkMedia
internal import AudioForkDialects
internal import AudioForkWebSocket
internal import CAudioForkABI

/// A fork's part in the phases of a tick (see `ForkLoop`): prefetch, render, flush.
extension ForkSession {
  /// A fork that had no block for so long is looked at less often.
  private static let idleAfter = Nanoseconds.milliseconds(500)
  private static let idleLook = Nanoseconds.milliseconds(9)
  /// A block older than this is backlog, not live audio.
  private static let liveMax = Nanoseconds.milliseconds(100)

  // MARK: - Prefetch

  /// Bytes of the objects that every tick uses. A wrong number only costs time.
  ///
  /// Measured with malloc_usable_size(3) on each object of a streaming fork (x86-64, Swift 6.3: 1832, 1624, 296 and 504
  /// bytes), and rounded up to cache lines of 64 bytes.
  private static let footprint = (
    fork: UInt64(1856), stream: UInt64(1664), connection: UInt64(320), session: UInt64(512)
  )

  /// Fetches the fork itself into the cache. Touches nothing of it.
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

  /// Renders what the ring has, at most `blocksMax` blocks, and hands it to the connection, which keeps it until
  /// `flush`. Sets `nextLook` to when that is worth it again.
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
    // Where there was a block of a moment ago the call was alive then.
    let isLive = hasBlocks && streamNow - stream.completedAt < ForkSession.liveMax
    if !isLive, stream.isCaptureClosed, machine.name != .draining { handle(.captureClosed) }
  }

  /// Returns true when there was any block.
  private func sendStream(over connection: DialectConnection, _ now: MonotonicTime, _ blocksMax: Int) -> Bool {
    guard let batch = sendBlocks(over: connection, now, blocksMax) else { return false }
    let hasLateMarkers = sendMarkers(over: connection)
    let hasRanges = sendRanges(over: connection, batch.inFlightMax)
    if batch.blocks > 0 {
      delivery.audioSent(upTo: connection.bytesWritten)
      record(batch, over: connection, now, isToldLate: hasLateMarkers, hasRanges: hasRanges)
      // The next one comes a block's time after this one did: to look for it earlier only costs.
      if batch.blocks < blocksMax, progress.inFlight < batch.inFlightMax {
        nextLook = epoch.monotonicTime(at: stream.completedAt + RenderLimit.blockLength)
      }
    }
    reportGaps(now: now)
    if stream.isDrained { connection.sendEnding(at: stream.position) }
    markTheEnd(over: connection, now)
    ping(over: connection, now)
    return batch.blocks > 0
  }

  /// What one tick has sent.
  private struct Batch {
    var blocks = 0
    /// Bytes of audio that are not recorded yet.
    var bytes = 0
    let inFlightMax: UInt64
  }

  /// Sends blocks as long as the connection and the server keep up. Returns nil when the fork has ended meanwhile.
  private func sendBlocks(over connection: DialectConnection, _ now: MonotonicTime, _ blocksMax: Int) -> Batch? {
    let streamNow = epoch.streamTime(at: now)
    var batch = Batch(inFlightMax: delivery.inFlightMax(now: now))
    // A session that ends meanwhile is not writable any more.
    guard let session = connection.session else { return batch }
    do throws(ForkStream.Broken) {
      while leavesAt == nil, batch.blocks < blocksMax, session.isWritable, progress.inFlight < batch.inFlightMax,
        let block = try stream.nextBlock(now: streamNow, isFurther: batch.blocks > 0)
      {
        sendMarkers(over: connection)
        let bytes = connection.send(audio: stream.samples, at: block.position, over: session)
        batch.blocks += 1
        if delivery.level == .app {
          stream.sentBlock(now: now, offset: session.bytesWritten, audioBytes: bytes)
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

  /// Sends the markers that belong before the block taken last. Returns true when there were any.
  @discardableResult
  private func sendMarkers(over connection: DialectConnection) -> Bool {
    guard dialect.sendsMarkers else { return false }
    let markers = stream.takeMarkers()
    for marker in markers { connection.send(marker) }
    return !markers.isEmpty
  }

  /// Sends what is fill or muted, about once a second of the stream. Earlier at the end, and when half of what may be
  /// in flight is: only a position at which all is told can be confirmed. Returns true when there was any.
  private func sendRanges(over connection: DialectConnection, _ inFlightMax: UInt64) -> Bool {
    guard dialect.sendsMarkers else { return false }
    let isDue = progress.isAtEnd || progress.inFlight >= inFlightMax / 2
    let ranges = stream.takeRanges(all: isDue)
    for range in ranges { connection.send(range) }
    return !ranges.isEmpty
  }

  /// Records what was sent. Where the stream can go on after a break depends on who confirms.
  private func record(
    _ batch: Batch, over connection: DialectConnection, _ now: MonotonicTime, isToldLate: Bool, hasRanges: Bool
  ) {
    let offset = connection.bytesWritten
    switch delivery.level {
    case .app:
      // Each block was recorded. Behind ranges a position is needed that can be confirmed.
      if hasRanges, !isToldLate { stream.sent(now: now, offset: offset, audioBytes: 0, isBarrier: true) }
    case .pong: stream.sentBetweenPings(audioBytes: batch.bytes)
    case .tcp: stream.sent(now: now, offset: offset, audioBytes: batch.bytes, isTold: !isToldLate)
    }
  }

  /// How far the stream has come, for `delivery`.
  private var progress: DeliveryController.Progress {
    DeliveryController.Progress(
      position: stream.position, confirmed: stream.confirmedPosition, isAtEnd: stream.isDrained || leavesAt != nil)
  }

  /// Has the last position be one that can be confirmed, where the server acknowledges and nothing follows.
  private func markTheEnd(over connection: DialectConnection, _ now: MonotonicTime) {
    guard let acknowledged = delivery.acknowledgedAtEnd(progress, now: now) else { return }
    stream.sent(now: now, offset: connection.bytesWritten, audioBytes: 0, isBarrier: true)
    stream.confirm(position: acknowledged)
  }

  private func ping(over connection: DialectConnection, _ now: MonotonicTime) {
    guard let session = connection.session, session.isWritable, delivery.wantsPing(progress, now: now) else { return }
    // A server that acknowledges confirms by that and not by its pong.
    if delivery.level < .app { stream.sent(now: now, offset: session.bytesWritten, audioBytes: 0, isBarrier: true) }
    session.ping(delivery.sendPing(at: stream.position, framesHeard: session.framesHeard, now: now))
  }

  // MARK: - Flush

  /// Sends what `render` has left, all of it with one system call, and looks what has become of the rest.
  func flush(now: MonotonicTime) { attribution.during { flushStream(now) } }

  private func flushStream(_ now: MonotonicTime) {
    defer { if machine.isStreaming, machine.name == .draining || leavesAt != nil { nextLook = now } }
    guard !machine.isEnded else { return }
    // The connection broke while it was waited for.
    if leavesAt != nil, !machine.isStreaming { return handle(.shutdown) }
    if machine.isStreaming, let connection, let session = connection.session { flush(session, of: connection, now) }
    reporter.logGaps(now: now)
    reportIfMoved(now)
  }

  private func flush(_ session: WebSocketSession, of connection: DialectConnection, _ now: MonotonicTime) {
    // It may find out that the connection is gone.
    session.flush()
    guard machine.isStreaming, isAlive(connection, session, now), machine.isStreaming else { return }
    askKernel(of: connection, now)
    if stream.cursorFailed { reporter.cursorFailed() }
    if let leavesAt {
      if stream.isAllConfirmed || now >= leavesAt { handle(.shutdown) }
    } else if stream.isDrained, session.isFlushed {
      finish(connection, now)
    }
  }

  /// Once a second, where something has changed or was not taken: what the module shows is never older.
  private func reportIfMoved(_ now: MonotonicTime) {
    guard !machine.isEnded else { return }
    switch reporter.isDue(now: now) {
    case .no: break
    case .ifMoved:
      reporter.tell()
      report(machine.name, now: now, onlyIfMoved: true)
    case .always:
      reporter.tell()
      report(machine.name, now: now)
    }
  }

  /// Returns false when the server is gone without a word; the connection is left then.
  private func isAlive(_ connection: DialectConnection, _ session: WebSocketSession, _ now: MonotonicTime) -> Bool {
    switch delivery.check(progress, framesHeard: session.framesHeard, now: now) {
    case .isAlive: return true
    case .probe:
      probe(connection)
      return true
    case .isDead(let limit):
      leave("connection: the server has not answered for \(limit.wholeSeconds) s")
      return false
    case .hasStoppedAnswering(let limit):
      leave("server: it speaks, but has not answered a ping for \(limit.wholeSeconds) s")
      return false
    }
  }

  /// A dead network: nothing is acknowledged although it is sent again and again. (A server that does not read is
  /// alive: its kernel answers.) Found out while the ring still holds what was sent.
  private func probe(_ connection: DialectConnection) {
    connection.transport { [self] state in
      guard let state, machine.isStreaming, self.connection === connection,
        state.isUnanswered(for: setup.patienceMilliseconds)
      else { return }
      leave("connection: nothing was acknowledged for \(state.silentMilliseconds / 1000) s")
    }
  }

  /// Has the server's kernel confirm what it has acknowledged, where the server cannot say more.
  private func askKernel(of connection: DialectConnection, _ now: MonotonicTime) {
    guard delivery.level == .tcp, stream.wantsConfirmation(now: now), delivery.asksKernel(now: now) else { return }
    connection.acknowledgedBytes { [self] acknowledged in
      guard machine.isStreaming, self.connection === connection, delivery.level == .tcp else { return }
      stream.confirm(now: now, acknowledged: acknowledged)
    }
  }

  /// All is sent: the fork ends once it is delivered.
  private func finish(_ connection: DialectConnection, _ now: MonotonicTime) {
    switch delivery.finish(progress, now: now) {
    case .waits: break
    case .isDelivered: delivered()
    case .asksKernel:
      connection.acknowledgedBytes { [self] acknowledged in
        delivery.kernelAnswered()
        guard machine.isStreaming, self.connection === connection, stream.isDrained else { return }
        // A kernel that cannot say: the server's answer to our Close has to do.
        guard let acknowledged else { return handle(.drained(isAcknowledged: false)) }
        if delivery.coversAudio(acknowledged) { delivered() }
      }
    }
  }

  private func delivered() {
    stream.confirmAll()
    handle(.drained(isAcknowledged: true))
  }
}
