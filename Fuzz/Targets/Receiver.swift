// SPDX-License-Identifier: Apache-2.0
internal import AudioForkSurface
internal import AudioForkReceiver
internal import NIOCore
internal import NIOWebSocket

/// The receiver's side of a connection: frames of a hostile client, and a disk that is slow, full or gone.
func fuzzReceiver(_ bytes: [UInt8]) {
  var input = Decisions(bytes)
  var connection = Connection(isForkStream: input.byte() & 1 == 0)
  while !input.isOver { connection.step(&input) }
  connection.end()
}

/// Carries out what the machine decides, and holds it to what it promises.
private struct Connection {
  /// What the disk is asked to do; at most one at a time.
  private enum Work: Equatable {
    case open
    case write(end: UInt64)
    case sync
    case finish
  }

  private var machine: StreamStateMachine
  private var work: Work?
  private let isForkStream: Bool
  private var pings: [[UInt8]] = []
  private var frameBytes = 2
  private var reached: UInt64 = 0
  private var written: UInt64 = 0
  private var acknowledged: UInt64 = 0
  private var isClosed = false
  private var isFinished = false
  private var hasEnded = false

  init(isForkStream: Bool) {
    self.isForkStream = isForkStream
    machine = StreamStateMachine(isForkStream: isForkStream)
    work = isForkStream ? nil : .open
  }

  mutating func step(_ input: inout Decisions) {
    let choice = input.byte()
    switch choice & 15 {
    case 0...3: send(choice & 0x80 == 0, .binary, input.piece(Int(input.byte())))
    case 4: send(choice & 0x80 == 0, .continuation, input.piece(Int(input.byte())))
    case 5: send(choice & 0x80 == 0, .text, input.piece(Int(input.byte())))
    case 6:
      let payload = input.piece(Int(input.byte() & 0x7F))
      pings.append(payload)
      send(true, .ping, payload)
    case 7: send(true, .connectionClose, input.piece(Int(input.byte() & 0x7F)))
    case 8: done(fails: choice & 0x80 != 0, position: input.number(bytes: 4))
    case 9: carryOut(machine.flushDue())
    case 10: carryOut(machine.syncDue())
    case 11:
      let rates = ["8000", "44100", "16000", "192000"]
      let words = ["slin", "ulaw", "alaw", "slin16"]
      let channels = Int(choice >> 6) + 1
      let format = words[Int(choice >> 4 & 3)]
      let delivery = choice & 0x20 == 0 ? "received" : "persisted"
      let start =
        #"{"type":"start","id":"x","epoch":1,"rate":\#(rates[channels - 1]),"channels":\#(channels),"#
        + #""format":"\#(format)","position":0,"acknowledge":"\#(delivery)"}"#
      send(true, .text, Array(start.utf8))
    case 12: sendAudio(at: input.number(bytes: choice & 0x80 == 0 ? 2 : 8), frames: Int(input.byte()))
    case 13: carryOut(choice & 0x80 == 0 ? machine.shutDown() : machine.closeDue())
    case 14:
      switch choice >> 6 {
      case 0: carryOut(machine.replaced())
      case 1: carryOut(machine.silenceDue(hasReceived: choice & 0x20 == 0))
      case 2: carryOut(machine.overloaded())
      default: carryOut(machine.startDue())
      }
    default:
      let frame = WebSocketFrame(
        fin: choice & 0x80 == 0, rsv1: choice & 0x40 != 0,
        opcode: WebSocketOpcode(encodedWebSocketOpcode: input.byte() & 15) ?? .text,
        maskKey: choice & 0x20 == 0 ? [1, 2, 3, 4] : nil, data: ByteBuffer(bytes: input.piece(4)))
      if frame.opcode == .ping { pings.append(Array(frame.unmaskedData.readableBytesView)) }
      carryOut(machine.received(frame))
    }
  }

