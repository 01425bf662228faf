// SPDX-License-Identifier: Apache-2.0
internal import AudioForkMedia
internal import AudioForkDialects
internal import AudioForkLink
internal import AudioForkSurface
internal import AudioForkWebSocket
internal import NIOCore

/// Connecting, and the handlers of a connection's events.
extension ForkSession {
  /// A connection that is lost sooner, without any frame from the server, was probably closed on purpose.
  private static let freshMax = Nanoseconds.seconds(1)
  /// Maximum errors of the server that are logged for a fork.
  private static let complaintsMax = 5

  /// Starts an attempt to connect to the endpoint whose turn it is.
  func connect() {
    let description = ConnectionDescription(
      setup.stream, number: stream.connectionCount + 1, position: stream.confirmedPosition)
    let connection = DialectConnection(
      loop: loop, dialect: setup.dialect, description: description, scratch: scratch
    ) { [self] event in received(event) } // until it has ended, or is dropped
    self.connection = connection
    let plan = plan(description)
    connection.start { [attribution] onEvent in
      EndpointConnection(
        loop: loop, plan: plan, names: context.resolver, limiter: context.limiter, turns: turns,
        hasAlternative: rotation.hasAlternative(now: .now)
      ) { event in attribution.during { onEvent(event) } }
    }
  }

  /// How the endpoint whose turn it is is reached.
  private func plan(_ description: ConnectionDescription) -> ConnectionPlan {
    let endpoint = endpoint
    return ConnectionPlan(
      url: endpoint, options: setup.options, timeout: setup.attemptTimeout, tls: context.tls, allowed: context.allowed,
      agent: setup.agent
    ) { [setup] url, isTrusted, credentials in
      setup.request(to: url, for: endpoint, description, isTrusted: isTrusted, credentials)
    }
  }

  private func received(_ event: DialectConnection.Event) {
    switch event {
    case .opened: opened()
    case .ready(let position): ready(at: position)
    case .failed(let failure): attemptFailed(failure)
    case .declined(let meaning, let reason): declined(meaning, reason)
    case .crowded:
      // We yielded to other forks connecting to this host; don't count it as an attempt.
      rotation.skipCurrent(now: .now)
      connect()
    case .action(let action): carryOut(action)
    case .pong(let payload): pongReceived(payload)
    case .ended(let ending, let meaning, let wasHeard): sessionEnded(ending, meaning, wasHeard: wasHeard)
    }
  }

  /// Does what the server asks for.
  private func carryOut(_ action: ServerAction) {
    switch action {
    case .text(let text): stream.textsDropped = reporter.textReceived(text, now: .now)
    case .transcript(let transcript):
      stream.textsDropped = reporter.transcriptReceived(transcript, of: setup.stream, now: .now)
    case .acknowledged(let position, let level): acknowledgementReceived(position, level)
    case .close: handle(.closedByServer)
    case .finished:
      hasServerFinished = true
      handle(.lingerTimerFired)
    case .complaint(let text): log(complaint: text)
    case .notSent(let why): reporter.log(reporter.lines.line(.warning, "a text for the server is not sent: \(why)"))
    // The connection's own.
    case .resume, .violation: break
    case .call, .playback: ignore(action)
    }
  }

  /// Logs an error in the server's words. The first few of a fork: a server may repeat it with each message.
  private func log(complaint text: String) {
    guard complaintsLogged < ForkSession.complaintsMax else { return }
    complaintsLogged += 1
    let words = shown(connection?.withoutSecrets(text) ?? "", bytesMax: 300)
    reporter.log(reporter.lines.line(.warning, "the server reports: \(words)"))
  }

  /// The engine cannot do what the server asks for. Logged once for a fork.
  private func ignore(_ action: ServerAction) {
    guard !hasLoggedIgnored else { return }
    hasLoggedIgnored = true
    let what = if case .playback = action { "to play audio" } else { "to change the call" }
    reporter.log(reporter.lines.line(.warning, "the server asks \(what), which a fork does not do; it is ignored"))
  }

  // MARK: - Opening

  private func opened() {
    reporter.lines.endpoint = endpoint.shownText
    loggedCredentials = ""
    guard let connection else { return }
    if let place = connection.redirectedTo, let line = reporter.lines.redirected(to: place) { reporter.log(line) }
    if connection.sendOpening(timeout: setup.attemptTimeout) { begin(at: nil) }
  }

  /// The server has answered the opening. `position`: it says that it has everything before it.
  private func ready(at position: Position?) {
    guard position.map({ stream.canHaveReached($0, now: epoch.streamTime(at: .now)) }) ?? true else {
      connection?.refuse("a resume at a position that the stream has not reached")
      return
    }
    begin(at: position)
  }

