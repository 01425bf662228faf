// SPDX-License-Identifier: Apache-2.0
import AudioForkTestKit
import AudioForkWebSocket
import AudioForkWireTestKit
import NIOCore
import Testing

/// What a client makes of a server's bytes that come in these pieces; ends with the first violation.
private func events(_ pieces: [[UInt8]]) -> [WebSocketFrameRules.Event] {
  var decoder = FrameDecoder()
  var rules = WebSocketFrameRules(sender: .server)
  var buffer = ByteBuffer()
  var events: [WebSocketFrameRules.Event] = []
  for piece in pieces {
    buffer.writeBytes(piece)
    do throws(ProtocolViolation) {
      while let frame = try decoder.next(&buffer) {
        let event = rules.receive(frame)
        if event != .nothing { events.append(event) }
        if case .violation = event { return events }
      }
    } catch { return events + [.violation(error)] }
  }
  return events
}

private func cut(_ bytes: [UInt8], using random: inout SeededRandom) -> [[UInt8]] {
  var pieces: [[UInt8]] = []
  var rest = bytes[...]
  while !rest.isEmpty {
    pieces.append(Array(rest.prefix(Int.random(in: 1...9, using: &random))))
    rest = rest.dropFirst(pieces.last?.count ?? 0)
  }
  return pieces
}

@Suite("Frame decoder")
struct FrameDecoderTests {
  @Test("What bytes mean does not depend on the pieces that they come in", arguments: 0..<40)
  func pieces(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    var bytes: [UInt8] = []
    for _ in 0..<30 {
      let payload = (0..<Int.random(in: 0...300, using: &random)).map { _ in UInt8.random(in: 0...127, using: &random) }
      switch Int.random(in: 0...3, using: &random) {
      case 0: bytes += wireFrame(1, payload)
      case 1: bytes += wireFrame(2, payload)
      case 2: bytes += wireFrame(9, Array(payload.prefix(125)))
      default:
        bytes += wireFrame(1, payload, fin: false) + wireFrame(10) + wireFrame(0, fin: false) + wireFrame(0, payload)
      }
    }
    // Something wrong at the end, or not.
    if Bool.random(using: &random) { bytes += wireFrame(UInt8.random(in: 3...7, using: &random), [1]) }
    let whole = events([bytes])
    #expect(whole.count >= 30)
    #expect(events(cut(bytes, using: &random)) == whole)
  }

  @Test("Text is found wrong or right in pieces as it is in one", arguments: 0..<40)
  func utf8(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    // Bytes at the edges of what may follow what.
    let edges: [UInt8] = [
      0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xEC, 0xED, 0xEE, 0xEF, 0xF0, 0xF1,
      0xF3, 0xF4,
      0xF5,
    ]
    var found: Set<Bool> = []
    for _ in 0..<2000 {
      let bytes = (0..<Int.random(in: 1...5, using: &random)).map { _ in edges.randomElement(using: &random) ?? 0 }
      let isText = String(validating: bytes, as: UTF8.self) != nil
      found.insert(isText)
      let fragments = bytes.enumerated().flatMap { wireFrame($0 == 0 ? 1 : 0, [$1], fin: $0 == bytes.count - 1) }
      for seen in [events([wireFrame(1, bytes)]), events([fragments])] {
        switch seen.first {
        case .text(let text): #expect(isText && Array(text.utf8) == bytes)
        case .violation(let violation): #expect(!isText && violation.code == 1007)
        default: Issue.record("\(seen)")
        }
      }
    }
    #expect(found.count == 2)
  }

  @Test("Random bytes never trap", arguments: 0..<40)
  func randomBytes(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    for _ in 0..<200 {
      // Mostly right beginnings, so that the rest is reached.
      let first: UInt8 = [0x81, 0x01, 0x82, 0x89, 0x88, 0x80].randomElement(using: &random) ?? 0
      let bytes = [first] + (0..<40).map { _ in UInt8.random(in: 0...255, using: &random) }
      #expect(events(cut(bytes, using: &random)).count <= 41)
    }
  }
}

/// The judge of the conformance tests is held to what it is to see.
@Suite("Strict reader")
struct StrictReaderTests {
  private let key: [UInt8] = [1, 2, 3, 4]
  private let otherKey: [UInt8] = [1, 2, 3, 5]

  private func complaints(_ bytes: [UInt8]) -> [String] {
    var reader = StrictReader()
    for byte in bytes { reader.take([byte]) }
    return reader.complaints
  }

  @Test("It takes what a client may send")
  func right() {
    var reader = StrictReader()
    reader.take(wireFrame(2, [7, 8, 9, 10, 11], key: key) + wireFrame(8, [0x03, 0xE8, 0x61], key: otherKey))
    #expect(reader.complaints == [])
    #expect(reader.frames.map(\.payload) == [[7, 8, 9, 10, 11], [0x03, 0xE8, 0x61]])
    #expect(reader.close == [0x03, 0xE8, 0x61])
  }

  @Test("It names what a client may not")
  func wrong() {
    #expect(complaints(wireFrame(2, [1])) == ["no mask"])
    #expect(complaints(wireFrame(2, reserved: 2, key: key)) == ["reserved bits"])
    #expect(complaints(wireFrame(2, fin: false, key: key)) == ["no FIN: this client never makes fragments"])
    #expect(complaints(wireFrame(3, key: key)) == ["opcode 3"])
    #expect(complaints(wireFrame(2, [1], key: key, lengthBytes: 2)) == ["a length not minimal: 1"])
    #expect(complaints(wireFrame(9, [UInt8](repeating: 0, count: 126), key: key)) == ["a control frame of 126 bytes"])
    #expect(complaints(wireFrame(2, key: key) + wireFrame(2, key: key)) == ["the masking key of the frame before"])
    #expect(
      complaints(wireFrame(8, key: key) + wireFrame(10, key: otherKey)) == ["a frame behind its Close: opcode 10"])
    #expect(complaints(wireFrame(1, [0xFF], key: key)) == ["a text that is not UTF-8"])
    #expect(complaints(wireFrame(8, [3], key: key)) == ["a Close of one byte"])
    #expect(complaints(wireFrame(8, [0x03, 0xED], key: key)) == ["a Close with code 1005"])
    #expect(complaints(wireFrame(8, [0x03, 0xE8, 0xC3], key: key)) == ["a close reason that is not UTF-8"])
  }

  @Test("Its answer to the RFC's key is the RFC's")
  func accept() {
    #expect(acceptValue("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
  }
}
