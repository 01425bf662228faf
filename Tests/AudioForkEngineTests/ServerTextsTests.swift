// SPDX-License-Identifier: Apache-2.0
import AudioForkCore
import AudioForkEngine
import AudioForkTestKit
import Testing

@Suite("Texts of the server")
struct ServerTextsTests {
  private static let second: Int64 = 1_000_000_000

  @Test("Fifty pass at once, and fifty more in each second after that")
  func rate() {
    var texts = ServerTexts(dropped: 0)
    let atOnce = (0..<80).filter { _ in texts.admit(now: 5) }.count
    let soon = (0..<80).filter { _ in texts.admit(now: at(5 + Self.second / 2)) }.count
    let afterAnHour = (0..<200).filter { _ in texts.admit(now: at(3600 * Self.second)) }.count
    let paced = (0..<10).filter { texts.admit(now: at(3600 * Self.second + Int64($0) * Self.second / 50)) }.count
    // A pause of an hour is worth no more than a second.
    #expect([atOnce, soon, afterAnHour, paced] == [50, 25, 50, 9])
  }

  @Test("A clock that stands or goes back gives nothing and breaks nothing")
  func clock() {
    var texts = ServerTexts(dropped: 0)
    for _ in 0..<50 { _ = texts.admit(now: 100) }
    let answer1 = texts.admit(now: 50)
    #expect(!answer1)
    let answer2 = texts.admit(now: at(Int64.min))
    #expect(!answer2)
  }

  @Test("Dropping is told once in a spell, and every message of it is counted")
  func spells() {
    var texts = ServerTexts(dropped: 7)
    let answer3 = texts.drop(now: 0)
    #expect(answer3)
    let answer4 = texts.drop(now: at(Self.second))
    #expect(!answer4)
    let answer5 = texts.drop(now: at(10 * Self.second))
    #expect(!answer5)
    let answer6 = texts.drop(now: at(20 * Self.second))
    #expect(answer6)
    #expect(texts.dropped == 11)
  }

  @Test("A long text is cut between two characters")
  func cut() {
    let short = [UInt8]("né".utf8)
    #expect(ServerTexts.cut(short) == short)
    let exact = [UInt8](repeating: 65, count: ServerTexts.bytesMax)
    #expect(ServerTexts.cut(exact) == exact)
    // A character of four bytes across the limit.
    let long = [UInt8](repeating: 65, count: ServerTexts.bytesMax - 2) + [UInt8]("😀 and more".utf8)
    #expect(ServerTexts.cut(long) == [UInt8](repeating: 65, count: ServerTexts.bytesMax - 2))
  }
}

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
          guard servers[index].admit(now: at(now)), limit.admit(now: at(now), recent: servers[index].recent) else { continue }
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

@Suite("Choice of the endpoint")
struct EndpointChoiceTests {
  @Test("Failures go through the list in order")
  func order() {
    var choice = EndpointChoice(count: 3)
    let indices = (0..<5).map { _ in
      defer { _ = choice.attemptFailed(isPermanent: false, now: 0) }
      return choice.index
    }
    #expect(indices == [0, 1, 2, 0, 1])
  }

  @Test("All hope is gone when every endpoint in turn has refused for good, and not before")
  func refusals() {
    var choice = EndpointChoice(count: 2)
    let answer7 = choice.attemptFailed(isPermanent: true, now: 0)
    #expect(!answer7)
    let answer8 = choice.attemptFailed(isPermanent: false, now: 0)
    #expect(!answer8)
    let answer9 = choice.attemptFailed(isPermanent: true, now: 0)
    #expect(!answer9)
    choice.connected()
    let answer10 = choice.attemptFailed(isPermanent: true, now: 0)
    #expect(!answer10)
    let answer11 = choice.attemptFailed(isPermanent: true, now: 0)
    #expect(answer11)
    var only = EndpointChoice(count: 1)
    let answer12 = only.attemptFailed(isPermanent: true, now: 0)
    #expect(answer12)
  }

  @Test("After a good connection the first is tried again, after a short one the next")
  func lost() {
    var choice = EndpointChoice(count: 3)
    _ = choice.attemptFailed(isPermanent: false, now: 0)
    choice.connected()
    choice.connectionLost(wasStable: false)
    #expect(choice.index == 2)
    choice.connectionLost(wasStable: true)
    #expect(choice.index == 0)
  }
}
