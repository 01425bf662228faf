// SPDX-License-Identifier: Apache-2.0
import AsteriskTestKit
import AudioForkProof
import Testing

@Suite("What is made of the times of RTP packets")
struct JitterTests {
  /// One flow of 1000 packets; each second one is `unevenness` µs longer under way.
  private func row(_ label: String, unevenness: Int64, stolen: Int? = 0) -> JitterRun.Row {
    let sent = (0..<1000).map { Int64($0) * 20_000_000 + 1 }
    let arrived = sent.enumerated().map { $1 + 50_000 + ($0 % 2 == 0 ? 0 : unevenness * 1000) }
    var row = JitterRun.Row(
      label, RTPProbe.Passage(packets: 1000, flows: 1, sent: sent, arrived: arrived, strangers: 0), from: 100)
    row.stolen = stolen
    return row
  }

  @Test(
    "A pair whose jitter differs by a millisecond is a violation, in either direction",
    arguments: [(200, 1200), (1200, 200)])
  func difference(off: Int64, on: Int64) {
    var result = JitterRun.Result()
    let kept = [
      result.keep([row("1 off", unevenness: 200), row("1 on", unevenness: 1199)], seconds: 18, pairs: 3),
      result.keep([row("2 off", unevenness: off), row("2 on", unevenness: on)], seconds: 18, pairs: 3),
    ]
    #expect(kept == [true, true])
    result.judge()
    #expect(result.violations == ["pair 2: the jitter's p99.9 differs by \(on - off) µs"])
  }

  @Test("A peer that sends unevenly makes no jitter")
  func unevenPeer() {
    let sent = (0..<1000).map { Int64($0) * 20_000_000 + ($0 % 2 == 0 ? 1 : 5_000_000) }
    let passage = RTPProbe.Passage(packets: 1000, flows: 1, sent: sent, arrived: sent.map { $0 + 50_000 }, strangers: 0)
    let row = JitterRun.Row("off", passage, from: 100)
    #expect(row.jitter.longest == 0)
    #expect(row.ownJitter.p999 > 4000)
    #expect(row.lost == 0 && row.packets == 900)
  }

  @Test("A pair from which the host kept too much is measured again, as often as there are pairs, and then it counts")
  func disturbed() {
    var result = JitterRun.Result()
    let pair = [row("1 off", unevenness: 200), row("1 on", unevenness: 5000, stolen: 91)]
    let kept = [result.keep(pair, seconds: 18, pairs: 2), result.keep(pair, seconds: 18, pairs: 2)]
    #expect(kept == [false, false])
    result.judge()
    #expect(result.violations == [] && result.rows.isEmpty && result.disturbed.count == 4)
    let third = result.keep(pair, seconds: 18, pairs: 2)
    #expect(third)
    result.judge()
    #expect(result.violations.count == 1)
    let lines = result.table.split(separator: "\n").filter { $0.hasPrefix("| again: ") }
    #expect(lines.count == 4)
    #expect(
      result.table.split(separator: "\n").filter { $0 == "| again | 4800 | 4800 |" }.count == 2, "\(result.table)")
  }

  @Test("What is wrong in a pair counts though it is measured again; a host that says nothing disturbs nothing")
  func wrong() {
    var result = JitterRun.Result()
    var off = row("1 off", unevenness: 200, stolen: 91)
    off.wrong = ["3 packets were lost"]
    let first = result.keep([off, row("1 on", unevenness: 200)], seconds: 18, pairs: 3)
    #expect(!first)
    #expect(result.violations == ["1 off: 3 packets were lost"])
    let second = result.keep(
      [row("1 off", unevenness: 200, stolen: nil), row("1 on", unevenness: 200, stolen: 90)], seconds: 18, pairs: 3)
    #expect(second)
  }

  @Test("What the host kept is the eighth figure of /proc/stat's first line")
  func stolen() {
    #expect(
      HostTime.stolen(in: "cpu  3083343 7196 633495 6470657 14558 0 61090 50 0 0\ncpu0 1 2 3 4 5 6 7 8 9 10\n") == 500)
    #expect(HostTime.stolen(in: "cpu  1 2 3") == nil)
    #expect(HostTime.stolen(in: "") == nil)
    #expect(HostTime.stolen != nil)
  }
}
