// SPDX-License-Identifier: Apache-2.0
import AudioForkSurface
import CAsterisk
import Testing

@Suite("Counters of a fork in C and in Swift")
struct CounterRoomTests {
  @Test("The array in struct af_fork has the size and the alignment of Counters")
  func layout() {
    #expect(MemoryLayout<Counters>.size == AF_COUNTERS_MAX * MemoryLayout<UInt64>.size)
    #expect(MemoryLayout<Counters>.alignment == MemoryLayout<UInt64>.alignment)
    #expect(Counters.capacity == AF_COUNTERS_MAX)
    #expect(Int(AF_FORK_COUNTERS_OFFSET.rawValue) % MemoryLayout<Counters>.alignment == 0)
  }
}
