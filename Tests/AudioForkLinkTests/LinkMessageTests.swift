// SPDX-License-Identifier: Apache-2.0
import AudioForkLink
import AudioForkSurface
import AudioForkTestKit
import Testing

private typealias ModuleMessage = MessageFromModule<String>
private typealias EngineMessage = MessageFromEngine<String>

@Suite("Control link")
struct LinkMessageTests {
  private func decode(_ bytes: [UInt8]) throws -> [ModuleMessage] {
    var parser = LinkParser()
    parser.append(bytes)
    var messages: [ModuleMessage] = []
    while let message = try parser.next() { messages.append(try ModuleMessage(message)) }
    return messages
  }

  @Test("What the module writes is read as it was meant, in one piece or byte by byte")
  func moduleMessages() throws {
    let messages: [ModuleMessage] = [
      .hello(version: "22.1.0", protocolVersion: 1), .settings([Array("a=b".utf8), []]),
      .fork(id: "af-0-1", isClosed: false), .fork(id: "af-0-2", isClosed: true), .tableEnd,
      .sendText(id: "af-0-2", text: Array("né\n".utf8)), .forget(id: "af-0-1"), .settings([]),
      .stopping, .restart,
    ]
    let bytes = messages.flatMap(\.encoded)
    #expect(try decode(bytes) == messages)
    var parser = LinkParser()
    var read: [ModuleMessage] = []
    for byte in bytes {
      parser.append([byte])
      while let message = try parser.next() { read.append(try ModuleMessage(message)) }
    }
    #expect(read == messages)
  }

