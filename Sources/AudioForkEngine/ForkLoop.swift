// SPDX-License-Identifier: Apache-2.0
internal import AudioForkWebSocket
internal import NIOCore

/// The forks of one event loop and the tick that moves them. Confined to that loop.
///
/// A loop without forks has no timer.
final class ForkLoop {
  /// How often each fork's ring is looked at.
  static let tickNanoseconds: Int64 = 5_000_000
  /// How long an earlier engine may hold a cursor: it is being killed when the next one starts.
  private static let cursorWaitNanoseconds: Int64 = 2_000_000_000
  private static let cursorRetry = TimeAmount.milliseconds(20)
  /// How often a fork is tried again for which the system lacked something.
  private static let lackRetry = TimeAmount.milliseconds(500)

  private let loop: any EventLoop
  private let directory: String
  private let output: any EngineOutput
  private let tls: (any TLSProvider)?
  private let onEnd: @Sendable (String) -> Void
  private var runners: [ForkRunner] = []
  /// Forks whose cursor another engine still holds.
  private var pending: Set<String> = []
  private var isOrphaned = false
  private var isStopping = false
  private var ticks = false
  /// When the next tick is due: CLOCK_MONOTONIC, moved by the loop's share of a tick, so that loops take turns.
  private var nextTick: Int64 = 0
  private let phaseNanoseconds: Int64

  init(
    loop: any EventLoop, index: Int, of count: Int, directory: String, output: any EngineOutput,
    tls: (any TLSProvider)?, onEnd: @escaping @Sendable (String) -> Void
  ) {
    self.loop = loop
    self.directory = directory
    self.output = output
    self.tls = tls
    self.onEnd = onEnd
    phaseNanoseconds = ForkLoop.tickNanoseconds * Int64(index) / Int64(max(count, 1))
  }

  /// Begins a fork, or goes on with one that an earlier engine left.
  func start(_ id: String, isClosed: Bool) {
    pending.insert(id)
    open(id, isClosed: isClosed, until: monotonicNow() &+ ForkLoop.cursorWaitNanoseconds)
  }

  /// What is in the fork's ring is all there will be.
  func orphan(_ id: String) { runner(id)?.orphan() }

  /// The module is gone: so it is with every fork.
  func orphanAll() {
    isOrphaned = true
    for runner in runners { runner.orphan() }
  }

  /// Drops the fork and its files.
  func forget(_ id: String) {
    if let runner = runner(id) {
      runner.forget()
    } else {
      if pending.remove(id) != nil { onEnd(id) }
      ForkFiles(directory: directory, id: id).unlink()
    }
  }

  /// A text for the fork's server. One for a fork that is not there any more is for nobody.
  func sendText(_ text: [UInt8], to id: String) { runner(id)?.sendText(text) }

  /// Saves every cursor and leaves every connection.
  func shutdown() {
    isStopping = true
    for runner in runners { runner.shutdown() }
    // Their files stay as they are: the next engine opens them.
    let waiting = pending
    pending = []
    for id in waiting { onEnd(id) }
  }

  private func runner(_ id: String) -> ForkRunner? { runners.first { $0.id == id } }

  private func open(_ id: String, isClosed: Bool, until deadline: Int64, hasComplained: Bool = false) {
    guard pending.contains(id), !isStopping else { return }
    let files = ForkFiles(directory: directory, id: id)
    do throws(ForkFailure) {
      let runner = try ForkRunner(id: id, files: files, loop: loop, output: output, tls: tls) { [weak self] in
        self?.ended($0)
      }
      pending.remove(id)
      runners.append(runner)
      if isOrphaned { runner.orphan() }
      runner.start()
      startTicking()
    } catch {
      if error.kind == .inUse, monotonicNow() < deadline {
        loop.assumeIsolated().scheduleTask(in: ForkLoop.cursorRetry) {
          self.open(id, isClosed: isClosed, until: deadline)
        }
        return
      }
      // The ring holds the call's audio and may be read in a moment: it is tried as long as the module has the row.
      if error.kind == .lacking, !isOrphaned {
        if !hasComplained {
          output.send(.log(.error, id: id, text: "AudioFork \(id): \(error.reason); it is tried again"))
        }
        loop.assumeIsolated().scheduleTask(in: ForkLoop.lackRetry) {
          self.open(id, isClosed: isClosed, until: deadline, hasComplained: true)
        }
        return
      }
      pending.remove(id)
      // A cursor that another engine holds is that engine's, and what the system could not open is still whole.
      if error.kind == .useless { files.unlink() }
      // Where capture has ended and the files are gone, an earlier engine was through and could not say so any more.
      let level: LogLevel = isClosed && error.kind == .missing ? .debug : .error
      output.send(.log(level, id: id, text: "AudioFork \(id): \(error.reason); the fork ends, the call goes on"))
      output.send(.ended(id: id, reason: error.reason, ForkCounters()))
      onEnd(id)
    }
  }

  private func ended(_ runner: ForkRunner) {
    runners.removeAll { $0 === runner }
    onEnd(runner.id)
  }

  // MARK: - Tick

  private func startTicking() {
    guard !ticks else { return }
    ticks = true
    let tick = ForkLoop.tickNanoseconds
    nextTick = (monotonicNow() / tick &+ 1) &* tick &+ phaseNanoseconds
    scheduleTick()
  }

  private func scheduleTick() {
    let delay = max(0, nextTick &- monotonicNow())
    loop.assumeIsolated().scheduleTask(in: .nanoseconds(delay)) { self.tick() }
  }

  private func tick() {
    guard !runners.isEmpty else {
      ticks = false
      return
    }
    // A fork that ends leaves the array while this copy is gone through.
    for runner in runners { runner.tick(now: monotonicNow()) }
    let now = monotonicNow()
    // After a stall no ticks are made up for: one of them sees all that came.
    if nextTick <= now { nextTick &+= ((now &- nextTick) / ForkLoop.tickNanoseconds &+ 1) &* ForkLoop.tickNanoseconds }
    scheduleTick()
  }
}
