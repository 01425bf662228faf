// SPDX-License-Identifier: Apache-2.0
import AudioForkReceiver
import NIOCore
import NIOWebSocket
import Testing

private func frame(_ opcode: WebSocketOpcode, _ bytes: ByteBuffer = ByteBuffer(), fin: Bool = true) -> WebSocketFrame {
  WebSocketFrame(fin: fin, opcode: opcode, maskKey: [0, 0, 0, 0], data: bytes)
}

private func text(_ text: String) -> WebSocketFrame { frame(.text, ByteBuffer(string: text)) }

/// A message of audio at a position, of frames that all hold one value.
private func audio(_ position: UInt64, frames: Int, of value: UInt8 = 7) -> WebSocketFrame {
  var bytes = ByteBuffer(integer: position)
  bytes.writeRepeatingByte(value, count: frames * 2)
  return frame(.binary, bytes)
}

private func samples(_ frames: Int, of value: UInt8 = 7) -> ByteBuffer {
  ByteBuffer(repeating: value, count: frames * 2)
}

func startMessage(
  id: String = "af-1", position: UInt64 = 0, acknowledge: String = "received", secret: String? = nil
) -> String {
  #"{"type":"start","version":1,"id":"\#(id)","epoch":1790000000123,"channel":"x","uniqueid":"1","linkedid":"1","#
    + #""direction":"both","format":"slin","rate":8000,"channels":1,"parameters":{},"#
    + #""acknowledge":"\#(acknowledge)","position":\#(position)"#
    + (secret.map { #","secret":"\#($0)""# } ?? "") + "}"
}

/// A stream whose file holds the stream up to a position. `delivered`: the position that `start` says.
private func resumed(
  at position: UInt64 = 0, acknowledge: String = "received", delivered: UInt64 = 0
) throws -> StreamStateMachine {
  var machine = StreamStateMachine(isForkStream: true)
  let message = startMessage(position: delivered, acknowledge: acknowledge)
  guard case .open(let start)? = machine.received(text(message)).first else {
    throw SystemCallFailed(what: "no open")
  }
  #expect(
    start.id == "af-1" && start.epochSeconds == 1_790_000_000 && start.rateHertz == 8000 && start.channelCount == 1)
  #expect(machine.opened(at: position) == [.sendText(#"{"type":"resume","position":\#(position)}"#)])
  return machine
}

private func ack(_ position: UInt64, _ level: String = "received") -> StreamStateMachine.Action {
  .sendText(#"{"type":"ack","position":\#(position),"level":"\#(level)"}"#)
}

private func isRefused(_ actions: [StreamStateMachine.Action]) -> Bool {
  actions.contains { if case .sendClose(code: 1002, _) = $0 { true } else { false } }
    || actions.contains(.finish)
}

@Suite("A connection of audiofork.v1")
struct V1StreamTests {
  @Test("Audio is written at its position and acknowledged when that is done")
  func acknowledged() throws {
    var machine = try resumed()
    #expect(machine.received(audio(0, frames: 160, of: 1)) == [.scheduleFlush])
    #expect(machine.received(audio(160, frames: 160, of: 2)) == [])
    var both = samples(160, of: 1)
    both.writeImmutableBuffer(samples(160, of: 2))
    #expect(machine.flushDue() == [.write(both, position: 0)])
    #expect(machine.written() == [ack(320)])
  }

  @Test("What the file has already is left out and counted; what is new of it is written")
  func duplicates() throws {
    var machine = try resumed(at: 1000)
    #expect(machine.received(audio(800, frames: 160)) == [])
    #expect(machine.received(audio(960, frames: 160)) == [.scheduleFlush])
    #expect(machine.flushDue() == [.write(samples(120), position: 1000)])
    #expect(machine.written() == [ack(1120)])
    #expect(machine.duplicates == 200)
  }

  @Test("What the fork has delivered elsewhere may be missing in front of its first message")
  func ahead() throws {
    var machine = try resumed(at: 100, delivered: 500)
    #expect(machine.received(audio(500, frames: 10, of: 2)) == [.scheduleFlush])
    #expect(machine.received(audio(510, frames: 10, of: 2)) == [])
    #expect(machine.flushDue() == [.write(samples(20, of: 2), position: 500)])
    #expect(machine.written() == [ack(520)])
  }

  @Test(
    "A position never jumps: not beyond start's at first, and later nowhere",
    arguments: [
      (0, 0, [1]), (0, 0, [50_000_000]), (0, 500, [501]), (600, 500, [601]), (0, 500, [500, 511]), (0, 0, [0, 500]),
      (0, 0, [0, 9]), (0, 0, [0, 11]), (0, 0, [0, 0]), (600, 0, [0, 20]), (0, 0, [(1 << 53)]),
    ] as [(UInt64, UInt64, [UInt64])])
  func jumps(file: UInt64, delivered: UInt64, positions: [UInt64]) throws {
    var machine = try resumed(at: file, delivered: delivered)
    for position in positions.dropLast() { #expect(!isRefused(machine.received(audio(position, frames: 10)))) }
    let actions = machine.received(audio(positions.last ?? 0, frames: 10))
    // What came before is written first.
    #expect(isRefused(actions) || isRefused(machine.written()))
    let end = machine.finished()
    let reason = "a position that is not where the stream goes on"
    #expect(end.first == .sendClose(code: 1002, reason: reason), "\(end)")
  }

  @Test("A message without samples is refused: it would take memory and say nothing")
  func emptyAudio() throws {
    var machine = try resumed()
    #expect(isRefused(machine.received(audio(0, frames: 0))))
    #expect(machine.finished().first == .sendClose(code: 1002, reason: "a binary message without samples"))
  }

  @Test("Whatever a client sends while the disk does nothing, what is held has a limit")
  func bounded() throws {
    for isFork in [true, false] {
      var machine = isFork ? try resumed() : StreamStateMachine()
      if !isFork { _ = machine.opened() }
      var isPaused = false
      var position: UInt64 = 0
      var sent = 0
      while !isPaused, sent < 1_000_000 {
        let actions =
          machine.received(isFork ? audio(position, frames: 1) : frame(.binary, samples(1)))
        position += 1
        sent += 1
        isPaused = actions.contains(.pauseReading)
        for number in 0..<2 { _ = machine.received(frame(.ping, ByteBuffer(bytes: [UInt8(number)]))) }
      }
      #expect(isPaused)
      #expect(machine.heldBytes <= FileWriter.pendingBytesMax + 3)
    }
  }

  @Test("A message may come in fragments; a pong still says that all before its ping is written")
  func fragments() throws {
    var machine = try resumed()
    var bytes = ByteBuffer(integer: 0 as UInt64)
    bytes.writeRepeatingByte(7, count: 20)
    let parts = [bytes.readSlice(length: 3), bytes.readSlice(length: 8)].compactMap { $0 }
    #expect(machine.received(frame(.binary, parts[0], fin: false)) == [])
    #expect(machine.received(frame(.continuation, parts[1], fin: false)) == [])
    #expect(machine.received(frame(.continuation, bytes)) == [.scheduleFlush])
    let ping = ByteBuffer(bytes: [1])
    #expect(machine.received(frame(.ping, ping)) == [.write(samples(10), position: 0)])
    #expect(machine.written() == [ack(10), .sendPong(ping)])
  }

  @Test("Persisted is said only after the disk has it: in its time, and at once at the end")
  func persisted() throws {
    var machine = try resumed(acknowledge: "persisted")
    _ = machine.received(audio(0, frames: 160))
    _ = machine.flushDue()
    #expect(machine.written() == [ack(160), .scheduleSync])
    _ = machine.received(audio(160, frames: 160))
    _ = machine.flushDue()
    #expect(machine.written() == [ack(320)])
    #expect(machine.syncDue() == [.sync])
    #expect(machine.received(audio(320, frames: 160)) == [.scheduleFlush])
    #expect(machine.flushDue() == [], "one thing at a time")
    #expect(machine.synced() == [ack(320, "persisted"), .write(samples(160), position: 320)])
    #expect(machine.written() == [ack(480), .scheduleSync])
    let stop = ForkMessage.stop(position: 480, reason: "ended")
    #expect(machine.received(text(#"{"type":"stop","position":480,"reason":"ended"}"#)) == [.message(stop), .sync])
    #expect(machine.synced() == [ack(480, "persisted")])
  }

  @Test("At stop what waits is written at once")
  func stop() throws {
    var machine = try resumed()
    _ = machine.received(audio(0, frames: 160))
    let actions = machine.received(text(#"{"type":"stop","position":160,"reason":"ended"}"#))
    #expect(actions.contains(.write(samples(160), position: 0)))
    #expect(machine.written() == [ack(160)])
    #expect(machine.received(frame(.connectionClose, ByteBuffer(bytes: [3, 232]))) == [.finish])
    let end = machine.finished()
    #expect(end.first == .sendClose(code: 1000, reason: ""))
    #expect(end.contains(.ended(StreamEnding(side: .client, code: 1000, reason: ""))))
  }

  @Test(
    "Every message of a fork is read, and what else is in it is passed over",
    arguments: [
      (
        #""type":"gap","direction":"in","position":1,"start":2,"samples":3,"reason":"r""#,
        ForkMessage.gap(direction: "in", position: 1, start: 2, samples: 3, reason: "r")
      ),
      (#""type":"fill","direction":"out","position":1,"frames":2"#, .fill(direction: "out", position: 1, frames: 2)),
      (#""type":"mute","direction":"in","position":1,"frames":2"#, .mute(direction: "in", position: 1, frames: 2)),
      (
        #""type":"dtmf","direction":"in","position":1,"digit":"5","milliseconds":90"#,
        .digit(direction: "in", position: 1, digit: "5", milliseconds: 90)
      ),
      (#""type":"text","text":"t""#, .text("t")), (#""type":"stop","position":9"#, .stop(position: 9, reason: "")),
      (#""type":"later","frames":{}"#, .unknown(type: "later")),
    ])
  func everyMessage(members: String, message: ForkMessage) throws {
    let rest = String(repeating: "0,", count: 1000)
    #expect(try ForkMessage(#"{"more":[\#(rest)0],\#(members),"other":{"type":"text"}}"#) == message)
  }

  @Test(
    "What breaks the protocol is refused with 1002",
    arguments: [
      "hello", "[]", #"{"type":"stop","position":0}"#, #"{"type":"start"}"#,
      startMessage().replacingOnce("8000", "1"), startMessage().replacingOnce(#""slin""#, #""opus""#),
      startMessage().replacingOnce(#""position":0"#, #""position":-1"#), startMessage(id: ""),
    ])
  func refusedFirst(message: String) {
    var machine = StreamStateMachine(isForkStream: true)
    #expect(isRefused(machine.received(text(message))))
  }

  @Test("Audio before the resume, without a position or with half a frame, and a second start, are refused")
  func refusedLater() throws {
    var early = StreamStateMachine(isForkStream: true)
    #expect(isRefused(early.received(audio(0, frames: 1))))
    var opening = StreamStateMachine(isForkStream: true)
    _ = opening.received(text(startMessage()))
    _ = opening.received(audio(0, frames: 1))
    #expect(isRefused(opening.opened(at: 0)))
    for frame in [
      frame(.binary, ByteBuffer(repeating: 0, count: 7)), frame(.binary, ByteBuffer(repeating: 0, count: 11)),
      frame(.binary, ByteBuffer(repeating: 255, count: 10)), text(startMessage()),
    ] {
      var machine = try resumed()
      #expect(isRefused(machine.received(frame)))
    }
  }

  @Test("Audio behind stop is refused: the stream is over")
  func audioBehindStop() throws {
    var machine = try resumed(at: 160)
    #expect(!isRefused(machine.received(text(#"{"type":"stop","position":160,"reason":"ended"}"#))))
    #expect(isRefused(machine.received(audio(160, frames: 160))))
  }

  @Test("Without a start the connection ends after a while")
  func noStart() throws {
    var machine = StreamStateMachine(isForkStream: true)
    #expect(isRefused(machine.startDue()))
    var started = try resumed()
    #expect(started.startDue() == [])
  }

  @Test("A newer connection of the fork ends this one, and what it still holds is not written")
  func replaced() throws {
    var machine = try resumed()
    _ = machine.received(audio(0, frames: 160))
    #expect(machine.replaced() == [.finish])
    let end = machine.finished()
    #expect(end.first == .sendClose(code: 4001, reason: "another connection carries this fork"))
    #expect(machine.received(audio(160, frames: 160)) == [])
  }

  @Test("A write that fails is not acknowledged")
  func failed() throws {
    var machine = try resumed()
    _ = machine.received(audio(0, frames: 160))
    _ = machine.flushDue()
    #expect(machine.writeFailed("no room") == [.finish])
    #expect(!machine.finished().contains { if case .sendText = $0 { true } else { false } })
  }
}

extension String {
  /// The text with the first occurrence of another in it replaced.
  func replacingOnce(_ old: String, _ new: String) -> String {
    let (all, part) = (Array(utf8), Array(old.utf8))
    guard let at = all.indices.first(where: { all[$0...].starts(with: part) }) else { return self }
    return String(decoding: all[..<at] + Array(new.utf8) + all[(at + part.count)...], as: UTF8.self)
  }
}
