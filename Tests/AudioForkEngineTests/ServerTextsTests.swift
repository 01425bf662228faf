// SPDX-License-Identifier: Apache-2.0
import AudioForkBytes
import AudioForkMedia
import AudioForkEngine
import AudioForkLink
import AudioForkSurface
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
    #expect(texts.admit(now: 50) == false)
    #expect(texts.admit(now: at(Int64.min)) == false)
  }

  @Test("Dropping is told once in ten seconds, and every message of it is counted")
  func spells() {
    var texts = ServerTexts(dropped: 7)
    #expect(texts.countDrop(now: 0) == true)
    #expect(texts.countDrop(now: at(Self.second)) == false)
    #expect(texts.countDrop(now: at(10 * Self.second)) == false)
    #expect(texts.countDrop(now: at(20 * Self.second)) == true)
    #expect(texts.dropped == 11)
  }

  @Test("A long text is cut between two characters")
  func longText() {
    let short = [UInt8]("né".utf8)
    #expect(cut(short, to: ServerTexts.bytesMax) == short)
    let exact = [UInt8](repeating: 65, count: ServerTexts.bytesMax)
    #expect(cut(exact, to: ServerTexts.bytesMax) == exact)
    // A character of four bytes across the limit.
    let long = [UInt8](repeating: 65, count: ServerTexts.bytesMax - 2) + [UInt8]("😀 and more".utf8)
    #expect(cut(long, to: ServerTexts.bytesMax) == [UInt8](repeating: 65, count: ServerTexts.bytesMax - 2))
  }
}
