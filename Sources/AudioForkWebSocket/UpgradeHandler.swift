// SPDX-License-Identifier: Apache-2.0
package import NIOCore
package import NIOHTTP1

/// Who wants a WebSocket connection. Called on the connection's event loop; holds the connection, not the reverse.
package protocol WebSocketOwner: AnyObject {
  /// The server agreed: from now on the session takes messages.
  func webSocketOpened(_ session: WebSocketSession)
  /// There will be no session. Called once, and nothing after it.
  func webSocketFailed(_ failure: ConnectionFailure)
  /// The server sent a text message; it is whole and valid UTF-8.
  func webSocketReceived(_ session: WebSocketSession, text: String)
  /// The server sent a pong, asked or not.
  func webSocketReceived(_ session: WebSocketSession, pong: ByteBuffer)
  /// The session is over. Called once, and nothing after it.
  func webSocketEnded(_ session: WebSocketSession, _ end: SessionEnd)
}

/// Opens a WebSocket connection on a channel that has just connected:
///  1. sends the upgrade request when the channel becomes active,
///  2. checks the answer's head (`UpgradeCheck`) and reports the first thing that is wrong with it, exactly,
///  3. takes the HTTP handlers out of the pipeline, puts the frame decoder and a `WebSocketSession` in, and hands
///     them the bytes that came in the same segment as the answer,
///  4. leaves.
///
/// The time allowed for all that is the owner's business: it closes the channel.
package final class UpgradeHandler: ChannelInboundHandler, RemovableChannelHandler {
  package typealias InboundIn = HTTPClientResponsePart
  package typealias InboundOut = ByteBuffer
  package typealias OutboundOut = HTTPClientRequestPart

  /// Longest head of an answer: ample for cookies and policies that proxies add.
  package static let headBytesMax = 16_384

  private enum Phase {
    /// The channel is not connected yet.
    case idle
    /// The request is out.
    case waiting
    /// The head was right; the end of the (empty) body comes next.
    case accepted(subprotocol: String?)
    /// What arrives now is frames, kept until the session stands.
    case switching(leftover: [ByteBuffer])
    case over
  }

  private var phase = Phase.idle
  private let request: UpgradeRequest
  private let check: UpgradeCheck
  private let isPlain: Bool
  private weak var owner: (any WebSocketOwner)?
  private let encoder = HTTPRequestEncoder()
  private let decoder: ByteToMessageHandler<HTTPResponseDecoder>

  private init(_ request: UpgradeRequest, key: String, owner: any WebSocketOwner, isPlain: Bool) {
    self.request = request
    self.isPlain = isPlain
    self.owner = owner
    check = UpgradeCheck(
      key: key, subprotocolsOffered: request.subprotocols, needsSubprotocol: request.needsSubprotocol)
    var limits = NIOHTTPDecoderLimitConfiguration()
    limits.maxHeaderFieldSize = UpgradeHandler.headBytesMax
    limits.maxHeaderListSize = UpgradeHandler.headBytesMax
    limits.maxHeaderFieldCount = 100
    decoder = ByteToMessageHandler(
      HTTPResponseDecoder(
        leftOverBytesStrategy: .forwardBytes, informationalResponseStrategy: .drop, limitConfiguration: limits))
  }

  /// Puts all that is needed into a fresh channel's pipeline. On the channel's event loop. `isPlain`: nothing below
  /// encrypts.
  package static func install(
    in channel: any Channel, request: UpgradeRequest, key: String, owner: any WebSocketOwner, isPlain: Bool
  ) throws {
    let handler = UpgradeHandler(request, key: key, owner: owner, isPlain: isPlain)
    try channel.pipeline.syncOperations.addHandlers([handler.encoder, handler.decoder, handler])
  }

  package func handlerAdded(context: ChannelHandlerContext) {
    if context.channel.isActive { send(context: context) }
  }

  package func channelActive(context: ChannelHandlerContext) {
    send(context: context)
    context.fireChannelActive()
  }

  /// A channel that has just become active tells so once more, after the handler was added.
  private func send(context: ChannelHandlerContext) {
    guard case .idle = phase else { return }
    phase = .waiting
    context.write(Self.wrapOutboundOut(.head(request.head(key: check.key))), promise: nil)
    context.writeAndFlush(Self.wrapOutboundOut(.end(nil)), promise: nil)
  }

  package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch phase {
    case .waiting:
      guard case .head(let head) = Self.unwrapInboundIn(data) else { return }
      do throws(ConnectionFailure) {
        phase = .accepted(subprotocol: try check.check(head))
      } catch {
        fail(context: context, error)
      }
    case .accepted:
      guard case .end = Self.unwrapInboundIn(data) else { return }
      phase = .switching(leftover: [])
      switchOver(context: context)
    case .switching(var leftover):
      // Behind the head the decoder forwards bytes as they are.
      leftover.append(ForwardedBytes.unwrapInboundIn(data))
      phase = .switching(leftover: leftover)
    case .idle, .over:
      break
    }
  }

  private func switchOver(context: ChannelHandlerContext) {
    let pipeline = context.pipeline.syncOperations
    let removals = [pipeline.removeHandler(encoder), pipeline.removeHandler(decoder)]
    EventLoopFuture.andAllSucceed(removals, on: context.eventLoop).assumeIsolated().whenComplete { result in
      switch result {
      case .success: self.finish(context: context)
      case .failure: self.fail(context: context, ConnectionFailure("upgrade: the connection closed"))
      }
    }
  }

  private func finish(context: ChannelHandlerContext) {
    guard case .switching(let leftover) = phase, let owner else { return context.close(promise: nil) }
    phase = .over
    let session = WebSocketSession(owner: owner, isPlain: isPlain)
    do {
      let pipeline = context.pipeline.syncOperations
      try pipeline.addHandlers(
        [ByteToMessageHandler(FrameDecoder()), session], position: .after(self))
    } catch {
      owner.webSocketFailed(ConnectionFailure("upgrade: the connection closed"))
      return context.close(promise: nil)
    }
    owner.webSocketOpened(session)
    for bytes in leftover { context.fireChannelRead(Self.wrapInboundOut(bytes)) }
    if !leftover.isEmpty { context.fireChannelReadComplete() }
    context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
  }

  package func errorCaught(context: ChannelHandlerContext, error: any Error) {
    let reason =
      switch error {
      case HTTPParserError.headerOverflow:
        "http: the answer's head is longer than \(UpgradeHandler.headBytesMax) bytes"
      case HTTPParserError.invalidEOFState: "http: the connection closed in the middle of the answer"
      case is HTTPParserError: "http: the answer is not HTTP"
      default: connectionReason(error)
      }
    fail(context: context, ConnectionFailure(reason))
  }

  package func channelInactive(context: ChannelHandlerContext) {
    fail(context: context, ConnectionFailure("http: the connection closed without an answer"))
    context.fireChannelInactive()
  }

  private func fail(context: ChannelHandlerContext, _ failure: ConnectionFailure) {
    if case .over = phase { return }
    phase = .over
    owner?.webSocketFailed(failure)
    context.close(promise: nil)
  }
}

/// A handler's type is what gives a value out of a `NIOAny`.
private final class ForwardedBytes: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
}
