// SPDX-License-Identifier: Apache-2.0
internal import AudioForkLink
package import AudioForkSurface
internal import AudioForkWebSocket
package import NIOCore

/// How the engine's work came to an end.
package enum EngineExit: Equatable, Sendable {
  /// The module is gone, or asked us to go, and every fork has ended.
  case finished
  /// RESTART, or SIGTERM while the module lives: the next engine continues from the cursors.
  case stopped
  /// The link cannot be followed.
  case brokenLink(String)
}

/// Which forks there are and on which loop. Confined to the link's event loop.
///
/// Follows the module's table: a row begins a fork, a fork that a whole table does not name is finished, and when
/// the module is gone all are.
package final class EngineCore {
  /// How long the forks may take to save their cursors and to leave when the engine is told to stop.
  private static let stopWait = TimeAmount.milliseconds(700)
  /// Between two heartbeats, while there are forks.
  private static let beatInterval = TimeAmount.seconds(1)

  private let loop: any EventLoop
  private let loops: [NIOLoopBound<ForkLoop>]
  private let pulses: [LoopPulse]
  private var hangs: HangWatch
  private let output: any EngineOutput
  private let exit: EventLoopPromise<EngineExit>
  /// Forks on each loop.
  private var loads: [Int]
  /// Forks on a loop before the next loop is used; beyond that all are filled evenly. Sending for many forks in one go
  /// keeps the kernel's code and the receiver in the cache. 200 of the most expensive forks (TLS, two conversions: 22
  /// us per message, docs/performance.md) take a quarter of a core and leave room for a replay of all.
  private static let forksBeforeNextLoop = 200
  /// A fork at work.
  private struct Work {
    /// Index of its loop.
    let loop: Int
    /// The module has no row for it any more and will not name it again.
    var isForgotten = false
  }

  private var forks: [String: Work] = [:]
  /// Forks of a dead Asterisk that are being finished.
  private struct Adoption {
    var left: Set<String>
    let onEnd: () -> Void
  }

  private var adoptions: [Adoption] = []
  /// Forks that have ended and that the module may still name. It forgets them with FORGET.
  private var endedForks: Set<String> = []
  /// Rows since HELLO, until the table is whole; nil afterwards.
  private var announced: Set<String>? = []
  /// The engine-wide settings in force; the module sends them behind its HELLO and after a reload.
  package private(set) var settings = EngineSettings()
  private var termination = Termination()
  private let allowed: AllowedURLs
  private var isModuleGone = false
  /// Whether there is a module that would start another engine.
  package var hasModule: Bool { !isModuleGone }
  private var stopping: EngineExit?
  private var isBeating = false
  private var hasExited = false

  private init(
    loop: any EventLoop, loops: [NIOLoopBound<ForkLoop>], pulses: [LoopPulse], output: any EngineOutput,
    allowed: AllowedURLs, exit: EventLoopPromise<EngineExit>
  ) {
    self.allowed = allowed
    self.loop = loop
    self.loops = loops
    self.pulses = pulses
    hangs = HangWatch(loops: loops.count)
    loads = loops.map { _ in 0 }
    self.output = output
    self.exit = exit
  }

  /// Makes the engine's core on `loop`, with forks on `forkLoops`. The future
  /// tells when and why to leave.
  package static func make(
    on loop: any EventLoop, forkLoops: [any EventLoop], directory: String, output: any EngineOutput,
    context: EngineContext = EngineContext()
  ) -> EventLoopFuture<(core: NIOLoopBound<EngineCore>, exit: EventLoopFuture<EngineExit>)> {
    let promise = loop.makePromise(of: EngineExit.self)
    let box = NIOLoopBoundBox<EngineCore?>.makeEmptyBox(valueType: EngineCore.self, eventLoop: loop)
    let made = forkLoops.enumerated().map { index, forkLoop in
      forkLoop.submit {
        let made = ForkLoop(
          loop: forkLoop, index: index, of: forkLoops.count, directory: directory, output: output,
          context: context
        ) { id in
          loop.execute { box.value?.forkEnded(id) }
        }
        return (NIOLoopBound(made, eventLoop: forkLoop), made.pulse)
      }
    }
    return EventLoopFuture.whenAllSucceed(made, on: loop).map { loops in
      let core = EngineCore(
        loop: loop, loops: loops.map(\.0), pulses: loops.map(\.1), output: output, allowed: context.allowed,
        exit: promise)
      box.value = core
      return (NIOLoopBound(core, eventLoop: loop), promise.futureResult)
    }
  }

  /// Takes a message of the module.
  package func handle(_ message: ModuleMessage) {
    guard stopping == nil else { return }
    switch message {
    case .hello(let version, let protocolVersion): helloReceived(version, protocolVersion)
    case .fork(let id, let isClosed, let generation): rowReceived(id, isClosed: isClosed, generation)
    case .tableEnd: tableEnded()
    case .forget(let id): forget(id)
    case .sendText(let id, let text): sendText(text, to: id)
    case .settings(let lines):
      settings = EngineSettings(lines: lines)
      allowed.update(settings)
    case .restart: stop(.stopped)
    case .stopping: termination.asteriskStops()
    case .unknown: break
    }
  }

  /// SIGTERM. Call it for each one.
  package func terminate() { follow(termination.signalReceived()) }

  private func follow(_ step: Termination.Step) {
    switch step {
    case .nothing: break
    case .look(let wait): loop.assumeIsolated().scheduleTask(in: wait) { self.follow(self.termination.waited()) }
    case .stop: stop(.stopped)
    }
  }

  /// The module closed its end: no more capture, deliver what is left.
  package func moduleGone() {
    guard !isModuleGone else { return }
    isModuleGone = true
    termination.linkEnded()
    onLoops { $0.orphanAll() }
    exitIfDone()
  }

  /// The link carries nonsense, or failed.
  package func linkFailed(_ reason: String) {
    output.send(.log(.error, id: nil, text: "the AudioFork engine ends: the link carried \(reason)"))
    stop(.brokenLink(reason))
  }

  /// Ends all forks' work but not the forks: cursors are saved, connections closed.
  package func stop(_ why: EngineExit) {
    guard stopping == nil else { return }
    stopping = why
    onLoops { $0.shutdown() }
    exitIfDone()
    // A loop that is stuck keeps nobody: what it has not saved now the next engine does without.
    loop.assumeIsolated().scheduleTask(in: EngineCore.stopWait) { self.exit(with: why) }
  }

  private func helloReceived(_ version: String, _ protocolVersion: UInt64) {
    announced = []
    guard protocolVersion != LinkProtocol.version else { return }
    output.send(
      .log(
        .warning, id: nil,
        text:
          """
          the module (\(version)) speaks version \(protocolVersion) of the link, this engine version \
          \(LinkProtocol.version): install module and engine of the same release
          """))
  }

  private func rowReceived(_ id: String, isClosed: Bool, _ generation: UInt32) {
    announced?.insert(id)
    guard !endedForks.contains(id) else { return }
    // A row sent again changes nothing for a fork whose ring is open: what became of it stands in the ring.
    if let work = forks[id] { return loops[work.loop].onLoop { $0.update(id, isClosed: isClosed, generation) } }
    begin(id) { $0.start(id, isClosed: isClosed, generation) }
  }

  private func begin(_ id: String, _ start: @escaping @Sendable (ForkLoop) -> Void) {
    let place = leastLoaded()
    forks[id] = Work(loop: place)
    loads[place] += 1
    loops[place].onLoop(start)
    startBeating()
  }

  private func leastLoaded() -> Int {
    if let open = loads.firstIndex(where: { $0 < EngineCore.forksBeforeNextLoop }) { return open }
    return loads.indices.min { loads[$0] < loads[$1] } ?? 0
  }

  /// Takes over what a dead Asterisk left in a directory: `files` are the forks', whose capture is over. `onEnd` is
  /// called on this loop when the last of them has ended.
  ///
  /// `ids`: each with the newest generation of its ring.
  package func adopt(_ ids: [String: UInt32], in directory: String, onEnd: @escaping () -> Void) {
    let new = ids.filter { forks[$0.key] == nil }
    guard stopping == nil, !new.isEmpty else { return onEnd() }
    adoptions.append(Adoption(left: Set(new.keys), onEnd: onEnd))
    for (id, generation) in new.sorted(by: { $0.key < $1.key }) {
      begin(id) { $0.adopt(id, in: directory, generation) }
    }
  }

  // MARK: - Heartbeat

  private func startBeating() {
    guard !isBeating else { return }
    isBeating = true
    beat()
  }

  /// Tells the module that no loop hangs in one job, and looks again a second later.
  private func beat() {
    guard !forks.isEmpty, stopping == nil else {
      isBeating = false
      return
    }
    let (isAlive, ask) = hangs.check(pulses.map(\.jobs))
    for index in ask {
      loops[index].eventLoop.submit {}.hop(to: loop).assumeIsolated().whenSuccess { [self] in hangs.answered(index) }
    }
    guard isAlive else { return beatLater() }
    let bound = NIOLoopBound(self, eventLoop: loop)
    // The next one follows when the link has this one, so that a module that does not read makes no queue of them.
    output.send(.heartbeat) { bound.eventLoop.execute { bound.value.beatLater() } }
  }

  private func beatLater() { loop.assumeIsolated().scheduleTask(in: EngineCore.beatInterval) { self.beat() } }

  private func tableEnded() {
    guard let announced else { return }
    self.announced = nil
    for (id, work) in forks where !announced.contains(id) { loops[work.loop].onLoop { $0.orphan(id) } }
    endedForks.formIntersection(announced)
  }

  private func forget(_ id: String) {
    endedForks.remove(id)
    guard let work = forks[id] else { return }
    forks[id]?.isForgotten = true
    loops[work.loop].onLoop { $0.forget(id) }
  }

  private func sendText(_ text: [UInt8], to id: String) {
    guard let work = forks[id] else { return }
    loops[work.loop].onLoop { $0.sendText(text, to: id) }
  }

  private func forkEnded(_ id: String) {
    guard let work = forks.removeValue(forKey: id) else { return }
    loads[work.loop] -= 1
    let isAdopted = adoptions.contains { $0.left.contains(id) }
    if !work.isForgotten, !isAdopted { endedForks.insert(id) }
    for index in adoptions.indices.reversed()
    where adoptions[index].left.remove(id) != nil && adoptions[index].left.isEmpty {
      adoptions.remove(at: index).onEnd()
    }
    exitIfDone()
  }

  private func exitIfDone() {
    guard forks.isEmpty, let why = stopping ?? (isModuleGone ? .finished : nil) else { return }
    exit(with: why)
  }

  private func exit(with why: EngineExit) {
    guard !hasExited else { return }
    hasExited = true
    exit.succeed(why)
  }

  private func onLoops(_ work: @escaping @Sendable (ForkLoop) -> Void) {
    for loop in loops { loop.onLoop(work) }
  }
}

extension NIOLoopBound where Value: AnyObject {
  /// Does work with the value where it lives.
  package func onLoop(_ work: @escaping @Sendable (Value) -> Void) {
    eventLoop.execute { work(value) }
  }
}
