// SPDX-License-Identifier: Apache-2.0
import AudioForkMedia
import AudioForkRing
import AudioForkRingTestKit
import AudioForkTap
import AudioForkTestKit
import CAudioForkABI
import Glibc
import Testing

@Suite("Ring files that no writer made")
struct HostileRingTests {
  private static let entries: UInt64 = 64
  private static let areaBytes: UInt64 = 16384

  /// A small ring with audio of both directions in it, lapped once.
  private func makeRing(_ folder: ScratchFolder) throws -> [UInt8] {
    let tap = try TestTap(
      in: folder, size: RingSize(indexEntries: HostileRingTests.entries, areaBytes: HostileRingTests.areaBytes))
    for number in 0..<100 as Range<Int64> {
      tap.capture(number & 1 == 0 ? .in : .out, Array(repeating: 5, count: 160), at: number * 20 * millisecond)
    }
    tap.close(at: 3000 * millisecond)
    return try folder.read("fork.ring")
  }

  /// Reads all that a file offers, the way an engine does. Returns how many entries were accepted.
  @discardableResult
  private func readAll(_ path: String) throws(RingError) -> Int {
    let reader = try RingReader(path: path)
    var samples: [Int16] = []
    var accepted = 0
    // Not only from the start: a cursor may say anything.
    for start in [0, reader.published &- 1, reader.published / 2, 1 << 63, .max] as [UInt64] {
      var sequence = start
      steps: for _ in 0..<300 {
        switch reader.read(sequence, into: &samples) {
        case .entry(let entry):
          accepted += 1
          #expect(entry.sequence == sequence && entry.count > 0 && entry.count <= samples.count)
          #expect((8000...192_000).contains(entry.rateHertz) && entry.count * 1000 <= entry.rateHertz * 60)
          sequence &+= 1
        case .notAudio, .digit: sequence &+= 1
        case .lapped(let oldest):
          #expect(oldest > sequence && oldest <= reader.published)
          sequence = oldest
        case .notYet, .broken: break steps
        }
      }
    }
    _ = reader.closedAt
    _ = reader.captured(.in) &+ reader.ahead(.out)
    return accepted
  }

  @Test("The ring that the others are made from is a good one")
  func good() throws {
    let folder = try ScratchFolder()
    let ring = try makeRing(folder)
    try folder.write(ring, to: "good")
    #expect(try readAll(folder.file("good")) > 50)
  }

  @Test("With bits flipped anywhere it is refused or read, without a trap", arguments: 1...20)
  func flips(seed: UInt64) throws {
    let folder = try ScratchFolder()
    let ring = try makeRing(folder)
    var random = SeededRandom(seed: seed)
    let indexOffset = Int(AF_RING_PAGE)
    let areaOffset = indexOffset + Int(HostileRingTests.entries) * Int(AF_RING_ENTRY_BYTES)
    for _ in 0..<100 {
      var bytes = ring
      // Header words, facts and index in turn: flips in samples are just other samples.
      let range =
        [0..<96, 256..<320, 512..<720, indexOffset..<areaOffset].randomElement(using: &random) ?? 0..<bytes.count
      for _ in 0..<Int.random(in: 1...12, using: &random) {
        bytes[Int.random(in: range, using: &random)] ^= 1 << UInt8.random(in: 0..<8, using: &random)
      }
      try folder.write(bytes, to: "flipped")
      _ = try? readAll(folder.file("flipped"))
    }
  }

  @Test("With whole words replaced by extremes it is refused or read, without a trap")
  func extremes() throws {
    let folder = try ScratchFolder()
    let ring = try makeRing(folder)
    let values: [UInt64] = [0, 1, 7, 0xFFFF_FFFF, 1 << 31, 1 << 62, 1 << 63, .max - 7, .max]
    let slots = [0, 63].map { Int(AF_RING_PAGE) + $0 * Int(AF_RING_ENTRY_BYTES) }
    let words =
      Array(stride(from: 0, to: 64, by: 8)) + Array(stride(from: 256, to: 312, by: 8))
      + slots.flatMap { Array(stride(from: $0, to: $0 + 64, by: 8)) }
    for word in words {
      for value in values {
        var bytes = ring
        for byte in 0..<8 { bytes[word + byte] = UInt8(truncatingIfNeeded: value >> UInt64(byte * 8)) }
        try folder.write(bytes, to: "extreme")
        _ = try? readAll(folder.file("extreme"))
      }
    }
  }

