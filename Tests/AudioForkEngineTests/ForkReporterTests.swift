// SPDX-License-Identifier: Apache-2.0
import AudioForkDialects
import AudioForkLink
import AudioForkSurface
import AudioForkMedia
import AudioForkEngine
import AudioForkTestKit
import NIOConcurrencyHelpers
import Testing

/// A module that takes what it is told, or nothing.
private final class ScriptedOutput: EngineOutput {
  private let state = NIOLockedValueBox((takes: true, messages: [EngineMessage]()))

  var takes: Bool {
    get { state.withLockedValue { $0.takes } }
    set { state.withLockedValue { $0.takes = newValue } }
  }

  /// What has been taken since the last call.
  func take() -> [EngineMessage] {
    state.withLockedValue { state in
      defer { state.messages = [] }
      return state.messages
    }
  }

  func send(_ message: EngineMessage) -> Bool {
    state.withLockedValue { state in
      if state.takes { state.messages.append(message) }
      return state.takes
    }
  }

  func send(_ message: EngineMessage, then work: @escaping @Sendable () -> Void) {
    _ = send(message)
    work()
  }
}

@Suite("Fork reporter")
struct ForkReporterTests {
  private let output = ScriptedOutput()
  private static let second: Int64 = 1_000_000_000

  private func reporter() -> ForkReporter {
    ForkReporter(
      id: "af-1", output: output, textLimit: SharedTextLimit(),
      lines: ForkLog(id: "af-1", channel: "x/1", endpoint: "ws://x/"),
      textsDropped: 7)
  }

  private func counters(position: UInt64, isLosing: Bool = false) -> ForkCounters {
    var counters = ForkCounters()
    counters[.position] = position
    counters[.losing] = isLosing ? 1 : 0
    return counters
  }

  private func gap(_ start: UInt64) -> Gap {
    Gap(direction: .in, start: start, count: 160, reason: .overrun, position: 0)
  }

  private func warnings(_ messages: [EngineMessage]) -> Int {
    messages.count { if case .log(.warning, _, _) = $0 { true } else { false } }
  }

