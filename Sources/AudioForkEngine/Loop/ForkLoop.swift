// SPDX-License-Identifier: Apache-2.0
internal import AudioForkMedia
internal import AudioForkLink
internal import AudioForkWebSocket
internal import NIOCore

/// The forks of one event loop and the tick that moves them. Confined to that loop.
///
/// A tick has two passes: the first prefetches and renders every fork that is due, the second flushes them.
///  - *Prefetch*: has the processor fetch what a fork needs, a few forks ahead of its turn.
///  - *Render*: makes messages of what each ring has got, and leaves them with the connections.
///  - *Flush*: sends them, one system call for each connection, and looks whether servers live and what is confirmed.
///    The messages of all forks leave one behind the other: the kernel's code stays warm, and a receiver on this
///    machine need not be woken for each.
///
/// A loop without forks has no timer.
final class ForkLoop {
  /// How often a fork's ring is looked at while a block is waited for.
  static let tickLength = Nanoseconds.milliseconds(5)
  /// By how much a block may be later than the one before it was, and still be found by the first look for it.
  private static let slack = Nanoseconds(500_000)
  /// Blocks that all forks of the loop may send in one tick, and the least and the most for each: replay is faster than
  /// real time (up to 200 times; 8 times however many forks have a backlog), and never keeps live forks waiting for
  /// long.
  private static let blocksPerTick = 200
  private static let blocksPerForkMin = 2
  private static let blocksPerForkMax = 50
  /// How long an earlier engine may hold a cursor without a word about it: it is being killed when the next one
  /// starts. And how long a fork without a row is still tried.
  private static let openWait = Nanoseconds.seconds(2)
  private static let cursorRetry = TimeAmount.milliseconds(20)
  /// How often a fork is tried again for which the system lacked something.
  private static let lackRetry = TimeAmount.milliseconds(500)

  private let loop: any EventLoop
  private let directory: String
  private let output: any EngineOutput
  private let context: EngineContext
  private let onEnd: @Sendable (String) -> Void
  private var sessions: [ForkSession] = []
  /// Where each stands among them.
  private var places: [String: Int] = [:]
  private var pending: [String: PendingFork] = [:]
  private var isOrphaned = false
  private var isStopping = false
  private var isTicking = false
  /// When the next tick is due, moved by the loop's share of a tick, so that loops take turns.
  private var nextTick = MonotonicTime(nanoseconds: 0)
  private var wheel = TickWheel()
  private var missedTicks: Int64 = 0
  private var due: [ForkSession] = []
  private let scratch = RenderScratch()
  /// Counts what this loop does.
  let pulse: LoopPulse
  /// What the forks' servers may make this loop do. Begun anew with each tick.
  private let turns: InboundTurns
  /// This loop's share of a tick.
  private let phase: Nanoseconds

  init(
    loop: any EventLoop, index: Int, of count: Int, directory: String, output: any EngineOutput,
    context: EngineContext, onEnd: @escaping @Sendable (String) -> Void
  ) {
    self.loop = loop
    self.directory = directory
    self.output = output
    self.context = context
    self.onEnd = onEnd
    let pulse = LoopPulse()
    self.pulse = pulse
    turns = InboundTurns { pulse.beginJob() }
    phase = ForkLoop.tickLength * Int64(index) / Int64(max(count, 1))
  }

  /// Begins a fork, or goes on with one that an earlier engine left.
  func start(_ id: String, isClosed: Bool, _ generation: UInt32) {
    let deadline = MonotonicTime.now + ForkLoop.openWait
    pending[id] = PendingFork(
      isClosed: isClosed, generation: generation, directory: directory, isAdopted: false, deadline: deadline,
      isOrphaned: isOrphaned)
    open(id)
  }

  /// The module has sent the row again. That matters for a fork whose ring was not found yet.
  func update(_ id: String, isClosed: Bool, _ generation: UInt32) {
    pending[id]?.isClosed = isClosed
    pending[id]?.generation = generation
  }

