// SPDX-License-Identifier: Apache-2.0
import AudioForkBytes
import AudioForkLink
import AudioForkSurface
import Testing

/// Module and engine of different releases talk to each other: a message never changes its bytes.
@Suite("The bytes of the control link")
struct GoldenBytesTests {
  private static var counters: ForkCounters {
    var counters = ForkCounters()
    for (index, counter) in Counter.allCases.enumerated() { counters[counter] = UInt64(index + 1) }
    counters[.skew] = UInt64(bitPattern: -14)
    counters[.losing] = 1
    counters.confirmation = .pong
    return counters
  }

  private func hexadecimal(_ bytes: [UInt8]) -> String {
    bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
  }

  @Test("The module's messages")
  func module() {
    let messages: [(MessageFromModule<String>, String)] = [
      (
        .hello(version: "0.1", protocolVersion: 1),
        "1f000000010000001000000003000000302e3111000000080000000100000000000000"
      ),
      (.fork(id: "af-1", isClosed: false), "1c00000002000000010000000400000061662d3113000000040000006c697665"),
      (.fork(id: "af-1", isClosed: true), "1e00000002000000010000000400000061662d311300000006000000636c6f736564"),
      (.tableEnd, "0400000003000000"),
      (.forget(id: "af-1"), "1000000004000000010000000400000061662d31"),
      (.restart, "0400000007000000"),
      (.stopping, "0400000008000000"),
      (.sendText(id: "af-1", text: Array("{}".utf8)), "1a00000005000000010000000400000061662d3116000000020000007b7d"),
    ]
    for (message, bytes) in messages { #expect(hexadecimal(message.encoded) == bytes, "\(message)") }
  }

  @Test("The engine's messages")
  func engine() {
    let gap = GapReport(direction: "out", start: 5, count: 9, position: 77, reason: "ahead")
    let messages: [(MessageFromEngine<String>, String)] = [
      (
        .ready(version: "0.1", pid: 42, loops: 2),
        "3f000000410000001000000003000000302e311100000008000000010000000000000012000000080000002a00000000"
          + "00000030000000080000000200000000000000"
      ),
      (
        .ready(version: "0.1", pid: 42, loops: 2, knows: 8),
        "4f000000410000001000000003000000302e311100000008000000010000000000000012000000080000002a00000000"
          + "0000003000000008000000020000000000000017000000080000000800000000000000"
      ),
      (
        .ready(version: "0.1", pid: 42, loops: 2, knows: 8, confinement: "c"),
        "58000000410000001000000003000000302e311100000008000000010000000000000012000000080000002a00000000"
          + "0000003000000008000000020000000000000017000000080000000800000000000000180000000100000063"
      ),
      (
        .state(id: "af-1", state: .waiting, reason: "dns: x", endpoint: "ws://h/", Self.counters),
        "4801000042000000010000000400000061662d31130000000700000077616974696e671400000006000000646e733a20"
          + "78020000000700000077733a2f2f682f2000000008000000010000000000000021000000080000000200000000000000"
          + "220000000800000003000000000000002300000008000000040000000000000024000000080000000500000000000000"
          + "250000000800000006000000000000002600000008000000070000000000000027000000080000000800000000000000"
          + "2800000008000000090000000000000032000000080000000a0000000000000034000000080000000b00000000000000"
          + "35000000080000000c0000000000000029000000080000000d000000000000002a00000008000000f2ffffffffffffff"
          + "2b000000080000000f00000000000000330000000800000001000000000000003100000004000000706f6e67"
      ),
      (
        .state(id: "af-1", state: .streaming, reason: "", endpoint: "ws://h/", .unknown),
        "3000000042000000010000000400000061662d31130000000900000073747265616d696e67020000000700000077733a"
          + "2f2f682f"
      ),
      (
        .ended(id: "af-1", reason: "done: y", Self.counters),
        "2b01000043000000010000000400000061662d311400000007000000646f6e653a207920000000080000000100000000"
          + "000000210000000800000002000000000000002200000008000000030000000000000023000000080000000400000000"
          + "000000240000000800000005000000000000002500000008000000060000000000000026000000080000000700000000"
          + "000000270000000800000008000000000000002800000008000000090000000000000032000000080000000a00000000"
          + "00000034000000080000000b0000000000000035000000080000000c0000000000000029000000080000000d00000000"
          + "0000002a00000008000000f2ffffffffffffff2b000000080000000f0000000000000033000000080000000100000000"
          + "0000003100000004000000706f6e67"
      ),
      (
        .log(.warning, id: "af-1", text: "n\u{e9}"),
        "2b0000004400000015000000080000000300000000000000010000000400000061662d3116000000030000006ec3a9"
      ),
      (
        .gap(id: "af-1", gap),
        "5800000045000000010000000400000061662d312d000000030000006f75742e0000000800000005000000000000002f"
          + "00000008000000090000000000000020000000080000004d0000000000000014000000050000006168656164"
      ),
      (.heartbeat, "0400000047000000"),
      (.leaving, "0400000048000000"),
      (
        .text(id: "af-1", text: Array("{}".utf8), length: 70_000, dropped: 3),
        "3a00000046000000010000000400000061662d3116000000020000007b7d2c0000000800000070110100000000002b00"
          + "0000080000000300000000000000"
      ),
      (
        .transcript(
          id: "af-1",
          TranscriptReport(
            Array("hi".utf8), length: 9, speaker: .in, isFinal: true, start: 1, end: 258, confidence: 970),
          dropped: 3),
        "8400000048000000010000000400000061662d311800000002000000696e190000000800000001000000000000001600"
          + "00000200000068692c000000080000000900000000000000"
          + "1a0000000800000001000000000000001b0000000800000002010000000000001c00000008000000ca03000000000000"
          + "2b000000080000000300000000000000"
      ),
      (
        .transcript(id: "af-1", TranscriptReport([], length: 0, speaker: .both, isFinal: false), dropped: 0),
        "5400000048000000010000000400000061662d311800000004000000626f7468190000000800000000000000000000001600"
          + "0000000000002c0000000800000000000000000000002b000000080000000000000000000000"
      ),
    ]
    for (message, bytes) in messages {
      #expect(hexadecimal(withoutLaterCounters(message.encoded)) == bytes, "\(message)")
    }
  }

  /// The message without the counters that were added behind `losing`: they are between it and CONFIRMATION.
  private func withoutLaterCounters(_ message: [UInt8]) -> [UInt8] {
    let confirmation = 12
    let later = (Counter.allCases.count - 1 - Int(Counter.losing.rawValue)) * 16
    guard later > 0, message.suffix(4) == Array("pong".utf8)[...] else { return message }
    var length: [UInt8] = []
    length.append(littleEndian: UInt32(message.count - 4 - later))
    return length + message[4..<(message.count - confirmation - later)] + message.suffix(confirmation)
  }
}
