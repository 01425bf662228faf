// SPDX-License-Identifier: Apache-2.0
import AudioForkMedia
import AudioForkRing
import AudioForkRingTestKit
import AudioForkTap
import AudioForkTestKit
import CAudioForkABI
import Testing

/// What is in a ring, kept as a plain list: the reference that the reader is compared with.
private struct RingModel {
  let size: RingSize
  private(set) var starts: [UInt64] = []
  private(set) var claimed: UInt64 = 0

  init(size: RingSize) { self.size = size }

  mutating func capture(count: Int, rate: UInt32) {
    var left = UInt64(count)
    while left > 0 {
      let piece = min(left, UInt64(rate / 1000 * 60))
      starts.append(claimed)
      claimed += (piece * 2 + 7) / 8 * 8
      left -= piece
    }
  }

  /// Whether entry `sequence` can be read while the ring's last `margin` parts of 16 count as overwritten.
  func isWhole(_ sequence: Int, margin: UInt64 = 0) -> Bool {
    UInt64(starts.count - sequence) <= size.indexEntries - size.indexEntries / 16 * margin
      && claimed - starts[sequence] <= size.areaBytes - size.areaBytes / 16 * margin
  }

  func oldest(after sequence: Int, margin: UInt64 = 0) -> Int {
    (sequence + 1..<starts.count).first { isWhole($0, margin: margin) } ?? starts.count
  }
}

@Suite("Ring properties, one seed each")
struct RingPropertyTests {
  static let rates: [UInt32] = [8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 96000, 192_000]

  /// One direction's frames of a random size, in order, as a hashed signal.
  private struct Source {
    let seed: UInt64
    var captured: [UInt64] = [0, 0]

    mutating func frame(_ direction: Direction, _ count: Int) -> [Int16] {
      let first = captured[Int(direction.rawValue)]
      captured[Int(direction.rawValue)] += UInt64(count)
      return (0..<UInt64(count)).map { hashedSample(seed: seed, direction: direction, index: first + $0) }
    }
  }

  private func randomSize(using random: inout SeededRandom) -> RingSize {
    RingSize(
      indexEntries: [64, 64, 128, 512].randomElement(using: &random) ?? 64,
      areaBytes: [4096, 8192, 32768, 262_144].randomElement(using: &random) ?? 4096)
  }

  private func randomFrame(using random: inout SeededRandom) -> (rate: UInt32, count: Int) {
    let rate = RingPropertyTests.rates.randomElement(using: &random) ?? 8000
    switch Int.random(in: 0..<10, using: &random) {
    case 0: return (rate, 1)
    case 1: return (rate, Int.random(in: 1...Int(rate / 1000 * 400), using: &random))
    case 2: return (44100, 882)
    case 3: return (rate, Int(rate / 1000 * 60) + Int.random(in: -1...1, using: &random))
    case 4: return (48000, 5760)
    default: return (rate, Int.random(in: 1...Int(rate / 1000 * 40), using: &random))
    }
  }

  @Test("Read and missing samples add up to the captured ones, and every sample is the right one", arguments: 1...60)
  func balance(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    let folder = try ScratchFolder()
    let size = randomSize(using: &random)
    let tap = try TestTap(in: folder, size: size)
    let reader = try RingReader(path: tap.path)
    var source = Source(seed: seed)
    var model = RingModel(size: size)
    var ledger = SampleLedger { hashedSample(seed: seed, direction: $0, index: $1) }
    var sequence: UInt64 = 0
    var samples: [Int16] = []
    var now: Int64 = 0
    var wasLapped = false
    // How greedy the reader is differs by seed: some keep up, some never do.
    let readsMax = Int.random(in: 2...40, using: &random)
    for _ in 0..<300 {
      for _ in 0..<Int.random(in: 0...20, using: &random) {
        let (rate, count) = randomFrame(using: &random)
        let direction: Direction = Bool.random(using: &random) ? .in : .out
        now += Int64.random(in: 0...50, using: &random) * millisecond
        tap.mute(UInt64.random(in: 0..<10, using: &random))
        tap.capture(direction, source.frame(direction, count), rate: rate, at: now)
        model.capture(count: count, rate: rate)
      }
      #expect(reader.published == UInt64(model.starts.count))
      for _ in 0..<Int.random(in: 0...readsMax, using: &random) {
        let number = Int(sequence)
        switch reader.read(sequence, into: &samples) {
        case .entry(let entry):
          #expect(number < model.starts.count && model.isWhole(number))
          ledger.take(entry, samples)
          sequence += 1
          wasLapped = false
        case .lapped(let oldest):
          #expect(!model.isWhole(number))
          #expect(oldest == UInt64(model.oldest(after: number, margin: wasLapped ? 1 : 0)))
          sequence = oldest
          wasLapped = true
        case .notYet:
          #expect(number == model.starts.count)
        case .notAudio, .digit, .broken: Issue.record("seed \(seed): entry \(sequence) was not accepted")
        }
      }
    }
    tap.close(at: now)
    drain(reader, from: sequence, into: &ledger)
    #expect(ledger.complaints == [])
    #expect(ledger.mutedSamples > 0)
    #expect(reader.captured(.in) == source.captured[0] && reader.captured(.out) == source.captured[1])
    #expect(reader.ahead(.in) + reader.ahead(.out) >= ledger.aheadSamples)
  }

