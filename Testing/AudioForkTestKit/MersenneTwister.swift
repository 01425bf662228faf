// SPDX-License-Identifier: Apache-2.0

/// MT19937 (Matsumoto, Nishimura 1998) seeded by one word through its array initialization, with doubles of 53 bits:
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
