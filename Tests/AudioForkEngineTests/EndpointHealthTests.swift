// SPDX-License-Identifier: Apache-2.0
import AudioForkMedia
import AudioForkEngine
import AudioForkTestKit
import Testing

@Suite("Endpoint health")
struct EndpointHealthTests {
  private static let stable = PingOutcome.notPinged(wasStable: true)
  private static let short = PingOutcome.notPinged(wasStable: false)
  private static let lost = PingOutcome.endedAtPing(isClose: false, hadIgnored: false)
  private static let closed = PingOutcome.endedAtPing(isClose: true, hadIgnored: false)
  private static let outcomes: [PingOutcome] = [
    .nothing, stable, short, .answered(confirms: true), .answered(confirms: false), .stoppedAnswering, .ignored,
    .silent(spoke: false), .silent(spoke: true), lost, closed, .endedAtPing(isClose: false, hadIgnored: true),
    .endedAtPing(isClose: true, hadIgnored: true),
  ]

  /// Whether a connection to an endpoint in this state can show this.
  private static func isPossible(_ outcome: PingOutcome, in state: PingSupport, confirms: Bool) -> Bool {
    switch (outcome, state.expectation) {
    case (.notPinged, let expectation): expectation == nil
    case (_, nil): outcome == .nothing
    case (.silent, let expectation): expectation == .answers
    case (.ignored, let expectation), (.endedAtPing, let expectation): expectation != .answers
    case (.answered(let isConfirming), _): isConfirming == confirms
    case (.stoppedAnswering, _): confirms
    case (.nothing, _): true
    }
  }

  /// Takes outcomes one after the other; returns the last change.
  private func after(
    _ outcomes: PingOutcome..., from state: PingSupport = .unknown(drops: 0)
  ) -> (PingSupport, EndpointHealth.Change?) {
    var state = state
    var change: EndpointHealth.Change?
    for outcome in outcomes { change = state.connectionEnded(outcome) }
    return (state, change)
  }

  @Test(
    "From unknown each state leads only to those that its comment names, and every state is left again",
    arguments: [true, false])
  func walk(confirms: Bool) {
    var found: [PingSupport: Set<PingSupport>] = [:]
    var open: [PingSupport] = [.unknown(drops: 0)]
    while let state = open.popLast() {
      // Drops and silences are counted to a limit: the machine is finite.
      guard found[state] == nil, found.count < 20 else { continue }
      found[state] = []
      for outcome in Self.outcomes where Self.isPossible(outcome, in: state, confirms: confirms) {
        var next = state
        let change = next.connectionEnded(outcome)
        if next != state { found[state]?.insert(next) }
        #expect((change == .refusesPings) == (isRefusing(next) && !isRefusing(state)), "\(state) \(outcome)")
        #expect((change == .noLongerAnswers) == (state.isKnownToAnswer && !next.isKnownToAnswer), "\(state) \(outcome)")
        open.append(next)
      }
    }
    let names = Set(found.keys.map { name($0) })
    let reachable: Set<String> =
      confirms
      ? ["unknown", "answers", "silent", "paused", "ignores", "refuses"] : ["unknown", "ignores", "refuses"]
    #expect(names == reachable)
    for (state, next) in found {
      let expected: Set<String> =
        switch state {
        case .unknown: ["unknown", "answers", "paused", "ignores", "refuses"]
        case .answers: ["silent", "paused"]
        case .silent: ["answers", "paused", "ignores", "unknown"]
        case .paused: ["answers"]
        case .ignores: confirms ? ["answers", "paused", "ignores", "refuses"] : ["unknown", "ignores", "refuses"]
        case .refuses: ["unknown", "ignores"]
        }
      #expect(Set(next.map { name($0) }).isSubset(of: expected), "\(state) to \(next)")
      #expect(!next.isEmpty, "\(state) is never left")
    }
    #expect(found.count < 20, "\(found.keys)")
  }

  private func name(_ state: PingSupport) -> String { "\(state)".prefix { $0 != "(" }.description }

  private func isRefusing(_ state: PingSupport) -> Bool {
    if case .refuses = state { return true }
    return false
  }

  @Test("A Close right after a ping proves that the server refuses pings; a loss only the third time in a row")
  func refusal() {
    #expect(after(Self.closed) == (.refuses(drops: 1, ignored: false), .refusesPings))
    #expect(after(Self.lost, Self.lost) == (.unknown(drops: 2), nil))
    #expect(after(Self.lost, Self.lost, Self.lost) == (.refuses(drops: 3, ignored: false), .refusesPings))
    #expect(after(Self.lost, Self.lost, .answered(confirms: true)).0 == .answers, "a pong clears it of that")
    #expect(PingSupport.refuses(drops: 1, ignored: false).expectation == nil, "it is not pinged")
  }

