// SPDX-License-Identifier: Apache-2.0
internal import AudioForkSurface
internal import AudioForkWebSocket
internal import NIOCore

/// One attempt to connect to an endpoint and, if it succeeds, its WebSocket session. Lives on one event loop.
///
/// `TransportAttempt` establishes TCP and TLS. The upgrade follows, within the same time limit. A redirect that
/// `RedirectChain` follows leads to both again, elsewhere and within what is left of the time. Reports exactly one
/// `opened`, `failed` or `crowded`, after `opened` exactly one `ended`, and nothing after `drop`.
final class EndpointConnection: WebSocketOwner {
  enum Event {
    case opened
    case failed(ConnectionFailure)
    /// Too many attempts to the host are under way, and there is another endpoint: nothing was tried.
    case crowded
    /// A text message of the server.
    case text(String)
    /// A binary message of the server.
    case binary(ByteBuffer)
    /// A pong of the server, and its payload.
    case pong(ByteBuffer)
    case ended(SessionEnd)
  }

  private enum Phase {
    /// TCP and TLS. Can transition to: `upgrading`, `over`.
    case connecting
    /// The upgrade request was sent. Can transition to: `connecting` after a redirect, `open`, `over`.
    case upgrading
    /// The session is open. Can transition to: `over`.
    case open
    case over
  }

  private let loop: any EventLoop
  private let plan: ConnectionPlan
  private let names: HostResolver
  private let limiter: ConnectLimiter
  private let turns: InboundTurns
  private let hasAlternative: Bool
  private var chain: RedirectChain
  /// Headers from files, as read at the beginning.
  private var credentials: [RequestHeader] = []
  private var share: InboundShare
  private var onEvent: ((Event) -> Void)?
  private var phase = Phase.connecting
  private var attempt: TransportAttempt?
  private var channel: (any Channel)?
  /// The handler above TLS; nil without TLS.
  private var gate: TLSGate?
  /// Knows a refusal before its body is complete.
  private weak var upgradeHandler: UpgradeHandler?
  private var deadline = NIODeadline.distantFuture
  private var upgradeTimer: Scheduled<Void>?
  /// The session while it is open.
  private(set) var session: WebSocketSession?

  /// `hasAlternative`: there is another endpoint to try.
  init(
    loop: any EventLoop, plan: ConnectionPlan, names: HostResolver, limiter: ConnectLimiter, turns: InboundTurns,
    hasAlternative: Bool = false, onEvent: @escaping (Event) -> Void
  ) {
    self.loop = loop
    self.plan = plan
    self.names = names
    self.limiter = limiter
    self.turns = turns
    self.hasAlternative = hasAlternative
    self.onEvent = onEvent
    chain = RedirectChain(plan.url, plan.options.redirects)
    share = InboundShare(turns, isSecure: plan.url.isSecure)
  }

  /// Starts the attempt. The time limit counts from its turn on.
  func start() { connect(deadline: nil) }

  /// Starts to connect to where the chain of redirects has led.
  private func connect(deadline: NIODeadline?) {
    phase = .connecting
    // The last channel's handlers still hold the share of that one.
    share = InboundShare(turns, isSecure: chain.url.isSecure)
    let attempt = TransportAttempt(
      loop: loop, route: plan.route(chain, deadline: deadline), timeout: plan.timeout, names: names, limiter: limiter,
      share: share, hasAlternative: hasAlternative && deadline == nil
    ) { [self] result in received(result) } // until the attempt has ended, or is dropped
    self.attempt = attempt
    attempt.start()
  }

  // MARK: - Redirects

  /// The URL of the connection, which a redirect may have changed.
  private var url: EndpointURL { chain.url }

  /// Whether the connection has TLS.
  var isSecure: Bool { chain.url.isSecure }

  /// Whether the server may know what is secret.
  var isTrusted: Bool { chain.isTrusted }

  /// Where redirects have led, without secrets; nil: there was none.
  var redirectedTo: String? {
    guard chain.count > 0 else { return nil }
    return shown(request.withoutSecrets(String(decoding: url.shownWithoutQuery, as: UTF8.self)), bytesMax: 300)
  }

  private var request: UpgradeRequest { plan.request(url, isTrusted, credentials) }

  /// The server's words without the secrets of the request.
  func withoutSecrets(_ text: String) -> String { request.withoutSecrets(text) }

  /// The server has refused with a redirect.
  private func redirected(to location: String, _ refusal: ConnectionFailure) {
    let place = redirectedTo
    guard plan.allowed.isKnown else {
      let why = "the module has not said which URLs are allowed; after an upgrade restart Asterisk"
      return finish(with: .failed(refusal.adding(", not followed: \(why)")))
    }
    switch chain.follow(location, allows: plan.allowed.allows) {
    case .refuse(let why): finish(with: .failed(refusal.adding(", not followed: \(why)\(led(to: place))")))
    case .follow:
      closeChannel()
      connect(deadline: deadline)
    }
  }

  private func led(to place: String?) -> String { place.map { "; a redirect had led to \($0)" } ?? "" }

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
    deadline = transport.deadline
    if chain.count == 0 { credentials = transport.credentials }
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
    let seconds = plan.timeout.nanoseconds / 1_000_000_000
    fail(
      upgradeHandler?.refusalSoFar ?? ConnectionFailure("http: no answer to the upgrade request within \(seconds) s"))
  }

  private func fail(_ failure: ConnectionFailure) {
    guard phase == .connecting || phase == .upgrading else { return }
    if let location = failure.location, phase == .upgrading { return redirected(to: location, failure) }
    finish(with: .failed(failure.adding(led(to: redirectedTo))))
  }

  private func finish(with event: Event) {
    phase = .over
    closeChannel()
    let onEvent = onEvent
    self.onEvent = nil
    onEvent?(event)
  }

  private func closeChannel() {
    upgradeTimer?.cancel()
    channel?.close(promise: nil)
    channel = nil
    gate = nil
    upgradeHandler = nil
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

  func webSocketReceived(_ session: WebSocketSession, binary: ByteBuffer) {
    guard phase == .open else { return }
    onEvent?(.binary(binary))
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
