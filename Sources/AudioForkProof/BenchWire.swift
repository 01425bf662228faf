// SPDX-License-Identifier: Apache-2.0
internal import AsteriskTestKit
internal import AudioForkLink
internal import AudioForkTap
internal import AudioForkTestKit
internal import CAudioForkABI
internal import Foundation

extension Checkout {
  static let sink = root.appending(path: "build/bench-sink").path
  static let floor = root.appending(path: "build/bench-floor").path
  static let hostile = root.appending(path: "build/bench-hostile").path
  static let discard = root.appending(path: "build/bench-discard").path
}

/// Benchmarks/wire/sink.c.
package final class Sink {
  package struct Report {
    var connections = 0
    var messages = 0
    var p50 = 0
    var p99 = 0
    var p999 = 0
    var longest = 0
    var late = 0
    /// Microseconds between two messages of a connection: the median, of 99.9 %, and the longest one, which may not have ended.
    var gap50 = 0
    var gap999 = 0
    var longestGap = 0
    /// Messages whose numbers were left out, messages that came again, and those without a number.
    var missing = 0
    var repeated = 0
    var unstamped = 0
    /// Connections since the sink began.
    var opened = 0

    package init(messages: Int, late: Int) {
      self.messages = messages
      self.late = late
    }

    /// Percent of the messages that were due on so many streams in so many seconds and arrived within 100 ms of their time.
    /// One of each stream may fall to the other side of either end of that time, and is not missing for that.
    package func onTime(seconds: Double, streams: Int) -> Double {
      let due = max((seconds * 50 - 1) * Double(streams), 1)
      let missing = max(due - Double(messages), 0)
      return Double(messages - late) / max(Double(messages) + missing, 1) * 100
    }
  }

  let port: Int
  private let child: ChildProcess
  private let certificates: TestCertificates?
  private var reports = 0

  /// `every`: milliseconds from one look at its connections to the next; nil for a look whenever something comes.
  init(isSecure: Bool, every: Int? = nil) async throws {
    certificates = isSecure ? try TestCertificates() : nil
    let pair = try certificates?.issued("server").pair
    let pause = every.map { ["--every", "\($0)"] } ?? []
    child = try ChildProcess(Checkout.sink, pause + (pair.map { [$0.certificate, $0.key] } ?? []))
    guard let found = await child.listeningPort() else {
      throw BenchError("bench-sink does not listen: \(child.lines)")
    }
    port = found
  }

  func reset() { child.signal(SIGUSR1) }
  func end() async { await child.end() }

  func report() async throws -> Report {
    reports += 1
    guard let value = await child.answer(to: SIGUSR2, number: reports, beginning: "connections ") else {
      throw BenchError("bench-sink does not answer")
    }
    var report = Report(messages: value("messages"), late: value("late"))
    report.connections = value("connections")
    (report.p50, report.p99, report.p999, report.longest) = (value("p50"), value("p99"), value("p999"), value("max"))
    (report.gap50, report.gap999, report.longestGap) = (value("gap50"), value("gap999"), value("gapmax"))
    (report.missing, report.repeated, report.unstamped) = (value("missing"), value("repeated"), value("unstamped"))
    report.opened = value("opened")
    return report
  }

  func has(_ count: Int, within seconds: Double, every pause: Duration = .milliseconds(100)) async -> Bool {
    let deadline = Date() + seconds
    while Date() < deadline {
      if let report = try? await report(), report.connections >= count { return true }
      try? await Task.sleep(for: pause)
    }
    return false
  }
}

extension ChildProcess {
  /// Sends a signal and waits for the line that answers it, which is the `number`th that begins so: the value behind each
  /// name in it, 0 for a name that is not there. Nil where none comes within 5 s.
  func answer(to signal: Int32, number: Int, beginning: String) async -> ((String) -> Int)? {
    self.signal(signal)
    let lines = await eventually(within: 5) {
      let lines = self.lines.filter { $0.hasPrefix(beginning) }
      return lines.count >= number ? lines : nil
    }
    guard let words = lines?.last?.split(separator: " ") else { return nil }
    return { name in
      words.firstIndex(of: name[...]).flatMap { words.indices.contains($0 + 1) ? Int(words[$0 + 1]) : nil } ?? 0
    }
  }

  /// The port that it says it listens on; nil where it does not within 5 s.
  func listeningPort() async -> Int? {
    await line(within: 5) { $0.hasPrefix("port ") }.flatMap { Int($0.dropFirst(5)) }
  }
}

/// An engine as the module starts it, and the module's end of its link: says which forks there are, and reads what the
/// engine says, so that it can.
final class LinkedEngine {
  let process: ChildProcess
  private let descriptor: Int32

  /// `heard`: is called with each message of the engine, on a thread of the link's.
  init(in folder: ScratchFolder, heard: (@Sendable (LinkMessage) -> Void)? = nil) throws {
    // As the module does it: the link is descriptor 3.
    var ends: [Int32] = [-1, -1]
    guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0 else { throw BenchError("no socket pair") }
    descriptor = ends[0]
    defer { close(ends[1]) }
    do {
      process = try ChildProcess(Checkout.engine, ["engine", "--link", "3", "--directory", folder.path], link: ends[1])
    } catch {
      close(ends[0])
      throw error
    }
    let descriptor = descriptor
    // Until `end`, or the engine's.
    Thread {
      var buffer = [UInt8](repeating: 0, count: 65_536)
      var parser = LinkParser()
      while true {
        let count = read(descriptor, &buffer, buffer.count)
        guard count > 0 else { return }
        guard let heard else { continue }
        parser.append(buffer.prefix(count))
        while let message = try? parser.next() { heard(message) }
      }
    }.start()
  }

  deinit {
    // It ends the thread, which may still have the number.
    shutdown(descriptor, Int32(SHUT_RDWR))
    close(descriptor)
  }

  /// Greets it and tells it the forks that there are.
  func begin(_ identifiers: [String]) {
    var hello = FieldWriter(.hello)
    hello.append(.version, Array("bench".utf8))
    hello.append(.protocolVersion, number: LinkProtocol.version)
    say(hello.message)
    for identifier in identifiers { fork(identifier) }
    say(FieldWriter(.tableEnd).message)
  }

  /// Tells it of a fork.
  func fork(_ identifier: String) {
    var fork = FieldWriter(.fork)
    fork.append(.id, Array(identifier.utf8))
    fork.append(.state, Array("live".utf8))
    say(fork.message)
  }

  private func say(_ bytes: [UInt8]) {
    var done = 0
    while done < bytes.count {
      let count = bytes[done...].withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
      guard count > 0 else { return }
      done += count
    }
  }

  func end() async {
    await process.end()
    shutdown(descriptor, Int32(SHUT_RDWR))
  }
}

extension Double {
  func rounded(_ digits: Int) -> Double {
    let scale = pow(10, Double(digits))
    return (self * scale).rounded() / scale
  }
}
