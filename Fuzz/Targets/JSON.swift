// SPDX-License-Identifier: Apache-2.0
internal import AudioForkBytes
internal import AudioForkMedia
internal import AudioForkDialects
internal import AudioForkEngine
internal import AudioForkSurface
internal import AudioForkReceiver

/// Text messages, as either side of `audiofork.v1` reads them and writes them.
func fuzzJSON(_ bytes: [UInt8]) {
  let text = String(decoding: bytes, as: UTF8.self)
  read(text)
  write(text)
  for limit in [0, 1, bytes.count / 2, bytes.count] {
    let cut = AudioForkBytes.cut(bytes, to: limit)
    demand(cut.count <= limit && bytes.starts(with: cut), "cut to \(limit): \(cut)")
    if String(validating: bytes, as: UTF8.self) != nil {
      demand(String(validating: cut, as: UTF8.self) != nil && cut.count + 4 > limit, "not cut at a character: \(cut)")
    }
  }
}

private func read(_ text: String) {
  let value = try? JSONValue(parsing: text)
  if let value {
    let encoded = value.encoded
    demand(!encoded.utf8.contains { $0 < 32 || $0 == 127 }, "printed with a control character: \(encoded)")
    guard let again = try? JSONValue(parsing: encoded) else { return demand(false, "printed as no JSON: \(encoded)") }
    demand(again == value && again.encoded == encoded, "\(text) became \(encoded)")
  }
  var session = AudioForkDialect(
    ConnectionDescription(
      StreamDescription(
        forkID: "af-1", channel: "c", uniqueID: "1", linkedID: "1", direction: .both)))
  var output = DialectOutput()
  session.received(.text(text), now: MonotonicTime(nanoseconds: 0), into: &output)
  demand(output.actions.count <= 1, "several words out of one: \(text)")
  switch output.actions.first {
  case .resume(let position), .acknowledged(let position, _):
    demand(value?["position"]?.wholeNumber == position.frames, "another position than in \(text)")
  case .text(let said): demand(value?["text"]?.text == said, "another text than in \(text)")
  case nil: demand(value?["type"] != nil, "no type, and ignored: \(text)")
  case .violation(let reason): demand(!reason.isEmpty, "refused without a reason")
  case .some(let action): demand(false, "\(action) out of \(text)")
  }
  // The receiver takes what either of them has understood, and says the same position.
  switch Result(catching: { try ForkMessage(text) }) {
  case .success(.stop(let position, _)), .success(.fill(_, let position, _)), .success(.mute(_, let position, _)):
    demand(value?["position"]?.wholeNumber == position && position <= ForkMessage.positionMax, "a position of \(text)")
  case .success(.start(let start)):
    demand(StreamRequest.rates.contains(start.rateHertz), "\(start)")
    demand(StreamRequest.channelCounts.contains(start.channelCount) && !start.id.isEmpty, "\(start)")
  case .success, .failure: break
  }
}

/// What the engine says with these words in it the receiver understands, word for word.
private func write(_ text: String) {
  var stream = StreamDescription(forkID: "af-1", channel: text, uniqueID: text, linkedID: text, direction: .both)
  stream.parameters = [RequestField(name: Array(text.utf8), value: Array(text.utf8))]
  let position = Position(UInt64(text.utf8.count))
  var session = AudioForkDialect(ConnectionDescription(stream, position: position))
  let now = MonotonicTime(nanoseconds: 0)
  func heard(_ turn: (inout AudioForkDialect, inout DialectOutput) -> Void) -> ForkMessage? {
    var output = DialectOutput()
    turn(&session, &output)
    guard case .text(let json)? = output.shownMessages.first else { return nil }
    return try? ForkMessage(json)
  }
  guard case .text(let said) = heard({ $0.text(text, into: &$1) }) else { return demand(false, "a text is no text") }
  demand(Array(said.utf8) == Array(text.utf8), "\(said) was \(text)")
  guard case .start(let start) = heard({ $0.opened(now: now, into: &$1) }) else {
    return demand(false, "a start is no start")
  }
  demand(start.id == "af-1" && start.position == position.frames, "\(start)")
  guard
    case .stop(_, let reason) = heard({ $0.finish(at: Position(1), reason: text, now: now, into: &$1) })
  else { return demand(false, "a stop is no stop") }
  demand(Array(reason.utf8) == Array(text.utf8), "\(reason) was \(text)")
  // What an event line is made of.
  var quoted = ""
  JSONValue.quote(text, into: &quoted)
  demand((try? JSONValue(parsing: quoted))?.text.map { Array($0.utf8) } == Array(text.utf8), "quoted as \(quoted)")
}
