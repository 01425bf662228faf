// SPDX-License-Identifier: Apache-2.0
package import AudioForkMedia

/// One frame as it reaches the hook in a simulated call.
package struct SimulatedFrame: Sendable {
  /// Nanoseconds since the epoch.
  package var arrival: Int64
  package var direction: Direction
  package var count: Int
  package var rateHertz: Int
  /// RTP time in milliseconds, where the source has it.
  package var timestamp: Int64?

  package init(arrival: Int64, direction: Direction, count: Int, rateHertz: Int, timestamp: Int64? = nil) {
    self.arrival = arrival
    self.direction = direction
    self.count = count
    self.rateHertz = rateHertz
    self.timestamp = timestamp
  }
}

/// A sender of frames, the same as `stream` in docs/internals/timeline_model.py: with the same parameters it gives the
/// same frames, so that figures can be compared. Times are milliseconds since the epoch.
package struct SimulatedSender: Sendable {
  package var direction: Direction
  package var start: Int64
  package var stop: Int64
  package var frameMilliseconds: Int64 = 20
  package var rateHertz = 8000
  /// How much faster than ours the sender's clock runs.
  package var partsPerMillion = 0.0
  package var jitterMilliseconds = 0.0
  /// Share of frames that never arrive.
  package var loss = 0.0
  package var hasTiming = true
  package var firstTimestamp: Int64 = 1000
  package var seed: UInt32 = 1

  package init(_ direction: Direction, from start: Int64, to stop: Int64) {
    self.direction = direction
    self.start = start
    self.stop = stop
  }

  /// A copy with some parameters changed.
  package func with(_ change: (inout SimulatedSender) -> Void) -> SimulatedSender {
    var copy = self
    change(&copy)
    return copy
  }

  /// All frames, in order of arrival.
  package func frames() -> [SimulatedFrame] {
    var random = MersenneTwister(seed: seed)
    var frames: [SimulatedFrame] = []
    let duration = Double(frameMilliseconds) * 1e6
    let count = Int(frameMilliseconds) * rateHertz / 1000
    var time = Double(start) * 1e6
    var last: Int64 = 0
    var timestamp = firstTimestamp
    while time < Double(stop) * 1e6 {
      last = max(last, Int64(time + duration + random.nextDouble() * (jitterMilliseconds * 1e6)))
      if random.nextDouble() >= loss {
        frames.append(
          SimulatedFrame(
            arrival: last, direction: direction, count: count, rateHertz: rateHertz,
            timestamp: hasTiming ? timestamp : nil))
      }
      timestamp += frameMilliseconds
      time += duration * (1 - partsPerMillion / 1e6)
    }
    return frames
  }
}

/// Frames of several senders in the order in which the hook sees them.
package func mergedFrames(_ streams: [SimulatedFrame]...) -> [SimulatedFrame] {
  let all = streams.flatMap { $0 }.enumerated()
  return all.sorted { first, second in
    let left = (first.element.arrival, first.element.timestamp ?? 0, first.offset)
    let right = (second.element.arrival, second.element.timestamp ?? 0, second.offset)
    return left < right
  }.map(\.element)
}

/// MT19937 (Matsumoto, Nishimura 1998) seeded by one word through its array initialisation, with doubles of 53 bits:
/// the generator that docs/internals/timeline_model.py draws from.
package struct MersenneTwister {
  private static let size = 624
  private static let middle = 397
  private var state: [UInt32]
  private var index = MersenneTwister.size

  package init(seed: UInt32) {
    state = MersenneTwister.initialState(19_650_218)
    var position = 1
    for _ in 0..<MersenneTwister.size {
      let previous = state[position - 1]
      state[position] = (state[position] ^ ((previous ^ (previous >> 30)) &* 1_664_525)) &+ seed
      step(&position)
    }
    for _ in 0..<(MersenneTwister.size - 1) {
      let previous = state[position - 1]
      state[position] =
        (state[position] ^ ((previous ^ (previous >> 30)) &* 1_566_083_941)) &- UInt32(position)
      step(&position)
    }
    state[0] = 0x8000_0000
  }

  private static func initialState(_ seed: UInt32) -> [UInt32] {
    var state = [UInt32](repeating: seed, count: size)
    for position in 1..<size {
      let previous = state[position - 1]
      state[position] = 1_812_433_253 &* (previous ^ (previous >> 30)) &+ UInt32(position)
    }
    return state
  }

  private mutating func step(_ position: inout Int) {
    position += 1
    if position >= MersenneTwister.size {
      state[0] = state[MersenneTwister.size - 1]
      position = 1
    }
  }

  /// 32 random bits.
  package mutating func nextWord() -> UInt32 {
    if index >= MersenneTwister.size {
      for position in 0..<MersenneTwister.size {
        let next = state[(position + 1) % MersenneTwister.size]
        let mixed = (state[position] & 0x8000_0000) | (next & 0x7FFF_FFFF)
        state[position] =
          state[(position + MersenneTwister.middle) % MersenneTwister.size] ^ (mixed >> 1)
          ^ (mixed & 1 == 0 ? 0 : 0x9908_B0DF)
      }
      index = 0
    }
    var word = state[index]
    index += 1
    word ^= word >> 11
    word ^= (word << 7) & 0x9D2C_5680
    word ^= (word << 15) & 0xEFC6_0000
    return word ^ (word >> 18)
  }

  /// A number in 0 ..< 1.
  package mutating func nextDouble() -> Double {
    let high = Double(nextWord() >> 5)
    let low = Double(nextWord() >> 6)
    return (high * 67_108_864 + low) / 9_007_199_254_740_992
  }
}
