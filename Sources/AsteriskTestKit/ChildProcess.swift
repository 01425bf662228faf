// SPDX-License-Identifier: Apache-2.0
import Foundation
import Synchronization

/// A program that a test started: its output line by line, and an end that is certain.
package final class ChildProcess: Sendable {
  private struct State {
    var lines: [String] = []
    var partial = ""
    var isFinished = false
  }

  private let process = Process()
  private let state = Mutex(State())

  /// Starts `executable`; standard output and standard error are both captured.
  package init(_ executable: String, _ arguments: [String], environment: [String: String] = [:]) throws {
    process.executableURL = URL(fileURLWithPath: executable)
    process.arguments = arguments
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { _, new in new }
    let pipe = Pipe()
    process.standardOutput = pipe
    process.standardError = pipe
    process.standardInput = FileHandle.nullDevice
    pipe.fileHandleForReading.readabilityHandler = { [weak self] handle in
      let bytes = handle.availableData
      if bytes.isEmpty {
        handle.readabilityHandler = nil
        self?.state.withLock { $0.isFinished = true }
      } else {
        self?.append(String(decoding: bytes, as: UTF8.self))
      }
    }
    try process.run()
  }

  private func append(_ text: String) {
    state.withLock { state in
      var parts = (state.partial + text).split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
      state.partial = parts.removeLast()
      state.lines += parts
    }
  }

  package var identifier: Int32 { process.processIdentifier }
  package var isRunning: Bool { process.isRunning }

  /// Everything printed so far, line by line.
  package var lines: [String] { state.withLock { $0.partial.isEmpty ? $0.lines : $0.lines + [$0.partial] } }

  /// The first line that fulfils the condition, awaited for at most `seconds`.
  package func line(within seconds: Double, where matches: @Sendable (String) -> Bool) async -> String? {
    await eventually(within: seconds) { self.lines.first(where: matches) }
  }

  /// Sends a signal to the process, if it still runs.
  package func signal(_ number: Int32) { if process.isRunning { kill(process.processIdentifier, number) } }

  /// The exit status once it has ended and its output is complete; nil if it runs longer than `seconds`.
  package func exitStatus(within seconds: Double) async -> Int32? {
    await eventually(within: seconds) {
      self.process.isRunning || !self.state.withLock { $0.isFinished } ? nil : self.process.terminationStatus
    }
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
package func eventually<Result>(within seconds: Double, _ probe: () throws -> Result?) async rethrows -> Result? {
  let clock = ContinuousClock()
  let deadline = clock.now.advanced(by: .seconds(seconds))
  while true {
    if let result = try probe() { return result }
    if clock.now >= deadline { return nil }
    try? await Task.sleep(for: .milliseconds(10))
  }
}

/// Whether the condition came true within `seconds`.
package func becomesTrue(within seconds: Double, _ condition: () throws -> Bool) async rethrows -> Bool {
  try await eventually(within: seconds) { try condition() ? true : nil } ?? false
}
