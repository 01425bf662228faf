// SPDX-License-Identifier: Apache-2.0
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

  @Test("A cursor that cannot be saved is logged once")
  func cursor() {
    var reporter = reporter()
    reporter.cursorFailed()
    reporter.cursorFailed()
    #expect(output.take().count == 1)
  }
}
