// SPDX-License-Identifier: Apache-2.0
import AudioForkMedia
import AudioForkEngine
import AudioForkLink
import AudioForkTestKit
import Testing

/// Drives a machine and keeps the clock and the random numbers that it is given.
struct DrivenMachine {
  var machine: ForkStateMachine
  var random = SeededRandom(seed: 7)
  var now: MonotonicTime = 1_000_000_000_000

  /// The machine of the next engine, which begins so many seconds later.
  func replaced(after seconds: Int64 = 0) -> DrivenMachine {
    var next = self
    next.now += .seconds(seconds)
    next.machine = ForkStateMachine(limits, continuing: machine.savedOutage, now: next.now)
    next.handle(.started)
    return next
  }

  private let limits: ForkLimits

  init(
    attempts: Int? = 20, outage: Duration? = nil, wait: Duration = .seconds(5), drain: Duration = .seconds(10),
    endpoints: Int = 1
  ) {
    limits = ForkLimits(
      attemptsMax: attempts, outageMax: outage, waitMax: wait, drain: drain, endpointCount: endpoints)
    machine = ForkStateMachine(limits)
  }

  @discardableResult
  mutating func handle(_ event: ForkEvent, after seconds: Int64 = 0) -> [ForkAction] {
    now += .seconds(seconds)
    return machine.handle(event, now: now, using: &random)
  }

  static func streaming(attempts: Int = 20) -> DrivenMachine {
    var driven = DrivenMachine(attempts: attempts)
    driven.handle(.started)
    driven.handle(.connected)
    return driven
  }

  /// All is sent and our Close is out.
  static func closing(attempts: Int = 20, isAcknowledged: Bool) -> DrivenMachine {
    var driven = streaming(attempts: attempts)
    driven.handle(.captureClosed)
    driven.handle(.drained(isAcknowledged: isAcknowledged))
    return driven
  }

  static func waiting(attempts: Int = 20) -> DrivenMachine {
    var driven = streaming(attempts: attempts)
    driven.handle(.disconnected("connection: reset"))
    return driven
  }
}

@Suite("Fork state machine")
struct ForkStateMachineTests {
  @Test("A fork connects at once and streams when connected")
  func connects() {
    var driven = DrivenMachine()
    #expect(driven.handle(.started) == [.report(.connecting), .connect])
    #expect(!driven.machine.isStreaming)
    #expect(driven.handle(.connected) == [.report(.streaming), .stream])
    #expect(driven.machine.isStreaming)
  }

