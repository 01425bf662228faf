// SPDX-License-Identifier: Apache-2.0
import AudioForkMedia
import AudioForkTestKit
import Testing

@Suite("G.711")
struct G711Tests {
  /// The sample that a µ-law code stands for, as the recommendation's table has it, in 16 bits.
  private func muLaw(_ code: UInt8) -> Int {
    let bits = Int(~code)
    let magnitude = ((((bits & 15) << 3) + 132) << ((bits >> 4) & 7)) - 132
    return bits & 128 == 0 ? magnitude : -magnitude
  }

  private func aLaw(_ code: UInt8) -> Int {
    let bits = Int(code ^ 0x55)
    let exponent = (bits >> 4) & 7
    let low = ((bits & 15) << 4) + 8
    let magnitude = exponent == 0 ? low : (low + 256) << (exponent - 1)
    return bits & 128 != 0 ? magnitude : -magnitude
  }

  @Test("Every code comes back from its own value")
  func codes() {
    for code in UInt8.min...UInt8.max {
      // µ-law has two zeros; 0x7F is the negative one.
      if code != 0x7F { #expect(G711.muLaw(Int16(muLaw(code))) == code) }
      #expect(G711.aLaw(Int16(aLaw(code))) == code)
      #expect(Int(G711.linear(muLaw: code)) == muLaw(code))
      #expect(Int(G711.linear(aLaw: code)) == aLaw(code))
    }
    #expect(G711.muLaw(0) == 0xFF)
    #expect(G711.aLaw(0) == 0xD5)
  }

  @Test("Codes stand for the values of the recommendation's tables 1a and 2a, in 16 bits")
  func table() {
    let mu: [UInt8: Int16] = [
      0xFF: 0, 0xFE: 8, 0xF0: 120, 0xEF: 132, 0xDF: 396, 0xCE: 988, 0x8F: 16_764, 0x80: 32_124, 0x7E: -8, 0x00: -32_124,
    ]
    let a: [UInt8: Int16] = [
      0xD5: 8, 0xD4: 24, 0xDA: 248, 0xC5: 264, 0xF5: 528, 0xE5: 1056, 0x85: 4224, 0xAA: 32_256, 0x55: -8, 0x2A: -32_256,
    ]
    for (code, sample) in mu { #expect(G711.linear(muLaw: code) == sample && G711.muLaw(sample) == code, "\(code)") }
    for (code, sample) in a { #expect(G711.linear(aLaw: code) == sample && G711.aLaw(sample) == code, "\(code)") }
  }

  @Test("No sample is further from its code's value than half a step, and order is kept")
  func samples() {
    var last = (muLaw: Int.min, aLaw: Int.min)
    for sample in Int16.min...Int16.max {
      let value = Int(sample)
      let mu = muLaw(G711.muLaw(sample))
      let a = aLaw(G711.aLaw(sample))
      let magnitude = abs(value)
      // Steps double with each of eight segments; beyond the largest value there is only that.
      let muStep = 8 << max(0, (Int.bitWidth - 1 - (min(magnitude, 32_635) + 132).leadingZeroBitCount) - 7)
      let aStep = 16 << max(0, (Int.bitWidth - 1 - max(magnitude, 1).leadingZeroBitCount) - 8)
      #expect(abs(mu - value) <= max(muStep / 2, magnitude - 32_124), "µ-law \(sample) gave \(mu)")
      #expect(abs(a - value) <= max(aStep / 2, magnitude - 32_256) + 1, "A-law \(sample) gave \(a)")
      #expect(mu >= last.muLaw && a >= last.aLaw)
      last = (mu, a)
    }
  }
}
