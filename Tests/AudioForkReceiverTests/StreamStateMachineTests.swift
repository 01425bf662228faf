// SPDX-License-Identifier: Apache-2.0
import AudioForkReceiver
import AudioForkWebSocket
import NIOCore
import NIOWebSocket
import Testing

private func frame(_ opcode: WebSocketOpcode, _ bytes: ByteBuffer = ByteBuffer()) -> WebSocketFrame {
  // A key of zeros masks nothing.
  WebSocketFrame(fin: true, opcode: opcode, maskKey: [0, 0, 0, 0], data: bytes)
}

private func audio(_ byteCount: Int, of value: UInt8 = 7) -> ByteBuffer {
  ByteBuffer(repeating: value, count: byteCount)
}

private func makeOpened() -> StreamStateMachine {
  var machine = StreamStateMachine()
  _ = machine.opened()
  return machine
}

private let close1000 = ByteBuffer(bytes: [3, 232])

@Suite("A connection")
struct StreamStateMachineTests {
  @Test("Audio waits for the flush delay, then goes out in one write")
  func flush() {
    var machine = makeOpened()
    #expect(machine.received(frame(.binary, audio(320, of: 1))) == [.scheduleFlush])
    #expect(machine.received(frame(.binary, audio(320, of: 2))) == [])
    var both = audio(320, of: 1)
    both.writeImmutableBuffer(audio(320, of: 2))
    #expect(machine.flushDue() == [.write(both)])
    #expect(machine.written() == [])
    #expect(machine.messages == 2)
  }

  @Test("Much audio is written without waiting")
  func much() {
    var machine = makeOpened()
    let bytes = audio(FileWriter.flushBytes)
    #expect(machine.received(frame(.binary, bytes)) == [.write(bytes)])
  }

  @Test("Audio that arrives before the file exists is written when it does")
  func early() {
    var machine = StreamStateMachine()
    #expect(machine.received(frame(.binary, audio(320))) == [.scheduleFlush])
    #expect(machine.flushDue() == [])
    #expect(machine.opened() == [.write(audio(320))])
  }

  @Test("A ping is answered at once where nothing waits, else when the audio before it has been written")
  func pong() {
    var machine = makeOpened()
    let payload = ByteBuffer(bytes: [1, 2])
    #expect(machine.received(frame(.ping, payload)) == [.sendPong(payload)])
    #expect(machine.received(frame(.binary, audio(320))) == [.scheduleFlush])
    #expect(machine.received(frame(.ping, payload)) == [.write(audio(320))])
    // Audio after the ping does not hold its pong back.
    #expect(machine.received(frame(.binary, audio(160))) == [])
    #expect(machine.written() == [.sendPong(payload)])
  }

  @Test("A ping during a write waits for the audio that came between")
  func pongAfterSecondWrite() {
    var machine = makeOpened()
    _ = machine.received(frame(.binary, audio(FileWriter.flushBytes)))
    _ = machine.received(frame(.binary, audio(320)))
    #expect(machine.received(frame(.ping)) == [])
    #expect(machine.written() == [.write(audio(320))])
    #expect(machine.written() == [.sendPong(ByteBuffer())])
  }

  @Test("Pings beyond the limit drop the oldest")
  func manyPings() {
    var machine = StreamStateMachine()
    _ = machine.received(frame(.binary, audio(2)))
    for number in 0..<StreamStateMachine.pongsMax + 3 {
      _ = machine.received(frame(.ping, ByteBuffer(bytes: [UInt8(number)])))
    }
    _ = machine.opened()
    let pongs = machine.written()
    #expect(pongs.count == StreamStateMachine.pongsMax)
    #expect(pongs.first == .sendPong(ByteBuffer(bytes: [3])))
  }

