// SPDX-License-Identifier: Apache-2.0
internal import AudioForkSurface
internal import AudioForkWebSocket
internal import NIOCore
internal import NIOPosix

/// One attempt to connect and, where it succeeds, the session that comes of it. Lives on one event loop.
///
/// The whole attempt, from the look-up of the name over TLS to the server's answer, has one time limit. Reports exactly
/// one `opened`, `failed` or `crowded`, after `opened` exactly one `ended`, and nothing any more after `drop`.
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

  /// Audio that may wait in the kernel: half a second and more, even at high rates, and not many seconds at 8 kHz,
  /// because it is lost with the connection.
  private static let sendBufferBytes = 65_536
  /// Received bytes that may wait in the kernel for us; Linux takes twice as much memory for them. All of it is read at
  /// once when the server closes, however much the connection may do in a turn.
  private static let receiveBufferBytes = 32_768
  /// Bytes of one read: acknowledgements are short, and what is longer comes in several turns.
  private static let readBytes = AdaptiveRecvByteBufferAllocator(minimum: 64, initial: 2048, maximum: 4096)
  /// How long an attempt waits for others to the same host where there is another endpoint to try.
  private static let placeWait = TimeAmount.milliseconds(500)
  /// Audio that may wait in the channel before the kernel takes it.
  private static let waterMark = ChannelOptions.Types.WriteBufferWaterMark(low: 16_384, high: 65_536)
  /// Sent bytes without acknowledgement for so long mean a dead connection, milliseconds.
  private static let userTimeoutMilliseconds = 20_000

  /// What TLS needs; nil where the engine has none.
  struct Security {
    let provider: any TLSProvider
    let settings: TLSSettings
  }

  private enum Phase {
    /// Other attempts to the same host are under way.
    case waiting
    /// Certificates are being read.
    case preparing
    case connecting
    case handshaking
    case upgrading
    case open
    case over
  }

  private let loop: any EventLoop
  private let url: EndpointURL
  private let request: UpgradeRequest
  private let timeout: TimeAmount
  private let security: Security?
  private let names: HostResolver
  private let limiter: ConnectLimiter
  private let share: InboundShare
  private let hasAlternative: Bool
  private var ticket: ConnectLimiter.Ticket?
  private var resolver: AttemptResolver?
  private var onEvent: ((Event) -> Void)?
  private var phase = Phase.waiting
  private var channel: (any Channel)?
  /// Above TLS, where there is TLS.
  private var gate: TLSGate?
  /// Knows a refusal before its body is whole.
  private weak var upgrading: UpgradeHandler?
  private var deadline: Scheduled<Void>?
  private var placeTimer: Scheduled<Void>?
  /// The session while it is open.
  private(set) var session: WebSocketSession?

  init(
    loop: any EventLoop, url: EndpointURL, request: UpgradeRequest, timeout: TimeAmount, security: Security?,
    names: HostResolver, limiter: ConnectLimiter, turns: InboundTurns, hasAlternative: Bool = false,
    onEvent: @escaping (Event) -> Void
  ) {
    self.loop = loop
    self.url = url
    self.request = request
    self.timeout = timeout
    self.security = security
    self.names = names
    self.limiter = limiter
    share = InboundShare(turns, isSecure: url.isSecure)
    self.hasAlternative = hasAlternative
    self.onEvent = onEvent
  }

  /// Begins when it is its turn; the time limit counts from then on.
  func start() {
    let ticket = limiter.ask("\(host):\(url.port)", on: loop) { [weak self] in self?.begin() }
    self.ticket = ticket
    if ticket.isAdmitted { return begin() }
    guard hasAlternative else { return }
    deadline = loop.assumeIsolated().scheduleTask(in: EndpointConnection.placeWait) { [weak self] in
      guard let self, self.phase == .waiting else { return }
      let report = self.onEvent
      self.drop()
      report?(.crowded)
    }
  }

  /// Lets the next attempt to the same host begin.
  private func leavePlace() {
    placeTimer?.cancel()
    placeTimer = nil
    ticket?.giveBack()
  }

  private func begin() {
    guard phase == .waiting else { return }
    deadline?.cancel()
    deadline = loop.assumeIsolated().scheduleTask(in: timeout) { [weak self] in self?.timedOut() }
    placeTimer = loop.assumeIsolated().scheduleTask(in: limiter.placeMax) { [weak self] in
      self?.ticket?.giveBack()
    }
    guard url.isSecure else { return connect(with: nil) }
    phase = .preparing
    guard let security else {
      return loop.assumeIsolated().execute {
        self.fail(ConnectionFailure("tls: this engine was built without TLS", isPermanent: true))
      }
    }
    security.provider.prepare(security.settings, on: loop).assumeIsolated().whenComplete { result in
      guard case .preparing = self.phase else { return }
      switch result {
      case .success(let prepared): self.connect(with: prepared)
      case .failure(let error): self.fail(error as? ConnectionFailure ?? ConnectionFailure("tls: \(shown("\(error)"))"))
      }
    }
  }

  private func connect(with tls: (any PreparedTLS)?) {
    phase = .connecting
    let bootstrap = EndpointConnection.bootstrap(on: loop, timeout: timeout)
    // An address needs no look-up and no thread that waits for one.
    let address = try? SocketAddress(ipAddress: host, port: url.port)
    let resolver = AttemptResolver(names, on: loop)
    if address == nil { self.resolver = resolver }
    let connected =
      address.map { bootstrap.connect(to: $0) } ?? bootstrap.resolver(resolver).connect(host: host, port: url.port)
    connected.assumeIsolated().whenComplete { result in
      switch result {
      case .success(let channel): self.connected(channel, tls, isAddress: address != nil || self.url.isIPv6Literal)
      case .failure(let error): self.fail(ConnectionFailure(self.reason(error)))
      }
    }
  }

  private var host: String { String(decoding: url.host, as: UTF8.self) }

  /// Leaves: says good-bye where there is somebody to say it to. Nothing is reported any more.
  func drop() {
    onEvent = nil
    deadline?.cancel()
    leavePlace()
    phase = .over
    if let session {
      session.drop()
    } else {
      channel?.close(promise: nil)
    }
    session = nil
    channel = nil
  }

  func webSocketOpened(_ session: WebSocketSession) {
    guard phase == .upgrading else { return session.drop() }
    deadline?.cancel()
    leavePlace()
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

  /// Asks the kernel how many of the bytes that were written, before their encryption, the peer has acknowledged since
  /// the connection began; nil where it does not say.
  func acknowledgedBytes(_ answer: @escaping (UInt64?) -> Void) {
    guard let provider = channel as? any SocketOptionProvider else { return answer(nil) }
    let asked: EventLoopFuture<TCPInformation> = provider.unsafeGetSocketOption(level: .tcp, name: .tcp_info)
    asked.assumeIsolated().whenComplete { [gate] result in
      // A kernel that does not count says 0; ours is never 0 behind a handshake.
      let bytes = (try? result.get())?.acknowledgedBytes ?? 0
      answer(bytes > 0 ? gate?.plaintext(acknowledged: bytes) ?? bytes : nil)
    }
  }

  /// Asks the kernel how the connection is doing; nil where it does not say.
  func transport(_ answer: @escaping (TCPInformation?) -> Void) {
    guard let provider = channel as? any SocketOptionProvider else { return answer(nil) }
    let asked: EventLoopFuture<TCPInformation> = provider.unsafeGetSocketOption(level: .tcp, name: .tcp_info)
    asked.assumeIsolated().whenComplete { answer(try? $0.get()) }
  }

  private static func bootstrap(on loop: any EventLoop, timeout: TimeAmount) -> ClientBootstrap {
    // Our own limit speaks first: it knows what it waited for.
    ClientBootstrap(group: loop)
      .connectTimeout(timeout + .seconds(1))
      .channelOption(.writeBufferWaterMark, value: waterMark)
      .channelOption(.socketOption(.so_sndbuf), value: sendBufferBytes)
      .channelOption(.socketOption(.so_keepalive), value: 1)
      // Pongs and acks come one at a time: a second read would find nothing.
      .channelOption(.maxMessagesPerRead, value: 1)
      .channelOption(.recvAllocator, value: readBytes)
      .channelOption(.socketOption(.so_rcvbuf), value: receiveBufferBytes)
      .channelOption(.tcpOption(.tcp_nodelay), value: 1)
      .channelOption(.tcpOption(.tcp_user_timeout), value: userTimeoutMilliseconds)
  }

  private func connected(_ channel: any Channel, _ tls: (any PreparedTLS)?, isAddress: Bool) {
    guard phase == .connecting else { return channel.close(promise: nil) }
    self.channel = channel
    do {
      try channel.pipeline.syncOperations.addHandler(ReadPacer(share), position: .first)
    } catch {
      return fail(ConnectionFailure(connectionReason(error)))
    }
    guard let tls else { return upgrade(channel) }
    phase = .handshaking
    let meter = CiphertextMeter(share)
    let gate = TLSGate(above: meter) { [weak self] outcome in
      switch outcome {
      case .success: self?.upgrade(channel)
      case .failure(let failure): self?.fail(failure)
      }
    }
    self.gate = gate
    do {
      let handlers = try tls.makeHandlers(host: host, isAddress: isAddress)
      try channel.pipeline.syncOperations.addHandlers([meter] + handlers + [gate])
      if !channel.isActive { fail(ConnectionFailure("connection: closed")) }
    } catch {
      fail(ConnectionFailure(connectionReason(error)))
    }
  }

  private func upgrade(_ channel: any Channel) {
    guard phase == .connecting || phase == .handshaking else { return channel.close(promise: nil) }
    phase = .upgrading
    // What keeps a server from many connections at once is their handshakes; how long it takes to answer is its own
    // business, and may differ from path to path.
    leavePlace()
    var random = SystemRandomNumberGenerator()
    do {
      upgrading = try UpgradeHandler.install(
        in: channel, request: request, key: UpgradeRequest.makeKey(using: &random), owner: self, isPlain: gate == nil,
        share: share)
      if !channel.isActive { fail(ConnectionFailure("connection: closed")) }
    } catch {
      fail(ConnectionFailure(connectionReason(error)))
    }
  }

  private func timedOut() {
    let seconds = timeout.nanoseconds / 1_000_000_000
    switch phase {
    case .preparing: fail(ConnectionFailure("tls: the certificate files could not be read within \(seconds) s"))
    case .connecting where resolver?.isOver == false:
      fail(ConnectionFailure("dns: no answer for '\(shown(host))' within \(seconds) s"))
    case .connecting: fail(ConnectionFailure("connection: no answer within \(seconds) s"))
    case .handshaking:
      fail(ConnectionFailure("tls: no answer to the handshake within \(seconds) s; a server without TLS takes ws://"))
    case .upgrading:
      fail(upgrading?.refusalSoFar ?? ConnectionFailure("http: no answer to the upgrade request within \(seconds) s"))
    case .waiting, .open, .over: break
    }
  }

  private func fail(_ failure: ConnectionFailure) {
    guard phase != .open, phase != .over else { return }
    phase = .over
    deadline?.cancel()
    leavePlace()
    channel?.close(promise: nil)
    channel = nil
    let onEvent = onEvent
    self.onEvent = nil
    onEvent?(.failed(failure))
  }

  /// NIO collects the failures of all addresses; the first one that connected to something says most.
  private func reason(_ error: any Error) -> String {
    guard let error = error as? NIOConnectionError else { return connectionReason(error) }
    if let failure = error.connectionErrors.first { return connectionReason(failure.error) }
    let failures = [error.dnsAError, error.dnsAAAAError].compactMap { ($0 as? NameFailure)?.reason }
    // Of two families the one that got no answer says more than the one that has no address.
    return shown(
      failures.first { $0.hasPrefix("dns: no name server") } ?? failures.first ?? "dns: '\(error.host)' has no address")
  }
}