  @Test("Truncated or lengthened by anything, it is refused")
  func lengths() throws {
    let folder = try ScratchFolder()
    let ring = try makeRing(folder)
    for length in [0, 1, 8, 511, 512, 4095, 4096, 8191, 8192, ring.count - 4096, ring.count - 1] {
      try folder.write(Array(ring.prefix(length)), to: "short")
      let error = #expect(throws: RingError.self) { try readAll(folder.file("short")) }
      // An empty one may be one that its writer allocates.
      #expect(error?.code == (length == 0 ? .unfinished : length < 512 ? .foreign : .damaged))
    }
    try folder.write(ring + [0], to: "long")
    #expect(throws: RingError.self) { try readAll(folder.file("long")) }
  }

  @Test("Zeros, random bytes, a folder, a link and nothing at all are refused with their reason")
  func foreign() throws {
    let folder = try ScratchFolder()
    var random = SeededRandom(seed: 5)
    try folder.write([UInt8](repeating: 0, count: 65536), to: "zeros")
    try folder.write((0..<65536).map { _ in UInt8.random(in: 0...255, using: &random) }, to: "random")
    try folder.write(try makeRing(folder), to: "ring")
    symlink(folder.file("ring"), folder.file("link"))
    mkfifo(folder.file("pipe"), 0o600)
    func refusal(_ path: String) -> RingError? {
      do throws(RingError) { _ = try RingReader(path: path) } catch { return error }
      return nil
    }
    let zeros = try #require(refusal(folder.file("zeros")))
    #expect(zeros.code == .unfinished && zeros.message.contains("its writer has not finished it"))
    let bytes = try #require(refusal(folder.file("random")))
    #expect(bytes.code == .foreign && bytes.message.contains("is not a ring file"))
    #expect(refusal(folder.path)?.code == .foreign)
    #expect(refusal(folder.file("pipe"))?.code == .foreign)
    let link = try #require(refusal(folder.file("link")))
    #expect(link.code == .foreign && link.message.contains("symbolic link"))
    let missing = try #require(refusal(folder.file("none")))
    #expect(missing.code == .missing)
    let path = folder.file("none")
    #expect(missing.message == "there is no ring file at '\(path)': the fork may have ended; check the path")
  }

  @Test("Another layout version is refused, naming both")
  func version() throws {
    let folder = try ScratchFolder()
    var ring = try makeRing(folder)
    ring[8] = 2
    try folder.write(ring, to: "newer")
    let error = #expect(throws: RingError.self) { try RingReader(path: folder.file("newer")) }
    #expect(error?.code == .version)
    #expect(error?.message.contains("layout version 2, this program knows 1") == true)
  }

  @Test("An entry that cannot be is broken, and it says why")
  func brokenFields() throws {
    let rate = try #require(MemoryLayout<af_ring_entry>.offset(of: \.rate_hz))
    let samples = try #require(MemoryLayout<af_ring_entry>.offset(of: \.samples))
    let start = try #require(MemoryLayout<af_ring_entry>.offset(of: \.start))
    let run = try #require(MemoryLayout<af_ring_entry>.offset(of: \.run_ns))
    let sequence = try #require(MemoryLayout<af_ring_entry>.offset(of: \.sequence))
    let kind = try #require(MemoryLayout<af_ring_entry>.offset(of: \.kind))
    let direction = try #require(MemoryLayout<af_ring_entry>.offset(of: \.direction))
    try expectBroken([(kind, 0)], "has no kind")
    try expectBroken([(direction, 2)], "has direction 2")
    try expectBroken([(rate, 0x3F), (rate + 1, 0x1F)], "a rate of 7999 Hz")
    try expectBroken([(rate + 3, 1)], "Hz")
    try expectBroken([(samples, 0)], "has 0 samples")
    try expectBroken([(samples, 225), (samples + 1, 1)], "has 481 samples at 8000 Hz")
    try expectBroken([(start, 4)], "starts at byte")
    try expectBroken([(run + 7, 0x80)], "outside of any call's time")
    try expectBroken([(run + 7, 0x10)], "outside of any call's time")
    try expectBroken([(sequence, 0)], "is not in the index")
  }

  /// Changes bytes of the only entry of a ring and expects that it is not accepted, for this reason.
  private func expectBroken(_ changes: [(Int, UInt8)], _ reason: String) throws {
    let folder = try ScratchFolder()
    let tap = try TestTap(in: folder)
    tap.capture(.in, [Int16](repeating: 1, count: 160), at: 20 * millisecond)
    let reader = try RingReader(path: tap.path)
    for (offset, value) in changes { tap.tap.pointee.index[offset] = value }
    var samples: [Int16] = []
    guard case .broken(let text) = reader.read(0, into: &samples) else {
      Issue.record("the entry was accepted although \(reason)")
      return
    }
    #expect(text.contains(reason))
  }
}
