// SPDX-License-Identifier: Apache-2.0
internal import AudioForkMedia
internal import AudioForkLink
package import AudioForkWebSocket
internal import CAudioForkABI
internal import CAudioForkProcess
internal import Glibc
internal import NIOCore
internal import NIOPosix
internal import UnixSignals

/// Why the engine cannot begin. The text is for the person who started it.
package struct EngineStartError: Error, Sendable, CustomStringConvertible {
  package let description: String
}

/// The engine as a process: what `audiofork-engine` runs.
package struct EngineService {
  /// How often an engine looks whether a file that it may open has been replaced.
  private static let confinementLookInterval = Duration.seconds(5)

  private let link: CInt
  private let directory: String
  private let tls: (any TLSProvider)?
  private let confinement: Confinement

  /// Call `prepareProcess` first. Throws when the descriptor is no link, that is, when a person and not the module
  /// started the engine, or when the directory does not exist.
  package init(
    link: CInt, directory: String, tls: (any TLSProvider)?, confinement: Confinement
  ) throws(EngineStartError) {
    guard af_is_link(link) == 1 else {
      throw EngineStartError(
        description: "descriptor \(link) is not a link to Asterisk: the engine is started by app_audiofork, not by "
          + "hand. Load the module with 'module load app_audiofork.so' in Asterisk's CLI")
    }
    var status = stat()
    guard stat(directory, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else {
      throw EngineStartError(description: "'\(directory)' is not a directory: give the one that holds the rings")
    }
    self.link = link
    self.directory = directory
    self.tls = tls
    self.confinement = confinement
  }

  /// Prepares the process before its first line of Swift concurrency (af_process.h).
  ///
  /// It leaves no core file, closes every descriptor above the link, and leads a session of its own. Without a link
  /// it changes nothing else: a person then reads the error on the terminal.
  package static func prepareProcess(link: CInt) -> Confinement {
    af_process_keep_secrets()
    guard af_is_link(link) == 1 else { return .none }
    af_process_prepare(link)
    let confinement = Confinement.fromStandardInput()
    af_crash_watch()
    return confinement
  }

  /// Serves until the module and every fork have ended, or until it is told to leave: by RESTART, or by SIGTERM
  /// while the module lives (`Termination`). Returns the exit status.
  package func run() async throws -> Int32 {
    let group = MultiThreadedEventLoopGroup(numberOfThreads: max(1, min(System.coreCount, 4)))
    let loops = Array(group.makeIterator())
    // The link has a loop of its own: the module hears of the engine however much its forks' loops have to do.
    let first = MultiThreadedEventLoopGroup(numberOfThreads: 1).next()
    let listener = try await first.submit { NIOLoopBound(LinkHandler(), eventLoop: first) }.get()
    let channel = try await ClientBootstrap(group: first)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(listener.value) }
      }
      .channelOption(.allowRemoteHalfClosure, value: true)
      .channelOption(.autoRead, value: false)
      .channelOption(.writeBufferWaterMark, value: .init(low: 65_536, high: 262_144))
      .withConnectedSocket(link).get()
    let output = LinkOutput(channel)
    let resolver = HostResolver(lookUp: confinement.nameServer.map(HostResolver.process) ?? HostResolver.system)
    let context = EngineContext(tls: tls, resolver: resolver)
    let made = try await EngineCore.make(
      on: first, forkLoops: loops, directory: directory, output: output, context: context
    ).get()
    output.send(
      .ready(
        version: audioforkVersion, pid: UInt64(getpid()), loops: UInt64(loops.count),
        knows: UInt64(LinkMessageKind.newestOfModule.rawValue), confinement: confinement.summary ?? ""))
    try await first.submit { listener.value.serve(made.core.value) }.get()
    // Fails if the module has closed the link; the handler tells the core.
    try? await channel.setOption(.autoRead, value: true).get()
    channel.read()

    let signals = await UnixSignalsSequence(trapping: .sigterm, .sigint)
    let stopper = Task {
      for await _ in signals { made.core.onLoop { $0.terminate() } }
    }
    let adopter = Task { await adoptOrphans(made.core, context.spools, output) }
    if let summary = confinement.summary {
      let level: LogLevel = confinement.hasFailed ? .notice : .verbose
      output.send(.log(level, id: nil, text: "the AudioFork engine is \(summary)"))
    }
    let watcher = Task { await watchConfinement(made.core, output) }
    let exit = try await made.exit.get()
    watcher.cancel()
    stopper.cancel()
    adopter.cancel()
    // Close frames and last messages are on their way; they get a moment, not more.
    try? await first.scheduleTask(in: .milliseconds(50)) {}.futureResult.get()
    switch exit {
    case .finished:
      await EngineService.waitUntilWritten(channel)
      try? await channel.close().get()
      removeDirectory()
      return 0
    // Not closed: what the link has not taken stays untaken, and its forks' files stay for the next engine.
    case .stopped: return 0
    case .brokenLink: return 1
    }
  }

  /// Leaves when the next engine could do what this one cannot, and announces it. Without a module there is no next
  /// one. An engine that is too young waits: what has engines leave may be there for good.
  private func watchConfinement(_ core: NIOLoopBound<EngineCore>, _ output: LinkOutput) async {
    guard confinement.isConfined else { return }
    let start = ContinuousClock.now
    var hasWarned = false
    while !Task.isCancelled {
      try? await Task.sleep(for: EngineService.confinementLookInterval)
      guard let reason = confinement.reasonToRestart() else { continue }
      let age = reason.age(usual: confinement.leavingAge)
      guard ContinuousClock.now - start >= age else {
        guard confinement.hasPredecessors, !hasWarned else { continue }
        hasWarned = true
        output.send(
          .log(
            .warning, id: nil,
            text:
              "the AudioFork engine cannot do all of its work: \(reason.text). Engines before it have left for such "
              + "reasons, so this one does so \(age.components.seconds) seconds after its start. "
              + "Keep files that are replaced often in a folder of their own, outside of Asterisk's"))
        continue
      }
      core.onLoop { core in
        guard core.hasModule else { return }
        output.send(
          .log(.notice, id: nil, text: "the AudioFork engine leaves, so that a new one starts: \(reason.text)"))
        output.send(.leaving)
        core.stop(.stopped)
      }
      return
    }
  }

  /// Waits until the module has taken what it was told; one that unloads still listens. Not for ever.
  private static func waitUntilWritten(_ channel: any Channel) async {
    let promise = channel.eventLoop.makePromise(of: Void.self)
    // Behind all that is waiting; fails at once where nobody is there any more.
    channel.writeAndFlush(ByteBuffer()).whenComplete { _ in promise.succeed(()) }
    channel.eventLoop.scheduleTask(in: .seconds(1)) { promise.succeed(()) }
    try? await promise.futureResult.get()
  }

  /// Takes the instance's directory away where Asterisk has died and cannot do it. A living module holds the lock
  /// and removes it itself; whose lock it is shows only once Asterisk's process is entirely gone.
  private func removeDirectory() {
    let lock = "\(directory)/lock"
    for _ in 0..<50 {
      let descriptor = open(lock, O_RDWR | O_CLOEXEC | O_NOFOLLOW)
      if descriptor < 0 {
        rmdir(directory)
        return
      }
      defer { close(descriptor) }
      if flock(descriptor, LOCK_EX | LOCK_NB) == 0 {
        // Only an empty directory goes; rings that are left belong to somebody.
        if isEmptyButForLock() {
          unlink(lock)
          rmdir(directory)
        }
        return
      }
      usleep(10_000)
    }
  }

  private func isEmptyButForLock() -> Bool { DirectoryContents.names(directory).allSatisfy { $0 == "lock" } }

  /// Takes over what dead Asterisks have left, and removes spool files that no fork can use any more.
  private func adoptOrphans(_ core: NIOLoopBound<EngineCore>, _ spools: SpoolStore, _ output: LinkOutput) async {
    let adoption = ForkAdoption(beside: directory)
    await AdoptionRounds.run(sleep: { try await Task.sleep(for: $0) }) { isEarly in
      for orphan in adoption.take() {
        core.onLoop { core in
          core.adopt(orphan.forks, in: orphan.path) {
            NIOThreadPool.singleton.submit { _ in orphan.release() }
          }
        }
      }
      guard !isEarly else { return }
      let leftovers = try? await NIOThreadPool.singleton.runIfActive {
        let rings = adoption.rings()
        return spools.removeLeftovers(now: Int(WallTime.now.secondsSince1970)) { rings.contains($0) }
      }
      for found in leftovers ?? [] { output.send(.log(.warning, id: nil, text: found.message)) }
    }
  }
}

