// SPDX-License-Identifier: Apache-2.0
import AudioForkEngine
import AudioForkTestKit
import Testing

/// Gives the same number again and again: the ends of a range.
private struct ConstantRandom: RandomNumberGenerator {
  let value: UInt64
  mutating func next() -> UInt64 { value }
}

struct BackoffTests {
  @Test("The first retry is at once, then ceilings double from 0.25 s up to the cap")
  func ceilings() {
    let backoff = Backoff(cap: .seconds(5))
    let expected: [Duration] = [
      .zero, .milliseconds(250), .milliseconds(500), .seconds(1), .seconds(2), .seconds(4), .seconds(5), .seconds(5),
    ]
    #expect((0...7).map { backoff.ceiling(attempt: $0) } == expected)
    #expect(backoff.ceiling(attempt: -3) == .zero)
    #expect(backoff.ceiling(attempt: Int.max) == .seconds(5))
  }

  @Test("Delays reach from zero to the ceiling and no further")
  func envelope() {
    let backoff = Backoff(cap: .seconds(3))
    // Not 0: drawing from a range rejects it, again and again.
    var least = ConstantRandom(value: 1)
    var most = ConstantRandom(value: UInt64.max)
    for attempt in 0...20 {
      #expect(backoff.delay(attempt: attempt, using: &least) == .zero)
      #expect(backoff.delay(attempt: attempt, using: &most) == backoff.ceiling(attempt: attempt))
    }
  }

  @Test("Delays are spread evenly, not bunched at the ceiling")
  func jitter() {
    let backoff = Backoff(cap: .seconds(5))
    var random = SeededRandom(seed: 1)
    let delays = (0..<4000).map { _ in backoff.delay(attempt: 3, using: &random) }
    for quarter in 0..<4 {
      let range = Duration.milliseconds(quarter * 250)..<Duration.milliseconds(quarter * 250 + 250)
      let share = delays.count(where: { range.contains($0) })
      #expect(share > 850 && share < 1150)
    }
  }

  @Test("A cap of zero, below the base or beyond all bounds is honored")
  func caps() {
    var random = SeededRandom(seed: 2)
    #expect(Backoff(cap: .zero).delay(attempt: 9, using: &random) == .zero)
    #expect(Backoff(cap: .seconds(-1)).delay(attempt: 9, using: &random) == .zero)
    #expect(Backoff(cap: .milliseconds(100)).ceiling(attempt: 9) == .milliseconds(100))
    let endless = Backoff(cap: .seconds(Int64.max))
    #expect(endless.delay(attempt: 200, using: &random) >= .zero)
  }
}

@Suite("Waits that a server asked for")
struct AskedWaitTests {
  private func draw(_ asked: Duration, cap: Duration) -> [Duration] {
    let backoff = Backoff(cap: cap)
    var random = SeededRandom(seed: 11)
    return (0..<2000).map { _ in backoff.delay(asked: asked, using: &random) }
  }

  @Test("A wait below the cap is never shorter than asked for, and up to a quarter longer")
  func belowTheCap() throws {
    let delays = draw(.seconds(8), cap: .seconds(60))
    let least = try #require(delays.min())
    let most = try #require(delays.max())
    #expect(least >= .seconds(8))
    #expect(most <= .seconds(10))
    // Those who were asked don't come all at once.
    #expect(least < .milliseconds(8100))
    #expect(most > .milliseconds(9900))
  }

  @Test("A wait beyond the cap is the cap or up to a quarter less", arguments: [5, 6, 60, 86_400])
  func beyondTheCap(asked: Int) throws {
    let delays = draw(.seconds(asked), cap: .seconds(5))
    let least = try #require(delays.min())
    let most = try #require(delays.max())
    #expect(least >= .milliseconds(3750))
    #expect(most <= .seconds(5))
    #expect(most > .milliseconds(4900))
    #expect(least < .milliseconds(3850))
  }

  @Test("Whatever is asked for, no wait is negative or longer than the cap")
  func bounds() {
    for asked in [Duration.zero, .nanoseconds(1), .milliseconds(1), .seconds(5), .seconds(3600), .seconds(Int64.max)] {
      for cap in [Duration.zero, .nanoseconds(3), .milliseconds(250), .seconds(5), .seconds(3600)] {
        #expect(draw(asked, cap: cap).allSatisfy { $0 >= .zero && $0 <= cap }, "\(asked) of at most \(cap)")
      }
    }
    #expect(draw(.seconds(-3), cap: .seconds(5)).allSatisfy { $0 == .zero })
    #expect(draw(.zero, cap: .seconds(5)).allSatisfy { $0 == .zero })
    #expect(draw(.seconds(9), cap: .seconds(-1)).allSatisfy { $0 == .zero })
  }
}
