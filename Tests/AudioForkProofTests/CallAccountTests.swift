// SPDX-License-Identifier: Apache-2.0
import AudioForkMedia
import AudioForkProof
import Testing

@Suite("The account of one call")
struct CallAccountTests {
  private static let frames = 8000
  private let sources = Direction.allCases.map { SourceSignal(seed: 7, direction: $0, seconds: 4) }

  /// A file in which both directions are the first `frames` samples of what was said.
  private func recording(_ range: Range<Int> = 0..<frames) -> [Int16] {
    range.flatMap { index in sources.map { $0.samples[index] } }
  }

  /// A call whose fork captured and delivered everything.
  private func whole(isV1: Bool = true) -> CallAccount.Evidence {
    CallAccount.Evidence(
      stop: [
        "Captured": "16000", "Delivered": "16000", "Lost": "0", "Position": "8000", "Fill": "0",
        "Reason": "done: all audio was delivered",
      ], gaps: [], recordings: [recording()], sources: sources, isV1: isV1, isExplained: false,
      stopPosition: isV1 ? 8000 : nil)
  }

  private func gap(_ direction: String, _ range: Range<Int>, _ reason: String = "overrun") -> [String: String] {
    ["GapDirection": direction, "Start": "\(range.lowerBound)", "Count": "\(range.count)", "Reason": reason]
  }

  /// The same call with this range of direction in lost: zeros in the file, and less delivered.
  private func lacking(_ range: Range<Int>) -> CallAccount.Evidence {
    var evidence = whole()
    for index in range { evidence.recordings[0][2 * index] = 0 }
    evidence.stop["Fill"] = "\(range.count)"
    return evidence
  }

  @Test("A call of which everything arrived has no complaint, and is counted", arguments: [true, false])
  func nothingWrong(isV1: Bool) {
    let account = CallAccount(whole(isV1: isV1))
    #expect(account.complaints == [])
    #expect(account.findings.captured == 16_000 && account.findings.delivered == 16_000)
    #expect(account.findings.unaccounted == 0 && account.findings.notCaptured == 0)
  }

  @Test("Samples that are missing without a word are a complaint and unaccounted")
  func lost() {
    let account = CallAccount(lacking(3000..<3160))
    #expect(account.complaints == ["in: 160 samples are lost without a word"])
    #expect(account.findings.unaccounted == 160 && account.findings.delivered == 15_840)
  }

