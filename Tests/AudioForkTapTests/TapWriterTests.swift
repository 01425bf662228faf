// SPDX-License-Identifier: Apache-2.0
import AudioForkMedia
import AudioForkRing
import AudioForkRingTestKit
import AudioForkTap
import AudioForkTestKit
import CAudioForkABI
import Testing

@Suite("What the tap writes")
struct TapWriterTests {
  private let folder: ScratchFolder
  private let tap: TestTap
  private let reader: RingReader

  init() throws {
    folder = try ScratchFolder()
    tap = try TestTap(in: folder)
    reader = try RingReader(path: tap.path)
  }

  private func frame(_ duration: Int, rate: Int = 8000) -> [Int16] {
    [Int16](repeating: 7, count: duration * rate / 1000)
  }

  private func entries() throws -> [CapturedEntry] {
    var samples: [Int16] = []
    return try (0..<reader.published).map { sequence in
      guard case .entry(let entry) = reader.read(sequence, into: &samples) else {
        throw RingError(.damaged, "entry \(sequence) was not accepted")
      }
      return entry
    }
  }

  /// A slot's fields as they are in memory, for what the reader has no use for.
  private func fields(_ sequence: Int) -> af_ring_entry {
    af_ring_load_fields(tap.tap.pointee.index + sequence * Int(AF_RING_ENTRY_BYTES))
  }

  private func hasFlag(_ sequence: Int, _ flag: af_entry_flags) -> Bool {
    UInt32(fields(sequence).flags) & flag.rawValue != 0
  }

  @Test("The pieces of a frame that begins a run lie in that run, one behind the other")
  func pieces() throws {
    tap.capture(.in, frame(20), at: 20 * millisecond)
    tap.capture(.in, frame(150), at: 650 * millisecond)
    let entries = try entries()
    #expect(entries.map(\.count) == [160, 480, 480, 240])
    #expect(entries.map(\.runIndex) == [0, 0, 480, 960])
    #expect(entries.map(\.runStart.nanoseconds) == [0, 500, 500, 500].map { $0 * millisecond })
    #expect(entries.map(\.arrival.nanoseconds) == [20, 650, 650, 650].map { $0 * millisecond })
    #expect(entries.map(\.startsRun) == [true, true, false, false])
    #expect(entries.map(\.hasMore) == [false, true, true, false])
    #expect(entries.map(\.captured) == [0, 160, 640, 1120])
  }

  @Test("Muted audio is captured as zeros, flagged, for that direction and from then on")
  func muted() throws {
    tap.mute(1)
    tap.capture(.in, frame(20), at: 20 * millisecond)
    tap.capture(.out, frame(20), at: 20 * millisecond)
    tap.mute(2)
    tap.capture(.in, frame(20), at: 40 * millisecond)
    tap.capture(.out, frame(20), at: 40 * millisecond)
    #expect(try entries().map(\.isMuted) == [true, false, false, true])
    var samples: [Int16] = []
    var sums: [Int] = []
    for sequence in 0..<4 as Range<UInt64> {
      guard case .entry(let entry) = reader.read(sequence, into: &samples) else { continue }
      sums.append(samples.prefix(entry.count).reduce(0) { $0 + Int($1) })
    }
    #expect(sums == [0, 1120, 1120, 0])
    #expect(reader.captured(.in) == 320 && reader.captured(.out) == 320)
  }

  /// The digits in the ring, in their order.
  private var digits: String {
    (0..<Int(reader.published)).map(fields).filter { UInt32($0.kind) == AF_ENTRY_DTMF.rawValue }
      .reduce(into: "") { $0.unicodeScalars.append(Unicode.Scalar($1.detail)) }
  }

  @Test("A digit is captured only if no part of its press can lie in a mute of its direction")
  func mutedDigits() {
    tap.press(.in, "1", milliseconds: 100, end: 900 * millisecond)
    tap.mute(1, isOn: true, at: 1000 * millisecond)
    // Pressed before the mute, released in it; and pressed in it. The other direction is not muted.
    tap.press(.in, "2", milliseconds: 200, end: 1100 * millisecond)
    tap.press(.in, "3", milliseconds: 100, end: 4000 * millisecond)
    tap.press(.out, "4", milliseconds: 100, end: 4000 * millisecond)
    tap.mute(3, isOn: false, at: 5000 * millisecond)
    // Released after the mute: up to twice its length, which Asterisk may have generated, and half a second count.
    tap.press(.in, "5", milliseconds: 200, end: 5050 * millisecond)
    tap.press(.in, "6", milliseconds: 200, end: 5899 * millisecond)
    tap.press(.out, "7", milliseconds: 200, end: 5050 * millisecond)
    tap.press(.in, "8", milliseconds: 200, end: 5900 * millisecond)
    tap.press(.in, "9", milliseconds: 4000, end: 9000 * millisecond)
    #expect(digits == "1478")
    // A whole mute within one press.
    tap.mute(2, isOn: true, at: 20_000 * millisecond)
    tap.mute(2, isOn: false, at: 20_100 * millisecond)
    tap.press(.out, "*", milliseconds: 1000, end: 20_900 * millisecond)
    tap.press(.in, "#", milliseconds: 1000, end: 20_900 * millisecond)
    #expect(digits == "1478#")
    // Lengths that no digit has do no harm: they are taken as given.
    tap.press(.out, "A", milliseconds: .max, end: 30_000 * millisecond)
    tap.press(.out, "B", milliseconds: 0, end: 30_000 * millisecond)
    #expect(digits == "1478#B")
  }

