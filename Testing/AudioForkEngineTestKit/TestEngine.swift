// SPDX-License-Identifier: Apache-2.0
package import AudioForkMedia
package import AudioForkEngine
package import AudioForkLink
package import AudioForkTestKit
package import AudioForkWebSocket
internal import AudioForkWireTestKit
internal import NIOConcurrencyHelpers
package import NIOCore
internal import NIOPosix
package import Testing

/// The engine inside the test's process: its core on real event loops, without a link.
package final class TestEngine: Sendable {
  private struct Collector: EngineOutput {
    let messages = NIOLockedValueBox<[EngineMessage]>([])
    let reads = NIOLockedValueBox(true)
    @discardableResult
    func send(_ message: EngineMessage) -> Bool {
      switch message {
      case .state, .log, .gap, .text, .transcript: guard reads.withLockedValue({ $0 }) else { return false }
      case .ready, .ended, .leaving: break
      case .heartbeat, .unknown: return true
      }
      messages.withLockedValue { $0.append(message) }
      return true
    }

    /// What waits for the link; nil: it takes everything at once.
    let untaken = NIOLockedValueBox<[@Sendable () -> Void]?>(nil)
    func send(_ message: EngineMessage, then work: @escaping @Sendable () -> Void) {
      let isHeld = untaken.withLockedValue { untaken in
        untaken?.append(work)
        return untaken != nil
      }
      // Whoever sees the message finds the work done.
      if !isHeld { work() }
      send(message)
    }
  }

  private let collector = Collector()
  private let core: NIOLoopBound<EngineCore>
  private let exit: EventLoopFuture<EngineExit>

  /// On two loops of the process, or on others.
  package init(
    _ directory: ScratchFolder, tls: (any TLSProvider)? = nil,
    loops: [any EventLoop] = Array(MultiThreadedEventLoopGroup.singleton.makeIterator().prefix(2))
  ) async throws {
    let made = try await EngineCore.make(
      on: loops[0], forkLoops: loops, directory: directory.path, output: collector,
      context: EngineContext(tls: tls)
    ).get()
    core = made.core
    exit = made.exit
    // As each module does.
    tell(.settings([]))
  }

  package func tell(_ message: ModuleMessage) { core.onLoop { $0.handle(message) } }

  /// The module closes its end; returns when the engine would exit.
  package func moduleGone() async throws -> EngineExit {
    core.onLoop { $0.moduleGone() }
    return try await exit.get()
  }

  /// As on SIGTERM.
  package func stop() async throws -> EngineExit {
    core.onLoop { $0.stop(.stopped) }
    return try await exit.get()
  }

  package var messages: [EngineMessage] { collector.messages.withLockedValue { $0 } }

  /// The fork's end, once it has come.
  package func ended(_ id: String) -> (reason: String, counters: ForkCounters)? {
    for case .ended(id, let reason, let counters) in messages {
      // Whatever the end: every captured sample is delivered or lost.
      #expect(counters.delivered + counters.lost == counters.captured, "\(id): \(counters)")
      return (reason, counters)
    }
    return nil
  }

  /// The fork's end, awaited.
  package func end(
    of id: String = "af-test-1", within seconds: Double = 20, sourceLocation: SourceLocation = #_sourceLocation
  ) async throws -> (reason: String, counters: ForkCounters) {
    try await eventually(within: seconds, "\(id) ends", sourceLocation: sourceLocation) { ended(id) != nil }
    return try #require(ended(id), sourceLocation: sourceLocation)
  }

  /// What the module was told about the fork's state, once a second and when it changed.
  package func reports(_ id: String) -> [(state: ForkStateName, endpoint: String, counters: ForkCounters)] {
    messages.compactMap {
      if case .state(id, let state, _, let endpoint, let counters) = $0 { (state, endpoint, counters) } else { nil }
    }
  }

  /// The fork's gaps that the module was told.
  package func gaps(_ id: String) -> [Gap] {
    messages.compactMap { if case .gap(id, let gap) = $0 { Gap(gap) } else { nil } }
  }

  /// Whether the module reads its link.
  package func moduleReads(_ reads: Bool) { collector.reads.withLockedValue { $0 = reads } }

  /// Whether the link takes what the engine says; what waited is done when it does again.
  package func linkTakes(_ takes: Bool) {
    let waiting = collector.untaken.withLockedValue { untaken in
      defer { untaken = takes ? nil : [] }
      return untaken ?? []
    }
    for work in waiting { work() }
  }

  /// The states that the fork went through; what was only said again is left out.
  package func states(_ id: String) -> [ForkStateName] {
    var states: [ForkStateName] = []
    for case .state(id, let state, _, _, _) in messages where state != states.last { states.append(state) }
    return states
  }

  /// Lines for Asterisk's log of at least this level.
  package func lines(_ level: LogLevel = .warning) -> [String] {
    messages.compactMap {
      if case .log(let found, _, let text) = $0, found.rawValue >= level.rawValue { text } else { nil }
    }
  }
}

extension String {
  /// The reason of an end by an outage, without how long the outage took.
  package var withoutTime: String { replacing(/\ failed in \d+ s,/, with: " failed,") }
}
