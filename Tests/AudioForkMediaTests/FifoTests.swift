// SPDX-License-Identifier: Apache-2.0
import AudioForkMedia
import Testing

@Suite("Queues that reuse their array")
struct FifoTests {
  /// As large as what waits in a direction's queue.
  private struct Entry: Equatable {
    var number: Int
    var more: (Int, Int, Int, Int, Int, Int, Int, Int, Int, Int, Int) = (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)

    init(_ number: Int) { self.number = number }
    static func == (one: Entry, other: Entry) -> Bool { one.number == other.number }
  }

  @Test("One that is never empty keeps a few kilobytes, however much goes through it, and its order")
  func neverEmpty() {
    var queue = Fifo<Entry>()
    queue.storage.append(Entry(0))
    for number in 1...10_000 {
      queue.storage.append(Entry(number))
      #expect(queue.first == Entry(number - 1))
      queue.dropFirst(1)
    }
    #expect(queue.first == Entry(10_000))
    #expect(queue.storage.capacity * MemoryLayout<Entry>.stride <= 8192)
  }

  @Test("Samples that go through by the block stay in order, in a few kilobytes")
  func blocks() {
    var queue = Fifo<Int16>()
    queue.storage.append(contentsOf: repeatElement(0, count: 100))
    for block in 0..<1000 {
      queue.storage.append(contentsOf: (0..<160).map { Int16(truncatingIfNeeded: block * 160 + $0) })
      queue.dropFirst(160)
    }
    #expect(queue.first == Int16(truncatingIfNeeded: 999 * 160 + 60))
    #expect(queue.storage.capacity * 2 <= 8192)
  }
}