  @Test("Totals are told once a second where they have moved; the reason stands only in waiting")
  func totals() {
    var reporter = reporter()
    #expect(reporter.isDue(now: 0) == .no, "nothing was told yet")
    reporter.report(.waiting, reason: "dns: no", endpoint: "ws://x/", counters(position: 1), now: 0)
    #expect(
      output.take() == [
        .state(id: "af-1", state: .waiting, reason: "dns: no", endpoint: "ws://x/", counters(position: 1))
      ])
    #expect(reporter.isDue(now: at(Self.second - 1)) == .no)
    #expect(reporter.isDue(now: at(Self.second)) == .ifMoved)
    reporter.report(
      .streaming, reason: "dns: no", endpoint: "ws://x/", counters(position: 1), now: at(Self.second), onlyIfMoved: true
    )
    #expect(output.take().isEmpty)
    #expect(reporter.isDue(now: at(Self.second)) == .no)
    reporter.report(
      .streaming, reason: "dns: no", endpoint: "ws://x/", counters(position: 2), now: at(2 * Self.second),
      onlyIfMoved: true)
    #expect(
      output.take() == [.state(id: "af-1", state: .streaming, reason: "", endpoint: "ws://x/", counters(position: 2))])
  }

  @Test("Totals that the module did not take are told again, moved or not")
  func totalsAgain() {
    var reporter = reporter()
    output.takes = false
    reporter.report(.streaming, reason: "", endpoint: "ws://x/", counters(position: 1), now: 0)
    #expect(reporter.isDue(now: at(Self.second)) == .always)
    output.takes = true
    reporter.report(.streaming, reason: "", endpoint: "ws://x/", counters(position: 1), now: at(Self.second))
    #expect(output.take().count == 1)
    #expect(reporter.isDue(now: at(2 * Self.second)) == .ifMoved)
  }

  @Test("Loss is logged when it begins, and again when it begins again")
  func losing() {
    var reporter = reporter()
    for isLosing in [true, true, false, true] {
      reporter.report(
        .streaming, reason: "", endpoint: "ws://x/", counters(position: 1, isLosing: isLosing), now: 0,
        onlyIfMoved: true)
    }
    #expect(warnings(output.take()) == 2)
  }

  @Test("Gaps that the module did not take are told later, in order, a hundred at most")
  func gaps() {
    var reporter = reporter()
    output.takes = false
    reporter.reportGaps((0..<150).map { gap($0 * 1000) }, now: 0)
    output.takes = true
    #expect(output.take().isEmpty)
    reporter.sendGaps(adding: [gap(200_000)])
    let told = output.take().compactMap { message -> UInt64? in
      if case .gap(_, let gap) = message { gap.start } else { nil }
    }
    #expect(told == (0..<100).map { $0 * 1000 } + [200_000])
    reporter.sendGaps()
    #expect(output.take().isEmpty)
    reporter.reportGaps([], now: at(60 * Self.second))
    #expect(output.take().isEmpty)
    reporter.reportGaps([gap(300_000)], now: at(60 * Self.second))
    #expect(warnings(output.take()) == 1, "the log sums them up")
  }

  @Test("Texts beyond the limit, and those that the module does not take, are dropped, counted and logged once")
  func texts() {
    var reporter = reporter()
    #expect(reporter.textReceived("a", now: 0) == 7)
    #expect(output.take() == [.text(id: "af-1", text: Array("a".utf8), length: 1, dropped: 7)])
    for _ in 0..<49 { _ = reporter.textReceived("b", now: 0) }
    #expect(output.take().count == 49)
    #expect(reporter.textReceived("c", now: 0) == 8)
    #expect(reporter.textReceived("c", now: 0) == 9)
    #expect(warnings(output.take()) == 1)
    output.takes = false
    #expect(reporter.textReceived("d", now: at(Self.second)) == 10)
    output.takes = true
    #expect(output.take().isEmpty)
  }

  private func stream(_ direction: ForkDirection = .in) -> StreamDescription {
    StreamDescription(forkID: "af-1", channel: "x/1", uniqueID: "1.1", linkedID: "1.1", direction: direction)
  }

  private func transcripts() -> [TranscriptReport] {
    output.take().compactMap { if case .transcript("af-1", let report, _) = $0 { report } else { nil } }
  }

  @Test("A transcript goes to the module with times in milliseconds; the speaker is named or is the stream's")
  func transcript() {
    var reporter = reporter()
    let said = Transcript("hëllo", isFinal: true, start: Position(8000), end: Position(12_004), confidence: 0.9704)
    #expect(reporter.transcriptReceived(said, of: stream(), now: 0) == 7)
    let report = TranscriptReport(
      Array("hëllo".utf8), length: 6, speaker: .in, isFinal: true, start: 1000, end: 1500, confidence: 970)
    #expect(output.take() == [.transcript(id: "af-1", report, dropped: 7)])
    for direction in [ForkDirection.out, .both, .stereo] {
      _ = reporter.transcriptReceived(Transcript("a", isFinal: true), of: stream(direction), now: 0)
    }
    let named = Transcript("b", speaker: .in, isFinal: true)
    _ = reporter.transcriptReceived(named, of: stream(.stereo), now: 0)
    #expect(transcripts().map(\.speaker) == [.out, .both, .both, .in])
  }

  @Test("Partial results that say the same again, and results without words, are no news")
  func unchanged() {
    var reporter = reporter()
    func hear(_ text: String, _ isFinal: Bool, _ speaker: Transcript.Speaker) {
      _ = reporter.transcriptReceived(
        Transcript(text, speaker: speaker, isFinal: isFinal), of: stream(.stereo), now: 0)
    }
    for _ in 0..<3 { hear("one", false, .in) }
    hear("one", false, .out)
    hear("", false, .in)
    hear(" \n", true, .out)
    hear("one", false, .in)
    hear("one two", false, .in)
    hear("one two", true, .in)
    hear("one two", true, .in)
    hear("one two", false, .in)
    hear("one", false, .out)
    #expect(
      transcripts().map { "\($0.speaker) \($0.isFinal) \(String(decoding: $0.text, as: UTF8.self))" } == [
        "in false one", "out false one", "in false one two", "in true one two", "in true one two", "in false one two",
        "out false one",
      ])
  }

  @Test("Partial results are dropped first, uncounted; final ones count as texts do")
  func transcriptLimit() {
    var reporter = reporter()
    for number in 0..<100 {
      #expect(reporter.transcriptReceived(Transcript("\(number)", isFinal: false), of: stream(), now: 0) == 7)
    }
    #expect(transcripts().count == 25, "half of what may come at once is left for final ones")
    for number in 0..<25 {
      #expect(reporter.transcriptReceived(Transcript("\(number)", isFinal: true), of: stream(), now: 0) == 7)
    }
    #expect(transcripts().count == 25)
    #expect(reporter.transcriptReceived(Transcript("no more", isFinal: true), of: stream(), now: 0) == 8)
    #expect(reporter.textReceived("no more", now: 0) == 9)
    #expect(warnings(output.take()) == 1)
    // A partial result that the module did not take is told when it comes again.
    output.takes = false
    #expect(
      reporter.transcriptReceived(Transcript("again", isFinal: false), of: stream(), now: at(Self.second)) == 9)
    #expect(
      reporter.transcriptReceived(Transcript("lost", isFinal: true), of: stream(), now: at(Self.second)) == 10)
    output.takes = true
    _ = reporter.transcriptReceived(Transcript("again", isFinal: false), of: stream(), now: at(Self.second))
    #expect(transcripts().map(\.text) == [Array("again".utf8)])
  }

  @Test("A server's numbers cannot be wrong enough to stop the engine, and a long text is cut between characters")
  func hostileTranscript() {
    var reporter = reporter()
    func report(_ transcript: Transcript) -> TranscriptReport? {
      _ = reporter.transcriptReceived(transcript, of: stream(), now: 0)
      return transcripts().first
    }
    let far = report(Transcript("a", isFinal: true, start: Position(.max), end: Position(.max), confidence: .infinity))
    #expect(far?.start == TranscriptReport.millisecondsMax && far?.end == far?.start && far?.confidence == 1000)
    let turned = report(Transcript("a", isFinal: true, start: Position(2), end: Position(1), confidence: .nan))
    #expect(turned != nil && turned?.start == nil && turned?.end == nil && turned?.confidence == nil)
    let half = report(Transcript("a", isFinal: true, end: Position(80), confidence: -7))
    #expect(half?.start == nil && half?.end == 10 && half?.confidence == 0)
    let long = String(repeating: "a", count: ServerTexts.bytesMax - 1) + "ü"
    let cut = report(Transcript(long, isFinal: true))
    #expect(cut?.text.count == ServerTexts.bytesMax - 1 && cut?.length == UInt64(ServerTexts.bytesMax + 1))
  }

  @Test("A cursor that cannot be saved is logged once")
  func cursor() {
    var reporter = reporter()
    reporter.cursorFailed()
    reporter.cursorFailed()
    #expect(output.take().count == 1)
  }
}
