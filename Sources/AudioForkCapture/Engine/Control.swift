// SPDX-License-Identifier: GPL-2.0-or-later
import AudioForkBytes
import AudioForkLink
import AudioForkSurface
import AudioForkTap
import CAsterisk

/// The module's control thread: spawns and watches the engine, and tells it the rows of the fork table.
///
/// `instance` and the wake descriptor are written before the thread starts and after it has ended, while no command is
/// registered that could read them.
enum Control {
  nonisolated(unsafe) private(set) static var instance: Instance?
  nonisolated(unsafe) private static var wakeDescriptor: CInt = -1

  /// The settings in force; nil while the module is not loaded.
  static var settings: Settings? { withState { $0.settings } }

  /// Starts the thread, and with it the engine. Returns false, after a line in the log, where that fails.
  static func start(_ settings: Settings, _ instance: Instance) -> Bool {
    wakeDescriptor = eventfd(0, CInt(EFD_CLOEXEC | EFD_NONBLOCK))
    guard wakeDescriptor >= 0 else {
      log(AF_LEVEL_ERROR, "app_audiofork is not loaded: no eventfd: ", .bytes(reason(af_errno())))
      return false
    }
    Control.instance = instance
    RingMemory.load(in: instance.directory)
    withState { state in
      state.settings = settings
      state.isStopping = false
      state.restarts = EngineRestarts()
      state.engineRules = EngineRules()
      state.learnedPaths = 0
      state.pathRestarts = PathRestarts()
      state.engineRules.runDirectory = slice(
        instance.directory, 0, instance.directory.count &- instance.name.count &- 1)
      state.engineRules.addPrivateFolders()
      _ = state.engineRules.add(settings)
      state.forks.isClosing = false
      state.engine = EngineStatus()
    }
    engine = EngineSupervisor()
    let failure = startThreads()
    guard failure == 0 else {
      log(AF_LEVEL_ERROR, "app_audiofork is not loaded: no thread: ", .bytes(reason(failure)))
      forget()
      return false
    }
    return true
  }

  /// Starts the three threads, or none. Returns 0 or an errno.
  private static func startThreads() -> CInt {
    var failure = Commands.start()
    guard failure == 0 else { return failure }
    failure = Jobs.start()
    if failure == 0 {
      failure = af_control_start()
      if failure != 0 { Jobs.stop() }
    }
    if failure != 0 { Commands.stop() }
    return failure
  }

  /// Ends the engine and the threads; returns when they are gone.
  static func stop() {
    withState { $0.isStopping = true }
    wake()
    af_control_join()
    // In this order: each may have left the next one something to do.
    Jobs.stop()
    Commands.stop()
    forget()
  }

  private static func forget() {
    close(wakeDescriptor)
    wakeDescriptor = -1
    instance = nil
    withState { state in
      state.settings = nil
      state.engineRules = EngineRules()
      state.learnedPaths = 0
      state.pathRestarts = PathRestarts()
    }
  }

  /// New settings for forks and engines to come; engine-wide ones take effect at once. The run directory of this load
  /// stays.
  static func apply(_ settings: Settings) {
    let mustRestart = withState { state in
      let wasConfined = state.settings?.confinesEngine ?? false
      state.settings = settings
      let isNew = state.engineRules.add(settings)
      return settings.confinesEngine != wasConfined || (isNew && wasConfined)
    }
    guard mustRestart else { return wake() }
    log(
      AF_LEVEL_NOTICE, "audiofork.conf: restarting the engine, because confine has changed or the running engine may",
      " not open a file or folder that is named now. Its forks continue from their rings")
    restartEngine()
  }

  /// Makes the thread look at the table. Any thread, any lock; never from the audio path.
  static func wake() {
    var one: UInt64 = 1
    _ = write(wakeDescriptor, &one, 8)
  }

  /// Asks for a new engine. The old one saves its cursors, and the new one continues from them; without an engine one
  /// is started at once. Returns the request's number for `outcomeOfRestart`.
  @discardableResult
  static func restartEngine() -> Int {
    let request = withState { $0.restarts.ask() }
    wake()
    return request
  }

