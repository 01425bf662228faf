// SPDX-License-Identifier: Apache-2.0
import AudioForkMedia
import AudioForkEngine
import AudioForkTestKit
import Testing

/// The machine's surroundings: what it has been promised and what it has been asked for. Kept from its actions alone.
private struct Surroundings: Hashable {
  enum Connection: Hashable { case none, attempt, open, closing }

  var hasStarted = false
  var connection = Connection.none
  var isRetryScheduled = false
  var isDeadlineScheduled = false
  var isCaptureClosed = false
  var endings = 0

  /// What may happen to a machine in these surroundings. Anything else would break a promise of ForkAction.
  func allows(_ event: ForkEvent) -> Bool {
    switch event {
    case .started: !hasStarted && endings == 0
    case .connected, .attemptFailed: connection == .attempt
    case .disconnected, .refused: connection == .open || connection == .closing
    // Also before the server has said how far it has come.
    case .closedByServer, .closedWithoutCode: connection != .none
    case .retryTimerFired: isRetryScheduled
    // The owner looks at the ring while there is a fork to deliver.
    case .captureClosed: hasStarted && !isCaptureClosed && endings == 0
    case .drained: connection == .open && isCaptureClosed
    case .drainDeadlinePassed: isDeadlineScheduled
    case .closeCompleted: connection == .closing
    case .broken, .shutdown, .forgotten: endings == 0
    }
  }

  /// The event itself: what it ends outside of the machine.
  mutating func take(_ event: ForkEvent) {
    switch event {
    case .started: hasStarted = true
    case .connected: connection = .open
    case .attemptFailed, .disconnected, .refused, .closedByServer, .closedWithoutCode, .closeCompleted:
      connection = .none
    case .retryTimerFired: isRetryScheduled = false
    case .captureClosed: isCaptureClosed = true
    case .drainDeadlinePassed: isDeadlineScheduled = false
    case .drained, .broken, .shutdown, .forgotten: break
    }
  }

  /// What the machine asks for. Returns what is wrong about it.
  mutating func take(_ action: ForkAction) -> String? {
    if endings > 0 { return "acts after its end: \(action)" }
    switch action {
    case .connect:
      if connection != .none { return "connects beside a connection" }
      connection = .attempt
    case .scheduleRetry:
      if isRetryScheduled || connection != .none { return "a retry beside a timer or a connection" }
      isRetryScheduled = true
    case .cancelRetry:
      if !isRetryScheduled { return "cancels no timer" }
      isRetryScheduled = false
    case .scheduleDrainDeadline:
      if isDeadlineScheduled { return "a second deadline" }
      isDeadlineScheduled = true
    case .stream: if connection != .open { return "streams without a connection" }
    case .close:
      if connection != .open { return "closes what is not open" }
      connection = .closing
    case .drop:
      connection = .none
    case .end: endings += 1
    case .outageBegan, .brokeAgain, .outageOver, .report: break
    }
    return nil
  }
}

/// A place of the walk.
private struct Place: Hashable {
  var state: ForkStateMachine.State
  var surroundings: Surroundings
}

@Suite("Every state and every event of a fork")
struct ForkStateMachineWalkTests {
  /// Connections begin at 0; what breaks, breaks before or after it was stable. So the states are finitely many.
  private static let times: [MonotonicTime] = [0, 11_000_000_000]
  private static let events: [ForkEvent] = [
    .started, .connected, .attemptFailed("a"), .attemptFailed("b", .hopeless),
    .attemptFailed("c", wait: .seconds(3)), .disconnected("d"), .closedByServer,
    .closedWithoutCode("f"), .closedWithoutCode("h", wait: .seconds(3)), .attemptFailed("g", .refused),
    .refused("i"), .retryTimerFired,
    .captureClosed, .drained(isAcknowledged: true), .drained(isAcknowledged: false), .drainDeadlinePassed,
    .closeCompleted, .broken("e"), .shutdown, .forgotten,
  ]

  private struct Step {
    let from: Place
    let event: ForkEvent
    let isPossible: Bool
    let actions: [ForkAction]
    let to: Place
    let fault: String?
  }

  /// Every step from every place that can be reached by what is possible; impossible events are tried at each as well.
  private static func walk(attemptsMax: Int) -> (places: Set<Place>, steps: [Step]) {
    let limits = ForkLimits(attemptsMax: attemptsMax, waitMax: .seconds(5), drain: .seconds(10))
    let origin = ForkStateMachine(limits)
    var machines = [Place(state: origin.state, surroundings: Surroundings()): origin]
    var open = Array(machines.keys)
    var steps: [Step] = []
    while let place = open.popLast() {
      guard let machine = machines[place] else { continue }
      for event in events {
        for now in event == .connected ? [0] : times {
          var next = machine
          var surroundings = place.surroundings
          let isPossible = surroundings.allows(event)
          var random = SeededRandom(seed: 1)
          let actions = next.handle(event, now: now, using: &random)
          var fault: String?
          if isPossible {
            surroundings.take(event)
            for action in actions { fault = surroundings.take(action) ?? fault }
          }
          let to = Place(state: next.state, surroundings: surroundings)
          steps.append(
            Step(from: place, event: event, isPossible: isPossible, actions: actions, to: to, fault: fault))
          if isPossible, machines[to] == nil {
            machines[to] = next
            open.append(to)
          }
        }
      }
    }
    return (Set(machines.keys), steps)
  }

  private static func hasEnded(_ place: Place) -> Bool {
    if case .ended = place.state { return true }
    return false
  }

