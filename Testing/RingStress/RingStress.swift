// SPDX-License-Identifier: Apache-2.0
import AudioForkRing
import AudioForkRingTestKit
import AudioForkTap
import CAudioForkABI
import Glibc

/// The race of AudioForkRingTestKit/RingRace.swift as a program, for scripts/lab/test-ring-tsan: no test library, whose
/// own threads would be watched too, and nothing of SwiftNIO to compile.
///
///     ring-stress SECONDS SEED FOLDER
///
/// Runs the race in rings of three sizes, and with rings that continue each other, for that long in all, their files in
/// the folder. Exit status: 0, or 1 with
/// what was wrong, or that of the sanitizer.
@main
struct RingStress {
  static func main() {
    guard CommandLine.arguments.count == 4, let seconds = Double(CommandLine.arguments[1]), seconds > 0,
      let seed = UInt64(CommandLine.arguments[2])
    else {
      print("usage: ring-stress SECONDS SEED FOLDER")
      exit(64)
    }
    let sizes = [
      RingSize(indexEntries: 64, areaBytes: 16384), RingSize(indexEntries: 4096, areaBytes: 1 << 18),
      RingSize(indexEntries: 64, areaBytes: 1 << 20),
    ]
    var isGood = true
    for (number, size) in sizes.enumerated() {
      isGood = race(size, seed: seed &+ UInt64(number), seconds: seconds / 4) && isGood
    }
    isGood = race(sizes[0], seed: seed &+ 3, seconds: seconds / 4, swaps: true) && isGood
    exit(isGood ? 0 : 1)
  }

  private static func race(_ size: RingSize, seed: UInt64, seconds: Double, swaps: Bool = false) -> Bool {
    let path = "\(CommandLine.arguments[3])/\(seed).ring"
    let tap = UnsafeMutablePointer<af_tap>.allocate(capacity: 1)
    defer { tap.deallocate() }
    tap.initialize(to: af_tap())
    let failure = createRing(
      tap, path: Array(path.utf8CString), size: size, facts: [], directions: 3, now: 0, wall: 0)
    guard failure == 0 else {
      print("cannot create \(path): errno \(failure)")
      return false
    }
    defer {
      unmapRing(tap)
      unlink(path)
    }
    // The sanitizer makes everything ten times slower: few entries are enough, as long as there are some.
    let goal = RingRace.Goal(entries: 1000, laps: 10, seconds: seconds, secondsMax: seconds + 30)
    let outcome: RingRace.Outcome
    do {
      outcome = try RingRace.run(tap: tap, path: path, seed: seed, goal: goal, sharesMapping: true, swaps: swaps)
    } catch {
      print(error.message)
      return false
    }
    print(
      "ring of \(size.indexEntries) entries, \(size.areaBytes) bytes, seed \(seed): \(outcome.published) written, "
        + "\(outcome.entries) read and right, lapped \(outcome.laps) times, \(outcome.generations) times continued")
    for complaint in outcome.complaints { print("wrong: \(complaint)") }
    if outcome.entries < goal.entries || outcome.laps < goal.laps { print("wrong: too few for a race") }
    if swaps, outcome.generations < 5 {
      print("wrong: too few generations for a race")
      return false
    }
    return outcome.complaints.isEmpty && outcome.entries >= goal.entries && outcome.laps >= goal.laps
  }
}
