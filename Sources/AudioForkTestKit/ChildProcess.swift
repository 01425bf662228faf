// SPDX-License-Identifier: Apache-2.0
import Foundation
import Synchronization

/// A program that a test started: its output line by line, and an end that is certain.
///
/// posix_spawn and a thread instead of Foundation's Process, which takes a child for alive while anything that the
/// child started still is.
package final class ChildProcess: Sendable {
  private struct State {
    var lines: [String] = []
    var partial = ""
    var outputIsOver = false
    var status: Int32?
  }

  package let identifier: Int32
  private let state = Mutex(State())

  /// Starts `executable`; standard output and standard error are both captured. `link` becomes its descriptor 3.
  package init(
    _ executable: String, _ arguments: [String], environment: [String: String] = [:], link: Int32? = nil
  ) throws {
    var ends: [Int32] = [-1, -1]
    guard pipe(&ends) == 0, ends.allSatisfy({ fcntl($0, F_SETFD, FD_CLOEXEC) == 0 }) else { throw TestKitError("no pipe") }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1)
    posix_spawn_file_actions_adddup2(&actions, ends[1], 2)
    if let link { posix_spawn_file_actions_adddup2(&actions, link, 3) }
    // The threads that Swift runs tasks on block most signals, and a child inherits that: SIGTERM would never arrive.
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var none = sigset_t()
    sigemptyset(&none)
    posix_spawnattr_setsigmask(&attributes, &none)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
    let merged = ProcessInfo.processInfo.environment.merging(environment) { _, new in new }
    var words: [UnsafeMutablePointer<CChar>?] = ([executable] + arguments).map { strdup($0) } + [nil]
    var settings: [UnsafeMutablePointer<CChar>?] = merged.map { strdup("\($0)=\($1)") } + [nil]
    defer { (words + settings).forEach { free($0) } }
    // NIO's sockets outlive an exec: a child would keep a proxy's port in use.
    for name in (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")) ?? [] {
      if let descriptor = Int32(name), descriptor > 2 { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
    }
    var spawned: Int32 = 0
    let failure = posix_spawn(&spawned, executable, &actions, &attributes, &words, &settings)
    close(ends[1])
    guard failure == 0 else {
      close(ends[0])
      throw TestKitError("\(executable): \(String(cString: strerror(failure)))")
    }
    identifier = spawned
    let source = ends[0]
    Thread { [weak self] in
      var buffer = [UInt8](repeating: 0, count: 65_536)
      while true {
        let count = read(source, &buffer, buffer.count)
        guard count > 0 else { break }
        self?.append(String(decoding: buffer[0..<count], as: UTF8.self))
      }
      close(source)
      self?.state.withLock { $0.outputIsOver = true }
    }.start()
  }

  /// A test that failed half-way leaves nothing behind.
  deinit { signal(SIGKILL) }

  private func append(_ text: String) {
    state.withLock { state in
      var parts = (state.partial + text).split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
      state.partial = parts.removeLast()
      state.lines += parts
    }
  }

  package var isRunning: Bool {
    state.withLock { state in
      if state.status != nil { return false }
      var status: Int32 = 0
      guard waitpid(identifier, &status, WNOHANG) == identifier else { return true }
      // As a shell says it: the exit status, or 128 and the signal.
      state.status = status & 0x7f == 0 ? (status >> 8) & 0xff : 128 + status & 0x7f
      return false
    }
  }

  /// Everything printed so far, line by line.
  package var lines: [String] { state.withLock { $0.partial.isEmpty ? $0.lines : $0.lines + [$0.partial] } }

  /// The first line that fulfils the condition, awaited for at most `seconds`.
  package func line(within seconds: Double, where matches: @Sendable (String) -> Bool) async -> String? {
    await eventually(within: seconds) { self.lines.first(where: matches) }
  }

  /// Sends a signal to the process, if it still runs.
  package func signal(_ number: Int32) { if isRunning { kill(identifier, number) } }

  /// The exit status once it has ended; nil if it runs longer than `seconds`. Output that grandchildren hold open is
  /// waited for no longer than half a second.
  package func exitStatus(within seconds: Double) async -> Int32? {
    guard await becomesTrue(within: seconds, { !self.isRunning }) else { return nil }
    _ = await becomesTrue(within: 0.5) { self.state.withLock { $0.outputIsOver } }
    return state.withLock { $0.status }
  }

  /// Ends it, by force if need be.
  package func end() async {
    signal(SIGTERM)
    if await exitStatus(within: 3) == nil { signal(SIGKILL) }
    _ = await exitStatus(within: 2)
  }

  /// Runs a program to its end. Returns status and output.
  package static func run(
    _ executable: String, _ arguments: [String], environment: [String: String] = [:], within seconds: Double = 60
  ) async throws -> (status: Int32, output: String) {
    let child = try ChildProcess(executable, arguments, environment: environment)
    guard let status = await child.exitStatus(within: seconds) else {
      await child.end()
      throw TestKitError("\(executable) \(arguments.joined(separator: " ")) ran longer than \(seconds) s")
    }
    return (status, child.lines.joined(separator: "\n"))
  }
}

/// Why a test could not be set up.
package struct TestKitError: Error, CustomStringConvertible {
  package let description: String
  package init(_ description: String) { self.description = description }
}

/// What `probe` returns, as soon as it is not nil, asked every few milliseconds for at most `seconds`.
package func eventually<Result>(within seconds: Double, _ probe: () async throws -> Result?) async rethrows -> Result? {
  let clock = ContinuousClock()
  let deadline = clock.now.advanced(by: .seconds(seconds))
  while true {
    if let result = try await probe() { return result }
    if clock.now >= deadline { return try await probe() }
    try? await Task.sleep(for: .milliseconds(10))
  }
}

/// Whether the condition came true within `seconds`.
package func becomesTrue(within seconds: Double, _ condition: () async throws -> Bool) async rethrows -> Bool {
  try await eventually(within: seconds) { try await condition() ? true : nil } ?? false
}

/// Asks again until the answer is yes or the time is over.
package func holds(within seconds: Double, _ condition: () async throws -> Bool) async throws -> Bool {
  let deadline = ContinuousClock.now + .seconds(seconds)
  while ContinuousClock.now < deadline {
    if try await condition() { return true }
    try await Task.sleep(for: .milliseconds(100))
  }
  return try await condition()
}