  @Test("After a break the first retry comes at once and is announced")
  func firstRetryAtOnce() {
    var driven = DrivenMachine.streaming()
    let actions = driven.handle(.disconnected("connection: reset"))
    #expect(
      actions == [
        .report(.waiting), .outageBegan(reason: "connection: reset"), .scheduleRetry(after: .zero),
      ])
    #expect(driven.handle(.retryTimerFired) == [.report(.connecting), .connect])
    #expect(driven.handle(.connected) == [.report(.streaming), .stream, .outageOver(attempts: 1)])
  }

  @Test("An outage is announced once, however many attempts it takes, and waits grow up to R")
  func oneAnnouncement() {
    var driven = DrivenMachine.waiting(attempts: 50)
    var announcements = 0
    var longest = Duration.zero
    for _ in 0..<40 {
      driven.handle(.retryTimerFired)
      for action in driven.handle(.attemptFailed("connection: refused")) {
        if case .outageBegan = action { announcements += 1 }
        if case .scheduleRetry(let delay) = action { longest = max(longest, delay) }
      }
    }
    #expect(announcements == 0)
    #expect(longest <= .seconds(5))
    #expect(longest > .seconds(3))
    driven.handle(.retryTimerFired)
    #expect(driven.handle(.connected).contains(.outageOver(attempts: 41)))
  }

  @Test("Of several servers each is tried before there is a wait, which grows from round to round", arguments: [2, 3])
  func rounds(endpoints: Int) {
    var driven = DrivenMachine(attempts: 1000, endpoints: endpoints)
    driven.handle(.started)
    var waits: [Duration] = []
    for _ in 0..<(30 * endpoints) {
      for action in driven.handle(.attemptFailed("connection: refused")) {
        if case .scheduleRetry(let delay) = action { waits.append(delay) }
      }
      driven.handle(.retryTimerFired)
    }
    #expect(waits.indices.filter { $0 % endpoints != 0 }.allSatisfy { waits[$0] == .zero })
    let rounds = waits.indices.filter { $0 % endpoints == 0 }.map { waits[$0] }
    #expect(rounds[0] == .zero)
    #expect(rounds[1] > .zero && rounds[1] <= .milliseconds(250))
    #expect(rounds[2] <= .milliseconds(500))
    #expect(rounds.contains { $0 > .seconds(3) } && rounds.allSatisfy { $0 <= .seconds(5) })
  }

  @Test("A server that is absent at the start is an outage like any other")
  func absentAtStart() {
    var driven = DrivenMachine()
    driven.handle(.started)
    #expect(
      driven.handle(.attemptFailed("connection: refused")) == [
        .report(.waiting), .outageBegan(reason: "connection: refused"), .scheduleRetry(after: .zero),
      ])
  }

  @Test("Each of several servers is given r attempts", arguments: [(0, 2), (1, 2), (20, 4)])
  func unreachable(attempts: Int, endpoints: Int) {
    var driven = DrivenMachine(attempts: attempts, endpoints: endpoints)
    driven.handle(.started)
    for _ in 0..<(attempts * endpoints) {
      driven.handle(.attemptFailed("connection: refused"))
      #expect(!driven.machine.isEnded)
      driven.handle(.retryTimerFired)
    }
    driven.handle(.attemptFailed("connection: refused"))
    #expect(driven.machine.isEnded)
  }

  @Test("After r attempts in one outage the fork ends with the last reason", arguments: [0, 1, 3])
  func unreachable(attempts: Int) {
    var driven = DrivenMachine(attempts: attempts)
    driven.handle(.started)
    for attempt in 0..<attempts {
      driven.handle(.attemptFailed("dns: \(attempt)"))
      #expect(!driven.machine.isEnded)
      driven.handle(.retryTimerFired)
    }
    #expect(
      driven.handle(.attemptFailed("connection: refused")) == [
        .drop, .end(.unreachable(attempts: attempts, reason: "connection: refused")),
      ])
  }

  @Test("Attempts are counted anew only after ten seconds of streaming")
  func countedAnew() {
    var driven = DrivenMachine.streaming(attempts: 2)
    for _ in 0..<5 {
      driven.handle(.disconnected("connection: reset"), after: 10)
      driven.handle(.retryTimerFired)
      driven.handle(.connected)
      #expect(driven.machine.isStreaming)
    }
    driven.handle(.disconnected("connection: reset"), after: 9)
    driven.handle(.retryTimerFired)
    driven.handle(.connected)
    #expect(
      driven.handle(.disconnected("connection: reset"), after: 9) == [
        .drop, .end(.unreachable(attempts: 2, after: .zero, reason: "connection: reset")),
      ])
  }

  /// Breaks the connection after so many seconds and connects again. Returns what is told of the break and, once
  /// connected, of the outage's end.
  private static func breakOnce(
    _ driven: inout DrivenMachine, after seconds: Int64, silentFor: Nanoseconds = .zero
  ) -> (breaks: Int?, isNew: Bool, isOver: Bool) {
    var told: (breaks: Int?, isNew: Bool, isOver: Bool) = (nil, false, false)
    for action in driven.handle(.disconnected("connection: reset", silentFor: silentFor), after: seconds) {
      switch action {
      case .brokeAgain(_, let breaks, _): told.breaks = breaks
      case .outageBegan: told.isNew = true
      default: break
      }
    }
    driven.handle(.retryTimerFired)
    told.isOver = driven.handle(.connected).contains { if case .outageOver = $0 { true } else { false } }
    return told
  }

  @Test("A connection that breaks again soon belongs to the outage that was announced, and each break is told once")
  func flapping() {
    var driven = DrivenMachine.streaming(attempts: 100)
    let first = Self.breakOnce(&driven, after: 20)
    #expect(first.isNew && first.breaks == nil && first.isOver)
    for number in 2...9 {
      let told = Self.breakOnce(&driven, after: 7)
      #expect(told.breaks == number && !told.isNew && told.isOver, "\(number)")
    }
  }

  @Test("Of connections that break at once three are told, and then one in a minute; attempts that fail are not")
  func quickBreaks() {
    var driven = DrivenMachine.streaming(attempts: 1000)
    var told: [Int] = []
    for number in 1...125 {
      let news = Self.breakOnce(&driven, after: 1)
      if let breaks = news.breaks { told.append(breaks) }
      #expect(news.isNew == (number == 1))
      #expect(news.isOver == (news.isNew || news.breaks != nil), "\(number): the last word is never that it waits")
    }
    #expect(told == [2, 3, 63, 123])
    driven.handle(.disconnected("connection: reset"), after: 7)
    for _ in 0..<50 {
      driven.handle(.retryTimerFired)
      let actions = driven.handle(.attemptFailed("connection: refused"))
      #expect(!actions.contains { if case .brokeAgain = $0 { true } else { false } })
    }
  }

  @Test("Time in which a server did not answer is none with a connection: it ends no outage, and counts for its end")
  func silence() {
    var driven = DrivenMachine(attempts: nil, outage: .seconds(300))
    driven.handle(.started)
    driven.handle(.connected)
    var seconds: [Int64] = []
    for silence: Int64 in [10, 20, 40, 80, 120] {
      seconds.append(silence)
      let told = Self.breakOnce(&driven, after: silence + 1, silentFor: .seconds(silence))
      #expect(told.isNew == (silence == 10))
      #expect(told.breaks == (silence == 10 ? nil : seconds.count))
    }
    #expect(!driven.machine.isEnded, "the silence of 270 s is all that counts")
    driven.handle(.disconnected("connection: reset", silentFor: .seconds(120)), after: 121)
    #expect(driven.machine.isEnded)
    // One that streamed for long and fell silent then begins an outage, as any other break does.
    var stable = DrivenMachine.waiting()
    stable.handle(.retryTimerFired)
    stable.handle(.connected)
    #expect(Self.breakOnce(&stable, after: 20, silentFor: .seconds(10)).isNew)
    #expect(!Self.breakOnce(&stable, after: 19, silentFor: .seconds(10)).isNew)
  }

  @Test("A permanent refusal ends the fork with exactly its reason")
  func refused() {
    var driven = DrivenMachine()
    driven.handle(.started)
    #expect(
      driven.handle(.attemptFailed("http: 403 Forbidden", .hopeless)) == [
        .drop, .end(.refused("http: 403 Forbidden")),
      ])
  }

  @Test("A Close that refuses for good ends the fork, except behind everything that was acknowledged")
  func refusedByClose() {
    var driven = DrivenMachine.streaming(attempts: 5)
    #expect(driven.handle(.refused("server: closed with 4001")) == [.drop, .end(.refused("server: closed with 4001"))])
    driven = .streaming(attempts: 5)
    _ = driven.handle(.captureClosed)
    _ = driven.handle(.drained(isAcknowledged: true))
    #expect(driven.handle(.refused("server: closed with 4001")) == [.drop, .end(.delivered)])
  }

  @Test("A server that closes with 1000 ends the fork")
  func closedByServer() {
    var driven = DrivenMachine.streaming()
    #expect(driven.handle(.closedByServer) == [.drop, .end(.closedByServer(.normal))])
  }

  @Test("Where r is used up by a refusal, the fork was refused", arguments: [0, 2])
  func refusedAtLast(attempts: Int) {
    var driven = DrivenMachine(attempts: attempts)
    driven.handle(.started)
    for _ in 0..<attempts {
      driven.handle(.attemptFailed("http: 404 Not Found", .refused, wait: .milliseconds(1500)))
      driven.handle(.retryTimerFired)
    }
    #expect(
      driven.handle(.attemptFailed("http: 404 Not Found", .refused)) == [.drop, .end(.refused("http: 404 Not Found"))])
  }

  /// Lets attempts fail until the fork ends or `seconds` are over. Returns the waits and the last actions.
  private static func fail(
    _ driven: inout DrivenMachine, for seconds: Int64, verdict: FailureVerdict = .passing
  ) -> (waits: [Duration], last: [ForkAction]) {
    let end = driven.now + .seconds(seconds)
    var waits: [Duration] = []
    var last: [ForkAction] = []
    while !driven.machine.isEnded, driven.now < end {
      last = driven.handle(.attemptFailed("connection: refused", verdict))
      for case .scheduleRetry(let delay) in last {
        waits.append(delay)
        let parts = delay.components
        driven.now += Nanoseconds(parts.seconds * 1_000_000_000 + parts.attoseconds / 1_000_000_000)
        driven.handle(.retryTimerFired)
      }
    }
    return (waits, last)
  }

  @Test("Without r an outage ends the fork after its time, not before, whatever is answered", arguments: [3, 300])
  func outage(seconds: Int) {
    for verdict in [FailureVerdict.passing, .refused] {
      var driven = DrivenMachine(attempts: nil, outage: .seconds(seconds))
      driven.handle(.started)
      let (waits, last) = Self.fail(&driven, for: 1000, verdict: verdict)
      #expect(waits.reduce(.zero, +) == .seconds(seconds), "the last attempt comes when the time is over")
      #expect(
        last == [
          .drop,
          .end(.unreachable(attempts: waits.count, after: .seconds(seconds), reason: "connection: refused")),
        ])
    }
  }

  @Test("Without a limit an outage lasts as long as the call, and then the time for draining")
  func endlessOutage() {
    var driven = DrivenMachine(attempts: nil)
    driven.handle(.started)
    let (waits, _) = Self.fail(&driven, for: 100_000)
    #expect(!driven.machine.isEnded)
    #expect(waits.count > 20_000)
    driven.handle(.captureClosed)
    #expect(driven.handle(.drainDeadlinePassed).last == .end(.drainExpired("connection: refused")))
  }

  @Test("Of both limits the first one ends the outage")
  func bothLimits() {
    var few = DrivenMachine(attempts: 2, outage: .seconds(300))
    few.handle(.started)
    #expect(Self.fail(&few, for: 1000).waits.count == 2)
    var short = DrivenMachine(attempts: 1_000_000, outage: .seconds(3))
    short.handle(.started)
    #expect(Self.fail(&short, for: 1000).waits.reduce(.zero, +) == .seconds(3))
  }

  @Test("Time with a connection does not count, and a stable one ends the outage")
  func connectedTime() {
    var driven = DrivenMachine(attempts: nil, outage: .seconds(3))
    driven.handle(.started)
    driven.handle(.connected)
    for held: Int64 in [9, 9, 9, 9, 9] {
      driven.handle(.disconnected("connection: reset"), after: held)
      driven.handle(.retryTimerFired)
      driven.handle(.connected)
      #expect(driven.machine.isStreaming)
    }
    driven.handle(.disconnected("connection: reset"), after: 9)
    driven.handle(.retryTimerFired)
    driven.handle(.attemptFailed("connection: refused"), after: 2)
    #expect(!driven.machine.isEnded)
    driven.handle(.retryTimerFired)
    driven.handle(.attemptFailed("connection: refused"), after: 1)
    #expect(driven.machine.isEnded)
  }

  /// The server closes without a code after so many seconds each time.
  private static func closeWithoutCode(_ driven: inout DrivenMachine, after seconds: Int64) -> [ForkAction] {
    driven.handle(.closedWithoutCode("server: closed without a code"), after: seconds)
  }

  @Test("A Close without a code is followed by one connection; a second one within a minute ends the fork in order")
  func emptyClose() {
    for second: Int64 in [0, 1, 11, 59] {
      var driven = DrivenMachine.streaming()
      #expect(!driven.machine.endsAtEmptyClose(now: driven.now))
      #expect(
        Self.closeWithoutCode(&driven, after: 20) == [
          .report(.waiting), .outageBegan(reason: "server: closed without a code"), .scheduleRetry(after: .zero),
        ])
      driven.handle(.retryTimerFired)
      driven.handle(.connected)
      #expect(driven.machine.endsAtEmptyClose(now: driven.now + .seconds(second)))
      #expect(Self.closeWithoutCode(&driven, after: second) == [.drop, .end(.closedByServer(.twiceWithoutCode))])
    }
  }

  @Test("A second one later is a first one again, and one behind another break is still the second")
  func rareEmptyCloses() {
    var driven = DrivenMachine.streaming()
    for _ in 0..<5 {
      _ = Self.closeWithoutCode(&driven, after: 60)
      driven.handle(.retryTimerFired)
      driven.handle(.connected)
      #expect(driven.machine.isStreaming)
    }
    driven.handle(.disconnected("connection: reset"), after: 30)
    driven.handle(.retryTimerFired)
    driven.handle(.connected)
    #expect(Self.closeWithoutCode(&driven, after: 29) == [.drop, .end(.closedByServer(.twiceWithoutCode))])
  }

  @Test("A server that closes without a code and then refuses for good has ended the fork in order")
  func emptyCloseThenRefused() {
    var driven = DrivenMachine.streaming()
    _ = Self.closeWithoutCode(&driven, after: 20)
    driven.handle(.retryTimerFired)
    driven.handle(.attemptFailed("http: 404 Not Found", .refused))
    driven.handle(.retryTimerFired)
    #expect(
      driven.handle(.attemptFailed("http: 404 Not Found", .hopeless)) == [
        .drop, .end(.closedByServer(.withoutCodeThenRefused("http: 404 Not Found"))),
      ])
    // More than a minute later a refusal is one.
    var late = DrivenMachine.streaming()
    _ = Self.closeWithoutCode(&late, after: 20)
    late.handle(.retryTimerFired)
    #expect(
      late.handle(.attemptFailed("http: 404 Not Found", .hopeless), after: 61)
        == [.drop, .end(.refused("http: 404 Not Found"))])
  }

  @Test("A Close in answer to an attempt counts as one behind audio: 1000 ends the fork, the second without a code too")
  func closedWhileConnecting() {
    var normal = DrivenMachine()
    normal.handle(.started)
    #expect(normal.handle(.closedByServer) == [.drop, .end(.closedByServer(.normal))])
    var empty = DrivenMachine()
    empty.handle(.started)
    #expect(
      Self.closeWithoutCode(&empty, after: 0) == [
        .report(.waiting), .outageBegan(reason: "server: closed without a code"), .scheduleRetry(after: .zero),
      ])
    empty.handle(.retryTimerFired)
    #expect(empty.machine.endsAtEmptyClose(now: empty.now))
    #expect(Self.closeWithoutCode(&empty, after: 59) == [.drop, .end(.closedByServer(.twiceWithoutCode))])
    // The first behind audio, the second in answer to the attempt that follows.
    var behind = DrivenMachine.streaming()
    _ = Self.closeWithoutCode(&behind, after: 20)
    behind.handle(.retryTimerFired)
    #expect(Self.closeWithoutCode(&behind, after: 1) == [.drop, .end(.closedByServer(.twiceWithoutCode))])
  }

  @Test("A Close without a code in answer to an attempt is followed by the same wait as another failure")
  func emptyCloseWaits() {
    /// Waits before the second attempt, whose first one goes to another endpoint.
    func waits(_ event: ForkEvent) -> [Duration] {
      (0..<20).flatMap { _ in
        var driven = DrivenMachine(attempts: 1000, endpoints: 2)
        driven.handle(.started)
        driven.handle(.attemptFailed("connection: refused"))
        driven.handle(.retryTimerFired)
        return driven.handle(event).compactMap { if case .scheduleRetry(let delay) = $0 { delay } else { nil } }
      }
    }
    // Another endpoint that wants to be left alone is next, or one that was tried since the last wait.
    for delay in waits(.closedWithoutCode("x", wait: .seconds(2))) + waits(.attemptFailed("x", wait: .seconds(2))) {
      #expect(delay >= .seconds(2))
    }
    for delay in waits(.closedWithoutCode("x", isRepeated: true)) + waits(.attemptFailed("x", isRepeated: true)) {
      #expect(delay > .zero && delay < .seconds(1))
    }
  }

  @Test("Where no attempt is left, the first Close without a code ends the fork in order", arguments: [true, false])
  func emptyCloseWithoutAttempts(isConnected: Bool) {
    var driven = DrivenMachine(attempts: 0)
    driven.handle(.started)
    if isConnected { driven.handle(.connected) }
    #expect(Self.closeWithoutCode(&driven, after: 1) == [.drop, .end(.closedByServer(.withoutCode))])
    var late = DrivenMachine(attempts: nil, outage: .seconds(3))
    late.handle(.started)
    late.handle(.attemptFailed("connection: refused"))
    late.handle(.retryTimerFired)
    #expect(Self.closeWithoutCode(&late, after: 3) == [.drop, .end(.closedByServer(.withoutCode))])
  }

  @Test("An outage goes on in the next engine: its time, its attempts, and a Close without a code")
  func replacedEngine() {
    var driven = DrivenMachine(attempts: nil, outage: .seconds(3))
    #expect(driven.machine.savedOutage == nil)
    driven.handle(.started)
    driven.handle(.attemptFailed("connection: refused"))
    for _ in 0..<2 {
      driven = driven.replaced(after: 1)
      driven.handle(.attemptFailed("connection: refused"))
      #expect(!driven.machine.isEnded)
    }
    driven = driven.replaced(after: 1)
    driven.handle(.attemptFailed("connection: refused"))
    #expect(driven.machine.isEnded && driven.machine.savedOutage == nil)
    // Attempts.
    var counted = DrivenMachine.waiting(attempts: 2).replaced()
    counted.handle(.attemptFailed("connection: refused"))
    #expect(!counted.machine.isEnded)
    counted = counted.replaced()
    #expect(
      counted.handle(.attemptFailed("connection: refused")).last
        == .end(.unreachable(attempts: 2, reason: "connection: refused")))
    // A connection that follows ends it, with the attempts of both engines.
    var over = DrivenMachine.waiting().replaced()
    #expect(over.handle(.connected).contains(.outageOver(attempts: 1)))
    // A Close without a code.
    var closed = DrivenMachine.streaming()
    _ = Self.closeWithoutCode(&closed, after: 20)
    closed.handle(.retryTimerFired)
    closed.handle(.connected)
    closed = closed.replaced(after: 59)
    closed.handle(.connected)
    #expect(Self.closeWithoutCode(&closed, after: 0) == [.drop, .end(.closedByServer(.twiceWithoutCode))])
  }

  @Test("A connection that held while the engine was replaced counts as held: a stable one has ended the outage")
  func replacedWhileStreaming() {
    var driven = DrivenMachine(attempts: nil, outage: .seconds(3))
    driven.handle(.started)
    driven.handle(.attemptFailed("connection: refused"))
    driven.handle(.retryTimerFired)
    driven.handle(.connected, after: 2)
    #expect(driven.machine.savedOutage?.connectedSince == driven.now)
    var short = driven.replaced(after: 9)
    #expect(!short.handle(.connected).contains { if case .outageOver = $0 { true } else { false } })
    short = short.replaced(after: 0)
    short.handle(.attemptFailed("connection: refused"))
    #expect(!short.machine.isEnded, "the 9 s do not count")
    short.handle(.retryTimerFired)
    short.handle(.attemptFailed("connection: refused"), after: 1)
    #expect(short.machine.isEnded, "the 2 s before do")
    var stable = driven.replaced(after: 10)
    #expect(
      stable.handle(.attemptFailed("connection: refused"), after: 1).contains(
        .outageBegan(reason: "connection: refused")))
    stable.handle(.retryTimerFired)
    stable.handle(.attemptFailed("connection: refused"), after: 1)
    #expect(!stable.machine.isEnded)
  }

  @Test("An endpoint that is tried again before the others, because they want to be left alone, is waited for")
  func repeatedEndpoint() {
    var driven = DrivenMachine(attempts: 1000, endpoints: 2)
    driven.handle(.started)
    var waits: [Duration] = []
    for number in 0..<60 {
      for case .scheduleRetry(let delay) in driven.handle(
        .attemptFailed("connection: refused", isRepeated: number > 0))
      { waits.append(delay) }
      driven.handle(.retryTimerFired)
    }
    #expect(waits[0] == .zero && waits.dropFirst().allSatisfy { $0 > .zero && $0 <= .seconds(5) })
    #expect(waits[1] <= .milliseconds(250) && waits.contains { $0 > .seconds(3) })
  }

  @Test("A Close without a code while ours is out is what a break is")
  func emptyCloseWhileClosing() {
    var acknowledged = DrivenMachine.closing(isAcknowledged: true)
    #expect(Self.closeWithoutCode(&acknowledged, after: 0) == [.drop, .end(.delivered)])
    var unacknowledged = DrivenMachine.closing(isAcknowledged: false)
    _ = Self.closeWithoutCode(&unacknowledged, after: 0)
    #expect(unacknowledged.machine.name == .draining && !unacknowledged.machine.isEnded)
  }

  @Test("The end of capture starts the time for draining; what is drained is closed")
  func drains() {
    var driven = DrivenMachine.streaming()
    #expect(driven.handle(.captureClosed) == [.report(.draining), .scheduleDrainDeadline(after: .seconds(10))])
    #expect(driven.machine.isStreaming)
    #expect(driven.handle(.captureClosed) == [])
    #expect(driven.handle(.drained(isAcknowledged: true)) == [.close])
    #expect(!driven.machine.isStreaming)
    #expect(driven.handle(.closeCompleted) == [.drop, .end(.delivered)])
  }

  @Test("While capture goes on nothing is drained")
  func notDrained() {
    var driven = DrivenMachine.streaming()
    #expect(driven.handle(.drained(isAcknowledged: true)) == [])
    #expect(driven.machine.isStreaming)
  }

  @Test("A break while draining is retried until the deadline, which ends the fork")
  func drainDeadline() {
    var driven = DrivenMachine.waiting()
    driven.handle(.captureClosed)
    #expect(driven.handle(.retryTimerFired) == [.connect])
    driven.handle(.attemptFailed("connection: refused"))
    #expect(
      driven.handle(.drainDeadlinePassed) == [.cancelRetry, .end(.drainExpired("connection: refused"))])
  }

  @Test("What was acknowledged is delivered, however the connection ends; the drain deadline does not cut it short")
  func acknowledgedWhileClosing() {
    for event in [ForkEvent.disconnected("connection: closed"), .closeCompleted, .closedByServer] {
      var driven = DrivenMachine.closing(isAcknowledged: true)
      #expect(!driven.machine.awaitsAnswer)
      #expect(driven.machine.name == .draining)
      #expect(driven.handle(.drainDeadlinePassed) == [])
      #expect(driven.handle(event) == [.drop, .end(.delivered)], "\(event)")
    }
  }

  @Test("Where nobody counts what was acknowledged, only an answer to our Close is a delivery, and the deadline holds")
  func unacknowledgedWhileClosing() {
    var answered = DrivenMachine.closing(isAcknowledged: false)
    #expect(answered.machine.awaitsAnswer)
    #expect(!answered.machine.isStreaming)
    #expect(answered.handle(.closeCompleted) == [.drop, .end(.delivered)])
    var late = DrivenMachine.closing(isAcknowledged: false)
    #expect(late.handle(.drainDeadlinePassed) == [.drop, .end(.drainExpired(nil))])
  }

  @Test("A reset before the answer to our Close is an outage: the rest is sent again and closed again")
  func brokenWhileClosing() {
    var driven = DrivenMachine.closing(isAcknowledged: false)
    #expect(
      driven.handle(.disconnected("connection: reset")) == [
        .outageBegan(reason: "connection: reset"), .scheduleRetry(after: .zero),
      ])
    #expect(driven.machine.name == .draining)
    #expect(driven.handle(.retryTimerFired) == [.connect])
    #expect(driven.handle(.connected) == [.stream, .outageOver(attempts: 1)])
    #expect(driven.handle(.drained(isAcknowledged: false)) == [.close])
    #expect(driven.handle(.closeCompleted) == [.drop, .end(.delivered)])
  }

  @Test("A break while our Close is out counts as an attempt, and the deadline goes on meanwhile")
  func attemptsWhileClosing() {
    var last = DrivenMachine.closing(attempts: 0, isAcknowledged: false)
    #expect(
      last.handle(.disconnected("close: no answer")) == [
        .drop, .end(.unreachable(attempts: 0, reason: "close: no answer")),
      ])
    var late = DrivenMachine.closing(isAcknowledged: false)
    late.handle(.disconnected("connection: reset"))
    #expect(late.handle(.drainDeadlinePassed) == [.cancelRetry, .end(.drainExpired("connection: reset"))])
    var flapping = DrivenMachine.waiting()
    flapping.handle(.retryTimerFired)
    flapping.handle(.connected)
    flapping.handle(.captureClosed)
    flapping.handle(.drained(isAcknowledged: false))
    let actions = flapping.handle(.disconnected("connection: reset"), after: 1)
    #expect(!actions.contains { if case .outageBegan = $0 { true } else { false } }, "soon after: the same outage")
  }

  @Test("A break that ends the attempts while draining is an end for the same reason")
  func unreachableWhileDraining() {
    var driven = DrivenMachine.streaming(attempts: 0)
    driven.handle(.captureClosed)
    #expect(
      driven.handle(.disconnected("connection: reset")) == [
        .drop, .end(.unreachable(attempts: 0, reason: "connection: reset")),
      ])
  }

  @Test("From every state every event leads to a known state, and an ended fork stays ended")
  func everyEventInEveryState() {
    let events: [ForkEvent] = [
      .started, .connected, .attemptFailed("x"), .attemptFailed("x", .hopeless),
      .attemptFailed("x", .refused), .disconnected("x"), .closedByServer, .closedWithoutCode("x"), .retryTimerFired,
      .captureClosed, .drained(isAcknowledged: true),
      .drained(isAcknowledged: false), .drainDeadlinePassed, .closeCompleted, .broken("x"), .shutdown, .forgotten,
    ]
    /// Ways into every state.
    let ways: [(String, ForkStateName, [ForkEvent])] = [
      ("created", .connecting, []),
      ("connecting", .connecting, [.started]),
      ("streaming", .streaming, [.started, .connected]),
      ("waiting", .waiting, [.started, .connected, .disconnected("x")]),
      ("connecting in an outage", .connecting, [.started, .connected, .disconnected("x"), .retryTimerFired]),
      ("draining, connecting", .draining, [.started, .captureClosed]),
      ("draining, streaming", .draining, [.started, .connected, .captureClosed]),
      ("draining, waiting", .draining, [.started, .connected, .disconnected("x"), .captureClosed]),
      ("closing", .draining, [.started, .connected, .captureClosed, .drained(isAcknowledged: true)]),
      ("closing, unacknowledged", .draining, [.started, .connected, .captureClosed, .drained(isAcknowledged: false)]),
      ("ended", .ended, [.started, .forgotten]),
    ]
    for (state, name, way) in ways {
      for event in events {
        var driven = DrivenMachine()
        for step in way { driven.handle(step) }
        #expect(driven.machine.name == name, "on the way to \(state)")
        let wasEnded = driven.machine.isEnded
        let actions = driven.handle(event)
        if wasEnded {
          #expect(actions == [], "\(event) when ended")
          #expect(driven.machine.isEnded)
        }
        let ends = actions.filter { if case .end = $0 { true } else { false } }
        #expect(ends.count == (driven.machine.isEnded && !wasEnded ? 1 : 0), "\(event) in state \(state)")
        if !ends.isEmpty { #expect(actions.last == ends.first, "nothing follows the end: \(event) in \(state)") }
        // Whatever happened, the fork can still be ended, exactly once.
        let last = driven.handle(.forgotten)
        #expect(last.isEmpty == (wasEnded || !ends.isEmpty), "\(event) in state \(state)")
      }
    }
  }

  @Test("Random events never leave a fork that can neither act nor be acted on", arguments: 0..<50)
  func randomEvents(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    var driven = DrivenMachine(attempts: 5)
    driven.handle(.started)
    var owesConnection = true
    var owesTimer = false
    let events: [ForkEvent] = [
      .connected, .attemptFailed("x"), .disconnected("x"), .retryTimerFired, .captureClosed,
      .drained(isAcknowledged: true), .drained(isAcknowledged: false), .closeCompleted,
    ]
    for _ in 0..<200 {
      guard !driven.machine.isEnded, let event = events.randomElement(using: &random) else { return }
      // Events of timers and connections come only where one was asked for, as in the engine.
      switch event {
      case .retryTimerFired: guard owesTimer else { continue }
      case .connected, .attemptFailed, .disconnected, .closeCompleted: guard owesConnection else { continue }
      default: break
      }
      for action in driven.handle(event, after: 1) {
        switch action {
        case .connect: (owesConnection, owesTimer) = (true, false)
        case .scheduleRetry: (owesConnection, owesTimer) = (false, true)
        default: break
        }
      }
      #expect(driven.machine.isEnded || owesConnection || owesTimer, "seed \(seed)")
    }
  }
}
