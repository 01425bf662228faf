// SPDX-License-Identifier: Apache-2.0
import AudioForkEngine
import AudioForkEngineTestKit
import AudioForkLink
import AudioForkTestKit
import AudioForkWireTestKit
import CAudioForkABI
import NIOConcurrencyHelpers
import Testing

/// The engine's client against a server of bytes (docs/internals/websocket-conformance.md), with audio on its way.
@Suite("WebSocket conformance over loopback", .serialized)
struct ConformanceRealTimeTests {
  /// Cases at the same time. Most of a case's time is waiting.
  private static let together = 24

  @Test(
    "The client does what RFC 6455 says, whatever pieces the server's bytes come in",
    arguments: ConformanceGroup.allCases)
  func conforms(group: ConformanceGroup) async throws {
    let directory = try ScratchFolder()
    let engine = try await TestEngine(directory)
    let runs = group.cases.flatMap { one in [false, true].map { ConformanceRun(one, isChopped: $0) } }
    let next = NIOLockedValueBox(0)
    let complaints = await withTaskGroup(of: [String].self) { tasks in
      for _ in 0..<Self.together {
        tasks.addTask {
          var found: [String] = []
          while let run = next.withLockedValue({ index -> ConformanceRun? in
            defer { index += 1 }
            return index < runs.count ? runs[index] : nil
          }) { found += await run.complaints(engine, directory) }
          return found
        }
      }
      return await tasks.reduce(into: [String]()) { $0 += $1 }
    }
    #expect(complaints.isEmpty, "\(complaints.sorted().joined(separator: "\n"))")
    #expect(directory.names == [])
  }
}

/// A case, once.
private struct ConformanceRun: Sendable {
  /// How long the client leaves it to the server to close TCP is watched for so long, milliseconds.
  private static let watch: Int64 = 40
  /// The client waits 1500 ms for an answer, and for the end of TCP; the rest is the machine's.
  private static let patience: Int64 = 4000

  let one: ConformanceCase
  /// In many pieces, small frames byte by byte.
  let isChopped: Bool

  init(_ one: ConformanceCase, isChopped: Bool) {
    self.one = one
    self.isChopped = isChopped
  }

  private var id: String { "case-\(one.group.rawValue)-\(one.number)-\(isChopped ? "chopped" : "whole")" }

  /// What the client did wrong.
  func complaints(_ engine: TestEngine, _ directory: ScratchFolder) async -> [String] {
    do {
      let peer = try ConformancePeer()
      let call = try TestCall(
        in: directory, id: id, url: "ws://127.0.0.1:\(peer.port)/test", options: "D(both)r(0)", age: 200 * millisecond,
        bufferSeconds: 1)
      call.speak(frames: 10)
      var found: [String] = []
      do {
        engine.tell(.fork(id: call.id, isClosed: false))
        try await serve(peer, call)
      } catch let failure as ConformancePeer.Failure {
        found.append(failure.what)
      }
      // Whatever came of it: the fork is to end.
      peer.closeSocket()
      let reason = try await end(engine)
      engine.tell(.forget(id: id))
      found += peer.complaints + peer.reader.complaints + judge(peer, call, engine, reason)
      return found.map { "\(one.name) (\(one.what))\(isChopped ? ", chopped" : ""): \($0)" }
    } catch { return ["\(id): \(error)"] }
  }

  private func end(_ engine: TestEngine) async throws -> String? {
    let deadline = af_now_ns() + ConformanceRun.patience * millisecond
    while af_now_ns() < deadline {
      if let end = engine.ended(id) { return end.reason }
      try await Task.sleep(nanoseconds: 5_000_000)
    }
    return nil
  }

  // MARK: - The server's side

