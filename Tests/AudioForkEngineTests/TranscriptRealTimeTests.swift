// SPDX-License-Identifier: Apache-2.0
import AudioForkEngine
import AudioForkEngineTestKit
import AudioForkLink
import AudioForkMedia
import AudioForkTestKit
import Testing

/// From a recognizer's answers to what the module is told.
@Suite("Transcripts over loopback", .serialized)
struct TranscriptRealTimeTests {
  @Test("What a recognizer says is told once, with speaker, times and confidence, up to its last words")
  func vosk() async throws {
    let said = #"""
      {"result": [{"conf": 1.0, "start": 0.06, "end": 0.3, "word": "one"},
      {"conf": 0.5, "start": 0.3, "end": 0.45, "word": "two"}], "text": "one two"}
      """#
    let directory = try ScratchFolder()
    // Empty answers acknowledge what the others do not.
    let server = try await TestServer.start(
      .converse([
        [
          #"{"config":{"sample_rate":8000}}"#: [
            .text(#"{"partial": ""}"#), .text(#"{"partial": "one"}"#), .text(#"{"partial": "one"}"#), .text(said),
          ],
          #"{"eof" : 1}"#: [.text(#"{"text": "last words"}"#)]
            + [TestServer.Answer](repeating: .text(#"{"partial": ""}"#), count: 100),
        ]
      ]))
    let engine = try await TestEngine(directory)
    let call = try TestCall(in: directory, url: server.url, options: "D(in)w(vosk)", directions: .in)
    engine.tell(.fork(id: call.id, isClosed: false))
    try await call.speak(untilMilliseconds: 500)
    call.hangUp()
    let end = try await engine.end()
    #expect(end.reason == "done: all audio was delivered")
    let told = engine.messages.compactMap { message in
      if case .transcript(call.id, let report, _) = message { report } else { nil }
    }
    func report(_ text: String, isFinal: Bool) -> TranscriptReport {
      TranscriptReport(Array(text.utf8), length: UInt64(text.utf8.count), speaker: .in, isFinal: isFinal)
    }
    var first = report("one two", isFinal: true)
    first.start = 60
    first.end = 450
    first.confidence = 750
    #expect(told == [report("one", isFinal: false), first, report("last words", isFinal: true)])
    #expect(engine.texts(call.id).isEmpty, "a recognizer's answers are no texts")
    #expect(server.connections.count == 1)
    await server.stop()
  }
}
