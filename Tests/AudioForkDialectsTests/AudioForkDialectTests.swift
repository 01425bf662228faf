// SPDX-License-Identifier: Apache-2.0
import AudioForkBytes
import AudioForkMedia
import AudioForkDialects
import AudioForkSurface
import AudioForkTestKit
import Testing

@Suite("Dialect audiofork")
struct AudioForkDialectTests {
  private var stream: StreamDescription {
    var stream = StreamDescription(
      forkID: "af-1", channel: "PJSIP/\"a\"-1", uniqueID: "17.1", linkedID: "17.0", direction: .stereo)
    stream.rateHertz = 16_000
    stream.channelCount = 2
    stream.format = "slin16"
    stream.parameters = [RequestField(name: Array("k".utf8), value: Array("a&b".utf8))]
    stream.epochMilliseconds = 1_790_000_000_123
    stream.acknowledgement = .persisted
    return stream
  }

  private func session(_ stream: StreamDescription? = nil) -> AudioForkDialect {
    AudioForkDialect(ConnectionDescription(stream ?? self.stream, position: 4711))
  }

  private func opening(_ stream: StreamDescription) -> DialectOutput.ShownMessage? {
    var session = session(stream)
    return session.turn { $0.opened(now: .start, into: &$1) }.messages.first
  }

  @Test("start says everything about the stream")
  func start() throws {
    guard case .text(let text)? = opening(stream) else { throw Unexpected() }
    #expect(
      text
        == #"{"type":"start","version":1,"id":"af-1","epoch":1790000000123,"channel":"PJSIP/\"a\"-1","#
        + #""uniqueid":"17.1","linkedid":"17.0","direction":"stereo","format":"slin16","rate":16000,"channels":2,"#
        + #""parameters":{"k":"a&b"},"acknowledge":"persisted","position":4711}"#)
    var secretive = stream
    secretive.secret = "00ff"
    guard case .text(let told)? = opening(secretive) else { throw Unexpected() }
    #expect(told == text.dropLast() + #","secret":"00ff"}"#)
    var request = DialectRequest(url: "ws://h/", target: [])
    AudioForkDialect.prepare(&request, for: ConnectionDescription(secretive))
    #expect(request.subprotocols == ["audiofork.v1"] && request.needsSubprotocol)
    #expect(!request.headers.contains { $0.value.contains("00ff") || $0.name == "AudioFork-Position" })
  }

  @Test("A binary message is the position and the samples")
  func audio() {
    var session = session()
    #expect(
      session.sent([1, -2], at: 0x0102_0304_0506_0708) == [.binary([1, 2, 3, 4, 5, 6, 7, 8, 1, 0, 0xFE, 0xFF])])
    var muLaw = StreamDescription.test
    muLaw.encoding = .muLaw
    session = self.session(muLaw)
    let turn = session.turn { $0.audio(AudioBlock([0], channelCount: 1, at: 1), now: .start, into: &$1) }
    #expect(turn.messages == [.binary([0, 0, 0, 0, 0, 0, 0, 1, 0xFF])] && turn.audioBytes == 1)
  }

  @Test(
    "What the server says is understood",
    arguments: [
      (#"{"type":"resume","position":48000}"#, ServerAction.resume(48_000)),
      (#"{"type":"ack","position":1,"level":"received"}"#, .acknowledged(1, .received)),
      (#"{"type":"ack","position":1,"level":"persisted"}"#, .acknowledged(1, .persisted)),
      (#"{"type":"ack","position":1}"#, .acknowledged(1, .received)),
      (#"{"type":"ack","position":1,"level":"engraved"}"#, .acknowledged(1, .received)),
      (#"{"type":"text","text":"hello"}"#, .text("hello")), (#"{"type":"weather"}"#, nil),
    ])
  func understood(text: String, action: ServerAction?) {
    var session = session()
    #expect(!session.isReady)
    #expect(session.understood(text) == (action.map { [$0] } ?? []))
    var isResume = false
    if case .resume? = action { isResume = true }
    #expect(session.isReady == isResume)
    if isResume { #expect(session.understood(text) == [.violation("a second resume")]) }
  }

  @Test(
    "What it may not say is named",
    arguments: [
      "hello", "[]", "{}", #"{"type":1}"#, #"{"type":"resume"}"#, #"{"type":"resume","position":-1}"#,
      #"{"type":"ack","position":1.5}"#, #"{"type":"text"}"#,
    ])
  func nonsense(text: String) throws {
    var session = session()
    guard case .violation(let what)? = session.understood(text).first else { throw Unexpected() }
    #expect(!what.isEmpty)
  }

  @Test("Notes, texts and the end")
  func notes() {
    let gap = Gap(direction: .in, start: 5, count: 6, reason: .overrun, position: 7)
    let expected: [(StreamMarker, String)] = [
      (.gap(gap), #"{"type":"gap","direction":"in","position":7,"start":5,"samples":6,"reason":"overrun"}"#),
      (.fill(.out, position: 1, frames: 2), #"{"type":"fill","direction":"out","position":1,"frames":2}"#),
      (.mute(.in, position: 1, frames: 2), #"{"type":"mute","direction":"in","position":1,"frames":2}"#),
      (
        .digit(.in, position: 1, digit: UInt8(ascii: "#"), milliseconds: 80),
        ##"{"type":"dtmf","direction":"in","position":1,"digit":"#","milliseconds":80}"##
      ),
    ]
    var session = session()
    for (note, text) in expected { #expect(session.turn { $0.marker(note, into: &$1) }.messages == [.text(text)]) }
    #expect(session.turn { $0.text("a\"b", into: &$1) }.messages == [.text(#"{"type":"text","text":"a\"b"}"#)])
    #expect(
      session.turn { $0.finish(at: 9, reason: "ended", now: .start, into: &$1) }.messages
        == [.text(#"{"type":"stop","position":9,"reason":"ended"}"#)])
  }

  private struct Unexpected: Error {}
}
