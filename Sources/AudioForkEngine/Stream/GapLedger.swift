// SPDX-License-Identifier: Apache-2.0
package import AudioForkMedia

/// The gaps of a stream: noted, reported, and waiting to be taken. No I/O, no clock.
///
/// Every missing sample is reported once, even if a replay or the next engine meets its gap again. The samples of all
/// reported gaps add up to `lost`.
package struct GapLedger: Sendable {
  /// Reported samples that a replay could find missing again, per direction.
  package private(set) var reportedIn: ReportedGaps
  package private(set) var reportedOut: ReportedGaps
  /// Number of gaps reported so far.
  package private(set) var count: UInt64
  /// Captured samples that were sent, not confirmed before a break, and not sent again.
  package private(set) var skipped: UInt64
  /// Gaps that the stream has noted since they were reported last.
  private var noted: [Gap] = []
  /// New parts of reported gaps that were not taken yet.
  private var untaken: [Gap] = []

  /// Continues the ledger of an earlier engine. `keepsSkipped`: the stream continues behind what was skipped.
  package init(_ record: CursorRecord = CursorRecord(), keepsSkipped: Bool = true) {
    reportedIn = record.reportedIn
    reportedOut = record.reportedOut
    count = record.gaps
    skipped = keepsSkipped ? record.skipped : 0
  }

  /// Notes gaps that the stream has passed.
  package mutating func note(_ gaps: [Gap]) { noted += gaps }

  /// Reports the gaps that were noted. Returns whether any part of them was new: then the ledger has to be saved before
  /// the gaps are taken.
  @discardableResult
  package mutating func reportNoted() -> Bool {
    guard !noted.isEmpty else { return false }
    var isNew = false
    for gap in noted where report(gap) > 0 { isNew = true }
    noted = []
    return isNew
  }

  /// Returns the new parts of reported gaps, each once.
  package mutating func take() -> [Gap] {
    guard !untaken.isEmpty else { return [] }
    defer { untaken = [] }
    return untaken
  }

  /// Reports audio that was sent and will not be sent again, although its delivery is not confirmed. It counts as
  /// rendered in the stream, so that it is added to `lost` here. Call `reportNoted` first: what is missing for another
  /// reason keeps that reason.
  package mutating func skip(_ gap: Gap) { skipped &+= report(gap) }

  /// Forgets gaps that no replay can find again: no replay begins before these totals.
  package mutating func forget(before confirmed: RenderCounters) {
    reportedIn.forget(before: confirmed.in.accounted)
    reportedOut.forget(before: confirmed.out.accounted)
  }

  /// Captured samples that are lost, both directions. `rendered`: totals of the stream where it is now. During a replay
  /// this includes the reported gaps that the replay has not noted again.
  package func lost(rendered: RenderCounters) -> UInt64 {
    rendered.lost &+ skipped &+ reportedIn.count(from: rendered.in.accounted)
      &+ reportedOut.count(from: rendered.out.accounted)
  }

  /// Enters a gap and returns how many of its samples had not been reported. A replay meets a gap again, and the writer
  /// may have made it longer at either end meanwhile.
  private mutating func report(_ gap: Gap) -> UInt64 {
    let missing = gap.start..<max(gap.start, gap.start &+ gap.count)
    let parts =
      switch gap.direction {
      case .in: reportedIn.report(missing)
      case .out: reportedOut.report(missing)
      }
    var samples: UInt64 = 0
    for part in parts {
      var new = gap
      new.start = part.lowerBound
      new.count = part.upperBound &- part.lowerBound
      untaken.append(new)
      samples &+= new.count
    }
    count &+= UInt64(parts.count)
    return samples
  }
}
