// SPDX-License-Identifier: Apache-2.0
import AudioForkWireTestKit
import Testing

/// One thing that a server does to the client, and what the client has to make of it.
struct ConformanceCase: Sendable {
  /// What the server does, in this order, once audio is coming in.
  enum Act: Sendable {
    case send([UInt8])
    /// The call ends, so that the client closes first.
    case callEnds
    /// Waits for the client's Close frame.
    case awaitClose
    /// Waits for the client to close the TCP connection, which is the server's to do.
    case awaitEnd
  }

  /// What becomes of the connection.
  enum Outcome: Equatable, Sendable {
    /// It goes on: a ping behind it all is answered.
    case goesOn
    /// The client answers the server's Close with this code, or with none.
    case answersClose(UInt16?)
    /// The client fails the connection with this code.
    case fails(UInt16)
    /// The client closes with 1000 because the call is over.
    case closesFirst
    /// There is no connection; the fork's end says why.
    case refuses(String)
  }

  let group: ConformanceGroup
  var number = 0
  let what: String
  /// Of RFC 6455.
  let section: String
  var acts: [Act] = []
  var answer = ConformanceCase.rightAnswer
  /// The first bytes go out with the answer to the upgrade request, in one segment.
  var isWithAnswer = false
  var pongs: [[UInt8]] = []
  var texts: [String] = []
  var outcome: Outcome

  var name: String { "\(group.rawValue).\(number)" }

  /// The answer to the upgrade request, line by line; `{accept}` stands for the value that fits the key.
  static let rightAnswer = [
    "HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Accept: {accept}",
  ]
}

enum ConformanceGroup: Int, CaseIterable, Sendable, CustomTestStringConvertible {
  case framing = 1
  case pings, reservedBits, opcodes, fragmentation, utf8, closing, masking, handshake

  var title: String {
    switch self {
    case .framing: "Frames and lengths"
    case .pings: "Pings and pongs"
    case .reservedBits: "Reserved bits"
    case .opcodes: "Opcodes"
    case .fragmentation: "Fragmentation"
    case .utf8: "UTF-8"
    case .closing: "Closing"
    case .masking: "Masking"
    case .handshake: "Handshake"
    }
  }

  var testDescription: String { title }

  /// The group's cases with their numbers.
  var cases: [ConformanceCase] {
    let unnumbered =
      switch self {
      case .framing: framingCases
      case .pings: pingCases
      case .reservedBits: reservedBitCases
      case .opcodes: opcodeCases
      case .fragmentation: fragmentationCases
      case .utf8: utf8Cases
      case .closing: closingCases
      case .masking: maskingCases
      case .handshake: handshakeCases
      }
    return unnumbered.enumerated().map { index, one in
      var one = one
      one.number = index + 1
      return one
    }
  }
}

/// The limit of a message that docs/internals/websocket-conformance.md names.
let messageBytesMax = 1_048_576

