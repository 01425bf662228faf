// SPDX-License-Identifier: Apache-2.0
import AudioForkCore
import AudioForkEngine
import AudioForkTap
import AudioForkTestKit
import CAudioForkABI
import NIOCore
import Testing

/// Messages as the module's own writer makes them.
enum ModuleWriter {
  static func hello(_ version: UInt64 = UInt64(AF_LINK_VERSION)) -> [UInt8] {
    var fields = FieldWriter(message: UInt16(AF_LINK_HELLO.rawValue))
    fields.append(UInt16(AF_FIELD_VERSION.rawValue), Array("22.1.0".utf8))
    fields.append(UInt16(AF_FIELD_PROTOCOL.rawValue), number: version)
    return fields.message()
  }

  static func fork(_ id: String, state: String = "live") -> [UInt8] {
    var fields = FieldWriter(message: UInt16(AF_LINK_FORK.rawValue))
    fields.append(UInt16(AF_FIELD_ID.rawValue), Array(id.utf8))
    fields.append(UInt16(AF_FIELD_STATE.rawValue), Array(state.utf8))
    return fields.message()
  }

  static func tableEnd() -> [UInt8] { FieldWriter(message: UInt16(AF_LINK_TABLE_END.rawValue)).message() }

  static func sendText(_ id: String, _ text: String) -> [UInt8] {
    var fields = FieldWriter(message: UInt16(AF_LINK_SEND_TEXT.rawValue))
    fields.append(UInt16(AF_FIELD_ID.rawValue), Array(id.utf8))
    fields.append(UInt16(AF_FIELD_TEXT.rawValue), Array(text.utf8))
    return fields.message()
  }

  static func forget(_ id: String) -> [UInt8] {
    var fields = FieldWriter(message: UInt16(AF_LINK_FORGET.rawValue))
    fields.append(UInt16(AF_FIELD_ID.rawValue), Array(id.utf8))
    return fields.message()
  }
}

@Suite("Control link")
struct LinkMessageTests {
  private func decode(_ bytes: [UInt8]) throws -> [ModuleMessage] {
    var decoder = LinkDecoder()
    var buffer = ByteBuffer(bytes: bytes)
    var messages: [ModuleMessage] = []
    while let message = try decoder.decode(buffer: &buffer) { messages.append(message) }
    return messages
  }

  @Test("What the module's writer writes is read as it was meant, in one piece or byte by byte")
  func moduleMessages() throws {
    let bytes =
      ModuleWriter.hello() + ModuleWriter.fork("af-0-1") + ModuleWriter.fork("af-0-2", state: "closed")
      + ModuleWriter.tableEnd() + ModuleWriter.sendText("af-0-2", "né\n") + ModuleWriter.forget("af-0-1")
    let expected: [ModuleMessage] = [
      .hello(version: "22.1.0", protocolVersion: 1), .fork(id: "af-0-1", isClosed: false),
      .fork(id: "af-0-2", isClosed: true), .tableEnd,
      .sendText(id: "af-0-2", text: Array("né\n".utf8)), .forget(id: "af-0-1"),
    ]
    #expect(try decode(bytes) == expected)
    var decoder = LinkDecoder()
    var buffer = ByteBuffer()
    var messages: [ModuleMessage] = []
    for byte in bytes {
      buffer.writeInteger(byte)
      while let message = try decoder.decode(buffer: &buffer) { messages.append(message) }
    }
    #expect(messages == expected)
  }

