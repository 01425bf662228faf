// SPDX-License-Identifier: Apache-2.0
import AudioForkMedia
import Testing

@Suite("Little-endian numbers")
struct ByteCodingTests {
  @Test("Written the lowest byte first, and read back anywhere")
  func numbers() {
    var bytes: [UInt8] = [9]
    bytes.append(number: 0x0102_0304_0506_0708)
    bytes.append(number: .max)
    #expect(bytes == [9, 8, 7, 6, 5, 4, 3, 2, 1] + [UInt8](repeating: 255, count: 8))
    #expect(bytes.number(at: 1) == 0x0102_0304_0506_0708)
    #expect(bytes.number(at: 9) == .max)
    #expect(bytes.number(at: 1, byteCount: 2) == 0x0708)
    #expect(bytes.number(at: 2, byteCount: 4) == 0x0405_0607)
  }

  @Test("Bytes beyond an end count as 0", arguments: [-9, -1, 4, 5, 100, Int.max, Int.min])
  func outside(offset: Int) {
    let bytes: [UInt8] = [1, 2, 3, 4]
    let expected: UInt64 = offset == -1 ? 0x0403_0201_00 : 0
    #expect(bytes.number(at: offset) == expected)
  }

  @Test("A reader takes what is whole and leaves the rest")
  func reader() {
    var reader = ByteReader([7, 1, 0, 0, 0, 0, 0, 0, 0, 5, 6])
    #expect(reader.nextByte() == 7)
    #expect(reader.nextNumber() == 1)
    #expect(reader.nextNumber() == nil)
    #expect(reader.rest == [5, 6] && !reader.isAtEnd)
    #expect(reader.nextByte() == 5 && reader.nextByte() == 6 && reader.nextByte() == nil)
    #expect(reader.isAtEnd && reader.rest == [])
  }
}