  @Test("Samples behind the end of the file are missing, too")
  func cutOff() {
    var evidence = whole()
    evidence.recordings = [recording(0..<7900)]
    let account = CallAccount(evidence)
    #expect(
      account.complaints == [
        "files and gaps know of 15800 samples, 16000 were captured", "the file has 7900 sample frames, the stream 8000",
      ])
    #expect(account.findings.unaccounted == 200)
  }

  @Test("A frame that never came to the hook is none of ours, as long as it is few whole ones")
  func notCaptured() {
    for (count, isForgiven) in [(160, true), (800, true), (100, false), (960, false)] {
      var evidence = lacking(3000..<(3000 + count))
      evidence.stop["Captured"] = "\(16_000 - count)"
      evidence.stop["Delivered"] = "\(16_000 - count)"
      let account = CallAccount(evidence)
      #expect(account.complaints.isEmpty == isForgiven, "\(count): \(account.complaints)")
      #expect(account.findings.notCaptured == (isForgiven ? count : 0))
    }
  }

  @Test("A gap accounts for what is missing, and has to be explained")
  func gaps() {
    var evidence = lacking(3000..<3160)
    evidence.gaps = [gap("in", 3000..<3160)]
    evidence.stop["Delivered"] = "15840"
    evidence.stop["Lost"] = "160"
    evidence.isExplained = true
    let explained = CallAccount(evidence)
    #expect(explained.complaints == [])
    #expect(explained.findings.inGaps == 160 && explained.findings.gaps == 1 && explained.findings.unexplainedGaps == 0)
    evidence.isExplained = false
    let unexplained = CallAccount(evidence)
    #expect(unexplained.complaints == ["gaps without an outage longer than the buffer: \(evidence.gaps)"])
    #expect(unexplained.findings.unexplainedGaps == 1)
  }

  @Test("Samples that arrived although a gap has them contradict it; at the end of a call they may arrive")
  func contradicted() {
    var evidence = whole()
    evidence.gaps = [gap("out", 100..<260)]
    evidence.stop["Delivered"] = "15840"
    evidence.stop["Lost"] = "160"
    evidence.stop["Fill"] = "160"
    #expect(CallAccount(evidence).complaints.first == "out: 160 samples in gaps have arrived")
    // What was on its way when an outage began.
    evidence.isExplained = true
    #expect(CallAccount(evidence).complaints == [])
    evidence.isExplained = false
    evidence.gaps = [gap("out", 100..<260, "undelivered: the call ended")]
    evidence.stop["Fill"] = "0"
    #expect(CallAccount(evidence).complaints == ["gaps without an outage longer than the buffer: \(evidence.gaps)"])
  }

  @Test("Audio may come twice with raw, up to two seconds at once, and never with audiofork")
  func repeated() {
    var evidence = whole(isV1: false)
    evidence.recordings = [recording(0..<6000), recording(5000..<8000)]
    let raw = CallAccount(evidence)
    #expect(raw.complaints == [])
    #expect(raw.findings.repeatedRaw == 2000 && raw.findings.longestRepeat == 1000)
    evidence.isV1 = true
    let v1 = CallAccount(evidence)
    #expect(
      v1.complaints.prefix(3) == ["2 files of one fork", "in: 1000 samples came twice", "out: 1000 samples came twice"])
    #expect(v1.findings.repeatedV1 == 2000 && v1.findings.repeatedRaw == 0)
  }

  @Test("More than two seconds at once is too much for raw, too")
  func repeatedTooLong() {
    let count = CallAccount.repeatMax + 1000
    var evidence = whole(isV1: false)
    evidence.recordings = [recording(0..<count), recording(0..<count)]
    for name in ["Captured", "Delivered"] { evidence.stop[name] = "\(2 * count)" }
    #expect(CallAccount(evidence).complaints == ["in", "out"].map { "\($0): \(count) samples came again at once" })
  }

  @Test("An order that goes back, and what nobody said, are complaints")
  func foreign() {
    var evidence = whole(isV1: false)
    evidence.recordings = [recording(0..<8000) + recording(7000..<7400)]
    #expect(CallAccount(evidence).complaints.first == "in: the order goes back 1 times in a file")
    let other = SourceSignal(seed: 8, direction: .in, seconds: 1)
    evidence.recordings = [recording() + other.samples[..<20].flatMap { [$0, 0] }]
    #expect(CallAccount(evidence).complaints.contains { $0.hasSuffix("foreign samples") })
  }

  @Test(
    "Each number that AudioForkStop says is held against files and gaps",
    arguments: [
      (["Delivered": "15999"], "Delivered and Lost are not Captured"),
      (["Delivered": "15840", "Lost": "160"], "gaps of 0 samples were told, Lost says 160"),
      (["Position": "8001"], "the file has 8000 sample frames, the stream 8001"),
      (["Position": "7999"], "stop named position 8000, the stream has 7999"),
      (["Fill": "1"], "the file has 0 samples of fill, the stream 1"),
    ])
  func numbers(change: [String: String], complaint: String) {
    var evidence = whole()
    evidence.stop.merge(change) { _, new in new }
    #expect(CallAccount(evidence).complaints.contains(complaint))
    // A server of dialect raw is told no positions.
    evidence.isV1 = false
    let isOfStream = change["Position"] != nil || change["Fill"] != nil
    #expect(CallAccount(evidence).complaints.contains(complaint) == !isOfStream)
  }

  @Test("A gap of nothing is a complaint")
  func emptyGap() {
    var evidence = whole()
    evidence.gaps = [gap("in", 5..<5)]
    #expect(CallAccount(evidence).complaints.contains("an empty gap"))
  }
}