  /// Waits at most so long for the outcome of a request to replace the engine: empty if a new one serves, else why
  /// there is none; nil if that is still open. No lock may be held. The caller keeps the module from being unloaded.
  static func outcomeOfRestart(_ request: Int, within milliseconds: Int) -> Bytes? {
    let deadline = af_now_ns() &+ Int64(milliseconds) &* 1_000_000
    while true {
      let outcome = withState { $0.restarts.outcome(of: request) }
      if outcome != nil || af_now_ns() >= deadline { return outcome }
      _ = poll(nil, 0, 10)
    }
  }

  fileprivate static func takeRestart() -> Bool { withState { $0.restarts.take() } }

  fileprivate static var mustStop: Bool { withState { $0.isStopping } }
  fileprivate static var descriptor: CInt { wakeDescriptor }
}

/// Belongs to the control thread.
nonisolated(unsafe) private(set) var engine = EngineSupervisor()

@c(af_control_thread)
func controlThread(_ unused: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
  af_name_thread("audiofork-ctl")
  while !Control.mustStop {
    let now = af_now_ns()
    let settings = Control.settings
    let isMissing = !DirectoryWatch.restoreIfDue(now, hasEngine: engine.link.isOpen)
    engine.spawnIfDue(now, path: settings?.engine ?? [], hasForks: hasForksAtWork())
    lookAtRows(now)
    // Found again once the directory is there.
    if isMissing { Generations.forgetAll() } else if let settings { Generations.renew(now, settings) }
    // Before the rows: a fork that needs the new engine does not begin in the old one.
    Control.replaceEngineForPaths()
    if Control.takeRestart() { engine.restart(now) }
    engine.send(settings?.engineSettings ?? EngineSettings())
    // Checked before and after the wait. Without forks the wait is unlimited, and that time must not count against the
    // engine when the next fork begins.
    if !hasForksAtWork() { engine.owesNothing() }
    waitForWork()
    engine.receive()
    engine.checkHeartbeat(af_now_ns(), hasForks: hasForksAtWork())
    engine.checkLeaving(af_now_ns())
  }
  engine.end()
  Generations.forgetAll()
  return nil
}

/// Whether the engine still has work. A fork that it has ended does not count, even if its hook is still on the
/// channel.
private func hasForksAtWork() -> Bool { withState { $0.forks.atWork } > 0 }

private func waitForWork() {
  var descriptors = [
    pollfd(fd: Control.descriptor, events: Int16(POLLIN), revents: 0),
    pollfd(fd: engine.link.descriptor, events: Int16(POLLIN), revents: 0),
  ]
  if engine.link.hasOutput { descriptors[1].events |= Int16(POLLOUT) }
  var timeout: CInt = withState { $0.forks.count } > 0 ? RowLooks.millisecondsLeft(af_now_ns()) : -1
  for due in [engine.millisecondsToAct(af_now_ns()), withState { $0.pathRestarts.millisecondsToAct(af_now_ns()) }] {
    if let due { timeout = timeout < 0 ? due : min(timeout, due) }
  }
  _ = descriptors.withUnsafeMutableBufferPointer { poll($0.baseAddress, nfds_t($0.count), timeout) }
  var count: UInt64 = 0
  _ = read(Control.descriptor, &count, 8)
}

/// When the control thread looks at all rows, and not only at those that something has happened to.
private enum RowLooks {
  /// The hook makes no system call, so that nobody is told when it marks the end of capture.
  private static let interval: Int64 = 1_000_000_000
  nonisolated(unsafe) private static var last: Int64 = 0

  /// How often the thread looks whether a rate has changed: a buffer that is too small loses audio by the second.
  private static let rateMilliseconds: CInt = 200

  static func isDue(_ now: Int64) -> Bool {
    let hasRateChanged = af_word_load_acquire(af_rates_changed()) != 0
    guard hasRateChanged || now &- last >= interval else { return false }
    af_word_store_relaxed(af_rates_changed(), 0)
    last = now
    return true
  }

  static func millisecondsLeft(_ now: Int64) -> CInt {
    CInt(truncatingIfNeeded: max(0, min((last &+ interval &- now) / 1_000_000 &+ 1, Int64(rateMilliseconds))))
  }
}

/// A row that was taken out of the table.
private struct GoneRow {
  let fork: ForkPointer
  /// The engine had ended the fork.
  let isFinished: Bool
}

