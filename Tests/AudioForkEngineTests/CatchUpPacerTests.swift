// SPDX-License-Identifier: Apache-2.0
import AudioForkEngine
import AudioForkMedia
import AudioForkTestKit
import Testing

/// A stream of which everything is captured in time, and a connection that takes all that the pacer lets through.
private struct PacedStream {
  var pacer: CatchUpPacer
  /// When the newest block taken became decidable.
  var completed: Int64
  var now: Int64
  private(set) var sent = 0

  /// `behind`: milliseconds of audio that wait when the connection begins.
  init(_ hundredths: Int?, behind: Int64) {
    pacer = CatchUpPacer(hundredths: hundredths)
    now = 100_000
    completed = now - behind
    pacer.connectionBegan(now: at(now * millisecond))
  }

  var behind: Int64 { now - completed }

  /// Looks every 5 ms for so long, unless `stall`ed: then once at the end. Returns blocks sent.
  mutating func run(milliseconds: Int64, isStalled: Bool = false) -> Int {
    let before = sent
    for step in stride(from: 5, through: milliseconds, by: 5) where !isStalled || step == milliseconds {
      let moment: StreamTime = at((now + step) * millisecond)
      while completed + 20 <= now + step, pacer.allows(at(completed * millisecond), now: moment) {
        completed += 20
        sent += 1
        pacer.took(at(completed * millisecond), now: moment)
      }
    }
    now += milliseconds
    return sent - before
  }
}

@Suite("The pace of a replay")
struct CatchUpPacerTests {
  @Test("Without a pace everything goes at once")
  func unlimited() {
    var stream = PacedStream(nil, behind: 10_000)
    #expect(stream.run(milliseconds: 5) == 500)
  }

  @Test(
    "Audio that waited goes at its multiple of real time until the stream is live", arguments: [105, 125, 150, 400])
  func pace(hundredths: Int) {
    var stream = PacedStream(hundredths, behind: 9000)
    // In each second no more than that much, but for what rounding to blocks leaves.
    var seconds = 0
    while stream.behind > 100, seconds < 300 {
      let blocks = stream.run(milliseconds: 1000)
      seconds += 1
      #expect(blocks <= hundredths / 2 + 10 && blocks >= 49, "\(blocks) in second \(seconds)")
      if stream.behind > 1000 { #expect(abs(blocks - hundredths / 2) <= 1, "\(blocks)") }
    }
    let expected = Double(9000 - 100) / Double(hundredths - 100) / 10
    #expect(abs(Double(seconds) - expected) <= expected * 0.02 + 1.5, "caught up in \(seconds) s, not \(expected)")
    // And now it is live: each block goes at the first look.
    for _ in 0..<100 {
      _ = stream.run(milliseconds: 20)
      #expect(stream.behind < 20)
    }
  }

  @Test("At 1 the stream stays as late as it is, and loses no time either")
  func realTime() {
    var stream = PacedStream(100, behind: 3000)
    for _ in 0..<600 { _ = stream.run(milliseconds: 100) }
    #expect(stream.behind >= 2900 && stream.behind <= 3020, "\(stream.behind)")
  }

  @Test("A stall of a live stream that is shorter than the burst is made up for at once; a longer one is backlog")
  func stalls() {
    var stream = PacedStream(100, behind: 0)
    _ = stream.run(milliseconds: 1000)
    _ = stream.run(milliseconds: 260, isStalled: true)
    #expect(stream.behind < 20)
    _ = stream.run(milliseconds: 1000)
    _ = stream.run(milliseconds: 2000, isStalled: true)
    #expect(stream.behind > 1500)
  }

  @Test("After a silence without fill the first word goes at once")
  func silence() {
    var pacer = CatchUpPacer(hundredths: 100)
    pacer.connectionBegan(now: at(0))
    let early = pacer.allows(at(0), now: at(20 * millisecond))
    let late = pacer.allows(at(0), now: at(10_000 * millisecond))
    #expect(early && late)
  }
}
