// SPDX-License-Identifier: Apache-2.0
internal import NIOCore
internal import NIOPosix

/// A TCP proxy on loopback between a client and a server, which does to the connections what it is told: to those that
/// come (`plan`), and to those that are there (`strike`). All of it runs on one event loop; the methods may be called
/// from anywhere.
package final class FaultProxy: Sendable {
  /// What has passed since the start.
  package struct Counts: Equatable, Sendable {
    package var accepted = 0
    package var living = 0
    /// Bytes that went on to the server, and to the client.
    package var toServer = 0
    package var toClient = 0
  }

  package let port: Int
  private let loop: any EventLoop
  private let core: NIOLoopBound<ProxyCore>

  private init(port: Int, loop: any EventLoop, core: NIOLoopBound<ProxyCore>) {
    self.port = port
    self.loop = loop
    self.core = core
  }

  /// Listens for a server on 127.0.0.1. Port 0 is a free one; who plans `refuse` should choose one below the ephemeral
  /// ports, which nobody's connection takes meanwhile.
  package static func start(to serverPort: Int, port: Int = 0, plan: Fault = .none) async throws -> FaultProxy {
    let loop = MultiThreadedEventLoopGroup.singleton.next()
    let core = try await loop.submit {
      NIOLoopBound(ProxyCore(loop: loop, serverPort: serverPort, plan: plan), eventLoop: loop)
    }.get()
    let port = try await loop.flatSubmit { core.value.listen(port: port) }.get()
    return FaultProxy(port: port, loop: loop, core: core)
  }

  /// What happens to connections that come from now on. `refuse` closes the listening socket; any other plan opens it
  /// again on the same port.
  package func plan(_ fault: Fault) async throws {
    let core = core
    try await loop.flatSubmit { core.value.plan(fault) }.get()
  }

  /// What happens now to the connections that are there; `none` heals those that it can heal.
  package func strike(_ fault: Fault) async throws {
    let core = core
    try await loop.submit { core.value.strike(fault) }.get()
  }

  package func counts() async throws -> Counts {
    let core = core
    return try await loop.submit { core.value.counts }.get()
  }

  /// Closes everything, without a word to either side but what their kernels say.
  package func stop() async throws {
    let core = core
    try await loop.flatSubmit { core.value.stop() }.get()
  }
}

/// What the proxy is on its event loop.
final class ProxyCore {
  let loop: any EventLoop
  private let serverPort: Int
  private var plan: Fault
  private var listener: (any Channel)?
  private var port = 0
  private var links: [ObjectIdentifier: ProxyLink] = [:]
  var counts = FaultProxy.Counts()

  init(loop: any EventLoop, serverPort: Int, plan: Fault) {
    self.loop = loop
    self.serverPort = serverPort
    self.plan = plan
  }

  func listen(port: Int) -> EventLoopFuture<Int> {
    let core = NIOLoopBound(self, eventLoop: loop)
    return ServerBootstrap(group: loop)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelOption(.autoRead, value: false)
      .childChannelOption(.allowRemoteHalfClosure, value: true)
      .childChannelOption(.socketOption(.so_rcvbuf), value: 65_536)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture { try core.value.accept(channel) }
      }
      .bind(host: "127.0.0.1", port: port)
      .assumeIsolated()
      .map { [self] channel in
        listener = channel
        self.port = channel.localAddress?.port ?? 0
        return self.port
      }
      .nonisolated()
  }

  func plan(_ fault: Fault) -> EventLoopFuture<Void> {
    plan = fault
    if fault == .refuse {
      guard let listener else { return loop.makeSucceededVoidFuture() }
      self.listener = nil
      return listener.close()
    }
    guard listener == nil else { return loop.makeSucceededVoidFuture() }
    return listen(port: port).map { _ in }
  }

  func strike(_ fault: Fault) {
    for link in links.values { link.strike(fault) }
  }

  func stop() -> EventLoopFuture<Void> {
    for link in links.values { link.end(resets: true) }
    guard let listener else { return loop.makeSucceededVoidFuture() }
    self.listener = nil
    return listener.close()
  }

  private func accept(_ client: any Channel) throws {
    counts.accepted += 1
    counts.living += 1
    let link = ProxyLink(core: self, client: client, fault: plan, serverPort: serverPort)
    links[ObjectIdentifier(link)] = link
    try client.pipeline.syncOperations.addHandler(PipeEnd(link, isClient: true))
  }

  func ended(_ link: ProxyLink) {
    guard links.removeValue(forKey: ObjectIdentifier(link)) != nil else { return }
    counts.living -= 1
  }
}

/// One end of a proxied connection: hands to the link what comes in.
final class PipeEnd: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  private let link: ProxyLink
  private let isClient: Bool

  init(_ link: ProxyLink, isClient: Bool) {
    self.link = link
    self.isClient = isClient
  }

  func channelActive(context: ChannelHandlerContext) {
    if isClient { link.begin() }
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    link.received(unwrapInboundIn(data), fromClient: isClient)
  }

  func channelReadComplete(context: ChannelHandlerContext) { link.readMore(fromClient: isClient) }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if case .inputClosed? = event as? ChannelEvent { link.inputClosed(byClient: isClient) }
  }

  func channelInactive(context: ChannelHandlerContext) { link.connectionLost(isClient: isClient) }

  /// A reset by one side is one for the other.
  func errorCaught(context: ChannelHandlerContext, error: any Error) { link.end(resets: true) }
}
