// SPDX-License-Identifier: GPL-2.0-or-later
import AudioForkBytes
import AudioForkLink
import AudioForkSurface
import CAsterisk

/// Starts the engine, sends it the fork table, and starts another one when it dies or hangs.
///
/// Its death is end-of-file on the link; Asterisk's own SIGCHLD handler reaps it. Only the control thread calls this.
struct EngineSupervisor {
  private(set) var link = EngineLink()
  private var process: CInt = -1
  private var isReady = false
  private var readyAt: Int64 = 0
  private var delay = RestartDelay()
  private var heartbeats = HeartbeatWatch()
  private var complained = false
  private var tableEndIsDue = false
  /// The engine-wide settings that this engine has been sent.
  private var sentSettings = EngineSettings()
  /// What this engine was told to confine itself to.
  private var rules = Bytes()
  /// When an engine was heard last, this one or one before it. CLOCK_MONOTONIC.
  private(set) var heardAt: Int64 = 0
  /// It was asked to leave, so that a new one starts.
  private var isRestarting = false

  /// Milliseconds until the next engine is due; nil while one runs.
  func millisecondsToSpawn(_ now: Int64) -> CInt? {
    guard !link.isOpen else { return nil }
    return CInt(truncatingIfNeeded: max(0, min((delay.spawnAt &- now) / 1_000_000 &+ 1, 60_000)))
  }

