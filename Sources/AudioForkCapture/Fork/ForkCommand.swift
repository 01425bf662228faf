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

/// A command that is to run.
struct WaitingCommand {
  /// Of the fork that has ended.
  let id: Bytes
  let line: Bytes
  let environment: [Bytes]
}

/// Commands that wait for the commands thread, in the order in which their forks ended.
struct CommandQueue {
  private var waiting = [WaitingCommand]()
  /// Whether the thread is to end when no command waits or runs any more.
  var isStopping = false

  /// So many may wait. Each takes its line and the values of its variables.
  static let countMax = 1000

  var isEmpty: Bool { waiting.isEmpty }
  var count: Int { waiting.count }

  /// Adds a command. Returns false if too many wait.
  mutating func add(_ command: WaitingCommand) -> Bool {
    guard waiting.count < CommandQueue.countMax else { return false }
    waiting.append(command)
    return true
  }

  /// Takes at most so many commands.
  mutating func take(atMost count: Int) -> [WaitingCommand] {
    let taken = [WaitingCommand](waiting.prefix(max(0, count)))
    waiting.removeFirst(taken.count)
    return taken
  }
}

/// Has the command of a fork that has ended run, as soon as fewer than `Commands.runningMax` do.
func run(_ command: ForkCommand, of row: ForkRow) {
  let waiting = WaitingCommand(id: row.id, line: command.line, environment: command.environment(of: row))
  guard withState({ $0.commands.add(waiting) }) else {
    log(
      AF_LEVEL_ERROR, "AudioFork ", .bytes(row.id), ": its command was not run: ", .number(CommandQueue.countMax),
      " commands wait already; let them end sooner")
    return commandIsOver()
  }
  Commands.wake()
}

private func commandIsOver() {
  withState { state in
    state.forks.commands &-= 1
    state.forks.unreserve()
  }
}

// MARK: - The commands thread

/// The module's third thread: starts the commands of forks that have ended, and waits for all of them. A command may
/// run for hours, and is a process of its own all that time.
enum Commands: WorkerThread {
  /// So many run at once; the others wait. A command is most often an encoder or an upload.
  static let runningMax = 64
  /// Between two looks at commands where the kernel has no pidfd.
  private static let lookMilliseconds: CInt = 20

  nonisolated(unsafe) static var wakeDescriptor: CInt = -1

  private struct Running {
    let id: Bytes
    let process: CInt
    /// Readable when the process has ended; -1: the kernel has none.
    let descriptor: CInt
  }

  /// Belongs to the thread.
  nonisolated(unsafe) private static var running = [Running]()
  nonisolated(unsafe) private static var hasSaidThatOthersWait = false

  static func launch() -> CInt { af_commands_start() }
  static func join() { af_commands_join() }
  static func setStopping(_ isStopping: Bool) { withState { $0.commands.isStopping = isStopping } }

  /// Starts commands and waits for the end of one, or for new ones. Returns false if the thread is to end.
  fileprivate static func step() -> Bool {
    let (taken, left, isStopping) = withState { state in
      (state.commands.take(atMost: runningMax &- running.count), state.commands.count, state.commands.isStopping)
    }
    for command in taken { start(command) }
    tellThatOthersWait(left)
    if running.isEmpty, taken.isEmpty, isStopping { return false }
    // If commands could not be started, no end of theirs wakes the thread for those that wait.
    if left > 0, running.count < runningMax { return true }
    wait()
    reap()
    return true
  }

  private static func start(_ command: WaitingCommand) {
    log(AF_LEVEL_VERBOSE, "AudioFork ", .bytes(command.id), " runs its command")
    var process: CInt = 0
    var environment = command.environment.map { duplicate($0) }
    environment.append(nil)
    let failure = withCString(command.line) { line in
      environment.withUnsafeBufferPointer { af_command_spawn(line, $0.baseAddress, &process) }
    }
    for entry in environment { free(entry) }
    guard failure == 0 else {
      log(AF_LEVEL_ERROR, "AudioFork ", .bytes(command.id), ": its command was not run: ", .bytes(reason(failure)))
      return commandIsOver()
    }
    running.append(Running(id: command.id, process: process, descriptor: af_process_descriptor(process)))
  }

  private static func tellThatOthersWait(_ count: Int) {
    if count > 0, !hasSaidThatOthersWait {
      log(
        AF_LEVEL_NOTICE, "AudioFork: ", .number(running.count), " commands of forks that have ended run; ",
        .number(count), count == 1 ? " more waits" : " more wait", " until one of them ends")
    }
    hasSaidThatOthersWait = count > 0
  }

  private static func wait() {
    var descriptors = [pollfd(fd: wakeDescriptor, events: Int16(POLLIN), revents: 0)]
    var timeout: CInt = -1
    for command in running {
      descriptors.append(pollfd(fd: command.descriptor, events: Int16(POLLIN), revents: 0))
      if command.descriptor < 0 { timeout = lookMilliseconds }
    }
    _ = descriptors.withUnsafeMutableBufferPointer { poll($0.baseAddress, nfds_t($0.count), timeout) }
    takeWakeUps()
  }

  /// Takes the status of each command that has ended.
  private static func reap() {
    var left = [Running]()
    for command in running {
      var status: CInt = 0
      guard af_command_ended(command.process, &status) != 0 else {
        left.append(command)
        continue
      }
      if command.descriptor >= 0 { close(command.descriptor) }
      if status != 0 {
        log(
          AF_LEVEL_WARNING, "AudioFork ", .bytes(command.id), ": its command ended with status ",
          .number(Int(status)))
      }
      commandIsOver()
    }
    running = left
  }
}

@c(af_commands_thread)
func commandsThread(_ unused: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
  af_name_thread("audiofork-cmd")
  while Commands.step() {}
  return nil
}