  /// Starts to send on the connection. `position`: where the server says that it has come to; nil if it does not say.
  private func begin(at position: Position?) {
    connection?.begin()
    let now = MonotonicTime.now
    connectedAt = now
    hasFlushedEnding = false
    hasServerFinished = false
    pacer.connectionBegan(now: epoch.streamTime(at: now))
    rotation.connected()
    stream.connectionOpened()
    stream.rememberAcceptance(by: rotation.index)
    stream.resume(at: position)
    logIfNotVerified()
    let health = self.health[endpointIndex]
    delivery.connectionBegan(
      acknowledges: setup.traits.acknowledges, expecting: setup.options.pings ? health.pings.expectation : nil,
      isSparse: health.isSparse, isTroubled: !stream.isFirstConnection,
      silenceMax: health.silenceMax(setup.silenceMax), now: now)
    handle(.connected)
  }

  /// Logs once per fork, over all connections and engines, that the certificate is not verified. If only some endpoints
  /// have TLS, once per fork and engine.
  private func logIfNotVerified() {
    guard connection?.isSecure == true, !setup.options.verifies, !hasLoggedNotVerified else { return }
    hasLoggedNotVerified = true
    if stream.isFirstConnection || !setup.endpoints.allSatisfy(\.isSecure) {
      reporter.log(reporter.lines.notVerified())
    }
  }

  // MARK: - Answers

  private func pongReceived(_ payload: ByteBuffer) {
    guard let position = delivery.pongReceived(payload.readableBytesView) else { return }
    stream.rememberPong(of: rotation.index)
    stream.confirm(position: position)
    noteAnswer()
  }

  /// The server has confirmed something.
  private func noteAnswer() {
    guard delivery.hasOutlivedSilence(now: .now) else { return }
    health[endpointIndex].keptUp()
    stream.silences = health.map(\.silences)
  }

  private func acknowledgementReceived(_ position: Position, _ said: AcknowledgementLevel) {
    guard machine.isStreaming else { return }
    switch delivery.acknowledgementReceived(position, said, sent: sentPosition) {
    case .confirms(let position):
      stream.confirm(position: position)
      noteAnswer()
    case .nothing: break
    case .violation(let what): connection?.refuse(what)
    }
  }

  /// Position up to which the server was sent the stream.
  private var sentPosition: Position { isAllSent ? stream.sentPosition : collector.position }

  // MARK: - The end of a connection

  private func sessionEnded(_ ending: SessionEnd, _ meaning: CloseMeaning, wasHeard: Bool) {
    let isFresh = connectedAt.map { MonotonicTime.now - $0 < ForkSession.freshMax } ?? false
    connection = nil
    switch ending {
    case .closedByServer(let code, let reason) where meaning == .refuses: refused(closeReason(code, reason))
    case .closedByServer where isAnswer(meaning): handle(.closedAfterEnding)
    case .closedByServer where meaning == .ends && !setup.options.reconnectsOnClose: handle(.closedByServer)
    case .closedByServer where meaning == .isUnclear && !setup.options.reconnectsOnClose: closedWithoutCode()
    // An answer repeats our code, or has none. A Close with another code crossed ours, and the server had not read all.
    case .closedByUs(code: let code?) where code != CloseCode.normal && machine.awaitsAnswer:
      connectionLost(closeReason(code), hasClosed: true)
    case .closedByUs: handle(.closeCompleted)
    case .closedByServer(let code, let reason): connectionLost(closeReason(code, reason), hasClosed: true, code: code)
    case .lost(let reason):
      connectionLost(wasHeard || !isFresh ? reason : "\(reason), right after it had accepted the connection")
    }
  }

  /// Whether a Close of the server answers our ending: it came in order after all audio and the words of an ending had
  /// left, and the fork has a last text or waits for an answer.
  private func isAnswer(_ meaning: CloseMeaning) -> Bool {
    guard hasFlushedEnding, meaning == .ends || meaning == .isUnclear else { return false }
    return setup.limits.linger != nil || !setup.options.lastText.isEmpty
  }

  /// The server closed before audio could be sent.
  private func declined(_ meaning: CloseMeaning, _ reason: String) {
    if meaning == .refuses { return attemptFailed(ConnectionFailure(reason, kind: .final)) }
    if setup.options.reconnectsOnClose { return attemptFailed(ConnectionFailure(reason)) }
    connection = nil
    reporter.lines.endpoint = endpoint.shownText
    if meaning == .isUnclear { closedWithoutCode() } else { handle(.closedByServer) }
  }

  /// The server closed, and by the dialect's rules no connection will be of use.
  private func refused(_ reason: String) { connectionLost(reason, hasClosed: true, event: .refused(reason)) }

