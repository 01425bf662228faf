// SPDX-License-Identifier: Apache-2.0
internal import AudioForkLink
internal import AudioForkMedia
internal import AudioForkDialects
internal import AudioForkSurface
internal import AudioForkWebSocket

/// Sending for a fork whose messages are longer than a block (`message`, option `m`).
///
/// Marks are taken where a message ends, so that nothing is confirmed that was not sent. Where a message had to end
/// before a block that was taken already there is none: the stream can only be marked where it is.
extension ForkSession {
  /// Takes blocks and sends each message that they fill. Returns the number of blocks, or nil if the ring is broken and
  /// the fork has ended.
  func sendMessages(over connection: DialectConnection, _ now: MonotonicTime, _ blocksMax: Int) -> Int? {
    guard let session = connection.session else { return 0 }
    let inFlightMax = delivery.inFlightMax(now: now)
    delivery.noteWritable(session.isWritable, now: now)
    let blocks: Int
    do throws(ForkStream.Broken) {
      blocks = try collect(over: connection, session, now, blocksMax, inFlightMax)
    } catch {
      handle(.broken(error.reason))
      return nil
    }
    // A gap or a digit behind the last block.
    let markers = setup.traits.wantsMarkers ? stream.takeMarkers() : []
    if !markers.isEmpty {
      sendCollected(over: connection, session, now, inFlightMax, isAtMark: false)
      for marker in markers { connection.send(marker) }
    }
    // A server that takes no short messages takes no short last one.
    if stream.isDrained, setup.options.fill, setup.traits.padsLastMessage {
      collector.pad(channelCount: setup.stream.channelCount)
    }
    // At this level short messages may follow each other, cut by markers, without a mark that an acknowledgement could
    // confirm. What is collected would wait for ever then.
    let isFull = delivery.level == .app && stream.position - stream.confirmedPosition >= inFlightMax
    if session.isWritable, stream.isDrained || shutdownDeadline != nil || isFull || collector.isStale(now: now) {
      sendCollected(over: connection, session, now, inFlightMax, isAtMark: markers.isEmpty)
    }
    if isAllSent { sendRest(over: connection, now, inFlightMax, hasMarkers: !markers.isEmpty) }
    if blocks > 0, blocks < blocksMax, stream.position - stream.confirmedPosition < inFlightMax {
      nextLook = epoch.monotonicTime(at: stream.completedAt + RenderLimit.blockLength)
    }
    return blocks
  }

  /// Sends the ranges that are due where nothing is collected, and takes a mark behind them and behind markers.
  private func sendRest(
    over connection: DialectConnection, _ now: MonotonicTime, _ inFlightMax: UInt64, hasMarkers: Bool
  ) {
    let hasRanges = sendRanges(over: connection, inFlightMax)
    guard delivery.level == .app, hasRanges || hasMarkers else { return }
    stream.recordSentBlock(now: now, offset: connection.bytesWritten, audioBytes: 0)
  }

  /// Takes blocks while the connection and the server keep up. Returns their number.
  private func collect(
    over connection: DialectConnection, _ session: WebSocketSession, _ now: MonotonicTime, _ blocksMax: Int,
    _ inFlightMax: UInt64
  ) throws(ForkStream.Broken) -> Int {
    let streamNow = epoch.streamTime(at: now)
    var blocks = 0
    while shutdownDeadline == nil, blocks < blocksMax, session.isWritable,
      stream.position - stream.confirmedPosition < inFlightMax, pacer.allows(stream.completedAt, now: streamNow),
      let block = try stream.nextBlock(now: streamNow, isFurther: blocks > 0)
    {
      pacer.took(block.completedAt, now: streamNow)
      blocks += 1
      let markers = setup.traits.wantsMarkers ? stream.takeMarkers() : []
      if !markers.isEmpty || !collector.isContinued(at: block.position) {
        sendCollected(over: connection, session, now, inFlightMax, isAtMark: false)
        for marker in markers { connection.send(marker) }
      }
      collector.append(block, stream.samples, now: now)
      if collector.isFull { sendCollected(over: connection, session, now, inFlightMax, isAtMark: true) }
    }
    return blocks
  }

  /// Sends what is collected as one message. `isAtMark`: the stream is at its end, so that a mark can be taken.
  private func sendCollected(
    over connection: DialectConnection, _ session: WebSocketSession, _ now: MonotonicTime, _ inFlightMax: UInt64,
    isAtMark: Bool
  ) {
    guard !collector.isEmpty else { return }
    let audio = AudioBlock(collector.samples, channelCount: setup.stream.channelCount, at: collector.position)
    let bytes = connection.send(audio, now: now, over: session)
    collector.removeAll()
    defer { delivery.audioSent(upTo: connection.bytesWritten) }
    guard isAtMark else { return stream.recordSentBetweenPings(audioBytes: bytes) }
    guard delivery.level == .app else {
      _ = sendRanges(over: connection, inFlightMax)
      return stream.recordSent(now: now, offset: session.bytesWritten, audioBytes: bytes, isBarrier: true)
    }
    stream.recordSentBlock(now: now, offset: session.bytesWritten, audioBytes: bytes)
    if sendRanges(over: connection, inFlightMax) {
      stream.recordSent(now: now, offset: session.bytesWritten, audioBytes: 0, isBarrier: true)
    }
  }
}