/// The end of the link's pipeline: hands the core the module's messages, and the end of the link.
///
/// Added before the core exists, because a module that unloads at once closes the link early and NIO reports that only
/// once.
final class LinkHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  /// Nil until `serve`.
  private var core: EngineCore?
  private var parser = LinkParser()
  /// The stream cannot be followed any more.
  private var isBroken = false
  private var isModuleGone = false

  /// Hands the core what has arrived before, and everything from now on.
  func serve(_ core: EngineCore) {
    self.core = core
    deliver()
    if isModuleGone { core.moduleGone() }
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard !isBroken else { return }
    parser.append(Self.unwrapInboundIn(data).readableBytesView)
    deliver()
  }

  private func deliver() {
    guard let core else { return }
    do throws(LinkError) {
      while let message = try parser.next() { core.handle(try ModuleMessage(message)) }
    } catch {
      isBroken = true
      core.linkFailed(error.description)
    }
  }

  /// The module shut its side down but may still listen: it is not kept waiting for longer than the drain takes.
  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if case ChannelEvent.inputClosed? = event as? ChannelEvent { moduleGone() }
    context.fireUserInboundEventTriggered(event)
  }

  func channelInactive(context: ChannelHandlerContext) {
    moduleGone()
    context.fireChannelInactive()
  }

  /// A socket that fails is a module that is gone.
  func errorCaught(context: ChannelHandlerContext, error: any Error) { moduleGone() }

  private func moduleGone() {
    isModuleGone = true
    core?.moduleGone()
  }
}
