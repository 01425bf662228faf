// SPDX-License-Identifier: Apache-2.0
import AudioForkMedia
import AudioForkRing
import AudioForkRingTestKit
import AudioForkTap
import AudioForkTestKit
import Testing

@Suite("A ring as text")
struct RingDumpTests {
  private func rest(of dump: inout RingDump) -> [String] {
    var lines: [String] = []
    while case .lines(let more) = dump.next() { lines += more }
    return lines
  }

  @Test("Header, entries and counters of a ring that is being written, and its end")
  func whole() throws {
    let folder = try ScratchFolder()
    let tap = try TestTap(in: folder)
    let reader = try RingReader(path: tap.path)
    var dump = RingDump(reader)
    let heading = dump.heading(
      path: "f-0001.ring", parameters: [("url", "ws://example.org/x\u{1B}[2J"), ("options", "D(both)")])
    #expect(
      heading.prefix(12) == [
        "ring     f-0001.ring", "size     2048 entries, 524288 bytes of samples", "fork     f-0001",
        "url      ws://example.org/x?[2J", "options  D(both)", "channel  PJSIP/alice-00000001",
        "uniqueid 1700000000.1", "linkedid 1700000000.0", "rate     16000 Hz", "drain    7 s",
        "align    160 ms",
        "epoch    1700000000.000000 s since 1970, 1000.000000 s since boot",
      ])
    #expect(heading[12] == "state    capturing")
    #expect(!heading.contains { $0.contains("secret") })
    tap.capture(.in, [Int16](repeating: -16384, count: 160), at: 20 * millisecond)
    tap.capture(.out, [Int16](repeating: 0, count: 1323), rate: 44100, at: 1_030_500_000)
    tap.mute(1)
    tap.capture(.in, [Int16](repeating: .min, count: 600), at: 115 * millisecond)
    #expect(
      rest(of: &dump) == [
        "       0 in     0.000000    0.020000    8000     160      -6.0 run",
        "       1 out    1.000500    1.030500   44100    1323      -inf run",
        "       2 in     0.020000    0.115000    8000     480      -inf more,muted",
        "       3 in     0.080000    0.115000    8000     120      -inf muted",
      ])
    #expect(dump.next() == .notYet)
    #expect(dump.counters().last == "capture goes on")
    tap.close(at: 2_000 * millisecond)
    #expect(dump.next() == .ended)
    #expect(
      dump.counters() == [
        "", "4 entries published, 0 of them not shown", "in  760 samples captured, 0 refused as more than 2 s ahead",
        "out 1323 samples captured, 0 refused as more than 2 s ahead", "capture ended at 2.000000 s",
      ])
  }

  @Test("Samples stand below their entry, sixteen in a line; full scale is 0 dB")
  func samples() throws {
    let folder = try ScratchFolder()
    let tap = try TestTap(in: folder)
    var dump = RingDump(try RingReader(path: tap.path), showsSamples: true)
    tap.capture(.in, Array(1...17) + [.min], at: 20 * millisecond)
    let lines = rest(of: &dump)
    #expect(lines.count == 3)
    #expect(lines[0].contains(" 0.0 run"))
    #expect(lines[1] == "         1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16")
    #expect(lines[2] == "         17 -32768")
  }

  @Test("What was overwritten is said, at the start and in between")
  func overwritten() throws {
    let folder = try ScratchFolder()
    let tap = try TestTap(in: folder, size: RingSize(indexEntries: 64, areaBytes: 1 << 20))
    var dump = RingDump(try RingReader(path: tap.path))
    for _ in 0..<70 { tap.capture(.in, [1], at: 20 * millisecond) }
    #expect(dump.next() == .lines(["         - (6 entries no longer in the ring)"]))
    guard case .lines = dump.next() else { Issue.record("entry 6 is there"); return }
    for _ in 0..<70 { tap.capture(.in, [1], at: 20 * millisecond) }
    #expect(dump.next() == .lines(["         - (69 entries overwritten before they could be read)"]))
    #expect(rest(of: &dump).count == 64)
    #expect(dump.counters()[1] == "140 entries published, 75 of them not shown")
  }
}
