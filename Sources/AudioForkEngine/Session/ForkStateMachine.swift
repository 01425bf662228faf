// SPDX-License-Identifier: Apache-2.0
internal import AudioForkLink
package import AudioForkMedia

/// Decides what a fork does next: connect, stream, wait, drain, end. No I/O. Time and random numbers are arguments.
package struct ForkStateMachine: Sendable {
  package private(set) var state = State.created
  private let limits: ForkLimits
  private let backoff: Backoff
  /// The outage in which the last engine left the fork.
  private(set) var inherited: Outage?

  package init(_ limits: ForkLimits) {
    self.limits = limits
    backoff = Backoff(cap: limits.waitMax)
  }

  /// Continues the outage in which an engine before this one left the fork; nil: there was none.
  package init(_ limits: ForkLimits, continuing saved: SavedOutage?, now: MonotonicTime) {
    self.init(limits)
    inherited = saved.map { Outage($0, limits, now) }
  }

  /// Takes an event and returns the actions that the owner carries out, in this order.
  package mutating func handle(
    _ event: ForkEvent, now: MonotonicTime, using random: inout some RandomNumberGenerator
  ) -> [ForkAction] {
    let before = name
    var actions =
      switch event {
      case .started: started()
      case .connected: connected(now)
      case .attemptFailed(let reason, let verdict, let wait, let isRepeated):
        attemptFailed(reason, verdict, wait, isRepeated, now, &random)
      case .disconnected(let reason, let silentFor): disconnected(reason, silentFor: silentFor, now, &random)
      case .closedByServer: closedByServer(.normal)
      case .closedWithoutCode(let reason, let wait, let isRepeated):
        closedWithoutCode(reason, wait, isRepeated, now, &random)
      case .refused(let reason): refused(reason)
      case .retryTimerFired: retryTimerFired()
      case .captureClosed: captureClosed()
      case .drained(let isAcknowledged): drained(isAcknowledged)
      case .drainDeadlinePassed: drainDeadlinePassed()
      case .lingerTimerFired: lingerTimerFired()
      case .closedAfterEnding: closedAfterEnding()
      case .foundDelivered: state == .created ? end(.delivered) : []
      case .closeCompleted: closeCompleted()
      case .broken(let reason): end(.broken(reason))
      case .shutdown: shutdown()
      case .forgotten: end(.forgotten)
      }
    // Report first: carrying out the other actions may cause the next event at once.
    if name != before, name != .ended { actions.insert(.report(name), at: 0) }
    return actions
  }

  // MARK: - Events

  private mutating func started() -> [ForkAction] {
    guard case .created = state else { return [] }
    state = .active(.connecting(inherited), isDraining: false)
    inherited = nil
    return [.report(.connecting), .connect]
  }

  private mutating func connected(_ now: MonotonicTime) -> [ForkAction] {
    guard case .active(.connecting(var outage), let isDraining) = state else { return [] }
    var actions = [ForkAction.stream]
    if let over = outage, !over.wasReportedOver {
      outage?.wasReportedOver = true
      actions.append(.outageOver(attempts: over.attempts))
    }
    state = .active(.streaming(outage, since: now), isDraining: isDraining)
    return actions
  }

  private mutating func attemptFailed(
    _ reason: String, _ verdict: FailureVerdict, _ wait: Duration, _ isRepeated: Bool, _ now: MonotonicTime,
    _ random: inout some RandomNumberGenerator
  ) -> [ForkAction] {
    guard case .active(.connecting(let outage), let isDraining) = state else { return [] }
    if verdict == .hopeless {
      return end(refusal(reason, outage, now))
    }
    return retry(
      outage ?? Outage(reason: reason, began: now), reason, isDraining, verdict, wait, isRepeated: isRepeated, now,
      &random)
  }

  private mutating func disconnected(
    _ reason: String, silentFor: Nanoseconds = .zero, _ now: MonotonicTime,
    _ random: inout some RandomNumberGenerator
  ) -> [ForkAction] {
    switch state {
    case .active(.streaming(let outage, let since), let isDraining):
      return retryAfterLoss(outage, since, reason, silentFor: silentFor, now, isDraining, &random)
    case .active(.connecting, _): return attemptFailed(reason, .passing, .zero, false, now, &random)
    // Some servers drop the connection instead of answering our Close. Everything was acknowledged before.
    case .lingering(_, _, isAcknowledged: true), .closing(_, _, isAcknowledged: true): return end(.delivered)
    case .lingering(let outage, let since, isAcknowledged: false),
      .closing(let outage, let since, isAcknowledged: false):
      return retryAfterLoss(outage, since, reason, now, true, &random)
    case .created, .active(.waiting, _), .ended: return []
    }
  }

  private mutating func closedByServer(_ close: ServerClose) -> [ForkAction] {
    switch state {
    case .active(.streaming, _), .active(.connecting, _): return end(.closedByServer(close))
    case .lingering, .closing: return end(.delivered)
    case .created, .active(.waiting, _), .ended: return []
    }
  }

  /// Whether another Close without a code would end the fork now.
  package func endsAtEmptyClose(now: MonotonicTime) -> Bool {
    switch state {
    case .active(.streaming(let outage, _), _), .active(.connecting(let outage), _):
      return outage?.emptyCloseAt.map { isRemembered($0, now) } ?? false
    case .created, .active(.waiting, _), .lingering, .closing, .ended: return false
    }
  }

  private func isRemembered(_ emptyClose: MonotonicTime, _ now: MonotonicTime) -> Bool {
    now - emptyClose < limits.emptyCloseMemory
  }

  private mutating func closedWithoutCode(
    _ reason: String, _ wait: Duration, _ isRepeated: Bool, _ now: MonotonicTime,
    _ random: inout some RandomNumberGenerator
  ) -> [ForkAction] {
    if endsAtEmptyClose(now: now) { return closedByServer(.twiceWithoutCode) }
    switch state {
    case .active(.streaming(let outage, let since), let isDraining):
      return retryAfterLoss(outage, since, reason, now, isDraining, isEmptyClose: true, &random)
    case .active(.connecting(let outage), let isDraining):
      var next = outage ?? Outage(reason: reason, began: now)
      next.emptyCloseAt = now
      return retry(
        next, reason, isDraining, .passing, wait, isRepeated: isRepeated, isEmptyClose: true, now, &random)
    case .lingering: return closedByServer(.withoutCode)
    case .closing: return disconnected(reason, now, &random)
    case .created, .active(.waiting, _), .ended: return []
    }
  }

  private mutating func refused(_ reason: String) -> [ForkAction] {
    switch state {
    case .active(.streaming, _), .active(.connecting, _), .lingering(_, _, isAcknowledged: false),
      .closing(_, _, isAcknowledged: false):
      return end(.refused(reason))
    case .lingering(_, _, isAcknowledged: true), .closing(_, _, isAcknowledged: true): return end(.delivered)
    case .created, .active(.waiting, _), .ended: return []
    }
  }

  /// How a refusal ends the fork: in order if the server has closed without a code a short time before.
  private func refusal(_ reason: String, _ outage: Outage?, _ now: MonotonicTime) -> ForkEnding {
    guard let last = outage?.emptyCloseAt, isRemembered(last, now) else { return .refused(reason) }
    return .closedByServer(.withoutCodeThenRefused(reason))
  }

  private mutating func retryTimerFired() -> [ForkAction] {
    guard case .active(.waiting(let outage), let isDraining) = state else { return [] }
    state = .active(.connecting(outage), isDraining: isDraining)
    return [.connect]
  }

  private mutating func captureClosed() -> [ForkAction] {
    guard case .active(let link, isDraining: false) = state else { return [] }
    state = .active(link, isDraining: true)
    return [.scheduleDrainDeadline(after: limits.drain)]
  }

  private mutating func drained(_ isAcknowledged: Bool) -> [ForkAction] {
    guard case .active(.streaming(let outage, let since), isDraining: true) = state else { return [] }
    if let linger = limits.linger {
      state = .lingering(outage, since: since, isAcknowledged: isAcknowledged)
      return [.scheduleLingerEnd(after: linger)]
    }
    state = .closing(outage, since: since, isAcknowledged: isAcknowledged)
    return [.close]
  }

  private mutating func lingerTimerFired() -> [ForkAction] {
    guard case .lingering(let outage, let since, let isAcknowledged) = state else { return [] }
    state = .closing(outage, since: since, isAcknowledged: isAcknowledged)
    return [.close]
  }

  private mutating func closedAfterEnding() -> [ForkAction] {
    switch state {
    case .active(.streaming, _), .lingering: return end(.delivered)
    case .created, .active, .closing, .ended: return []
    }
  }

  /// The engine stops. A fork that is delivered does not wait for words in the next engine: the connection on which
  /// they would come is closed.
  private mutating func shutdown() -> [ForkAction] {
    if case .lingering(_, _, isAcknowledged: true) = state { return end(.delivered) }
    return end(.shutdown)
  }

  private mutating func drainDeadlinePassed() -> [ForkAction] {
    switch state {
    case .active(let link, isDraining: true): return end(.drainExpired(link.outage?.reason))
    case .closing(let outage, _, isAcknowledged: false): return end(.drainExpired(outage?.reason))
    // Only the answer to our Close can show that all is delivered, so it is time for the Close.
    case .lingering(_, _, isAcknowledged: false): return [.scheduleDrainDeadline(after: .zero)] + lingerTimerFired()
    // Delivered in time: the waits for last words and for an answer to our Close are short and end by themselves.
    case .lingering(_, _, isAcknowledged: true), .closing(_, _, isAcknowledged: true), .created, .active, .ended:
      return []
    }
  }

  private mutating func closeCompleted() -> [ForkAction] {
    guard case .closing = state else { return [] }
    return end(.delivered)
  }

  // MARK: - Transitions

  /// The connection is lost: continues its outage, or begins a new one if it was stable.
  private mutating func retryAfterLoss(
    _ outage: Outage?, _ since: MonotonicTime, _ reason: String, silentFor: Nanoseconds = .zero, _ now: MonotonicTime,
    _ isDraining: Bool, isEmptyClose: Bool = false, _ random: inout some RandomNumberGenerator
  ) -> [ForkAction] {
    let held = max(now - since - silentFor, .zero)
    var next = Outage(reason: reason, began: since + held)
    if let outage, held.duration < limits.stableAfter {
      next = outage
      next.began += held
    }
    next.emptyCloseAt = isEmptyClose ? now : outage?.emptyCloseAt.flatMap { isRemembered($0, now) ? $0 : nil }
    next.breaks += 1
    // Each break for silence comes late enough to be told.
    let worth = silentFor > .zero ? limits.worthTellingAfter : held
    return retry(next, reason, isDraining, .passing, .zero, heldFor: worth, isEmptyClose: isEmptyClose, now, &random)
  }

  /// Whether a break is reported: each one of a connection that held for a while, and some of those that did not. A
  /// failed attempt (`heldFor` nil) only where the last word was that there is a connection, for the break was not
  /// told.
  private func isWorthTelling(_ outage: Outage, heldFor: Nanoseconds?, _ now: MonotonicTime) -> Bool {
    if let heldFor {
      if heldFor >= limits.worthTellingAfter || outage.breaks <= limits.breaksToldMax { return true }
    } else if !outage.wasReportedOver {
      return false
    }
    return outage.toldAt.map { now - $0 >= limits.breakSpacing } ?? true
  }

  /// Waits for the next attempt, or ends the fork after the last one. `heldFor`: how long the connection held that has
  /// broken; nil: an attempt has failed. `isRepeated`: every endpoint that may be tried was tried since the last wait.
  /// `isEmptyClose`: the server closed without a code. Where no further attempt is allowed, it meant an end in order.
  private mutating func retry(
    _ outage: Outage, _ reason: String, _ isDraining: Bool, _ verdict: FailureVerdict, _ wait: Duration,
    heldFor: Nanoseconds? = nil, isRepeated: Bool = false, isEmptyClose: Bool = false, _ now: MonotonicTime,
    _ random: inout some RandomNumberGenerator
  ) -> [ForkAction] {
    var next = outage
    next.reason = reason
    let elapsed = max((now - next.began).duration, .zero)
    let (round, place) = next.attempts.quotientAndRemainder(dividingBy: limits.endpointCount)
    let hasTime = limits.outageMax.map { elapsed < $0 } ?? true
    if isEmptyClose, !hasTime || limits.attemptsMax.map({ round >= $0 }) ?? false {
      return end(.closedByServer(.withoutCode))
    }
    if let most = limits.attemptsMax, round >= most {
      return end(
        verdict == .passing
          ? .unreachable(attempts: next.attempts, after: elapsed, reason: reason) : refusal(reason, outage, now))
    }
    guard hasTime else {
      return end(.unreachable(attempts: next.attempts, after: elapsed, reason: reason))
    }
    let begun = place == 0 ? round : round + 1
    let own = place == 0 || isRepeated ? backoff.delay(attempt: begun, using: &random) : .zero
    var delay = max(own, backoff.delay(asked: wait, using: &random))
    // The last attempt comes when the time is over, not before.
    if let most = limits.outageMax { delay = min(delay, most - elapsed) }
    next.attempts += 1
    var news: [ForkAction] = []
    if next.attempts == 1 {
      news = [.outageBegan(reason: reason)]
      next.toldAt = heldFor == nil ? nil : now
    } else if isWorthTelling(next, heldFor: heldFor, now) {
      news = [.brokeAgain(reason: reason, breaks: next.breaks, wait: delay)]
      next.toldAt = now
      // The log's last word is not that the fork waits.
      next.wasReportedOver = false
    }
    state = .active(.waiting(next), isDraining: isDraining)
    return news + [.scheduleRetry(after: delay)]
  }

  private mutating func end(_ ending: ForkEnding) -> [ForkAction] {
    let leaving: [ForkAction]
    switch state {
    case .ended: return []
    case .created: leaving = []
    case .active(.waiting, _): leaving = [.cancelRetry]
    case .active(.connecting, _), .active(.streaming, _), .lingering, .closing: leaving = [.drop]
    }
    state = .ended(ending)
    return leaving + [.end(ending)]
  }
}
