// SPDX-License-Identifier: Apache-2.0
import AudioForkMedia
import AudioForkEngine
import AudioForkTestKit
import Testing

@Suite("Ping tolerance")
struct PingToleranceTests {
  private let second: Int64 = 1_000_000_000

  private func broke(_ tolerance: inout PingTolerance, pings: Int, isPolicy: Bool, now: Int64) -> Bool {
    tolerance.connectionEnded(pings: pings, isPolicy: isPolicy, now: at(now))
  }

  @Test("The second Close with 1008 within two minutes, however many pings it took, makes pings sparse, once")
  func policy() {
    var tolerance = PingTolerance()
    #expect(!broke(&tolerance, pings: 61, isPolicy: true, now: 0))
    #expect(!tolerance.isSparse)
    #expect(broke(&tolerance, pings: 58, isPolicy: true, now: 15 * second))
    #expect(tolerance.isSparse)
    #expect(!broke(&tolerance, pings: 61, isPolicy: true, now: 30 * second), "it was told")
    #expect(tolerance.isSparse)
    var rare = PingTolerance()
    #expect(!broke(&rare, pings: 61, isPolicy: true, now: 0))
    #expect(!broke(&rare, pings: 61, isPolicy: true, now: PingTolerance.window.count + 1))
    #expect(broke(&rare, pings: 61, isPolicy: true, now: PingTolerance.window.count + second))
  }

  @Test("Other breaks count when three in a row come at the same ping; what is between two of a kind begins anew")
  func others() {
    var equal = PingTolerance()
    #expect(!broke(&equal, pings: 61, isPolicy: false, now: 0))
    #expect(!broke(&equal, pings: 60, isPolicy: false, now: 15 * second))
    #expect(broke(&equal, pings: 61, isPolicy: false, now: 30 * second))
    var early = PingTolerance()
    for number in 0..<50 {
      let pings = PingTolerance.countMin - 1
      #expect(
        !broke(&early, pings: pings, isPolicy: false, now: Int64(number) * second),
        "a server that restarts has no count")
    }
    var mixed = PingTolerance()
    for number in 0..<50 {
      let isPolicy = number % 2 == 0
      #expect(!broke(&mixed, pings: 61, isPolicy: isPolicy, now: Int64(number) * second))
      #expect(!broke(&equal, pings: 61, isPolicy: isPolicy, now: Int64(number) * second))
    }
    var drifting = PingTolerance()
    for number in 0..<50 {
      #expect(!broke(&drifting, pings: 61 + number * 2, isPolicy: false, now: Int64(number) * second))
    }
  }
}
