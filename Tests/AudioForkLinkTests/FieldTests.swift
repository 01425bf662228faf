// SPDX-License-Identifier: Apache-2.0
import AudioForkBytes
import AudioForkLink
import AudioForkSurface
import Testing

@Suite("Fields of facts and link messages")
struct FieldTests {
  @Test("What a writer wrote comes back")
  func roundTrip() {
    var fields = FieldWriter()
    fields.append(.id, Array("fork".utf8))
    fields.append(.url, [])
    fields.append(.rate, number: 0x0102_0304_0506_0708)
    fields.append(.id, Array("second".utf8))
    let reader = FieldReader(fields.bytes)
    #expect(reader.isWellFormed)
    #expect(reader.text(.id) == "fork" && reader.text(.url) == "" && reader.text(.options, as: String.self) == nil)
    #expect(reader.number(.rate) == 0x0102_0304_0506_0708)
    #expect(reader.number(.id) == nil && reader.bytes(.rate)?.first == 8)
    #expect(reader.all(.id) == [Array("fork".utf8), Array("second".utf8)])
  }

  @Test("Cut anywhere but between fields, they are not well-formed, and nothing traps")
  func cut() {
    var fields = FieldWriter()
    fields.append(.id, [1, 2, 3])
    fields.append(.url, number: 9)
    for length in 0..<fields.bytes.count {
      let reader = FieldReader(Array(fields.bytes.prefix(length)))
      #expect(reader.isWellFormed == (length == 0 || length == 11))
      _ = reader.number(.url)
    }
    #expect(!FieldReader([0, 0, 0, 0, 255, 255, 255, 255]).isWellFormed)
  }

  @Test("Every key belongs to one field or counter")
  func keys() {
    let keys = LinkField.allCases.map(\.rawValue) + Counter.allCases.map(\.definition.field)
    #expect(Set(keys).count == keys.count)
  }

  @Test("Integers are little-endian, and bytes beyond the end read as 0")
  func littleEndian() {
    var bytes: [UInt8] = []
    bytes.append(littleEndian: 0x0102 as UInt16)
    bytes.append(littleEndian: 0x0304_0506 as UInt32)
    bytes.append(littleEndian: 0x0708_090A_0B0C_0D0E as UInt64)
    #expect(bytes == [2, 1, 6, 5, 4, 3, 14, 13, 12, 11, 10, 9, 8, 7])
    #expect(LittleEndian.read16(bytes, at: 0) == 0x0102 && LittleEndian.read32(bytes, at: 2) == 0x0304_0506)
    #expect(LittleEndian.read64(bytes, at: 6) == 0x0708_090A_0B0C_0D0E)
    #expect(LittleEndian.read32(bytes, at: 12) == 0x0708 && LittleEndian.read64(bytes, at: 99) == 0)
  }
}
