// SPDX-License-Identifier: Apache-2.0
internal import AudioForkSurface
internal import AudioForkWebSocket
internal import NIOCore
internal import NIOPosix

/// One attempt to establish TCP, a proxy's tunnel where there is a proxy, and TLS for wss://, to an endpoint. Lives on
/// one event loop.
///
/// The attempt waits for its turn among the attempts to the same host (`ConnectLimiter`). Its time limit counts from
/// then on: credentials, certificates, look-up of the name, TCP, proxy and TLS. Reports exactly one result, and nothing
/// after `drop`.
final class TransportAttempt {
  /// What an established connection consists of.
  struct Transport {
    let channel: any Channel
    /// The handler above TLS; nil without TLS.
    let gate: TLSGate?
    /// When the attempt's time limit ends. The upgrade has to be answered by then too.
    let deadline: NIODeadline
    /// Headers that were read from files for this attempt.
    let credentials: [RequestHeader]
  }

  enum Result {
    case established(Transport)
    case failed(ConnectionFailure)
    /// Too many attempts to the host are under way, and there is another endpoint: nothing was tried.
    case crowded
  }

  private enum Phase {
    /// Other attempts to the same host are under way. Can transition to: `reading`, `preparing`, `connecting`, `over`.
    case waiting
    /// Files with credentials are being read. Can transition to: `preparing`, `connecting`, `over`.
    case reading
    /// Certificates are being read. Can transition to: `connecting`, `over`.
    case preparing
    /// Look-up of the name, and TCP. Can transition to: `tunneling`, `handshaking`, `over`.
    case connecting
    /// The proxy was asked for the server. Can transition to: `handshaking`, `over`.
    case tunneling
    /// Can transition to: `over`.
    case handshaking
    case over
  }

  /// How long an attempt waits for others to the same host if there is another endpoint to try.
  private static let turnWait = TimeAmount.milliseconds(500)
  /// Maximum audio in the kernel's send buffer: at least half a second even at high rates, and only a few seconds at
  /// 8 kHz, because it is lost with the connection.
  private static let sendBufferBytes = 65_536
  /// Maximum received bytes that wait in the kernel; Linux takes twice as much memory for them. All of it is read at
  /// once when the server closes, even beyond the connection's share of a turn.
  private static let receiveBufferBytes = 32_768
  /// Bytes of one read. Acknowledgements are short; longer input comes in several turns.
  private static let readBytes = AdaptiveRecvByteBufferAllocator(minimum: 64, initial: 2048, maximum: 4096)
  /// Maximum audio in the channel before the kernel takes it.
  private static let waterMark = ChannelOptions.Types.WriteBufferWaterMark(low: 16_384, high: 65_536)

  private let loop: any EventLoop
  private let route: Route
  private let timeout: TimeAmount
  private let names: HostResolver
  private let limiter: ConnectLimiter
  private let share: InboundShare
  private let hasAlternative: Bool
  private var phase = Phase.waiting
  private var onResult: ((Result) -> Void)?
  private var ticket: ConnectLimiter.Ticket?
  private var resolver: AttemptResolver?
  private var channel: (any Channel)?
  private var tunnel: ProxyTunnel?
  private var gate: TLSGate?
  private var credentials: [RequestHeader] = []
  private var deadline = NIODeadline.distantFuture
  private var deadlineTimer: Scheduled<Void>?
  private var ticketTimer: Scheduled<Void>?

  /// `hasAlternative`: there is another endpoint to try.
  init(
    loop: any EventLoop, route: Route, timeout: TimeAmount, names: HostResolver,
    limiter: ConnectLimiter, share: InboundShare, hasAlternative: Bool, onResult: @escaping (Result) -> Void
  ) {
    self.loop = loop
    self.route = route
    self.timeout = timeout
    self.names = names
    self.limiter = limiter
    self.share = share
    self.hasAlternative = hasAlternative
    self.onResult = onResult
  }

