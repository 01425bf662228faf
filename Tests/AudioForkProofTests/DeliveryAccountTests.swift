// SPDX-License-Identifier: Apache-2.0
import AudioForkMedia
import AudioForkProof
import Testing

@Suite("The account of what was delivered")
struct DeliveryAccountTests {
  private let source = SourceSignal(seed: 5, direction: .in, seconds: 2)
  private func part(_ range: Range<Int>) -> [Int16] { Array(source.samples[range]) }
  private let fill = [Int16](repeating: 0, count: 400)

  @Test("What arrived whole is delivered, fill is none of it")
  func whole() {
    let account = DeliveryAccount(of: [fill + part(0..<5000) + fill + part(5000..<9000)], source: source, gaps: [])
    #expect(account.delivered == 9000)
    #expect(account.end == 9000)
    #expect(account.zeros == 800)
    #expect(account.unaccounted + account.repeated + account.foreign + account.wentBack == 0)
  }

  @Test("A sample that is missing without a word is unaccounted, wherever it is")
  func missing() {
    #expect(DeliveryAccount(of: [part(1..<500)], source: source, gaps: []).unaccounted == 1)
    #expect(DeliveryAccount(of: [part(0..<300) + part(301..<500)], source: source, gaps: []).unaccounted == 1)
    #expect(DeliveryAccount(of: [part(0..<300), part(460..<900)], source: source, gaps: []).unaccounted == 160)
  }

  @Test("A gap accounts for what is missing, exactly")
  func gap() {
    let files = [part(0..<300) + fill + part(460..<900)]
    let exact = DeliveryAccount(of: files, source: source, gaps: [ReportedGap(300..<460)])
    #expect(exact.unaccounted == 0)
    #expect(exact.inGaps == 160)
    #expect(exact.contradicted == 0)
    #expect(DeliveryAccount(of: files, source: source, gaps: [ReportedGap(301..<460)]).unaccounted == 1)
    #expect(DeliveryAccount(of: files, source: source, gaps: [ReportedGap(299..<460)]).contradicted == 1)
    let atEnd = DeliveryAccount(
      of: files, source: source, gaps: [ReportedGap(300..<460), ReportedGap(880..<1000, isUndelivered: true)])
    #expect(atEnd.end == 1000)
    #expect(atEnd.delivered == 740)
    #expect(atEnd.inGaps == 260)
    #expect(atEnd.contradicted == 0)
  }

  @Test("What comes again is counted, in one file and over several")
  func again() {
    let over = DeliveryAccount(of: [part(0..<800), part(600..<1000)], source: source, gaps: [])
    #expect(over.repeated == 200)
    #expect(over.longestRepeat == 200)
    #expect(over.wentBack == 0)
    let inside = DeliveryAccount(of: [part(0..<800) + part(600..<1000)], source: source, gaps: [])
    #expect(inside.repeated == 200)
    #expect(inside.wentBack == 1)
  }

  @Test("Samples of something else are seen")
  func foreign() {
    let other = SourceSignal(seed: 6, direction: .in, seconds: 1)
    let account = DeliveryAccount(
      of: [part(0..<800) + other.samples[0..<80] + part(800..<900)], source: source, gaps: [])
    #expect(account.foreign > 70)
    #expect(DeliveryAccount(of: [], source: source, gaps: [ReportedGap(15_900..<16_100)]).foreign == 100)
  }
}
