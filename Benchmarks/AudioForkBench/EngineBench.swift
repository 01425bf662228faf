// SPDX-License-Identifier: Apache-2.0
internal import AsteriskTestKit
internal import AudioForkTestKit
internal import CAudioForkABI
internal import Foundation

/// The engine alone on synthetic calls, beside the least that a sender can do (Benchmarks/wire/floor.c): the same
/// bytes, to the same sink, in turns.
package struct EngineBench: Sendable {
  /// What is sent, and how.
  package struct Row: Sendable {
    package let name: String
    package let forks: Int
    let options: String
    var isSecure = false
    /// Whether the sink's figures say how long messages took: not where the format changes the samples, with the stamp
    /// that the calls put in, and not where the sink lets them wait.
    var showsLatency = true
    /// Milliseconds from one look of the sink at its connections to the next; nil: it looks whenever something comes.
    var sinkEvery: Int?

    package static func plain(_ forks: Int) -> Row { Row(name: "slin, both", forks: forks, options: "D(both)") }
    /// A sink that takes several messages at a time leaves the machine to more forks. What was written in time is still
    /// within the 100 ms that count.
    package static func growth(_ forks: Int) -> Row {
      Row(
        name: "slin, both (the sink looks every 50 ms)", forks: forks, options: "D(both)", showsLatency: false,
        sinkEvery: 50)
    }
    /// What the field uses beside plain 8 kHz.
    package static func others(_ forks: Int) -> [Row] {
      [
        Row(name: "slin, in", forks: forks, options: "D(in)"),
        Row(name: "slin, stereo", forks: forks, options: "D(stereo)", showsLatency: false),
        Row(name: "slin16, both", forks: forks, options: "D(both)f(slin16)", showsLatency: false),
        Row(name: "ulaw, both", forks: forks, options: "D(both)f(ulaw)", showsLatency: false),
        Row(name: "wss, slin, both", forks: forks, options: "D(both)T(insecure)", isSecure: true),
      ]
    }
  }

  /// One measurement.
  package struct Sample: Codable, Sendable {
    /// Processor time for each message, microseconds.
    package var microsecondsPerMessage = 0.0
    /// Percent of a core for each fork.
    package var percentPerFork = 0.0
    package var switchesPerSecond = 0.0
    package var residentKilobytes = 0
    package var threads = 0
    /// From the capture of a block's last frame to the sink, milliseconds.
    package var p50 = 0.0
    package var p99 = 0.0
    package var p999 = 0.0
    /// Percent of the messages that were due in the time and arrived within 100 ms of their capture.
    package var onTime = 0.0
    /// How late the calls themselves were written at worst, milliseconds.
    package var generatorLate = 0.0

    package init(microsecondsPerMessage: Double = 0) { self.microsecondsPerMessage = microsecondsPerMessage }
  }

  /// A row's measurements, in turns.
  package struct Result: Codable, Sendable {
    package let name: String
    package let forks: Int
    package var engine: [Sample] = []
    package var floor: [Sample] = []

    /// Engine against floor, of each turn's pair: the median.
    package var ratio: Double? {
      guard !floor.isEmpty else { return nil }
      return EngineBench.median(zip(engine, floor).map { $0.microsecondsPerMessage / $1.microsecondsPerMessage })
    }
  }

  let seconds: Double
  let progress: @Sendable (String) -> Void

  package init(seconds: Double, progress: @escaping @Sendable (String) -> Void) {
    self.seconds = seconds
    self.progress = progress
  }

  /// Measures each row `turns` times, the engine and the floor one after the other.
  package func run(_ rows: [Row], turns: Int) async throws -> [Result] {
    var results = rows.map { Result(name: $0.name, forks: $0.forks) }
    for turn in 1...max(turns, 1) {
      for (index, row) in rows.enumerated() {
        let engine = try await measureEngine(row)
        results[index].engine.append(engine)
        let floor = row.forks > 0 ? try await measureFloor(row) : nil
        if let floor { results[index].floor.append(floor) }
        progress(
          """
          turn \(turn), \(row.name), \(row.forks) forks: engine \(engine.microsecondsPerMessage.rounded(2)) us, floor \
          \((floor?.microsecondsPerMessage ?? 0).rounded(2)) us a message; p50 \(engine.p50) ms, p99 \(engine.p99) ms, \
          on time \(engine.onTime.rounded(2)) %, generator \(engine.generatorLate.rounded(1)) ms late at worst
          """)
      }
    }
    return results
  }

  package static func median(_ values: [Double]) -> Double {
    let sorted = values.sorted()
    guard let middle = sorted.isEmpty ? nil : sorted.count / 2 else { return .nan }
    return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
  }

  /// Processor time of a message against the number of forks, beside the floor's.
  package static func chart(_ results: [Result]) -> Chart {
    let plain = results.filter { $0.name == Row.plain(0).name }
    func line(_ name: String, _ samples: (Result) -> [Sample]) -> Chart.Line {
      Chart.Line(name, plain.map { (x: Double($0.forks), y: median(samples($0).map(\.microsecondsPerMessage))) })
    }
    return Chart(
      "What one message of 20 ms costs", horizontal: "forks", vertical: "processor time, µs",
      lines: [line("engine, ws://, D(both)", \.engine), line("a bare sender in C", \.floor)])
  }

  /// What a run is shown as. A row counts where at least 99.9 % of the audio was on time.
  package static func table(_ results: [Result]) -> String {
    var lines = [
      """
      | row | forks | engine, us a message | floor, us | ratio | % of a core a fork | p50 ms | p99 ms | p99.9 ms \
      | on time % | switches/s | memory MB | threads |
      """,
      "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for result in results {
      func middle(_ value: (Sample) -> Double, of samples: [Sample]? = nil) -> Double {
        median((samples ?? result.engine).map(value))
      }
      func shown(_ value: Double, _ digits: Int = 2) -> String { value.isNaN ? "-" : "\(value.rounded(digits))" }
      let cells = [
        result.name, "\(result.forks)", shown(middle { $0.microsecondsPerMessage }),
        shown(middle({ $0.microsecondsPerMessage }, of: result.floor)), result.ratio.map { shown($0) } ?? "-",
        shown(middle { $0.percentPerFork }, 4), shown(middle { $0.p50 }), shown(middle { $0.p99 }),
        shown(middle { $0.p999 }),
        shown(middle { $0.onTime }), shown(middle { $0.switchesPerSecond }, 0),
        shown(middle { Double($0.residentKilobytes) / 1024 }, 1), "\(result.engine.map(\.threads).max() ?? 0)",
      ]
      lines.append("| " + cells.joined(separator: " | ") + " |")
    }
    return lines.joined(separator: "\n")
  }

  // MARK: - One measurement

  private func measureEngine(_ row: Row) async throws -> Sample {
    let sink = try await Sink(isSecure: row.isSecure, every: row.sinkEvery)
    let folder = try ScratchFolder()
    let calls = try SyntheticCalls(
      row.forks, in: folder.path, url: "\(row.isSecure ? "wss" : "ws")://127.0.0.1:\(sink.port)", options: row.options,
      settings: ["reconnect_max_wait=1"], delay: 300_000_000 + Int64(row.forks) * 1_000_000)
    calls.start()
    defer { calls.stop() }
    let wait = calls.epoch - af_now_ns()
    if wait > 0 { try await Task.sleep(nanoseconds: UInt64(wait)) }
    let engine = try LinkedEngine(in: folder)
    engine.begin(calls.identifiers)
    let sample = try await measure(engine.process, sink, row) { calls }
    await engine.end()
    await sink.end()
    // The rings are the engine's until here.
    return withExtendedLifetime(folder) { sample }
  }

  private func measureFloor(_ row: Row) async throws -> Sample {
    let sink = try await Sink(isSecure: false, every: row.sinkEvery)
    let floor = try ChildProcess(Checkout.floor, ["\(sink.port)", "\(row.forks)"])
    let sample = try await measure(floor, sink, row) { nil }
    await floor.end()
    await sink.end()
    return sample
  }

  private func measure(
    _ process: ChildProcess, _ sink: Sink, _ row: Row, _ calls: () -> SyntheticCalls?
  ) async throws -> Sample {
    guard await sink.has(row.forks, within: 60) else {
      throw BenchError("\(row.name): \(row.forks) connections do not stand: \(process.lines.suffix(3))")
    }
    // What was said before the connections stood is being caught up with.
    try await Task.sleep(for: .seconds(max(2, row.forks / 400)))
    guard let before = ProcessCost(of: process.identifier) else {
      throw BenchError("\(row.name): the process is gone: \(process.lines.suffix(3))")
    }
    calls()?.forgetLateness()
    sink.reset()
    let began = af_now_ns()
    try await Task.sleep(for: .seconds(seconds))
    guard let after = ProcessCost(of: process.identifier) else { throw BenchError("\(row.name): the process is gone") }
    let took = Double(af_now_ns() - began) / 1e9
    let report = try await sink.report()
    let cost = after.since(before)
    var sample = Sample()
    sample.microsecondsPerMessage = Double(cost.processorNanoseconds) / 1000 / Double(max(report.messages, 1))
    sample.percentPerFork = Double(cost.processorNanoseconds) / 1e7 / took / Double(max(row.forks, 1))
    sample.switchesPerSecond = Double(cost.contextSwitches) / took
    sample.residentKilobytes = cost.residentKilobytes
    sample.threads = cost.threads
    if row.showsLatency {
      sample.p50 = Double(report.p50) / 1000
      sample.p99 = Double(report.p99) / 1000
      sample.p999 = Double(report.p999) / 1000
    } else {
      (sample.p50, sample.p99, sample.p999) = (.nan, .nan, .nan)
    }
    sample.onTime = report.onTime(seconds: took, streams: row.forks)
    sample.generatorLate = calls()?.latestMilliseconds ?? 0
    return sample
  }
}
