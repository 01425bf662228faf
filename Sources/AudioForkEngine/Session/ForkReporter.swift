// SPDX-License-Identifier: Apache-2.0
internal import AudioForkBytes
package import AudioForkLink
package import AudioForkMedia
internal import AudioForkSurface

/// Tells the module and Asterisk's log what becomes of one fork: states and totals, gaps, texts of the server, lines.
///
/// What the module does not take, because it does not read, is told again later, and is limited meanwhile. No clock.
package struct ForkReporter {
  /// How often the module is told totals that have changed.
  private static let interval = Nanoseconds.seconds(1)
  /// Maximum unreported gaps kept while the module is not reading. Further gaps appear only in the totals.
  private static let gapsMax = 100

  private let id: String
  private let output: any EngineOutput
  private let textLimit: ModuleTexts
  /// Words what Asterisk's log gets to read.
  package var log: ForkLog
  private var texts: ServerTexts
  /// The totals that the module was told last.
  private var reported: (counters: ForkCounters, at: MonotonicTime, wasTaken: Bool)?
  private var gapsUnreported: [Gap] = []
  private var hasLoggedLoss = false
  private var hasLoggedCursorFailure = false

  package init(id: String, output: any EngineOutput, textLimit: ModuleTexts, log: ForkLog, textsDropped: UInt64) {
    self.id = id
    self.output = output
    self.textLimit = textLimit
    self.log = log
    texts = ServerTexts(dropped: textsDropped)
  }

  // MARK: - State

  /// Tells the state and the totals. `onlyIfMoved`: not where the module has been told the same.
  package mutating func report(
    _ state: ForkStateName, reason: String, endpoint: String, _ counters: ForkCounters, now: MonotonicTime,
    onlyIfMoved: Bool = false
  ) {
    if counters.isLosing, !hasLoggedLoss { output.send(log.losing()) }
    hasLoggedLoss = counters.isLosing
    let isNews = !onlyIfMoved || reported?.counters != counters
    reported?.at = now
    guard isNews else { return }
    let wasTaken = output.send(
      .state(id: id, state: state, reason: state == .waiting ? reason : "", endpoint: endpoint, counters))
    reported = (counters, now, wasTaken)
  }

  /// What a report that is due has to be like.
  package enum Due: Equatable, Sendable {
    case no
    /// Only where the totals have changed.
    case ifMoved
    /// In any case: the module did not take the last one.
    case always
  }

  /// Whether a second has passed since the last report.
  package func isDue(now: MonotonicTime) -> Due {
    guard let reported, now - reported.at >= ForkReporter.interval else { return .no }
    return reported.wasTaken ? .ifMoved : .always
  }

  /// The last message about the fork: `work` is done once the module has it.
  package func ended(_ reason: String, _ counters: ForkCounters, then work: @escaping @Sendable () -> Void) {
    output.send(.ended(id: id, reason: reason, counters), then: work)
  }

  // MARK: - Gaps

  /// Gaps that the stream has passed: for the module, and summed up for the log.
  package mutating func passed(_ gaps: [Gap], now: MonotonicTime) {
    guard !gaps.isEmpty else { return }
    tell(gaps)
    if let line = log.gaps(gaps, now: now) { output.send(line) }
  }

  /// Tells the module of gaps, those included that it did not take before. The log says nothing of these.
  package mutating func tell(_ gaps: [Gap] = []) {
    gapsUnreported += gaps
    while let gap = gapsUnreported.first, output.send(.gap(id: id, gap)) { gapsUnreported.removeFirst() }
    gapsUnreported.removeLast(max(0, gapsUnreported.count - ForkReporter.gapsMax))
  }

  /// Logs gaps that wait for their line, when it is time for one. `isLast`: in any case.
  package mutating func logGaps(now: MonotonicTime, isLast: Bool = false) {
    if let line = log.gapsDueNow(now: now, isLast: isLast) { output.send(line) }
  }

  // MARK: - Texts

  /// Hands a text of the server to the module, unless there are too many. What the dialect uses itself is not counted.
  /// Returns how many have been dropped so far.
  package mutating func textReceived(_ text: String, now: MonotonicTime) -> UInt64 {
    // In this order: all that the server says counts against it, and only what it may say against the others.
    if texts.admit(now: now), textLimit.admit(now: now, recent: texts.recent) {
      let bytes = Array(text.utf8)
      let message = EngineMessage.text(
        id: id, text: cut(bytes, to: ServerTexts.bytesMax), length: UInt64(bytes.count), dropped: texts.dropped)
      if output.send(message) { return texts.dropped }
    }
    if texts.drop(now: now) { output.send(log.textsDropped()) }
    return texts.dropped
  }

  // MARK: - Log

  /// Logs a line of `log`'s.
  package func write(_ line: EngineMessage?) {
    if let line { output.send(line) }
  }

  /// Logs once that the cursor cannot be saved.
  package mutating func cursorFailed() {
    guard !hasLoggedCursorFailure else { return }
    hasLoggedCursorFailure = true
    output.send(log.cursorFailed())
  }
}
