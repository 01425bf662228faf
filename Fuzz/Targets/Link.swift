// SPDX-License-Identifier: Apache-2.0
internal import AudioForkBytes
internal import AudioForkEngine
internal import AudioForkLink

/// The control link: both sides cut the same stream, and read what the other side writes.
func fuzzLink(_ bytes: [UInt8]) {
  var input = Decisions(bytes)
  let step = Int(input.byte() % 32) + 1
  let stream = input.remainder()
  let whole = messages(of: stream, step: stream.count + 1)
  let inPieces = messages(of: stream, step: step)
  demand(whole.map(\.type) == inPieces.map(\.type), "pieces of \(step) bytes are other messages")
  for message in whole {
    engineReads(message)
    moduleReads(message)
  }
  write(stream)
}

private func messages(of stream: [UInt8], step: Int) -> [LinkMessage] {
  var messages: [LinkMessage] = []
  var parser = LinkParser()
  for start in stride(from: 0, to: stream.count, by: step) {
    parser.append(stream[start..<min(start + step, stream.count)])
    do {
      while let message = try parser.next() { messages.append(message) }
    } catch {
      break
    }
  }
  return messages
}

private func engineReads(_ message: LinkMessage) {
  guard let read = try? ModuleMessage(message) else { return }
  switch read {
  case .unknown(let type): demand(type == message.type, "\(read) of type \(message.type)")
  case .fork(let id, _, _), .forget(let id), .sendText(let id, _):
    demand(!id.isEmpty && !id.contains("/") && !id.contains("."), "the id \(id)")
  case .hello, .settings, .tableEnd, .restart, .stopping: break
  }
  // Read again, it is the same.
  let again = messages(of: read.encoded, step: 7)
  demand(again.count == 1 && (try? ModuleMessage(again[0])) == read || read.encoded.count > 200_000, "\(read)")
}

/// In the module's kind of text nothing is lost, in the engine's nothing but what is not UTF-8.
private func moduleReads(_ message: LinkMessage) {
  let read = MessageFromEngine<[UInt8]>(message)
  let again = messages(of: read.encoded, step: 7)
  demand(again.count == 1 && again[0].type == read.encoded.type || read.encoded.count > 200_000, "\(read)")
  _ = EngineMessage(message)
}

extension [UInt8] {
  fileprivate var type: UInt16 { LittleEndian.read16(self, at: 4) }
}

/// A transcript made of the input: its bytes are text, and numbers too.
private func transcript(_ text: [UInt8]) -> TranscriptReport {
  var input = Decisions(text)
  let form = input.byte()
  func number(_ bit: UInt8) -> UInt64? { form & bit == 0 ? nil : UInt64(input.byte()) &<< UInt64(input.byte() % 64) }
  return TranscriptReport(
    text, length: UInt64(text.count), speaker: Speaker.allCases[Int(form >> 4) % Speaker.allCases.count],
    isFinal: form & 1 == 1, start: number(2), end: number(4), confidence: number(8))
}

/// What the engine writes arrives at the module as it was written.
private func write(_ text: [UInt8]) {
  let word = String(decoding: text, as: UTF8.self)
  let written: [EngineMessage] = [
    .text(id: "af-1", text: text, length: UInt64(text.count), dropped: 7), .log(.notice, id: "af-1", text: word),
    .heartbeat, .ended(id: "af-1", reason: word, ForkCounters()), .transcript(id: "af-1", transcript(text), dropped: 7),
  ]
  let received = messages(of: written.flatMap(\.encoded), step: 1000)
  demand(received.count == written.count, "\(written.count) messages became \(received.count)")
  guard received.count == written.count else { return }
  // Longer ones are cut.
  if word.utf8.count <= LinkProtocol.textBytesMax {
    demand(received.map { EngineMessage($0) } == written, "\(word)")
  }
}
