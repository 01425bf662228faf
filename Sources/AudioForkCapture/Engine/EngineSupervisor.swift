// SPDX-License-Identifier: GPL-2.0-or-later
import AudioForkBytes
import AudioForkLink
import AudioForkSurface
import CAsterisk

/// Starts the engine, sends it the fork table, and starts another one when it dies or hangs.
///
/// Its death is end-of-file on the link. Only the control thread calls this.
struct EngineSupervisor {
  private(set) var link = EngineLink()
  private var process = EngineProcess()
  private var isReady = false
  /// The engine has announced that it leaves by itself.
  private var isLeaving = false
  /// It was started with rules for its confinement.
  private var hasRules = false
  /// It may leave without LEAVING: it was given rules, and is of an earlier release.
  private var mayLeaveUnannounced = false
  /// The highest type of message that the engine knows; 0: it has not said.
  private var knows: UInt64 = 0
  private var readyAt: Int64 = 0
  private var delay = RestartDelay()
  private var leavingAge = LeavingAge()
  private var heartbeats = HeartbeatWatch()
  private var complained = false
  private var outbox = EngineOutbox()
  private var hasToldUnconfined = false
  /// When an engine was heard last, this one or one before it. CLOCK_MONOTONIC.
  private(set) var heardAt: Int64 = 0
  /// When an engine that is to be replaced is killed; nil: it is not to be replaced. It is asked to leave as soon as it
  /// is ready.
  private var leaveBy: Int64?

  /// An engine that was asked to leave saves its cursors within a second.
  private static let leaveMax: Int64 = 3_000_000_000

  /// Milliseconds until there is something to do though nothing happens; nil: nothing.
  func millisecondsToAct(_ now: Int64) -> CInt? {
    let look = process.millisecondsToLook
    guard let due = link.isOpen ? leaveBy : delay.spawnAt else { return look }
    let wait = CInt(truncatingIfNeeded: max(0, min((due &- now) / 1_000_000 &+ 1, 60_000)))
    return min(wait, look ?? wait)
  }

