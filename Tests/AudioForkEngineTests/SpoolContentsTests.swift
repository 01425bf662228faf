// SPDX-License-Identifier: Apache-2.0
import AudioForkMedia
import AudioForkEngine
import AudioForkEngineTestKit
import AudioForkRing
import AudioForkTestKit
import Testing

@Suite("Spool contents")
struct SpoolContentsTests {
  private func entry(_ sequence: UInt64, count: Int = 4) -> CapturedEntry {
    CapturedEntry(
      sequence: sequence, direction: .in, rateHertz: 8000, count: count, runStart: 0, runIndex: 0, arrival: 0,
      captured: sequence * 4)
  }

  /// The spool's file, as bytes.
  private struct File {
    var bytes = [UInt8](repeating: 0, count: SpoolFile.headerBytes)

    mutating func write(_ contents: inout SpoolContents) {
      #expect(contents.end == bytes.count)
      bytes += contents.beginWriting().bytes
      contents.writeSucceeded()
    }

    func fetch(_ offset: Int, for contents: inout SpoolContents) {
      contents.take(page: Array(bytes.dropFirst(offset).prefix(SpoolContents.pageBytes)), at: offset)
    }
  }

  private func find(_ sequence: UInt64, in contents: inout SpoolContents) -> SpoolContents.Lookup {
    var samples: [Int16] = []
    return contents.find(sequence, into: &samples)
  }

  @Test("An entry waits, is on its way, then is in the file; one page gives those behind it too")
  func way() {
    var contents = SpoolContents()
    var file = File()
    #expect(find(3, in: &contents) == .missing(next: nil))
    #expect(contents.newest == nil && contents.isAllWritten)
    for sequence: UInt64 in [3, 4, 6] {
      contents.waiting.append(entry(sequence), samples: [1, 2, 3, Int16(sequence)], now: 0)
    }
    contents.waiting.append(
      CapturedDigit(direction: .out, digit: UInt8(ascii: "5"), milliseconds: 80), sequence: 7, now: 0)
    #expect(find(3, in: &contents) == .onItsWay)
    #expect(find(2, in: &contents) == .missing(next: 3))
    #expect(find(5, in: &contents) == .missing(next: 6))
    #expect(find(8, in: &contents) == .missing(next: nil))
    _ = contents.beginWriting()
    #expect(contents.waiting.isEmpty && !contents.isAllWritten)
    #expect(find(4, in: &contents) == .onItsWay)
    #expect(contents.writeFailed() > 0)
    #expect(contents.newest == nil && contents.isAllWritten, "what could not be written is copied again")

    for sequence: UInt64 in [3, 4, 6] {
      contents.waiting.append(entry(sequence), samples: [1, 2, 3, Int16(sequence)], now: 0)
    }
    file.write(&contents)
    #expect(contents.written == 6 && contents.recordBytes == file.bytes.count - SpoolFile.headerBytes)
    #expect(find(2, in: &contents) == .missing(next: 3))
    #expect(find(4, in: &contents) == .inFile(offset: SpoolFile.headerBytes))
    file.fetch(SpoolFile.headerBytes, for: &contents)
    var samples: [Int16] = []
    #expect(contents.find(4, into: &samples) == .entry(.audio(entry(4))))
    #expect(samples == [1, 2, 3, 4])
    #expect(find(5, in: &contents) == .missing(next: 6))
    #expect(find(6, in: &contents) == .entry(.audio(entry(6))))
    #expect(find(3, in: &contents) == .entry(.audio(entry(3))), "after a break it is read again")
  }

  @Test("A file that was emptied lacks what was copied before, until that is confirmed")
  func emptied() {
    var contents = SpoolContents()
    var file = File()
    func add(_ entries: ClosedRange<UInt64>) {
      for sequence in entries { contents.waiting.append(entry(sequence), samples: [1, 2, 3, 4], now: 0) }
    }
    #expect(!contents.isWritten(from: 3, before: 3), "nothing is in the file")
    add(3...5)
    file.write(&contents)
    #expect(contents.isWritten(from: 3, before: 6) && !contents.isWritten(from: 3, before: 7))
    #expect(!contents.isWritten(from: 2, before: 6))
    add(6...8)
    contents.clearFile()
    file = File()
    file.write(&contents)
    #expect(contents.written == 8)
    #expect(!contents.isWritten(from: 3, before: 6) && !contents.isWritten(from: 5, before: 9))
    #expect(contents.isWritten(from: 6, before: 9))
  }

