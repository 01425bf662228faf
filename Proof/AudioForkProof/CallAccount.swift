// SPDX-License-Identifier: Apache-2.0
internal import AudioForkMedia

/// What became of everything that one call's fork captured, and what of it breaks a promise: from the fork's events,
/// from the server's files and from what was said. No I/O.
package struct CallAccount: Sendable {
  /// What is known of a call whose fork has ended.
  package struct Evidence: Sendable {
    /// The fork's AudioForkStop, by header.
    package var stop: [String: String]
    /// Its AudioForkGap events.
    package var gaps: [[String: String]]
    /// The server's files in their order: samples of both directions in turns.
    package var recordings: [[Int16]]
    /// What was said in directions in and out.
    package var sources: [SourceSignal]
    /// Of dialect audiofork: one file, nothing twice, and the stream's positions are known.
    package var isV1: Bool
    /// An outage longer than the buffer explains gaps.
    package var isExplained: Bool
    /// The position that the server was told with `stop`; nil where that did not come.
    package var stopPosition: Int?

    package init(
      stop: [String: String], gaps: [[String: String]], recordings: [[Int16]], sources: [SourceSignal], isV1: Bool,
      isExplained: Bool, stopPosition: Int?
    ) {
      self.stop = stop
      self.gaps = gaps
      self.recordings = recordings
      self.sources = sources
      self.isV1 = isV1
      self.isExplained = isExplained
      self.stopPosition = stopPosition
    }

    /// A number of AudioForkStop; -1 where it is missing.
    fileprivate func reportedCount(_ name: String) -> Int { Int(stop[name] ?? "") ?? -1 }
    fileprivate var captured: Int { reportedCount("Captured") }
    /// The fork has delivered everything, by its own account.
    fileprivate var isDone: Bool { stop["Reason"]?.hasPrefix("done") == true }
  }

  private struct Part {
    let word: String
    var account: DeliveryAccount
  }

  /// What the call adds to the findings of a run.
  package private(set) var findings = Findings()
  /// What breaks a promise, in words; empty: nothing.
  package private(set) var complaints: [String] = []

  /// What a server of dialect raw may get again at once, sample frames: two seconds are on their way at most, and what
  /// is decided in a tick.
  package static let repeatMax = 18_000
  /// Samples of a call that may be missing before the hook.
  private static let notCapturedMax = 800
  /// Samples in a frame of Asterisk's.
  private static let frameSamples = 160

  package init(_ evidence: Evidence) {
    if evidence.isV1, evidence.recordings.count > 1 {
      complaints.append("\(evidence.recordings.count) files of one fork")
    }
    var parts = Self.parts(evidence)
    leaveOutNotCaptured(&parts, evidence)
    for part in parts { judge(part.account, part.word, evidence) }
    compareNumbers(parts.map(\.account), evidence)
    if evidence.isV1 { compareStream(parts.map(\.account), evidence) }
    judgeGaps(evidence)
  }

  /// The account of each direction.
  private static func parts(_ evidence: Evidence) -> [Part] {
    Direction.allCases.map { direction in
      let word = direction == .in ? "in" : "out"
      let reported = evidence.gaps.filter { $0["GapDirection"] == word }.map { gap in
        let start = Int(gap["Start"] ?? "") ?? -1
        let count = Int(gap["Count"] ?? "") ?? -1
        return ReportedGap(
          max(start, 0)..<max(start + count, max(start, 0)),
          isUndelivered: gap["Reason"]?.hasPrefix("undelivered") == true)
      }
      let channel = Int(direction.rawValue)
      let halves = evidence.recordings.map { file in stride(from: channel, to: file.count, by: 2).map { file[$0] } }
      return Part(word: word, account: DeliveryAccount(of: halves, source: evidence.sources[channel], gaps: reported))
    }
  }

  /// What Asterisk itself had no frame for was never ours to deliver. Behind a gap nobody could tell which is which.
  private mutating func leaveOutNotCaptured(_ parts: inout [Part], _ evidence: Evidence) {
    let arrived = parts.reduce(0) { $0 + $1.account.delivered }
    guard evidence.gaps.isEmpty, arrived == evidence.captured else { return }
    for index in parts.indices {
      let missing = parts[index].account.unaccounted
      // Whole frames, and few: more would be a fault between Asterisk's frames and the ring.
      guard missing % Self.frameSamples == 0, missing <= Self.notCapturedMax else { continue }
      findings.notCaptured += missing
      parts[index].account.end -= missing
      parts[index].account.unaccounted = 0
    }
  }

  /// One direction.
  private mutating func judge(_ account: DeliveryAccount, _ word: String, _ evidence: Evidence) {
    findings.delivered += account.delivered
    findings.inGaps += account.inGaps
    findings.unaccounted += account.unaccounted
    if evidence.isV1 {
      findings.repeatedV1 += account.repeated
    } else {
      findings.repeatedRaw += account.repeated
      findings.longestRepeat = max(findings.longestRepeat, account.longestRepeat)
    }
    if account.unaccounted > 0 { complaints.append("\(word): \(account.unaccounted) samples are lost without a word") }
    if account.foreign > 0 { complaints.append("\(word): \(account.foreign) foreign samples") }
    if account.wentBack > 0 { complaints.append("\(word): the order goes back \(account.wentBack) times in a file") }
    // What was on its way when the outage began may have arrived, and was overwritten before anybody could confirm it.
    if account.contradicted > (evidence.isExplained ? Self.repeatMax : 0) {
      complaints.append("\(word): \(account.contradicted) samples in gaps have arrived")
    }
    if account.longestRepeat > Self.repeatMax {
      complaints.append("\(word): \(account.longestRepeat) samples came again at once")
    }
    if evidence.isV1, account.repeated > 0 { complaints.append("\(word): \(account.repeated) samples came twice") }
  }

  /// The numbers of AudioForkStop against files and gaps.
  private mutating func compareNumbers(_ accounts: [DeliveryAccount], _ evidence: Evidence) {
    let captured = evidence.captured
    findings.captured += captured
    let known = accounts.reduce(0) { $0 + $1.end }
    if known != captured {
      complaints.append("files and gaps know of \(known) samples, \(captured) were captured")
      if known < captured { findings.unaccounted += captured - known }
    }
    if evidence.reportedCount("Delivered") + evidence.reportedCount("Lost") != captured {
      complaints.append("Delivered and Lost are not Captured")
    }
    let inGaps = evidence.gaps.reduce(0) { $0 + (Int($1["Count"] ?? "") ?? 0) }
    if inGaps != evidence.reportedCount("Lost") {
      complaints.append("gaps of \(inGaps) samples were told, Lost says \(evidence.reportedCount("Lost"))")
    }
  }

  /// Positions and fill of a stream of dialect audiofork.
  private mutating func compareStream(_ accounts: [DeliveryAccount], _ evidence: Evidence) {
    let position = evidence.reportedCount("Position")
    if evidence.isDone, let file = evidence.recordings.first, file.count / 2 != position {
      complaints.append("the file has \(file.count / 2) sample frames, the stream \(position)")
    }
    if let told = evidence.stopPosition, told != position {
      complaints.append("stop named position \(told), the stream has \(position)")
    }
    // No sample of the signals is zero: what is one was made up, and nothing that was made up is taken for audio.
    let fill = accounts.reduce(0) { $0 + $1.zeros }
    let contradicted = accounts.reduce(0) { $0 + $1.contradicted }
    if evidence.isDone, fill + contradicted != evidence.reportedCount("Fill") {
      complaints.append("the file has \(fill) samples of fill, the stream \(evidence.reportedCount("Fill"))")
    }
  }

  private mutating func judgeGaps(_ evidence: Evidence) {
    findings.gaps += evidence.gaps.count
    if evidence.gaps.contains(where: { (Int($0["Count"] ?? "") ?? 0) < 1 }) { complaints.append("an empty gap") }
    guard !evidence.gaps.isEmpty, !evidence.isExplained else { return }
    findings.unexplainedGaps += evidence.gaps.count
    complaints.append("gaps without an outage longer than the buffer: \(evidence.gaps)")
  }
}
