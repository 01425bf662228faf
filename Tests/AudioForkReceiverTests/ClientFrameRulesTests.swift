// SPDX-License-Identifier: Apache-2.0
import AudioForkReceiver
import NIOCore
import NIOWebSocket
import Testing

private let key: WebSocketMaskingKey = [1, 2, 3, 4]

private func frame(
  _ opcode: WebSocketOpcode, _ payload: [UInt8] = [], fin: Bool = true, masked: Bool = true, rsv1: Bool = false,
  rsv2: Bool = false, rsv3: Bool = false
) -> WebSocketFrame {
  var masking = ByteBuffer(bytes: payload)
  if masked { masking.webSocketMask(key) }
  return WebSocketFrame(
    fin: fin, rsv1: rsv1, rsv2: rsv2, rsv3: rsv3, opcode: opcode, maskKey: masked ? key : nil, data: masking)
}

private func code(_ verdict: ClientFrameRules.Verdict) -> UInt16? {
  if case .violation(let code, _) = verdict { code } else { nil }
}

@Suite("Frames from a client")
struct ClientFrameRulesTests {
  @Test("A binary message is unmasked and passed on frame by frame")
  func binary() {
    var rules = ClientFrameRules()
    #expect(rules.received(frame(.binary, [1, 2])) == .audio(ByteBuffer(bytes: [1, 2]), endsMessage: true))
    #expect(rules.received(frame(.binary, [3], fin: false)) == .audio(ByteBuffer(bytes: [3]), endsMessage: false))
    #expect(rules.received(frame(.continuation, [4])) == .audio(ByteBuffer(bytes: [4]), endsMessage: true))
  }

  @Test("Pings between the fragments of a message are answered and change nothing")
  func pingBetween() {
    var rules = ClientFrameRules()
    #expect(rules.received(frame(.text, [0xC3], fin: false)) == .incomplete)
    #expect(rules.received(frame(.ping, [9])) == .ping(ByteBuffer(bytes: [9])))
    #expect(rules.received(frame(.pong)) == .pong)
    #expect(rules.received(frame(.continuation, [0xA4])) == .text("ä"))
  }

  @Test("An unmasked frame is a protocol error, and nothing is accepted after it")
  func unmasked() {
    var rules = ClientFrameRules()
    #expect(code(rules.received(frame(.binary, [1, 2], masked: false))) == 1002)
    #expect(rules.received(frame(.binary, [1, 2])) == .ignored)
  }

  @Test("A reserved bit is a protocol error", arguments: [0, 1, 2])
  func reserved(bit: Int) {
    var rules = ClientFrameRules()
    #expect(code(rules.received(frame(.binary, [1], rsv1: bit == 0, rsv2: bit == 1, rsv3: bit == 2))) == 1002)
  }

  @Test("Reserved opcodes are a protocol error", arguments: [3, 7, 11, 15])
  func opcodes(number: Int) throws {
    var rules = ClientFrameRules()
    let opcode = try #require(WebSocketOpcode(encodedWebSocketOpcode: UInt8(number)))
    #expect(code(rules.received(frame(opcode))) == 1002)
  }

  @Test("A continuation without a message, and a message within a message, are protocol errors")
  func order() {
    var rules = ClientFrameRules()
    #expect(code(rules.received(frame(.continuation, [1]))) == 1002)
    rules = ClientFrameRules()
    #expect(rules.received(frame(.text, [65], fin: false)) == .incomplete)
    #expect(code(rules.received(frame(.binary, [1]))) == 1002)
  }

  @Test("Text that is not UTF-8 is refused with 1007", arguments: [[0xFF], [0xC3], [0xED, 0xA0, 0x80], [0xC0, 0x80]])
  func invalidText(bytes: [Int]) {
    var rules = ClientFrameRules()
    #expect(code(rules.received(frame(.text, bytes.map { UInt8($0) }))) == 1007)
  }

  @Test("A message beyond 1 MiB is refused with 1009, in one piece or many")
  func oversized() {
    for opcode in [WebSocketOpcode.binary, .text] {
      let half = [UInt8](repeating: 65, count: ClientFrameRules.messageBytesMax / 2)
      var rules = ClientFrameRules()
      #expect(code(rules.received(frame(opcode, half, fin: false))) == nil)
      #expect(code(rules.received(frame(.continuation, half, fin: false))) == nil)
      #expect(code(rules.received(frame(.continuation, [65]))) == 1009)
    }
  }

  @Test("What the decoder refuses becomes the right code")
  func decoder() {
    func code(for error: any Error) -> UInt16? {
      var rules = ClientFrameRules()
      return AudioForkReceiverTests.code(rules.verdict(forDecoderError: error))
    }
    #expect(code(for: NIOWebSocketError.invalidFrameLength) == 1009)
    #expect(code(for: NIOWebSocketError.fragmentedControlFrame) == 1002)
    #expect(code(for: NIOWebSocketError.multiByteControlFrameLength) == 1002)
  }

  @Test("A Close carries its code and reason")
  func close() {
    var rules = ClientFrameRules()
    #expect(rules.received(frame(.connectionClose, [3, 232, 104, 105])) == .close(code: 1000, reason: "hi"))
    rules = ClientFrameRules()
    #expect(rules.received(frame(.connectionClose)) == .close(code: nil, reason: ""))
    #expect(rules.received(frame(.connectionClose)) == .ignored)
  }

  @Test(
    "A close code that may not be sent is a protocol error",
    arguments: [0, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65535])
  func closeCodes(number: Int) {
    var rules = ClientFrameRules()
    #expect(code(rules.received(frame(.connectionClose, [UInt8(number >> 8), UInt8(number & 255)]))) == 1002)
  }

  @Test("Half a close code is refused with 1002, a reason that is not UTF-8 with 1007")
  func closePayload() {
    var rules = ClientFrameRules()
    #expect(code(rules.received(frame(.connectionClose, [3]))) == 1002)
    rules = ClientFrameRules()
    #expect(code(rules.received(frame(.connectionClose, [3, 232, 0xFF]))) == 1007)
  }
}
