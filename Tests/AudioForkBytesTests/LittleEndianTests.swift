// SPDX-License-Identifier: Apache-2.0
import AudioForkBytes
import Testing

@Suite("Little-endian integers")
struct LittleEndianTests {
  @Test("Written the lowest byte first, and read back anywhere")
  func integers() {
    var bytes: [UInt8] = [9]
    bytes.append(littleEndian: 0x0102_0304_0506_0708 as UInt64)
    bytes.append(littleEndian: UInt64.max)
    #expect(bytes == [9, 8, 7, 6, 5, 4, 3, 2, 1] + [UInt8](repeating: 255, count: 8))
    #expect(LittleEndian.read64(bytes, at: 1) == 0x0102_0304_0506_0708)
    #expect(LittleEndian.read64(bytes, at: 9) == .max)
    #expect(LittleEndian.read16(bytes, at: 1) == 0x0708)
    #expect(LittleEndian.read32(bytes, at: 2) == 0x0405_0607)
    #expect(LittleEndian.read(bytes, at: 1, byteCount: 3) == 0x06_0708)
  }

  @Test("Each width has its own bytes, negative ones in two's complement")
  func widths() {
    var bytes: [UInt8] = []
    bytes.append(littleEndian: 0xFEDC as UInt16)
    bytes.append(littleEndian: 0xFEDC_BA98 as UInt32)
    bytes.append(littleEndian: -2 as Int64)
    #expect(bytes == [0xDC, 0xFE, 0x98, 0xBA, 0xDC, 0xFE, 0xFE] + [UInt8](repeating: 0xFF, count: 7))
    bytes = []
    bytes.append(littleEndian: [0, -1, .min, 0x0102, .max][1...])
    #expect(bytes == [0xFF, 0xFF, 0, 0x80, 2, 1, 0xFF, 0x7F])
  }

  @Test("Bytes beyond an end count as 0", arguments: [-9, -1, 4, 5, 100, Int.max, Int.min])
  func outside(offset: Int) {
    let bytes: [UInt8] = [1, 2, 3, 4]
    let expected: UInt64 = offset == -1 ? 0x0403_0201_00 : 0
    #expect(LittleEndian.read64(bytes, at: offset) == expected)
  }

  @Test("An integer replaces what stood there, as far as there is room")
  func replaced() {
    func replaced(_ index: Int) -> [UInt8] {
      var bytes: [UInt8] = [1, 2, 3, 4, 5, 6]
      bytes.replace(at: index, littleEndian: 0xAABB_CCDD)
      return bytes
    }
    #expect(replaced(1) == [1, 0xDD, 0xCC, 0xBB, 0xAA, 6])
    #expect(replaced(4) == [1, 2, 3, 4, 0xDD, 0xCC])
    #expect(replaced(-2) == [0xBB, 0xAA, 3, 4, 5, 6])
    for index in [6, Int.max, Int.min] { #expect(replaced(index) == [1, 2, 3, 4, 5, 6]) }
  }

  @Test("A reader takes what is whole and leaves the rest")
  func reader() {
    var reader = LittleEndianReader([7, 1, 0, 0, 0, 0, 0, 0, 0, 5, 6])
    #expect(reader.next8() == 7)
    #expect(reader.next64() == 1)
    #expect(reader.next64() == nil)
    #expect(reader.rest == [5, 6] && !reader.isAtEnd)
    #expect(reader.next(byteCount: 3) == nil)
    #expect(reader.next(byteCount: 2) == 0x0605)
    #expect(reader.next8() == nil)
    #expect(reader.isAtEnd && reader.rest == [])
  }
}
