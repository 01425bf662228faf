// SPDX-License-Identifier: Apache-2.0

/// Captured samples of one direction that have been reported as missing and that a replay could find missing again.
///
/// A replay after a break may find more missing than the first passage did, because the writer has gone on
/// meanwhile: behind what was reported, and also before it. What is new in a gap is what is reported of it.
package struct ReportedGaps: Equatable, Sendable {
  /// More than a replay usually meets, even behind a server that is always too slow, and 4 KiB of the cursor; the
  /// number has one byte there. Beyond it the two oldest are taken together, with what is between them.
  package static let rangesMax = 255

  /// In order, none touching the next.
  package private(set) var ranges: [Range<UInt64>]

  package init() { ranges = [] }

  /// As an earlier engine left them. Nil for what `ranges` cannot have been.
  package init?(_ ranges: [Range<UInt64>]) {
    guard ranges.count <= ReportedGaps.rangesMax, ranges.allSatisfy({ !$0.isEmpty }),
      zip(ranges, ranges.dropFirst()).allSatisfy({ $0.upperBound < $1.lowerBound })
    else { return nil }
    self.ranges = ranges
  }

  /// Notes a gap and returns the parts of it that had not been reported.
  package mutating func report(_ gap: Range<UInt64>) -> [Range<UInt64>] {
    guard !gap.isEmpty else { return [] }
    var new: [Range<UInt64>] = []
    var start = gap.lowerBound
    for known in ranges where known.upperBound > gap.lowerBound && known.lowerBound < gap.upperBound {
      if known.lowerBound > start { new.append(start..<known.lowerBound) }
      start = max(start, known.upperBound)
    }
    if start < gap.upperBound { new.append(start..<gap.upperBound) }
    if !new.isEmpty { insert(gap) }
    return new
  }

  /// No replay will begin before this captured sample any more.
  package mutating func forget(before sample: UInt64) { ranges.removeAll { $0.upperBound <= sample } }

  /// Reported samples from this captured sample on: those that a replay from there has not come to yet.
  package func count(from sample: UInt64) -> UInt64 {
    ranges.reduce(0) { sum, range in
      range.upperBound > sample ? sum &+ (range.upperBound &- max(range.lowerBound, sample)) : sum
    }
  }

  private mutating func insert(_ gap: Range<UInt64>) {
    var whole = gap
    var others: [Range<UInt64>] = []
    for known in ranges {
      if known.upperBound >= gap.lowerBound, known.lowerBound <= gap.upperBound {
        whole = min(whole.lowerBound, known.lowerBound)..<max(whole.upperBound, known.upperBound)
      } else {
        others.append(known)
      }
    }
    others.insert(whole, at: others.firstIndex { $0.lowerBound > whole.lowerBound } ?? others.endIndex)
    if others.count > ReportedGaps.rangesMax {
      let joined = others[0].lowerBound..<others[1].upperBound
      others.replaceSubrange(0...1, with: [joined])
    }
    ranges = others
  }
}
