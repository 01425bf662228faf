// SPDX-License-Identifier: Apache-2.0
import AudioForkMedia
import AudioForkTap
import AudioForkTestKit
import CAudioForkABI

/// The capture side of a simulated fork: the tap's own rule of media time, and entries as the tap writes them, with
/// their samples left to whoever reads them.
struct SimulatedCapture {
  private var states = [af_direction_state(), af_direction_state()]
  private(set) var sequence: UInt64 = 0
  private(set) var captured: [UInt64] = [0, 0]
  private(set) var ahead: [UInt64] = [0, 0]

  /// The entries of one frame (several where it is longer than 60 ms).
  mutating func capture(_ frame: SimulatedFrame) -> [CapturedEntry] {
    let index = Int(frame.direction.rawValue)
    let rate = UInt32(frame.rateHertz)
    let placement = placeFrame(
      &states[index], arrival: frame.arrival, samples: UInt64(frame.count), rate: rate,
      ts: frame.direction == .in ? frame.timestamp : nil)
    var startsRun = false
    var isAhead = false
    switch placement {
    case .continues: break
    case .startsRun(let start):
      states[index].run_ns = start
      states[index].run_samples = 0
      states[index].rate_hz = rate
      startsRun = true
    case .ahead: isAhead = true
    }
    var entries: [CapturedEntry] = []
    var left = frame.count
    while left > 0 {
      let count = min(left, Int(af_piece_samples(rate)))
      left -= count
      entries.append(
        CapturedEntry(
          sequence: sequence, direction: frame.direction, rateHertz: frame.rateHertz, count: count,
          runStart: StreamTime(nanoseconds: states[index].run_ns), runIndex: states[index].run_samples,
          arrival: StreamTime(nanoseconds: frame.arrival), captured: captured[index], startsRun: startsRun,
          isAhead: isAhead,
          hasMore: left > 0))
      sequence += 1
      captured[index] += UInt64(count)
      if isAhead { ahead[index] += UInt64(count) } else { states[index].run_samples += UInt64(count) }
      startsRun = false
    }
    return entries
  }

  func captured(_ direction: Direction) -> UInt64 { captured[Int(direction.rawValue)] }
  func ahead(_ direction: Direction) -> UInt64 { ahead[Int(direction.rawValue)] }
}

extension CapturedEntry {
  /// Media time of its first sample.
  var mediaNanoseconds: Int64 {
    runStart.nanoseconds + Int64(runIndex) / Int64(rateHertz) * 1_000_000_000
      + Int64(runIndex) % Int64(rateHertz) * 1_000_000_000 / Int64(rateHertz)
  }
}

/// A hashed sample that cannot be mistaken for fill.
func audibleSample(_ direction: Direction, _ index: UInt64) -> Int16 {
  let sample = hashedSample(seed: 7, direction: direction, index: index)
  return sample == 0 ? 1 : sample
}