  private func drain(_ reader: RingReader, from start: UInt64, into ledger: inout SampleLedger) {
    var samples: [Int16] = []
    var sequence = start
    while sequence < reader.published {
      switch reader.read(sequence, into: &samples) {
      case .entry(let entry):
        ledger.take(entry, samples)
        sequence += 1
      case .lapped(let oldest): sequence = oldest
      case .notYet, .notAudio, .digit, .broken:
        ledger.complain("entry \(sequence) was not accepted while draining")
        sequence += 1
      }
    }
    ledger.finish { reader.captured($0) }
  }

  @Test("A reader that keeps up misses nothing", arguments: 100...110)
  func keepingUp(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    let folder = try ScratchFolder()
    let tap = try TestTap(in: folder, size: RingSize(indexEntries: 64, areaBytes: 262_144))
    let reader = try RingReader(path: tap.path)
    var source = Source(seed: seed)
    var ledger = SampleLedger { hashedSample(seed: seed, direction: $0, index: $1) }
    var samples: [Int16] = []
    var sequence: UInt64 = 0
    for round in 0..<2000 {
      let (rate, count) = randomFrame(using: &random)
      let direction: Direction = Bool.random(using: &random) ? .in : .out
      tap.capture(direction, source.frame(direction, count), rate: rate, at: Int64(round) * 20 * millisecond)
      while case .entry(let entry) = reader.read(sequence, into: &samples) {
        ledger.take(entry, samples)
        sequence += 1
      }
    }
    ledger.finish { reader.captured($0) }
    #expect(ledger.complaints == [])
    #expect(ledger.missing == [0, 0])
    #expect(sequence == reader.published)
  }

  @Test("The pieces of a long frame keep its arrival and their order; all but the last say that more follows")
  func pieces() throws {
    let folder = try ScratchFolder()
    for (number, rate) in RingPropertyTests.rates.enumerated() {
      let tap = try TestTap(in: folder, name: "\(number).ring", size: RingSize(seconds: 4, rate: rate))
      let reader = try RingReader(path: tap.path)
      let count = Int(rate / 1000 * 150)
      let frame = (0..<UInt64(count)).map { hashedSample(seed: 9, direction: .in, index: $0) }
      tap.capture(.in, frame, rate: rate, at: 400 * millisecond)
      let pieceMax = Int(rate / 1000 * 60)
      #expect(reader.published == 3)
      var samples: [Int16] = []
      var collected: [Int16] = []
      for sequence in 0..<UInt64(3) {
        guard case .entry(let entry) = reader.read(sequence, into: &samples) else {
          Issue.record("piece \(sequence) at \(rate) Hz was not accepted")
          continue
        }
        collected += samples.prefix(entry.count)
        #expect(entry.count == (sequence < 2 ? pieceMax : count - 2 * pieceMax))
        #expect(entry.arrival.nanoseconds == 400 * millisecond)
        #expect(entry.runStart.nanoseconds == 400 * millisecond - nanoseconds(ofSamples: UInt64(count), rate: rate))
        #expect(entry.runIndex == sequence * UInt64(pieceMax) && entry.captured == entry.runIndex)
        #expect(entry.hasMore == (sequence < 2) && entry.startsRun == (sequence == 0))
      }
      #expect(collected == frame)
    }
  }
}