  @Test("A server that ends its connections early without pings too did not end them because of pings")
  func acquittal() {
    let refused = PingSupport.refuses(drops: 1, ignored: false)
    #expect(after(Self.stable, from: refused).0 == refused)
    #expect(after(Self.short, from: refused).0 == .unknown(drops: 1))
    #expect(after(.ignored, Self.closed, Self.short).0 == .ignores(drops: 1), "and it is remembered what it ignored")
    let late = PingOutcome.endedAtPing(isClose: true, hadIgnored: true)
    #expect(after(late, Self.short).0 == .ignores(drops: 1))
  }

  @Test("A server that answers none is pinged and not waited for, and one that answers after all is believed")
  func ignoring() {
    #expect(after(.ignored).0 == .ignores(drops: 0))
    #expect(PingSupport.ignores(drops: 0).expectation == .nothing)
    #expect(after(.ignored, .answered(confirms: true)).0 == .answers)
  }

  @Test("Two silent connections in a row make an endpoint that answered one that does not, or one that is new")
  func silence() {
    #expect(after(.answered(confirms: true), .silent(spoke: false)).0 == .silent(connections: 1, spoke: false))
    #expect(PingSupport.silent(connections: 1, spoke: true).expectation == .answers)
    #expect(
      after(.silent(spoke: false), .silent(spoke: false), from: .answers) == (.unknown(drops: 0), .noLongerAnswers))
    #expect(
      after(.silent(spoke: true), .silent(spoke: false), from: .answers) == (.ignores(drops: 0), .noLongerAnswers))
    #expect(after(.silent(spoke: false), .nothing, .silent(spoke: true), from: .answers).0 == .ignores(drops: 0))
    #expect(
      after(.silent(spoke: true), .answered(confirms: true), .silent(spoke: true), from: .answers).0.isKnownToAnswer)
  }

  @Test("One that stopped answering is left without pings for one connection, and pinged on the next")
  func pause() {
    #expect(after(.stoppedAnswering, from: .answers).0 == .paused)
    #expect(PingSupport.paused.expectation == nil && PingSupport.paused.isKnownToAnswer)
    #expect(after(Self.short, from: .paused).0 == .answers)
    #expect(after(Self.stable, from: .paused).0 == .answers)
  }

  @Test("Of a server that acknowledges nothing is expected because it ponged")
  func acknowledging() {
    #expect(after(.ignored, .answered(confirms: false)).0 == .unknown(drops: 0))
  }

  @Test("What an earlier engine knew is known; a second Close with 1008 after pongs makes pings sparse, once")
  func sparse() {
    var health = EndpointHealth(isKnownToAnswer: true)
    #expect(health.pings == .answers && !health.isSparse)
    #expect(health.connectionEnded(.answered(confirms: true), pings: 61, isPolicy: true, now: 0) == nil)
    #expect(
      health.connectionEnded(.silent(spoke: true), pings: 1, isPolicy: true, now: 1) == nil,
      "no pong, no word about them")
    #expect(health.connectionEnded(.stoppedAnswering, pings: 58, isPolicy: true, now: 2) == .isSparse)
    #expect(health.connectionEnded(.answered(confirms: true), pings: 58, isPolicy: true, now: 3) == nil)
    #expect(health.isSparse && EndpointHealth().pings == .unknown(drops: 0))
  }

  @Test("Each break for silence in a row doubles the time for an answer, up to two minutes, until it keeps up")
  func silences() {
    var health = EndpointHealth()
    var seconds: [Int64] = []
    for _ in 0..<20 {
      seconds.append(health.silenceMax(.seconds(10)).wholeSeconds)
      health.fellSilent()
    }
    #expect(seconds.prefix(6) == [10, 20, 40, 80, 120, 120] && seconds.last == 120)
    #expect(health.silenceMax(.seconds(600)) == .seconds(600), "what is configured is never shortened")
    #expect(EndpointHealth(silences: health.silences).silenceMax(.seconds(10)) == .seconds(120))
    #expect(EndpointHealth(silences: 2).silenceMax(.seconds(10)) == .seconds(40), "the next engine continues with it")
    #expect(EndpointHealth(silences: .max).silenceMax(.seconds(10)) == .seconds(120))
    health.keptUp()
    #expect(health.silenceMax(.seconds(10)) == .seconds(10) && health.silences == 0)
  }
}