  @Test("From every state every event leads to a state whose promises hold", arguments: [0, 1, 3])
  func isDefined(attemptsMax: Int) {
    let (places, steps) = Self.walk(attemptsMax: attemptsMax)
    #expect(places.count > 20, "\(places.count)")
    #expect(places.contains { if case .closing = $0.state { true } else { false } })
    for step in steps {
      #expect(step.fault == nil, "\(step.from) at \(step.event): \(step.fault ?? "")")
      guard step.isPossible else { continue }
      let held = step.to.surroundings
      switch step.to.state {
      case .created: Issue.record("\(step.event) led back to the beginning")
      case .active(.connecting, let isDraining):
        #expect(held.connection == .attempt && !held.isRetryScheduled && held.isDeadlineScheduled == isDraining)
      case .active(.streaming, let isDraining):
        #expect(held.connection == .open && !held.isRetryScheduled && held.isDeadlineScheduled == isDraining)
      case .active(.waiting, let isDraining):
        #expect(held.connection == .none && held.isRetryScheduled && held.isDeadlineScheduled == isDraining)
      case .closing(_, _, let isAcknowledged):
        #expect(held.connection == .closing && !held.isRetryScheduled)
        #expect(isAcknowledged || held.isDeadlineScheduled)
      case .ended:
        #expect(held.endings == 1 && held.connection == .none && !held.isRetryScheduled)
      }
    }
  }

  @Test("An event that can happen is never lost", arguments: [0, 1, 3])
  func losesNothing(attemptsMax: Int) {
    let (_, steps) = Self.walk(attemptsMax: attemptsMax)
    var ignored: Set<String> = []
    for step in steps where step.isPossible && step.actions.isEmpty && step.from.state == step.to.state {
      switch (step.from.state, step.event) {
      // All has been acknowledged; the wait for the answer to our Close is short and ends by itself.
      case (.closing(_, _, isAcknowledged: true), .drainDeadlinePassed): ignored.insert("deadline while closing")
      // The owner's timer outlives the fork; it is told that nothing follows.
      case (.ended, .drainDeadlinePassed): ignored.insert("deadline after the end")
      default: Issue.record("lost: \(step.event) in \(step.from)")
      }
    }
    #expect(ignored.count == 2)
  }

  @Test("After the end nothing follows, whatever comes", arguments: [0, 1, 3])
  func endIsTheEnd(attemptsMax: Int) {
    let (_, steps) = Self.walk(attemptsMax: attemptsMax)
    let after = steps.filter { Self.hasEnded($0.from) }
    #expect(!after.isEmpty)
    for step in after { #expect(step.actions.isEmpty && step.to.state == step.from.state, "\(step.event)") }
    // All eight ways to end are among the places.
    let endings = Set(
      after.compactMap { step -> String? in
        guard case .ended(let ending) = step.from.state else { return nil }
        return String(String(describing: ending).prefix { $0 != "(" })
      })
    #expect(endings.count == 8, "\(endings)")
  }

  @Test("Events that cannot happen change nothing: a late one of a connection that was left does no harm")
  func impossibleEvents() {
    let (_, steps) = Self.walk(attemptsMax: 2)
    for step in steps where !step.isPossible {
      switch (step.from.state, step.event) {
      // Between an attempt's failure and a break there is no difference for the machine.
      case (.active(.connecting, _), .disconnected): break
      // The owner asks only when everything is sent; the machine takes its word, and the deadline's.
      case (.active(_, isDraining: true), .drainDeadlinePassed), (.closing, .drainDeadlinePassed): break
      default: #expect(step.actions.isEmpty && step.to.state == step.from.state, "\(step.event) in \(step.from)")
      }
    }
  }

  @Test("Every path ends: after capture by the deadline, before it when the server cannot be reached")
  func everyPathEnds() {
    let (places, steps) = Self.walk(attemptsMax: 3)
    // 1. From every place there is an event that the surroundings owe, until the end.
    for place in places where place.surroundings.hasStarted && !Self.hasEnded(place) {
      let owed: [ForkEvent] = [
        .captureClosed, .retryTimerFired, .attemptFailed("a"), .disconnected("d"), .closeCompleted,
        .drainDeadlinePassed,
      ]
      #expect(owed.contains { place.surroundings.allows($0) }, "nothing is to come in \(place)")
    }
    // 2. Once capture has ended, the deadline ends it wherever it is, or its Close has been answered by then.
    for step in steps where step.isPossible && step.event == .drainDeadlinePassed {
      if case .closing(_, _, isAcknowledged: true) = step.from.state { continue }
      #expect(Self.hasEnded(step.to), "the deadline left \(step.to)")
    }
    for step in steps where step.isPossible {
      guard case .closing = step.from.state else { continue }
      if step.event == .closeCompleted || step.event == .closedByServer {
        #expect(step.to.state == .ended(.delivered))
      }
    }
    // 3. No way round without a connection: attempts are counted, so a server that is away ends the fork.
    var successors: [Place: Set<Place>] = [:]
    for step in steps where step.isPossible && step.event != .connected && step.to != step.from {
      successors[step.from, default: []].insert(step.to)
    }
    var finished: Set<Place> = []
    var path: Set<Place> = []
    func hasCycle(_ place: Place) -> Bool {
      if finished.contains(place) { return false }
      guard path.insert(place).inserted else { return true }
      defer { path.remove(place) }
      for next in successors[place] ?? [] where hasCycle(next) { return true }
      finished.insert(place)
      return false
    }
    for place in places { #expect(!hasCycle(place), "a way round through \(place)") }
  }
}