  mutating func spawnIfDue(_ now: Int64, path: Bytes) {
    guard !link.isOpen, now >= delay.spawnAt else { return }
    var pair: [CInt] = [-1, -1]
    let made = pair.withUnsafeMutableBufferPointer {
      socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, $0.baseAddress)
    }
    guard made == 0, let instance = Control.instance else { return failed(now, path, af_errno()) }
    var pid: CInt = 0
    rules = EngineSupervisor.rulesInForce()
    let failure = withCString(path) { path in
      withCString(instance.directory) { directory in
        // Empty: it does not confine itself.
        rules.withUnsafeBufferPointer { af_spawn_engine(path, directory, pair[1], $0.baseAddress, $0.count, &pid) }
      }
    }
    close(pair[1])
    guard failure == 0 else {
      close(pair[0])
      return failed(now, path, failure)
    }
    link.open(pair[0])
    process = af_process_open(pid)
    isReady = false
    heartbeats.owesNothing()
    isRestarting = false
    link.append(.hello(version: bytes(af_version()), protocolVersion: LinkProtocol.version))
    sentSettings = EngineSettings()
    // The table is the truth: a new engine receives all of it.
    withState { $0.forks.mustSendAll() }
    tableEndIsDue = true
  }

  /// What an engine that starts now is told to confine itself to; empty: to nothing.
  private static func rulesInForce() -> Bytes {
    withState { $0.settings?.confinesEngine == true ? $0.engineRules.encoded : [] }
  }

  private mutating func failed(_ now: Int64, _ path: Bytes, _ failure: CInt) {
    if !complained {
      complained = true
      let isOurs = failure == ENOENT || failure == EACCES || failure == ENOEXEC || failure == ENOTDIR
      log(
        AF_LEVEL_ERROR, "the engine ", .bytes(path), " cannot be started: ", .bytes(reason(failure)),
        isOurs
          ? "; install it or set engine in audiofork.conf. Until then nothing is delivered"
          : "; the system lacks something that it needs. It is tried again, and until then nothing is delivered")
    }
    delay.failed(now)
  }

  /// Sends changes of the settings and of the table, as far as the socket takes them.
  mutating func send(_ settings: EngineSettings) {
    guard link.isOpen else { return }
    if settings != sentSettings {
      sentSettings = settings
      link.append(.settings(settings.lines))
    }
    var rows = Bytes()
    let room = link.room
    var isComplete = true
    withState { state in
      while let fork = state.forks.unsent.first {
        guard rows.count < room else {
          isComplete = false
          break
        }
        state.forks.isSent(fork)
        rows +=
          MessageFromModule<Bytes>.fork(id: bytes(fork.pointee.id), isClosed: fork.pointee.closed_at_ns != 0).encoded
      }
      // After the rows: a text is for a fork that the engine knows.
      if isReady, isComplete, rows.count < room {
        for text in state.outgoingTexts.takeAll() { rows += text }
      }
    }
    link.append(rows)
    if isComplete, tableEndIsDue {
      tableEndIsDue = false
      link.append(.tableEnd)
    }
    link.flush()
  }

  /// A row is gone: the engine need not know the fork any more.
  mutating func forget(_ id: Bytes) {
    guard link.isOpen, link.room > 0 else { return }
    link.append(.forget(id: id))
  }

  /// Kills an engine that hangs, so that the next one starts. An engine that is being started may hang too. Call it
  /// after `receive()`.
  mutating func checkHeartbeat(_ now: Int64, hasForks: Bool) {
    guard link.isOpen, hasForks else { return heartbeats.looked(now) }
    guard heartbeats.isHanging(now) else { return }
    log(
      AF_LEVEL_ERROR, "the AudioFork engine has not given a sign of life for 3 seconds; it is killed and started again")
    died()
  }

  /// An engine without forks sends no heartbeats.
  mutating func owesNothing() { heartbeats.owesNothing() }

  /// Asks the engine to save its cursors and leave; the next one continues from them.
  mutating func restart() {
    guard link.isOpen, isReady, !isRestarting else { return }
    isRestarting = true
    af_process_terminate(process)
  }

  /// Handles what the engine has sent; notices its death.
  mutating func receive() {
    guard link.isOpen else { return }
    while true {
      switch link.receive() {
      case .nothing: return
      case .closed: return died()
      case .received: break
      }
      heardAt = af_now_ns()
      do throws(LinkError) {
        while let message = try link.next() { handle(message) }
      } catch {
        log(AF_LEVEL_ERROR, "the engine sends what is no message; it is ended and started again")
        return died()
      }
    }
  }

  private mutating func handle(_ message: MessageFromEngine<Bytes>) {
    switch message {
    case .ready(let version, let pid, let loops): readyReceived(version, pid, loops)
    case .state(let id, let state, let reason, let endpoint, let counters):
      ForkUpdates.stateReceived(id, state, reason: reason, endpoint: endpoint, counters)
    case .ended(let id, let reason, let counters): ForkUpdates.endReceived(id, reason: reason, counters)
    case .heartbeat: heartbeats.owesNothing()
    case .gap(let id, let gap): ForkUpdates.gapReceived(id, gap)
    case .text(let id, let text, let length, let dropped):
      ForkUpdates.textReceived(id, text, length: length, dropped: dropped)
    case .log(let level, _, let text): log(af_level(rawValue: UInt32(truncatingIfNeeded: level.rawValue)), .bytes(text))
    case .unknown: break
    }
  }

  private mutating func readyReceived(_ version: Bytes, _ pid: UInt64, _ loops: UInt64) {
    isReady = true
    readyAt = af_now_ns()
    delay.isReady()
    complained = false
    withState { $0.engine.ready(version: version, process: pid, loops: loops, now: readyAt) }
    log(
      AF_LEVEL_VERBOSE, "AudioFork engine ", .bytes(version), " is ready, process ",
      .number(Int(truncatingIfNeeded: pid)))
    // A reload while it started.
    if rules != EngineSupervisor.rulesInForce() { restart() }
  }

  private mutating func died() {
    let wasReady = isReady
    let wasAsked = isRestarting
    closeLink()
    let now = af_now_ns()
    if wasAsked {
      log(AF_LEVEL_NOTICE, "the AudioFork engine has left as it was asked to; the next one starts")
      delay.leftAsAsked(now)
    } else if wasReady {
      let count = withState { $0.forks.count }
      log(
        AF_LEVEL_WARNING, "the AudioFork engine is gone; it is started again, ", .number(count),
        count == 1 ? " fork goes" : " forks go", " on from the ring")
      delay.died(now, readyAt: readyAt)
    } else {
      if !complained {
        complained = true
        log(
          AF_LEVEL_ERROR, "the AudioFork engine ended before it was ready; run '",
          .bytes(Control.settings?.engine ?? []),
          " --help' as Asterisk's user to see why. It is tried again")
      }
      delay.failed(now)
    }
  }

  /// Closes the link and makes sure that no process is left at its other end.
  private mutating func closeLink() {
    if process >= 0 {
      af_process_kill(process)
      close(process)
      process = -1
    }
    link.close()
    isReady = false
    isRestarting = false
    withState { $0.engine.gone() }
  }

  /// Ends the engine: end-of-file tells it to leave, and after two seconds it is killed.
  mutating func end() {
    guard link.isOpen else { return }
    link.finish(deadline: af_now_ns() &+ 2_000_000_000)
    if process >= 0 {
      // End-of-file comes a moment before the process is gone.
      af_process_kill(process)
      var leaving = pollfd(fd: process, events: Int16(POLLIN), revents: 0)
      _ = poll(&leaving, 1, 1000)
    }
    closeLink()
  }
}