  @Test("Every entry of a long file is found, from any place, with a page for many of them")
  func long() {
    var contents = SpoolContents()
    var file = File()
    var sequence: UInt64 = 0
    for _ in 0..<20 {
      for _ in 0..<10 {
        contents.waiting.append(entry(sequence, count: 1000), samples: .init(repeating: 7, count: 1000), now: 0)
        sequence += 2
      }
      file.write(&contents)
    }
    var fetches = 0
    func look(_ sequence: UInt64) -> SpoolContents.Lookup {
      for _ in 0..<5 {
        let found = find(sequence, in: &contents)
        guard case .inFile(let offset) = found else { return found }
        file.fetch(offset, for: &contents)
        fetches += 1
      }
      return find(sequence, in: &contents)
    }
    for number in 0..<sequence - 1 {
      let isThere = number % 2 == 0
      #expect(look(number) == (isThere ? .entry(.audio(entry(number, count: 1000))) : .missing(next: number + 1)))
    }
    #expect(fetches < 6, "\(fetches) pages for \(file.bytes.count) bytes")
    var random = SeededRandom(seed: 3)
    for _ in 0..<5 {
      let number = UInt64.random(in: 0..<sequence / 2, using: &random) * 2
      #expect(look(number) == .entry(.audio(entry(number, count: 1000))))
    }
    // The next engine knows a place in each 64 KiB or so.
    var content = SpoolFile.Content()
    content.places = [SpoolFile.Place(sequence: 0, offset: SpoolFile.headerBytes)]
    content.lastSequence = sequence - 2
    content.end = file.bytes.count
    contents = SpoolContents(content)
    #expect(look(60) == .entry(.audio(entry(60, count: 1000))))
  }

  @Test("A file that does not hold what was written is damaged; emptying it leaves what waits")
  func damaged() {
    var contents = SpoolContents()
    var file = File()
    contents.waiting.append(entry(1), samples: [1, 2, 3, 4], now: 0)
    file.write(&contents)
    contents.waiting.append(entry(2), samples: [1, 2, 3, 4], now: 0)
    file.bytes[SpoolFile.headerBytes + 9] ^= 1
    file.fetch(SpoolFile.headerBytes, for: &contents)
    #expect(find(1, in: &contents) == .damaged)
    contents.clearFile()
    #expect(contents.written == nil && contents.recordBytes == 0)
    #expect(find(1, in: &contents) == .missing(next: 2))
    #expect(find(2, in: &contents) == .onItsWay)
    #expect(contents.newest == 2)
  }

  @Test("A batch is written when it is large, or a quarter of a second old; it takes no more than it may")
  func batch() {
    var batch = SpoolBatch()
    #expect(!batch.isDue(now: at(.max)))
    batch.append(entry(1), samples: [1, 2, 3, 4], now: at(5 * millisecond))
    #expect(!batch.isDue(now: at(254 * millisecond)))
    #expect(batch.isDue(now: at(255 * millisecond)))
    var sequence: UInt64 = 2
    while batch.bytes.count < SpoolBatch.bytesMin {
      #expect(!batch.isDue(now: at(254 * millisecond)))
      batch.append(entry(sequence, count: 1000), samples: .init(repeating: 1, count: 1000), now: at(6 * millisecond))
      sequence += 1
    }
    #expect(batch.isDue(now: at(7 * millisecond)) && !batch.isFull)
    while !batch.isFull {
      batch.append(entry(sequence, count: 1000), samples: .init(repeating: 1, count: 1000), now: at(6 * millisecond))
      sequence += 1
    }
    #expect(batch.bytes.count >= SpoolBatch.bytesMax && batch.places.count == Int(sequence) - 1)
    #expect(batch.newest == sequence - 1)
  }
}
