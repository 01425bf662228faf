// SPDX-License-Identifier: Apache-2.0
internal import AudioForkMedia
package import AudioForkDialects
package import AudioForkWebSocket
internal import NIOCore

/// One connection of a fork, in the words of its dialect. Lives on one event loop.
///
/// Reports at most one `opened`, which `sendOpening` answers. Then exactly one `failed`, `declined`, `crowded` or
/// `ended`, and nothing any more after `drop`. A connection that ends before `begin` has failed or was declined.
final class DialectConnection {
  enum Event {
    /// The WebSocket connection is open. Call `sendOpening`.
    case opened
    /// Audio may be sent from this position on; nil: from where the connection's description says. Call `begin`, or
    /// `refuse` a position that cannot be.
    case ready(at: Position?)
    case failed(ConnectionFailure)
    /// The server closed before `begin`, and may want no audio at all. `meaning`: anything but `breaks`.
    case declined(CloseMeaning, reason: String)
    /// Too many attempts to the host are under way, and there is another endpoint: nothing was tried.
    case crowded
    /// The server asks for something that is not the connection's own business.
    case action(ServerAction)
    /// A pong of the server, and its payload.
    case pong(ByteBuffer)
    /// `wasHeard`: the server had sent a frame. `meaning`: what the server's Close means, if that was the end.
    case ended(SessionEnd, CloseMeaning, wasHeard: Bool)
  }

  private enum Phase {
    /// TCP, TLS and the upgrade. Can transition to: `opening`, `over`.
    case connecting
    /// WebSocket is open. With a timer: the server has to say something first. Can transition to: `open`, `over`.
    case opening(timeout: Scheduled<Void>?)
    /// Audio may be sent. Can transition to: `over`.
    case open
    case over
  }

  private let loop: any EventLoop
  private let type: any DialectSession.Type
  private var description: ConnectionDescription
  /// The dialect's side of the open connection; nil before.
  private var dialect: (any DialectSession)?
  private let scratch: RenderScratch
  private var phase = Phase.connecting
  private var connection: EndpointConnection?
  private var onEvent: ((Event) -> Void)?
  /// The WebSocket session while it is open.
  private(set) var session: WebSocketSession?
  /// What the server's kernel had acknowledged when the connection opened: the request. Nil where it does not count.
  private var acknowledgedAtStart: UInt64?
  private var hasSentEnding = false
  /// Whether the dialect had something to say at the stream's end, and has said it.
  private(set) var hasSaidEnding = false
  /// Calls the dialect's `timeout`. It may fire early: a deadline that moves does not move it.
  private var timer: Scheduled<Void>?
  private var timerAt = MonotonicTime(nanoseconds: 0)
  /// Where the server wants the stream to continue.
  private var resumedAt: Position?
  /// Where redirects have led the open connection, without secrets; nil: there were none.
  private(set) var redirectedTo: String?
  /// Whether the open connection has TLS.
  private(set) var isSecure = false

  /// `onEvent` is called until the connection has ended, or is dropped.
  init(
    loop: any EventLoop, dialect: any DialectSession.Type, description: ConnectionDescription, scratch: RenderScratch,
    onEvent: @escaping (Event) -> Void
  ) {
    self.loop = loop
    type = dialect
    self.description = description
    self.scratch = scratch
    self.onEvent = onEvent
  }

  /// Starts the attempt that `make` makes; its events are to go to the handler that it is given.
  func start(_ make: (_ onEvent: @escaping (EndpointConnection.Event) -> Void) -> EndpointConnection) {
    let connection = make { [self] event in received(event) } // until it has ended, or is dropped
    self.connection = connection
    connection.start()
  }

  // MARK: - Opening

  /// Sends what the dialect says first. Returns true when audio may follow at once; false when the server has to say
  /// something first, within `timeout`, or the connection is gone.
  func sendOpening(timeout: TimeAmount) -> Bool {
    guard case .connecting = phase else { return false }
    let dialect = type.init(description)
    self.dialect = dialect
    // Armed before anything is sent: sending may find out that the connection is gone, which fails this attempt.
    phase = .opening(timeout: dialect.isReady ? nil : awaitAnswer(timeout))
    converse { $0?.opened(now: $1, into: &$2) }
    guard case .opening(timeout: nil) = phase else { return false }
    return session != nil
  }