  /// Finishes a fork that a dead Asterisk left in another directory.
  func adopt(_ id: String, in directory: String, _ generation: UInt32) {
    let deadline = MonotonicTime.now + ForkLoop.openWait
    pending[id] = PendingFork(
      isClosed: true, generation: generation, directory: directory, isAdopted: true, deadline: deadline,
      isOrphaned: true)
    open(id)
  }

  /// What is in the fork's ring is all there will be.
  func orphan(_ id: String) {
    session(id)?.orphan()
    guard pending[id]?.isOrphaned == false else { return }
    pending[id]?.isOrphaned = true
    pending[id]?.deadline = .now + ForkLoop.openWait
  }

  /// The module is gone: so it is with every fork.
  func orphanAll() {
    isOrphaned = true
    for session in sessions { session.orphan() }
    for id in pending.keys { orphan(id) }
  }

  /// Drops the fork and its files.
  func forget(_ id: String) {
    pulse.beginJob()
    if let session = session(id) {
      session.forget()
    } else {
      let waiting = pending.removeValue(forKey: id)
      if waiting != nil { onEnd(id) }
      ForkFiles(directory: directory, id: id, generation: waiting?.generation ?? 0).unlink()
    }
  }

  /// A text for the fork's server. One for a fork that is not there any more is for nobody.
  func sendText(_ text: [UInt8], to id: String) {
    if let session = session(id) { return session.sendText(text) }
    guard pending[id] != nil else { return }
    output.send(
      .log(.warning, id: id, text: "AudioFork \(id): there is no connection; a text for the server is not sent"))
  }

  /// Saves every cursor and leaves every connection.
  func shutdown() {
    isStopping = true
    for session in sessions { session.shutdown() }
    // Their files stay as they are: the next engine opens them.
    let waiting = pending.keys
    pending = [:]
    for id in waiting { onEnd(id) }
  }

  private func session(_ id: String) -> ForkSession? { places[id].map { sessions[$0] } }

  private func open(_ id: String) {
    guard let waiting = pending[id], !isStopping else { return }
    pulse.beginJob()
    let files = ForkFiles(directory: waiting.directory, id: id, generation: waiting.generation)
    files.crashFile.attribution().during { open(id, waiting, files) }
  }

  private func open(_ id: String, _ waiting: PendingFork, _ files: ForkFiles) {
    do throws(ForkFailure) {
      try files.crashFile.checkCount()
      let session = try ForkSession(
        id: id, files: files, isAdopted: waiting.isAdopted, loop: loop, scratch: scratch, turns: turns, output: output,
        context: context
      ) { [weak self] in self?.ended($0) }
      pending.removeValue(forKey: id)
      places[id] = sessions.count
      sessions.append(session)
      wheel.put(session, in: 1)
      if waiting.isOrphaned { session.orphan() }
      session.start()
      startTicking()
    } catch {
      if retry(id, waiting, error) { return }
      pending.removeValue(forKey: id)
      // Where capture has ended and the files are gone, an earlier engine was through and could not say so any more.
      let level: LogLevel = waiting.isClosed && error.kind == .missing ? .debug : .error
      output.send(.log(level, id: id, text: "AudioFork \(id): \(error.reason); the fork ends, the call goes on"))
      // A cursor that another engine holds is that engine's, and what the system could not open is still whole.
      // Of a dead Asterisk's fork there will be nothing more than there is.
      let isUseless = error.kind == .useless || (error.kind == .missing && waiting.isAdopted)
      let onEnd = onEnd
      // The next engine finds out the same, should this one die before the module knows.
      output.send(.ended(id: id, reason: error.reason, .unknown)) {
        if isUseless { files.unlink() }
        onEnd(id)
      }
    }
  }

