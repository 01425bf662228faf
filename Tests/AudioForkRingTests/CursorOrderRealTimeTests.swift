// SPDX-License-Identifier: Apache-2.0
import AudioForkRing
import AudioForkRingTestKit
import AudioForkTestKit
import CAudioForkABI
import Glibc
import Testing

@Suite("The order in which a cursor is saved")
struct CursorOrderRealTimeTests {
  /// Saves as fast as it can, in a thread of its own.
  ///
  /// Sendable although a CursorFile is not: while the thread runs the writer alone uses it.
  private final class Writer: @unchecked Sendable {
    let cursor: CursorFile

    init(_ cursor: CursorFile) { self.cursor = cursor }

    func run(_ thread: WriterThread) {
      var number = 0
      while !thread.isStopping {
        number &+= 1
        cursor.save([UInt8](repeating: UInt8(truncatingIfNeeded: number), count: 64 + number % 512))
      }
    }
  }

  /// Two slots in another mapping of the file.
  private struct Observer {
    let mapping: UnsafeMutableRawPointer

    func generation(_ slot: Int) -> UInt64 {
      af_word_load_acquire((mapping + CursorLayout.offset(ofSlot: slot)).assumingMemoryBound(to: UInt64.self))
    }

    /// Copies the beginning of a slot, word by word: the writer is at it.
    func copy(_ slot: Int, into words: inout [UInt64]) {
      let source = (mapping + CursorLayout.offset(ofSlot: slot)).assumingMemoryBound(to: UInt64.self)
      for index in words.indices { words[index] = af_word_load_relaxed(source + index) }
    }
  }

  @Test("As soon as a slot has its generation, and until the other one has the next, all of it is there")
  func generationLast() throws {
    let folder = try ScratchFolder()
    let writer = Writer(try CursorFile(path: folder.file("fork.cursor")))
    let descriptor = open(folder.file("fork.cursor"), O_RDONLY)
    try #require(descriptor >= 0)
    defer { close(descriptor) }
    let mapped = try #require(mmap(nil, CursorLayout.fileBytes, PROT_READ, MAP_SHARED, descriptor, 0))
    try #require(mapped != MAP_FAILED)
    defer { munmap(mapped, CursorLayout.fileBytes) }
    let observer = Observer(mapping: mapped)
    let thread = try WriterThread { writer.run($0) }
    var seen = 0
    var wrong = 0
    var words = [UInt64](repeating: 0, count: (64 + 576) / 8)
    let deadline = af_now_ns() + 10_000 * millisecond
    while seen < 2000, wrong == 0, af_now_ns() < deadline {
      let slot = seen & 1
      let generation = observer.generation(slot)
      observer.copy(slot, into: &words)
      af_fence_acquire()
      // Whoever is killed here leaves this slot as the newest: the other one has not been finished.
      guard generation > 0, observer.generation(1 - slot) < generation else { continue }
      seen += 1
      let bytes = words.withUnsafeBytes { Array($0) }
      let length = Int(truncatingIfNeeded: words[CursorLayout.lengthOffset / 8] & 0xFFFF)
      let stored = words[CursorLayout.checksumOffset / 8]
      let payload = bytes[CursorLayout.payloadOffset...].prefix(length)
      if CursorLayout.checksum(generation: generation, payload: payload) != stored { wrong += 1 }
    }
    thread.join()
    #expect(wrong == 0)
    #expect(seen >= 500)
  }
}
