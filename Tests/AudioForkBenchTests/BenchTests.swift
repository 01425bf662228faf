// SPDX-License-Identifier: Apache-2.0
import AudioForkBench
import Foundation
import Testing

@Suite("What benchmarks make of their figures")
struct BenchTests {
  @Test("The median is the middle, or lies between the two")
  func median() {
    #expect(EngineBench.median([3, 1, 2]) == 2)
    #expect(EngineBench.median([4, 1, 2, 3]) == 2.5)
    #expect(EngineBench.median([]).isNaN)
  }

  @Test("Engine against floor is the median of each turn's pair, not a pair of medians")
  func ratio() throws {
    var result = try EngineBench.Result.example()
    result.engine = [10, 40, 12].map { EngineBench.Sample(microsecondsPerMessage: $0) }
    result.floor = [10, 20, 10].map { EngineBench.Sample(microsecondsPerMessage: $0) }
    #expect(result.ratio == 1.2)
    result.floor = []
    #expect(result.ratio == nil)
  }

  @Test("What a call costs more is the difference to the calls without, of each turn")
  func marginal() throws {
    var result = AsteriskBench.Result(row: "a row", kind: "local", calls: 10)
    // 10 s; Asterisk takes 0.2 s, 0.3 s and 0.7 s more than without, the engine 0.1 s.
    for (with, without) in [(1200, 1000), (1500, 1200), (2200, 1500)] as [(UInt64, UInt64)] {
      #expect(result.asteriskMean == nil, "of less than three turns there is none")
      var sample = AsteriskBench.Sample()
      var baseline = AsteriskBench.Sample()
      sample.seconds = 10
      baseline.seconds = 10
      sample.asterisk.processorNanoseconds = with * 1_000_000
      baseline.asterisk.processorNanoseconds = without * 1_000_000
      sample.engine.processorNanoseconds = 100_000_000
      result.samples.append(sample)
      result.baseline.append(baseline)
    }
    #expect(abs(result.asteriskPercent - 0.3) < 1e-9)
    #expect(abs(result.enginePercent - 0.1) < 1e-9)
    #expect(abs(result.togetherPercent - 0.4) < 1e-9)
    let mean = try #require(result.asteriskMean)
    #expect(abs(mean.mean - 0.4) < 1e-9)
    #expect(abs(mean.error - (0.14 / 6).squareRoot()) < 1e-9)
    #expect(result.lateness == nil)
    let table = AsteriskBench.table([result]).split(separator: "\n")
    #expect(table.count == 3)
    #expect(table.last?.contains("| 0.3 (mean 0.4 ± 0.1528) |") == true)
    #expect(Set(table.map { $0.filter { $0 == "|" }.count }).count == 1, "every line has as many cells")
  }

  @Test("What is late or missing is not on time; a message at the end of the time is neither")
  func onTime() {
    // 10 streams for 2 s: 1000 messages are due.
    func share(_ messages: Int, late: Int = 0) -> Double {
      Sink.Report(messages: messages, late: late).onTime(seconds: 2, streams: 10)
    }
    #expect(share(1000) == 100)
    #expect(share(990) == 100)
    #expect(share(1010) == 100)
    #expect(share(495) == 50)
    #expect(share(1000, late: 100) == 90)
    #expect(share(0) == 0)
  }

  @Test("Two measurements of the same are one between them, whatever their length")
  func mean() {
    var first = AsteriskBench.Sample()
    var second = AsteriskBench.Sample()
    (first.seconds, second.seconds) = (10, 5)
    (first.asterisk.processorNanoseconds, second.asterisk.processorNanoseconds) = (1000, 700)
    let mean = first.mean(with: second)
    #expect(mean.seconds == 10)
    #expect(mean.asterisk.processorNanoseconds == 1200)
  }

