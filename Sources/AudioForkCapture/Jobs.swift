// SPDX-License-Identifier: GPL-2.0-or-later
import AudioForkOptions
import CAsterisk

/// What the jobs thread does, in the order in which it happened.
enum Job {
  case raise(ManagerEvent)
  /// A text of the server: variables, then the event. `variable`: of option x, empty: none.
  case response(ManagerEvent, variable: Bytes)
  /// The fork has ended: its beeps end, the event is raised, its command is run.
  case end(ManagerEvent, command: ForkCommand, beeps: Bytes)
  /// on_failure = hangup: the fork has failed, and its call is ended for this reason.
  case hangUp(ForkRow, reason: Bytes)
}

/// The module's second thread: events, variables and commands, so that neither the control thread nor a caller waits
/// for AMI, for a channel's lock or for a program.
///
/// Texts of servers are done when nothing else waits, so that servers that talk much delay no stop, hang-up or command.
/// A fork's own texts are done before its end.
enum Jobs {
  // Guarded by the table's lock.
  nonisolated(unsafe) private static var waiting = [Job]()
  nonisolated(unsafe) private static var waitingTexts = [Job]()
  nonisolated(unsafe) private static var waitingTextBytes = 0
  nonisolated(unsafe) private static var textsLost = 0
  nonisolated(unsafe) private static var isStopping = false
  /// Written before the thread starts and after it has ended.
  nonisolated(unsafe) private static var wakeDescriptor: CInt = -1

  /// Beyond it texts of servers are dropped: whatever takes the events is much too slow.
  private static let waitingTextBytesMax = 8_388_608
  /// What a text takes beside its own bytes: the copy of its fork's row, roughly.
  private static let waitingRowBytes = 8192
  /// Texts that are done before something else is looked for.
  private static let textsAtOnce = 10

  /// Starts the thread. Returns 0 or an errno.
  static func start() -> CInt {
    wakeDescriptor = eventfd(0, CInt(EFD_CLOEXEC))
    guard wakeDescriptor >= 0 else { return af_errno() }
    isStopping = false
    let failure = af_jobs_start()
    if failure != 0 { forget() }
    return failure
  }

  /// Does what is left and ends the thread. No command runs any more.
  static func stop() {
    withTable { isStopping = true }
    wake()
    af_jobs_join()
    forget()
  }

  private static func forget() {
    close(wakeDescriptor)
    wakeDescriptor = -1
  }

  /// Adds a job. With the table's lock held, so that the order is that of the table's changes; `wake` follows.
  static func add(_ job: Job) {
    switch job {
    case .response(let event, _):
      let size = textBytes(event)
      guard waitingTextBytes &+ size <= waitingTextBytesMax else {
        textsLost &+= 1
        return
      }
      waitingTextBytes &+= size
      waitingTexts.append(job)
      return
    case .end(let event, _, _): hasten(textsOf: event.row.id)
    case .raise, .hangUp: break
    }
    waiting.append(job)
  }

  /// Puts a fork's texts before what follows.
  private static func hasten(textsOf id: Bytes) {
    guard !waitingTexts.isEmpty else { return }
    var others = [Job]()
    for job in waitingTexts {
      guard case .response(let event, _) = job, event.row.id == id else {
        others.append(job)
        continue
      }
      waitingTextBytes &-= textBytes(event)
      waiting.append(job)
    }
    waitingTexts = others
  }

  private static func textBytes(_ event: ManagerEvent) -> Int { event.response.count &+ waitingRowBytes }

  static func wake() {
    var one: UInt64 = 1
    _ = write(wakeDescriptor, &one, 8)
  }

  /// Takes what waits; nil when the thread shall end.
  fileprivate static func take() -> [Job]? {
    let (jobs, lost) = withTable { () -> ([Job]?, Int) in
      let lost = textsLost
      textsLost = 0
      guard waiting.isEmpty else {
        let taken = waiting
        waiting = []
        return (taken, lost)
      }
      guard !waitingTexts.isEmpty else { return (isStopping ? nil : [], lost) }
      var taken = [Job]()
      for job in waitingTexts.prefix(textsAtOnce) {
        if case .response(let event, _) = job { waitingTextBytes &-= textBytes(event) }
        taken.append(job)
      }
      waitingTexts.removeFirst(taken.count)
      return (taken, lost)
    }
    if lost > 0 {
      log(
        AF_LEVEL_WARNING, "AudioFork: ", .number(lost),
        " texts of servers were dropped: Asterisk takes their variables and events more slowly than they come")
    }
    return jobs
  }

  /// Waits for a job, or for the next look at the codecs.
  fileprivate static func wait() {
    var waiting = pollfd(fd: wakeDescriptor, events: Int16(POLLIN), revents: 0)
    guard poll(&waiting, 1, CodecLooks.millisecondsLeft(af_now_ns()) ?? -1) > 0 else { return }
    var count: UInt64 = 0
    _ = read(wakeDescriptor, &count, 8)
  }
}

@c(af_jobs_thread)
func jobsThread(_ unused: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
  while let jobs = Jobs.take() {
    for job in jobs { perform(job) }
    joinCommands()
    CodecLooks.lookIfDue(af_now_ns())
    if jobs.isEmpty { Jobs.wait() }
  }
  Snapshots.forgetAll()
  withTable { forgetEnded() }
  return nil
}

