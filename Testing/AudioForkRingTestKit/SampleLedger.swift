// SPDX-License-Identifier: Apache-2.0
package import AudioForkMedia

/// Holds a reader to what was captured: per direction, samples read and gaps must add up to samples captured, in
/// order, and every sample must be the one that belongs at its index.
package struct SampleLedger {
  /// What the signal is: the sample of a direction at an index.
  let signal: (Direction, UInt64) -> Int16
  package private(set) var read: [UInt64] = [0, 0]
  package private(set) var missing: [UInt64] = [0, 0]
  package private(set) var mutedSamples: UInt64 = 0
  package private(set) var aheadSamples: UInt64 = 0
  package private(set) var complaints: [String] = []
  private var next: [UInt64] = [0, 0]

  package init(signal: @escaping (Direction, UInt64) -> Int16) { self.signal = signal }

  package mutating func take(_ entry: CapturedEntry, _ samples: [Int16]) {
    let direction = Int(entry.direction.rawValue)
    guard entry.captured >= next[direction] else {
      complain("entry \(entry.sequence) goes back to \(entry.captured) from \(next[direction])")
      return
    }
    guard entry.count <= samples.count else {
      complain("entry \(entry.sequence) says \(entry.count) samples and brings \(samples.count)")
      return
    }
    missing[direction] += entry.captured - next[direction]
    for offset in 0..<entry.count {
      let index = entry.captured + UInt64(offset)
      let expected = entry.isMuted ? 0 : signal(entry.direction, index)
      if samples[offset] != expected {
        complain("entry \(entry.sequence): \(entry.direction) sample \(index) is \(samples[offset]), not \(expected)")
        break
      }
    }
    read[direction] += UInt64(entry.count)
    next[direction] = entry.captured + UInt64(entry.count)
    if entry.isMuted { mutedSamples += UInt64(entry.count) }
    if entry.isAhead { aheadSamples += UInt64(entry.count) }
  }

  /// The end: what was captured behind the last entry read is missing too.
  package mutating func finish(captured: (Direction) -> UInt64) {
    for direction in Direction.allCases {
      let place = Int(direction.rawValue)
      guard captured(direction) >= next[place] else {
        complain("\(direction): \(captured(direction)) captured, yet \(next[place]) read")
        continue
      }
      missing[place] += captured(direction) - next[place]
      if read[place] + missing[place] != captured(direction) {
        complain("\(direction): \(read[place]) read, \(missing[place]) missing, \(captured(direction)) captured")
      }
    }
  }

  package mutating func complain(_ text: String) { if complaints.count < 20 { complaints.append(text) } }
}
