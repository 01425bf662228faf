// SPDX-License-Identifier: Apache-2.0
internal import AsteriskTestKit
internal import AudioForkTap
internal import AudioForkTestKit
internal import CAudioForkABI
internal import Foundation

/// The engine alone on synthetic calls, beside the least that a sender can do (Benchmarks/wire/floor.c): the same bytes, to
/// the same sink, in turns.
package struct EngineBench: Sendable {
  /// What is sent, and how.
  package struct Row: Sendable {
    package let name: String
    package let forks: Int
    let options: String
    var isSecure = false
    /// Whether messages arrive with the stamp that the calls put in: not where the format changes the samples.
    var isStamped = true

    package static func plain(_ forks: Int) -> Row { Row(name: "slin, both", forks: forks, options: "D(both)") }
    /// What the field uses beside plain 8 kHz.
    package static func others(_ forks: Int) -> [Row] {
      [
        Row(name: "slin, in", forks: forks, options: "D(in)"),
        Row(name: "slin, stereo", forks: forks, options: "D(stereo)", isStamped: false),
        Row(name: "slin16, both", forks: forks, options: "D(both)f(slin16)", isStamped: false),
        Row(name: "ulaw, both", forks: forks, options: "D(both)f(ulaw)", isStamped: false),
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
  let say: @Sendable (String) -> Void

  package init(seconds: Double, say: @escaping @Sendable (String) -> Void) {
    self.seconds = seconds
    self.say = say
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
        say(
          "turn \(turn), \(row.name), \(row.forks) forks: engine \(engine.microsecondsPerMessage.rounded(2)) us, floor "
            + "\((floor?.microsecondsPerMessage ?? 0).rounded(2)) us a message; p50 \(engine.p50) ms, p99 \(engine.p99) ms, "
            + "on time \(engine.onTime.rounded(2)) %, generator \(engine.generatorLate.rounded(1)) ms late at worst")
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
      "| row | forks | engine, us a message | floor, us | ratio | % of a core a fork | p50 ms | p99 ms | p99.9 ms | on time % "
        + "| switches/s | memory MB | threads |",
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
        shown(middle { $0.percentPerFork }, 4), shown(middle { $0.p50 }), shown(middle { $0.p99 }), shown(middle { $0.p999 }),
        shown(middle { $0.onTime }), shown(middle { $0.switchesPerSecond }, 0),
        shown(middle { Double($0.residentKilobytes) / 1024 }, 1), "\(result.engine.map(\.threads).max() ?? 0)",
      ]
      lines.append("| " + cells.joined(separator: " | ") + " |")
    }
    return lines.joined(separator: "\n")
  }

  // MARK: - One measurement

  private func measureEngine(_ row: Row) async throws -> Sample {
    let sink = try await Sink(isSecure: row.isSecure)
    let folder = try ScratchFolder()
    let calls = try SyntheticCalls(
      row.forks, in: folder.path, url: "\(row.isSecure ? "wss" : "ws")://127.0.0.1:\(sink.port)", options: row.options,
      settings: ["reconnect_max_wait=1"], delay: 300_000_000 + Int64(row.forks) * 1_000_000)
    // As the module does it: the link is descriptor 3.
    var ends: [Int32] = [-1, -1]
    guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0 else { throw BenchError("no socket pair") }
    defer { close(ends[0]) }
    calls.start()
    defer { calls.stop() }
    let wait = calls.epoch - af_now_ns()
    if wait > 0 { try await Task.sleep(nanoseconds: UInt64(wait)) }
    let engine = try ChildProcess(
      Checkout.program, ["engine", "--link", "3", "--directory", folder.path], link: ends[1])
    close(ends[1])
    let link = LinkDrain(ends[0])
    link.begin(calls.identifiers)
    let sample = try await measure(engine, sink, row) { calls }
    await engine.end()
    link.end()
    await sink.end()
    // The rings are the engine's until here.
    return withExtendedLifetime(folder) { sample }
  }

  private func measureFloor(_ row: Row) async throws -> Sample {
    let sink = try await Sink(isSecure: false)
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
    try await Task.sleep(for: .seconds(2))
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
    if row.isStamped {
      sample.p50 = Double(report.p50) / 1000
      sample.p99 = Double(report.p99) / 1000
      sample.p999 = Double(report.p999) / 1000
    } else {
      (sample.p50, sample.p99, sample.p999) = (.nan, .nan, .nan)
    }
    let due = took * 50 * Double(row.forks)
    sample.onTime = min(100, Double(report.messages - report.late) / due * 100)
    sample.generatorLate = calls()?.latestMilliseconds ?? 0
    return sample
  }
}

extension Double {
  func rounded(_ digits: Int) -> Double {
    let scale = pow(10, Double(digits))
    return (self * scale).rounded() / scale
  }
}

extension Checkout {
  fileprivate static let sink = root.appending(path: "build/bench-sink").path
  fileprivate static let floor = root.appending(path: "build/bench-floor").path
}

/// Benchmarks/wire/sink.c.
final class Sink {
  struct Report {
    var connections = 0
    var messages = 0
    var p50 = 0
    var p99 = 0
    var p999 = 0
    var late = 0
  }

  let port: Int
  private let child: ChildProcess
  private let certificates: TestCertificates?
  private var reports = 0

  init(isSecure: Bool) async throws {
    certificates = isSecure ? try TestCertificates() : nil
    let pair = try certificates?.issued("server").pair
    child = try ChildProcess(Checkout.sink, pair.map { [$0.certificate, $0.key] } ?? [])
    guard let line = await child.line(within: 5, where: { $0.hasPrefix("port ") }), let found = Int(line.dropFirst(5)) else {
      throw BenchError("bench-sink does not listen: \(child.lines)")
    }
    port = found
  }

  func reset() { child.signal(SIGUSR1) }
  func end() async { await child.end() }

  func report() async throws -> Report {
    reports += 1
    let number = reports
    child.signal(SIGUSR2)
    let lines = await eventually(within: 5) {
      let lines = self.child.lines.filter { $0.hasPrefix("connections ") }
      return lines.count >= number ? lines : nil
    }
    guard let line = lines?.last else { throw BenchError("bench-sink does not answer") }
    let words = line.split(separator: " ")
    func value(_ name: String) -> Int {
      words.firstIndex(of: name[...]).flatMap { words.indices.contains($0 + 1) ? Int(words[$0 + 1]) : nil } ?? 0
    }
    return Report(
      connections: value("connections"), messages: value("messages"), p50: value("p50"), p99: value("p99"),
      p999: value("p999"), late: value("late"))
  }

  func has(_ count: Int, within seconds: Double) async -> Bool {
    let deadline = Date() + seconds
    while Date() < deadline {
      if let report = try? await report(), report.connections >= count { return true }
      try? await Task.sleep(for: .milliseconds(100))
    }
    return false
  }
}

/// The module's end of the link: says which forks there are, and reads what the engine says, so that it can.
private final class LinkDrain {
  private let descriptor: Int32
  init(_ descriptor: Int32) { self.descriptor = descriptor }

  func begin(_ identifiers: [String]) {
    let descriptor = descriptor
    Thread {
      var buffer = [UInt8](repeating: 0, count: 65_536)
      while read(descriptor, &buffer, buffer.count) > 0 {}
    }.start()
    var hello = FieldWriter(message: UInt16(AF_LINK_HELLO.rawValue))
    hello.append(UInt16(AF_FIELD_VERSION.rawValue), Array("bench".utf8))
    hello.append(UInt16(AF_FIELD_PROTOCOL.rawValue), number: UInt64(AF_LINK_VERSION))
    say(hello.message())
    for identifier in identifiers {
      var fork = FieldWriter(message: UInt16(AF_LINK_FORK.rawValue))
      fork.append(UInt16(AF_FIELD_ID.rawValue), Array(identifier.utf8))
      fork.append(UInt16(AF_FIELD_STATE.rawValue), Array("live".utf8))
      say(fork.message())
    }
    say(FieldWriter(message: UInt16(AF_LINK_TABLE_END.rawValue)).message())
  }

  private func say(_ bytes: [UInt8]) {
    var done = 0
    while done < bytes.count {
      let count = bytes[done...].withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
      guard count > 0 else { return }
      done += count
    }
  }

  func end() { shutdown(descriptor, Int32(SHUT_RDWR)) }
}
