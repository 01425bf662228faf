// SPDX-License-Identifier: Apache-2.0
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
    let emit: @Sendable (ReceiverEvent) -> Void
    let unixSeconds: @Sendable () -> Int
    let registry = ConnectionRegistry()
    let claims = ForkClaims()
    /// Blocking disk work goes here: at most one piece for each connection, so its queue is bounded by them.
    let pool = NIOThreadPool.singleton
    let security: Security?
  }

  /// Makes the handler that does TLS for one connection, on its event loop.
  package typealias Security = @Sendable () -> any ChannelHandler

  private let address: ListenAddress
  private let shared: Shared

  /// - Parameters:
  ///   - address: where to listen.
  ///   - folder: where recordings go.
  ///   - progressInterval: shortest time between two progress events of a stream.
  ///   - security: TLS; nil: none.
  ///   - unixSeconds: the wall clock, for file names.
  ///   - emit: takes every event; called on event loops, so it must not block.
  package init(
    address: ListenAddress, folder: RecordingFolder, progressInterval: TimeAmount = .seconds(1), security: Security? = nil,
    unixSeconds: @escaping @Sendable () -> Int = { time(nil) }, emit: @escaping @Sendable (ReceiverEvent) -> Void
  ) {
    self.address = address
    shared = Shared(
      folder: folder, progressInterval: progressInterval, emit: emit, unixSeconds: unixSeconds, security: security)
  }

  /// Listens and records until told to stop.
  /// - Throws: `ReceiverError` if it cannot listen.
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
    try? await gracefulShutdown()
    try? await server.close()
    await shared.registry.stop()
  }

  private func bootstrap() -> ServerBootstrap {
    let shared = shared
    return ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .serverChannelOption(.backlog, value: 256)
      // Connections of the last run may still be in TIME_WAIT; without this, a restart would have to wait for them.
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
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
    let handshake = NIOLoopBound(HandshakeHandler(), eventLoop: channel.eventLoop)
    let upgraded = NIOLoopBound(upgraded, eventLoop: channel.eventLoop)
    let upgrader = NIOWebSocketServerUpgrader(
      maxFrameSize: ClientFrameRules.messageBytesMax, automaticErrorHandling: false,
      shouldUpgrade: { channel, head in
        var headers = HTTPHeaders()
        if let selected = StreamRequest(head).subprotocol {
          headers.add(name: "Sec-WebSocket-Protocol", value: selected)
        }
        return channel.eventLoop.makeSucceededFuture(headers)
      },
      upgradePipelineHandler: { channel, head in
        channel.eventLoop.makeCompletedFuture {
          let remote = channel.remoteAddress.map(Receiver.shown) ?? "unknown"
          let facts = StreamFacts(number: number, request: StreamRequest(head), remote: remote)
          let handler = StreamHandler(facts: facts, shared: shared, loop: channel.eventLoop)
          try channel.pipeline.syncOperations.addHandler(handler)
          upgraded.value.value = true
        }
      })
    let operations = channel.pipeline.syncOperations
    if let security = shared.security { try operations.addHandler(security()) }
    try operations.configureHTTPServerPipeline(
      withServerUpgrade: (
        upgraders: [upgrader],
        completionHandler: { context in
          context.pipeline.syncOperations.removeHandler(handshake.value, promise: nil)
        }
      ))
    try operations.addHandler(handshake.value)
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
