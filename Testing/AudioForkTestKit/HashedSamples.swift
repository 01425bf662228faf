// SPDX-License-Identifier: Apache-2.0
package import AudioForkMedia

/// The sample number `index` (from 0) of a direction of a test signal in which every sample proves its own place:
/// a hash of (seed, direction, index). One misplaced sample goes unnoticed with probability 2^-16, a misplaced
/// frame never.
package func hashedSample(seed: UInt64, direction: Direction, index: UInt64) -> Int16 {
  let place = splitMix64(seed &+ UInt64(direction.rawValue) &* 0xD1B5_4A32_D192_ED03) ^ index
  return Int16(truncatingIfNeeded: splitMix64(place) &>> 48)
}