  private func attemptFailed(_ failure: ConnectionFailure) {
    lastReason = failure.reason
    connection = nil
    reporter.lines.endpoint = endpoint.shownText
    logCredentials(failure)
    let now = MonotonicTime.now
    // At most R, as with one URL: another one that is down must not keep the fork from this one for an hour.
    let waitMax = Nanoseconds.seconds(Int64(setup.options.reconnectWaitSeconds))
    let retryAt = failure.retryAfter.map { now + min($0.wait(now: .now), waitMax) }
    let verdict = rotation.attemptFailed(failure.kind, retryAt: retryAt, now: now)
    handle(
      .attemptFailed(
        failure.reason, verdict, wait: rotation.wait(now: now).duration, isRepeated: rotation.repeats))
  }

  /// An outage is told with its first reason. Files that cannot be used meanwhile are not the server's fault, and only
  /// this machine's administrator can mend them.
  private func logCredentials(_ failure: ConnectionFailure) {
    guard failure.isCredentials, failure.reason != loggedCredentials else { return }
    loggedCredentials = failure.reason
    // The first failure of an outage is told with it.
    if case .active(.connecting(nil), _) = machine.state { return }
    reporter.log(reporter.lines.credentialsFailed(failure.reason))
  }

  /// The server closed without a code. The second time it ends the fork as 1000 does.
  private func closedWithoutCode() {
    var event = ForkEvent.closedWithoutCode(ForkLog.emptyClose)
    let now = MonotonicTime.now
    guard !machine.endsAtEmptyClose(now: now) else { return handle(event) }
    if machine.isStreaming {
      rotation.closedWithoutCode(until: now + setup.limits.emptyCloseMemory)
      return connectionLost(ForkLog.emptyClose, hasClosed: true, event: event)
    }
    if machine.isConnecting {
      lastReason = ForkLog.emptyClose
      _ = rotation.attemptFailed(.passing, now: now)
      event = .closedWithoutCode(
        ForkLog.emptyClose, wait: rotation.wait(now: now).duration, isRepeated: rotation.repeats)
      rotation.closedWithoutCode(until: now + setup.limits.emptyCloseMemory)
    }
    handle(event)
  }

  /// Drops a connection whose path has been dead for so long.
  func abandonConnection(_ reason: String, deadFor: Nanoseconds) {
    dropConnection()
    connectionLost(reason, event: .disconnected(reason, silentFor: deadFor))
  }

  /// Drops a connection whose server has not answered for so long, although its kernel, or a proxy, still does. The
  /// next connection to this endpoint may be silent for longer.
  func abandonConnection(_ reason: String, silentFor: Nanoseconds) {
    health[endpointIndex].fellSilent()
    stream.silences = health.map(\.silences)
    nextSilence = health[endpointIndex].silenceMax(setup.silenceMax)
    defer { nextSilence = nil }
    dropConnection()
    connectionLost(reason, event: .disconnected(reason, silentFor: silentFor))
  }

  /// The connection is lost. `hasClosed`: the server sent a Close, with this `code`. `event`: what the machine is told;
  /// nil: that it is disconnected.
  private func connectionLost(
    _ reason: String, hasClosed: Bool = false, code: UInt16? = nil, event: ForkEvent? = nil
  ) {
    lastReason = reason
    // Not while we wait for an answer to our Close and know that everything was delivered.
    if machine.isStreaming || machine.awaitsAnswer {
      let now = MonotonicTime.now
      rewindOrSkipUnconfirmed()
      reportGaps(now: now)
      let wasStable = connectedAt.map { (now - $0).duration >= setup.limits.stableAfter } ?? true
      learnFromPings(hasClosed: hasClosed, wasStable: wasStable, code, now)
      // Another endpoint may answer, however long this one did.
      let wasSilent = if case .disconnected(_, let silent)? = event { silent > .zero } else { false }
      rotation.connectionLost(wasStable: wasStable && !wasSilent)
    }
    handle(event ?? .disconnected(reason))
  }

  /// Decides about audio in flight on a lost connection: it is sent again, or counts as lost if the fork does not
  /// replay.
  func rewindOrSkipUnconfirmed() {
    if setup.options.replays || setup.traits.resumes {
      stream.rewind()
    } else {
      stream.skipUnconfirmed(keepsUnsent: !isAllSent)
    }
    collector.removeAll()
  }

  /// Records whether the endpoint answered its pings.
  private func learnFromPings(hasClosed: Bool, wasStable: Bool, _ code: UInt16?, _ now: MonotonicTime) {
    let outcome = delivery.pingOutcome(hasClosed: hasClosed, wasStable: wasStable, now: now)
    let change = health[endpointIndex].connectionEnded(
      outcome, pings: delivery.pingCount, isPolicy: code == PingTolerance.policyViolation, now: now)
    switch change {
    case .refusesPings: reporter.log(reporter.lines.pingRefused())
    case .isSparse: reporter.log(reporter.lines.pingsSlowed(interval: setup.sparsePingInterval))
    case .noLongerAnswers: stream.forgetPong(of: rotation.index)
    case nil: break
    }
  }
}