private func text(_ text: String, fin: Bool = true) -> [UInt8] { wireFrame(1, Array(text.utf8), fin: fin) }
private func closeFrame(_ code: UInt16, _ reason: [UInt8] = []) -> [UInt8] { wireFrame(8, codeBytes(code) + reason) }
private func codeBytes(_ code: UInt16) -> [UInt8] { [UInt8(code >> 8), UInt8(code & 255)] }
private func letters(_ count: Int) -> [UInt8] { (0..<count).map { UInt8(97 + $0 % 26) } }
private func string(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
private func hex(_ bytes: [UInt8]) -> String {
  bytes.map { byte in
    let digits = String(byte, radix: 16, uppercase: true)
    return digits.count < 2 ? "0\(digits)" : digits
  }.joined(separator: " ")
}

// MARK: - 1

private var framingCases: [ConformanceCase] {
  func passes(_ what: String, _ bytes: [UInt8], texts: [String] = []) -> ConformanceCase {
    ConformanceCase(group: .framing, what: what, section: "5.2", acts: [.send(bytes)], texts: texts, outcome: .goesOn)
  }
  func fails(_ what: String, _ code: UInt16, _ bytes: [UInt8], section: String = "5.2") -> ConformanceCase {
    ConformanceCase(group: .framing, what: what, section: section, acts: [.send(bytes)], outcome: .fails(code))
  }
  let sizes = [0, 1, 125, 126, 127, 128, 65_535, 65_536]
  let texts = sizes.map {
    passes("a text of \($0) byte\($0 == 1 ? "" : "s")", wireFrame(1, letters($0)), texts: [string(letters($0))])
  }
  let binaries = (sizes + [messageBytesMax]).map {
    passes("a binary message of \($0) byte\($0 == 1 ? "" : "s")", wireFrame(2, [UInt8](repeating: 0xFE, count: $0)))
  }
  let half = [UInt8](repeating: 1, count: messageBytesMax / 2)
  return texts + binaries + [
    fails(
      "a header of a message of \(messageBytesMax + 1) bytes, without payload", 1009,
      wireFrame(2, length: UInt64(messageBytesMax) + 1), section: "7.4.1"),
    fails("a header of a text of 2^63 - 1 bytes", 1009, wireFrame(1, length: UInt64(Int64.max)), section: "7.4.1"),
    fails(
      "fragments of \(messageBytesMax + 1) bytes together", 1009,
      wireFrame(2, half, fin: false) + wireFrame(0, half, fin: false) + wireFrame(0, [1]), section: "7.4.1"),
    fails("a length of 64 bits with the highest one set", 1002, wireFrame(2, length: 1 << 63)),
    fails("all bits of a length of 64 bits", 1002, wireFrame(2, length: UInt64.max)),
    fails("a length of 0 in two bytes", 1002, wireFrame(1, lengthBytes: 2)),
    fails("a length of 125 in two bytes", 1002, wireFrame(1, letters(125), lengthBytes: 2)),
    fails("a length of 1 in eight bytes", 1002, wireFrame(2, [1], lengthBytes: 8)),
    fails("a length of 126 in eight bytes", 1002, wireFrame(2, letters(126), lengthBytes: 8)),
    fails("a length of 65535 in eight bytes, header alone", 1002, wireFrame(1, length: 65_535, lengthBytes: 8)),
    fails("a ping with its length in two bytes", 1002, wireFrame(9, [1], lengthBytes: 2)),
    passes("three messages in one segment", text("a") + wireFrame(2, [0]) + text("b"), texts: ["a", "b"]),
  ]
}

// MARK: - 2

private var pingCases: [ConformanceCase] {
  func passes(
    _ what: String, _ bytes: [UInt8], section: String = "5.5.2", pongs: [[UInt8]] = [], texts: [String] = []
  ) -> ConformanceCase {
    ConformanceCase(
      group: .pings, what: what, section: section, acts: [.send(bytes)], pongs: pongs, texts: texts, outcome: .goesOn)
  }
  func fails(_ what: String, _ bytes: [UInt8], pongs: [[UInt8]] = []) -> ConformanceCase {
    ConformanceCase(
      group: .pings, what: what, section: "5.5", acts: [.send(bytes)], pongs: pongs, outcome: .fails(1002))
  }
  let hello = Array("Hello".utf8)
  let raw: [UInt8] = [0x00, 0xFF, 0xFE, 0xFD, 0xFC, 0xFB, 0x00, 0xFF]
  let numbered = (0..<10).map { [UInt8($0)] }
  return [
    passes("a ping without payload", wireFrame(9), pongs: [[]]),
    passes("a ping with a text", wireFrame(9, hello), pongs: [hello]),
    passes("a ping with bytes that are no text", wireFrame(9, raw), pongs: [raw]),
    passes("a ping of 125 bytes", wireFrame(9, letters(125)), pongs: [letters(125)]),
    passes("ten pings in one segment", numbered.flatMap { wireFrame(9, $0) }, pongs: numbered),
    passes(
      "a ping between two messages", text("a") + wireFrame(9, hello) + text("b"), pongs: [hello], texts: ["a", "b"]),
    passes("a pong that nobody asked for", wireFrame(10), section: "5.5.3"),
    passes("a pong of 125 bytes that nobody asked for", wireFrame(10, letters(125)), section: "5.5.3"),
    passes("such a pong, then a ping", wireFrame(10, raw) + wireFrame(9, hello), section: "5.5.3", pongs: [hello]),
    fails("a ping of 126 bytes", wireFrame(9, letters(126))),
    fails("the header of a ping of 126 bytes", wireFrame(9, length: 126)),
    fails("the header of a ping of 65536 bytes", wireFrame(9, length: 65_536)),
    fails("a pong of 126 bytes", wireFrame(10, letters(126))),
    fails(
      "a ping of 125 bytes, then one of 126", wireFrame(9, letters(125)) + wireFrame(9, letters(126)),
      pongs: [letters(125)]),
  ]
}

// MARK: - 3 and 4

private var reservedBitCases: [ConformanceCase] {
  func fails(_ what: String, _ bytes: [UInt8], pongs: [[UInt8]] = [], texts: [String] = []) -> ConformanceCase {
    ConformanceCase(
      group: .reservedBits, what: what, section: "5.2", acts: [.send(bytes)], pongs: pongs, texts: texts,
      outcome: .fails(1002))
  }
  let alone = (1...7).map { bits in
    fails("a text with reserved bits \(bits)", wireFrame(1, letters(3), reserved: UInt8(bits)))
  }
  return alone + [
    fails("a text, then one with reserved bits 4", text("a") + wireFrame(1, letters(3), reserved: 4), texts: ["a"]),
    fails("a ping, then one with reserved bits 2", wireFrame(9, [1]) + wireFrame(9, [2], reserved: 2), pongs: [[1]]),
    fails("a binary message with reserved bits 1, header alone", wireFrame(2, reserved: 1, length: 70_000)),
    fails("a pong with reserved bits 3", wireFrame(10, reserved: 3)),
    fails("a Close with reserved bits 4", wireFrame(8, codeBytes(1000), reserved: 4)),
    fails("a continuation with reserved bits 4", text("a", fin: false) + wireFrame(0, letters(1), reserved: 4)),
  ]
}

private var opcodeCases: [ConformanceCase] {
  func fails(_ what: String, _ bytes: [UInt8], pongs: [[UInt8]] = [], texts: [String] = []) -> ConformanceCase {
    ConformanceCase(
      group: .opcodes, what: what, section: "5.2", acts: [.send(bytes)], pongs: pongs, texts: texts,
      outcome: .fails(1002))
  }
  let opcodes: [UInt8] = [3, 4, 5, 6, 7, 11, 12, 13, 14, 15]
  return opcodes.map { fails("opcode \($0) without payload", wireFrame($0)) }
    + opcodes.map {
      fails("a text, then opcode \($0) with payload", text("a") + wireFrame($0, letters(5)), texts: ["a"])
    }
    + [
      fails("a ping, then opcode 3 without FIN", wireFrame(9, [7]) + wireFrame(3, fin: false), pongs: [[7]]),
      fails("opcode 11 inside of a fragmented text", text("a", fin: false) + wireFrame(11)),
    ]
}

// MARK: - 5

private var fragmentationCases: [ConformanceCase] {
  func passes(_ what: String, _ bytes: [UInt8], pongs: [[UInt8]] = [], texts: [String] = []) -> ConformanceCase {
    ConformanceCase(
      group: .fragmentation, what: what, section: "5.4", acts: [.send(bytes)], pongs: pongs, texts: texts,
      outcome: .goesOn)
  }
  func fails(
    _ what: String, _ bytes: [UInt8], section: String = "5.4", pongs: [[UInt8]] = [], texts: [String] = []
  ) -> ConformanceCase {
    ConformanceCase(
      group: .fragmentation, what: what, section: section, acts: [.send(bytes)], pongs: pongs, texts: texts,
      outcome: .fails(1002))
  }
  let begin = text("one ", fin: false)
  let middle = wireFrame(0, Array("two ".utf8), fin: false)
  let end = wireFrame(0, Array("three".utf8))
  let single = letters(1000)
  let singles =
    wireFrame(1, [single[0]], fin: false) + single[1..<999].flatMap { wireFrame(0, [$0], fin: false) }
    + wireFrame(0, [single[999]])
  return [
    passes("a text in two fragments", begin + end, texts: ["one three"]),
    passes("a text in three fragments", begin + middle + end, texts: ["one two three"]),
    passes("a text in a thousand fragments of one byte", singles, texts: [string(single)]),
    passes(
      "a text in fragments of 126 and 65536 bytes",
      wireFrame(1, letters(126), fin: false)
        + wireFrame(0, [UInt8](repeating: 98, count: 65_536 - 126)),
      texts: [string(letters(126)) + String(repeating: "b", count: 65_410)]),
    passes("three empty fragments", wireFrame(1, fin: false) + wireFrame(0, fin: false) + wireFrame(0), texts: [""]),
    passes(
      "an empty fragment, one with the text, an empty one",
      wireFrame(1, fin: false) + wireFrame(0, letters(3), fin: false) + wireFrame(0), texts: ["abc"]),
    passes("a ping between fragments", begin + wireFrame(9, [1]) + end, pongs: [[1]], texts: ["one three"]),
    passes(
      "pings of 0 and 125 bytes and a pong between fragments",
      begin + wireFrame(9) + middle + wireFrame(10, [5]) + wireFrame(9, letters(125)) + end, pongs: [[], letters(125)],
      texts: ["one two three"]),
    passes(
      "fragments of a binary message, a ping between",
      wireFrame(2, [1], fin: false) + wireFrame(9, [2]) + wireFrame(0, [3]), pongs: [[2]]),
    passes(
      "two fragmented texts and a whole one", begin + end + begin + middle + end + text("four"),
      texts: ["one three", "one two three", "four"]),
    ConformanceCase(
      group: .fragmentation, what: "a Close between fragments", section: "5.4",
      acts: [.send(begin + closeFrame(1001) + end)],
      outcome: .answersClose(1001)),
    fails("a continuation of nothing", wireFrame(0, letters(1))),
    fails("a continuation of nothing without FIN", wireFrame(0, letters(1), fin: false)),
    fails("the header of a continuation of nothing", wireFrame(0, length: 1000)),
    fails("a continuation of a whole text", text("a") + wireFrame(0, letters(1)), texts: ["a"]),
    fails("a continuation of a fragmented text that was over", begin + end + wireFrame(0), texts: ["one three"]),
    fails("a text inside of a fragmented text", begin + text("new")),
    fails("a binary message inside of a fragmented text", begin + wireFrame(2, [1])),
    fails("a text inside of a fragmented binary message", wireFrame(2, [1], fin: false) + text("new", fin: false)),
    fails("the header of a text inside of a fragmented text", begin + wireFrame(1, length: 1000)),
    fails("a ping, then a text, inside of a fragmented text", begin + wireFrame(9, [1]) + text("new"), pongs: [[1]]),
    fails("a ping in two fragments", wireFrame(9, [1], fin: false) + wireFrame(0, [2]), section: "5.5"),
    fails("a pong in two fragments", wireFrame(10, [1], fin: false) + wireFrame(0, [2]), section: "5.5"),
    fails("a Close in two fragments", wireFrame(8, [3], fin: false) + wireFrame(0, [0xE8]), section: "5.5"),
    fails(
      "the header of a ping without FIN, inside of a fragmented text", begin + wireFrame(9, fin: false, length: 5),
      section: "5.5"),
  ]
}

// MARK: - 6

private var utf8Cases: [ConformanceCase] {
  func passes(_ what: String, _ bytes: [UInt8], pongs: [[UInt8]] = [], texts: [String]) -> ConformanceCase {
    ConformanceCase(
      group: .utf8, what: what, section: "8.1", acts: [.send(bytes)], pongs: pongs, texts: texts, outcome: .goesOn)
  }
  func fails(_ what: String, _ bytes: [UInt8], pongs: [[UInt8]] = [], texts: [String] = []) -> ConformanceCase {
    ConformanceCase(
      group: .utf8, what: what, section: "8.1", acts: [.send(bytes)], pongs: pongs, texts: texts, outcome: .fails(1007))
  }
  /// Each byte in a fragment of its own.
  func single(_ bytes: [UInt8]) -> [UInt8] {
    bytes.enumerated().flatMap { wireFrame($0 == 0 ? 1 : 0, [$1], fin: $0 == bytes.count - 1) }
  }
  let greek = "κόσμε"
  let edges: [(String, String)] = [
    ("U+0000", "\u{0}"), ("U+007F", "\u{7F}"), ("U+0080", "\u{80}"), ("U+07FF", "\u{7FF}"), ("U+0800", "\u{800}"),
    ("U+D7FF", "\u{D7FF}"), ("U+E000", "\u{E000}"), ("U+FFFD", "\u{FFFD}"), ("U+FFFE", "\u{FFFE}"),
    ("U+FFFF", "\u{FFFF}"),
    ("U+10000", "\u{10000}"), ("U+10FFFF", "\u{10FFFF}"),
  ]
  let wrong: [(String, [UInt8])] = [
    ("a continuation byte alone", [0x80]), ("the last continuation byte alone", [0xBF]),
    ("a byte that never occurs", [0xFE]), ("another one", [0xFF]),
    ("'/' in two bytes", [0xC0, 0xAF]), ("'/' in three", [0xE0, 0x80, 0xAF]),
    ("'/' in four", [0xF0, 0x80, 0x80, 0xAF]),
    ("U+007F in two bytes", [0xC1, 0xBF]), ("U+07FF in three", [0xE0, 0x9F, 0xBF]),
    ("U+FFFF in four", [0xF0, 0x8F, 0xBF, 0xBF]),
    ("a form of five bytes", [0xF8, 0x88, 0x80, 0x80, 0x80]), ("a form of six", [0xFC, 0x84, 0x80, 0x80, 0x80, 0x80]),
    ("the first surrogate", [0xED, 0xA0, 0x80]), ("the last surrogate", [0xED, 0xBF, 0xBF]),
    ("a pair of surrogates", [0xED, 0xA0, 0x80, 0xED, 0xB0, 0x80]),
    ("U+110000", [0xF4, 0x90, 0x80, 0x80]), ("beyond all planes", [0xF5, 0x80, 0x80, 0x80]),
    ("a character of two bytes cut short", [0xCE]), ("one of three cut short", [0xE2, 0x82]),
    ("one of four cut short", [0xF0, 0x9F, 0x98]), ("a letter inside of a character", [0xE2, 0x41, 0x82]),
  ]
  let bytes = Array(greek.utf8)
  return [
    passes("'κόσμε'", text(greek), texts: [greek]),
    passes("'κόσμε', a fragment for each byte", single(bytes), texts: [greek]),
    passes(
      "a character cut by a ping",
      wireFrame(1, Array(bytes[0..<1]), fin: false) + wireFrame(9, [1])
        + wireFrame(0, Array(bytes[1...])), pongs: [[1]], texts: [greek]),
    passes("a binary message that is no UTF-8, then a text", wireFrame(2, [0xFF, 0xFE]) + text("a"), texts: ["a"]),
  ]
    + edges.map { passes("\($0.0)", text($0.1), texts: [$0.1]) }
    + [
      passes(
        "all of these, a fragment for each byte", single(edges.flatMap { Array($0.1.utf8) }),
        texts: [edges.map(\.1).joined()])
    ]
    + wrong.map { fails("\($0.0): \(hex($0.1))", wireFrame(1, $0.1)) }
    + wrong.map { fails("\($0.0), a fragment for each byte behind 'κόσμε'", single(bytes + $0.1)) }
    + [
      fails("a text, then one that is no UTF-8", text("a") + wireFrame(1, [0xFF]), texts: ["a"]),
      fails(
        "a character that its message ends in, across fragments",
        wireFrame(1, [0xE2], fin: false) + wireFrame(0, [0x82])),
      fails(
        "an empty last fragment behind a character cut short", wireFrame(1, [0xE2, 0x82], fin: false) + wireFrame(0)),
      fails("a wrong byte in a fragment; nothing follows", wireFrame(1, bytes + [0xED, 0xA0], fin: false)),
      fails(
        "a wrong byte in a second fragment behind a ping; nothing follows",
        wireFrame(1, [0xF4], fin: false) + wireFrame(9, [1]) + wireFrame(0, [0x90], fin: false), pongs: [[1]]),
      fails(
        "a wrong byte in a frame of 1000 bytes whose rest does not come", wireFrame(1, bytes + [0xC0], length: 1000)),
      fails(
        "the beginning of U+110000 in a frame whose rest does not come", wireFrame(1, [0xF4, 0x90], length: 70_000)),
    ]
}

// MARK: - 7

private var closingCases: [ConformanceCase] {
  func answers(
    _ what: String, _ code: UInt16?, _ bytes: [UInt8], section: String = "5.5.1", pongs: [[UInt8]] = [],
    texts: [String] = []
  ) -> ConformanceCase {
    ConformanceCase(
      group: .closing, what: what, section: section, acts: [.send(bytes)], pongs: pongs, texts: texts,
      outcome: .answersClose(code))
  }
  func fails(_ what: String, _ code: UInt16, _ section: String, _ bytes: [UInt8]) -> ConformanceCase {
    ConformanceCase(group: .closing, what: what, section: section, acts: [.send(bytes)], outcome: .fails(code))
  }
  func first(
    _ what: String, _ section: String, texts: [String] = [], _ acts: [ConformanceCase.Act]
  ) -> ConformanceCase {
    ConformanceCase(
      group: .closing, what: what, section: section, acts: [.callEnds, .awaitClose] + acts, texts: texts,
      outcome: .closesFirst)
  }
  let valid: [UInt16] = [
    1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999,
  ]
  let invalid: [UInt16] = [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535]
  return valid.map { answers("a Close with \($0)", $0, closeFrame($0), section: "7.4") }
    + invalid.map { fails("a Close with \($0)", 1002, "7.4", closeFrame($0)) }
    + [
      answers("a Close without payload", nil, wireFrame(8)),
      answers("a Close with a reason", 1001, closeFrame(1001, Array("κόσμε".utf8))),
      answers("a Close with a reason of 123 bytes", 1000, closeFrame(1000, letters(123))),
      fails("a Close of one byte", 1002, "5.5.1", wireFrame(8, [3])),
      fails("a Close of 126 bytes", 1002, "5.5", closeFrame(1000, letters(124))),
      fails("a reason that is no UTF-8", 1007, "8.1", closeFrame(1000, [0xCE, 0xBA, 0xED, 0xA0, 0x80])),
      fails("a reason cut inside of a character", 1007, "8.1", closeFrame(1000, [0x61, 0xE2, 0x82])),
      answers(
        "a text and a ping, then a Close", 1000, text("a") + wireFrame(9, [1]) + closeFrame(1000), pongs: [[1]],
        texts: ["a"]),
      answers("a Close, then a text", 1000, closeFrame(1000) + text("late")),
      answers("a Close, then a ping", 1000, closeFrame(1000) + wireFrame(9, [1])),
      answers("a Close, then another", 1001, closeFrame(1001) + closeFrame(1000)),
      answers("a Close, then what breaks the rules", 1000, closeFrame(1000) + wireFrame(3, letters(2), reserved: 7)),
      ConformanceCase(
        group: .closing, what: "a Close, and TCP stays open: the client closes it after a while", section: "7.1.1",
        acts: [.send(closeFrame(1000)), .awaitClose, .awaitEnd], outcome: .answersClose(1000)),
      ConformanceCase(
        group: .closing, what: "a violation, and TCP stays open: the client closes it after a while", section: "7.1.7",
        acts: [.send(wireFrame(3)), .awaitClose, .awaitEnd], outcome: .fails(1002)),
      ConformanceCase(
        group: .closing, what: "a violation, then megabytes: the client's Close comes all the same", section: "7.1.7",
        acts: [.send(wireFrame(3) + [UInt8](repeating: 0, count: 3 << 20))], outcome: .fails(1002)),
      first("the call ends; its Close is answered", "7.1.2", [.send(closeFrame(1000))]),
      first("the call ends; its Close is answered without a code", "7.1.2", [.send(wireFrame(8))]),
      first(
        "the call ends; a text comes before the answer", "7.1.2", texts: ["last words"],
        [.send(text("last words") + closeFrame(1000))]),
      first("the call ends; a ping comes before the answer", "5.5.2", [.send(wireFrame(9, [1]) + closeFrame(1000))]),
      first(
        "the call ends; what breaks the rules comes instead of an answer", "7.1.7", [.send(wireFrame(3)), .awaitEnd]),
      first("the call ends; no answer comes", "7.1.1", [.awaitEnd]),
      first("the call ends; its Close is answered, and TCP stays open", "7.1.1", [.send(closeFrame(1000)), .awaitEnd]),
    ]
}

// MARK: - 8

private var maskingCases: [ConformanceCase] {
  func fails(_ what: String, _ bytes: [UInt8], texts: [String] = []) -> ConformanceCase {
    ConformanceCase(
      group: .masking, what: what, section: "5.1", acts: [.send(bytes)], texts: texts, outcome: .fails(1002))
  }
  let key: [UInt8] = [1, 2, 3, 4]
  return [
    fails("a masked text", wireFrame(1, letters(3), key: key)),
    fails("a masked text without payload", wireFrame(1, key: key)),
    fails("a text masked with zeros", wireFrame(1, letters(3), key: [0, 0, 0, 0])),
    fails("a text, then a masked binary message", text("a") + wireFrame(2, letters(300), key: key), texts: ["a"]),
    fails("a masked ping", wireFrame(9, [1], key: key)),
    fails("a masked Close", wireFrame(8, codeBytes(1000), key: key)),
    fails("a masked continuation", text("a", fin: false) + wireFrame(0, letters(1), key: key)),
    fails("the header of a masked text", wireFrame(1, [], length: 100).enumerated().map { $0 == 1 ? $1 | 0x80 : $1 }),
  ]
}

// MARK: - 9

private var handshakeCases: [ConformanceCase] {
  let right = ConformanceCase.rightAnswer
  func opens(_ what: String, _ section: String = "4.1", _ answer: [String] = right) -> ConformanceCase {
    ConformanceCase(group: .handshake, what: what, section: section, answer: answer, outcome: .goesOn)
  }
  func refuses(_ what: String, _ reason: String, _ answer: [String]) -> ConformanceCase {
    ConformanceCase(group: .handshake, what: what, section: "4.1", answer: answer, outcome: .refuses(reason))
  }
  func changed(_ line: Int, _ text: String?) -> [String] {
    right.enumerated().compactMap { $0 == line ? text : $1 }
  }
  let noUpgrade = "upgrade: the answer has no header 'Upgrade: websocket'"
  let noConnection = "upgrade: the answer has no header 'Connection: Upgrade'"
  let noAccept = "upgrade: the answer's Sec-WebSocket-Accept is missing or does not fit our key"
  return [
    opens("the right answer"),
    opens(
      "the right answer in other letter case", "4.1",
      [right[0], "UPGRADE: WebSocket", "connection: upgrade", "sec-websocket-ACCEPT: {accept}"]),
    opens(
      "'Connection: keep-alive, Upgrade', and headers that mean nothing here", "4.1",
      changed(2, "Connection: keep-alive, Upgrade") + ["Server: x", "Set-Cookie: a=b"]),
    opens("101 without a reason phrase", "4.1", changed(0, "HTTP/1.1 101 ")),
    opens("100 Continue before the right answer", "4.1", ["HTTP/1.1 100 Continue", ""] + right),
    opens("the sub-protocol that was offered", "4.1", right + ["Sec-WebSocket-Protocol: echo"]),
    ConformanceCase(
      group: .handshake, what: "text and ping in the answer's segment", section: "4.1",
      acts: [.send(text("a") + wireFrame(9, [1]))], isWithAnswer: true, pongs: [[1]], texts: ["a"], outcome: .goesOn),
    ConformanceCase(
      group: .handshake, what: "a Close in the answer's segment", section: "4.1", acts: [.send(closeFrame(1000))],
      isWithAnswer: true, outcome: .answersClose(1000)),
    ConformanceCase(
      group: .handshake, what: "a masked frame in the answer's segment", section: "5.1",
      acts: [.send(wireFrame(1, letters(1), key: [1, 2, 3, 4]))], isWithAnswer: true, outcome: .fails(1002)),
    refuses("no Upgrade", noUpgrade, changed(1, nil)),
    refuses("another protocol in Upgrade", noUpgrade, changed(1, "Upgrade: h2c")),
    refuses("another protocol beside it in Upgrade", noUpgrade, changed(1, "Upgrade: h2c, websocket")),
    refuses("no Connection", noConnection, changed(2, nil)),
    refuses("'Connection: close'", noConnection, changed(2, "Connection: close")),
    refuses("no Sec-WebSocket-Accept", noAccept, changed(3, nil)),
    refuses("an empty Sec-WebSocket-Accept", noAccept, changed(3, "Sec-WebSocket-Accept:")),
    refuses(
      "the Sec-WebSocket-Accept of another key", noAccept,
      changed(3, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")),
    refuses("Sec-WebSocket-Accept twice", noAccept, right + [right[3]]),
    refuses(
      "an extension", "upgrade: the server chose an extension that was not offered",
      right + ["Sec-WebSocket-Extensions: permessage-deflate"]),
    refuses(
      "a sub-protocol that was not offered",
      """
      upgrade: the server chose the sub-protocol 'chat', not offered; where that is the right one, set subprotocol in \
      a profile
      """,
      right + ["Sec-WebSocket-Protocol: chat"]),
    refuses(
      "two sub-protocols", "upgrade: the server chose more than one sub-protocol",
      right + ["Sec-WebSocket-Protocol: echo", "Sec-WebSocket-Protocol: echo"]),
    refuses("HTTP/1.0", "upgrade: the answer is HTTP/1.0", changed(0, "HTTP/1.0 101 Switching Protocols")),
    refuses(
      "another version of the protocol", "http: 426 Upgrade Required",
      ["HTTP/1.1 426 Upgrade Required", "Sec-WebSocket-Version: 8", "Content-Length: 0"]),
    refuses(
      "200 with all headers of the right answer", "http: 200 OK",
      changed(0, "HTTP/1.1 200 OK") + ["Content-Length: 0"]),
    refuses("no HTTP", "http: the answer is not HTTP", ["SSH-2.0-OpenSSH_9.2"]),
    opens(
      "blanks and tabs around the values of the right answer", "4.1",
      [
        right[0], "Upgrade: \twebsocket\t ", "Connection:Upgrade ", "Sec-WebSocket-Accept:   {accept} \t",
        "Sec-WebSocket-Protocol: echo ",
      ]),
    opens("a folded header line, which RFC 9112 5.2 lets a client take", "4.1", right + ["X-A: b", " c", "\td"]),
    opens("100 header lines", "4.1", right + (4...100).map { "X-\($0): v" }),
    refuses(
      "a refusal that gives its reason in the body", "http: 400 Bad Request: no such call",
      ["HTTP/1.1 400 Bad Request", "Content-Length: 16", "", "no such call"]),
    refuses(
      "a redirect to another host",
      "http: 302 Found to 'ws://elsewhere.example/', not followed: it leads to another host",
      ["HTTP/1.1 302 Found", "Location: ws://elsewhere.example/"]),
  ]
}
