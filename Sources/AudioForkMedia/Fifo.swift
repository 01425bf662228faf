// SPDX-License-Identifier: Apache-2.0

/// First in, first out, in one array that is reused: nothing is allocated in steady state.
package struct Fifo<Element> {
  /// Appending here is allowed; everything before `head` has been taken.
  package var storage: [Element] = []
  private(set) var head = 0

  package init() {}

  package var count: Int { storage.count - head }
  package var isEmpty: Bool { storage.count == head }
  package var first: Element? { head < storage.count ? storage[head] : nil }

  /// Bytes of what has been taken that may stay in front: where two directions are never at the same place, a queue is
  /// never empty, and what is kept of each fork is memory that is cold when its turn comes.
  private static var takenBytesMax: Int { 2048 }

  /// Moves the tail to the front only when that is cheap against what was taken since.
  package mutating func dropFirst(_ count: Int) {
    head = min(head + max(count, 0), storage.count)
    if head == storage.count {
      storage.removeAll(keepingCapacity: true)
      head = 0
    } else if head * MemoryLayout<Element>.stride >= Self.takenBytesMax, head * 2 >= storage.count {
      storage.removeSubrange(0..<head)
      head = 0
    }
  }
}

extension Fifo: Sendable where Element: Sendable {}