  @Test("A silent client is pinged, and lost when it has not answered three of them")
  func silence() {
    var machine = makeOpened()
    #expect(machine.silenceDue(hasReceived: true) == [])
    #expect(machine.silenceDue(hasReceived: false) == [.sendPing])
    #expect(machine.silenceDue(hasReceived: true) == [])
    for _ in 0..<3 { #expect(machine.silenceDue(hasReceived: false) == [.sendPing]) }
    #expect(machine.silenceDue(hasReceived: false) == [.finish])
    let reason = "the client has not answered pings for 60 seconds"
    #expect(machine.finished() == [.ended(StreamEnding(side: .lost, code: 1006, reason: reason)), .abort])
    #expect(machine.channelClosed() == [])
    #expect(machine.silenceDue(hasReceived: false) == [])
  }

  @Test("A long message that comes while memory is full ends its stream with 1013, and the audio before it is kept")
  func overloaded() {
    var machine = makeOpened()
    _ = machine.received(frame(.binary, audio(320)))
    let part = WebSocketFrame(fin: false, opcode: .text, maskKey: [0, 0, 0, 0], data: audio(1000, of: 65))
    #expect(machine.received(part) == [])
    #expect(machine.heldBytes == 1320 && machine.partialBytes == 1000)
    #expect(machine.overloaded() == [.write(audio(320))])
    #expect(machine.written() == [.finish])
    let end = machine.finished()
    #expect(end.first == .sendClose(code: 1013, reason: "the receiver's memory is full; send shorter messages"))
    #expect(machine.overloaded() == [])
  }

  @Test("Empty messages are counted and take no memory")
  func empty() {
    var machine = makeOpened()
    for _ in 0..<1000 { #expect(machine.received(frame(.binary)) == []) }
    #expect(machine.messages == 1000 && machine.heldBytes == 0)
    #expect(machine.received(frame(.connectionClose, close1000)) == [.finish])
  }

  @Test("A slow disk pauses reading, and reading goes on when it has caught up")
  func backPressure() {
    var machine = makeOpened()
    let most = audio(FileWriter.pendingBytesMax)
    #expect(machine.received(frame(.binary, audio(FileWriter.flushBytes))).count == 1)
    #expect(machine.received(frame(.binary, most)) == [.scheduleFlush, .pauseReading])
    #expect(machine.written() == [.write(most), .resumeReading])
  }

  @Test("The client's Close is echoed when the file is complete, and the connection then closed")
  func closeByClient() {
    var machine = makeOpened()
    _ = machine.received(frame(.binary, audio(320)))
    #expect(machine.received(frame(.connectionClose, close1000)) == [.write(audio(320))])
    #expect(machine.written() == [.finish])
    #expect(
      machine.finished() == [
        .sendClose(code: 1000, reason: ""), .scheduleClose,
        .ended(StreamEnding(side: .client, code: 1000, reason: "")), .closeAfterWrites,
      ])
    #expect(machine.channelClosed() == [])
  }

  @Test("A Close without a code is echoed without one and told as 1005")
  func emptyClose() {
    var machine = makeOpened()
    #expect(machine.received(frame(.connectionClose)) == [.finish])
    #expect(
      machine.finished() == [
        .sendClose(code: nil, reason: ""), .scheduleClose,
        .ended(StreamEnding(side: .client, code: 1005, reason: "")), .closeAfterWrites,
      ])
  }

  @Test("A lost connection still writes what has arrived")
  func lost() {
    var machine = makeOpened()
    _ = machine.received(frame(.binary, audio(320)))
    #expect(machine.channelClosed() == [.write(audio(320))])
    #expect(machine.written() == [.finish])
    #expect(machine.finished() == [.ended(StreamEnding(side: .lost, code: 1006, reason: ""))])
  }

  @Test("A connection lost before its file exists ends when it does")
  func lostEarly() {
    var machine = StreamStateMachine()
    #expect(machine.channelClosed() == [])
    #expect(machine.opened() == [.finish])
    #expect(machine.finished() == [.ended(StreamEnding(side: .lost, code: 1006, reason: ""))])
  }

