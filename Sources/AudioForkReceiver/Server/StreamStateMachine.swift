// SPDX-License-Identifier: Apache-2.0
internal import AudioForkWebSocket
package import NIOCore
package import NIOWebSocket

/// One connection: what is written to its file when, when pings are answered, and how it is closed. No I/O and no
/// clock: `StreamHandler` reports events and carries out the actions, in order.
///
/// Its parts: `WebSocketFrameRules` turn frames into messages, a `StreamProtocol` says what they mean, `FileWriter` has
/// the file's states, `PongQueue` the open pings and `CloseHandshake` the states of the end.
///
/// Two promises hold for a client. A pong means that all audio sent before its ping has been written to the file, so
/// that it outlives this process. An echoed Close means that the file is complete.
package struct StreamStateMachine: Sendable {
  package typealias Action = StreamAction

  /// How long a client of `audiofork.v1` has for its `start`.
  package static let startDelay = TimeAmount.seconds(10)
  /// Time between two calls of `silenceDue(hasReceived:)`. After `silencesMax` calls in a row without a byte from the
  /// client, the stream ends: a dead client does not answer pings.
  package static let silenceDelay = TimeAmount.seconds(20)
  package static let silencesMax = 3
  package static let pongsMax = PongQueue.countMax

  private var rules = WebSocketFrameRules(sender: .client, passesPieces: true)
  private var content: any StreamProtocol
  private var file: FileWriter
  private var pongs = PongQueue()
  private var close = CloseHandshake()
  private var silences = 0

  /// Binary messages received in full.
  package private(set) var messages = 0
  /// Text messages received.
  package private(set) var texts = 0

  /// A stream whose connection is open and whose file is being created; with `audiofork.v1` it is opened on `start`.
  package init(isForkStream: Bool = false) {
    content = isForkStream ? V1Stream() : RawStream()
    file = FileWriter(isAwaited: isForkStream)
  }

  /// Whether nothing that comes from now on is recorded.
  package var isInputOver: Bool { file.isInputOver }
  /// Bytes of the client's that are held: messages that have not come in full, audio that waits for the disk.
  package var heldBytes: Int { partialBytes + file.heldBytes }
  /// Those of messages that have not come in full.
  package var partialBytes: Int { rules.partialBytes + content.partialBytes }
  /// Sample frames that came although they were in the file already; 0 where the client doesn't say what it sends.
  package var duplicates: UInt64 { content.duplicates }

  // MARK: - From the client

  /// A frame arrived.
  package mutating func received(_ frame: WebSocketFrame) -> [Action] {
    guard !isInputOver else { return [] }
    switch rules.receive(frame) {
    case .nothing, .pong: return advance([])
    case .piece(let bytes, let endsMessage):
      if endsMessage { messages += 1 }
      return interpret { content, file throws(ProtocolViolation) in
        try content.binary(bytes, endsMessage: endsMessage, file: &file)
      }
    case .binary(let bytes):
      messages += 1
      return interpret { content, file throws(ProtocolViolation) in
        try content.binary(bytes, endsMessage: true, file: &file)
      }
    case .text(let text):
      texts += 1
      return interpret { content, file throws(ProtocolViolation) in try content.text(text, file: &file) }
    case .ping(let payload):
      pongs.add(payload, behind: file.acceptedBytes)
      file.flush()
      return advance([])
    case .close(let code, let reason):
      close.clientClosed(code: code, reason: reason)
      file.endInput()
      return advance([])
    case .violation(let violation): return refuse(violation)
    }
  }

  /// The frame decoder refused what arrived. Nothing can be decoded after it.
  package mutating func decodingFailed(_ error: any Error) -> [Action] {
    guard !isInputOver else { return [] }
    return refuse(ProtocolViolation(decoderError: error))
  }

  /// All connections together hold too much, and this one more than its share.
  package mutating func overloaded() -> [Action] {
    guard !isInputOver else { return [] }
    content.dropPartial()
    return refuse(ProtocolViolation(code: 1013, reason: "the receiver's memory is full; send shorter messages"))
  }

  /// No `start` came within `startDelay`.
  package mutating func startDue() -> [Action] {
    guard file.state == .awaited, !isInputOver else { return [] }
    return refuse(ProtocolViolation(code: CloseCode.protocolError, reason: "no start came within 10 seconds"))
  }

  /// `silenceDelay` has passed. `hasReceived`: bytes came meanwhile, or would have been read if we had not paused
  /// reading.
  package mutating func silenceDue(hasReceived: Bool) -> [Action] {
    guard close.ending == nil, close.isConnected else { return [] }
    silences = hasReceived ? 0 : silences + 1
    if silences == 0 { return [] }
    guard silences > StreamStateMachine.silencesMax else { return [.sendPing] }
    file.endInput()
    close.end(.lost, 1006, "the client has not answered pings for 60 seconds")
    return advance([])
  }

  // MARK: - The file

  /// The file exists.
  package mutating func opened() -> [Action] {
    file.opened()
    return advance([])
  }

  /// The fork's file is open and holds the stream up to `position`.
  package mutating func opened(at position: UInt64) -> [Action] {
    guard file.state == .opening else { return advance([]) }
    file.opened(at: position)
    return advance(sendText(content.resumed(at: position)))
  }

  /// The file could not be created; `reason` goes to the client.
  package mutating func openFailed(_ reason: String) -> [Action] {
    giveUp(1011, reason)
    file.openFailed()
    return advance([])
  }

  /// The write has been done.
  package mutating func written() -> [Action] {
    guard let end = file.writeDone() else { return advance([]) }
    return advance(sendText(content.written(upTo: end)))
  }

  /// The file is on the disk.
  package mutating func synced() -> [Action] {
    guard let end = file.syncDone() else { return advance([]) }
    return advance(sendText(content.synced(upTo: end)))
  }

  /// The write has failed; what the file has so far is kept. `reason` goes to the client.
  package mutating func writeFailed(_ reason: String) -> [Action] {
    giveUp(1011, reason)
    var actions: [Action] = []
    file.failed(&actions)
    return advance(actions)
  }

  /// The file is complete.
  package mutating func finished() -> [Action] {
    file.finished()
    return advance([])
  }

  /// `FileWriter.flushDelay` has passed.
  package mutating func flushDue() -> [Action] {
    file.flushDue()
    return advance([])
  }

  /// `FileWriter.syncDelay` has passed.
  package mutating func syncDue() -> [Action] {
    file.syncDue()
    return advance([])
  }

  // MARK: - The connection

  /// Another connection carries the fork now: what this one still holds it will send again there.
  package mutating func replaced() -> [Action] {
    giveUp(4001, "another connection carries this fork")
    return advance([])
  }

  /// The TCP connection has ended.
  package mutating func channelClosed() -> [Action] {
    close.channelClosed()
    file.endInput()
    return advance([])
  }

  /// The server stops: the client is told, what it still sends is recorded until it answers.
  package mutating func shutDown() -> [Action] {
    guard close.ending == nil, close.isConnected else { return [] }
    return advance(close.closeFirst(code: CloseCode.goingAway, reason: "the receiver is stopping"))
  }

  /// `CloseHandshake.closeDelay` has passed since our Close.
  package mutating func closeDue() -> [Action] {
    close.closeDue()
    file.endInput()
    return advance([])
  }

  // MARK: - What follows

  private mutating func interpret(
    _ message: (inout any StreamProtocol, inout FileWriter) throws(ProtocolViolation) -> [Action]
  ) -> [Action] {
    do throws(ProtocolViolation) {
      return advance(try message(&content, &file))
    } catch {
      return refuse(error)
    }
  }

  private mutating func refuse(_ violation: ProtocolViolation) -> [Action] {
    file.endInput()
    close.end(.server, violation.code, violation.reason)
    return advance([])
  }

  private mutating func giveUp(_ code: UInt16, _ reason: String) {
    file.endInput(dropsPending: true)
    pongs.removeAll()
    close.end(.server, code, reason)
  }

  private func sendText(_ text: String?) -> [Action] { close.maySend ? text.map { [.sendText($0)] } ?? [] : [] }

  /// Everything that follows from the state, in the order in which it must happen.
  private mutating func advance(_ first: [Action]) -> [Action] {
    var actions = first
    file.advance(&actions)
    while let payload = pongs.next(writtenBytes: file.writtenBytes) {
      if close.maySend { actions.append(.sendPong(payload)) }
    }
    file.pace(&actions)
    if file.state == .finished { close.advance(&actions) }
    return actions
  }
}

extension ProtocolViolation {
  /// What bytes mean that NIO's frame decoder refused.
  fileprivate init(decoderError error: any Error) {
    switch error as? NIOWebSocketError {
    case .invalidFrameLength: self = WebSocketFrameRules.tooBig
    case .fragmentedControlFrame: self.init(code: CloseCode.protocolError, reason: "a fragmented control frame")
    case .multiByteControlFrameLength:
      self.init(code: CloseCode.protocolError, reason: "a control frame of more than 125 bytes")
    default: self.init(code: CloseCode.protocolError, reason: "the frame cannot be decoded")
    }
  }
}
