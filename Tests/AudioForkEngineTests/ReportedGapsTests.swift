// SPDX-License-Identifier: Apache-2.0
import AudioForkEngine
import AudioForkTestKit
import Testing

@Suite("Reported gaps")
struct ReportedGapsTests {
  private func expect(_ gaps: inout ReportedGaps, _ gap: Range<UInt64>, _ new: [Range<UInt64>]) {
    let found = gaps.report(gap)
    #expect(found == new, "\(gap)")
  }

  @Test("Of a gap only what is new is reported: before, between and behind what was")
  func parts() {
    var gaps = ReportedGaps()
    expect(&gaps, 10..<20, [10..<20])
    expect(&gaps, 10..<20, [])
    expect(&gaps, 5..<20, [5..<10])
    expect(&gaps, 30..<40, [30..<40])
    expect(&gaps, 0..<50, [0..<5, 20..<30, 40..<50])
    #expect(gaps.ranges == [0..<50])
    expect(&gaps, 7..<7, [])
  }

  @Test("What no replay can reach is forgotten, and only that")
  func forgets() {
    var gaps = ReportedGaps()
    _ = gaps.report(10..<20)
    _ = gaps.report(30..<40)
    gaps.forget(before: 20)
    #expect(gaps.ranges == [30..<40])
    gaps.forget(before: 39)
    expect(&gaps, 30..<40, [])
  }

  @Test("Nothing is ever reported twice, the list stays short, and it can always be read back", arguments: 0..<20)
  func random(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    var gaps = ReportedGaps()
    var reported: Set<UInt64> = []
    for _ in 0..<300 {
      let start = UInt64.random(in: 0..<2000, using: &random)
      let gap = start..<(start + UInt64.random(in: 1..<30, using: &random))
      for part in gaps.report(gap) {
        for sample in part {
          #expect(gap.contains(sample))
          let isNew = reported.insert(sample).inserted
          #expect(isNew, "seed \(seed)")
        }
      }
      #expect(gaps.ranges.count <= ReportedGaps.rangesMax)
      #expect(ReportedGaps(gaps.ranges) == gaps)
    }
  }

  @Test("More ranges than are kept are joined at the old end, and none of them is reported again")
  func full() {
    var gaps = ReportedGaps()
    let all = (0..<UInt64(ReportedGaps.rangesMax + 45)).map { ($0 * 3)..<($0 * 3 + 1) }
    for gap in all { expect(&gaps, gap, [gap]) }
    #expect(gaps.ranges.count == ReportedGaps.rangesMax)
    #expect(gaps.ranges.first == 0..<136)
    for gap in all { expect(&gaps, gap, []) }
  }

  @Test("What was reported behind a sample is counted from there")
  func count() {
    var gaps = ReportedGaps()
    for gap in [10..<20, 30..<40] as [Range<UInt64>] { expect(&gaps, gap, [gap]) }
    #expect([0, 10, 15, 20, 25, 39, 40, .max].map { gaps.count(from: $0) } == [20, 20, 15, 10, 10, 1, 0, 0])
  }

  @Test("Ranges that cannot have been written are refused")
  func refused() {
    #expect(ReportedGaps([3..<3]) == nil)
    #expect(ReportedGaps([3..<5, 4..<6]) == nil)
    #expect(ReportedGaps([5..<6, 1..<2]) == nil)
    #expect(ReportedGaps((0..<256).map { UInt64($0 * 3)..<UInt64($0 * 3 + 1) }) == nil)
  }
}
