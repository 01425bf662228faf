// SPDX-License-Identifier: Apache-2.0
import AudioForkTestKit
import AudioForkWebSocket
import AudioForkWireTestKit
import NIOCore
import NIOWebSocket
import Testing

/// A frame as it comes from a decoder.
private func frame(
  _ opcode: WebSocketOpcode, _ bytes: [UInt8] = [], fin: Bool = true, masked: Bool = false, rsv1: Bool = false,
  rsv2: Bool = false, rsv3: Bool = false
) -> WebSocketFrame {
  var frame = WebSocketFrame(
    fin: fin, opcode: opcode, maskKey: masked ? [1, 2, 3, 4] : nil, data: ByteBuffer(bytes: bytes))
  frame.rsv1 = rsv1
  frame.rsv2 = rsv2
  frame.rsv3 = rsv3
  return frame
}

private func closeCode(_ event: WebSocketFrameRules.Event) -> UInt16? {
  if case .violation(let violation) = event { return violation.code }
  return nil
}

@Suite("Frame rules")
struct FrameRulesTests {
  @Test("Whole messages, pings, pongs and closes come through")
  func wholeFrames() {
    var rules = WebSocketFrameRules(sender: .server)
    #expect(rules.receive(frame(.text, Array("héllo".utf8))) == .text("héllo"))
    #expect(rules.receive(frame(.binary, [1, 2, 3])) == .binary(ByteBuffer(bytes: [1, 2, 3])))
    #expect(rules.receive(frame(.ping, [9])) == .ping(ByteBuffer(bytes: [9])))
    #expect(rules.receive(frame(.pong)) == .pong(ByteBuffer()))
    #expect(rules.receive(frame(.connectionClose)) == .close(code: nil, reason: ""))
    #expect(
      rules.receive(frame(.connectionClose, [0x03, 0xE9] + Array("bye".utf8))) == .close(code: 1001, reason: "bye"))
  }

  @Test("Fragments make one message, with control frames in between, even inside a character")
  func fragments() {
    var rules = WebSocketFrameRules(sender: .server)
    #expect(rules.receive(frame(.text, [0x68, 0xC3], fin: false)) == .nothing)
    #expect(rules.receive(frame(.ping, [1])) == .ping(ByteBuffer(bytes: [1])))
    #expect(rules.receive(frame(.continuation, [0xA9], fin: false)) == .nothing)
    #expect(rules.receive(frame(.continuation, [])) == .text("hé"))
    #expect(rules.receive(frame(.binary, [7])) == .binary(ByteBuffer(bytes: [7])))
  }

  @Test("Many small fragments of a large message cost no copy of the message each", .timeLimit(.minutes(1)))
  func manyFragments() {
    var rules = WebSocketFrameRules(sender: .server)
    let half = WebSocketFrameRules.messageBytesMax / 2
    #expect(rules.receive(frame(.binary, [UInt8](repeating: 1, count: half), fin: false)) == .nothing)
    // With a copy of half a megabyte each this moves 100 GB.
    let clock = ContinuousClock()
    let took = clock.measure {
      for _ in 0..<200_000 where rules.receive(frame(.continuation, [2], fin: false)) != .nothing { return }
    }
    #expect(took < .seconds(5))
    guard case .binary(let message) = rules.receive(frame(.continuation)) else {
      Issue.record("no message")
      return
    }
    #expect(message.readableBytes == half + 200_000)
  }

  /// Rules for what clients send, as the receiver has them.
  private func clientRules() -> WebSocketFrameRules { WebSocketFrameRules(sender: .client, passesPieces: true) }

  @Test("From a client a binary message comes unmasked, frame by frame; a text as a whole")
  func clientPieces() {
    var rules = clientRules()
    var payload = ByteBuffer(bytes: [1, 2])
    payload.webSocketMask([1, 2, 3, 4])
    let masked = WebSocketFrame(fin: true, opcode: .binary, maskKey: [1, 2, 3, 4], data: payload)
    #expect(rules.receive(masked) == .piece(ByteBuffer(bytes: [1, 2]), endsMessage: true))
    let zeros: WebSocketMaskingKey = [0, 0, 0, 0]
    func frame(_ opcode: WebSocketOpcode, _ bytes: [UInt8] = [], fin: Bool = true) -> WebSocketFrame {
      WebSocketFrame(fin: fin, opcode: opcode, maskKey: zeros, data: ByteBuffer(bytes: bytes))
    }
    #expect(rules.receive(frame(.binary, [3], fin: false)) == .piece(ByteBuffer(bytes: [3]), endsMessage: false))
    #expect(rules.receive(frame(.ping, [9])) == .ping(ByteBuffer(bytes: [9])))
    #expect(rules.receive(frame(.continuation, [4])) == .piece(ByteBuffer(bytes: [4]), endsMessage: true))
    #expect(rules.receive(frame(.text, [0xC3], fin: false)) == .nothing)
    #expect(rules.partialBytes == 1)
    #expect(rules.receive(frame(.continuation, [0xA4])) == .text("ä"))
    #expect(rules.partialBytes == 0)
    #expect(closeCode(rules.receive(frame(.continuation, [1]))) == 1002)
    var inside = clientRules()
    _ = inside.receive(frame(.binary, [1], fin: false))
    #expect(closeCode(inside.receive(frame(.text, [65]))) == 1002)
  }

  @Test("From a client a message beyond 1 MiB is refused with 1009, in one piece or many")
  func clientOversized() {
    let half = ByteBuffer(repeating: 65, count: WebSocketFrameRules.messageBytesMax / 2)
    for opcode in [WebSocketOpcode.binary, .text] {
      var rules = clientRules()
      func frame(_ opcode: WebSocketOpcode, _ data: ByteBuffer, fin: Bool = false) -> WebSocketFrame {
        WebSocketFrame(fin: fin, opcode: opcode, maskKey: [0, 0, 0, 0], data: data)
      }
      #expect(closeCode(rules.receive(frame(opcode, half))) == nil)
      #expect(closeCode(rules.receive(frame(.continuation, half))) == nil)
      #expect(closeCode(rules.receive(frame(.continuation, ByteBuffer(bytes: [65]), fin: true))) == 1009)
    }
  }

  @Test("An unmasked frame from a client is a protocol error")
  func clientUnmasked() {
    var rules = clientRules()
    #expect(closeCode(rules.receive(frame(.binary, [1, 2]))) == 1002)
  }

  @Test(
    "What the protocol forbids is answered with 1002",
    arguments: [
      frame(.text, rsv1: true), frame(.binary, rsv2: true), frame(.ping, rsv3: true),
      frame(.binary, [1], masked: true), frame(.ping, masked: true), frame(.continuation, [1]),
      frame(.ping, fin: false), frame(.connectionClose, fin: false), frame(.ping, [UInt8](repeating: 0, count: 126)),
      frame(.connectionClose, [3]), frame(.connectionClose, [0x03, 0xE7]), frame(.connectionClose, [0x03, 0xED]),
      frame(.connectionClose, [0x03, 0xEE]), frame(.connectionClose, [0x03, 0xF7]),
      frame(.connectionClose, [0x0B, 0xB7]), frame(.connectionClose, [0x13, 0x88]),
    ])
  func protocolErrors(bad: WebSocketFrame) {
    var rules = WebSocketFrameRules(sender: .server)
    #expect(closeCode(rules.receive(bad)) == 1002)
  }

  @Test("Unknown opcodes are answered with 1002", arguments: [3, 4, 5, 6, 7, 0xB, 0xC, 0xD, 0xE, 0xF] as [UInt8])
  func unknownOpcodes(number: UInt8) throws {
    var rules = WebSocketFrameRules(sender: .server)
    let opcode = try #require(WebSocketOpcode(encodedWebSocketOpcode: number))
    #expect(closeCode(rules.receive(frame(opcode))) == 1002)
  }

  @Test("A new message inside a fragmented one is answered with 1002")
  func interleaved() {
    var rules = WebSocketFrameRules(sender: .server)
    #expect(rules.receive(frame(.text, [0x61], fin: false)) == .nothing)
    #expect(closeCode(rules.receive(frame(.binary, [1]))) == 1002)
  }

  @Test("A server holds its clients to the mask")
  func clientsMask() {
    var rules = WebSocketFrameRules(sender: .client)
    #expect(closeCode(rules.receive(frame(.binary, [1]))) == 1002)
    rules = WebSocketFrameRules(sender: .client)
    #expect(closeCode(rules.receive(frame(.binary, [1], masked: true))) == nil)
  }

  @Test(
    "Text and close reasons that are not UTF-8 are answered with 1007",
    arguments: [
      frame(.text, [0xC3]), frame(.text, [0xED, 0xA0, 0x80]), frame(.text, [0xFF]), frame(.text, [0xC0, 0xAF]),
      frame(.connectionClose, [0x03, 0xE8, 0xFF]),
    ])
  func invalidText(bad: WebSocketFrame) {
    var rules = WebSocketFrameRules(sender: .server)
    #expect(closeCode(rules.receive(bad)) == 1007)
  }

  @Test("A message of 1 MiB is accepted, one byte more in fragments is answered with 1009")
  func size() {
    var rules = WebSocketFrameRules(sender: .server)
    let half = [UInt8](repeating: 1, count: WebSocketFrameRules.messageBytesMax / 2)
    #expect(rules.receive(frame(.binary, half, fin: false)) == .nothing)
    #expect(closeCode(rules.receive(frame(.continuation, half))) == nil)
    #expect(rules.receive(frame(.binary, half, fin: false)) == .nothing)
    #expect(rules.receive(frame(.continuation, half, fin: false)) == .nothing)
    #expect(closeCode(rules.receive(frame(.continuation, [1]))) == 1009)
  }

  @Test("Random frames never trap", arguments: 0..<40)
  func randomFrames(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    var rules = WebSocketFrameRules(sender: .server)
    for _ in 0..<500 {
      let bytes = (0..<Int.random(in: 0...140, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
      let number = UInt8.random(in: 0...15, using: &random)
      guard let opcode = WebSocketOpcode(encodedWebSocketOpcode: number) else { continue }
      let event = rules.receive(frame(opcode, bytes, fin: Bool.random(using: &random)))
      if closeCode(event) != nil { rules = WebSocketFrameRules(sender: .server) }
    }
  }
}

@Suite("Frame writer")
struct FrameWriterTests {
  /// What a server makes of the bytes.
  private func read(_ buffer: ByteBuffer) throws -> ClientFrame {
    var buffer = buffer
    let frame = ClientFrame(&buffer)
    #expect(buffer.readableBytes == 0)
    return try #require(frame)
  }

  @Test("Payloads of every length class arrive as they were", arguments: [0, 1, 125, 126, 320, 65_535, 65_536])
  func lengths(count: Int) throws {
    var writer = WebSocketFrameWriter(SeededRandom(seed: 3))
    let payload = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    var scratch = payload
    var buffer = ByteBuffer()
    writer.binary(masking: &scratch, into: &buffer)
    let frame = try read(buffer)
    #expect(frame.opcode == 2)
    #expect(frame.payload == payload)
  }

  @Test("Every frame has a key of its own")
  func keys() {
    var writer = WebSocketFrameWriter(SeededRandom(seed: 3))
    var keys: Set<UInt32> = []
    for _ in 0..<1000 {
      var payload: [UInt8] = []
      var frame = ByteBuffer()
      writer.binary(masking: &payload, into: &frame)
      keys.insert(frame.getInteger(at: 2, as: UInt32.self) ?? 0)
    }
    #expect(keys.count == 1000)
  }

  @Test("The system's random numbers come in blocks, and none comes twice")
  func randomNumbers() {
    var first = SystemRandomBlock()
    var second = first
    let numbers = (0..<1000).map { _ in first.next() } + (0..<1000).map { _ in second.next() }
    #expect(Set(numbers).count == 2000)
    #expect(!numbers.contains(0))
  }

  @Test("Frames that leave together stand one behind the other")
  func together() throws {
    var writer = WebSocketFrameWriter(SeededRandom(seed: 3))
    var buffer = ByteBuffer()
    var first: [UInt8] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]
    writer.binary(masking: &first, into: &buffer)
    writer.ping([42], into: &buffer)
    let frames = [ClientFrame(&buffer), ClientFrame(&buffer)].compactMap { $0 }
    #expect(frames.map(\.opcode) == [2, 9])
    #expect(frames.map(\.payload) == [[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], [42]])
    #expect(buffer.readableBytes == 0)
  }

  @Test("A close reason is cut at a character so that the frame stays a control frame")
  func closeReason() throws {
    var writer = WebSocketFrameWriter(SeededRandom(seed: 3))
    var buffer = ByteBuffer()
    writer.close(code: 1002, reason: String(repeating: "é", count: 200), into: &buffer)
    let frame = try read(buffer)
    #expect(frame.opcode == 8)
    #expect(Array(frame.payload.prefix(2)) == [0x03, 0xEA])
    #expect(frame.payload.count == 2 + 122)
    #expect(String(validating: frame.payload.dropFirst(2), as: UTF8.self) != nil)
  }
}