  /// Begins when it is the attempt's turn. With a proxy too it is the server that gets only so many attempts at a time:
  /// a proxy is there for many connections, and a slow server must not delay the forks to others.
  func start() {
    let ticket = limiter.ask("\(String(decoding: route.url.plainHost, as: UTF8.self)):\(route.url.port)", on: loop) {
      [weak self] in self?.begin()
    }
    self.ticket = ticket
    if ticket.isAdmitted { return begin() }
    if let deadline = route.deadline { limit(to: deadline) }
    guard hasAlternative else { return }
    deadlineTimer = loop.assumeIsolated().scheduleTask(in: TransportAttempt.turnWait) { [weak self] in
      guard let self, self.phase == .waiting else { return }
      self.finish(.crowded)
    }
  }

  /// Gives the attempt up. Nothing is reported any more.
  func drop() {
    onResult = nil
    end(closesChannel: true)
  }

  /// Ends the attempt and reports the result, unless it has ended before.
  private func finish(_ result: Result) {
    guard phase != .over else { return }
    if case .established = result { end(closesChannel: false) } else { end(closesChannel: true) }
    let onResult = onResult
    self.onResult = nil
    onResult?(result)
  }

  private func end(closesChannel: Bool) {
    phase = .over
    deadlineTimer?.cancel()
    // Lets the next attempt to the same host begin. Handshakes keep a server from many connections at once; how long it
    // takes to answer the upgrade may differ from path to path.
    ticketTimer?.cancel()
    ticket?.giveBack()
    if closesChannel { channel?.close(promise: nil) }
    channel = nil
  }

  private func fail(_ failure: ConnectionFailure) { finish(.failed(failure)) }

  // MARK: - Steps

  private func begin() {
    guard phase == .waiting else { return }
    limit(to: route.deadline ?? .now() + timeout)
    ticketTimer = loop.assumeIsolated().scheduleTask(in: limiter.placeMax) { [weak self] in
      self?.ticket?.giveBack()
    }
    guard let files = route.credentials else { return prepare() }
    phase = .reading
    files.read(on: loop).assumeIsolated().whenComplete { result in
      guard self.phase == .reading else { return }
      switch result {
      case .success(let credentials):
        self.credentials = credentials
        self.prepare()
      case .failure(let error): self.fail(error as? ConnectionFailure ?? ConnectionFailure(connectionReason(error)))
      }
    }
  }

  private func limit(to deadline: NIODeadline) {
    deadlineTimer?.cancel()
    self.deadline = deadline
    deadlineTimer = loop.assumeIsolated().scheduleTask(deadline: deadline) { [weak self] in self?.timedOut() }
  }

