// SPDX-License-Identifier: Apache-2.0
import AudioForkDialects
import AudioForkMedia
import AudioForkSurface
import AudioForkTestKit
import Testing

@Suite("Dialect vosk")
struct VoskDialectTests {
  private func session(rate: Int = 8000, position: Position = 0) -> VoskDialect {
    var stream = StreamDescription.test
    stream.rateHertz = rate
    return VoskDialect(ConnectionDescription(stream, position: position))
  }

  @Test("The server is told the rate before any audio", arguments: [8000, 16_000])
  func configuration(rate: Int) {
    var session = session(rate: rate)
    #expect(
      session.turn { $0.opened(now: .start, into: &$1) }.messages
        == [.text(#"{"config":{"sample_rate":\#(rate)}}"#)])
    #expect(session.isReady)
    #expect(session.sent([0x0102, -2]) == [.binary([0x02, 0x01, 0xFE, 0xFF])])
  }

  @Test("Each answer acknowledges one message, the oldest, whatever is in it")
  func acknowledgements() {
    var session = session(position: 8000)
    _ = session.sent([Int16](repeating: 1, count: 1600), at: 8000)
    _ = session.sent([Int16](repeating: 1, count: 1600), at: 9600)
    _ = session.sent([1, 2], at: 11_200)
    #expect(session.understood(#"{"partial" : ""}"#) == [.acknowledged(9600, .received)])
    #expect(session.understood("no JSON") == [.acknowledged(11_200, .received)])
    #expect(session.understood(#"{"text" : ""}"#) == [.acknowledged(11_202, .received)])
    #expect(session.understood(#"{"text" : ""}"#) == [], "an answer to nothing")
  }

  @Test("Results become transcripts, whose times count from the stream's beginning")
  func results() {
    var session = session(position: 16_000)
    #expect(session.understood(#"{"partial" : "hello wor"}"#) == [.transcript(Transcript("hello wor", isFinal: false))])
    let result = #"""
      {"result" : [{"conf" : 1.0, "end" : 0.5, "start" : 0.25, "word" : "hello"},
      {"conf" : 0.5, "end" : 1.000000, "start" : 0.51, "word" : "world"}], "text" : "hello world"}
      """#
    #expect(
      session.understood(result) == [
        .transcript(Transcript("hello world", isFinal: true, start: 18_000, end: 24_000, confidence: 0.75))
      ])
    #expect(session.understood(#"{"text":"only"}"#) == [.transcript(Transcript("only", isFinal: true))])
    #expect(
      session.understood(#"{"alternatives":[{"confidence":210.5,"text":"first"},{"text":"second"}]}"#)
        == [.transcript(Transcript("first", isFinal: true))])
  }

  @Test(
    "What makes no sense becomes no transcript, and numbers that make none no times",
    arguments: [
      "[]", "7", "{}", #"{"text":1}"#, #"{"partial":null}"#, #"{"alternatives":[]}"#, #"{"alternatives":[1]}"#,
    ])
  func nonsense(text: String) {
    var session = session()
    #expect(session.understood(text) == [])
  }

  @Test("Numbers that no recording has are left out", arguments: ["-1", "1e300", "1e15", "\"1\"", "null"])
  func wrongTimes(number: String) {
    var session = session()
    let text = #"{"text":"a","result":[{"word":"a","start":\#(number),"end":\#(number)}]}"#
    #expect(session.understood(text) == [.transcript(Transcript("a", isFinal: true))])
  }

  @Test("A very long answer is a text without times")
  func long() {
    var session = session()
    let word = #"{"conf" : 1.0, "end" : 0.5, "start" : 0.25, "word" : "hello"}"#
    let words = [String](repeating: word, count: 5000).joined(separator: ",")
    #expect(session.understood(#"{"result":[\#(words)],"text":"a"}"#) == [.transcript(Transcript("a", isFinal: true))])
  }

  @Test("Texts of the dialplan are sent where the server knows them, and a reset's answer acknowledges nothing new")
  func texts() {
    var session = session()
    _ = session.sent([1, 2])
    let configuration = #"{"config":{"words":true}}"#
    #expect(session.turn { $0.text(configuration, into: &$1) }.messages == [.text(configuration)])
    #expect(session.turn { $0.text(#"{"reset" : 1}"#, into: &$1) }.messages == [.text(#"{"reset" : 1}"#)])
    _ = session.sent([3, 4], at: 2)
    for end: Position in [2, 2, 4] {
      #expect(session.understood(#"{"partial":""}"#) == [.acknowledged(end, .received)])
    }
    _ = session.turn { $0.finish(at: 4, reason: "ended", now: .start, into: &$1) }
    for text in ["hello", "please configure", #"{"config":"#, #"{"reset":1}"#, configuration] {
      let turn = session.turn { $0.text(text, into: &$1) }
      #expect(turn.messages == [])
      guard case .notSent? = turn.actions.first else { return #expect(Bool(false), "nothing is said about \(text)") }
    }
  }

  @Test("A server that answers nothing is not sent resets without end")
  func resets() {
    var session = session()
    let sent = (0..<1000).filter { _ in !session.turn { $0.text(#"{"reset" : 1}"#, into: &$1) }.messages.isEmpty }
    #expect(sent.count == 300)
  }

  @Test("The end is told exactly so; behind the answers to the audio the last words come, and then nothing")
  func end() {
    var session = session()
    _ = session.sent([1, 2])
    #expect(
      session.turn { $0.finish(at: 2, reason: "ended", now: .start, into: &$1) }.messages == [.text(#"{"eof" : 1}"#)])
    #expect(session.understood(#"{"partial" : ""}"#) == [.acknowledged(2, .received)])
    #expect(
      session.understood(#"{"text" : "bye"}"#) == [.transcript(Transcript("bye", isFinal: true)), .finished])
  }
}
