// SPDX-License-Identifier: Apache-2.0
import AudioForkDialects
import AudioForkMedia
import AudioForkSurface
import AudioForkTestKit
import Testing

@Suite("The raw dialect")
struct RawDialectTests {
  private func session(_ encoding: SampleEncoding) -> RawDialect {
    var stream = StreamDescription.test
    stream.encoding = encoding
    return RawDialect(ConnectionDescription(stream))
  }

  @Test("A block is one binary message in the stream's encoding")
  func audio() {
    var muLaw = session(.muLaw)
    #expect(muLaw.sent([0, 32_767, -32_768]) == [.binary([0xFF, 0x80, 0x00])])
    var aLaw = session(.aLaw)
    #expect(aLaw.sent([0, 32_767, -32_768]) == [.binary([0xD5, 0xAA, 0x2A])])
    var linear = session(.linear)
    #expect(linear.sent([0x0102, -2]) == [.binary([0x02, 0x01, 0xFE, 0xFF])])
    let turn = linear.turn { $0.audio(AudioBlock([1, 2], channelCount: 1, at: 0), now: .start, into: &$1) }
    #expect(turn.audioBytes == 4)
  }

  @Test("Nothing is said before the audio and behind it; texts are texts, and binary messages nothing")
  func nothingElse() {
    var session = session(.linear)
    #expect(session.isReady && session.deadline == nil && !RawDialect.takesBinary)
    #expect(session.turn { $0.opened(now: .start, into: &$1) } == DialectTurn(messages: [], actions: [], audioBytes: 0))
    #expect(session.turn { $0.finish(at: 9, reason: "ended", now: .start, into: &$1) }.messages == [])
    #expect(session.turn { $0.text("a\"b", into: &$1) }.messages == [.text("a\"b")])
    #expect(session.understood("hello") == [.text("hello")])
    #expect(session.turn { $0.received(.binary([1]), now: .start, into: &$1) }.actions == [])
    #expect(session.meaning(ofClose: 4001, reason: "") == nil)
    #expect(RawDialect.meaning(of: UpgradeRefusal(status: 402, text: "")) == nil)
  }

  @Test("The user's texts come first and last, but not to a server of another origin")
  func texts() {
    var stream = StreamDescription.test
    stream.firstText = #"{"config":{}}"#
    stream.lastText = #"{"eof" : 1}"#
    var session = RawDialect(ConnectionDescription(stream))
    #expect(session.turn { $0.opened(now: .start, into: &$1) }.messages == [.text(#"{"config":{}}"#)])
    #expect(
      session.turn { $0.finish(at: 9, reason: "ended", now: .start, into: &$1) }.messages == [.text(#"{"eof" : 1}"#)])
    session = RawDialect(ConnectionDescription(stream).withoutSecrets)
    #expect(session.turn { $0.opened(now: .start, into: &$1) }.messages == [])
    #expect(session.turn { $0.finish(at: 9, reason: "ended", now: .start, into: &$1) }.messages == [])
  }

  @Test("The request says which connection it is, and where its audio begins")
  func place() {
    var request = DialectRequest(url: "ws://h/", target: Array("/".utf8))
    RawDialect.prepare(&request, for: ConnectionDescription(.test, number: 3, position: 48_000))
    #expect(request.subprotocols == ["echo"] && !request.needsSubprotocol)
    #expect(
      request.headers.suffix(2) == [
        DialectHeader("AudioFork-Position", "48000"), DialectHeader("AudioFork-Connection", "3"),
      ])
  }
}
