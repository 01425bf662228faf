// SPDX-License-Identifier: Apache-2.0
internal import Foundation
internal import Synchronization

/// A program that a test started, and an end that is certain: it is killed and reaped with this value.
///
/// posix_spawn and a thread instead of Foundation's Process, which takes a child for alive while anything that the
/// child started still is. swift-subprocess ends a child with the closure that it is given, and passes no descriptors
/// but the standard ones; the engine's link is one.
package final class ChildProcess: Sendable {
  /// What a child prints on standard output and standard error.
  package enum Output: Sendable {
    /// Is collected, both together, line by line.
    case captured
    case discarded
  }

  package enum Environment: Sendable {
    /// Ours, with these in addition or instead.
    case inherited([String: String])
    /// Nothing but these.
    case only([String: String])
  }

  private struct State {
    var lines: [String] = []
    var partial = ""
    var outputIsOver: Bool
    /// As waitpid gave it.
    var status: Int32?
  }

  package let identifier: Int32
  private let state: Mutex<State>

  /// Starts `executable`.
  ///
  /// - Parameters:
  ///   - arguments: without the name of the program.
  ///   - name: what the program sees as its name; nil: the path.
  ///   - descriptors: ours by the number that they have in the child. It gets no others but the standard ones.
  package init(
    _ executable: String, _ arguments: [String], name: String? = nil, environment: Environment = .inherited([:]),
    descriptors: [Int32: Int32] = [:], output: Output = .captured
  ) throws {
    let started = try Self.start(
      executable, [name ?? executable] + arguments, environment: environment, descriptors: descriptors, output: output)
    identifier = started.process
    state = Mutex(State(outputIsOver: started.source == nil))
    if let source = started.source { read(source) }
  }

  /// A test that failed half-way leaves nothing behind.
  deinit {
    guard isRunning else { return }
    kill(identifier, SIGKILL)
    var status: Int32 = 0
    waitpid(identifier, &status, 0)
  }

  // MARK: Start

  /// Returns the process and the end of the pipe on which its output comes.
  private static func start(
    _ executable: String, _ words: [String], environment: Environment, descriptors: [Int32: Int32], output: Output
  ) throws -> (process: Int32, source: Int32?) {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    var ends: [Int32] = []
    switch output {
    case .captured:
      ends = [-1, -1]
      guard pipe(&ends) == 0 else { throw TestKitError("no pipe") }
      posix_spawn_file_actions_adddup2(&actions, ends[1], 1)
    case .discarded: posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0)
    }
    posix_spawn_file_actions_adddup2(&actions, 1, 2)
    for (number, descriptor) in descriptors.sorted(by: { $0.key < $1.key }) {
      posix_spawn_file_actions_adddup2(&actions, descriptor, number)
    }
    // The threads that Swift runs tasks on block most signals, and a child inherits that: SIGTERM would never arrive.
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var none = sigset_t()
    sigemptyset(&none)
    posix_spawnattr_setsigmask(&attributes, &none)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
    var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
    var settings: [UnsafeMutablePointer<CChar>?] = variables(environment).map { strdup("\($0)=\($1)") } + [nil]
    defer { (arguments + settings).forEach { free($0) } }
    closeOnExec()
    var process: Int32 = 0
    let failure = posix_spawn(&process, executable, &actions, &attributes, &arguments, &settings)
    if let end = ends.last { close(end) }
    guard failure == 0 else {
      if let end = ends.first { close(end) }
      throw TestKitError("\(executable): \(String(cString: strerror(failure)))")
    }
    return (process, ends.first)
  }

  private static func variables(_ environment: Environment) -> [String: String] {
    switch environment {
    case .inherited(let more): ProcessInfo.processInfo.environment.merging(more) { _, new in new }
    case .only(let all): all
    }
  }

  /// NIO's sockets outlive an exec: a child would keep a proxy's port in use.
  private static func closeOnExec() {
    for name in (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")) ?? [] {
      if let descriptor = Int32(name), descriptor > 2 { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
    }
  }

  // MARK: Output

  private func read(_ source: Int32) {
    Thread { [weak self] in
      var buffer = [UInt8](repeating: 0, count: 65_536)
      while true {
        let count = Foundation.read(source, &buffer, buffer.count)
        guard count > 0 else { break }
        self?.append(String(decoding: buffer[0..<count], as: UTF8.self))
      }
      close(source)
      self?.state.withLock { $0.outputIsOver = true }
    }.start()
  }

  private func append(_ text: String) {
    state.withLock { state in
      var parts = (state.partial + text).split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
      state.partial = parts.removeLast()
      state.lines += parts
    }
  }

  /// Everything printed so far, line by line.
  package var lines: [String] { state.withLock { $0.partial.isEmpty ? $0.lines : $0.lines + [$0.partial] } }

  /// The first line that fulfils the condition, awaited for at most `seconds`.
  package func line(within seconds: Double, where matches: @Sendable (String) -> Bool) async -> String? {
    _ = await Self.wait(seconds) { self.lines.contains(where: matches) }
    return lines.first(where: matches)
  }

  // MARK: End

  package var isRunning: Bool { ended == nil }

  /// The status as waitpid gives it; nil while the process runs.
  private var ended: Int32? {
    state.withLock { state in
      if let status = state.status { return status }
      var status: Int32 = 0
      guard waitpid(identifier, &status, WNOHANG) == identifier else { return nil }
      state.status = status
      return status
    }
  }

  /// As a shell says it: the exit status, or 128 and the signal; nil while the process runs.
  package var exitStatus: Int32? { ended.map { $0 & 0x7f == 0 ? ($0 >> 8) & 0xff : 128 + $0 & 0x7f } }

  /// Whether it has ended and left a core file behind.
  package var hasDumpedCore: Bool { ended.map { $0 & 0x7f != 0 && $0 & 0x80 != 0 } ?? false }

  /// Sends a signal to the process, if it still runs.
  package func signal(_ number: Int32) { if isRunning { kill(identifier, number) } }

  /// The exit status once it has ended; nil if it runs longer than `seconds`. Output that grandchildren hold open is
  /// waited for no longer than half a second.
  package func exitStatus(within seconds: Double) async -> Int32? {
    guard await Self.wait(seconds, { !self.isRunning }) else { return nil }
    _ = await Self.wait(0.5) { self.state.withLock { $0.outputIsOver } }
    return exitStatus
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
    let child = try ChildProcess(executable, arguments, environment: .inherited(environment))
    guard let status = await child.exitStatus(within: seconds) else {
      await child.end()
      throw TestKitError("\(executable) \(arguments.joined(separator: " ")) ran longer than \(seconds) s")
    }
    return (status, child.lines.joined(separator: "\n"))
  }

  /// Runs a program to its end, and blocks this thread meanwhile. Returns status and output.
  package static func runBlocking(
    _ executable: String, _ arguments: [String], within seconds: Double = 60
  ) throws -> (status: Int32, output: String) {
    let child = try ChildProcess(executable, arguments)
    let deadline = ContinuousClock.now + .seconds(seconds)
    while child.isRunning || !child.state.withLock({ $0.outputIsOver }) {
      guard ContinuousClock.now < deadline else {
        throw TestKitError("\(executable) \(arguments.joined(separator: " ")) ran longer than \(seconds) s")
      }
      usleep(1000)
    }
    return (child.exitStatus ?? -1, child.lines.joined(separator: "\n"))
  }

  /// Whether the condition came true within `seconds`.
  private static func wait(_ seconds: Double, _ condition: () -> Bool) async -> Bool {
    let deadline = ContinuousClock.now + .seconds(seconds)
    while !condition() {
      guard ContinuousClock.now < deadline else { return condition() }
      try? await Task.sleep(for: .milliseconds(10))
    }
    return true
  }
}
