// SPDX-License-Identifier: Apache-2.0
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
/// Two promises hold for a client. A pong means that all audio sent before its ping has been written to the file, so
/// that it outlives this process. An echoed Close means that the file is complete.
package struct StreamStateMachine: Sendable {
  /// What to do next.
  package enum Action: Equatable, Sendable {
    /// Append these bytes to the file, then call `written()` or `writeFailed(_:)`.
    case write(ByteBuffer)
    /// Finalise the file, then call `finished()`.
    case finish
    case sendPong(ByteBuffer)
    /// Send a Close; an empty one where there is no code.
    case sendClose(code: UInt16?, reason: String)
    /// Call `flushDue()` after `flushDelay`.
    case scheduleFlush
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
  /// Unanswered pings; beyond them the oldest is dropped, which RFC 6455 (5.5.3) allows.
  package static let pongsMax = 64

  /// The file's life. opening → idle ⇄ writing → finishing → finished; a file that cannot be created is finished.
  private enum File: Equatable {
    case opening
    case idle
    case writing(byteCount: Int)
    case finishing
    case finished
  }

  private struct WaitingPong {
    /// Received bytes when its ping came.
    let mark: Int
    let payload: ByteBuffer
  }

  private var rules = ClientFrameRules()
  private var file = File.opening
  private var pending = ByteBuffer()
  private var acceptedBytes = 0
  private var writtenBytes = 0
  private var pongs: [WaitingPong] = []
  private var flushWanted = false
  private var flushScheduled = false
  private var isPaused = false
  /// Nothing that comes from now on is recorded.
  private var inputOver = false
  private var ending: StreamEnding?
  private var endingTold = false
  private var closeSent = false
  /// The client sent its Close.
  private var clientClosed = false
  private var closeExpired = false
  private var channelOpen = true
  private var closingChannel = false

  /// Binary messages received in full.
  package private(set) var messages = 0
  /// Text messages received.
  package private(set) var texts = 0

  /// A stream whose connection is open and whose file is being created.
  package init() {}

  /// The file exists.
  package mutating func opened() -> [Action] {
    if file == .opening { file = .idle }
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
    flushWanted = pending.readableBytes > 0
    return advance([])
  }

  /// The write has been done.
  package mutating func written() -> [Action] {
    if case .writing(let byteCount) = file {
      writtenBytes += byteCount
      file = .idle
    }
    return advance([])
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
    case .audio(var bytes, let endsMessage):
      if endsMessage { messages += 1 }
      acceptedBytes += bytes.readableBytes
      if pending.readableBytes == 0 { pending = bytes } else { pending.writeBuffer(&bytes) }
    case .text(let text):
      texts += 1
      actions.append(.text(text))
    case .incomplete, .pong, .ignored:
      break
    case .ping(let payload):
      if pongs.count >= StreamStateMachine.pongsMax { pongs.removeFirst() }
      pongs.append(WaitingPong(mark: acceptedBytes, payload: payload))
      flushWanted = pending.readableBytes > 0
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

  private mutating func giveUp(_ reason: String) {
    inputOver = true
    pending = ByteBuffer()
    pongs = []
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
    if !isPaused, !inputOver, pending.readableBytes >= StreamStateMachine.pendingBytesMax {
      isPaused = true
      actions.append(.pauseReading)
    } else if isPaused, inputOver || pending.readableBytes < StreamStateMachine.pendingBytesMax / 2 {
      isPaused = false
      actions.append(.resumeReading)
    }
    advanceClose(&actions)
    return actions
  }

  private mutating func advanceFile(_ actions: inout [Action]) {
    if file == .idle {
      let byteCount = pending.readableBytes
      if byteCount > 0, flushWanted || inputOver || byteCount >= StreamStateMachine.flushBytes {
        file = .writing(byteCount: byteCount)
        actions.append(.write(pending))
        pending = ByteBuffer()
        flushWanted = false
      } else if byteCount == 0, inputOver {
        file = .finishing
        actions.append(.finish)
      }
    }
    if pending.readableBytes > 0, !flushScheduled, !flushWanted, !inputOver {
      flushScheduled = true
      actions.append(.scheduleFlush)
    }
  }

  private mutating func advanceClose(_ actions: inout [Action]) {
    guard file == .finished, let ending else { return }
    if channelOpen, !closeSent {
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
    if closeExpired {
      actions.append(.abort)
    } else if clientClosed, !closingChannel {
      closingChannel = true
      actions.append(.closeAfterWrites)
    }
  }
}
