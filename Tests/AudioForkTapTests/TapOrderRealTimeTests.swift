// SPDX-License-Identifier: Apache-2.0
import AudioForkMedia
import AudioForkRing
import AudioForkRingTestKit
import AudioForkTap
import AudioForkTestKit
import CAudioForkABI
import Testing

@Suite("The order in which the tap stores")
struct TapOrderRealTimeTests {
  /// Captures frames of `frameSamples` equal samples as fast as it can: frame k is made of `value(k)`.
  ///
  /// Sendable although `tap` is a pointer: while the thread runs the writer alone uses it.
  private final class Writer: @unchecked Sendable {
    static let frameSamples = 480
    static let span = UInt64(frameSamples * 2)
    let tap: UnsafeMutablePointer<af_tap>

    init(_ tap: UnsafeMutablePointer<af_tap>) { self.tap = tap }

    /// Prime period, so that what an earlier lap left is something else.
    static func value(_ frame: UInt64) -> Int16 { Int16(frame % 32749) + 1 }

    func run(_ thread: WriterThread) {
      var frame: UInt64 = 0
      while !thread.isStopping {
        let samples = [Int16](repeating: Writer.value(frame), count: Writer.frameSamples)
        samples.withUnsafeBytes { bytes in
          guard let base = bytes.baseAddress else { return }
          let captured = CapturedFrame(
            direction: 0, samples: base, count: UInt32(Writer.frameSamples), rate: 8000)
          captureFrame(tap, captured, channel: nil, now: tap.pointee.epoch_ns + Int64(frame) * 60 * millisecond)
        }
        frame += 1
      }
    }
  }

  @Test("Who sees one new sample of an entry sees its odd sequence and its claim, and before its end not the even one")
  func announced() throws {
    let folder = try ScratchFolder()
    let tap = try TestTap(in: folder, size: RingSize(indexEntries: 64, areaBytes: 1 << 16))
    let ring = try #require(tap.tap.pointee.ring)
    let area = UnsafeMutableRawPointer(try #require(tap.tap.pointee.area))
    let index = UnsafeMutableRawPointer(try #require(tap.tap.pointee.index))
    let writer = Writer(tap.tap)
    let thread = try WriterThread { writer.run($0) }
    defer { thread.join() }
    var seen = 0
    var wrong: [String] = []
    let deadline = af_now_ns() + 10_000 * millisecond
    while seen < 3000, wrong.isEmpty, af_now_ns() < deadline {
      // The entry that is being written now, or will be next.
      let entry = af_word_load_acquire(af_ring_published(ring))
      let start = entry * Writer.span
      let slot = (index + Int(entry % 64) * 64).assumingMemoryBound(to: UInt64.self)
      let last = (area + Int((start + Writer.span - 8) & 0xFFFF)).assumingMemoryBound(to: UInt64.self)
      let first = (area + Int(start & 0xFFFF)).assumingMemoryBound(to: UInt64.self)
      let expected = UInt64(UInt16(bitPattern: Writer.value(entry))) &* 0x0001_0001_0001_0001

      // Even sequence first, then the samples: all of them have to be there, unless they were claimed again since.
      let isWhole = af_word_load_acquire(slot) == entry * 2 + 2
      let ending = af_word_load_relaxed(last)
      af_fence_acquire()
      if isWhole, ending != expected, af_word_load_relaxed(af_ring_claimed(ring)) <= start + Writer.span {
        wrong.append("entry \(entry) is called whole before its last sample is there")
      }
      guard af_word_load_relaxed(first) == expected else { continue }
      af_fence_acquire()
      seen += 1
      if af_word_load_relaxed(slot) < entry * 2 + 1 { wrong.append("entry \(entry) is written unannounced") }
      if af_word_load_relaxed(af_ring_claimed(ring)) < start + Writer.span {
        wrong.append("entry \(entry) is written in bytes that were not claimed")
      }
    }
    #expect(wrong == [])
    #expect(seen >= 500)
  }

  @Test("A slot that is being overwritten is lapped, not read", arguments: [1, 2] as [UInt64])
  func odd(step: UInt64) throws {
    let folder = try ScratchFolder()
    let tap = try TestTap(in: folder, size: RingSize(indexEntries: 64, areaBytes: 1 << 16))
    let reader = try RingReader(path: tap.path)
    for frame in 0..<64 as Range<Int64> { tap.capture(.in, [1, 2, 3], at: frame * 20 * millisecond) }
    var samples: [Int16] = []
    guard case .entry = reader.read(0, into: &samples) else { Issue.record("entry 0 is there"); return }
    // As the writer leaves it between its two stores for entry 64, and behind the second one.
    let slot = UnsafeMutableRawPointer(try #require(tap.tap.pointee.index)).assumingMemoryBound(to: UInt64.self)
    af_word_store_relaxed(slot, 64 * 2 + step)
    #expect(reader.read(0, into: &samples) == .lapped(oldest: 1))
    guard case .entry = reader.read(1, into: &samples) else { Issue.record("entry 1 is there"); return }
  }

  @Test("Bytes that have been claimed for a later entry are lapped, although the slot is still the old one")
  func claimed() throws {
    let folder = try ScratchFolder()
    let tap = try TestTap(in: folder, size: RingSize(indexEntries: 64, areaBytes: 4096))
    let ring = try #require(tap.tap.pointee.ring)
    let reader = try RingReader(path: tap.path)
    for frame in 0..<4 as Range<Int64> {
      tap.capture(.in, [Int16](repeating: 5, count: 400), at: frame * 50 * millisecond)
    }
    var samples: [Int16] = []
    af_word_store_relaxed(af_ring_claimed(ring), 4096)
    guard case .entry = reader.read(0, into: &samples) else { Issue.record("entry 0 is there"); return }
    af_word_store_relaxed(af_ring_claimed(ring), 4104)
    #expect(reader.read(0, into: &samples) == .lapped(oldest: 1))
    // Never more than was claimed can be read.
    af_word_store_relaxed(af_ring_claimed(ring), 3 * 800 + 792)
    #expect(reader.read(3, into: &samples) == .broken("entry 3 has samples that were never claimed"))
  }
}
