// SPDX-License-Identifier: GPL-2.0-or-later
import AudioForkBytes
import AudioForkLink
import AudioForkSurface
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
    let (told, rules) = withState { state in
      state.settings = settings
      state.isStopping = false
      state.restarts = EngineRestarts()
      state.engineRules = EngineRules()
      state.learnedPaths = 0
      state.coverage = nil
      state.pathRestarts = PathRestarts()
      state.engineRules.runDirectory = slice(
        instance.directory, 0, instance.directory.count &- instance.name.count &- 1)
      state.engineRules.addPrivateFolders()
      let told = state.engineRules.add(settings)
      state.forks.isClosing = false
      state.engine = EngineStatus()
      return (told, state.engineRules)
    }
    // Once, since a look at them may block: a folder of Asterisk may be on a network's file system.
    let privateFolders = rules.privateFolders.map { realPath($0) ?? $0 }
    withState { $0.privateFolders = privateFolders }
    if settings.confinesEngine { told.tellLeftOut(rules, privateFolders: privateFolders) }
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
      state.privateFolders = []
      state.learnedPaths = 0
      state.coverage = nil
      state.pathRestarts = PathRestarts()
    }
  }

  /// New settings for forks and engines to come; engine-wide ones take effect at once. The run directory of this load
  /// stays.
  static func apply(_ settings: Settings) {
    let (mustRestart, told, rules, privateFolders) = withState { state in
      let wasConfined = state.settings?.confinesEngine ?? false
      state.settings = settings
      let told = state.engineRules.add(settings)
      let mustRestart = settings.confinesEngine != wasConfined || (told.isNew && wasConfined)
      // Under the same lock, so that an engine that is started now counts.
      if mustRestart { _ = state.restarts.ask() }
      return (mustRestart, told, state.engineRules, state.privateFolders)
    }
    if settings.confinesEngine { told.tellLeftOut(rules, privateFolders: privateFolders) }
    guard mustRestart else { return wake() }
    log(
      AF_LEVEL_NOTICE, "audiofork.conf: restarting the engine, because confine has changed or the running engine may",
      " not open a file or folder that is named now. Its forks continue from their rings")
    wake()
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
nonisolated(unsafe) var engine = EngineSupervisor()

@c(af_control_thread)
func controlThread(_ unused: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
  af_name_thread("audiofork-ctl")
  while !Control.mustStop {
    let now = af_now_ns()
    let settings = Control.settings
    let isMissing = !DirectoryWatch.restoreIfDue(now, hasEngine: engine.link.isOpen)
    engine.spawnIfDue(now)
    lookAtRows(now)
    // Found again once the directory is there.
    if isMissing { Generations.forgetAll() } else if let settings { Generations.renew(now, settings) }
    Control.replaceEngineForPaths()
    if Control.takeRestart() { engine.restart(now) }
    engine.send(settings?.engineSettings ?? EngineSettings())
    // Checked before and after the wait. Without forks the wait is unlimited, and that time must not count against the
    // engine when the next fork begins.
    if !hasForksInEngine() { engine.owesNothing() }
    waitForWork()
    engine.receive()
    engine.checkHeartbeat(af_now_ns(), hasForks: hasForksInEngine())
    engine.checkLeaving(af_now_ns())
  }
  engine.end()
  Generations.forgetAll()
  return nil
}

/// Whether the running engine still has work. A fork that it has ended does not count, even if its hook is still on the
/// channel; nor does one that waits for the next engine.
private func hasForksInEngine() -> Bool { withState { $0.forks.inEngine } > 0 }

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