  @Test("What the engine writes is read as it was meant, by the module's kind of text too")
  func engineMessages() throws {
    var counters = ForkCounters()
    counters[.position] = 160_000
    counters[.skew] = UInt64(bitPattern: -40)
    counters[.dropped] = 3
    counters.confirmation = .app
    let gap = GapReport(direction: "out", start: 5, count: 9, position: 77, reason: "ahead")
    let messages: [EngineMessage] = [
      .ready(version: "0.1.0", pid: 42, loops: 2), .ready(version: "0.1.0", pid: 42, loops: 2, knows: 8),
      .state(id: "f", state: .waiting, reason: "dns: x", endpoint: "ws://h/", counters),
      .ended(id: "f", reason: "done: y", counters), .ended(id: "f", reason: "ring: z", .unknown),
      .log(.warning, id: nil, text: "né"), .log(.debug, id: "f", text: ""), .gap(id: "f", gap), .heartbeat,
      .leaving, .ready(version: "0.1.0", pid: 42, loops: 2, knows: 8, confinement: "confined"),
      .text(id: "f", text: Array("{}".utf8), length: 70_000, dropped: 3),
      .transcript(
        id: "f",
        TranscriptReport(Array("né".utf8), length: 3, speaker: .out, isFinal: true, start: 0, end: 9, confidence: 1),
        dropped: 3),
      .transcript(id: "f", TranscriptReport([], length: 0, speaker: .both, isFinal: false), dropped: 0),
    ]
    var parser = LinkParser()
    parser.append(messages.flatMap(\.encoded))
    var read: [EngineMessage] = []
    var asBytes: [MessageFromEngine<[UInt8]>] = []
    while let message = try parser.next() {
      read.append(EngineMessage(message))
      asBytes.append(MessageFromEngine(message))
    }
    #expect(read == messages)
    #expect(asBytes.map(\.encoded) == messages.map(\.encoded))
    #expect(
      asBytes[2]
        == .state(
          id: Array("f".utf8), state: .waiting, reason: Array("dns: x".utf8), endpoint: Array("ws://h/".utf8), counters)
    )
  }

  @Test("A counter that a message lacks stays what it was")
  func missingCounters() throws {
    var fields = FieldWriter(.state)
    fields.append(.id, "f")
    fields.append(.state, "a state of a later release")
    fields.append(.lost, 7)
    var parser = LinkParser()
    parser.append(fields.message)
    let message = try #require(try parser.next())
    guard case .state("f", let state, "", "", let counters) = EngineMessage(message) else {
      Issue.record("\(EngineMessage(message))")
      return
    }
    #expect(state == .unknown)
    var known = Counters()
    known[.gaps] = 1
    known[.lost] = 2
    counters.update(&known)
    #expect(known[.gaps] == 1 && known[.lost] == 7)
    #expect(counters.carries(.lost) && !counters.carries(.captured))
  }

  @Test("A transcript's numbers that no call can have are cut, and what is missing is unknown")
  func hostileTranscript() throws {
    func read(_ fill: (inout FieldWriter) -> Void) throws -> TranscriptReport? {
      var fields = FieldWriter(.transcript)
      fields.append(.id, "f")
      fill(&fields)
      var parser = LinkParser()
      parser.append(fields.message)
      guard case .transcript("f", let report, 0)? = try parser.next().map(EngineMessage.init) else { return nil }
      return report
    }
    #expect(try read { _ in } == TranscriptReport([], length: 0, speaker: .both, isFinal: false))
    let hostile = try read { fields in
      fields.append(.text, [0xFF, 0])
      fields.append(.speaker, "a speaker of a later release")
      fields.append(.final, number: .max)
      for field in [LinkField.from, .until, .confidence] { fields.append(field, number: .max) }
    }
    let most = TranscriptReport.millisecondsMax
    #expect(
      hostile
        == TranscriptReport(
          [0xFF, 0], length: 2, speaker: .both, isFinal: false, start: most, end: most, confidence: 1000))
  }

  @Test("States and levels are read from their words, in any release's")
  func words() {
    for state in ForkStateName.allCases { #expect(ForkStateName(word: Array("\(state.word)".utf8)) == state) }
    for level in ConfirmationLevel.allCases { #expect(ConfirmationLevel(word: Array("\(level.word)".utf8)) == level) }
    for speaker in Speaker.allCases { #expect(Speaker(word: Array("\(speaker.word)".utf8)) == speaker) }
    #expect(ForkStateName(word: []) == .unknown && ConfirmationLevel(word: Array("disk".utf8)) == nil)
  }

  @Test("A line that is too long is cut between two characters", arguments: 0...3)
  func longText(shift: Int) throws {
    let long = String(repeating: "a", count: shift) + String(repeating: "😀", count: 4000)
    var parser = LinkParser()
    parser.append(EngineMessage.log(.notice, id: nil, text: long).encoded)
    let bytes = try #require(try parser.next()?.fields.bytes(.text))
    let text = try #require(String(validating: bytes, as: UTF8.self))
    #expect(long.hasPrefix(text))
    #expect((8189...8192).contains(bytes.count))
  }

  @Test(
    "An id that could lead out of the directory is refused",
    arguments: ["", "../x", "a/b", "a.b", "a b", "ä", "a\u{0}", String(repeating: "a", count: 65)])
  func ids(id: String) {
    #expect(throws: LinkError.id) { try decode(ModuleMessage.fork(id: id, isClosed: false).encoded) }
    #expect(throws: LinkError.id) { try decode(ModuleMessage.forget(id: id).encoded) }
  }

  @Test("A message of a later release is skipped, one of an impossible length is the end")
  func unknownAndBroken() throws {
    let later = FieldWriter(type: 999).message
    #expect(try decode(later + ModuleMessage.tableEnd.encoded) == [.unknown(type: 999), .tableEnd])
    #expect(throws: LinkError.length(3)) { try decode([3, 0, 0, 0, 1, 0, 0, 0]) }
    #expect(throws: LinkError.length(262_145)) { try decode([1, 0, 4, 0, 1, 0, 0, 0]) }
    #expect(throws: LinkError.fields(kind: 2)) { try decode([8, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0]) }
  }

  @Test("Random bytes end in messages or in an error, never in a trap", arguments: 0..<30)
  func randomBytes(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    for _ in 0..<200 {
      var bytes =
        ModuleMessage.fork(id: "af-0-1", isClosed: false).encoded
        + ModuleMessage.hello(version: "22.1.0", protocolVersion: 1).encoded
      for _ in 0..<Int.random(in: 1...6, using: &random) {
        bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
      }
      _ = try? decode(bytes)
    }
  }
}