  private mutating func send(_ fin: Bool, _ opcode: WebSocketOpcode, _ payload: [UInt8]) {
    let frame = WebSocketFrame(fin: fin, opcode: opcode, maskKey: [0, 0, 0, 0], data: ByteBuffer(bytes: payload))
    carryOut(machine.received(frame))
  }

  private mutating func sendAudio(at position: UInt64, frames: Int) {
    var buffer = ByteBuffer(integer: position)
    buffer.writeRepeatingByte(1, count: frames * frameBytes)
    carryOut(
      machine.received(WebSocketFrame(fin: true, opcode: .binary, maskKey: [0, 0, 0, 0], data: buffer)))
  }

  /// The disk has done what it was asked for, or could not.
  private mutating func done(fails: Bool, position: UInt64 = 0) {
    guard let work else { return }
    self.work = nil
    switch (work, fails) {
    case (.finish, _):
      isFinished = true
      carryOut(machine.finished())
    case (.open, true):
      isFinished = true
      carryOut(machine.openFailed("no"))
    case (_, true): carryOut(machine.writeFailed("no"))
    case (.open, _) where isForkStream:
      (reached, written) = (position, position)
      carryOut(machine.opened(at: position))
    case (.open, _): carryOut(machine.opened())
    case (.write(let end), _):
      written = end
      carryOut(machine.written())
    case (.sync, _): carryOut(machine.synced())
    }
  }

  private mutating func begin(_ next: Work) {
    demand(work == nil, "\(next) while \(String(describing: work))")
    demand(!isFinished, "\(next) although the file is complete")
    work = next
  }

  private mutating func carryOut(_ actions: [StreamStateMachine.Action]) {
    for action in actions {
      demand(!hasEnded || !isOnRecord(action), "\(action) after the end")
      switch action {
      case .open(let start):
        frameBytes = start.channelCount * start.encoding.bytesPerSample
        begin(.open)
      case .write(let bytes, let position):
        if isForkStream {
          guard let position else { return demand(false, "a write without a position") }
          demand(position >= reached, "written twice: \(position) after \(reached)")
          demand(bytes.readableBytes % frameBytes == 0, "half a sample frame")
          reached = position + UInt64(bytes.readableBytes / frameBytes)
        }
        begin(.write(end: reached))
      case .sync: begin(.sync)
      case .finish: begin(.finish)
      case .sendText(let text):
        demand(!isClosed, "a text behind a Close")
        guard let position = acknowledgement(text) else { return demand(false, "said \(text)") }
        demand(position >= acknowledged || text.contains("persisted"), "acknowledged \(position) after \(acknowledged)")
        demand(position <= written, "acknowledged \(position), written \(written)")
        acknowledged = max(acknowledged, position)
      case .sendPong(let payload):
        demand(!isClosed, "a pong behind a Close")
        guard let index = pings.firstIndex(of: Array(payload.readableBytesView)) else {
          return demand(false, "a pong that nobody asked for, or out of order")
        }
        pings.removeFirst(index + 1)
      case .sendClose:
        demand(!isClosed, "two Closes")
        isClosed = true
      case .ended:
        demand(isFinished || work == nil, "ended while \(String(describing: work))")
        hasEnded = true
      case .sendPing: demand(!isClosed, "a ping behind a Close")
      case .scheduleFlush, .scheduleSync, .scheduleClose, .pauseReading, .resumeReading, .closeAfterWrites, .abort,
        .text, .message:
        break
      }
    }
  }

  /// What may not come behind the stream's end.
  private func isOnRecord(_ action: StreamStateMachine.Action) -> Bool {
    switch action {
    case .open, .write, .sync, .finish, .sendPong, .text, .message, .ended, .sendText: true
    default: false
    }
  }

  private func acknowledgement(_ text: String) -> UInt64? {
    UInt64(text.drop { !$0.isNumber }.prefix { $0.isNumber })
  }

  /// The connection goes; then the stream has to end.
  mutating func end() {
    carryOut(machine.channelClosed())
    for _ in 0..<8 { done(fails: false) }
    demand(hasEnded, "the connection is gone and the stream has not ended")
  }
}