  @Test("A mute that is ended a second time, or that never was, hides no digit")
  func unmutedDigits() {
    tap.mute(3, isOn: false, at: 1000 * millisecond)
    tap.press(.in, "1", milliseconds: 100, end: 1010 * millisecond)
    tap.mute(1, isOn: true, at: 2000 * millisecond)
    tap.mute(1, isOn: false, at: 3000 * millisecond)
    tap.mute(1, isOn: false, at: 9000 * millisecond)
    tap.press(.in, "2", milliseconds: 100, end: 9010 * millisecond)
    #expect(digits == "12")
  }

  @Test("What is too far ahead is stored, flagged and counted, and the next frame is placed as if it had not been")
  func ahead() throws {
    for _ in 0..<110 { tap.capture(.out, frame(20), at: 20 * millisecond) }
    let entries = try entries()
    let refused = entries.filter(\.isAhead)
    // E may be up to two seconds behind A - D: 101 frames end at 2020 ms, the next ones are too many.
    #expect(refused.count == 9 && entries.suffix(9).allSatisfy(\.isAhead))
    #expect(reader.ahead(.out) == 9 * 160 && reader.ahead(.in) == 0)
    #expect(reader.captured(.out) == 110 * 160)
    tap.capture(.out, frame(20), at: 60 * millisecond)
    let next = try #require(try self.entries().last)
    #expect(!next.isAhead && next.runIndex == 101 * 160 && next.captured == 110 * 160)
  }

  @Test("RTP time counts for what was read, and never for what was written")
  func timing() throws {
    for direction in Direction.allCases {
      tap.capture(direction, frame(20), at: 20 * millisecond, ts: 1000)
      tap.capture(direction, frame(20), at: 1040 * millisecond, ts: 1020)
    }
    let entries = try entries()
    // In: unbroken RTP time, so the second frame was late here. Out: it was spoken when it came.
    #expect(entries.map(\.startsRun) == [true, false, true, true])
    #expect((0..<4).map { hasFlag($0, AF_ENTRY_TIMING) } == [true, true, false, false])
    #expect((0..<4).map { fields($0).ts } == [1000, 1020, 0, 0])
  }

  @Test("Another channel under the fork is flagged once and makes RTP time unknown")
  func channelChange() throws {
    tap.capture(.in, frame(20), at: 20 * millisecond, ts: 1000)
    tap.channel = UnsafeRawPointer(bitPattern: 0x2000)
    // By the old expectation this would be a jump of 20 ms; nobody knows, so it continues.
    tap.capture(.in, frame(130), at: 150 * millisecond, ts: 1040)
    tap.capture(.in, frame(20), at: 190 * millisecond, ts: 1190)
    let entries = try entries()
    #expect(entries.map(\.startsRun) == [true, false, false, false, true])
    #expect(entries.last?.runStart.nanoseconds == 170 * millisecond)
    #expect((0..<5).map { hasFlag($0, AF_ENTRY_CHANNEL) } == [false, true, false, false, false])
  }

  @Test("A change of the channel seen in one direction resets the other one too")
  func channelChangeBothWays() throws {
    tap.capture(.in, frame(20), at: 20 * millisecond, ts: 1000)
    tap.channel = UnsafeRawPointer(bitPattern: 0x2000)
    tap.capture(.out, frame(20), at: 30 * millisecond)
    tap.capture(.in, frame(20), at: 60 * millisecond, ts: 1040)
    #expect(try entries().map(\.startsRun) == [true, true, false])
    #expect((0..<3).map { hasFlag($0, AF_ENTRY_CHANNEL) } == [false, true, false])
  }

  @Test("A change of rate in mid-call starts a run where the last one ended")
  func rateChange() throws {
    tap.capture(.in, frame(20), at: 20 * millisecond)
    tap.capture(.in, frame(20, rate: 16000), rate: 16000, at: 40 * millisecond)
    tap.capture(.in, frame(20, rate: 16000), rate: 16000, at: 60 * millisecond)
    let entries = try entries()
    #expect(entries.map(\.rateHertz) == [8000, 16000, 16000])
    #expect(entries.map(\.runStart.nanoseconds) == [0, 20, 20].map { $0 * millisecond })
    #expect(entries.map(\.runIndex) == [0, 0, 320])
    #expect(entries.map(\.captured) == [0, 160, 480])
  }
}
