// SPDX-License-Identifier: Apache-2.0
internal import AudioForkBytes
package import AudioForkDialects
package import AudioForkLink
package import AudioForkMedia
internal import AudioForkSurface

/// Reports on one fork to the module and to Asterisk's log: states and totals, gaps, texts of the server and what it
/// has recognized, log lines.
///
/// Reports that the module does not take, because it is not reading, are repeated later. Their number is limited. No
/// clock.
package struct ForkReporter {
  /// Minimum time between two reports of changed totals.
  private static let interval = Nanoseconds.seconds(1)
  /// Maximum unreported gaps kept while the module is not reading. Further gaps appear only in the totals.
  private static let gapsMax = 100

  private let id: String
  private let output: any EngineOutput
  private let textLimit: SharedTextLimit
  /// Makes the lines for Asterisk's log.
  package var lines: ForkLog
  private var texts: ServerTexts
  /// What each speaker has last been reported to say, while the utterance is not over.
  private var partials: [(speaker: Speaker, text: [UInt8])] = []
  /// The totals of the last report, and whether the module took it.
  private var reported: (counters: ForkCounters, at: MonotonicTime, wasTaken: Bool)?
  private var gapsUnreported: [Gap] = []
  private var hasLoggedLoss = false
  private var hasLoggedCursorFailure = false

  package init(id: String, output: any EngineOutput, textLimit: SharedTextLimit, lines: ForkLog, textsDropped: UInt64) {
    self.id = id
    self.output = output
    self.textLimit = textLimit
    self.lines = lines
    texts = ServerTexts(dropped: textsDropped)
  }

  // MARK: - State

  /// Reports the state and the totals. `onlyIfMoved`: only if the totals differ from the last report.
  package mutating func report(
    _ state: ForkStateName, reason: String, endpoint: String, _ counters: ForkCounters, now: MonotonicTime,
    onlyIfMoved: Bool = false
  ) {
    if counters.isLosing, !hasLoggedLoss { output.send(lines.bufferFull()) }
    hasLoggedLoss = counters.isLosing
    let isNews = !onlyIfMoved || reported?.counters != counters
    reported?.at = now
    guard isNews else { return }
    let wasTaken = output.send(
      .state(id: id, state: state, reason: state == .waiting ? reason : "", endpoint: endpoint, counters))
    reported = (counters, now, wasTaken)
  }

  /// Whether a report is due.
  package enum Due: Equatable, Sendable {
    case no
    /// Yes, if the totals have changed.
    case ifMoved
    /// Yes, because the module did not take the last report.
    case always
  }

  /// Returns whether a report is due: at most once per `interval`.
  package func isDue(now: MonotonicTime) -> Due {
    guard let reported, now - reported.at >= ForkReporter.interval else { return .no }
    return reported.wasTaken ? .ifMoved : .always
  }

  /// Sends the last message about the fork. `work` runs once the module has it.
  package func ended(_ reason: String, _ counters: ForkCounters, then work: @escaping @Sendable () -> Void) {
    output.send(.ended(id: id, reason: reason, counters), then: work)
  }

  // MARK: - Gaps

  /// Reports gaps to the module, and their sum to the log.
  package mutating func reportGaps(_ gaps: [Gap], now: MonotonicTime) {
    guard !gaps.isEmpty else { return }
    sendGaps(adding: gaps)
    if let line = lines.noteGaps(gaps, now: now) { output.send(line) }
  }

  /// Sends gaps to the module, after those that it did not take before. Writes nothing to the log.
  package mutating func sendGaps(adding gaps: [Gap] = []) {
    gapsUnreported += gaps
    while let gap = gapsUnreported.first, output.send(.gap(id: id, gap)) { gapsUnreported.removeFirst() }
    gapsUnreported.removeLast(max(0, gapsUnreported.count - ForkReporter.gapsMax))
  }

  /// Logs the line about gaps if it is due. `isLast`: it is due in any case.
  package mutating func logGaps(now: MonotonicTime, isLast: Bool = false) {
    if let line = lines.dueGapLine(now: now, isLast: isLast) { output.send(line) }
  }

  // MARK: - Texts

  /// Sends a text of the server to the module, unless there are too many. Returns the number of dropped texts so far.
  /// Texts that belong to the dialect do not come here.
  package mutating func textReceived(_ text: String, now: MonotonicTime) -> UInt64 {
    // In this order: every text counts for the server's own limit, only admitted ones for the limit of all servers.
    if texts.admit(now: now), textLimit.admit(now: now, recent: texts.recent) {
      let bytes = Array(text.utf8)
      let message = EngineMessage.text(
        id: id, text: cut(bytes, to: ServerTexts.bytesMax), length: UInt64(bytes.count), dropped: texts.dropped)
      if output.send(message) { return texts.dropped }
    }
    return countDrop(now: now)
  }

  /// Sends what the server has recognized to the module. Returns the number of dropped texts so far.
  ///
  /// A final result counts as a text. A partial one is dropped sooner, so that it takes no final one's place, and
  /// without being counted: the next result replaces it. One that says the same as the speaker's last is no news; and
  /// blanks are no words.
  package mutating func transcriptReceived(
    _ transcript: Transcript, of stream: StreamDescription, now: MonotonicTime
  ) -> UInt64 {
    let report = TranscriptReport(transcript, of: stream)
    let reported = partials.firstIndex { $0.speaker == report.speaker }
    let isNews = report.isFinal || reported.map { partials[$0].text != report.text } ?? true
    if report.isFinal, let reported { partials.remove(at: reported) }
    guard isNews, report.text.contains(where: { $0 > UInt8(ascii: " ") }) else { return texts.dropped }
    guard admit(report, now: now), output.send(.transcript(id: id, report, dropped: texts.dropped)) else {
      return report.isFinal ? countDrop(now: now) : texts.dropped
    }
    guard !report.isFinal else { return texts.dropped }
    if let reported { partials.remove(at: reported) }
    partials.append((report.speaker, report.text))
    return texts.dropped
  }

  private mutating func admit(_ report: TranscriptReport, now: MonotonicTime) -> Bool {
    guard report.isFinal else {
      return texts.admit(now: now, isPartial: true) && textLimit.admit(now: now, recent: ServerTexts.perSecond)
    }
    return texts.admit(now: now) && textLimit.admit(now: now, recent: texts.recent)
  }

  /// Counts a dropped text, and logs the first one. Returns the number so far.
  private mutating func countDrop(now: MonotonicTime) -> UInt64 {
    if texts.countDrop(now: now) { output.send(lines.textsDropped()) }
    return texts.dropped
  }

  // MARK: - Log

  /// Logs one of `lines`, or nothing.
  package func log(_ line: EngineMessage?) {
    if let line { output.send(line) }
  }

  /// Logs once that the cursor cannot be saved.
  package mutating func cursorFailed() {
    guard !hasLoggedCursorFailure else { return }
    hasLoggedCursorFailure = true
    output.send(lines.cursorFailed())
  }
}