  @Test("What the engine writes is read by the module's parser")
  func engineMessages() throws {
    var counters = ForkCounters()
    counters.position = 160_000
    counters.lost = 7
    counters.confirmed = 150_000
    counters.captured = 320_000
    counters.undeliveredMilliseconds = 210
    counters.skewMilliseconds = -40
    counters.dropped = 3
    let gap = Gap(direction: .out, start: 5, count: 9, reason: .ahead, position: 77)
    let messages: [EngineMessage] = [
      .ready(version: "0.1.0", pid: 42, loops: 2),
      .state(id: "f", state: .waiting, reason: "dns: x", endpoint: "ws://h/", counters),
      .ended(id: "f", reason: "done: y", counters), .log(.warning, id: nil, text: "né"),
      .gap(id: "f", gap), .text(id: "f", text: Array("{}".utf8), length: 70_000, dropped: 3),
    ]
    var parser = LinkParser()
    for message in messages { Array(message.encode().readableBytesView).withUnsafeBytes { parser.append($0) } }
    var parsed: [LinkMessage] = []
    while let message = parser.next() { parsed.append(message) }
    #expect(parsed.map(\.type) == [65, 66, 67, 68, 69, 70])
    let ready = try #require(parsed.first { UInt32($0.type) == AF_LINK_READY.rawValue })
    #expect(ready.number(UInt16(AF_FIELD_PID.rawValue)) == 42)
    let state = try #require(parsed.first { UInt32($0.type) == AF_LINK_STATE.rawValue })
    #expect(state.text(UInt16(AF_FIELD_STATE.rawValue)) == Array("waiting".utf8))
    #expect(state.text(UInt16(AF_FIELD_REASON.rawValue)) == Array("dns: x".utf8))
    let ended = try #require(parsed.first { UInt32($0.type) == AF_LINK_ENDED.rawValue })
    #expect(ended.number(UInt16(AF_FIELD_POSITION.rawValue)) == 160_000)
    for (field, value) in [
      (AF_FIELD_LOST, 7), (AF_FIELD_CONFIRMED, 150_000), (AF_FIELD_CAPTURED, 320_000), (AF_FIELD_UNDELIVERED, 210),
      (AF_FIELD_SKEW, UInt64(bitPattern: -40)), (AF_FIELD_DROPPED, 3),
    ] as [(af_field, UInt64)] {
      #expect(ended.number(UInt16(field.rawValue)) == value, "\(field.rawValue)")
    }
    #expect(state.text(UInt16(AF_FIELD_URL.rawValue)) == Array("ws://h/".utf8))
    #expect(ready.number(UInt16(AF_FIELD_LOOPS.rawValue)) == 2)
    let hole = try #require(parsed.first { UInt32($0.type) == AF_LINK_GAP.rawValue })
    #expect(hole.text(UInt16(AF_FIELD_DIRECTION.rawValue)) == Array("out".utf8))
    #expect(hole.text(UInt16(AF_FIELD_REASON.rawValue)) == Array("ahead".utf8))
    for (field, value) in [(AF_FIELD_START, 5), (AF_FIELD_COUNT, 9), (AF_FIELD_POSITION, 77)] as [(af_field, UInt64)] {
      #expect(hole.number(UInt16(field.rawValue)) == value)
    }
    let text = try #require(parsed.first { UInt32($0.type) == AF_LINK_TEXT.rawValue })
    #expect(text.text(UInt16(AF_FIELD_TEXT.rawValue)) == Array("{}".utf8))
    #expect(text.number(UInt16(AF_FIELD_LENGTH.rawValue)) == 70_000)
    #expect(text.number(UInt16(AF_FIELD_DROPPED.rawValue)) == 3)
    let log = try #require(parsed.first { UInt32($0.type) == AF_LINK_LOG.rawValue })
    #expect(log.number(UInt16(AF_FIELD_LEVEL.rawValue)) == UInt64(AF_LEVEL_WARNING.rawValue))
    #expect(log.text(UInt16(AF_FIELD_TEXT.rawValue)) == Array("né".utf8))
    #expect(!parser.isBroken)
  }

  @Test("A line that is too long is cut between two characters", arguments: 0...3)
  func longText(shift: Int) throws {
    let long = String(repeating: "a", count: shift) + String(repeating: "😀", count: 4000)
    var parser = LinkParser()
    Array(EngineMessage.log(.notice, id: nil, text: long).encode().readableBytesView).withUnsafeBytes { parser.append($0) }
    let parsed = parser.next()
    let log = try #require(parsed)
    let bytes = try #require(log.text(UInt16(AF_FIELD_TEXT.rawValue)))
    let text = try #require(String(validating: bytes, as: UTF8.self))
    #expect(long.hasPrefix(text))
    #expect((8189...8192).contains(bytes.count))
  }

  @Test(
    "An id that could lead out of the directory is refused",
    arguments: ["", "../x", "a/b", "a.b", "a b", "ä", "a\u{0}", String(repeating: "a", count: 65)])
  func ids(id: String) {
    #expect(throws: LinkError.self) { try decode(ModuleWriter.fork(id)) }
    #expect(throws: LinkError.self) { try decode(ModuleWriter.forget(id)) }
  }

  @Test("A message of a later release is skipped, one of an impossible length is the end")
  func unknownAndBroken() throws {
    let later = FieldWriter(message: 999).message()
    #expect(try decode(later + ModuleWriter.tableEnd()) == [.unknown(type: 999), .tableEnd])
    #expect(throws: LinkError.self) { try decode([3, 0, 0, 0, 1, 0, 0, 0]) }
    #expect(throws: LinkError.self) { try decode([1, 0, 4, 0, 1, 0, 0, 0]) }
    #expect(throws: LinkError.self) { try decode([8, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0]) }
  }

  @Test("Random bytes end in messages or in an error, never in a trap", arguments: 0..<30)
  func randomBytes(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    for _ in 0..<200 {
      var bytes = ModuleWriter.fork("af-0-1") + ModuleWriter.hello()
      for _ in 0..<Int.random(in: 1...6, using: &random) {
        bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
      }
      _ = try? decode(bytes)
    }
  }
}