/// The beginning of the kernel's `struct tcp_info` (linux/tcp.h), which the C library's copy cuts off: the words up
/// to `tcpi_bytes_acked`, which has offset 120. The kernel fills as much as it is asked for.
struct TCPInformation: Sendable {
  /// `tcpi_state`, `tcpi_ca_state`, `tcpi_retransmits`, `tcpi_probes` and four more, a byte each.
  private var states: UInt64 = 0
  private var timers: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0, 0, 0)
  /// `tcpi_last_ack_recv` and `tcpi_pmtu`, 32 bits each.
  private var received: UInt64 = 0
  private var rest: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0, 0, 0, 0)
  /// Bytes that the peer has acknowledged; our SYN counts as one.
  private(set) var acknowledgedBytes: UInt64 = 0

  /// Milliseconds since the peer's kernel has acknowledged anything.
  var silentMilliseconds: UInt64 { received & 0xFFFF_FFFF }

  /// Whether the kernel repeats itself and has had no acknowledgement for so long. A window that the peer closed is no
  /// such case: its probes are answered and are no retransmissions.
  func isUnanswered(for milliseconds: UInt64) -> Bool {
    let retransmissions = states &>> 16 & 0xFF
    return retransmissions > 0 && silentMilliseconds >= milliseconds
  }
}

extension EndpointConnection.Security {
  /// What a fork's options make of TLS.
  init(_ provider: any TLSProvider, _ options: ForkOptions) {
    self.provider = provider
    settings = TLSSettings(
      verifies: options.verifies, caFile: String(decoding: options.caFile, as: UTF8.self),
      certificateFile: String(decoding: options.certificateFile, as: UTF8.self),
      keyFile: String(decoding: options.keyFile, as: UTF8.self))
  }
}

extension NIOBSDSocket.Option {
  /// TCP_USER_TIMEOUT of linux/tcp.h.
  fileprivate static let tcp_user_timeout = NIOBSDSocket.Option(rawValue: 18)
}
