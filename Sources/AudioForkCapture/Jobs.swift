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
