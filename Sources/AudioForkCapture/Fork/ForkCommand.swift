// SPDX-License-Identifier: GPL-2.0-or-later
import AudioForkBytes
import AudioForkSurface
import CAsterisk

/// The command that runs when a fork has ended.
struct ForkCommand {
  /// For a shell, evaluated; empty: none.
  let line: Bytes
  /// The caller's number when the fork began; empty if unknown. Untrusted text.
  let callerNumber: Bytes
  let callerName: Bytes

  /// "NAME=value" for each variable of the command's environment. A shell takes a quoted variable for no syntax.
  fileprivate func environment(of row: ForkRow) -> [Bytes] {
    let values = [row.id, row.url, row.reason, row.channel, callerNumber, callerName]
    var environment = [Bytes]()
    for (variable, value) in zip(CommandVariable.all, values) {
      let printed = value.map { $0.isControl ? UInt8(ascii: "?") : $0 }
      environment.append(text(.literal(variable.name), "=", .bytes(printed)))
    }
    return environment
  }
}

// MARK: - Running commands

/// Commands that run. Belongs to the jobs thread.
nonisolated(unsafe) private var commands: UnsafeMutablePointer<af_command>?

/// Runs the command of a fork that has ended, on its own thread: it may take hours.
func run(_ command: ForkCommand, of row: ForkRow) {
  guard let memory = calloc(1, MemoryLayout<af_command>.size) else { return commandIsOver() }
  let running = memory.assumingMemoryBound(to: af_command.self)
  running.pointee.line = duplicate(command.line)
  running.pointee.id = duplicate(row.id)
  withEnvironment(of: running) { slots in
    for (index, entry) in command.environment(of: row).enumerated() where index < slots.count &- 1 {
      slots[index] = duplicate(entry)
    }
  }
  log(AF_LEVEL_VERBOSE, "AudioFork ", .bytes(row.id), " runs its command")
  let failure = af_command_start(running)
  guard failure == 0 else {
    log(AF_LEVEL_ERROR, "AudioFork ", .bytes(row.id), ": its command was not run: ", .bytes(reason(failure)))
    destroy(running)
    return commandIsOver()
  }
  running.pointee.next = commands
  commands = running
}

/// The command's "NAME=value" strings, the last slot NULL.
private func withEnvironment<Result>(
  of command: UnsafeMutablePointer<af_command>,
  _ body: (UnsafeMutableBufferPointer<UnsafeMutablePointer<CChar>?>) -> Result
) -> Result {
  let count = Int(AF_COMMAND_VARIABLES_MAX) &+ 1
  return withUnsafeMutablePointer(to: &command.pointee.environment) { tuple in
    tuple.withMemoryRebound(to: UnsafeMutablePointer<CChar>?.self, capacity: count) {
      body(UnsafeMutableBufferPointer(start: $0, count: count))
    }
  }
}

private func destroy(_ command: UnsafeMutablePointer<af_command>) {
  withEnvironment(of: command) { for slot in $0 { free(slot) } }
  free(command.pointee.line)
  free(command.pointee.id)
  free(command)
}

private func commandIsOver() {
  withState { state in
    state.forks.commands &-= 1
    state.forks.unreserve()
  }
}

/// Joins the threads of commands that have ended.
func joinCommands() {
  var running: UnsafeMutablePointer<af_command>?
  var next = commands
  while let command = next {
    next = command.pointee.next
    if withState({ _ in command.pointee.is_over != 0 }) {
      af_command_join(command)
      destroy(command)
      commandIsOver()
    } else {
      command.pointee.next = running
      running = command
    }
  }
  commands = running
}

@c(af_command_thread)
func commandThread(_ pointer: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
  guard let pointer else { return nil }
  let command = pointer.assumingMemoryBound(to: af_command.self)
  // Waits for its child. No other thread may wait for it.
  let status = withEnvironment(of: command) { af_command_run(command.pointee.line, $0.baseAddress) }
  if status != 0 {
    log(
      AF_LEVEL_WARNING, "AudioFork ", .bytes(bytes(command.pointee.id)), ": its command ended with status ",
      .number(Int(status)))
  }
  withState { _ in command.pointee.is_over = 1 }
  Jobs.wake()
  return nil
}
