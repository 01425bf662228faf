// SPDX-License-Identifier: Apache-2.0
internal import AudioForkDialects
internal import AudioForkMedia
internal import AudioForkSurface

/// A conversation in each dialect that there is, with a server that says whatever it likes.
func fuzzDialects(_ bytes: [UInt8]) {
  for dialect in DialectRegistry.dialects {
    var conversation = DialectConversation(DialectRegistry.session(of: dialect), Decisions(bytes))
    conversation.run()
  }
}

/// One connection, as the engine leads it.
private struct DialectConversation {
  /// What a session may say beyond what it was given: headers, names, its first words.
  private static let ownBytesMax = 16_384

  private let type: any DialectSession.Type
  private var input: Decisions
  private var session: any DialectSession
  private var now = MonotonicTime(nanoseconds: 1_000_000_000)
  private var position: Position
  private let channels: Int
  private var wasReady = false
  private var hasFinished = false

  init(_ type: any DialectSession.Type, _ input: Decisions) {
    self.type = type
    self.input = input
    let facts = self.input.byte()
    var stream = StreamDescription(
      forkID: "af-1", channel: "PJSIP/100-1", uniqueID: "1.1", linkedID: "1.0",
      direction: facts & 1 == 0 ? .in : .stereo)
    stream.channelCount = stream.direction.channelCount
    stream.encoding = facts & 2 == 0 ? .linear : .muLaw
    let name = self.input.piece(Int(facts >> 4))
    stream.parameters = [RequestField(name: name, value: name)]
    channels = stream.channelCount
    position = Position(facts & 4 == 0 ? 0 : 48_000)
    let connection = ConnectionDescription(stream, number: 1, position: position)
    var request = DialectRequest(url: "ws://h/", target: Array("/".utf8), now: WallTime(nanoseconds: 0), nonce: 1)
    type.prepare(&request, for: connection)
    demand(request.target.first == UInt8(ascii: "/"), "a target that is no path")
    session = type.init(connection)
  }

  mutating func run() {
    turn(given: 0) { $0.opened(now: $1, into: &$2) }
    while !input.isOver { step() }
    passTime(.seconds(3600))
  }

  private mutating func step() {
    switch input.byte() % 12 {
    case 0, 1, 2:
      let text = String(decoding: input.piece(Int(input.byte())), as: UTF8.self)
      turn(given: text.utf8.count) { $0.received(.text(text), now: $1, into: &$2) }
    case 3:
      guard type.takesBinary else { return }
      let bytes = input.piece(Int(input.byte()))
      turn(given: bytes.count) { $0.received(.binary(bytes), now: $1, into: &$2) }
    case 4, 5: audio()
    case 6: passTime(.milliseconds(Int64(input.number(bytes: 2))))
    case 7:
      let text = String(decoding: input.piece(Int(input.byte())), as: UTF8.self)
      turn(given: text.utf8.count) { $0.text(text, into: &$2) }
    case 8:
      let report = report()
      turn(given: 256) { $0.playback(report, into: &$2) }
    case 9:
      let marker = StreamMarker.digit(.in, position: position, digit: input.byte() & 0x7F, milliseconds: 80)
      turn(given: 16) { $0.marker(marker, into: &$2) }
    case 10:
      guard !hasFinished else { return }
      hasFinished = true
      turn(given: 0) { [position] in $0.finish(at: position, reason: "ended", now: $1, into: &$2) }
    default:
      let code = UInt16(truncatingIfNeeded: input.number(bytes: 2))
      let reason = String(decoding: input.piece(Int(input.byte() & 0x7F)), as: UTF8.self)
      _ = session.meaning(ofClose: code == 0 ? nil : code, reason: reason)
      _ = type.meaning(of: UpgradeRefusal(status: Int(code), text: reason))
    }
  }

  private mutating func audio() {
    guard session.isReady, !hasFinished else { return }
    let value = Int16(truncatingIfNeeded: Int(input.number(bytes: 2)))
    let block = AudioBlock(
      [Int16](repeating: value, count: 160 * channels), channelCount: channels,
      at: position + UInt64(input.byte()))
    position = block.end
    var output = DialectOutput()
    session.audio(block, now: now, into: &output)
    check(output, given: block.samples.count * 4)
    demand(output.audioBytes <= block.samples.count * 50 * 2, "more audio than was given")
  }

  private mutating func report() -> PlaybackReport {
    let kind = input.byte() % 8
    let name = String(decoding: input.piece(Int(input.byte() & 0x3F)), as: UTF8.self)
    switch kind {
    case 0: return .played(item: name, milliseconds: input.number(bytes: 8))
    case 1: return .markPlayed(name)
    case 2: return .markCleared(name)
    case 3: return .cleared
    case 4: return .drained
    case 5: return .high
    case 6: return .low
    default: return .status(queuedMilliseconds: input.number(bytes: 8), isPaused: name.isEmpty)
    }
  }

  private mutating func passTime(_ length: Nanoseconds) {
    let end = now + length
    var turns = 0
    while let deadline = session.deadline, deadline <= end {
      now = max(now, deadline)
      turn(given: 0) { $0.timeout(now: $1, into: &$2) }
      if let next = session.deadline { demand(next > now, "a deadline that stays in the past") }
      turns += 1
      // The engine fires at most every 10 ms.
      demand(turns <= length.wholeMilliseconds / 10 + 10, "a timer that never rests")
    }
    now = end
  }

  /// `given`: bytes that the session was given, and may repeat.
  private mutating func turn(
    given: Int, _ turn: (inout any DialectSession, MonotonicTime, inout DialectOutput) -> Void
  ) {
    var output = DialectOutput()
    turn(&session, now, &output)
    check(output, given: given)
    demand(session.isReady || !wasReady, "a gate that has closed again")
    wasReady = session.isReady
  }

  private func check(_ output: DialectOutput, given: Int) {
    var bytes = 0
    for message in output.shownMessages {
      switch message {
      case .text(let text): bytes += text.utf8.count
      case .binary(let payload): bytes += payload.count
      }
    }
    // A byte is an escape of six at most, or a third of four in base64.
    demand(bytes <= DialectConversation.ownBytesMax + given * 8, "\(bytes) bytes said for \(given)")
    demand(output.actions.count <= 16 + given, "\(output.actions.count) actions for \(given) bytes")
  }
}