  @Test("A violation is answered with its code; the client's Close or the delay ends the connection")
  func violation() {
    let reason = "an unmasked frame from a client"
    let unmasked = WebSocketFrame(fin: true, opcode: .binary, data: audio(2))
    for answers in [true, false] {
      var machine = makeOpened()
      #expect(machine.received(unmasked) == [.finish])
      #expect(
        machine.finished() == [
          .sendClose(code: 1002, reason: reason), .scheduleClose,
          .ended(StreamEnding(side: .server, code: 1002, reason: reason)),
        ])
      if answers {
        #expect(machine.channelClosed() == [])
      } else {
        #expect(machine.closeDue() == [.abort])
      }
    }
  }

  @Test(
    "What the frame decoder refuses is answered with the code that fits",
    arguments: [
      (NIOWebSocketError.invalidFrameLength, 1009), (.fragmentedControlFrame, 1002),
      (.multiByteControlFrameLength, 1002),
    ] as [(NIOWebSocketError, UInt16)])
  func undecodable(error: NIOWebSocketError, code: UInt16) {
    var machine = makeOpened()
    #expect(machine.decodingFailed(error) == [.finish])
    guard case .sendClose(code, let reason)? = machine.finished().first else {
      Issue.record("no Close with \(code)")
      return
    }
    #expect(!reason.isEmpty)
    #expect(machine.decodingFailed(error) == [])
  }

  @Test("A message in pieces is written as they come, and counted once; text and binary share one limit")
  func pieces() {
    var machine = makeOpened()
    let first = WebSocketFrame(fin: false, opcode: .binary, maskKey: [0, 0, 0, 0], data: audio(FileWriter.flushBytes))
    #expect(machine.received(first) == [.write(audio(FileWriter.flushBytes))])
    #expect(machine.messages == 0 && machine.partialBytes == 0)
    _ = machine.written()
    #expect(machine.received(frame(.ping)) == [.sendPong(ByteBuffer())])
    #expect(machine.received(frame(.continuation, audio(2))) == [.scheduleFlush])
    #expect(machine.messages == 1)
    _ = machine.received(first)
    let rest = audio(WebSocketFrameRules.messageBytesMax - FileWriter.flushBytes + 1)
    _ = machine.received(frame(.continuation, rest))
    _ = machine.written()
    _ = machine.written()
    #expect(machine.finished().first == .sendClose(code: 1009, reason: "a message of more than 1048576 bytes"))
  }

  @Test("A file that cannot be created closes with 1011")
  func openFailed() {
    var machine = StreamStateMachine()
    _ = machine.received(frame(.binary, audio(320)))
    #expect(
      machine.openFailed("no") == [
        .sendClose(code: 1011, reason: "no"), .scheduleClose,
        .ended(StreamEnding(side: .server, code: 1011, reason: "no")),
      ])
    #expect(machine.received(frame(.binary, audio(320))) == [])
  }

  @Test("A failed write finishes the file, closes with 1011 and answers no ping whose audio is not in it")
  func writeFailed() {
    var machine = makeOpened()
    _ = machine.received(frame(.binary, audio(320)))
    _ = machine.received(frame(.ping))
    #expect(machine.writeFailed("full") == [.finish])
    #expect(
      machine.finished() == [
        .sendClose(code: 1011, reason: "full"), .scheduleClose,
        .ended(StreamEnding(side: .server, code: 1011, reason: "full")),
      ])
  }

  @Test("At a stop the client is told, and what it sends before its answer is recorded")
  func shutDown() {
    var machine = makeOpened()
    let reason = "the receiver is stopping"
    #expect(machine.shutDown() == [.sendClose(code: 1001, reason: reason), .scheduleClose])
    #expect(machine.shutDown() == [])
    #expect(machine.received(frame(.binary, audio(320))) == [.scheduleFlush])
    #expect(machine.received(frame(.connectionClose, ByteBuffer(bytes: [3, 233]))) == [.write(audio(320))])
    #expect(machine.written() == [.finish])
    #expect(
      machine.finished() == [.ended(StreamEnding(side: .server, code: 1001, reason: reason)), .closeAfterWrites])
  }

  @Test("A client that does not answer a stop is cut off when its audio is in the file")
  func shutDownUnanswered() {
    var machine = makeOpened()
    _ = machine.shutDown()
    _ = machine.received(frame(.binary, audio(320)))
    #expect(machine.closeDue() == [.write(audio(320))])
    #expect(machine.written() == [.finish])
    #expect(
      machine.finished() == [
        .ended(StreamEnding(side: .server, code: 1001, reason: "the receiver is stopping")), .abort,
      ])
  }
}
