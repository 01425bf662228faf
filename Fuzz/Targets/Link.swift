// SPDX-License-Identifier: Apache-2.0
internal import AudioForkEngine
internal import AudioForkRing
internal import AudioForkTap
internal import NIOCore

/// The control link: what the module says to the engine, and the engine to the module. Both sides cut the same stream.
func fuzzLink(_ bytes: [UInt8]) {
  var input = Decisions(bytes)
  let step = Int(input.byte() % 32) + 1
  let stream = input.remainder()
  let atEngine = engineReads(stream, step: stream.count + 1)
  demand(atEngine == engineReads(stream, step: step), "pieces of \(step) bytes say something else")
  let atModule = moduleReads(stream, step: stream.count + 1)
  let inPieces = moduleReads(stream, step: step)
  demand(atModule.map(\.type) == inPieces.map(\.type), "pieces of \(step) bytes are other messages")
  // The engine goes by the same lengths, and stops where fields are broken.
  demand(atEngine.count <= atModule.count, "\(atEngine.count) messages for the engine, \(atModule.count) for the module")
  for (message, said) in zip(atModule, atEngine) {
    read(message)
    if case .unknown(let type) = said { demand(type == message.type, "\(said) of type \(message.type)") }
    if case .sendText(let id, let text) = said {
      demand(message.text(1) == Array(id.utf8) && message.text(22) ?? [] == text, "\(said)")
      demand(!id.isEmpty && !id.contains("/") && !id.contains("."), "the id \(id)")
    }
  }
  write(stream)
}

private func engineReads(_ stream: [UInt8], step: Int) -> [ModuleMessage] {
  var messages: [ModuleMessage] = []
  let processor = NIOSingleStepByteToMessageProcessor(LinkDecoder())
  do {
    for start in stride(from: 0, to: stream.count, by: step) {
      let piece = ByteBuffer(bytes: stream[start..<min(start + step, stream.count)])
      try processor.process(buffer: piece) { messages.append($0) }
    }
  } catch {
    demand(error is LinkError, "\(error)")
  }
  return messages
}

private func moduleReads(_ stream: [UInt8], step: Int) -> [LinkMessage] {
  var messages: [LinkMessage] = []
  var parser = LinkParser()
  for start in stride(from: 0, to: stream.count, by: step) {
    stream[start..<min(start + step, stream.count)].withUnsafeBytes { parser.append($0) }
    while let message = parser.next() { messages.append(message) }
    if parser.isBroken { break }
  }
  return messages
}

/// Both sides' readers of fields find the same.
private func read(_ message: LinkMessage) {
  let reader = FieldReader(message.fields)
  for key in 0..<64 as Range<UInt16> {
    demand(reader.bytes(key) == message.text(key), "field \(key) of \(message.fields)")
    demand(reader.number(key) == message.number(key), "number \(key) of \(message.fields)")
    demand(reader.all(key).first == reader.bytes(key), "all fields \(key) of \(message.fields)")
  }
}

/// What the engine says arrives at the module as it was said.
private func write(_ text: [UInt8]) {
  let word = String(decoding: text, as: UTF8.self)
  let messages: [EngineMessage] = [
    .text(id: "af-1", text: text, length: UInt64(text.count), dropped: 7), .log(.notice, id: "af-1", text: word), .heartbeat,
    .ended(id: "af-1", reason: word, ForkCounters()),
  ]
  let bytes = messages.flatMap { Array($0.encode().readableBytesView) }
  let heard = moduleReads(bytes, step: 1000)
  demand(heard.count == messages.count, "\(messages.count) messages became \(heard.count)")
  guard heard.count == messages.count else { return }
  demand(heard[0].text(22) == text && heard[0].number(44) == UInt64(text.count), "a text became \(heard[0].fields)")
  // Longer ones are cut (LinkMessage.swift).
  if word.utf8.count <= 8192 {
    demand(heard[1].text(22) == Array(word.utf8) && heard[3].text(20) == Array(word.utf8), "\(word)")
  }
}