  private func awaitAnswer(_ timeout: TimeAmount) -> Scheduled<Void> {
    loop.assumeIsolated().scheduleTask(in: timeout) { [self] in
      guard case .opening = phase else { return }
      let report = onEvent
      drop()
      report?(.failed(ConnectionFailure("server: no answer to start within \(timeout.nanoseconds / 1_000_000_000) s")))
    }
  }

  /// Audio may be sent from now on.
  func begin() {
    guard case .opening(let timeout) = phase else { return }
    timeout?.cancel()
    phase = .open
  }

  // MARK: - The dialect

  /// Lets the dialect take its turn, sends what it has made, and carries its actions out.
  private func converse(
    flushes: Bool = true, _ turn: (inout (any DialectSession)?, MonotonicTime, inout DialectOutput) -> Void
  ) {
    // Not the shared storage: flushing may lead to another turn.
    var output = DialectOutput()
    swap(&output, &scratch.output)
    output.removeAll()
    turn(&dialect, .now, &output)
    output.sendMessages { payload, isText in
      if isText { session?.send(text: &payload) } else { session?.send(binary: &payload) }
    }
    let actions = output.actions
    output.removeAll()
    swap(&output, &scratch.output)
    if flushes { session?.flush() }
    carryOut(actions)
    becomeReady()
    armTimer()
  }

  private func carryOut(_ actions: [ServerAction]) {
    for action in actions {
      switch action {
      case .resume(let position): resumedAt = position
      case .violation(let what): refuse(what)
      default: onEvent?(.action(action))
      }
    }
  }

  private func becomeReady() {
    guard case .opening(timeout: .some) = phase, session != nil, dialect?.isReady == true else { return }
    onEvent?(.ready(at: resumedAt))
  }

  /// Arms the timer for the dialect's deadline, if there is one and the timer would fire too late for it.
  private func armTimer() {
    guard session != nil, let deadline = dialect?.deadline else { return }
    if let timer {
      guard deadline < timerAt else { return }
      timer.cancel()
    }
    // So that a deadline that stays in the past costs little.
    let wait = max(deadline - .now, .milliseconds(10))
    timerAt = .now + wait
    timer = loop.assumeIsolated().scheduleTask(in: .nanoseconds(wait.count)) { [self] in timerFired() }
  }

  private func timerFired() {
    timer = nil
    guard session != nil, let deadline = dialect?.deadline else { return }
    guard deadline <= .now else { return armTimer() }
    converse { $0?.timeout(now: $1, into: &$2) }
  }

  // MARK: - Sending

  /// True when the server and the kernel keep up.
  var isWritable: Bool { session?.isWritable == true }

  /// Bytes sent since the upgrade.
  var bytesWritten: UInt64 { session?.bytesWritten ?? 0 }

  /// Sends a block over `session`, which the caller has taken once for many blocks. Returns the bytes of audio in its
  /// messages.
  func send(_ block: AudioBlock, now: MonotonicTime, over session: WebSocketSession) -> Int {
    scratch.output.removeAll()
    dialect?.audio(block, now: now, into: &scratch.output)
    let bytes = scratch.output.audioBytes
    scratch.output.sendMessages { payload, isText in
      if isText { session.send(text: &payload) } else { session.send(binary: &payload) }
    }
    if !scratch.output.actions.isEmpty {
      // Later: the caller is still sending blocks.
      let (actions, fork) = (scratch.output.actions, NIOLoopBound(self, eventLoop: loop))
      loop.execute { fork.value.carryOut(actions) }
    }
    return bytes
  }

  /// Sends a marker. It leaves with the next flush.
  func send(_ marker: StreamMarker) {
    converse(flushes: false) { session, _, output in session?.marker(marker, into: &output) }
  }

  /// Sends a text of the dialplan.
  func send(text: String) { converse { session, _, output in session?.text(text, into: &output) } }

  /// Says that the stream ends at `position`, once.
  func sendEnding(at position: Position) {
    guard !hasSentEnding else { return }
    hasSentEnding = true
    let before = bytesWritten
    defer { hasSaidEnding = bytesWritten > before }
    converse { $0?.finish(at: position, reason: "ended", now: $1, into: &$2) }
  }

  /// The server's words without the secrets of the upgrade request.
  func withoutSecrets(_ text: String) -> String { connection?.withoutSecrets(text) ?? "" }

