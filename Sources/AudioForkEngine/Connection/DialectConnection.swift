// SPDX-License-Identifier: Apache-2.0
internal import AudioForkMedia
internal import AudioForkDialects
internal import AudioForkWebSocket
internal import NIOCore

/// One connection of a fork, in the words of its dialect. Lives on one event loop.
///
/// Reports at most one `opened`, which `sendOpening` answers. Then exactly one `failed`, `declined`, `crowded` or
/// `ended`, and nothing any more after `drop`. A connection that ends before `begin` has failed or was declined.
final class DialectConnection {
  enum Event {
    /// The WebSocket connection is open. Call `sendOpening`.
    case opened
    /// The server has the stream up to this position. Call `begin`, or `refuse` a position that cannot be.
    case resumed(at: Position)
    case failed(ConnectionFailure)
    /// The server closed with 1000 or without a code before `begin`: it may want no audio at all.
    case declined(code: UInt16?, String)
    /// Too many attempts to the host are under way, and there is another endpoint: nothing was tried.
    case crowded
    /// A text of the server for the dialplan.
    case text(String)
    case acknowledged(Position, AcknowledgementLevel)
    /// A pong of the server, and its payload.
    case pong(ByteBuffer)
    /// `wasHeard`: the server had sent a frame.
    case ended(SessionEnd, wasHeard: Bool)
  }

  private enum Phase {
    /// TCP, TLS and the upgrade. Can transition to: `opening`, `over`.
    case connecting
    /// WebSocket is open. With a timer: the server has to say how far it has come. Can transition to: `open`, `over`.
    case opening(timeout: Scheduled<Void>?)
    /// Audio may be sent. Can transition to: `over`.
    case open
    case over
  }

  private let loop: any EventLoop
  private let dialect: any Dialect
  private var stream: StreamDescription
  private let scratch: RenderScratch
  private var phase = Phase.connecting
  private var connection: EndpointConnection?
  private var onEvent: ((Event) -> Void)?
  /// The WebSocket session while it is open.
  private(set) var session: WebSocketSession?
  /// What the server's kernel had acknowledged when the connection opened: the request. Nil where it does not count.
  private var acknowledgedAtStart: UInt64?
  private var hasSentEnding = false
  /// Where redirects have led the open connection, without secrets; nil: there were none.
  private(set) var redirectedTo: String?
  /// Whether the open connection has TLS.
  private(set) var isSecure = false

  /// `onEvent` is called until the connection has ended, or is dropped.
  init(
    loop: any EventLoop, dialect: any Dialect, stream: StreamDescription, scratch: RenderScratch,
    onEvent: @escaping (Event) -> Void
  ) {
    self.loop = loop
    self.dialect = dialect
    self.stream = stream
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

  /// Sends what the dialect says first. `position`: what is before it is delivered. Returns true when audio may follow
  /// at once; false when the server has to say first how far it has come, within `timeout`, or the connection is gone.
  func sendOpening(from position: Position, timeout: TimeAmount) -> Bool {
    guard case .connecting = phase else { return false }
    // Armed before anything is sent: sending may find out that the connection is gone, which fails this attempt.
    phase = .opening(timeout: dialect.awaitsResume ? awaitResume(timeout) : nil)
    for message in dialect.opening(stream, position: position) { send(message) }
    return !dialect.awaitsResume && session != nil
  }

  private func awaitResume(_ timeout: TimeAmount) -> Scheduled<Void> {
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

  // MARK: - Sending

  /// True when the server and the kernel keep up.
  var isWritable: Bool { session?.isWritable == true }

  /// Bytes sent since the upgrade.
  var bytesWritten: UInt64 { session?.bytesWritten ?? 0 }

  /// Sends a block over `session`, which the caller has taken once for many blocks. `position` is that of the block's
  /// first frame. Returns the bytes of audio in the message.
  func send(audio samples: [Int16], at position: Position, over session: WebSocketSession) -> Int {
    dialect.encode(samples, at: position, into: &scratch.message)
    let bytes = scratch.message.count - dialect.audioHeaderBytes
    session.send(binary: &scratch.message)
    return bytes
  }

  /// Sends a marker, where the dialect has a message for it. It leaves with the next flush.
  func send(_ marker: StreamMarker) {
    if case .text(let text)? = dialect.message(for: marker) { session?.send(text: text) }
  }

  /// Sends a text of the dialplan.
  func send(text: String) { send(dialect.message(text: text)) }

  /// Says that the stream ends at `position`, once.
  func sendEnding(at position: Position) {
    guard !hasSentEnding else { return }
    hasSentEnding = true
    for message in dialect.ending(stream, position: position, reason: "ended") { send(message) }
  }

  private func send(_ message: DialectMessage) {
    switch message {
    case .text(let text): session?.send(text: text)
    case .binary(var bytes): session?.send(binary: &bytes)
    }
    session?.flush()
  }

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
    case .failed(let failure): finish(with: .failed(failure))
    case .crowded: finish(with: .crowded)
    case .text(let text): received(dialect.understand(text))
    case .pong(let payload): onEvent?(.pong(payload))
    case .ended(let ending): ended(ending)
    }
  }

  private func opened() {
    session = connection?.session
    redirectedTo = connection?.redirectedTo
    isSecure = connection?.isSecure ?? false
    if connection?.isTrusted == false { stream = stream.withoutSecrets }
    // The answer to the upgrade has acknowledged the request, so this is what audio is counted from.
    connection?.acknowledgedBytes { [self] in acknowledgedAtStart = $0 }
    onEvent?(.opened)
  }

  private func received(_ message: ServerMessage) {
    switch message {
    case .text(let text): onEvent?(.text(text))
    case .resume(let position):
      guard case .opening(timeout: .some) = phase else { return refuse("a second resume") }
      onEvent?(.resumed(at: position))
    case .acknowledged(let position, let level): onEvent?(.acknowledged(position, level))
    case .ignored: break
    case .violation(let what): refuse(what)
    }
  }

  private func ended(_ ending: SessionEnd) {
    guard case .opening = phase else {
      return finish(with: .ended(ending, wasHeard: session.map { $0.framesHeard > 0 } ?? true))
    }
    switch ending {
    case .closedByServer(let code, let reason) where code == nil || code == CloseCode.normal:
      finish(with: .declined(code: code, reason))
    case .closedByServer(let code, let reason): finish(with: .failed(ConnectionFailure(closeReason(code, reason))))
    case .closedByUs(let code): finish(with: .failed(ConnectionFailure(closeReason(code))))
    case .lost(let reason): finish(with: .failed(ConnectionFailure(reason)))
    }
  }

  private func finish(with event: Event) {
    let report = onEvent
    onEvent = nil
    end()
    connection = nil
    report?(event)
  }
}

/// A Close of the server, for the log.
func closeReason(_ code: UInt16?, _ reason: String = "") -> String {
  "server: closed with \(code.map(String.init) ?? "no code")\(reason.isEmpty ? "" : " (\(reason))")"
}