  /// Starts an engine if there is none and its time has come. While Asterisk is shutting down one is started for forks
  /// that are still at work, and none when Asterisk is about to exit.
  mutating func spawnIfDue(_ now: Int64) {
    process.reap()
    guard !link.isOpen, now >= delay.spawnAt else { return }
    guard EngineSupervisor.mayStart(hasForks: withState { $0.forks.atWork } > 0) else { return delay.shutdown(now) }
    let order = EngineOrder(leavingAge: leavingAge.seconds)
    if order.wasAskedFor { complained = false }
    var pair: [CInt] = [-1, -1]
    let made = pair.withUnsafeMutableBufferPointer {
      socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, $0.baseAddress)
    }
    guard made == 0, let instance = Control.instance else { return failed(now, order.path, af_errno()) }
    var pid: CInt = 0
    var rulesFailure: CInt = 0
    let failure = withCString(order.path) { path in
      withCString(instance.directory) { directory in
        // Empty: it does not confine itself.
        order.rules.withUnsafeBufferPointer {
          af_spawn_engine(path, directory, pair[1], $0.baseAddress, $0.count, &pid, &rulesFailure)
        }
      }
    }
    close(pair[1])
    guard failure == 0 else {
      close(pair[0])
      return failed(now, order.path, failure)
    }
    if rulesFailure != 0 { tellUnconfined(rulesFailure) }
    process.began(pid)
    link.open(pair[0])
    isReady = false
    isLeaving = false
    hasRules = !order.rules.isEmpty
    mayLeaveUnannounced = false
    knows = 0
    heartbeats.owesNothing()
    leaveBy = nil
    outbox = EngineOutbox()
    link.append(.hello(version: bytes(af_version()), protocolVersion: LinkProtocol.version))
    // The table is the truth: a new engine receives all of it.
    withState { $0.forks.mustSendAll() }
  }

  private mutating func tellUnconfined(_ failure: CInt) {
    guard !hasToldUnconfined else { return }
    hasToldUnconfined = true
    log(
      AF_LEVEL_NOTICE,
      "the AudioFork engine runs without its confinement, because its rules cannot be passed to it: ",
      .bytes(reason(failure)))
  }

  private static func mayStart(hasForks: Bool) -> Bool {
    ast_shutting_down() == 0 || (hasForks && ast_shutdown_final() == 0)
  }

  private mutating func failed(_ now: Int64, _ path: Bytes, _ failure: CInt) {
    let isOurs = failure == ENOENT || failure == EACCES || failure == ENOEXEC || failure == ENOTDIR
    complain(
      text(
        "the engine ", .bytes(path), " cannot be started: ", .bytes(reason(failure)),
        isOurs
          ? "; install it or set engine in audiofork.conf. Until then nothing is delivered"
          : "; the system lacks something that it needs. It is tried again, and until then nothing is delivered"))
    delay.failed(now)
    withState { $0.engineEnded(now) }
  }

  /// Says once why no engine serves, and to those who asked for one.
  private mutating func complain(_ problem: Bytes) {
    withState { state in
      state.engine.isMissing = true
      state.restarts.answer(problem: problem)
    }
    guard !complained else { return }
    complained = true
    log(AF_LEVEL_ERROR, .bytes(problem))
  }

  /// Sends changes of the settings and of the table, as far as the socket takes them.
  mutating func send(_ settings: EngineSettings) {
    guard link.isOpen else { return }
    outbox.send(settings, over: &link, isReady: isReady, knowsStopping: engineKnows(.stopping))
  }

  /// A row is gone: the engine need not know the fork any more.
  mutating func forget(_ id: Bytes) {
    if link.isOpen { outbox.forget(id) }
  }

  private func engineKnows(_ kind: LinkMessageKind) -> Bool { knows >= UInt64(kind.rawValue) }

  /// Kills an engine that hangs, so that the next one starts. An engine that is being started may hang too. Call it
  /// after `receive()`.
  mutating func checkHeartbeat(_ now: Int64, hasForks: Bool) {
    // One that was asked to leave has its own time.
    guard link.isOpen, hasForks, leaveBy == nil else { return heartbeats.looked(now) }
    guard heartbeats.isHanging(now) else { return }
    log(
      AF_LEVEL_ERROR, "the AudioFork engine has not given a sign of life for 3 seconds; it is killed and started again")
    died()
  }

  /// An engine without forks sends no heartbeats.
  mutating func owesNothing() { heartbeats.owesNothing() }

  /// Asks the engine to save its cursors and leave; the next one continues from them. Where there is none, one is
  /// started at once.
  mutating func restart(_ now: Int64) {
    guard link.isOpen else {
      complained = false
      return delay.leftAsAsked(now)
    }
    guard leaveBy == nil else { return }
    leaveBy = now &+ EngineSupervisor.leaveMax
    if isReady { askToLeave() }
  }

  private mutating func askToLeave() {
    if engineKnows(.restart) {
      link.append(.restart)
      link.flush()
    } else {
      process.terminate()
    }
  }

  /// Kills an engine that was asked to leave and has not. Call it after `receive()`.
  mutating func checkLeaving(_ now: Int64) {
    guard let leaveBy, now >= leaveBy else { return }
    log(
      AF_LEVEL_WARNING, "the AudioFork engine was asked to leave and has not within ",
      .number(Int(EngineSupervisor.leaveMax / 1_000_000_000)), " seconds; killed, restarting")
    closeLink()
    delay.leftAsAsked(now)
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
      withState { $0.engine.heardAt = heardAt }
      do throws(LinkError) {
        while let message = try link.next() { handle(message) }
      } catch {
        log(AF_LEVEL_ERROR, "malformed message from the AudioFork engine; restarting it")
        return died()
      }
    }
  }

  private mutating func handle(_ message: MessageFromEngine<Bytes>) {
    switch message {
    case .ready(let version, let pid, let loops, let knows, let confinement):
      self.knows = knows
      readyReceived(version, pid, loops, confinement)
    case .state(let id, let state, let reason, let endpoint, let counters):
      ForkUpdates.stateReceived(id, state, reason: reason, endpoint: endpoint, counters)
    case .ended(let id, let reason, let counters): ForkUpdates.endReceived(id, reason: reason, counters)
    case .heartbeat: heartbeats.owesNothing()
    case .leaving: isLeaving = true
    case .gap(let id, let gap): ForkUpdates.gapReceived(id, gap)
    case .text(let id, let text, let length, let dropped):
      ForkUpdates.textReceived(id, text, length: length, dropped: dropped)
    case .transcript(let id, let transcript, let dropped):
      ForkUpdates.transcriptReceived(id, transcript, dropped: dropped)
    case .log(let level, _, let text): log(af_level(rawValue: UInt32(truncatingIfNeeded: level.rawValue)), .bytes(text))
    case .unknown: break
    }
  }

  private mutating func readyReceived(_ version: Bytes, _ pid: UInt64, _ loops: UInt64, _ confinement: Bytes) {
    isReady = true
    readyAt = af_now_ns()
    delay.isReady()
    complained = false
    // CONFINEMENT and LEAVING are of the same release.
    mayLeaveUnannounced = hasRules && confinement.isEmpty
    let isUnconfined =
      hasRules && (confinement.isEmpty || hasPrefix(confinement, ignoringCase: "not confined"))
    withState {
      $0.engine.ready(version: version, process: pid, loops: loops, confinement: confinement, now: readyAt)
      if isUnconfined { $0.engineIsUnconfined(readyAt) }
    }
    log(
      AF_LEVEL_VERBOSE, "AudioFork engine ", .bytes(version), " is ready, process ",
      .number(Int(truncatingIfNeeded: pid)))
    guard leaveBy != nil else { return withState { $0.restarts.answer() } }
    askToLeave()
  }

  private mutating func died() {
    let wasReady = isReady
    let wasAsked = leaveBy != nil
    closeLink()
    let now = af_now_ns()
    if wasAsked, wasReady {
      log(AF_LEVEL_NOTICE, "the AudioFork engine has left as it was asked to; the next one starts")
      delay.leftAsAsked(now)
    } else if wasReady {
      let (count, atWork) = withState { ($0.forks.count, $0.forks.atWork) }
      if EngineSupervisor.mayStart(hasForks: atWork > 0) {
        log(
          AF_LEVEL_WARNING, "the AudioFork engine has ended; restarting it. ", .number(count),
          count == 1 ? " fork continues from its ring" : " forks continue from their rings")
      } else {
        log(
          AF_LEVEL_NOTICE, "the AudioFork engine has ended. Asterisk is shutting down, so no other one is started")
      }
      delay.died(now, readyAt: readyAt)
      leavingAge.engineEnded(after: now &- readyAt, isAnnounced: isLeaving || mayLeaveUnannounced)
    } else {
      complain(
        text(
          "the AudioFork engine ended before it was ready; run '", .bytes(Control.settings?.engine ?? []),
          " --help' as Asterisk's user to see why. It is tried again"))
      delay.failed(now)
    }
  }

  /// Closes the link and makes sure that no process is left at its other end.
  private mutating func closeLink() {
    process.kill()
    link.close()
    isReady = false
    leaveBy = nil
    withState { state in
      state.engine.gone()
      state.engineEnded(af_now_ns())
    }
  }

  /// Ends the engine: end-of-file tells it to leave, and after two seconds it is killed.
  mutating func end() {
    if link.isOpen {
      link.finish(deadline: af_now_ns() &+ 2_000_000_000)
      // End-of-file comes a moment before the process is gone.
      closeLink()
    }
    process.finish(deadline: af_now_ns() &+ 1_000_000_000)
  }
}