  @Test("A plot has a line and a name for each row, names are escaped, and no point leaves it")
  func chart() throws {
    let chart = Chart(
      "a < b", horizontal: "calls", vertical: "%",
      lines: [
        Chart.Line("one & two", [(x: 400, y: 0.5), (x: 25, y: 0.25), (x: 50, y: .nan)]),
        Chart.Line("below", [(x: 100, y: -0.1)]), Chart.Line("nothing", []),
      ])
    let svg = chart.svg
    #expect(svg.contains("a &lt; b") && svg.contains("one &amp; two") && !svg.contains("nan"))
    #expect(svg.components(separatedBy: "<polyline").count == 4)
    let circles = svg.matches(of: /cx="([0-9.]+)" cy="([0-9.]+)"/)
    try #require(circles.count == 3)
    for circle in circles {
      let (x, y) = (try #require(Double(circle.1)), try #require(Double(circle.2)))
      #expect((70...690).contains(x) && (40...360).contains(y))
    }
    let document = try XMLDocumentCheck(svg)
    #expect(document.isWellFormed)
  }

  @Test("A ratio that could not be had holds nothing, and so do calls that were not measured")
  func quick() {
    #expect(QuickBench.Finding("", 1, atMost: 1).holds)
    #expect(!QuickBench.Finding("", 1.01, atMost: 1).holds)
    #expect(!QuickBench.Finding("", .nan, atMost: 1).holds)
    #expect(QuickBench.findings(engine: [], asterisk: []).contains { !$0.holds })
  }

  /// A run with the engine in which all limits hold.
  private static func honestRun() -> HostileBench.Sample {
    var sample = HostileBench.Sample(.engine)
    (sample.p50, sample.p999, sample.longest, sample.messages, sample.silence) = (20, 25, 30, 3000, 1000)
    var load = HostileBench.Load(.texts, wanted: 24)
    (load.opened, load.open, load.bytes) = (24, 24, 1_000_000)
    sample.loads = [load]
    return sample
  }

  @Test("Beside hostile servers the longest gap of the best run counts; all else counts in every run")
  func hostile() {
    let best = Self.honestRun()
    func holds(alone: Bool = false, _ change: (inout HostileBench.Sample) -> Void) -> Bool {
      var other = Self.honestRun()
      change(&other)
      let samples = alone ? [other] : [best, other, HostileBench.Sample(.plain)]
      return HostileBench.findings(samples).allSatisfy { $0.holds }
    }
    #expect(holds { _ in })
    #expect(holds { $0.longest = 700 })
    #expect(!holds(alone: true) { $0.longest = 80.1 })
    #expect(!holds { $0.p999 = 45.1 })
    #expect(!holds { $0.silence = 3001 })
    #expect(!holds { $0.hasEnded = true })
    #expect(!holds { $0.missing = 1 })
    #expect(!holds { $0.repeated = 1 })
    #expect(!holds { $0.foreign = 1 })
    #expect(!holds { $0.gaps = 1 })
    #expect(!holds { $0.reconnects = 1 })
    #expect(!holds { $0.ends = 1 })
    #expect(!holds { $0.loads[0].opened = 23 })
    // Control runs are shown, not judged. Without a run of the engine nothing holds.
    #expect(!HostileBench.findings([HostileBench.Sample(.plain)]).contains { $0.holds })
    for table in [HostileBench.table([best, HostileBench.Sample(.plain)]), HostileBench.loadTable([best], seconds: 1)] {
      #expect(Set(table.split(separator: "\n").map { $0.filter { $0 == "|" }.count }).count == 1)
    }
  }

  @Test("The control thread may take 3 % of a core with 2000 forks, and no more for each than with few")
  func control() {
    func holds(_ samples: [(Int, Double)]) -> Bool {
      let samples = samples.map { ControlBench.Sample(server: "refuses", forks: $0.0, control: $0.1) }
      return ControlBench.findings(samples).allSatisfy { $0.holds }
    }
    #expect(holds([(2000, 3), (250, 0.3)]))
    #expect(!holds([(2000, 3.01), (250, 0.4)]))
    #expect(!holds([(2000, 3), (250, 0.24)]))
    #expect(!holds([(2000, 3), (250, 0)]), "nothing was measured")
    #expect(holds([(500, 2.9)]))
    #expect(holds([(4000, 6)]))
    #expect(!holds([(4000, 6.1)]))
    let table = ControlBench.table([ControlBench.Sample(server: "accepts", forks: 250, control: 0.5)])
    #expect(Set(table.split(separator: "\n").map { $0.filter { $0 == "|" }.count }).count == 1)
    #expect(table.contains("| accepts | 250 | 0.5 | 20.0 |"))
  }

  @Test("A report's file can be read again")
  func report() throws {
    let file = FileManager.default.temporaryDirectory.appending(path: "bench-\(UUID().uuidString)/report.json")
    defer { try? FileManager.default.removeItem(at: file.deletingLastPathComponent()) }
    var result = try EngineBench.Result.example()
    result.engine = [EngineBench.Sample(microsecondsPerMessage: 11.5)]
    try BenchReport([result], secondsEach: 10).write(to: file.path)
    let found = try JSONDecoder().decode(BenchReport<EngineBench.Result>.self, from: Data(contentsOf: file))
    #expect(found.rows.first?.engine.first?.microsecondsPerMessage == 11.5)
    #expect(found.machine.cores > 0 && !found.machine.kernel.isEmpty && found.secondsEach == 10)
  }
}

extension EngineBench.Result {
  fileprivate static func example() throws -> Self {
    try JSONDecoder().decode(Self.self, from: Data(#"{"name":"slin, both","forks":200,"engine":[],"floor":[]}"#.utf8))
  }
}

/// Every element that is opened is closed, in order.
private struct XMLDocumentCheck {
  let isWellFormed: Bool

  init(_ text: String) throws {
    var open: [Substring] = []
    var isWrong = false
    for tag in text.matches(of: /<(\/?)([a-z]+)[^>]*?(\/?)>/) {
      if !tag.3.isEmpty { continue }
      if tag.1.isEmpty { open.append(tag.2) } else if open.popLast() != tag.2 { isWrong = true }
    }
    isWellFormed = open.isEmpty && !isWrong
  }
}