/// Looks at the rows that something has happened to, and once a second at all of them.
private func lookAtRows(_ now: Int64) {
  var gone = [GoneRow]()
  withState { state in
    if RowLooks.isDue(now) {
      state.forks.mustLookAtAll()
      Generations.beginLooks()
    }
    while let fork = state.forks.takeLook() {
      if let row = look(at: fork, now, &state) { gone.append(row) }
    }
  }
  for row in gone { letGo(row) }
  if !gone.isEmpty { Jobs.wake() }
}

/// Notes the end of capture, and takes the row out of the table if its fork has ended or its time is over. With the
/// table's lock held.
private func look(at fork: ForkPointer, _ now: Int64, _ state: inout ModuleState) -> GoneRow? {
  // A hook that is off is called by nobody, so that it cannot mark the end of capture.
  if fork.pointee.ended != 0, fork.pointee.hook_off != 0 { closeTap(&fork.pointee.tap, now: now) }
  let isClosed = isTapClosed(&fork.pointee.tap)
  if isClosed, fork.pointee.closed_at_ns == 0 {
    fork.pointee.closed_at_ns = now
    state.forks.mustSend(fork)
  }
  if fork.pointee.ended != 0, !isClosed {
    // The engine has ended it while the call continues: the hook leaves at the channel's next frame.
    if fork.pointee.hook_alive != 0, fork.pointee.hook_ending == 0 {
      fork.pointee.hook_ending = 1
      ast_audiohook_update_status(&fork.pointee.hook, AST_AUDIOHOOK_STATUS_SHUTDOWN)
    }
    // There may be no next frame. Only a thread that may wait for the channel's lock can take the hook off. Each look
    // asks again, because a masquerade briefly leaves no channel with this name.
    if fork.pointee.leave_asked == 0 {
      fork.pointee.leave_asked = 1
      state.jobs.add(.leave(ForkRow(fork, now: now)))
      Jobs.wake()
    }
    return nil
  }
  if !isClosed { Generations.look(at: fork, now, &state) }
  checkPolicy(fork, now, &state)
  let limit = Int64(sweepSeconds(fork)) &* 1_000_000_000
  guard isClosed, fork.pointee.ended != 0 || now &- fork.pointee.closed_at_ns > limit else { return nil }
  let isFinished = fork.pointee.ended != 0
  if !isFinished {
    state.endFork(
      fork, reason: text("engine: it did not finish the fork within ", .number(sweepSeconds(fork)), " seconds"),
      isAccounted: false)
  }
  state.forks.remove(fork)
  state.endedForks.append(ForkRow(fork, now: now))
  return GoneRow(fork: fork, isFinished: isFinished)
}

/// Removes what a row's fork had, and gives the table's part of it up.
private func letGo(_ row: GoneRow) {
  let fork = row.fork
  if !row.isFinished {
    log(
      AF_LEVEL_WARNING, "AudioFork ", .bytes(bytes(fork.pointee.id)), " to ", .bytes(bytes(fork.pointee.url)),
      ": the engine did not finish it within ", .number(sweepSeconds(fork)),
      " seconds of the call's end; what it had not sent is lost")
  }
  if let instance = Control.instance {
    let id = bytes(fork.pointee.id)
    engine.forget(id)
    for generation in 0...fork.pointee.generation {
      _ = withCString(instance.ringPath(id, generation)) { unlink($0) }
    }
    _ = withCString(instance.path(id, ".cursor")) { unlink($0) }
    _ = withCString(instance.path(id, ".crashes")) { unlink($0) }
  }
  // Now and not with the channel's datastore, which may go hours later.
  unmap(fork)
  release(fork)
}

/// Applies on_failure = hangup if the engine is silent: not heard from for the length of the ring, or it has not
/// started this fork within that time. With the table's lock held.
private func checkPolicy(_ fork: ForkPointer, _ now: Int64, _ state: inout ModuleState) {
  guard fork.pointee.hangs_up != 0 else { return }
  let begun = fork.pointee.tap.epoch_ns
  let heard = bytes(fork.pointee.endpoint).isEmpty ? begun : max(begun, engine.heardAt)
  guard now &- heard > Int64(fork.pointee.buffer_seconds) &* 1_000_000_000 else { return }
  state.hangUpIfWanted(
    fork,
    reason: text("engine: no report for ", .number(Int(fork.pointee.buffer_seconds)), " seconds"))
}

/// How long a fork may take from the end of capture to its own end.
private func sweepSeconds(_ fork: ForkPointer) -> Int { Int(fork.pointee.drain_seconds) &+ 5 }
