// SPDX-License-Identifier: Apache-2.0
package import AudioForkMedia
package import AudioForkWebSocket

/// Which of a fork's endpoints the next attempt goes to: in order, and after a good connection from the first again.
/// It also decides when refusals are final.
package struct EndpointRotation: Sendable {
  /// A refusal with 4xx is final after so many attempts.
  package static let refusalsMin = 3
  /// … over so much time.
  package static let refusedFor = Nanoseconds.seconds(3)
  /// Time after a refusal with 4xx before the same endpoint is tried again.
  package static let refusalPause = Nanoseconds.milliseconds(1500)

  /// Refusals of one endpoint without anything else of it in between.
  private struct Refusals {
    var count = 0
    let first: MonotonicTime
    var isFinal = false
  }

  private let count: Int
  /// The endpoint of the current or next attempt.
  package private(set) var index = 0
  /// Of endpoints that have never accepted the fork.
  private var refusals: [Int: Refusals] = [:]
  /// Endpoints that have accepted the fork: whatever they answer later is an outage.
  private var accepted: Set<Int>
  /// Until when refusals are final as if no endpoint had accepted the fork.
  private var mayBeUnwantedUntil: MonotonicTime?
  /// Endpoints that have failed since the last wait.
  private var tried: Set<Int> = []
  /// Whether `index` was tried since the last wait, so that there has to be one.
  package private(set) var repeats = false
  /// Before when an endpoint is not to be asked again.
  private var notBefore: [Int: MonotonicTime] = [:]

  /// `count` is at least 1. `accepted`: endpoints that had accepted the fork before this engine; nil: unknown.
  /// `hasConnected`: some had. Where it is unknown which, they count as all.
  package init(count: Int, hasConnected: Bool = false, accepted: EndpointSet? = nil) {
    let count = max(count, 1)
    self.count = count
    self.accepted = Set((0..<count).filter { accepted?.contains($0) ?? hasConnected })
  }

  /// An attempt failed. Returns `hopeless` if every endpoint has refused for good. `retryAt`: before when this endpoint
  /// does not want to be asked again.
  package mutating func attemptFailed(
    _ kind: ConnectionFailure.Kind, retryAt: MonotonicTime? = nil, now: MonotonicTime
  ) -> FailureVerdict {
    let failed = index
    notBefore[index] = retryAt
    record(kind, now)
    let next = (1...count).map { (index + $0) % count }
    // In order, but for those that want to be left alone; where all do, the one whose time comes first.
    index =
      next.first { isOpen($0, now) }
      ?? next.min { opening($0) < opening($1) } ?? 0
    tried.insert(failed)
    repeats = tried.contains(index)
    if repeats { tried = [] }
    if (0..<count).allSatisfy({ refusals[$0]?.isFinal == true }) { return .hopeless }
    return kind == .passing ? .passing : .refused
  }

  private mutating func record(_ kind: ConnectionFailure.Kind, _ now: MonotonicTime) {
    let mayBeUnwanted = mayBeUnwantedUntil.map { now < $0 } ?? false
    guard kind != .passing, mayBeUnwanted || !accepted.contains(index) else {
      refusals[index] = nil
      return
    }
    var refused = refusals[index] ?? Refusals(first: now)
    refused.count += 1
    switch kind {
    case .passing: break
    case .refused:
      refused.isFinal =
        refused.count >= EndpointRotation.refusalsMin && now - refused.first >= EndpointRotation.refusedFor
      let pause = now + EndpointRotation.refusalPause
      notBefore[index] = max(notBefore[index] ?? pause, pause)
    case .final: refused.isFinal = true
    }
    refusals[index] = refused
  }

  /// Whether every endpoint refuses the fork, so that further refusals end it.
  package var isBeingRefused: Bool { refusals.count == count }

  private func opening(_ endpoint: Int) -> MonotonicTime { notBefore[endpoint] ?? MonotonicTime(nanoseconds: .min) }

  private func isOpen(_ endpoint: Int, _ now: MonotonicTime) -> Bool { opening(endpoint) <= now }

  /// Whether another endpoint may be tried now.
  package func hasAlternative(now: MonotonicTime) -> Bool { (0..<count).contains { $0 != index && isOpen($0, now) } }

  /// Moves on to the next endpoint in order. Nothing counts against this one.
  package mutating func skipCurrent(now: MonotonicTime) {
    index = (1...count).map { (index + $0) % count }.first { isOpen($0, now) } ?? index
  }

  /// How long the next attempt's endpoint is to be left alone.
  package func wait(now: MonotonicTime) -> Nanoseconds { max(.zero, notBefore[index, default: now] - now) }

  /// The endpoint has accepted the fork.
  package mutating func connected() {
    refusals = [:]
    tried = []
    mayBeUnwantedUntil = nil
    notBefore[index] = nil
    accepted.insert(index)
  }

  /// The server closed without a code: it may want no more audio. Until `end` refusals are final as if no endpoint had
  /// accepted the fork.
  package mutating func closedWithoutCode(until end: MonotonicTime) { mayBeUnwantedUntil = end }

  /// The connection broke. One that held was a good one: its outage begins with the first endpoint.
  package mutating func connectionLost(wasStable: Bool) {
    index = wasStable ? 0 : (index + 1) % count
  }
}
