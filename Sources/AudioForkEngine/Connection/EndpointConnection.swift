// SPDX-License-Identifier: Apache-2.0
internal import AudioForkSurface
internal import AudioForkWebSocket
internal import NIOCore

/// One attempt to connect to an endpoint and, if it succeeds, its WebSocket session. Lives on one event loop.
///
/// `TransportAttempt` establishes TCP and TLS. The upgrade follows, within the same time limit. Reports exactly one
/// `opened`, `failed` or `crowded`, after `opened` exactly one `ended`, and nothing after `drop`.
final class EndpointConnection: WebSocketOwner {
  enum Event {
    case opened
    case failed(ConnectionFailure)
    /// Too many attempts to the host are under way, and there is another endpoint: nothing was tried.
    case crowded
    /// A text message of the server.
    case text(String)
    /// A pong of the server, and its payload.
    case pong(ByteBuffer)
    case ended(SessionEnd)
  }

  private enum Phase {
    /// TCP and TLS. Can transition to: `upgrading`, `over`.
    case connecting
    /// The upgrade request was sent. Can transition to: `open`, `over`.
    case upgrading
    /// The session is open. Can transition to: `over`.
    case open
    case over
  }

  private let loop: any EventLoop
  private let request: UpgradeRequest
  private let timeout: TimeAmount
  private let share: InboundShare
  private var onEvent: ((Event) -> Void)?
  private var phase = Phase.connecting
  private var attempt: TransportAttempt?
  private var channel: (any Channel)?
  /// The handler above TLS; nil without TLS.
  private var gate: TLSGate?
  /// Knows a refusal before its body is complete.
  private weak var upgradeHandler: UpgradeHandler?
  private var upgradeTimer: Scheduled<Void>?
  /// The session while it is open.
  private(set) var session: WebSocketSession?

  init(
    loop: any EventLoop, url: EndpointURL, request: UpgradeRequest, timeout: TimeAmount,
    security: TransportAttempt.Security?, names: HostResolver, limiter: ConnectLimiter, turns: InboundTurns,
    hasAlternative: Bool = false, onEvent: @escaping (Event) -> Void
  ) {
    self.loop = loop
    self.request = request
    self.timeout = timeout
    share = InboundShare(turns, isSecure: url.isSecure)
    self.onEvent = onEvent
    attempt = TransportAttempt(
      loop: loop, url: url, timeout: timeout, security: security, names: names, limiter: limiter, share: share,
      hasAlternative: hasAlternative
    ) { [self] result in received(result) } // until the attempt has ended, or is dropped
  }

  /// Starts the attempt. The time limit counts from its turn on.
  func start() { attempt?.start() }

  /// Drops the connection, with a Close if a session is open, or gives the attempt up. Nothing is reported any more.
  func drop() {
    onEvent = nil
    upgradeTimer?.cancel()
    attempt?.drop()
    attempt = nil
    phase = .over
    if let session {
      session.drop()
    } else {
      channel?.close(promise: nil)
    }
    session = nil
    channel = nil
  }

  // MARK: - Opening

  private func received(_ result: TransportAttempt.Result) {
    attempt = nil
    switch result {
    case .established(let transport): upgrade(transport)
    case .failed(let failure): fail(failure)
    case .crowded: finish(with: .crowded)
    }
  }

  private func upgrade(_ transport: TransportAttempt.Transport) {
    phase = .upgrading
    let channel = transport.channel
    self.channel = channel
    gate = transport.gate
    upgradeTimer = loop.assumeIsolated().scheduleTask(deadline: transport.deadline) { [weak self] in self?.timedOut() }
    var random = SystemRandomNumberGenerator()
    do {
      upgradeHandler = try UpgradeHandler.install(
        in: channel, request: request, key: UpgradeRequest.makeKey(using: &random), owner: self, isPlain: gate == nil,
        share: share)
      if !channel.isActive { fail(ConnectionFailure("connection: closed")) }
    } catch {
      fail(ConnectionFailure(connectionReason(error)))
    }
  }

  private func timedOut() {
    guard phase == .upgrading else { return }
    let seconds = timeout.nanoseconds / 1_000_000_000
    fail(
      upgradeHandler?.refusalSoFar ?? ConnectionFailure("http: no answer to the upgrade request within \(seconds) s"))
  }

  private func fail(_ failure: ConnectionFailure) {
    guard phase == .connecting || phase == .upgrading else { return }
    finish(with: .failed(failure))
  }

  private func finish(with event: Event) {
    phase = .over
    upgradeTimer?.cancel()
    channel?.close(promise: nil)
    channel = nil
    let onEvent = onEvent
    self.onEvent = nil
    onEvent?(event)
  }

  // MARK: - The session

  func webSocketOpened(_ session: WebSocketSession) {
    guard phase == .upgrading else { return session.drop() }
    upgradeTimer?.cancel()
    phase = .open
    self.session = session
    onEvent?(.opened)
  }

  func webSocketFailed(_ failure: ConnectionFailure) { fail(failure) }

  func webSocketReceived(_ session: WebSocketSession, text: String) {
    guard phase == .open else { return }
    onEvent?(.text(text))
  }

  func webSocketReceived(_ session: WebSocketSession, pong: ByteBuffer) {
    guard phase == .open else { return }
    onEvent?(.pong(pong))
  }

  func webSocketEnded(_ session: WebSocketSession, _ end: SessionEnd) {
    guard phase == .open else { return }
    phase = .over
    self.session = nil
    let onEvent = onEvent
    self.onEvent = nil
    onEvent?(.ended(end))
  }

  // MARK: - The kernel

  /// Asks the kernel how many plaintext bytes of the connection the peer has acknowledged; nil if it does not tell.
  func acknowledgedBytes(_ answer: @escaping (UInt64?) -> Void) {
    TCPInformation.ask(channel) { [gate] information in
      // A kernel that does not count says 0; ours is never 0 behind a handshake.
      let bytes = information?.acknowledgedBytes ?? 0
      answer(bytes > 0 ? gate?.plaintext(acknowledged: bytes) ?? bytes : nil)
    }
  }

  /// Asks the kernel how the connection is doing; nil if it does not tell.
  func transport(_ answer: @escaping (TCPInformation?) -> Void) { TCPInformation.ask(channel, answer) }
}