private func perform(_ job: Job) {
  switch job {
  case .raise(var event): withLiveChannel(of: event.row) { event.raise($0) }
  case .hangUp(let row, let reason):
    withLiveChannel(of: row) { channel in
      guard let channel else { return }
      log(
        AF_LEVEL_WARNING, "AudioFork ", .bytes(row.id), " to ", .bytes(row.url), " on ", .bytes(row.channel),
        ": the call is hung up (on_failure = hangup): ", .bytes(reason))
      ast_channel_softhangup_withcause_locked(channel, CInt(AST_CAUSE_NETWORK_OUT_OF_ORDER))
    }
  case .response(var event, let variable):
    withLiveChannel(of: event.row) { channel in
      if let channel, isCarried(event.row.id, by: channel) {
        let value = variableValue(event.response)
        setVariable(channel, Bytes(text: "AUDIOFORK_RESPONSE"), value)
        if !variable.isEmpty { setVariable(channel, variable, value) }
      }
      event.raise(channel)
    }
  case .end(var event, let command, let beeps):
    withLiveChannel(of: event.row) { channel in
      if let channel { endBeeps(channel, beeps) }
      event.raise(channel)
    }
    Snapshots.forget(event.row.id)
    if !command.line.isEmpty { run(command, of: event.row) }
  }
}

/// A server's text as a variable's value: cut, and without line ends and other controls, which AMI and
/// `core show channel` would print as they are.
func variableValue(_ text: Bytes) -> Bytes {
  printable(cut(text, to: responseVariableMax), mark: UInt8(ascii: " "))
}

/// Runs `body` with the fork's channel, referenced and not locked, or with nil when that has gone.
private func withLiveChannel(of row: ForkRow, _ body: (OpaquePointer?) -> Void) {
  // A masquerade may have changed both since.
  let (uniqueID, name) =
    withTable { forkTable.find(row.id).map { (bytes($0.pointee.uniqueid), bytes($0.pointee.channel)) } }
    ?? (row.uniqueID, row.channel)
  let channel = liveChannel(uniqueID, called: name)
  body(channel)
  if let channel { af_channel_unref(channel) }
}

/// The live channel with this unique id, referenced; nil where there is none. The name that it had is where to look
/// first: a unique id is searched for among all channels.
func liveChannel(_ uniqueID: Bytes, called name: Bytes) -> OpaquePointer? {
  channel(named: name, with: uniqueID) ?? channel(named: uniqueID, with: uniqueID)
}

/// Asterisk takes a unique id for a name; and a name may belong to another channel by now.
private func channel(named name: Bytes, with uniqueID: Bytes) -> OpaquePointer? {
  guard !name.isEmpty, let channel = withCString(name, { ast_channel_get_by_name($0) }) else { return nil }
  af_channel_lock(channel)
  let isIt = bytes(ast_channel_uniqueid(channel)) == uniqueID
  af_channel_unlock(channel)
  if isIt { return channel }
  af_channel_unref(channel)
  return nil
}

/// Whether the fork is on this channel, or was until it was stopped: the server's last words come later.
private func isCarried(_ id: Bytes, by channel: OpaquePointer) -> Bool {
  af_channel_lock(channel)
  let isThere = withCString(id) { ast_channel_datastore_find(channel, af_datastore_type(), $0) } != nil
  af_channel_unlock(channel)
  return isThere || withTable { forkTable.find(id).map { $0.pointee.closed_at_ns != 0 || isClosed($0) } ?? true }
}

// MARK: - Commands

/// Commands that run. Belongs to the jobs thread.
nonisolated(unsafe) private var commands: UnsafeMutablePointer<af_command>?

/// What is run when a fork has ended.
struct ForkCommand {
  /// For a shell, evaluated; empty: none.
  let line: Bytes
  /// The caller's when the fork began; empty where unknown. A stranger's text.
  let callerNumber: Bytes
  let callerName: Bytes

  /// "NAME=value", for the command's environment: what a shell never takes for syntax if the line quotes it.
  fileprivate func environment(of row: ForkRow) -> [Bytes] {
    let values = [row.id, row.url, row.reason, row.channel, callerNumber, callerName]
    var environment = [Bytes]()
    for (variable, value) in zip(CommandVariable.all, values) {
      environment.append(text(.literal(variable.name), "=", .bytes(value.map { $0.isControl ? UInt8(ascii: "?") : $0 })))
    }
    return environment
  }
}

/// Runs the command of a fork that has ended, on a thread of its own: it may take hours.
private func run(_ command: ForkCommand, of row: ForkRow) {
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
  withTable {
    forkTable.commands &-= 1
    forkTable.unreserve()
  }
}

/// Lets go of the threads that are through.
private func joinCommands() {
  var running: UnsafeMutablePointer<af_command>?
  var next = commands
  while let command = next {
    next = command.pointee.next
    if withTable({ command.pointee.is_over != 0 }) {
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
  // Waits for its child by itself; nobody else may.
  let status = withEnvironment(of: command) { af_command_run(command.pointee.line, $0.baseAddress) }
  if status != 0 {
    log(
      AF_LEVEL_WARNING, "AudioFork ", .bytes(bytes(command.pointee.id)), ": its command ended with status ",
      .number(Int(status)))
  }
  withTable { command.pointee.is_over = 1 }
  Jobs.wake()
  return nil
}
