// SPDX-License-Identifier: Apache-2.0
internal import AudioForkWebSocket
internal import Glibc
package import NIOCore
internal import NIOHTTP1
internal import NIOPosix
internal import NIOWebSocket
internal import ServiceLifecycle

/// Why the receiver cannot listen.
package struct ReceiverError: Error, Equatable, Sendable {
  /// What happened and what to do, for the operator.
  package let reason: String
}

/// A WebSocket server that writes every connection's audio to a WAV file of its own. Runs until its service group or
/// its task ends, then closes all connections with 1001 and finishes their files.
package struct Receiver: Service {
  /// What all connections share. Any thread.
  struct Shared: Sendable {
    let folder: RecordingFolder
    let progressInterval: TimeAmount
    let silenceDelay: TimeAmount
    let emit: @Sendable (ReceiverEvent) -> Void
    let unixSeconds: @Sendable () -> Int
    let registry: ConnectionRegistry
    let claims = ForkClaims()
    let memory: MemoryBudget
    /// Blocking disk work goes here: at most one piece for each connection, so its queue is bounded by them.
    let pool = NIOThreadPool.singleton
    let security: Security?
    let tokens: AccessTokens?
  }

  /// TLS for a receiver.
  package struct Security: Sendable {
    let makeHandler: @Sendable () -> any ChannelHandler
    let clientName: @Sendable (any Channel) -> [UInt8]?
    let asksForCertificates: Bool

    /// - Parameters:
    ///   - makeHandler: makes the handler that does TLS for one connection, on its event loop.
    ///   - asksForCertificates: whether clients without a certificate are refused.
    ///   - clientName: who the client of a connection is by its verified certificate, on its event loop; nil without
    ///     one.
    package init(
      makeHandler: @escaping @Sendable () -> any ChannelHandler, asksForCertificates: Bool,
      clientName: @escaping @Sendable (any Channel) -> [UInt8]?
    ) {
      self.asksForCertificates = asksForCertificates
      self.makeHandler = makeHandler
      self.clientName = clientName
    }
  }

  /// What a receiver allows its clients.
  package struct Limits: Sendable {
    /// Streams at a time.
    package var streams: Int
    /// Bytes that all clients together may have the receiver hold, beside 64 KiB for each connection.
    package var memoryBytes: Int
    /// Without a byte from a client it is pinged this often; after the fourth time its stream ends.
    package var silenceDelay: TimeAmount
    /// Time for the end of all streams when the receiver stops.
    package var stop: Duration

    package init(
      streams: Int = 1000, memoryBytes: Int = 128 << 20, silenceDelay: TimeAmount = StreamStateMachine.silenceDelay,
      stop: Duration = .seconds(3)
    ) {
      self.streams = streams
      self.memoryBytes = memoryBytes
      self.silenceDelay = silenceDelay
      self.stop = stop
    }

    /// Streams for which so many descriptors suffice: a socket and a file each, beside the connections that are not yet
    /// a stream, and what the process has open besides.
    package static func streams(descriptors: Int) -> Int {
      max(1, (descriptors - ConnectionRegistry.handshakesMax - 64) / 2)
    }
  }

  private let address: ListenAddress
  private let shared: Shared
  private let stopLimit: Duration

  /// - Parameters:
  ///   - address: where to listen.
  ///   - folder: where recordings go.
  ///   - progressInterval: shortest time between two progress events of a stream.
  ///   - security: TLS; nil: none.
  ///   - tokens: what clients have to know; nil: nothing.
  ///   - limits: what clients may take.
  ///   - unixSeconds: the wall clock, for file names.
  ///   - emit: takes every event; called on event loops, so it must not block.
  package init(
    address: ListenAddress, folder: RecordingFolder, progressInterval: TimeAmount = .seconds(1),
    security: Security? = nil,
    tokens: AccessTokens? = nil, limits: Limits = Limits(), unixSeconds: @escaping @Sendable () -> Int = { time(nil) },
    emit: @escaping @Sendable (ReceiverEvent) -> Void
  ) {
    self.address = address
    stopLimit = limits.stop
    shared = Shared(
      folder: folder, progressInterval: progressInterval, silenceDelay: limits.silenceDelay, emit: emit,
      unixSeconds: unixSeconds, registry: ConnectionRegistry(streamsMax: limits.streams),
      memory: MemoryBudget(bytesMax: limits.memoryBytes), security: security, tokens: tokens)
  }

  /// Listens and records until told to stop.
  /// - Throws: `ReceiverError` if it cannot listen, or could not finish all files in time.
  package func run() async throws {
    let server: any Channel
    do {
      server = try await bootstrap().bind(host: address.host, port: address.port).get()
    } catch {
      throw ReceiverError(reason: "cannot listen on \(address.shown): \(Receiver.reason(error))")
    }
    let port = server.localAddress?.port ?? address.port
    let scheme = shared.security == nil ? "ws" : "wss"
    let url = "\(scheme)://\(ListenAddress(host: address.host, port: port).shown)/"
    shared.emit(.listening(url: url, port: port, folder: shared.folder.path))
    if let warning = exposure(server.localAddress) { shared.emit(.warning(warning)) }
    try? await gracefulShutdown()
    try? await server.close()
    let left = await shared.registry.stop(within: stopLimit)
    guard left == 0 else {
      let recordings = left == 1 ? "recording was" : "recordings were"
      throw ReceiverError(
        reason: "stopped before \(left) \(recordings) finished, because the disk is slow; what was written is kept")
    }
  }

  /// What strangers can do to a receiver at this address; nil where nobody else reaches it, or nothing.
  private func exposure(_ address: SocketAddress?) -> String? {
    guard let address, !Receiver.isLoopback(address) else { return nil }
    switch (shared.security, shared.tokens) {
    case (nil, nil):
      return "others on the network can record here, and read the calls on their way; "
        + "use --certificate and --key, and --token-file or --client-ca"
    case (nil, _?):
      return "others on the network can read the calls and the tokens on their way; use --certificate and --key"
    case (let security?, nil):
      return security.asksForCertificates
        ? nil : "others on the network can record here; use --token-file or --client-ca"
    case (_?, _?): return nil
    }
  }

  private static func isLoopback(_ address: SocketAddress) -> Bool {
    let text = address.ipAddress ?? ""
    return text == "::1" || text.hasPrefix("127.") || text.hasPrefix("::ffff:127.")
  }

  private func bootstrap() -> ServerBootstrap {
    let shared = shared
    return ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .serverChannelOption(.backlog, value: 256)
      // Connections of the last run may still be in TIME_WAIT; without this, a restart would have to wait for them.
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
      // A turn of the loop for each read: who sends much waits for the others.
      .childChannelOption(.maxMessagesPerRead, value: 1)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          guard let number = shared.registry.add(channel) else { throw ChannelError.alreadyClosed }
          let upgraded = Upgraded()
          channel.closeFuture.assumeIsolated().whenComplete { _ in
            if !upgraded.value { shared.registry.remove(number) }
          }
          try Receiver.configure(channel, number: number, upgraded: upgraded, shared: shared)
        }
      }
  }

  /// Whether a connection has become a stream; read and written on its event loop only.
  private final class Upgraded { var value = false }

  private static func configure(
    _ channel: any Channel, number: Int, upgraded: Upgraded, shared: Shared
  ) throws {
    let handshake = NIOLoopBound(HandshakeHandler(tokens: shared.tokens), eventLoop: channel.eventLoop)
    let meter = NIOLoopBound(ByteMeter(), eventLoop: channel.eventLoop)
    let upgraded = NIOLoopBound(upgraded, eventLoop: channel.eventLoop)
    let upgrader = NIOWebSocketServerUpgrader(
      maxFrameSize: WebSocketFrameRules.messageBytesMax, automaticErrorHandling: false,
      shouldUpgrade: { channel, head in
        var headers: HTTPHeaders?
        if let tokens = shared.tokens, tokens.digest(authorization: head.headers["Authorization"]) == nil {
          handshake.value.refusal = .unauthorized
        } else if !shared.registry.admit(number) {
          handshake.value.refusal = .full
        } else {
          headers = HTTPHeaders()
          if let selected = StreamRequest(head).subprotocol {
            headers?.add(name: "Sec-WebSocket-Protocol", value: selected)
          }
        }
        return channel.eventLoop.makeSucceededFuture(headers)
      },
      upgradePipelineHandler: { channel, head in
        channel.eventLoop.makeCompletedFuture {
          let remote = channel.remoteAddress.map(Receiver.shown) ?? "unknown"
          let facts = StreamFacts(number: number, request: StreamRequest(head), remote: remote)
          let client = ClientIdentity(
            certificate: shared.security?.clientName(channel),
            token: shared.tokens?.digest(authorization: head.headers["Authorization"]),
            address: channel.remoteAddress?.ipAddress ?? "unknown")
          meter.value.begin()
          let handler = StreamHandler(
            facts: facts, client: client, meter: meter.value, shared: shared, loop: channel.eventLoop)
          try channel.pipeline.syncOperations.addHandler(handler)
          upgraded.value.value = true
        }
      })
    let operations = channel.pipeline.syncOperations
    if let security = shared.security { try operations.addHandler(security.makeHandler()) }
    try operations.addHandler(meter.value)
    try operations.configureHTTPServerPipeline(
      withServerUpgrade: (
        upgraders: [upgrader],
        completionHandler: { context in
          context.pipeline.syncOperations.removeHandler(handshake.value, promise: nil)
        }
      ),
      withEncoderConfiguration: HTTPResponseEncoder.Configuration(),
      withDecoderLimitConfiguration: Receiver.requestLimits)
    try operations.addHandler(handshake.value)
  }

  /// Limits of a request's head. The memory budget does not count heads, so that all waiting requests together take at
  /// most `ConnectionRegistry.handshakesMax` times these.
  private static var requestLimits: NIOHTTPDecoderLimitConfiguration {
    var limits = NIOHTTPDecoderLimitConfiguration()
    limits.maxHeaderListSize = 16 * 1024
    limits.maxHeaderFieldSize = 8 * 1024
    limits.maxHeaderFieldCount = 100
    return limits
  }

  private static func shown(_ address: SocketAddress) -> String {
    guard let host = address.ipAddress, let port = address.port else { return "unknown" }
    return ListenAddress(host: host, port: port).shown
  }

  private static func reason(_ error: any Error) -> String {
    switch (error as? IOError)?.errnoCode {
    case EADDRINUSE: "the address is in use; stop the program that listens there or choose another port with --listen"
    case EACCES: "permission denied; ports below 1024 need root or CAP_NET_BIND_SERVICE"
    case EADDRNOTAVAIL: "this machine has no such address"
    case let code?: String(cString: strerror(code))
    case nil:
      error is SocketAddressError.UnknownHost ? "the host name cannot be resolved" : "\(error)"
    }
  }
}
