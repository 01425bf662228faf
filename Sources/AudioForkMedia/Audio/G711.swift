// SPDX-License-Identifier: Apache-2.0

/// ITU-T G.711: one byte for a sample.
package enum G711 {
  /// µ-law: a sign, three bits of exponent, four of mantissa, all inverted. 16-bit samples are biased by 132, so that
  /// each step of the exponent begins at a power of two.
  package static func muLaw(_ sample: Int16) -> UInt8 {
    let magnitude = min(UInt16(sample.magnitude), 32_635) + 132
    let exponent = UInt16(8 - magnitude.leadingZeroBitCount)
    let mantissa = (magnitude >> (exponent + 3)) & 15
    return ~UInt8((sample < 0 ? 128 : 0) | exponent << 4 | mantissa)
  }

  /// A-law: a sign, three bits of exponent, four of mantissa, every other bit inverted. Works on 13 bits; the two
  /// lowest steps are equally fine.
  package static func aLaw(_ sample: Int16) -> UInt8 {
    let isNegative = sample < 0
    // Negative samples are counted from -1, so that both halves have the same steps.
    let magnitude = UInt16(bitPattern: isNegative ? ~sample : sample) >> 3
    let exponent = UInt16(max(0, 11 - magnitude.leadingZeroBitCount))
    let mantissa = (magnitude >> max(exponent, 1)) & 15
    return UInt8(exponent << 4 | mantissa) ^ (isNegative ? 0x55 : 0xD5)
  }

  /// The sample that a µ-law code stands for.
  package static func linear(muLaw code: UInt8) -> Int16 {
    let bits = ~code
    let magnitude = Int16((((UInt16(bits & 15) << 3) + 132) << UInt16((bits >> 4) & 7)) - 132)
    return bits & 128 == 0 ? magnitude : -magnitude
  }

  /// The sample that an A-law code stands for.
  package static func linear(aLaw code: UInt8) -> Int16 {
    let bits = code ^ 0x55
    let exponent = UInt16((bits >> 4) & 7)
    let low = (UInt16(bits & 15) << 4) + 8
    let magnitude = Int16(exponent == 0 ? low : (low + 256) << (exponent - 1))
    return bits & 128 != 0 ? magnitude : -magnitude
  }
}