  private func prepare() {
    guard route.url.isSecure else { return connect(with: nil) }
    phase = .preparing
    guard let security = route.security else {
      return loop.assumeIsolated().execute {
        self.fail(ConnectionFailure("tls: this engine was built without TLS", kind: .final))
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
    let bootstrap = TransportAttempt.bootstrap(on: loop, timeout: timeout)
    // An address needs no look-up and no thread that waits for one.
    let peer = route.peer
    let address = try? SocketAddress(ipAddress: peer.host, port: peer.port)
    let resolver = AttemptResolver(names, on: loop)
    if address == nil { self.resolver = resolver }
    let connected =
      address.map { bootstrap.connect(to: $0) }
      ?? bootstrap.resolver(resolver).connect(host: peer.host, port: peer.port)
    connected.assumeIsolated().whenComplete { result in
      switch result {
      case .success(let channel): self.connected(channel, tls)
      case .failure(let error): self.fail(ConnectionFailure(self.route.reason(self.reason(error))))
      }
    }
  }

  private static func bootstrap(on loop: any EventLoop, timeout: TimeAmount) -> ClientBootstrap {
    // No TCP_USER_TIMEOUT: it also ends a connection whose window the server has closed, although the server's kernel
    // answers every probe. `TCPInformation.isUnanswered` tells the two apart.
    ClientBootstrap(group: loop)
      // Our own timer fires first, because its reason names the phase.
      .connectTimeout(timeout + .seconds(1))
      .channelOption(.writeBufferWaterMark, value: waterMark)
      .channelOption(.socketOption(.so_sndbuf), value: sendBufferBytes)
      .channelOption(.socketOption(.so_keepalive), value: 1)
      // Pongs and acks come one at a time: a second read would find nothing.
      .channelOption(.maxMessagesPerRead, value: 1)
      .channelOption(.recvAllocator, value: readBytes)
      .channelOption(.socketOption(.so_rcvbuf), value: receiveBufferBytes)
      .channelOption(.tcpOption(.tcp_nodelay), value: 1)
  }

  private func connected(_ channel: any Channel, _ tls: (any PreparedTLS)?) {
    guard phase == .connecting else { return channel.close(promise: nil) }
    self.channel = channel
    // Below the proxy's tunnel: the kernel counts what is said to the proxy too.
    let meter = tls.map { _ in CiphertextMeter(share) }
    do {
      try channel.pipeline.syncOperations.addHandler(ReadPacer(share), position: .first)
      if let meter { try channel.pipeline.syncOperations.addHandler(meter) }
      guard let proxy = route.proxy else { return secure(channel, tls, meter) }
      phase = .tunneling
      let tunnel = ProxyTunnel(to: route.url, through: proxy, agent: route.agent) { [weak self] outcome in
        switch outcome {
        case .success: self?.secure(channel, tls, meter)
        case .failure(let failure): self?.fail(failure)
        }
      }
      self.tunnel = tunnel
      try channel.pipeline.syncOperations.addHandler(tunnel)
      if !channel.isActive { fail(ConnectionFailure(route.reason("connection: closed"))) }
    } catch {
      fail(ConnectionFailure(route.reason(connectionReason(error))))
    }
  }

  private func secure(_ channel: any Channel, _ tls: (any PreparedTLS)?, _ meter: CiphertextMeter?) {
    guard phase == .connecting || phase == .tunneling else { return }
    guard let tls, let meter else { return established(channel) }
    phase = .handshaking
    let gate = TLSGate(above: meter) { [weak self] outcome in
      switch outcome {
      case .success: self?.established(channel)
      case .failure(let failure): self?.fail(failure)
      }
    }
    self.gate = gate
    let isAddress = route.url.isIPv6Literal || (try? SocketAddress(ipAddress: route.host, port: 0)) != nil
    do {
      let handlers = try tls.makeHandlers(host: route.host, isAddress: isAddress)
      try channel.pipeline.syncOperations.addHandlers(handlers + [gate])
      if !channel.isActive { fail(ConnectionFailure("connection: closed")) }
    } catch {
      fail(ConnectionFailure(connectionReason(error)))
    }
  }

  private func established(_ channel: any Channel) {
    finish(.established(Transport(channel: channel, gate: gate, deadline: deadline, credentials: credentials)))
  }

  // MARK: - Reasons

  private func timedOut() {
    let seconds = timeout.nanoseconds / 1_000_000_000
    switch phase {
    case .waiting:
      fail(ConnectionFailure("connection: no turn among the attempts to '\(shown(route.host))' within \(seconds) s"))
    case .reading: fail(ConnectionFailure("credentials: the files could not be read within \(seconds) s"))
    case .preparing: fail(ConnectionFailure("tls: the certificate files could not be read within \(seconds) s"))
    case .connecting where resolver?.isOver == false:
      fail(ConnectionFailure(route.reason("dns: no answer for '\(shown(route.peer.host))' within \(seconds) s")))
    case .connecting: fail(ConnectionFailure(route.reason("connection: no answer within \(seconds) s")))
    case .tunneling:
      fail(tunnel?.refusalSoFar ?? ConnectionFailure(route.reason("no answer to CONNECT within \(seconds) s")))
    case .handshaking:
      fail(ConnectionFailure("tls: no answer to the handshake within \(seconds) s; a server without TLS takes ws://"))
    case .over: break
    }
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
