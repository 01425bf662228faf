// SPDX-License-Identifier: Apache-2.0
import AudioForkMedia
import AudioForkRing
import AudioForkRingTestKit
import AudioForkTap
import AudioForkTestKit
import CAudioForkABI
import Testing

@Suite("A lapped reader")
struct RingLappedTests {
  private func makeTap(_ folder: ScratchFolder, entries: UInt64, bytes: UInt64) throws -> (TestTap, RingReader) {
    let tap = try TestTap(in: folder, size: RingSize(indexEntries: entries, areaBytes: bytes))
    return (tap, try RingReader(path: tap.path))
  }

  private func capture(_ tap: TestTap, frames: Int, of count: Int) {
    for _ in 0..<frames { tap.capture(.in, [Int16](repeating: 1, count: count), at: 20 * millisecond) }
  }

  @Test("Where the index is the narrower, the oldest is published minus its entries")
  func byIndex() throws {
    let folder = try ScratchFolder()
    let (tap, reader) = try makeTap(folder, entries: 64, bytes: 1 << 20)
    var samples: [Int16] = []
    capture(tap, frames: 64, of: 4)
    guard case .entry = reader.read(0, into: &samples) else { Issue.record("entry 0 is still there"); return }
    capture(tap, frames: 36, of: 4)
    #expect(reader.read(0, into: &samples) == .lapped(oldest: 36))
    guard case .entry = reader.read(36, into: &samples) else { Issue.record("entry 36 is still there"); return }
    #expect(reader.read(35, into: &samples) == .lapped(oldest: 36))
  }

  @Test("Where the sample area is the narrower, the oldest is the first whose samples nobody overwrote")
  func byArea() throws {
    let folder = try ScratchFolder()
    let (tap, reader) = try makeTap(folder, entries: 64, bytes: 4096)
    var samples: [Int16] = []
    // 320 bytes each: twelve fit into 4096.
    capture(tap, frames: 30, of: 160)
    #expect(reader.read(0, into: &samples) == .lapped(oldest: 18))
    guard case .entry = reader.read(18, into: &samples) else { Issue.record("entry 18 is still there"); return }
    #expect(reader.read(17, into: &samples) == .lapped(oldest: 18))
  }

  @Test("An entry that fills the area exactly can be read, one that is longer never")
  func largest() throws {
    let folder = try ScratchFolder()
    let (tap, reader) = try makeTap(folder, entries: 64, bytes: 4096)
    var samples: [Int16] = []
    tap.capture(.in, [Int16](repeating: 3, count: 2048), rate: 48000, at: 50 * millisecond)
    guard case .entry(let entry) = reader.read(0, into: &samples) else { Issue.record("it fits"); return }
    #expect(entry.count == 2048 && samples == [Int16](repeating: 3, count: 2048))
    tap.capture(.in, [Int16](repeating: 3, count: 2049), rate: 48000, at: 90 * millisecond)
    #expect(reader.read(1, into: &samples) == .lapped(oldest: 2))
    #expect(reader.read(2, into: &samples) == .notYet)
  }

  @Test("Lapped again at the entry it was told to go on with, it is given a sixteenth of the ring to spare")
  func margin() throws {
    let folder = try ScratchFolder()
    let (tap, reader) = try makeTap(folder, entries: 64, bytes: 1 << 20)
    var samples: [Int16] = []
    capture(tap, frames: 100, of: 4)
    #expect(reader.read(0, into: &samples) == .lapped(oldest: 36))
    capture(tap, frames: 10, of: 4)
    #expect(reader.read(36, into: &samples) == .lapped(oldest: 50))
    guard case .entry = reader.read(50, into: &samples) else { Issue.record("entry 50 is still there"); return }
    // It has read since: the next answer is exact again.
    capture(tap, frames: 10, of: 4)
    #expect(reader.read(51, into: &samples) == .lapped(oldest: 56))
  }

  @Test("Entries without audio are passed like any other")
  func notAudio() throws {
    let folder = try ScratchFolder()
    let (tap, reader) = try makeTap(folder, entries: 64, bytes: 1 << 20)
    var samples: [Int16] = []
    capture(tap, frames: 100, of: 4)
    let kind = 36 * Int(AF_RING_ENTRY_BYTES) + (MemoryLayout<af_ring_entry>.offset(of: \.kind) ?? 0)
    tap.tap.pointee.index[kind] = UInt8(AF_ENTRY_DTMF.rawValue)
    #expect(reader.read(0, into: &samples) == .lapped(oldest: 36))
    #expect(reader.read(36, into: &samples) == .notAudio)
  }
}
