// SPDX-License-Identifier: Apache-2.0
import AudioForkDialects
import AudioForkSurface
import AudioForkTestKit
import Testing

@Suite("The raw dialect")
struct RawDialectTests {
  @Test("A block of µ-law is one byte for each sample")
  func dialect() {
    var message: [UInt8] = [1, 2, 3]
    RawDialect(encoding: .muLaw).encode([0, 32_767, -32_768], at: 0, into: &message)
    #expect(message == [0xFF, 0x80, 0x00])
    RawDialect(encoding: .aLaw).encode([0, 32_767, -32_768], at: 0, into: &message)
    #expect(message == [0xD5, 0xAA, 0x2A])
    RawDialect(encoding: .linear).encode([0x0102, -2], at: 0, into: &message)
    #expect(message == [0x02, 0x01, 0xFE, 0xFF])
  }
}
