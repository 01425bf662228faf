// SPDX-License-Identifier: Apache-2.0
import AudioForkEngine
import AudioForkEngineTestKit
import AudioForkLink
import AudioForkTestKit
import AudioForkWireTestKit
import Glibc
import NIOCore
import NIOPosix
import Synchronization
import Testing

/// The engine inside the test's process with a context of the test's own, which `TestEngine` has none of.
///
/// On one event loop unless told otherwise: what blocks that loop blocks every fork.
final class ContextEngine: Sendable {
  private final class Sink: EngineOutput {
    private let kept = Mutex<[EngineMessage]>([])
    var messages: [EngineMessage] { kept.withLock { $0 } }

    @discardableResult
    func send(_ message: EngineMessage) -> Bool {
      if case .heartbeat = message { return true }
      kept.withLock { $0.append(message) }
      return true
    }

    func send(_ message: EngineMessage, then work: @escaping @Sendable () -> Void) {
      work()
      send(message)
    }
  }

  private let sink: Sink
  private let core: NIOLoopBound<EngineCore>

  init(
    _ directory: ScratchFolder, _ context: EngineContext,
    loops: [any EventLoop] = [MultiThreadedEventLoopGroup.singleton.next()]
  ) async throws {
    let sink = Sink()
    let made = try await EngineCore.make(
      on: loops[0], forkLoops: loops, directory: directory.path, output: sink, context: context
    ).get()
    self.sink = sink
    core = made.core
  }

  func tell(_ message: ModuleMessage) { core.onLoop { $0.handle(message) } }

  /// The fork's end, once it has come.
  func ended(_ id: String) -> (reason: String, counters: ForkCounters)? {
    for case .ended(id, let reason, let counters) in sink.messages { return (reason, counters) }
    return nil
  }

  /// How often the fork's end was told.
  func endings(_ id: String) -> Int {
    sink.messages.filter { if case .ended(id, _, _) = $0 { true } else { false } }.count
  }

  /// The states that the module was told.
  func states(_ id: String) -> [ForkStateName] {
    sink.messages.compactMap { if case .state(id, let state, _, _, _) = $0 { state } else { nil } }
  }

  /// Lines for Asterisk's log of at least this level.
  func lines(_ level: LogLevel = .warning) -> [String] {
    sink.messages.compactMap {
      if case .log(let found, _, let text) = $0, found.rawValue >= level.rawValue { text } else { nil }
    }
  }

  /// Texts of the server that the module was told.
  func texts(_ id: String) -> [String] {
    sink.messages.compactMap {
      if case .text(id, let text, _, _) = $0 { String(decoding: text, as: UTF8.self) } else { nil }
    }
  }

  /// Waits for the fork's end.
  func finish(_ id: String, within seconds: Double = 20) async throws -> (reason: String, counters: ForkCounters) {
    try await eventually(within: seconds, "\(id) ends") { ended(id) != nil }
    return try #require(ended(id))
  }
}

/// Look-ups that a test answers, holds and counts.
final class FakeNames: Sendable {
  struct Question: Hashable, Sendable {
    let host: String
    let family: CInt
  }

  private struct Unanswered: Error {}

  private struct State {
    /// What each look-up gets, one after the other; the last one stays.
    var answers: [Question: [[SocketAddress]]] = [:]
    var held: Set<Question> = []
    var failing: Set<String> = []
    var asked: [Question] = []
    var wasAskedOnLoop = false
  }

  /// How long the longest look-up hangs if nobody lets it go: the test has failed by then.
  private static let patienceMilliseconds = 60_000
  private static let stepMilliseconds = 10

  private let state = Mutex(State())

  /// The look-ups that began, in this order.
  var asked: [Question] { state.withLock { $0.asked } }
  /// Whether an event loop had to wait for one of them.
  var wasAskedOnLoop: Bool { state.withLock { $0.wasAskedOnLoop } }

  func asked(_ host: String, _ family: CInt) -> Int {
    let question = Question(host: host, family: family)
    return asked.filter { $0 == question }.count
  }

  /// What the host's look-ups get from now on, one after the other; of the family that is not named: no address.
  func answer(_ host: String, _ family: CInt = AF_INET, with answers: [SocketAddress]...) {
    state.withLock { $0.answers[Question(host: host, family: family)] = answers }
  }

  /// Both families' look-ups fail.
  func fail(_ host: String) { state.withLock { _ = $0.failing.insert(host) } }

  /// Look-ups of the host hang until they are let go.
  func hold(_ host: String, _ families: [CInt] = [AF_INET, AF_INET6]) {
    state.withLock { $0.held.formUnion(families.map { Question(host: host, family: $0) }) }
  }

  func letGo() { state.withLock { $0.held = [] } }

  /// A name resolution, with threads of its own, that asks here.
  func resolution() -> HostResolver {
    HostResolver { [self] host, _, family in try lookUp(Question(host: host, family: family)) }
  }

  private func lookUp(_ question: Question) throws -> [SocketAddress] {
    let isOnLoop = MultiThreadedEventLoopGroup.currentEventLoop != nil
    state.withLock { state in
      state.asked.append(question)
      if isOnLoop { state.wasAskedOnLoop = true }
    }
    var waited = 0
    while waited < FakeNames.patienceMilliseconds, state.withLock({ $0.held.contains(question) }) {
      usleep(UInt32(FakeNames.stepMilliseconds) * 1000)
      waited += FakeNames.stepMilliseconds
    }
    let answer = state.withLock { state -> [SocketAddress]? in
      guard !state.failing.contains(question.host) else { return nil }
      guard let answers = state.answers[question], let first = answers.first else { return [] }
      if answers.count > 1 { state.answers[question]?.removeFirst() }
      return first
    }
    guard let answer else { throw Unanswered() }
    return answer
  }
}
