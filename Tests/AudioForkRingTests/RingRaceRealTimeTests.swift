// SPDX-License-Identifier: Apache-2.0
import AudioForkRing
import AudioForkRingTestKit
import AudioForkTap
import AudioForkTestKit
import Testing

@Suite("A writer at full speed and a reader, in two threads", .tags(.alone))
struct RingRaceRealTimeTests {
  /// A ring in which the reader is lapped all the time, one in which it is now and then, and one lapped in its index.
  static let sizes = [
    RingSize(indexEntries: 64, areaBytes: 16384), RingSize(indexEntries: 4096, areaBytes: 1 << 18),
    RingSize(indexEntries: 64, areaBytes: 1 << 20),
  ]

  @Test("No torn entry is ever accepted, and nothing is missing that is not accounted for", arguments: sizes)
  func race(size: RingSize) throws {
    let folder = try ScratchFolder()
    let tap = try TestTap(in: folder, size: size)
    let goal = RingRace.Goal(entries: 20_000, laps: 20, seconds: 0.3, secondsMax: 20)
    let outcome = try RingRace.run(tap: tap.tap, path: tap.path, seed: size.areaBytes, goal: goal)
    #expect(outcome.complaints == [])
    // Without these the race has shown nothing.
    #expect(outcome.entries >= goal.entries && outcome.laps >= goal.laps)
  }

  @Test("A ring that is continued again and again while both run loses nothing either", arguments: 0..<3)
  func swaps(seed: UInt64) throws {
    let folder = try ScratchFolder()
    let tap = try TestTap(in: folder, size: Self.sizes[Int(seed)])
    let goal = RingRace.Goal(entries: 20_000, laps: 20, seconds: 0.3, secondsMax: 20)
    let outcome = try RingRace.run(tap: tap.tap, path: tap.path, seed: seed, goal: goal, swaps: true)
    #expect(outcome.complaints == [])
    #expect(outcome.entries >= goal.entries && outcome.generations >= 5)
  }
}
