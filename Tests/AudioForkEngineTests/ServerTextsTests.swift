// SPDX-License-Identifier: Apache-2.0
import AudioForkEngine
import Testing

@Suite("Texts of the server")
struct ServerTextsTests {
  private static let second: Int64 = 1_000_000_000

  @Test("Fifty pass at once, and fifty more in each second after that")
  func rate() {
    var texts = ServerTexts(dropped: 0)
    let atOnce = (0..<80).filter { _ in texts.admit(now: 5) }.count
    let soon = (0..<80).filter { _ in texts.admit(now: 5 + Self.second / 2) }.count
    let afterAnHour = (0..<200).filter { _ in texts.admit(now: 3600 * Self.second) }.count
    let paced = (0..<10).filter { texts.admit(now: 3600 * Self.second + Int64($0) * Self.second / 50) }.count
    // A pause of an hour is worth no more than a second.
    #expect([atOnce, soon, afterAnHour, paced] == [50, 25, 50, 9])
  }

  @Test("A clock that stands or goes back gives nothing and breaks nothing")
  func clock() {
    var texts = ServerTexts(dropped: 0)
    for _ in 0..<50 { _ = texts.admit(now: 100) }
    let answer1 = texts.admit(now: 50)
    #expect(!answer1)
    let answer2 = texts.admit(now: Int64.min)
    #expect(!answer2)
  }

  @Test("Dropping is told once in a spell, and every message of it is counted")
  func spells() {
    var texts = ServerTexts(dropped: 7)
    let answer3 = texts.drop(now: 0)
    #expect(answer3)
    let answer4 = texts.drop(now: Self.second)
    #expect(!answer4)
    let answer5 = texts.drop(now: 10 * Self.second)
    #expect(!answer5)
    let answer6 = texts.drop(now: 20 * Self.second)
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

@Suite("Choice of the endpoint")
struct EndpointChoiceTests {
  @Test("Failures go through the list in order")
  func order() {
    var choice = EndpointChoice(count: 3)
    let indices = (0..<5).map { _ in
      defer { _ = choice.attemptFailed(isPermanent: false) }
      return choice.index
    }
    #expect(indices == [0, 1, 2, 0, 1])
  }

  @Test("All hope is gone when every endpoint in turn has refused for good, and not before")
  func refusals() {
    var choice = EndpointChoice(count: 2)
    let answer7 = choice.attemptFailed(isPermanent: true)
    #expect(!answer7)
    let answer8 = choice.attemptFailed(isPermanent: false)
    #expect(!answer8)
    let answer9 = choice.attemptFailed(isPermanent: true)
    #expect(!answer9)
    choice.connected()
    let answer10 = choice.attemptFailed(isPermanent: true)
    #expect(!answer10)
    let answer11 = choice.attemptFailed(isPermanent: true)
    #expect(answer11)
    var only = EndpointChoice(count: 1)
    let answer12 = only.attemptFailed(isPermanent: true)
    #expect(answer12)
  }

  @Test("After a good connection the first is tried again, after a short one the next")
  func lost() {
    var choice = EndpointChoice(count: 3)
    _ = choice.attemptFailed(isPermanent: false)
    choice.connected()
    choice.connectionLost(wasStable: false)
    #expect(choice.index == 2)
    choice.connectionLost(wasStable: true)
    #expect(choice.index == 0)
  }
}
