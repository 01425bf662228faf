// SPDX-License-Identifier: Apache-2.0

/// Captured samples that were reported as missing, by index among the captured ones of their direction.
package struct ReportedGap: Hashable, Sendable {
  package let range: Range<Int>
  /// The fork ended before their delivery was confirmed: they may have arrived.
  package let isUndelivered: Bool

  package init(_ range: Range<Int>, isUndelivered: Bool = false) {
    self.range = range
    self.isUndelivered = isUndelivered
  }
}

/// What became of the samples of one direction: the invariants I1 to I4 of delivery, from what the server's files hold.
package struct DeliveryAccount: Sendable, Equatable {
  /// Samples of the signal that arrived, each counted once.
  package var delivered = 0
  /// Samples that arrived again.
  package var repeated = 0
  /// The longest stretch that came again at once.
  package var longestRepeat = 0
  /// Samples in gaps that did not arrive.
  package var inGaps = 0
  /// Samples that were lost without a word: neither arrived nor in a gap.
  package var unaccounted = 0
  /// Samples that are no part of the signal.
  package var foreign = 0
  /// Samples that were reported as missing for good, and arrived all the same.
  package var contradicted = 0
  /// Places at which the order went back inside of one file.
  package var wentBack = 0
  /// Samples of fill.
  package var zeros = 0
  /// One past the last captured sample that anything is known of.
  package var end = 0

  /// Takes the files of one direction apart, each a connection's or the whole fork's.
  package init(of files: [[Int16]], source: SourceSignal, gaps: [ReportedGap]) {
    var arrived = [Bool](repeating: false, count: source.samples.count)
    for file in files { read(file, source, &arrived) }
    let reported = Set(gaps)
    var lost = [Bool](repeating: false, count: source.samples.count)
    for gap in reported {
      for index in gap.range where index < lost.count {
        lost[index] = true
        if arrived[index], !gap.isUndelivered { contradicted += 1 }
      }
      // Beyond the signal nothing was said: a gap there is one of samples that nobody captured.
      if gap.range.upperBound > lost.count { foreign += gap.range.upperBound - max(lost.count, gap.range.lowerBound) }
    }
    end = (arrived.indices.last { arrived[$0] || lost[$0] } ?? -1) + 1
    for index in 0..<end {
      if arrived[index] { delivered += 1 } else if lost[index] { inGaps += 1 } else { unaccounted += 1 }
    }
  }

  private mutating func read(_ file: [Int16], _ source: SourceSignal, _ arrived: inout [Bool]) {
    var at = 0
    var next = 0
    var again = 0
    while at < file.count {
      if file[at] == 0 {
        zeros += 1
        at += 1
        continue
      }
      if next >= source.samples.count || file[at] != source.samples[next] || !follows(file, at, source, next) {
        guard let place = source.place(of: file[at..<min(at + 4, file.count)]) else {
          foreign += 1
          at += 1
          continue
        }
        if place < next { wentBack += 1 }
        next = place
      }
      if arrived[next] { again += 1 } else { again = 0 }
      if again > 0 { repeated += 1 }
      longestRepeat = max(longestRepeat, again)
      arrived[next] = true
      next += 1
      at += 1
    }
  }

  /// One sample in 65,536 agrees by chance; the next one tells. At a file's or a piece's end there is none.
  private func follows(_ file: [Int16], _ at: Int, _ source: SourceSignal, _ next: Int) -> Bool {
    guard at + 1 < file.count, next + 1 < source.samples.count, file[at + 1] != 0 else { return true }
    return file[at + 1] == source.samples[next + 1]
      || source.place(of: file[at..<min(at + 4, file.count)]) == nil
  }
}