  /// The ring holds the call's audio and may be read in a moment: it is tried as long as the module has the row. False
  /// where that is over, or of no use.
  private func retry(_ id: String, _ waiting: PendingFork, _ failure: ForkFailure) -> Bool {
    let isEarly = MonotonicTime.now < waiting.deadline
    var wait = ForkLoop.lackRetry
    switch failure.kind {
    // The run directory was removed. The module makes it again, and a new generation of the ring in it.
    case .missing where !waiting.isClosed && !waiting.isOrphaned:
      guard !isEarly else { break }
      complain(id, failure)
    case .missing, .useless: return false
    case .inUse where isEarly: wait = ForkLoop.cursorRetry
    // The engine of the Asterisk that died is still at it.
    case .inUse where waiting.isAdopted: break
    case .inUse, .lacking:
      guard isEarly || !waiting.isOrphaned else { return false }
      complain(id, failure)
    }
    loop.assumeIsolated().scheduleTask(in: wait) { self.open(id) }
    return true
  }

  /// Says once why the fork is tried again.
  private func complain(_ id: String, _ failure: ForkFailure) {
    guard pending[id]?.hasComplained == false else { return }
    output.send(.log(.error, id: id, text: "AudioFork \(id): \(failure.reason); it is tried again"))
    pending[id]?.hasComplained = true
  }

  private func ended(_ session: ForkSession) {
    // The last one takes its place: thousands may end in a second, and none of them moves all the others.
    if let place = places.removeValue(forKey: session.id), let last = sessions.popLast(), last !== session {
      sessions[place] = last
      places[last.id] = place
    }
    onEnd(session.id)
  }

  // MARK: - Tick

  private func startTicking() {
    guard !isTicking else { return }
    isTicking = true
    let tick = ForkLoop.tickLength
    let boot = MonotonicTime(nanoseconds: 0)
    nextTick = boot + tick * ((MonotonicTime.now - boot) / tick &+ 1) + phase
    scheduleTick()
  }

  private func scheduleTick() {
    let delay = max(.zero, nextTick - MonotonicTime.now)
    loop.assumeIsolated().scheduleTask(in: .nanoseconds(delay.count)) { self.tick() }
  }

  private func tick() {
    guard !sessions.isEmpty || turns.hasWaiting else {
      isTicking = false
      // Those that have ended since; there may be no other fork for days.
      wheel.clear()
      return
    }
    // After a stall no ticks are made up for: this one sees all that came meanwhile.
    let missed = min(max(0, (MonotonicTime.now - nextTick) / ForkLoop.tickLength) &+ missedTicks, TickWheel.ticks)
    let share = min(
      max(ForkLoop.blocksPerTick / max(sessions.count, 1), ForkLoop.blocksPerForkMin), ForkLoop.blocksPerForkMax)
    for _ in 0...missed { look(share) }
    // Behind the audio, which is never late because of what servers say.
    turns.begin()
    nextTick += ForkLoop.tickLength
    let now = MonotonicTime.now
    missedTicks = 0
    if nextTick <= now {
      missedTicks = (now - nextTick) / ForkLoop.tickLength &+ 1
      nextTick += ForkLoop.tickLength * missedTicks
    }
    scheduleTick()
  }

  /// Looks at the forks of the next place of the wheel.
  private func look(_ share: Int) {
    wheel.advance(swapping: &due)
    let began = MonotonicTime.now
    for (index, session) in due.enumerated() where !session.isOver {
      prefetch(behind: index)
      pulse.beginJob()
      session.render(now: .now, blocksMax: share)
    }
    for session in due where !session.isOver {
      session.flush(now: .now)
      guard !session.isOver else { continue }
      let rest =
        (session.nextLook - began + ForkLoop.slack + ForkLoop.tickLength - Nanoseconds(1)) / ForkLoop.tickLength
      wheel.put(session, in: min(max(rest, 1), TickWheel.restMax))
    }
    due.removeAll(keepingCapacity: true)
  }

  /// Has the processor fetch what the next forks' turns need: 20 ms after the last one it is in no cache any more, and
  /// what the ring has got meanwhile is in another processor's. In steps, since each finds in memory where the next one
  /// is.
  private func prefetch(behind index: Int) {
    if index + 6 < due.count { due[index + 6].prefetchSelf() }
    if index + 4 < due.count { due[index + 4].prefetchParts() }
    if index + 2 < due.count { due[index + 2].prefetchAudio() }
  }
}
