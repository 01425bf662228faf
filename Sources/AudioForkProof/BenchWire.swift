// SPDX-License-Identifier: Apache-2.0
internal import AsteriskTestKit
internal import AudioForkTap
internal import AudioForkTestKit
internal import CAudioForkABI
internal import Foundation

extension Checkout {
  static let sink = root.appending(path: "build/bench-sink").path
  static let floor = root.appending(path: "build/bench-floor").path
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
    var report = Report(messages: value("messages"), late: value("late"))
    report.connections = value("connections")
    (report.p50, report.p99, report.p999, report.longest) = (value("p50"), value("p99"), value("p999"), value("max"))
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

/// An engine as the module starts it, and the module's end of its link: says which forks there are, and reads what the
/// engine says, so that it can.
final class LinkedEngine {
  let process: ChildProcess
  private let descriptor: Int32

  init(in folder: ScratchFolder) throws {
    // As the module does it: the link is descriptor 3.
    var ends: [Int32] = [-1, -1]
    guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0 else { throw BenchError("no socket pair") }
    descriptor = ends[0]
    defer { close(ends[1]) }
    do {
      process = try ChildProcess(Checkout.program, ["engine", "--link", "3", "--directory", folder.path], link: ends[1])
    } catch {
      close(ends[0])
      throw error
    }
    let descriptor = descriptor
    // Until `end`, or the engine's.
    Thread {
      var buffer = [UInt8](repeating: 0, count: 65_536)
      while read(descriptor, &buffer, buffer.count) > 0 {}
    }.start()
  }

  deinit {
    // It ends the thread, which may still have the number.
    shutdown(descriptor, Int32(SHUT_RDWR))
    close(descriptor)
  }

  /// Greets it and tells it the forks that there are.
  func begin(_ identifiers: [String]) {
    var hello = FieldWriter(message: UInt16(AF_LINK_HELLO.rawValue))
    hello.append(UInt16(AF_FIELD_VERSION.rawValue), Array("bench".utf8))
    hello.append(UInt16(AF_FIELD_PROTOCOL.rawValue), number: UInt64(AF_LINK_VERSION))
    say(hello.message())
    for identifier in identifiers { fork(identifier) }
    say(FieldWriter(message: UInt16(AF_LINK_TABLE_END.rawValue)).message())
  }

  /// Tells it of a fork.
  func fork(_ identifier: String) {
    var fork = FieldWriter(message: UInt16(AF_LINK_FORK.rawValue))
    fork.append(UInt16(AF_FIELD_ID.rawValue), Array(identifier.utf8))
    fork.append(UInt16(AF_FIELD_STATE.rawValue), Array("live".utf8))
    say(fork.message())
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
