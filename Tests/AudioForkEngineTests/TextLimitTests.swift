// SPDX-License-Identifier: Apache-2.0
import AudioForkMedia
import AudioForkEngine
import AudioForkTestKit
import Testing

@Suite("Texts of all servers together")
struct TextLimitTests {
  private static let second: Int64 = 1_000_000_000

  /// Texts that pass of servers that say so many a second for ten seconds, after ten that are not counted: a second's.
  private func passed(_ rates: [Int]) -> [Int] {
    var limit = TextLimit()
    var servers = rates.map { _ in ServerTexts(dropped: 0) }
    var passed = rates.map { _ in 0 }
    var said = rates.map { _ in 0 }
    for step in 0..<2000 {
      let now = Int64(step) * Self.second / 100
      for index in rates.indices {
        while said[index] * 100 < rates[index] * (step + 1) {
          said[index] += 1
          guard servers[index].admit(now: at(now)), limit.admit(now: at(now), recent: servers[index].recent) else {
            continue
          }
          if step >= 1000 { passed[index] += 1 }
        }
      }
    }
    return passed.map { $0 / 10 }
  }

  @Test("Five hundred a second pass, however many servers there are, and one alone may say fifty")
  func rate() {
    #expect(passed([50]) == [50])
    #expect(passed([200]) == [50])
    #expect(passed([Int](repeating: 50, count: 10)).reduce(0, +) >= 490)
    let many = passed([Int](repeating: 100, count: 100)).reduce(0, +)
    #expect((490...500).contains(many), "\(many)")
  }

  @Test("Servers that say little are heard whole beside a hundred that say much")
  func fair() {
    let passed = passed([Int](repeating: 50, count: 100) + [1, 2, 5, 10])
    #expect(passed.suffix(4) == [1, 2, 5, 10], "\(passed)")
    #expect(passed.reduce(0, +) <= 500)
    let half = self.passed([Int](repeating: 25, count: 100) + [1, 2, 5])
    #expect(half.suffix(3) == [1, 2, 5], "\(half)")
  }

  @Test("A clock that stands or goes back gives nothing and breaks nothing")
  func clock() {
    var limit = TextLimit()
    var count = 0
    while limit.admit(now: 100, recent: 0) { count += 1 }
    #expect(count == 500)
    #expect(limit.admit(now: 50, recent: 0) == false)
    #expect(limit.admit(now: at(Int64.min), recent: 0) == false)
    #expect(limit.admit(now: at(100 + Self.second), recent: 50) == true)
  }
}
