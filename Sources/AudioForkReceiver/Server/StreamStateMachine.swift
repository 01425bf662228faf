// SPDX-License-Identifier: Apache-2.0
internal import AudioForkCore
package import NIOCore
package import NIOWebSocket

/// How a connection ended.
package struct StreamEnding: Equatable, Sendable {
  /// Whose doing it was.
  package enum Side: String, Equatable, Sendable {
    /// The client sent a Close.
    case client
    /// This server sent a Close first: it stops, cannot write, or the client broke a rule.
    case server
    /// The TCP connection ended without a Close.
    case lost
  }

  package let side: Side
  /// The code in the Close frame; 1005 for a Close without one, 1006 where there was no Close (RFC 6455, 7.4.1).
  package let code: UInt16
  /// The reason in the Close frame; often empty.
  package let reason: String

  package init(side: Side, code: UInt16, reason: String) {
    self.side = side
    self.code = code
    self.reason = reason
  }
}

/// One connection: what is written to its file when, when pings are answered, and how it is closed. No I/O and no
/// clock: `StreamHandler` reports events and carries out the actions, in order.
///
/// A connection of `audiofork.v1` begins with the client's `start`: then its fork's file is opened, and the client hears
/// from which position on to send. Every position is written once, and acknowledged when that is done.
///
/// Two promises hold for a client. A pong means that all audio sent before its ping has been written to the file, so
/// that it outlives this process. An echoed Close means that the file is complete.
package struct StreamStateMachine: Sendable {
  /// What to do next.
  package enum Action: Equatable, Sendable {
    /// Open the fork's file, then call `opened(at:)` or `openFailed(_:)`.
    case open(ForkStart)
    /// Append these bytes to the file, then call `written()` or `writeFailed(_:)`. `position`: the sample frame at which
    /// they begin; what lies before it and is not in the file is silence. Nil: right behind the last ones.
    case write(ByteBuffer, position: UInt64? = nil)
    /// Force the file to the disk, then call `synced()` or `writeFailed(_:)`.
    case sync
    /// Send a text message.
    case sendText(String)
    /// Finalise the file, then call `finished()`.
    case finish
    case sendPong(ByteBuffer)
    /// Send a ping: nothing has come for a while.
    case sendPing
    /// Send a Close; an empty one where there is no code.
    case sendClose(code: UInt16?, reason: String)
    /// Call `flushDue()` after `flushDelay`.
    case scheduleFlush
    /// Call `syncDue()` after `syncDelay`.
    case scheduleSync
    /// Call `closeDue()` after `closeDelay`.
    case scheduleClose
    case pauseReading
    case resumeReading
    /// Close the connection after what was sent has left.
    case closeAfterWrites
    /// Close the connection at once.
    case abort
    /// A text message arrived.
    case text(String)
    /// A message of `audiofork.v1` other than `start` arrived.
    case told(ForkMessage)
    /// The file is complete and the stream over.
    case ended(StreamEnding)
  }

  /// Longest that audio waits in memory before it is written: several messages share the cost of a write.
  package static let flushDelay = TimeAmount.milliseconds(100)
  /// Audio that is written without waiting.
  package static let flushBytes = 16 * 1024
  /// Audio waiting for the disk at which reading from the network stops, so that a slow disk slows the sender and does
  /// not grow this process; it goes on below half of it.
  package static let pendingBytesMax = 256 * 1024
  /// How long a client has to answer our Close.
  package static let closeDelay = TimeAmount.seconds(1)
  /// Between two times that a file is forced to the disk, where the client asks for that.
  package static let syncDelay = TimeAmount.milliseconds(500)
  /// How long a client of `audiofork.v1` has for its `start`.
  package static let startDelay = TimeAmount.seconds(10)
  /// Between two calls of `silenceDue(hasHeard:)`, and how many of them without a byte from the client end the stream:
  /// a client that is gone without a word answers no ping either.
  package static let silenceDelay = TimeAmount.seconds(20)
  package static let silencesMax = 3
  /// Unanswered pings; beyond them the oldest is dropped, which RFC 6455 (5.5.3) allows.
  package static let pongsMax = 64

  /// The file's life. opening → idle ⇄ writing, syncing → finishing → finished; a file that cannot be created is
  /// finished.
  private enum File: Equatable {
    /// There is none before the client's `start`.
    case awaited
    case opening
    case idle
    case writing(byteCount: Int, end: UInt64)
    case syncing(end: UInt64)
    case finishing
    case finished
  }

  private struct WaitingPong {
    /// Received bytes when its ping came.
    let mark: Int
    let payload: ByteBuffer
  }

  /// What a connection of `audiofork.v1` has besides.
  private struct Fork {
    var start: ForkStart?
    /// The message that is arriving, its position included.
    var message = ByteBuffer()
    /// Position that comes next in the file.
    var next: UInt64 = 0
    /// Position at which the next message of this connection has to begin; nil before the first one.
    var expected: UInt64?
    /// What has been written, and what is on the disk.
    var written: UInt64 = 0
    var synced: UInt64 = 0
    var stop: UInt64?
    var isSyncScheduled = false
    var isSyncDue = false
    /// Sample frames that came although they were in the file already.
    var duplicates: UInt64 = 0
  }

  private var rules = ClientFrameRules()
  private var file = File.opening
  private var fork: Fork?
  /// Audio that is not written yet: one piece without a break, because positions don't jump.
  private var pending = ByteBuffer()
  /// Sample frame at which it begins; nil where the client doesn't say.
  private var pendingPosition: UInt64?
  private var acceptedBytes = 0
  private var writtenBytes = 0
  private var pongs: [WaitingPong] = []
  private var flushWanted = false
  private var flushScheduled = false
  private var isPaused = false
  /// Nothing that comes from now on is recorded.
  private var inputOver = false
  package var isInputOver: Bool { inputOver }
  private var ending: StreamEnding?
  private var endingTold = false
  private var closeSent = false
  /// The client sent its Close.
  private var clientClosed = false
  private var closeExpired = false
  private var channelOpen = true
  private var closingChannel = false
  private var silences = 0

  /// Binary messages received in full.
  package private(set) var messages = 0
  /// Text messages received.
  package private(set) var texts = 0

  /// A stream whose connection is open and whose file is being created; with `audiofork.v1` it is opened on `start`.
  package init(isForkStream: Bool = false) {
    if isForkStream {
      file = .awaited
      fork = Fork()
    }
  }

  private var pendingBytes: Int { pending.readableBytes }

  /// Bytes of the client's that are held: messages that have not come in full, audio that waits for the disk.
  package var heldBytes: Int {
    let writing = if case .writing(let byteCount, _) = file { byteCount } else { 0 }
    return partialBytes + pendingBytes + writing
  }

  /// Those of messages that have not come in full.
  package var partialBytes: Int { rules.partialBytes + (fork?.message.readableBytes ?? 0) }

  /// Sample frames that came although they were in the file already; 0 where the client doesn't say what it sends.
  package var duplicates: UInt64 { fork?.duplicates ?? 0 }

  /// The file exists.
  package mutating func opened() -> [Action] {
    if file == .opening { file = .idle }
    return advance([])
  }

  /// The fork's file is open and holds the stream up to `position`.
  package mutating func opened(at position: UInt64) -> [Action] {
    guard file == .opening else { return advance([]) }
    file = .idle
    fork?.next = position
    fork?.written = position
    fork?.synced = position
    return advance(say(ForkMessage.resume(position: position)))
  }

  /// No `start` came within `startDelay`.
  package mutating func startDue() -> [Action] {
    guard file == .awaited, !inputOver else { return [] }
    return act(on: .violation(code: 1002, reason: "no start came within 10 seconds"))
  }

  /// Another connection carries the fork now: what this one still holds it will send again there.
  package mutating func replaced() -> [Action] {
    inputOver = true
    drop()
    if ending == nil { ending = StreamEnding(side: .server, code: 4001, reason: "another connection carries this fork") }
    return advance([])
  }

  /// The file could not be created; `reason` goes to the client.
  package mutating func openFailed(_ reason: String) -> [Action] {
    giveUp(reason)
    file = .finished
    return advance([])
  }

  /// A frame arrived.
  package mutating func received(_ frame: WebSocketFrame) -> [Action] {
    act(on: rules.received(frame))
  }

  /// The frame decoder refused what arrived.
  package mutating func decodingFailed(_ error: any Error) -> [Action] {
    act(on: rules.verdict(forDecoderError: error))
  }

  /// `flushDelay` has passed.
  package mutating func flushDue() -> [Action] {
    flushScheduled = false
    flushWanted = pendingBytes > 0
    return advance([])
  }

  /// `syncDelay` has passed.
  package mutating func syncDue() -> [Action] {
    fork?.isSyncScheduled = false
    fork?.isSyncDue = true
    return advance([])
  }

  /// The file is on the disk.
  package mutating func synced() -> [Action] {
    guard case .syncing(let end) = file else { return advance([]) }
    file = .idle
    fork?.synced = end
    return advance(say(ForkMessage.acknowledgement(position: end, isPersisted: true)))
  }

  /// The write has been done.
  package mutating func written() -> [Action] {
    guard case .writing(let byteCount, let end) = file else { return advance([]) }
    writtenBytes += byteCount
    file = .idle
    guard fork != nil else { return advance([]) }
    fork?.written = end
    return advance(say(ForkMessage.acknowledgement(position: end, isPersisted: false)))
  }

  /// The write has failed; what the file has so far is kept. `reason` goes to the client.
  package mutating func writeFailed(_ reason: String) -> [Action] {
    giveUp(reason)
    file = .finishing
    return advance([.finish])
  }

  /// The file is complete.
  package mutating func finished() -> [Action] {
    file = .finished
    return advance([])
  }

  /// `silenceDelay` has passed. `hasHeard`: bytes came meanwhile, or would have been read if we had not paused reading.
  package mutating func silenceDue(hasHeard: Bool) -> [Action] {
    guard ending == nil, channelOpen else { return [] }
    silences = hasHeard ? 0 : silences + 1
    if silences == 0 { return [] }
    guard silences > StreamStateMachine.silencesMax else { return [.sendPing] }
    inputOver = true
    ending = StreamEnding(side: .lost, code: 1006, reason: "the client has not answered pings for 60 seconds")
    return advance([])
  }

  /// All connections together hold too much, and this one more than its share.
  package mutating func overloaded() -> [Action] {
    guard !inputOver else { return [] }
    fork?.message = ByteBuffer()
    return act(on: .violation(code: 1013, reason: "the receiver's memory is full; send shorter messages"))
  }

  /// The TCP connection has ended.
  package mutating func channelClosed() -> [Action] {
    channelOpen = false
    inputOver = true
    if ending == nil { ending = StreamEnding(side: .lost, code: 1006, reason: "") }
    return advance([])
  }

  /// The server stops: the client is told, what it still sends is recorded until it answers.
  package mutating func shutDown() -> [Action] {
    guard ending == nil, channelOpen else { return [] }
    ending = StreamEnding(side: .server, code: 1001, reason: "the receiver is stopping")
    closeSent = true
    return advance([.sendClose(code: 1001, reason: "the receiver is stopping"), .scheduleClose])
  }

  /// `closeDelay` has passed since our Close.
  package mutating func closeDue() -> [Action] {
    closeExpired = true
    inputOver = true
    return advance([])
  }

  private mutating func act(on verdict: ClientFrameRules.Verdict) -> [Action] {
    guard !inputOver else { return [] }
    var actions: [Action] = []
    switch verdict {
    case .audio(let bytes, let endsMessage):
      if fork != nil { return audioOfFork(bytes, endsMessage) }
      if endsMessage { messages += 1 }
      take(bytes, at: nil)
    case .text(let text):
      texts += 1
      if fork != nil { return messageOfFork(text) }
      actions.append(.text(text))
    case .incomplete, .pong, .ignored:
      break
    case .ping(let payload):
      if pongs.count >= StreamStateMachine.pongsMax { pongs.removeFirst() }
      // A copy: a slice would keep all that was read from the network with it.
      pongs.append(WaitingPong(mark: acceptedBytes, payload: ByteBuffer(bytes: payload.readableBytesView)))
      flushWanted = pendingBytes > 0
    case .close(let code, let reason):
      clientClosed = true
      inputOver = true
      if ending == nil { ending = StreamEnding(side: .client, code: code ?? 1005, reason: reason) }
    case .violation(let code, let reason):
      inputOver = true
      if ending == nil { ending = StreamEnding(side: .server, code: code, reason: reason) }
    }
    return advance(actions)
  }

  /// Puts audio behind what waits for the disk.
  private mutating func take(_ bytes: ByteBuffer, at position: UInt64?) {
    guard bytes.readableBytes > 0 else { return }
    acceptedBytes += bytes.readableBytes
    if pendingBytes == 0 {
      pending = bytes
      pendingPosition = position
    } else {
      // The only reference to the buffer is ours: appending copies no more than the new bytes.
      pending.writeImmutableBuffer(bytes)
    }
  }

  // MARK: - audiofork.v1

  private mutating func audioOfFork(_ bytes: ByteBuffer, _ endsMessage: Bool) -> [Action] {
    fork?.message.writeImmutableBuffer(bytes)
    guard endsMessage else { return [] }
    messages += 1
    var message = fork?.message ?? ByteBuffer()
    fork?.message = ByteBuffer()
    guard let start = fork?.start, let next = fork?.next, file != .opening, file != .awaited else {
      return refuse("audio came before the stream was resumed")
    }
    guard fork?.stop == nil else { return refuse("audio came behind stop") }
    let frameBytes = start.encoding.bytesPerSample * start.channelCount
    guard let position = message.readInteger(as: UInt64.self), position <= ForkMessage.positionMax,
      message.readableBytes % frameBytes == 0
    else { return refuse("a binary message is no position and whole sample frames") }
    let frames = UInt64(message.readableBytes / frameBytes)
    guard frames > 0 else { return refuse("a binary message without samples") }
    // What the fork has delivered elsewhere may be missing here, once, in front of the first message.
    let isExpected = fork?.expected.map { $0 == position } ?? (position <= max(next, start.position))
    guard isExpected else { return refuse("a position that is not where the stream goes on") }
    let end = position &+ frames
    fork?.expected = end
    if position > next {
      fork?.next = end
      take(message, at: position)
      return advance([])
    }
    let known = min(next &- position, frames)
    fork?.duplicates &+= known
    guard known < frames else { return advance([]) }
    message.moveReaderIndex(forwardBy: Int(known) * frameBytes)
    fork?.next = end
    take(message, at: next)
    return advance([])
  }

  private mutating func messageOfFork(_ text: String) -> [Action] {
    let message: ForkMessage
    do {
      message = try ForkMessage(text)
    } catch {
      return refuse(error.reason)
    }
    guard case .start(let start) = message else {
      guard fork?.start != nil else { return refuse("the first message has to be start") }
      if case .stop(let position, _) = message {
        fork?.stop = position
        flushWanted = pendingBytes > 0
      }
      return advance([.told(message)])
    }
    guard fork?.start == nil else { return refuse("a second start") }
    fork?.start = start
    file = .opening
    return advance([.open(start)])
  }

  private func say(_ text: String) -> [Action] { channelOpen && !closeSent ? [.sendText(text)] : [] }

  private mutating func refuse(_ reason: String) -> [Action] { act(on: .violation(code: 1002, reason: reason)) }

  private mutating func drop() {
    pending = ByteBuffer()
    pongs = []
  }

  private mutating func giveUp(_ reason: String) {
    inputOver = true
    drop()
    if ending == nil { ending = StreamEnding(side: .server, code: 1011, reason: reason) }
  }

  /// Everything that follows from the state, in the order in which it must happen.
  private mutating func advance(_ first: [Action]) -> [Action] {
    var actions = first
    advanceFile(&actions)
    while let pong = pongs.first, pong.mark <= writtenBytes {
      pongs.removeFirst()
      if channelOpen, !closeSent { actions.append(.sendPong(pong.payload)) }
    }
    if !isPaused, !inputOver, pendingBytes >= StreamStateMachine.pendingBytesMax {
      isPaused = true
      actions.append(.pauseReading)
    } else if isPaused, inputOver || pendingBytes < StreamStateMachine.pendingBytesMax / 2 {
      isPaused = false
      actions.append(.resumeReading)
    }
    advanceClose(&actions)
    return actions
  }

  private mutating func advanceFile(_ actions: inout [Action]) {
    // Where no start came there is nothing to finish.
    if file == .awaited, inputOver { file = .finished }
    if file == .idle {
      if pendingBytes > 0, flushWanted || inputOver || pendingBytes >= StreamStateMachine.flushBytes {
        file = .writing(byteCount: pendingBytes, end: fork?.next ?? 0)
        flushWanted = false
        actions.append(.write(pending, position: pendingPosition))
        pending = ByteBuffer()
      } else if wantsSync {
        file = .syncing(end: fork?.written ?? 0)
        fork?.isSyncDue = false
        actions.append(.sync)
      } else if inputOver {
        file = .finishing
        actions.append(.finish)
      }
    }
    scheduleSync(&actions)
    if pendingBytes > 0, !flushScheduled, !flushWanted, !inputOver {
      flushScheduled = true
      actions.append(.scheduleFlush)
    }
  }

  /// Whether the file is to be forced to the disk now: in its time, at the end of the stream, and before it is closed.
  private var wantsSync: Bool {
    guard let fork, fork.start?.wantsPersisted == true, fork.written > fork.synced else { return false }
    return fork.isSyncDue || inputOver || (fork.stop.map { $0 <= fork.written } ?? false)
  }

  private mutating func scheduleSync(_ actions: inout [Action]) {
    if case .syncing = file { return }
    guard let fork, fork.start?.wantsPersisted == true, fork.written > fork.synced, !fork.isSyncScheduled, !fork.isSyncDue,
      !inputOver
    else { return }
    self.fork?.isSyncScheduled = true
    actions.append(.scheduleSync)
  }

  private mutating func advanceClose(_ actions: inout [Action]) {
    guard file == .finished, let ending else { return }
    if channelOpen, !closeSent, ending.side != .lost {
      closeSent = true
      // 1005 and 1006 stand for "no code" and never go over the wire.
      let code = ending.code == 1005 ? nil : ending.code
      actions.append(.sendClose(code: code, reason: ending.side == .client ? "" : ending.reason))
      actions.append(.scheduleClose)
    }
    if !endingTold {
      endingTold = true
      actions.append(.ended(ending))
    }
    guard channelOpen else { return }
    if closeExpired || ending.side == .lost {
      actions.append(.abort)
    } else if clientClosed, !closingChannel {
      closingChannel = true
      actions.append(.closeAfterWrites)
    }
  }
}