  /// The server broke the dialect's rules: the connection ends with a Close that names them.
  func refuse(_ what: String) { session?.refuse(what) }

  /// Begins the closing handshake. False where there is no session to close.
  func close() -> Bool {
    guard let session else { return false }
    session.close(code: CloseCode.normal)
    return true
  }

  /// Leaves the connection, or gives the attempt up. Nothing is reported any more.
  func drop() {
    onEvent = nil
    end()
    connection?.drop()
    connection = nil
  }

  private func end() {
    if case .opening(let timeout?) = phase { timeout.cancel() }
    timer?.cancel()
    timer = nil
    phase = .over
    session = nil
  }

  // MARK: - The kernel

  /// Asks what the peer has acknowledged since the upgrade, bytes; nil where the kernel does not count. One that did
  /// and does not answer now has lost the socket: nothing is confirmed by that.
  func acknowledgedBytes(_ answer: @escaping (UInt64?) -> Void) {
    guard let start = acknowledgedAtStart else { return answer(nil) }
    guard let connection else { return answer(0) }
    connection.acknowledgedBytes { total in answer(total.map { $0 >= start ? $0 &- start : 0 } ?? 0) }
  }

  /// Asks how the connection is doing; nil where the kernel does not say.
  func transport(_ answer: @escaping (TCPInformation?) -> Void) {
    guard let connection else { return answer(nil) }
    connection.transport(answer)
  }

  // MARK: - What the connection reports

  private func received(_ event: EndpointConnection.Event) {
    switch event {
    case .opened: opened()
    case .failed(let failure): finish(with: .failed(failure.judged(by: type)))
    case .crowded: finish(with: .crowded)
    case .text(let text): converse { $0?.received(.text(text), now: $1, into: &$2) }
    case .binary(let bytes):
      guard type.takesBinary else { return }
      converse { $0?.received(.binary([UInt8](bytes.readableBytesView)), now: $1, into: &$2) }
    case .pong(let payload): onEvent?(.pong(payload))
    case .ended(let ending): ended(ending)
    }
  }

  private func opened() {
    session = connection?.session
    redirectedTo = connection?.redirectedTo
    isSecure = connection?.isSecure ?? false
    if connection?.isTrusted == false { description = description.withoutSecrets }
    // The answer to the upgrade has acknowledged the request, so this is what audio is counted from.
    connection?.acknowledgedBytes { [self] in acknowledgedAtStart = $0 }
    onEvent?(.opened)
  }

  private func ended(_ ending: SessionEnd) {
    let meaning = meaning(of: ending)
    guard case .opening = phase else {
      return finish(with: .ended(ending, meaning, wasHeard: session.map { $0.framesHeard > 0 } ?? true))
    }
    switch ending {
    case .closedByServer(let code, let reason) where meaning != .breaks:
      finish(with: .declined(meaning, reason: closeReason(code, reason)))
    case .closedByServer(let code, let reason): finish(with: .failed(ConnectionFailure(closeReason(code, reason))))
    case .closedByUs(let code): finish(with: .failed(ConnectionFailure(closeReason(code))))
    case .lost(let reason): finish(with: .failed(ConnectionFailure(reason)))
    }
  }

  private func meaning(of ending: SessionEnd) -> CloseMeaning {
    guard case .closedByServer(let code, let reason) = ending else { return .breaks }
    if let meaning = dialect?.meaning(ofClose: code, reason: reason) { return meaning }
    return code == CloseCode.normal ? .ends : code == nil ? .isUnclear : .breaks
  }

  private func finish(with event: Event) {
    let report = onEvent
    onEvent = nil
    end()
    connection = nil
    report?(event)
  }
}

extension ConnectionFailure {
  /// The failure as the dialect judges it, where the server has answered.
  package func judged(by dialect: any DialectSession.Type) -> ConnectionFailure {
    guard let answer, let meaning = dialect.meaning(of: UpgradeRefusal(status: answer.status, text: answer.text))
    else { return self }
    switch meaning {
    case .passing: return of(.passing)
    case .refused: return of(.refused)
    case .final: return of(.final)
    }
  }
}

/// A Close of the server, for the log.
func closeReason(_ code: UInt16?, _ reason: String = "") -> String {
  "server: closed with \(code.map(String.init) ?? "no code")\(reason.isEmpty ? "" : " (\(reason))")"
}