  private func serve(_ peer: ConformancePeer, _ call: TestCall) async throws {
    let accept = acceptValue(try await peer.request())
    var lines = one.answer.map { String($0.replacing("{accept}", with: accept)) }
    lines.append("")
    var answer = Array(lines.map { $0 + "\r\n" }.joined().utf8)
    var acts = one.acts[...]
    if one.isWithAnswer, case .send(let bytes)? = acts.first {
      answer += bytes
      acts = acts.dropFirst()
    }
    if !peer.reader.frames.isEmpty || peer.reader.isInsideFrame {
      throw ConformancePeer.Failure(what: "frames before the answer")
    }
    try await peer.send(answer, pieces: isChopped ? 1 : nil)
    if case .refuses = one.outcome {
      return try await peer.wait("the end of TCP", milliseconds: ConformanceRun.patience) {
        peer.poll()
        return peer.isEnded
      }
    }
    if !one.isWithAnswer { try await peer.waitForFrames("audio") { !$0.payloads(of: 2).isEmpty } }
    var endsItself = false
    for act in acts {
      switch act {
      case .send(let bytes): try await peer.send(bytes, pieces: isChopped ? max(1, bytes.count / 400) : nil)
      case .callEnds:
        // It waits for confirmation before it closes.
        peer.answersPings = true
        call.hangUp()
      case .awaitClose:
        try await peer.waitForFrames("a Close") { $0.close != nil }
        peer.answersPings = false
      case .awaitEnd:
        try await peer.wait("the end of TCP", milliseconds: ConformanceRun.patience) {
          peer.poll()
          return peer.isEnded
        }
        endsItself = true
      }
    }
    if one.outcome == .goesOn {
      try await peer.send(wireFrame(9, Array("still there".utf8)))
      try await peer.waitForFrames("a pong behind it all") { $0.payloads(of: 10).contains(Array("still there".utf8)) }
      try await peer.send(wireFrame(8, [0x03, 0xE8]))
    }
    if endsItself { return }
    try await peer.waitForFrames("a Close") { $0.close != nil }
    // A server may answer the Close of a client that fails the connection. The client says nothing to that.
    if case .fails = one.outcome { try await peer.send(wireFrame(8, peer.reader.close ?? [])) }
    try await peer.look(milliseconds: ConformanceRun.watch)
    if peer.isEnded { throw ConformancePeer.Failure(what: "it closed TCP before the server") }
  }

  // MARK: - The verdict

  private func judge(_ peer: ConformancePeer, _ call: TestCall, _ engine: TestEngine, _ reason: String?) -> [String] {
    var found: [String] = []
    func check(_ isRight: Bool, _ what: @autoclosure () -> String) { if !isRight { found.append(what()) } }
    guard let reason else { return ["the fork did not end"] }
    if case .refuses(let why) = one.outcome {
      check(reason.contains(why), "the fork ended with '\(reason)'")
      check(peer.reader.frames.isEmpty, "frames behind a refused answer")
      return found
    }
    check(!peer.reader.isInsideFrame, "the last frame is not whole")
    check(
      peer.reader.frames.filter { $0.opcode == 8 }.count == 1,
      "not one Close but \(peer.reader.frames.filter { $0.opcode == 8 }.count)")
    let close = peer.reader.close ?? []
    let code: UInt16? = close.count >= 2 ? UInt16(close[0]) << 8 | UInt16(close[1]) : nil
    let wanted: (code: UInt16?, reason: String) =
      switch one.outcome {
      case .goesOn: (1000, "server: closed with 1000")
      case .answersClose(let code): (code, "server: closed \(code.map { "with \($0)" } ?? "without a code")")
      case .fails(let code): (code, "protocol: the server sent ")
      case .closesFirst: (1000, "done: all audio was delivered")
      case .refuses: (nil, "")
      }
    check(code == wanted.code, "closed with \(code.map(String.init) ?? "no code")")
    check(reason.contains(wanted.reason), "the fork ended with '\(reason)'")
    var pongs = peer.reader.payloads(of: 10)
    if one.outcome == .goesOn { check(pongs.popLast() == Array("still there".utf8), "the last pong is another") }
    check(pongs == one.pongs, "pongs \(pongs)")
    let texts = engine.messages.compactMap { message -> String? in
      if case .text(id, let text, _, _) = message { String(decoding: text, as: UTF8.self) } else { nil }
    }
    check(texts == one.texts, "texts of \(texts.map(\.utf8.count)) bytes: \(texts.map { $0.prefix(20) })")
    let audio = peer.reader.payloads(of: 2).flatMap { $0 }
    let expected = call.expected.flatMap { [UInt8(truncatingIfNeeded: $0), UInt8(truncatingIfNeeded: $0 >> 8)] }
    check(!audio.isEmpty || one.isWithAnswer, "no audio")
    check(zip(audio, expected).allSatisfy { $0 == $1 }, "other audio than was said")
    return found
  }
}
